"""HTTP/2: a client often speaks last, to acknowledge what the server said, and
is idle all the same; a request is waited for.
"""

import contextlib
import shlex
import shutil
import socket
import struct
import time

import pytest

from drains import DRAINED, KEYS, TIMED_OUT, hup, reload, start, wait_gone
from harness import SLOW, _connect, free_port, wait_until
from programs import script
import words

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(not NODE, reason="no node here")

DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
ACK = END_STREAM = 1
END_HEADERS = 4

# Less than what clusterd allows an acknowledgement (20 ms): both sides have
# clocks with steps of up to 10.
SOON_MS = 12


def frame(kind, flags=0, stream=0, payload=b""):
    return (len(payload).to_bytes(3, "big") + bytes([kind, flags]) +
            stream.to_bytes(4, "big") + payload)


def request(stream, path):
    """RFC 7541: indexed but for the path and the authority."""
    block = b"\x82\x86\x04" + bytes([len(path)]) + path.encode() + b"\x01\x01x"
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, block)


class Client:
    """A connection of HTTP/2. Its SETTINGS are acknowledged with the first
    request, or by finish("settings") alone."""

    def __init__(self, address, acknowledge=True):
        self.socket = _connect(address, 15 * SLOW)
        self.got = b""
        self.stream = -1
        self.first = (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS) +
                      (frame(SETTINGS, ACK) if acknowledge else b""))
        self.until(lambda kind, flags: kind == SETTINGS and not flags)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def read(self, count):
        while len(self.got) < count:
            part = self.socket.recv(65536)
            if not part:
                raise ConnectionError(f"cut, after {self.got!r}")
            self.got += part
        part, self.got = self.got[:count], self.got[count:]
        return part

    def until(self, condition):
        """Reads to such a frame; returns its payload."""
        while True:
            head = self.read(9)
            payload = self.read(int.from_bytes(head[:3], "big"))
            if condition(head[3], head[4]):
                return payload

    def ask(self, path="/"):
        self.stream += 2
        self.socket.sendall(self.first + request(self.stream, path))
        self.first = b""

    def answer(self):
        body = self.until(lambda kind, _: kind == DATA)
        return int(body)

    def finish(self, kind):
        """The client's last word. Did it come in time to be taken for an
        acknowledgement?"""
        word = frame(SETTINGS, ACK)
        if kind == "window":
            word = frame(WINDOW_UPDATE, 0, 0, b"\0\0\1\0")
        elif kind == "pong":
            asked = self.until(lambda kind, flags: kind == PING and not flags)
            word = frame(PING, ACK, 0, asked)
        # So that the kernel's clock, which has steps, tells who was last.
        wait_until(lambda: self.moved_ago()[1] > 0, "a step of the clock",
                   step=0.001)
        self.socket.sendall(word)
        sent, heard = self.moved_ago()
        return heard - sent <= SOON_MS

    def moved_ago(self):
        """When this client spoke last, and when the server did, in ms before
        now: by the kernel's clock."""
        info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 56)
        sent, _, heard = struct.unpack_from("3I", info, 44)
        return sent, heard


def start_node(box, **keys):
    port = free_port()
    box.config(web={
        "command": shlex.join([NODE, script("http2.js"), str(port)]),
        "listen": f"127.0.0.1:{port}", "instances": 1, **KEYS, **keys})
    return start(box, 1), ("127.0.0.1", port)


def acknowledge(stack, address, last):
    """A client that has done so in time: on a busy machine not each one does.
    Returns the pid that it was served by."""
    for _ in range(100):
        client = stack.enter_context(Client(address, last != "settings"))
        client.ask("/ping" if last == "pong" else "/")
        pid = client.answer()
        if client.finish(last):
            return pid
        client.socket.close()
    pytest.fail("100 clients were too late to acknowledge anything")


@pytest.mark.parametrize("last", ["settings", "window", "pong"])
def test_client_that_acknowledged_last_is_idle(box, last):
    d, address = start_node(box, drain_timeout="60s", drain_idle="400ms")
    old, = d.ready_pids()
    with contextlib.ExitStack() as stack:
        assert acknowledge(stack, address, last) == old
        assert reload(d) == [old]
    assert d.find(DRAINED(old, "1 idle connection is left")), d.log()
    d.stop()


def test_request_behind_an_acknowledgement_is_finished(box):
    d, address = start_node(box, drain_timeout="60s", drain_idle="200ms")
    old, = d.ready_pids()
    with contextlib.ExitStack() as stack:
        clients = []
        for last in ("settings", "window", "pong"):
            c = stack.enter_context(Client(address, last != "settings"))
            c.ask("/ping" if last == "pong" else "/")
            c.answer()
            c.finish(last)
            clients.append(c)
        time.sleep(0.1)         # a client that thinks
        for c in clients:
            c.ask("/slow/2500")
        mark = hup(d)
        d.wait_log(words.RELOAD_DONE("web"), limit=30, start=mark)
        assert [c.answer() for c in clients] == [old] * 3
        wait_gone(d, [old])
    assert not d.find(TIMED_OUT(old)), d.log()
    d.stop()
