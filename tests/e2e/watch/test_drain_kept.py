"""Clients that go on using their connections while their worker drains: near its
end these are closed between two requests, as if the client had done it."""

import threading
import time

from drains import TIMED_OUT, Client, abrupt, hup, start, wait_gone
from harness import is_refused, wait_until
from lanes import needs, parametrized

COUNT = 10


class Kept:
    """Each asks on one connection all the time, as long as it is open."""

    def __init__(self, address, pause, count=COUNT):
        self.address, self.pause = address, pause
        self.answered = self.closed = 0
        self.lost = []
        self.threads = [threading.Thread(target=self._run)
                        for _ in range(count)]

    def _is_closed(self, s):
        s.setblocking(False)
        try:
            return s.recv(1) == b""
        except BlockingIOError:
            return False
        finally:
            s.settimeout(15)

    def _run(self):
        with Client(self.address) as client:
            while True:
                try:
                    client.get()
                    self.answered += 1
                    time.sleep(self.pause)
                    if self._is_closed(client.socket):
                        self.closed += 1
                        return
                except OSError as e:
                    self.lost.append(e)
                    return

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_until(lambda: self.answered >= 2 * len(self.threads),
                   "answers")
        return self

    def __exit__(self, *_):
        for thread in self.threads:
            thread.join()

    def check(self):
        """A request may cross with the end of its connection: seldom, but a
        server that does not get the processor between its last read and its
        close makes room for it."""
        assert self.closed + len(self.lost) == len(self.threads)
        assert len(self.lost) <= COUNT // 3, self.lost


@parametrized("random", "least-connections", "shared")
def test_reload(box, balance):
    needs(balance)
    abrupt(box, balance=balance, drain_timeout="6s", drain_idle="60s")
    d = start(box, 1)
    old = d.ready_pids()
    with Kept(d.addresses()[0], pause=0.25) as kept:
        hup(d)
    wait_gone(d, old)
    assert not d.find(TIMED_OUT(old[0])), d.log()
    kept.check()
    d.stop()


@parametrized("random", "shared")
def test_stop(box, balance):
    """It does not take drain_timeout."""
    abrupt(box, balance=balance, drain_timeout="60s")
    d = start(box, 1)
    # Under what counts as idle at a stop.
    with Kept(d.addresses()[0], pause=0.12) as kept:
        d.send(15)
        wait_until(lambda: is_refused(d.addresses()[0]), "refused")
        d.wait_end(0, limit=30)
    kept.check()
