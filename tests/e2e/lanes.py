"""What the tests of `balance` share: who gets which connection.

As root, every balance can be had; tests of those that need privileges are
skipped where clusterd says that it has not got them.
"""

import collections
import contextlib
import ctypes
import functools
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

import harness
import words
from harness import (CLUSTERD, CUT, IS_ROOT, PROBE, SLOW, ask, get, probe,
                     process_state, read_answer, wait_until)

NOBODY = 65534
SETPRIV = shutil.which("setpriv")

PRIVILEGED = ["round-robin", "least-connections"]
OWN_LANES = [*PRIVILEGED, "random", "source"]
ALL = [*OWN_LANES, "shared"]


@functools.cache
def why_not():
    """Why the privileged balances cannot be had, or None."""
    done = subprocess.run([CLUSTERD, "-T", "-p", "0", "--", "/bin/true"],
                          capture_output=True, text=True)
    line = [n for n in done.stdout.splitlines()
            if n.startswith("# auto is") and "here" in n
            and not n.split()[3].isdigit()][0]
    return None if "auto is least-connections" in line else line


def needs(balance):
    """Skips a test whose balance needs more privileges than there are."""
    if balance in PRIVILEGED and why_not():
        pytest.skip(why_not())


def parametrized(*balances):
    """For tests with an argument `balance`, which then can be had."""
    def decorate(test):
        return pytest.mark.parametrize("balance", balances)(test)
    return decorate


# --- without privileges

def become_nobody():
    """The launcher of a program without any privilege."""
    if not IS_ROOT:
        return []
    if not SETPRIV:
        pytest.skip("needs setpriv(1)")
    return [SETPRIV, f"--reuid={NOBODY}", f"--regid={NOBODY}",
            "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]


def as_nobody(box):
    """What box.start() takes for it; programs are copied to where it may
    execute them, and it may write in the box."""
    if IS_ROOT:
        os.chown(box.dir, NOBODY, NOBODY)
        box.write("events", "", mode=0o666)
    return {"launcher": become_nobody(), "program": nobodys(box, CLUSTERD)}


def nobodys(box, program):
    """A copy of it, which may run already."""
    path = box.path(os.path.basename(program))
    return path if os.path.exists(path) else box.copy(program)


def nobodys_probe(box, *arguments):
    return probe("--events", box.events_path, *arguments,
                 program=nobodys(box, PROBE))


# --- who gets what

def client(n):
    """An address of the loopback network."""
    return f"127.0.{n // 250 + 1}.{n % 250 + 1}"


def instances_of(port, count, source=None):
    """How many of so many short connections each instance gets."""
    return collections.Counter(get(port, source=source).instance
                               for _ in range(count))


def seats_of_clients(port, count, host="127.0.0.1"):
    """Client number → the instance that it comes to."""
    return {n: get((host, port), source=client(n)).instance
            for n in range(count)}


def hold(stack, port, count, path="/"):
    """So many open connections, which ask for nothing yet."""
    held = []
    for _ in range(count):
        s = socket.create_connection(("127.0.0.1", port), timeout=10 * SLOW)
        held.append(stack.enter_context(s))
    return held


def finish(s):
    """Ask on a connection that is open; the answer."""
    s.sendall(b"GET / HTTP/1.0\r\n\r\n")
    return read_answer(s)


def check_even(port, balance, instances, each=60):
    """All instances get what they should of connections one by one."""
    if balance == "source":
        found = collections.Counter(
            seats_of_clients(port, each * instances).values())
        least, most = each * 0.4, each * 1.8
    else:
        found = instances_of(port, each * instances)
        least, most = each * 0.4, each * 1.8
        if balance in PRIVILEGED:
            least = most = each
        elif balance == "shared":
            least, most = 0, each * instances
    if balance != "shared":
        assert sorted(found) == list(range(instances)), found
    assert least <= min(found.values()) <= max(found.values()) <= most, found


# --- what happens to workers

def wait_asleep(d):
    """clusterd has done what there was to do."""
    wait_until(lambda: process_state(d.pid) == "S", "clusterd sleeps")


def kill_and_wait(d, pid):
    """Until clusterd has acted on the death."""
    os.kill(pid, signal.SIGKILL)
    d.wait_log(rf"pid {pid}: killed by signal 9")
    # The line comes before the steering.
    wait_asleep(d)


def seats(d, address=None):
    """Instance → pid of the workers that are ready."""
    alive = set(d.ready_pids())
    return {int(m["index"]): int(m["pid"]) for m in d.find(words.READY())
            if int(m["pid"]) in alive}


@contextlib.contextmanager
def stopped(pids):
    """They stand still; whoever is not killed meanwhile goes on."""
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        for pid in pids:
            wait_until(lambda: process_state(pid) == "T", f"{pid} stops")
        yield
    finally:
        for pid in pids:
            harness.kill(pid, signal.SIGCONT)


def take_fd(pid, number=3):
    """A duplicate of a worker's socket, by pidfd_getfd(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    try:
        fd = libc.syscall(438, pidfd, number, 0)
    finally:
        os.close(pidfd)
    if fd < 0:
        pytest.skip(f"pidfd_getfd: {os.strerror(ctypes.get_errno())}")
    return socket.socket(fileno=fd)


def is_listening(s):
    return s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1


def ask_all(port, count):
    """So many connections, each from another address, that have asked."""
    return [ask(port, source=client(n)) for n in range(count)]


def answers(sockets):
    """What each says: an Answer, or the error."""
    found = []
    for s in sockets:
        try:
            found.append(read_answer(s))
        except OSError as e:
            found.append(e)
    return found


def hup(d, generation, app="web"):
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_DONE(app, generation), limit=30)


class SlowStream:
    """A light stream of clients, each from its own address: connect, ask,
    read. What fails, or takes longer than `limit`, is kept."""

    def __init__(self, port, clients=2, limit=5.0):
        self.port = port
        self.limit = limit * SLOW
        self.answered = 0
        self.failures = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(n,))
                        for n in range(clients)]

    def _run(self, n):
        turn = 0
        while not self.over.wait(0.004):
            turn += 1
            source = client((n * 50 + turn) % 200)
            begun = time.monotonic()
            try:
                get(self.port, source=source, limit=self.limit)
                self.answered += 1
                took = time.monotonic() - begun
                if took > self.limit:
                    self.failures.append((source, f"{took:.1f} s"))
            except (OSError, AssertionError) as e:
                self.failures.append((source, e))

    def wait_more(self, count=20):
        now = self.answered
        wait_until(lambda: self.failures or self.answered >= now + count,
                   "answers", 30)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.wait_more()
        return self

    def forgive_cut(self):
        """Forget those whom the death of a worker has cut off."""
        self.failures = [f for f in self.failures
                         if not isinstance(f[1], CUT)]

    def __exit__(self, kind, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
        if kind is None:
            assert not self.failures, (
                f"{len(self.failures)} failed, {self.answered} answered: "
                f"{self.failures[:5]}")
