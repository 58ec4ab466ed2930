"""A supervisor that is killed leaves its listeners to the next one: whoever waits
in their queues is served, and nobody is refused meanwhile; also where its workers
die with it."""

import contextlib
import os
import re
import shlex
import signal
import socket
import stat
import threading

import pytest

from binder import NONBLOCK, binder, tcp
from harness import (HAS_KEEPER, PROBE, SLOW, ask_udp, free_port, get,
                     is_alive, is_refused, kill, read_answer,
                     start_with_sockets, wait_until)
from lanes import (ALL, as_nobody, needs, nobodys_probe,
                   parametrized)

pytestmark = pytest.mark.skipif(not HAS_KEEPER, reason="needs the keeper")

N = 3
CLIENTS = 60


def take_the_supervisor(d, number=signal.SIGKILL):
    """Kill it; its pid."""
    pid = d.pid
    os.kill(pid, number)
    wait_until(lambda: not is_alive(pid), "its death")
    return pid


def wait_next(d, old, ready=N):
    """Until another supervisor has so many ready workers."""
    wait_until(lambda: d.pid != old and is_alive(d.pid), "another supervisor")
    return d.wait_ready(ready)


def connect(address):
    s = socket.socket(socket.AF_UNIX if isinstance(address, str)
                      else socket.AF_INET)
    s.settimeout(20 * SLOW)
    s.connect(address)
    s.sendall(b"GET / HTTP/1.0\r\n\r\n")
    return s


@contextlib.contextmanager
def standing_still(pids):
    """Nobody accepts, until they are dead."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    yield
    assert not any(is_alive(pid) for pid in pids)


def check_queues(d, address, ready=N, read=read_answer):
    """Those who came before, and those who come while there is none."""
    workers = d.wait_ready(ready)
    with contextlib.ExitStack() as stack:
        with standing_still(workers):
            waiting = [stack.enter_context(connect(address))
                       for _ in range(CLIENTS)]
            old = take_the_supervisor(d)
            for pid in workers:
                kill(pid)
            waiting += [stack.enter_context(connect(address))
                        for _ in range(CLIENTS)]
            new = wait_next(d, old, ready)
        answers = [read(s) for s in waiting]
    assert not set(new) & set(workers)
    return answers


# --- who waits is served

@parametrized(*ALL)
def test_who_waits_is_served(box, balance):
    needs(balance)
    box.web(balance=balance, instances=N)
    d = box.start()
    d.wait_ready(N)
    address = ("127.0.0.1", d.port())
    for _ in range(3):
        answers = check_queues(d, address)
        assert len({a.pid for a in answers}) >= 1
        for _ in range(4 * N):
            get(address)
    d.stop()
    with pytest.raises(ConnectionRefusedError):
        connect(address)


@parametrized("random", "source", "shared")
def test_who_waits_is_served_without_privileges(box, balance):
    start = as_nobody(box)
    box.web(balance=balance, instances=N, command=nobodys_probe(box))
    d = box.start(**start)
    d.wait_ready(N)
    check_queues(d, ("127.0.0.1", d.port()))
    d.stop()


@parametrized("auto", "random", "shared")
def test_who_waits_for_an_adopted_server_is_served(box, balance):
    """It binds by itself: the listener is there before it asks again."""
    port = free_port()
    box.web(listen=None, port=port, balance=balance, instances=N,
            handoff="adopt", command=binder(
                *tcp(port, flags=NONBLOCK), "serve:poll"))
    d = box.start()
    answers = check_queues(d, ("127.0.0.1", port))
    assert len(answers) == 2 * CLIENTS
    d.stop()


def test_who_waits_at_a_path_is_served(box):
    path = box.path("s")
    box.web(listen=f"unix:{path}", instances=N)
    d = box.start()
    d.wait_ready(N)
    before = os.lstat(path)
    for _ in range(3):
        check_queues(d, path)
        after = os.lstat(path)
        assert (after.st_ino, stat.S_IMODE(after.st_mode)) == \
            (before.st_ino, stat.S_IMODE(before.st_mode))
        assert os.path.exists(path + ".lane")
    d.stop()
    assert not os.path.exists(path) and not os.path.exists(path + ".lane")


def test_datagrams_that_wait_are_answered(box):
    box.web(listen="udp:127.0.0.1:0", instances=N)
    d = box.start()
    workers = d.wait_ready(N)
    with contextlib.ExitStack() as stack:
        clients = []
        with standing_still(workers):
            for _ in range(CLIENTS):
                s = stack.enter_context(socket.socket(
                    socket.AF_INET, socket.SOCK_DGRAM))
                s.settimeout(20 * SLOW)
                s.connect(("127.0.0.1", d.port()))
                s.send(b"x")
                clients.append(s)
            old = take_the_supervisor(d)
            for pid in workers:
                kill(pid)
            wait_next(d, old)
        for s in clients:
            assert b"pid" in s.recv(4096)
    ask_udp(("127.0.0.1", d.port()))
    d.stop()


def test_sockets_from_above_are_taken_over(box):
    """LISTEN_FDS names descriptors of the keeper."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        s.listen(4 * CLIENTS)
        port = s.getsockname()[1]
        box.web(listen=f"127.0.0.1:{port}", instances=N)
        d = start_with_sockets(box, s)
        d.wait_ready(N)
        for _ in range(3):
            check_queues(d, ("127.0.0.1", port))
        d.stop()


# --- nobody is refused

def test_nobody_is_refused_meanwhile(box):
    """Under load only what a worker had accepted is lost with it."""
    box.web(instances=N)
    d = box.start()
    d.wait_ready(N)
    address = ("127.0.0.1", d.port())
    refused, lost, served = [], [], []
    over = threading.Event()

    def come():
        while not over.is_set():
            try:
                with connect(address) as s:
                    served.append(read_answer(s).pid)
            except ConnectionRefusedError as e:
                refused.append(e)
            except (OSError, AssertionError) as e:
                lost.append(e)
    clients = [threading.Thread(target=come) for _ in range(8)]
    for c in clients:
        c.start()
    kills = 10
    try:
        for _ in range(kills):
            old = take_the_supervisor(d)
            wait_next(d, old)
            seen = len(served)
            wait_until(lambda: len(served) > seen + 20, "answers")
    finally:
        over.set()
        for c in clients:
            c.join()
    assert not refused
    # Each client had one connection at a time, and so at most one with a worker.
    assert len(lost) <= kills * len(clients), lost
    d.stop()


# --- what is left

def test_what_the_file_says_no_more_is_closed_by_a_reload(box):
    ports = [free_port(), free_port()]
    box.web(listen=f"127.0.0.1:{ports[0]}, 127.0.0.1:{ports[1]}", instances=N)
    d = box.start()
    workers = d.wait_ready(N)
    box.web(listen=f"127.0.0.1:{ports[0]}", instances=N)
    old = take_the_supervisor(d)
    wait_next(d, old)
    get(ports[0])
    get(ports[1])
    d.send(signal.SIGHUP)
    d.wait_replaced(workers, N)
    d.wait_workers(N)
    get(ports[0])
    wait_until(lambda: is_refused(ports[1]), "the other one is closed")
    d.stop()


def what_is_open(d):
    """But for the name of a directory, which is another one each time."""
    return sorted(re.sub(r"/notify\.\w+", "/notify", kind)
                  for kind in d.kinds_at_rest())


@pytest.mark.heavy
@pytest.mark.parametrize("balance", ["auto", "random", "shared"])
def test_no_descriptor_is_left_after_many_kills(box, balance):
    box.config(
        web={"command": shlex.join([PROBE]), "instances": N,
             "balance": balance, "listen": "127.0.0.1:0, udp:127.0.0.1:0, "
             f"unix:{box.path('s')}"})
    d = box.start()
    d.wait_ready(N)
    port = d.port()
    before = None
    for i in range(70):
        old = take_the_supervisor(d)
        wait_next(d, old)
        # One that dies before it has come up is followed only later.
        d.wait_log("start complete", count=i + 2)
        get(port)
        if i == 2:
            before = what_is_open(d)
    wait_until(lambda: what_is_open(d) == before, lambda: "as many descriptors "
               f"as before: {before}, {what_is_open(d)}")
    d.stop()
