"""What a stop closes cannot hold it up, whoever has put it there."""

import errno
import os
import socket
import sys

import pytest

import lingering
from harness import wait_until

# On port 3 it connects the lane, fills it, and says when.
CONNECTS = """
import contextlib, os, socket, struct, sys, time
port, mark = int(sys.argv[1]), sys.argv[2]
lane = socket.socket(fileno=3)
lane.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                struct.pack("ii", 1, 600))
while True:
    with contextlib.suppress(OSError):
        lane.shutdown(socket.SHUT_RDWR)
    try:
        lane.setblocking(True)
        lane.connect(("127.0.0.1", port))
        break
    except OSError:
        pass
lane.setblocking(False)
with contextlib.suppress(BlockingIOError):
    while True:
        lane.send(bytes(65536))
open(mark, "w").close()
time.sleep(600)
"""


def connects_again():
    """A socket that has listened may be connected: Linux 6.18.44 refuses it, and
    many before do not."""
    with socket.create_server(("127.0.0.1", 0)) as other, \
            socket.create_server(("127.0.0.1", 0)) as s:
        s.shutdown(socket.SHUT_RDWR)
        try:
            s.connect(other.getsockname())
        except OSError as e:
            assert e.errno == errno.EINVAL
            return False
    return True


def test_lane_that_is_to_linger(box):
    if not connects_again():
        pytest.skip("a lane cannot be connected here")
    with lingering.Lingering() as l:
        script = box.write("worker.py", CONNECTS)
        mark = box.path("connected")
        port = l.listener.getsockname()[1]
        box.web(command=f"{sys.executable} {script} {port} {mark}",
                instances=1, ready="alive:10ms", handoff="env",
                stop_timeout="1s", drain_timeout="200ms")
        d = box.start()
        wait_until(lambda: os.path.exists(mark), "the lane is connected")
        d.stop()


def test_descriptors_in_the_queue_of_a_unix_listener(box):
    """From a client that nobody has accepted."""
    path = box.path("s")
    box.web(command="sleep 600", listen=f"unix:{path}", instances=1,
            ready="alive:10ms", stop_timeout="1s", drain_timeout="200ms")
    d = box.start()
    d.wait_ready(1)
    with lingering.Lingering() as l, socket.socket(socket.AF_UNIX) as c:
        c.connect(path)
        l.send(c, b"x")
        c.close()
        d.stop()


REMOVES = """
import os, sys, time
path, times, mark = sys.argv[1], int(sys.argv[2]), sys.argv[3]
end = time.monotonic() + 20
for _ in range(times):
    while time.monotonic() < end:
        try:
            os.unlink(path)
            break
        except FileNotFoundError:
            pass
open(mark, "w").close()
time.sleep(600)
"""


def test_path_that_is_removed_again_and_again_comes_back(box):
    """The news of a removal comes before the name has gone."""
    path, mark = box.path("s"), box.path("mark")
    script = box.write("worker.py", REMOVES)
    box.web(command=f"{sys.executable} {script} {path} 1000 {mark}",
            listen=f"unix:{path}", instances=2, ready="alive:10ms",
            stop_timeout="1s")
    d = box.start()
    wait_until(lambda: os.path.exists(mark), "the removals", 60)
    wait_until(lambda: os.path.exists(path), "the path is back")
    d.stop()
