"""Workers that hold up whoever looks at them.

Reading the fdinfo of an epoll instance takes a lock which a thread holds that
waits in epoll_wait(2) for the page that the answer is to go to: here by
userfaultfd(2), as it does where a file system does not answer. Not even SIGKILL
ends that wait.
"""

import os
import sys
import time

import pytest

from binder import settings, tcp
from harness import (SLOW, children_of, free_port, get, kill, process_state,
                     wait_until)

# Says "held" when its epoll is; binds when it may; lets go when it may.
HOLDS = """
import ctypes, fcntl, mmap, os, platform, select, socket, struct, sys, threading
import time
port, go, let, said = sys.argv[1:5]
libc = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": 323}.get(platform.machine(), 282)
uffd = libc.syscall(number, os.O_CLOEXEC | os.O_NONBLOCK)
page = mmap.mmap(-1, mmap.PAGESIZE)
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
fcntl.ioctl(uffd, 0xc018aa3f, struct.pack("QQQ", 0xaa, 0, 0))
fcntl.ioctl(uffd, 0xc020aa00, struct.pack("QQQQ", address, mmap.PAGESIZE, 1, 0))
epoll = select.epoll()
a, b = socket.socketpair()
b.send(b"x")
epoll.register(a, select.EPOLLIN)
thread = threading.Thread(target=libc.epoll_wait, args=(
    epoll.fileno(), ctypes.c_void_p(address), 1, -1))
thread.start()
select.select([uffd], [], [])

def say(text):
    with open(said, "a") as f:
        f.write(text + "\\n")

if "NOTIFY_SOCKET" in os.environ and os.path.exists(go + ".says"):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1))
    s.send(b"READY=1")
say("held")
while not os.path.exists(go):
    time.sleep(0.01)
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
try:
    s.bind(("127.0.0.1", int(port)))
    s.listen()
    say("bound")
except OSError as e:
    say(os.strerror(e.errno))
while not os.path.exists(let):
    time.sleep(0.01)
os.close(uffd)
thread.join()
say("let go")
while True:
    c = s.accept()[0]
    c.recv(1000)
    c.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Length: 6\\r\\n\\r\\nhello\\n")
    c.close()
"""

HELD_UP = r"web\[0\] pid \d+: cannot be looked at for now"

LIMIT = 1 * SLOW        # seconds; it takes about 2 ms


@pytest.fixture(scope="module", autouse=True)
def userfaultfd():
    import ctypes
    import platform
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall({"x86_64": 323}.get(platform.machine(), 282),
                      os.O_CLOEXEC)
    if fd < 0:
        pytest.skip("needs userfaultfd(2) of faults in system calls")
    os.close(fd)


def said(box, text):
    path = box.path("said")
    wait_until(lambda: os.path.exists(path) and
               text in open(path).read().splitlines(), f"{text}, by the worker")


def is_quick(box):
    since = time.monotonic()
    result = box.ctl("status", env={"RUNTIME_DIRECTORY": box.dir})
    took = time.monotonic() - since
    # 3: not all are well.
    assert result.returncode in (0, 3) and "web" in result.stdout
    assert took < LIMIT, f"status took {took:.1f} s"


def start(box, good_port, **keys):
    port = free_port()
    script = box.write("worker.py", HOLDS)
    box.config(
        web={"command": " ".join([
                sys.executable, script, str(port), box.path("go"),
                box.path("let"), box.path("said")]),
             "listen": f"127.0.0.1:{port}", "instances": 1,
             "handoff": "adopt", "stop_timeout": "500ms", **keys},
        good=settings(*tcp(good_port, "127.0.0.1"), "serve:accept",
                      port=good_port))
    d = box.start()
    said(box, "held")
    return d, port


def looks_stuck(d):
    """Children of clusterd that nothing can end."""
    return [pid for pid in children_of(d.pid) if process_state(pid) == "D"]


def test_stuck_look_holds_nobody_else_up(box):
    good = free_port()
    d, port = start(box, good, ready="accept", ready_timeout="60s")
    d.wait_log(HELD_UP)
    for _ in range(20):
        is_quick(box)
    # Neither binds nor readiness of others.
    old = d.wait_ready(2, app="good")
    kill(old[0])
    d.wait_replaced(old[:1], 2, app="good")
    get(good)
    # It is asked no more as long as one look at it is stuck.
    assert len(looks_stuck(d)) == 1
    # Its bind may have to wait, but not for ever.
    box.touch("go")
    said(box, "bound")
    is_quick(box)
    # Now who watches its socket, too.
    assert len(looks_stuck(d)) == 2
    assert len(d.ready_pids("web")) == 0
    # All is well when it is over.
    box.touch("let")
    d.wait_ready(1, app="web")
    get(port)
    wait_until(lambda: not looks_stuck(d), "the look has ended")
    assert d.log().count("cannot be looked at for now") == 1
    d.wait_log("it cannot be seen who else refers to the socket")
    d.stop()


def test_who_says_to_be_ready_is_believed_where_it_cannot_be_seen(box):
    box.touch("go.says")
    d, _ = start(box, free_port(), ready="auto", ready_timeout="60s")
    d.wait_ready(1, app="web")
    d.wait_log(HELD_UP)
    box.touch("go")
    box.touch("let")
    said(box, "let go")


def test_stuck_look_does_not_hold_up_the_end(box):
    d, _ = start(box, free_port(), ready="accept", ready_timeout="60s")
    d.wait_log(HELD_UP)
    since = time.monotonic()
    d.stop()
    assert time.monotonic() - since < 5 * SLOW
