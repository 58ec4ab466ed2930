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


@parametrized("random", "source", "shared")
def test_no_request_fails_without_privileges(box, balance):
    start = as_nobody(box)
    box.web(balance=balance, instances=N, command=nobodys_probe(box))
    d = box.start(**start)
    d.wait_ready(N)
    check_survival(d, ("127.0.0.1", d.port()))
    d.stop()


@parametrized("auto", *ALL)
def test_no_request_to_an_adopted_server_fails(box, balance):
    if balance != "auto":
        needs(balance)
    port = free_port()
    box.web(listen=None, port=port, balance=balance, instances=N,
            handoff="adopt", command=binder(
                *tcp(port, flags=NONBLOCK), "serve:poll"))
    d = box.start()
    check_survival(d, ("127.0.0.1", port))
    d.stop()


def test_no_request_at_a_path_fails(box):
    path = box.path("s")
    box.web(listen=f"unix:{path}", instances=N)
    d = box.start()
    check_survival(d, path)
    d.stop()
    assert not os.path.exists(path) and not os.path.exists(path + ".lane")


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT,
                                    signal.SIGSTOP])
def test_however_it_is_killed(box, number):
    box.web(instances=N)
    d = box.start()
    workers = d.wait_ready(N)
    kill_supervisor(d, number)
    assert d.wait_ready(N) == workers
    get(d.port())
    d.stop()


# --- deaths

@pytest.mark.parametrize("meanwhile", [False, True])
def test_death_of_one_is_seen_with_its_status(box, meanwhile):
    """Of one that was taken over; and while there is no supervisor."""
    box.web(instances=N, restart_delay="50ms")
    d = box.start()
    workers = d.wait_ready(N)
    if meanwhile:
        os.kill(d.pid, signal.SIGSTOP)
    else:
        kill_supervisor(d)
    mark = d.mark()
    os.kill(workers[1], signal.SIGKILL)
    if meanwhile:
        wait_until(lambda: not is_alive(workers[1]), "its death")
        kill_supervisor(d)
    d.wait_log(rf"web\[\d\] pid {workers[1]}: killed by signal 9 \(SIGKILL\)"
               " after .*, restarting", start=mark)
    now = d.wait_ready(N)
    assert {workers[0], workers[2]} < set(now) and workers[1] not in now
    assert len(d.find(r"web.*killed by signal 9")) == 1
    d.stop()


def test_those_that_were_taken_over_are_reloaded(box):
    box.web(instances=N)
    d = box.start()
    workers = d.wait_ready(N)
    kill_supervisor(d)
    with Load(("127.0.0.1", d.port())) as load:
        d.send(signal.SIGHUP)
        d.wait_log("reload complete, generation 2")
        kill_supervisor(d)
        d.wait_replaced(workers, N)
        d.send(signal.SIGHUP)
        d.wait_log("reload complete, generation 3")
    assert not load.failed, load.failed
    d.stop()
