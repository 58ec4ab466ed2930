"""Binds that clusterd cannot look at, and those that only seem to be ours."""

import errno
import os
import resource
import socket
import sys

import pytest

import words
from binder import BINDER
from harness import (free_port, get, start_as_pid_1, strerror, unshare,
                     wait_until)

# Binds when it may, and says what came of it.
BINDS = """
import os, socket, sys, time
family, address, go, said = sys.argv[1:5]
while not os.path.exists(go):
    time.sleep(0.01)
if len(sys.argv) > 5:
    os.chroot(sys.argv[5])
    os.chdir("/")
s = socket.socket(socket.AF_UNIX if family == "unix" else socket.AF_INET)
network = s.getsockopt(socket.SOL_SOCKET, 71, 8)    # SO_NETNS_COOKIE
try:
    s.bind(address if family == "unix" else
           (os.environ.get("BINDS_AT", "127.0.0.1"), int(address)))
    text = "bound"
    if s.getsockopt(socket.SOL_SOCKET, 71, 8) != network:
        text = "bound in another network"
except OSError as e:
    text = os.strerror(e.errno)
out = os.open(said, os.O_WRONLY | os.O_CREAT, 0o644) \\
    if len(sys.argv) <= 5 else 1
os.write(out, text.encode() + b"\\n")
time.sleep(600)
"""


def binds(box, family, address, *more):
    script = box.write("worker.py", BINDS)
    return " ".join(map(str, [sys.executable, script, family, address,
                              box.path("go"), box.path("said"), *more]))


def said(box):
    path = box.path("said")
    wait_until(lambda: os.path.exists(path) and os.path.getsize(path),
               "the bind has returned")
    return open(path).read().strip()


def first_free(pid):
    numbers = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
    return next(n for n in range(len(numbers) + 1) if n not in numbers)


def test_bind_that_cannot_be_looked_at_is_told(box):
    port = free_port()
    box.web(command=binds(box, "tcp", port), listen=f"127.0.0.1:{port}",
            instances=1, ready="alive:10ms", handoff="adopt",
            stop_timeout="1s")
    d = box.start()
    d.wait_ready(1)
    limits = resource.prlimit(d.pid, resource.RLIMIT_NOFILE)

    def no_free_number():
        # One that it had open for a moment is free then.
        resource.prlimit(d.pid, resource.RLIMIT_NOFILE,
                         (limit := first_free(d.pid), limits[1]))
        return d.is_at_rest() and first_free(d.pid) == limit
    wait_until(no_free_number, "no number is free below the limit")
    box.touch("go")
    assert said(box) == "Address already in use"
    d.wait_log(r"web\[0\] pid \d+: binds an address that clusterd cannot look "
               rf"at \({strerror(errno.EMFILE)}\), so it is not adopted: raise")
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, limits)
    d.stop()


def test_socket_that_cannot_be_looked_at_is_told_once(box):
    """Neither itself nor what kind it is. Each process is told of once."""
    port = free_port()
    again = box.write("again.py", """
import os, socket, sys, time
said = []
for i in range(3):
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", int(sys.argv[1])))
            said.append("bound")
        except OSError as e:
            said.append(os.strerror(e.errno))
print("; ".join(said), flush=True)
time.sleep(600)
""")
    box.web(command=f"{sys.executable} {again} {port}", instances=1,
            listen=f"127.0.0.1:{port}", ready="alive:10ms", handoff="adopt",
            stop_timeout="1s", stdout=box.path("said"))
    d = box.start(launcher=[BINDER, "--sandbox", "eperm=pidfd_getfd,getxattr"])
    d.wait_ready(1)
    assert said(box) == "; ".join(["Address already in use"] * 3)
    assert len(d.find(r"web\[0\] pid \d+: binds an address that clusterd cannot "
                      rf"look at \({strerror(errno.EPERM)}\)")) == 1
    d.stop()


@pytest.mark.parametrize("handoff", ["auto", "adopt"])
def test_without_a_proc_of_its_own_nothing_is_adopted(box, as_root, handoff):
    box.web(instances=1, handoff=handoff)
    if handoff == "adopt":
        d = box.start(launcher=unshare("--pid", "--fork", "--kill-child"))
        d.wait()
        assert "there is no /proc of clusterd's own pid namespace" in d.log()
        return
    d = start_as_pid_1(box, mount_proc=False)
    d.wait_log("cannot be adopted here: there is no /proc of clusterd's own "
               "pid namespace")
    d.wait_log(words.READY("web"))
    get(d.port())
    d.send(2)
    d.wait()


def test_path_in_a_root_of_its_own_is_not_ours(box, as_root):
    """The same words, another place."""
    path = "/s"
    os.mkdir(box.path("root"))
    inside = box.dir            # the path must be there on both sides
    os.makedirs(box.path("root") + inside)
    path = f"{inside}/s"
    box.web(command=binds(box, "unix", path, box.path("root")),
            listen=f"unix:{path}", instances=1, ready="alive:10ms",
            handoff="adopt", stop_timeout="1s", stdout=box.path("said"))
    d = box.start()
    d.wait_ready(1)
    box.touch("go")
    assert said(box) == "bound"
    # Its own socket, there.
    assert os.path.exists(box.path("root") + path)
    d.stop()


@pytest.mark.parametrize("denied", [None, "eperm=pidfd_getfd,kcmp"])
def test_port_in_a_network_of_its_own_is_not_ours(box, as_root, denied):
    """By the socket, and where that cannot be had, by its process."""
    port = free_port()
    box.web(command=" ".join([*unshare("--net"),
                              binds(box, "tcp", port)]),
            port=port, listen=None, env="BINDS_AT=0.0.0.0", instances=1,
            ready="alive:10ms", handoff="adopt", stop_timeout="1s")
    d = box.start(launcher=[BINDER, "--sandbox", denied] if denied else [])
    d.wait_ready(1)
    box.touch("go")
    assert said(box) == "bound"
    d.stop()


def test_nested_listener_is_refused(box):
    """As documented: a process can have one."""
    script = box.write("worker.py", """
import ctypes, os, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
code = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7fff0000))
prog = struct.pack("HxxxxxxP", 1, ctypes.addressof(code))
libc.prctl(38, 1, 0, 0, 0)
number = {"x86_64": 317, "aarch64": 277, "riscv64": 277}[os.uname().machine]
fd = libc.syscall(number, 1, 8, prog)
print(os.strerror(ctypes.get_errno()) if fd < 0 else "listener", flush=True)
time.sleep(600)
""")
    for handoff, expected in (("adopt", "Device or resource busy"),
                              ("env", "listener")):
        box.web(command=f"{sys.executable} {script}", instances=1,
                listen="127.0.0.1:0", ready="alive:10ms", handoff=handoff,
                stdout=box.path(f"said.{handoff}"), stop_timeout="1s")
        d = box.start()
        wait_until(lambda: os.path.exists(box.path(f"said.{handoff}")) and
                   open(box.path(f"said.{handoff}")).read(), "the attempt")
        assert open(box.path(f"said.{handoff}")).read().strip() == expected
        d.stop()
