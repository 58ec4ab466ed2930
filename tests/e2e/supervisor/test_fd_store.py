"""Sockets and queues over a restart by systemd, which keeps them meanwhile."""

import contextlib
import os
import signal
import socket
import subprocess
import time

import pytest

from binder import NONBLOCK, settings, tcp
from harness import (IS_ROOT, SLOW, Stream, ask, ask_udp, free_port, get,
                     is_refused, read_answer, wait_until)
from systemd import Systemd


@pytest.fixture
def systemd(box):
    with Systemd(box) as s:
        yield s


BALANCES = ["random", "source", "shared"] + \
    (["least-connections", "round-robin"] if IS_ROOT else [])


def wait_told(systemd):
    """The store is empty again."""
    wait_until(lambda: not systemd.names(), "the store is empty")


@pytest.mark.parametrize("balance", BALANCES)
def test_nobody_is_lost_over_a_restart(box, systemd, balance):
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}", instances=3, balance=balance)
    d = systemd.start()
    with Stream(port) as stream:
        for _ in range(2):
            old = set(d.workers())
            d.stop()
            assert systemd.names()
            waiting = [ask(port) for _ in range(20)]
            d = systemd.start()
            wait_told(systemd)
            pids = {read_answer(s).pid for s in waiting}
            assert not pids & old
            seen = stream.answered
            wait_until(lambda: stream.answered > seen + 20, "answers")
    if balance != "source":
        assert len(d.pids_that_answer(port, 3)) >= 3
    assert not d.find(r"balance = .* failed|is not kept|cannot be attached")
    d.stop()


def test_lanes_do_not_become_more_with_each(box, systemd):
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}", instances=3)
    d = systemd.start()
    kept = []
    for _ in range(3):
        d.stop()
        kept.append(len(systemd.names()))
        d = systemd.start()
        wait_told(systemd)
        get(port)
    assert kept == [4, 4, 4]
    d.stop()


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_adopted_servers(box, systemd, host):
    port = free_port()
    box.config(web=settings(*tcp(port, host, flags=NONBLOCK), "serve:poll",
                            port=port, handoff="adopt"))
    d = systemd.start()
    with Stream(port) as stream:
        for _ in range(2):
            old = set(d.workers())
            d.stop()
            waiting = [ask(port) for _ in range(10)]
            d = systemd.start()
            wait_told(systemd)
            assert not {read_answer(s).pid for s in waiting} & old
        assert stream.answered
    d.stop()


def test_who_asks_during_the_drain_is_served_by_the_next(box, systemd):
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}", instances=2)
    d = systemd.start()
    old = set(d.workers())
    slow = half_asked(port)
    d.send(signal.SIGTERM)
    d.wait_log("stopping")
    late = None

    def new_ones_wait():
        nonlocal late
        late = ask(port)
        late.settimeout(0.5 * SLOW)
        try:
            late.recv(1, socket.MSG_PEEK)
            return False
        except socket.timeout:
            return is_unread(port)
    wait_until(new_ones_wait, "new clients wait")
    slow.sendall(b"TP/1.0\r\n\r\n")
    assert read_answer(slow).pid in old
    assert d.wait() == 0
    d = systemd.start()
    late.settimeout(10 * SLOW)
    assert read_answer(late).pid not in old
    d.stop()


def half_asked(port):
    """A connection that somebody has accepted, and that holds up its drain."""
    s = socket.create_connection(("127.0.0.1", port), 10 * SLOW)
    s.sendall(b"GET / HT")
    wait_until(lambda: not is_unread(port), "it is accepted")
    return s


def is_unread(port):
    """Somebody waits in a queue of the port."""
    for line in open("/proc/net/tcp").read().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].split(":")[1], 16) == port and \
                int(fields[4].split(":")[1], 16) > 0:
            return True
    return False


def test_without_a_store_nothing_is_sent(box):
    with Systemd(box, store=None) as systemd:
        port = free_port()
        box.web(listen=f"127.0.0.1:{port}")
        d = systemd.start()
        d.stop()
        assert is_refused(port)
        wait_until(lambda: "STATUS=stopping" in systemd.lines, "the last word")
        assert systemd.told == 0


@pytest.mark.parametrize("before, after", [(4, 2), (1, 4)])
def test_other_number_of_instances(box, systemd, before, after):
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}", instances=before)
    d = systemd.start()
    d.stop()
    waiting = [ask(port) for _ in range(10)]
    box.web(listen=f"127.0.0.1:{port}", instances=after)
    d = systemd.start()
    for s in waiting:
        read_answer(s)
    d.wait_ready(after)
    assert len(d.pids_that_answer(port, after)) == after
    d.stop()


def test_other_port(box, systemd):
    old, new = free_port(), free_port()
    box.web(listen=f"127.0.0.1:{old}")
    d = systemd.start()
    d.stop()
    waiting = ask(old)
    box.web(listen=f"127.0.0.1:{new}")
    d = systemd.start()
    d.wait_log("no app listens on .* any more")
    wait_told(systemd)
    with pytest.raises((ConnectionError, OSError)):
        read_answer(waiting)
    assert is_refused(old)
    get(new)
    d.stop()


def test_other_app_has_the_port(box, systemd):
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}")
    d = systemd.start()
    d.stop()
    waiting = ask(port)
    keys = dict(line.split(" = ", 1) for line in
                open(box.path("app.ini")).read().splitlines() if " = " in line)
    box.config(other=keys)
    d = systemd.start()
    d.wait_ready(2, "other")
    read_answer(waiting)
    d.stop()


def test_port_zero_stays_the_same(box, systemd):
    box.web()
    d = systemd.start()
    port = d.port()
    d.stop()
    waiting = ask(port)
    d = systemd.start()
    assert d.port() == port
    read_answer(waiting)
    d.stop()


def test_unix_listener(box, systemd):
    path = box.path("web.sock")
    box.web(listen=f"unix:{path}")
    d = systemd.start()
    with Stream(path) as stream:
        for _ in range(2):
            d.stop()
            waiting = [ask(path) for _ in range(5)]
            d = systemd.start()
            for s in waiting:
                read_answer(s)
            wait_told(systemd)
        assert stream.answered
    box.web(listen="127.0.0.1:0")
    d = systemd.restart(d)
    assert not os.path.exists(path)
    d.stop()


def test_datagrams_wait_too(box, systemd):
    port = free_port(socket.SOCK_DGRAM)
    box.web(listen=f"udp:127.0.0.1:{port}")
    d = systemd.start()
    ask_udp(("127.0.0.1", port))
    d.stop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(10 * SLOW)
        s.connect(("127.0.0.1", port))
        s.send(b"hello")
        d = systemd.start()
        assert b"pid" in s.recv(65536)
    ask_udp(("127.0.0.1", port))
    d.stop()


def test_each_instance_has_its_own(box, systemd):
    port = free_port()
    box.web(listen=f"127.0.0.1{{instance}}:{port}", instances=2)
    d = systemd.start()
    d.stop()
    waiting = [ask((f"127.0.0.1{i}", port)) for i in range(2)]
    d = systemd.start()
    assert [read_answer(s).instance for s in waiting] == [0, 1]
    d.stop()


def test_sockets_of_the_unit_are_none_of_the_store(box, systemd):
    port = free_port()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        theirs = s.getsockname()[1]
        box.web(listen=[f"127.0.0.1:{theirs}", f"127.0.0.1:{port}"])
        d = systemd.start(first=[s.fileno()])
        d.stop(limit=30)
        assert all(name.endswith(f";{port}") for name in systemd.names())
        waiting = [ask(theirs), ask(port)]
        d = systemd.start(first=[s.fileno()])
        for w in waiting:
            read_answer(w)
        d.stop(limit=30)


NAMES = [
    "clusterd ", "clusterd web", "clusterd web 0 - 1 1 .l", "clusterd x" * 20,
    "clusterd web -1 - 1 1 .l 127.0.0.1;1",
    "clusterd web 0 - 0 1 .l 127.0.0.1;1",
    "clusterd web 0 - 1 1 l 127.0.0.1;1",
    "clusterd web 0 - 1 1 .x 127.0.0.1;1",
    "clusterd web 0 - 1 1 .l unix;/x",
]


def test_names_that_say_nothing(box, systemd):
    port = free_port()
    for name in NAMES:
        with listening() as s:
            systemd.put(name, s.fileno())
    box.web(listen=f"127.0.0.1:{port}")
    d = systemd.start()
    wait_told(systemd)
    assert len(d.find("is closed: its name says nothing")) == len(NAMES)
    get(port)
    assert not d.find("LISTEN_FDS")
    d.stop()


@contextlib.contextmanager
def listening(port=0):
    with socket.socket() as s:
        s.bind(("127.0.0.1", port))
        s.listen()
        yield s


def test_descriptors_of_other_kinds(box, systemd):
    port, udp_port = free_port(), free_port(socket.SOCK_DGRAM)
    ends = os.pipe()
    with listening() as elsewhere, socket.socket() as connected, \
            socket.socket() as fresh, socket.socket() as bound, \
            socket.socket(type=socket.SOCK_DGRAM) as udp, \
            open("/dev/null") as file:
        connected.connect(elsewhere.getsockname())
        udp.bind(("127.0.0.1", udp_port))
        bound.bind(("127.0.0.1", port))
        odd = [ends[0], file.fileno(), elsewhere.fileno(), connected.fileno(),
               fresh.fileno(), udp.fileno(), bound.fileno()]
        for i, fd in enumerate(odd):
            systemd.put(f"clusterd web {i} - {i + 1} 1 .l 127.0.0.1;{port}",
                        fd)
    for end in ends:
        os.close(end)
    box.web(listen=[f"127.0.0.1:{port}", f"udp:127.0.0.1:{udp_port}"])
    d = systemd.start()
    wait_told(systemd)
    assert len(d.find("what the supervisor above has kept as")) == len(odd)
    get(port)
    ask_udp(("127.0.0.1", udp_port))
    d.stop()


def test_one_that_nobody_may_listen_beside(box, systemd):
    """Somebody else has made it, but it fits: it is taken, and shared."""
    port = free_port()
    with listening(port) as s:
        systemd.put(f"clusterd web 0 - 1 1 .l 127.0.0.1;{port}", s.fileno())
    box.web(listen=f"127.0.0.1:{port}")
    d = systemd.start()
    wait_told(systemd)
    for _ in range(5):
        get(port)
    d.stop()


def test_another_users_socket(box, systemd, as_root):
    port = free_port()
    os.seteuid(65534)
    try:
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        s.bind(("127.0.0.1", port))
        s.listen()
    finally:
        os.seteuid(0)
    with s:
        systemd.put(f"clusterd web 0 - 1 1 .l 127.0.0.1;{port}", s.fileno())
    box.web(listen=f"127.0.0.1:{port}")
    d = systemd.start()
    d.wait_log("it is another user's")
    get(port)
    d.stop()


def test_a_store_that_is_too_small(box):
    with Systemd(box, store=1) as systemd:
        port = free_port()
        box.web(listen=f"127.0.0.1:{port}", instances=3)
        d = systemd.start()
        d.stop()
        d.wait_log("FileDescriptorStoreMax")
        waiting = [ask(port) for _ in range(10)]
        d = systemd.start()
        for s in waiting:
            read_answer(s)
        d.wait_ready(3)
        get(port)
        d.stop()


def test_a_store_that_does_not_hear_what_it_is_to_let_go(box, systemd):
    """The start goes on, and it is not said that all is well."""
    old, new = free_port(), free_port()
    box.web(listen=f"127.0.0.1:{old}")
    d = systemd.start()
    d.stop()
    box.web(listen=f"127.0.0.1:{new}")
    systemd.sync()
    systemd.stop_hearing()
    d = systemd.start(ready=False)
    d.wait_log("has not been told to let go of ")
    d.wait_ready(2)
    get(new)
    systemd.reads.set()
    d.stop()


def test_a_store_that_does_not_hear(box, systemd):
    """The queue of the notify socket is full: the stop does not wait for long."""
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}")
    d = systemd.start()
    systemd.stop_hearing()
    d.stop(limit=15)
    assert is_refused(port)
    d.wait_log("does not keep all sockets")
    systemd.reads.set()


def test_a_start_that_fails_leaves_the_store_as_it_is(box, systemd):
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}")
    d = systemd.start()
    d.stop()
    kept = sorted(systemd.names())
    waiting = ask(port)
    good = open(box.path("app.ini")).read()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        box.write("app.ini", good + "\n[taken]\ncommand = x\nlisten = "
                  f"127.0.0.1:{s.getsockname()[1]}\n")
        d = systemd.start(ready=False)
        assert d.wait() == 69
    box.write("app.ini", "[web\n")
    assert systemd.start(ready=False).wait() == 78
    assert sorted(systemd.names()) == kept
    box.write("app.ini", good)
    d = systemd.start()
    read_answer(waiting)
    d.stop()


def test_a_start_that_fails_leaves_the_path_of_a_unix_listener(box, systemd):
    path = box.path("web.sock")
    box.web(listen=f"unix:{path}")
    systemd.start().stop()
    waiting = ask(path)
    good = open(box.path("app.ini")).read()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        box.write("app.ini", good + "\n[taken]\ncommand = x\nlisten = "
                  f"127.0.0.1:{s.getsockname()[1]}\n")
        assert systemd.start(ready=False).wait() == 69
    assert os.path.exists(path)
    box.write("app.ini", good)
    d = systemd.start()
    read_answer(waiting)
    d.stop()
    assert os.path.exists(path)


def test_one_of_an_instance_that_is_no_more(box, systemd):
    path = box.path("web.sock")
    box.web(listen=f"unix:{path}{{instance}}", instances=2)
    systemd.start().stop()
    box.web(listen=f"unix:{path}{{instance}}", instances=1)
    d = systemd.start()
    wait_told(systemd)
    assert os.path.exists(f"{path}0") and not os.path.exists(f"{path}1")
    d.stop()
    assert len(systemd.names()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_other_stops_keep_it_too(box, systemd, number):
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}")
    d = systemd.start()
    d.stop(number)
    waiting = ask(port)
    d = systemd.start()
    read_answer(waiting)
    d.stop()


def test_what_a_reload_gave_up_is_not_kept(box, systemd):
    old, new = free_port(), free_port()
    box.web(listen=f"127.0.0.1:{old}")
    d = systemd.start()
    pids = d.ready_pids()
    box.web(listen=f"127.0.0.1:{new}")
    d.send(signal.SIGHUP)
    d.wait_replaced(pids, 2)
    wait_until(lambda: is_refused(old), "the old one is closed")
    d.stop()
    assert all(name.endswith(f";{new}") for name in systemd.names())


def test_a_supervisor_that_is_killed_during_the_stop(box, systemd):
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}", instances=3)
    d = systemd.start()
    slow = half_asked(port)
    d.send(signal.SIGTERM)
    d.wait_log("stopping")
    supervisor = d.pid
    os.kill(supervisor, signal.SIGKILL)
    d.wait_log("going on with the stop")
    slow.sendall(b"TP/1.0\r\n\r\n")
    read_answer(slow)
    assert d.wait() == 0
    waiting = ask(port)
    d = systemd.start()
    read_answer(waiting)
    wait_told(systemd)
    # One that is killed later does not ask the store for anything, and the next one
    # takes over what it had from there.
    systemd.sync()
    told = systemd.told
    os.kill(d.pid, signal.SIGKILL)
    wait_until(lambda: systemd.lines.count("READY=1") >= 3, "the next one")
    get(port)
    systemd.sync()
    assert systemd.told == told
    assert not d.find("cannot be taken over")
    d.stop()


@pytest.mark.parametrize("kind", ["tcp", "udp", "unix"])
def test_a_supervisor_that_is_killed_after_it_took_them(box, systemd, kind):
    port = free_port(socket.SOCK_DGRAM if kind == "udp" else
                     socket.SOCK_STREAM)
    where = box.path("web.sock") if kind == "unix" else port
    box.web(listen={"tcp": f"127.0.0.1:{port}", "udp": f"udp:127.0.0.1:{port}",
                    "unix": f"unix:{where}"}[kind], instances=3)
    systemd.start().stop()
    kept = len(systemd.names())
    d = systemd.start()
    pids = d.wait_ready(3)
    os.kill(d.pid, signal.SIGKILL)
    d.wait_log("of the supervisor before serve on")
    assert not d.find("cannot be taken over")
    assert d.wait_ready(3) == pids
    d.stop()
    assert len(systemd.names()) == kept


def test_a_supervisor_that_is_killed_before_it_took_them(box, systemd):
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}", instances=3)
    d = systemd.start()
    for i in range(8):
        d.stop()
        waiting = ask(port)
        d = systemd.start(ready=False)
        # In the midst of it, wherever that is.
        time.sleep(0.002 * i * SLOW)
        os.kill(d.pid, signal.SIGKILL)
        read_answer(waiting)
        wait_told(systemd)
        d.wait_log("start complete|of the supervisor before serve on")
    assert not d.find("cannot be taken over")
    d.stop()


HOG = """
import os, time
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(5))
print(flush=True)
while True:
    end = time.monotonic() + 0.45
    while time.monotonic() < end:
        pass
    time.sleep(0.005)
"""


@contextlib.contextmanager
def hogged(cpu):
    """Whoever else keeps to this CPU runs about twice in a second."""
    hog = subprocess.Popen(["/usr/bin/python3", "-c", HOG],
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                           preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
    try:
        if not hog.stdout.readline():
            pytest.skip("no SCHED_FIFO here")
        yield
    finally:
        hog.kill()
        hog.communicate()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_a_worker_that_gets_no_time_to_stand_still_is_drained(box, systemd,
                                                              as_root):
    """One that shares its lane stands still for the last look; to come to a stop it
    has to run."""
    cpu = min(os.sched_getaffinity(0))
    with listening() as s:
        theirs = s.getsockname()[1]
        box.web(listen=f"127.0.0.1:{theirs}", instances=1, drain_timeout="8s")
        d = systemd.start(first=[s.fileno()])
        worker, = d.wait_ready(1)
        get(theirs)
        for thread in os.listdir(f"/proc/{worker}/task"):
            os.sched_setaffinity(int(thread), {cpu})
        with hogged(cpu):
            d.send(signal.SIGTERM)
            d.wait_log("drained in|drain_timeout after", limit=25)
        d.wait()
        assert not d.find("drain_timeout after")
