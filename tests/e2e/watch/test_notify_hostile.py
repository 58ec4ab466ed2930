"""What comes over a worker's notify socket to hold clusterd up."""

import contextlib
import os
import resource
import signal
import socket
import sys
import threading
import time

import pytest

import control
import harness
import lingering
import words
from harness import get, read_proc, start_as_pid_1, stays, wait_until


def address_of(pid):
    for entry in read_proc(pid, "environ").split(b"\0"):
        name, _, value = entry.partition(b"=")
        if name == b"NOTIFY_SOCKET":
            return b"\0" + value[1:] if value.startswith(b"@") else value
    return None


@contextlib.contextmanager
def stranger(address):
    """A socket that sends there, and is of no worker."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.connect(address)
        yield s


def not_ready(box, instances=1, **keys):
    box.web("--ready", "never", ready="notify", ready_timeout="60s",
            instances=instances, **keys)
    d = box.start()
    events = box.wait_events("start", instances)
    wait_until(lambda: len(d.workers()) == instances, "the workers")
    return d, [e["pid"] for e in events]


@pytest.mark.valgrind
def test_descriptor_that_does_not_close_holds_nobody_up(box):
    d, (pid,) = not_ready(box)
    with lingering.Lingering() as l, stranger(address_of(pid)) as s:
        for _ in range(3):
            l.send(s, b"READY=1", count=2)
            assert control.ask(box, "status").ok
        # What comes behind them is heard.
        get(d.port(), "/notify/READY=1")
        d.wait_ready(1)
        wait_until(lambda: len(d.children()) == 1, "no helper is left")
        d.stop()


def test_descriptors_that_nobody_received_hold_no_stop_up(box):
    """They are dropped with the socket."""
    d, (pid,) = not_ready(box)
    with lingering.Lingering() as l, stranger(address_of(pid)) as s:
        os.kill(d.pid, signal.SIGSTOP)
        for _ in range(4):
            l.send(s, b"X=1")
        os.kill(pid, signal.SIGKILL)
        os.kill(d.pid, signal.SIGCONT)
        d.wait_log(words.KILLED_9)
        assert control.ask(box, "status").ok
        d.stop()


def test_sender_that_cannot_be_seen_is_not_believed(box, as_root):
    """As one in a pid namespace that is not below clusterd's: no pid."""
    box.web("--ready", "never", ready="notify", ready_timeout="60s",
            instances=1)
    d = start_as_pid_1(box)
    box.wait_events("start")
    name = get(d.port(), "/dump").env["NOTIFY_SOCKET"]
    address = "\0" + name[1:] if name.startswith("@") else name
    with stranger(address) as s:
        s.send(b"READY=1")
        d.wait_log(r"its sender is not of this worker")
    assert not d.find(words.READY("web"))
    get(d.port(), "/notify/READY=1")
    d.wait_log(words.READY("web"))
    d.send(signal.SIGTERM)
    d.wait_end(0)


# Says READY=1 when it may, and waits until there is room, as sd_notify(3) does.
SAYS_READY = """
import os, socket, sys, time
go = sys.argv[1]
while not os.path.exists(go):
    time.sleep(0.01)
name = os.environ["NOTIFY_SOCKET"]
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
    s.sendto(b"READY=1",
             "\\0" + name[1:] if name.startswith("@") else name)
time.sleep(600)
"""


# The first with a descriptor; the second when that has been taken out.
SAYS_BOTH = """
import array, fcntl, os, socket, struct, sys, termios, time
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
name = os.environ["NOTIFY_SOCKET"]
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
    s.connect("\\0" + name[1:] if name.startswith("@") else name)
    s.sendmsg([b"X=1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                          array.array("i", [0]))])
    waits = struct.pack("i", 0)
    while fcntl.ioctl(s, termios.TIOCOUTQ, waits) != waits:
        time.sleep(0.01)
    s.send(b"READY=1")
time.sleep(600)
"""


def test_what_follows_a_descriptor_is_heard_where_none_is_free(box, unwrapped):
    """Whoever takes it out cannot be watched then."""
    script = box.write("worker.py", SAYS_BOTH)
    box.web(command=f"{sys.executable} {script} {box.path('go')}",
            listen=None, ready="notify", ready_timeout="60s", instances=1)
    d = box.start()
    d.wait_workers(1)
    wait_until(lambda: all(address_of(p) for p in d.workers()), "the exec")
    d.kinds_at_rest()
    limits = resource.prlimit(d.pid, resource.RLIMIT_NOFILE)
    used = {int(n) for n in os.listdir(f"/proc/{d.pid}/fd")}
    free = min(set(range(len(used) + 1)) - used)
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (free, limits[1]))
    box.touch("go")
    d.wait_ready(1)
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, limits)
    d.stop()


@contextlib.contextmanager
def flooded(d):
    """Of every worker's socket, by this process."""
    over = threading.Event()

    def flood(address):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.settimeout(0.02)
            while not over.is_set():
                with contextlib.suppress(OSError):
                    s.sendto(b"READY=1", address)

    threads = [threading.Thread(target=flood, args=(address_of(p),))
               for p in d.workers()]
    for t in threads:
        t.start()
    try:
        yield
    finally:
        over.set()
        for t in threads:
            t.join()


def test_stranger_that_goes_on_is_looked_at_once_a_second(box, unwrapped):
    d, _ = not_ready(box, 4)
    wait_until(lambda: all(address_of(p) for p in d.workers()), "the execs")
    with flooded(d):
        d.wait_log(r"its sender is not of this worker", count=4)
        # What is measured, not a wait.
        calls = harness.system_calls(box, d, lambda: time.sleep(1))
    if calls is None:
        pytest.skip("needs strace, and to be let trace")
    looks = [c for c in calls if f"/proc/{os.getpid()}/stat" in c]
    assert 1 <= len(looks) <= 4 * 3, len(looks)
    d.stop()


def test_flood_of_strangers_lets_the_worker_be_heard(box):
    script = box.write("worker.py", SAYS_READY)
    box.web(command=f"{sys.executable} {script} {box.path('go')}",
            listen=None, ready="notify", ready_timeout="60s", instances=4)
    d = box.start()
    d.wait_workers(4)
    wait_until(lambda: all(address_of(p) for p in d.workers()), "the execs")
    with flooded(d):
        d.wait_log(r"its sender is not of this worker", count=4)
        stays(lambda: d.ready_pids() == [], "nobody is ready", 0.2)
        box.touch("go")
        d.wait_ready(4, limit=30)
    d.stop()
