"""Workers that bind a socket whose lock they have: whoever asks what it is bound to
waits for that.
"""

import sys

import pytest

from harness import free_port, get
from holding import PAGE, is_quick, said, userfaultfd

pytestmark = pytest.mark.usefixtures("userfaultfd")

# A filter is copied from memory with the socket's lock.
LOCKS = PAGE + """
def lock(s):
    program = struct.pack("HxxxxxxQ", 1, page)
    kept = ctypes.create_string_buffer(program)
    sleep_in(libc.setsockopt, s.fileno(), socket.SOL_SOCKET, 26, kept,
             len(program))
    return kept
"""

SERVE = """
while True:
    c = s.accept()[0]
    c.recv(1000)
    c.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Length: 6\\r\\n\\r\\nhello\\n")
    c.close()
"""

BINDS = LOCKS + """
threading.Thread(target=wait_and_let_go, daemon=True).start()
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
kept = lock(s)
say("locked")
s.bind(("127.0.0.1", int(sys.argv[1])))
s.listen()
say("bound")
""" + SERVE


def start(box, text, **keys):
    port = free_port()
    script = box.write("worker.py", text)
    box.config(
        web={"command": " ".join([sys.executable, script, str(port),
                                  box.path("let"), box.path("said")]),
             "listen": f"127.0.0.1:{port}", "instances": 1,
             "stop_timeout": "500ms", **keys})
    return box.start(), port


def test_socket_that_is_locked_while_it_is_bound(box):
    d, port = start(box, BINDS, handoff="adopt", ready_timeout="60s")
    said(box, "locked")
    d.wait_log(r"web\[0\] pid \d+: cannot be looked at for now")
    for _ in range(20):
        is_quick(box)
    box.touch("let")
    said(box, "bound")
    d.wait_ready(1)
    get(port)
    d.stop()


def test_socket_that_stays_locked_does_not_hold_up_the_end(box):
    d, _ = start(box, BINDS, handoff="adopt", ready_timeout="60s")
    said(box, "locked")
    d.wait_log(r"web\[0\] pid \d+: cannot be looked at for now")
    d.stop()
