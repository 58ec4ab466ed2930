"""Retiring workers that hold up whoever asks when their connections were used.

The kernel waits for a connection's lock to tell that, and whoever sends has it
while the page that he sends from is not there.
"""

import signal
import sys

import pytest

import words
from harness import _connect, free_port, get, is_alive, wait_until
from holding import PAGE, is_quick, said, userfaultfd

pytestmark = pytest.mark.usefixtures("userfaultfd")

# The first one of the workers answers its first client from that page, and the
# others as it should be.
SENDS = PAGE + """
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1])))
s.listen()
kept = []
try:
    os.close(os.open(sys.argv[2], os.O_CREAT | os.O_EXCL))
    c = s.accept()[0]
    kept.append(c)
    threading.Thread(target=wait_and_let_go, daemon=True).start()
    sleep_in(libc.send, c.fileno(), ctypes.c_void_p(page), 1000, 0)
    say("sends")
except FileExistsError:
    pass
while True:
    c = s.accept()[0]
    c.recv(1000)
    c.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Length: 6\\r\\n\\r\\nhello\\n")
    c.close()
"""

UNTIMED = r"web\[0\] pid \d+: it cannot be told when its connections were used"


def start(box, **keys):
    port = free_port()
    script = box.write("worker.py", SENDS)
    box.config(web={
        "command": " ".join([sys.executable, script, str(port),
                             box.path("first"), box.path("let"),
                             box.path("said")]),
        "listen": f"127.0.0.1:{port}", "instances": 1, "handoff": "adopt",
        "ready": "accept", "canary": "0", **keys})
    d = box.start()
    d.wait_ready(1)
    client = _connect(port, 10)
    said(box, "sends")
    return d, port, client


def test_drain_holds_nobody_up(box):
    d, port, client = start(box, drain_timeout="60s")
    old = d.ready_pids()[0]
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_DONE("web", 2))
    for _ in range(20):
        is_quick(box)
    get(port)
    d.wait_log(UNTIMED)
    is_quick(box)
    # What is open holds it up, and then not any more.
    assert is_alive(old)
    client.close()
    box.touch("let")
    wait_until(lambda: not is_alive(old), "the old one has ended")
    d.wait_log(rf"web\[0\] pid {old}: drained in")
    assert len(d.find(UNTIMED)) == 1
    d.stop()


def test_drain_that_is_held_up_has_an_end(box):
    d, port, client = start(box, drain_timeout="2s", stop_timeout="500ms")
    old = d.ready_pids()[0]
    d.send(signal.SIGHUP)
    d.wait_log(rf"web\[0\] pid {old}: drain_timeout after 2\.\d+s: "
               "1 connection still open")
    wait_until(lambda: not is_alive(old), "the old one has ended")
    is_quick(box)
    get(port)
    client.close()
    d.stop()
