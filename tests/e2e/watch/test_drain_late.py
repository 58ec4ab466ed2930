"""A handshake that takes longer than a second, and ends when its worker has
just been told to stop: the worker does not get it any more."""

import os
import re
import shlex
import signal
import socket

import pytest

from drains import PATIENT, hup
from harness import CUT, HAS_KEEPER, SLOW, system_calls, wait_until
from lanes import PRIVILEGED, as_nobody, client, needs, parametrized

# It accepts for as long as it takes to end, as one does that has something to
# put away first. TCP_DEFER_ACCEPT: a handshake ends when the client speaks.
SERVER = r"""
import ctypes, os, signal, socket, struct, sys, threading, time

lane = socket.socket(fileno=int(os.environ["CLUSTERD_FD"]))
lane.setblocking(True)
lane.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 60)
if "filter" in sys.argv:
    code = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, 1 << 31))
    lane.setsockopt(socket.SOL_SOCKET, 26,
                    struct.pack("HL", 1, ctypes.addressof(code)))

def accept():
    while True:
        s, _ = lane.accept()
        s.sendall(os.environ["CLUSTERD_GENERATION"].encode())
        threading.Thread(target=serve, args=(s,), daemon=True).start()

def serve(s):
    s.recv(100)
    time.sleep(0.5)
    s.sendall(b" served")
    if "keep" in sys.argv:
        s.recv(100)
    s.close()

signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
threading.Thread(target=accept, daemon=True).start()
signal.sigwait([signal.SIGTERM])
open("told", "w").close()
time.sleep(0.4)
os._exit(0)
"""


def hear(s, limit=10):
    """All that the server says."""
    said = b""
    s.settimeout(limit * SLOW)
    try:
        while part := s.recv(100):
            said += part
    except CUT:
        pass
    return said.decode()


def begin(box, balance, instances, arguments, keys=PATIENT, **how):
    path = box.write("server.py", SERVER, mode=0o644)
    box.config(web={
        "command": shlex.join(["/usr/bin/python3", "-B", path, *arguments]),
        "listen": "127.0.0.1:0", "instances": instances, "handoff": "env",
        "ready": "accept", "directory": box.dir, "balance": balance,
        "canary": "0", **keys})
    d = box.start(**how)
    d.wait_ready(instances)
    return d


def connect(d, count):
    return [socket.create_connection(("127.0.0.1", d.port()),
                                     source_address=(client(n), 0))
            for n in range(count)]


def end_late(box, balance, *arguments, meanwhile=None, **how):
    """Handshakes under way as the only worker of the first generation retires:
    what becomes of those who end theirs as it has been told to stop, and
    something has happened `meanwhile`."""
    d = begin(box, balance, 1, arguments, **how)
    clients = connect(d, 12)
    mark = hup(d)
    wait_until(lambda: os.path.exists(box.path("told")), lambda: d.log(), 20)
    if meanwhile:
        meanwhile(d)
    for s in clients:
        s.sendall(b"hello")
    said = [hear(s) for s in clients]
    d.wait_log(r"web\[0\] pid \d+: exited with code 0", start=mark)
    d.stop()
    return said


@pytest.mark.parametrize("filtered", ["", "filter"])
@parametrized(*PRIVILEGED)
def test_late_handshake_moves_to_the_next_worker(box, balance, filtered):
    needs(balance)
    assert end_late(box, balance, filtered) == ["2 served"] * 12


@parametrized("random", "source")
def test_late_handshake_is_not_begun_and_then_cut(box, balance):
    """It cannot be moved."""
    said = end_late(box, balance, **as_nobody(box))
    assert set(said) <= {"", "2 served"}, said


def kill(d):
    os.kill(d.pid, signal.SIGKILL)


def upgrade(d):
    done = d.box.ctl("-c", "app.ini", "upgrade",
                     env={"RUNTIME_DIRECTORY": d.box.dir})
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not HAS_KEEPER, reason="needs the keeper")
@pytest.mark.parametrize("meanwhile", [kill, upgrade])
@pytest.mark.parametrize("filtered", ["", "filter"])
@parametrized(*PRIVILEGED)
def test_seal_ends_with_the_supervisor(box, balance, filtered, meanwhile):
    """Nobody else would break it."""
    needs(balance)
    said = end_late(box, balance, filtered, meanwhile=meanwhile)
    assert said == ["2 served"] * 12


def test_who_is_sealed_is_looked_at_next(box):
    """Where many drain at once a seal might else be over before its turn, and
    all would wait for drain_timeout."""
    needs("round-robin")
    d = begin(box, "round-robin", 8, ["keep"], {"drain_idle": "100ms"})
    # Idle ones, also of the one that stays: no look finds none at all, which
    # would do for everybody.
    idle = connect(d, 8)
    for s in idle:
        s.sendall(b"hello")
    for s in idle:
        s.settimeout(10 * SLOW)
        said = b""
        while not said.endswith(b"served"):
            said += s.recv(100)
    clients = connect(d, 48)
    told = []
    calls = system_calls(box, d, lambda: told.append(box.ctl(
        "-c", "app.ini", "scale", "web", "1", limit=40,
        env={"RUNTIME_DIRECTORY": box.dir})))
    if calls is None:
        pytest.skip("needs strace")
    assert told[0].returncode == 0, told[0].stderr
    deeds = "".join("s" if "SO_ATTACH_FILTER" in call else "k"
                    for call in calls
                    if "SO_ATTACH_FILTER, {len=1," in call or
                    re.match(r"kill\(\d+, SIGTERM", call))
    # Before anybody else is sealed those are stopped who are, one or a few that
    # were looked at together, but for one whose look found no time.
    assert deeds.count("k") == 7 and deeds.count("s") < 14 and all(
        abs(len(sealed) - len(stopped)) < 2
        for sealed, stopped in re.findall("(s+)(k*)", deeds)), deeds
    for s in idle + clients:
        s.close()
    d.stop()
