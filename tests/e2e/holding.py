"""Workers that sleep in the kernel for as long as a test likes, and whoever
needs what they have locked with them: for a page that a file system does not
deliver, here by userfaultfd(2).

A program begins with PAGE, which has `page` (a pointer), `let_go()`, and
`say(text)` into the file that its last argument names; the one before it is the
file whose being there lets go.
"""

import ctypes
import os
import platform
import time

import pytest

from harness import SLOW, wait_until

NUMBER = {"x86_64": 323}.get(platform.machine(), 282)

PAGE = """
import ctypes, fcntl, mmap, os, platform, socket, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": 323}.get(platform.machine(), 282)
# Without O_NONBLOCK it is always said to be ready (userfaultfd_poll()).
uffd = libc.syscall(number, os.O_CLOEXEC | os.O_NONBLOCK)
memory = mmap.mmap(-1, mmap.PAGESIZE)
page = ctypes.addressof(ctypes.c_char.from_buffer(memory))
fcntl.ioctl(uffd, 0xc018aa3f, struct.pack("QQQ", 0xaa, 0, 0))
fcntl.ioctl(uffd, 0xc020aa00, struct.pack("QQQQ", page, mmap.PAGESIZE, 1, 0))

def say(text):
    with open(sys.argv[-1], "a") as f:
        f.write(text + "\\n")

def wait_and_let_go():
    while not os.path.exists(sys.argv[-2]):
        time.sleep(0.01)
    os.close(uffd)
    say("let go")

def sleep_in(function, *arguments):
    threading.Thread(target=function, args=arguments, daemon=True).start()
    import select
    select.select([uffd], [], [])
"""

LIMIT = 1 * SLOW        # seconds; it takes about 2 ms


@pytest.fixture(scope="module")
def userfaultfd():
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(NUMBER, os.O_CLOEXEC)
    if fd < 0:
        pytest.skip("needs userfaultfd(2) of faults in system calls")
    os.close(fd)


def said(box, text, count=1):
    path = box.path("said")
    wait_until(lambda: os.path.exists(path) and
               open(path).read().splitlines().count(text) >= count,
               f"{text}, by the worker")


def is_quick(box):
    since = time.monotonic()
    result = box.ctl("status", env={"RUNTIME_DIRECTORY": box.dir})
    took = time.monotonic() - since
    # 3: not all are well.
    assert result.returncode in (0, 3) and "web" in result.stdout
    assert took < LIMIT, f"status took {took:.1f} s"
