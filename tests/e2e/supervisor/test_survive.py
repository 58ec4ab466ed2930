"""A supervisor that is killed leaves its workers to the next one: they serve on, and
no request fails."""

import contextlib
import os
import signal
import socket
import threading
import time

import pytest

from binder import NONBLOCK, binder, tcp
from harness import (HAS_KEEPER, SLOW, free_port, get, is_alive, kill,
                     read_answer, wait_until)
from lanes import ALL, as_nobody, needs, nobodys_probe, parametrized

pytestmark = pytest.mark.skipif(not HAS_KEEPER, reason="needs the keeper")

N = 3
CLIENTS = 4


def kill_supervisor(d, number=signal.SIGKILL):
    """Returns when the next one has taken over."""
    old, mark = d.pid, d.mark()
    os.kill(old, number)
    if number == signal.SIGSTOP:
        os.kill(old, signal.SIGKILL)
    d.wait_log("start complete", start=mark)
    wait_until(lambda: not is_alive(old), "its end")


class Load:
    """Clients that come one after the other, as long as it lasts."""

    def __init__(self, address):
        self.address = address
        self.served, self.failed = [], []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.come)
                        for _ in range(CLIENTS)]

    def come(self):
        while not self.over.is_set():
            try:
                with socket.socket(socket.AF_UNIX if isinstance(
                        self.address, str) else socket.AF_INET) as s:
                    s.settimeout(20 * SLOW)
                    s.connect(self.address)
                    s.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    self.served.append(read_answer(s).pid)
            except (OSError, AssertionError) as e:
                self.failed.append(e)
            time.sleep(0.002)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for t in self.threads:
            t.join()


def check_survival(d, address, kills=10, gap=0.2):
    """Killed so often under load; nobody is any the wiser."""
    workers = d.wait_ready(N)
    with Load(address) as load:
        for _ in range(kills):
            kill_supervisor(d)
            time.sleep(gap)
    assert not load.failed, load.failed
    assert len(load.served) > kills
    assert set(load.served) <= set(workers)
    assert all(map(is_alive, workers))
    assert sorted(d.wait_ready(N)) == sorted(workers)
    return load


# --- workers serve on

@parametrized(*ALL)
def test_no_request_fails(box, balance):
    needs(balance)
    box.web(balance=balance, instances=N)
    d = box.start()
    d.wait_ready(N)
    check_survival(d, ("127.0.0.1", d.port()))
    d.stop()
    wait_until(lambda: not box.survivors(), "nobody is left")
