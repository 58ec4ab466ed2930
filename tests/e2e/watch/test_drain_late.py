"""A handshake that takes longer than a second, and ends when its worker has
just been told to stop: the worker does not get it any more."""

import os
import shlex
import socket

import pytest

from drains import PATIENT, hup
from harness import CUT, SLOW, wait_until
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


def end_late(box, balance, *arguments, **how):
    """Handshakes under way as the only worker of the first generation retires:
    what becomes of those who end theirs as it has been told to stop."""
    path = box.write("server.py", SERVER, mode=0o644)
    box.config(web={
        "command": shlex.join(["/usr/bin/python3", "-B", path, *arguments]),
        "listen": "127.0.0.1:0", "instances": 1, "handoff": "env",
        "ready": "accept", "directory": box.dir, "balance": balance,
        "canary": "0", **PATIENT})
    d = box.start(**how)
    d.wait_ready(1)
    clients = [socket.create_connection(("127.0.0.1", d.port()),
                                        source_address=(client(n), 0))
               for n in range(12)]
    mark = hup(d)
    wait_until(lambda: os.path.exists(box.path("told")), lambda: d.log(), 20)
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
