"""Clients that go on using their connections while their worker drains: near its
end these are closed between two requests, as if the client had done it."""

import os
import threading
import time

import preloads
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


# It closes what has ended, and notes whatever epoll says of it afterwards.
SERVER = r"""
import os, select, signal, socket

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
lane = socket.socket(fileno=int(os.environ["CLUSTERD_FD"]))
lane.setblocking(False)
epoll = select.epoll()
epoll.register(lane, select.EPOLLIN)
open_ = {}
ANSWER = (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%d" %
          (len(str(os.getpid())), os.getpid()))
while True:
    for fd, _ in epoll.poll():
        if fd == lane.fileno():
            try:
                s, _ = lane.accept()
            except BlockingIOError:
                continue
            open_[s.fileno()] = s
            epoll.register(s, select.EPOLLIN)
        elif fd not in open_:
            open("stale", "w").close()
        elif open_[fd].recv(65536):
            open_[fd].sendall(ANSWER)
        else:
            open_.pop(fd).close()
"""

# The supervisor does not get the processor for a while just then.
PRELOAD = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/socket.h>
#include <unistd.h>
int shutdown(int fd, int how)
{
	int (*next)(int, int) = dlsym(RTLD_NEXT, "shutdown");
	int result = next(fd, how);

	if (how == SHUT_RD)
		usleep(50000);
	return result;
}
"""


@preloads.needed
@parametrized("random")
def test_server_hears_nothing_of_what_it_has_closed(box, balance):
    needs(balance)
    path = box.write("server.py", SERVER, mode=0o644)
    box.config(web={
        "command": f"/usr/bin/python3 -B {path}", "listen": "127.0.0.1:0",
        "instances": 1, "handoff": "env", "directory": box.dir,
        "balance": balance, "canary": "0", "drain_timeout": "6s",
        "drain_idle": "60s"})
    d = box.start(env={"LD_PRELOAD": preloads.of_source(
        box, box.path("late.so"), PRELOAD)})
    old = d.wait_ready(1)
    # One at a look, as slow as shutdown(2) is here: few, that all find their turn.
    with Kept(d.addresses()[0], pause=0.25, count=3) as kept:
        hup(d)
    wait_gone(d, old)
    assert kept.closed > 0
    assert kept.closed + len(kept.lost) == 3, kept.lost
    assert not os.path.exists(box.path("stale"))
    d.stop()
