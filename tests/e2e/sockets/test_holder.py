"""An address that is taken: by whom, and where the file asks for it."""

import errno
import os
import re
import shlex
import signal
import socket
import subprocess
import sys

import pytest

from control import refused
from harness import (CLUSTERD, WRAP, children_of, free_port, is_alive, kill,
                     probe, read_proc, strerror, wait_until)

TAKEN = strerror(errno.EADDRINUSE)
ME = re.escape(open("/proc/self/comm").read().strip())

CANNOT = r"app\.ini:{line}: {key}: cannot listen on {address}: " + \
    TAKEN + r", by pid {pid} \({name}\)"


def message(line, address, pid=None, name=ME, key="listen"):
    return CANNOT.format(line=line, key=key, address=re.escape(address),
                         pid=pid or os.getpid(), name=name)


def start_fails(box, *pattern):
    done = box.run("-c", "app.ini")
    assert done.returncode == 69
    for p in pattern:
        assert re.search(p, done.stderr), (p, done.stderr)
    assert not box.events("start")
    return done.stderr


def taken(family, kind, where):
    s = socket.socket(family, kind)
    s.bind(where)
    if kind == socket.SOCK_STREAM:
        s.listen()
    return s


@pytest.mark.parametrize("theirs, ours", [
    ("127.0.0.1", "127.0.0.1:{}"), ("127.0.0.1", "0.0.0.0:{}"),
    ("0.0.0.0", "127.0.0.1:{}"), ("127.0.0.1", "{}"), ("0.0.0.0", "{}"),
    ("::1", "[::1]:{}"), ("::1", "{}"), ("::", "{}"), ("::", "0.0.0.0:{}"),
    ("::", "127.0.0.1:{}"), ("::", "[::1]:{}")])
def test_of_a_tcp_port(box, theirs, ours, request):
    if ":" in theirs + ours.format(1)[:-2]:
        request.getfixturevalue("has_ipv6")
    port = free_port()
    family = socket.AF_INET6 if ":" in theirs else socket.AF_INET
    address = ours.format(port)
    with taken(family, socket.SOCK_STREAM, (theirs, port)):
        box.config(web={"command": probe(), "instances": 1,
                        "listen": [f"127.0.0.1:{free_port()}", address]})
        start_fails(box, message(5, address))


BIND = """
import signal, socket
s = [socket.socket(f) for f in (socket.AF_INET, socket.AF_INET6)]
s[0].bind(("0.0.0.0", 0))
s[1].bind(("::", 0))
print("bound", flush=True)
signal.pause()
"""


def test_whoever_has_bound_another_port_is_not_named(box, has_ipv6):
    port = free_port()
    other = subprocess.Popen([sys.executable, "-c", BIND],
                             stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"bound\n"
        for theirs, ours in (("::", "0.0.0.0:{}"), ("::", "127.0.0.1:{}"),
                             ("127.0.0.1", "{}")):
            address = ours.format(port)
            family = socket.AF_INET6 if ":" in theirs else socket.AF_INET
            with taken(family, socket.SOCK_STREAM, (theirs, port)):
                box.config(web={"command": probe(), "listen": [address]})
                said = start_fails(box, message(3, address))
                assert str(other.pid) not in said and "other" not in said
    finally:
        kill(other.pid)
        other.wait()
        other.stdout.close()


def test_of_the_key_port_and_of_the_command_line(box):
    port = free_port()
    with taken(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port)):
        box.config(web={"command": probe(), "port": port})
        start_fails(box, message(3, str(port), key="port"))
        done = box.run("-p", port, *shlex.split(probe()))
        assert done.returncode == 69
        assert re.search(rf"(?<!: )cannot listen on {port}: {TAKEN}, "
                         rf"by pid {os.getpid()} ", done.stderr)


def test_of_a_udp_port(box):
    port = free_port(socket.SOCK_DGRAM)
    with taken(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", port)):
        box.config(web={"command": probe(), "listen": f"udp:127.0.0.1:{port}"})
        start_fails(box, message(3, f"udp:127.0.0.1:{port}"))


def test_of_a_unix_path(box):
    path = box.path("web.sock")
    with taken(socket.AF_UNIX, socket.SOCK_STREAM, path):
        box.config(web={"command": probe(), "listen": f"unix:{path}"})
        start_fails(box, message(3, f"unix:{path}"))


def test_one_that_is_bound_and_does_not_listen(box):
    """Not every kernel tells of it; it is no reason to fail otherwise."""
    port = free_port()
    with socket.socket() as s:
        s.bind(("127.0.0.1", port))
        box.config(web={"command": probe(), "listen": f"127.0.0.1:{port}"})
        start_fails(box, rf"app\.ini:3: listen: cannot listen on "
                    rf"127\.0\.0\.1:{port}: {TAKEN}")


def test_of_several_processes(box):
    port = free_port()
    with taken(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port)) as s:
        others = [subprocess.Popen(["sleep", "1000"], pass_fds=[s.fileno()],
                                   env=box.environment()) for _ in range(2)]
        try:
            box.config(web={"command": probe(),
                            "listen": f"127.0.0.1:{port}"})
            start_fails(box, r"by pid \d+ \(.+\) and 2 other processes$")
        finally:
            for p in others:
                p.kill()
                p.wait()


def test_of_another_user_who_cannot_be_looked_at(box, as_root):
    port = free_port()
    with taken(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port)):
        box.config(web={"command": probe(), "listen": f"127.0.0.1:{port}"})
        os.chmod(box.dir, 0o777)
        done = subprocess.run(
            ["setpriv", "--reuid", "nobody", "--regid", "nogroup",
             "--clear-groups", *WRAP, CLUSTERD, "-c", box.path("app.ini")],
            capture_output=True, text=True, env=box.environment())
        assert done.returncode == 69
        assert re.search(f"{TAKEN}, by a process of the user with number 0$",
                         done.stderr, re.M), done.stderr


def test_at_a_reload(box):
    box.web()
    d = box.start()
    old = d.wait_ready(2)
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}")
    with taken(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port)):
        text = refused(box, "reload")
        # Nobody is held up for it: on a slow machine it is less.
        words = message(3, f"127.0.0.1:{port}") + "|" + \
            rf"app\.ini:3: listen: cannot listen on 127\.0\.0\.1:{port}: " \
            rf"{TAKEN}, by a process of the user with number {os.geteuid()}"
        assert re.search(words, text), text
        d.wait_log(words)
    assert d.ready_pids() == old
    d.stop()


LEAVES = f"""#!/bin/sh
sleep 1000 &
exec {probe()}
"""


def test_what_a_killed_clusterd_has_left_behind(box):
    """The kernel ends its workers, and not their children."""
    port = free_port()
    box.config(web={"command": box.write("server", LEAVES, 0o755),
                    "handoff": "env", "instances": 2,
                    "listen": f"127.0.0.1:{port}"})
    d = box.start()
    pids = d.wait_ready(2)
    left = [child for pid in pids for child in children_of(pid)]
    assert len(left) == 2
    d.kill_all_of_it()
    wait_until(lambda: not any(map(is_alive, pids)), "the workers' end")
    text = start_fails(
        box, rf"app\.ini:5: listen: cannot listen on 127\.0\.0\.1:{port}: "
        rf"{TAKEN}, by pid \d+ \(sleep\) and 1 other process, "
        r"which a clusterd that is gone has left behind: \"kill[ \d]+\" ends "
        "them$")
    told = re.search('"kill ([ 0-9]+)"', text)[1]
    assert sorted(map(int, told.split())) == sorted(left)
    # As it says.
    for pid in left:
        kill(pid)
    wait_until(lambda: not any(map(is_alive, left)), "their end")
    d = box.start()
    d.wait_ready(2)
    for pid in d.ready_pids():
        assert b"CLUSTERD_WORKER_ID" in read_proc(pid, "environ")
    d.stop()


@pytest.mark.skipif(WRAP != [], reason="its name is the wrapper's")
def test_of_another_clusterd(box):
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}", handoff="env", instances=1,
            name="other.ini")
    d = box.start("-c", "other.ini")
    pid, = d.wait_ready(1)
    box.config(web={"command": probe(), "listen": f"127.0.0.1:{port}"})
    done = box.run("-c", "app.ini")
    assert done.returncode == 69
    # The keeper has what the supervisor has.
    assert re.search(rf"by pid ({d.keeper} \(clusterd\)|{d.pid} \(clusterd-"
                     rf"super\)|{pid} \(probe\)) and 2 other processes(, of "
                     f"the clusterd with pid {d.keeper})?$", done.stderr,
                     re.M), done.stderr
    assert "left behind" not in done.stderr
    d.stop()


def test_many_processes_do_not_take_long(box):
    """Not a figure: only that it is not asked of each in vain."""
    port = free_port()
    with taken(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port)):
        crowd = [subprocess.Popen(
            [sys.executable, "-ISc", "import sys, time\n"
             "x = [open('/dev/null') for _ in range(200)]\n"
             "print(flush=True); time.sleep(1000)"],
            env=box.environment(), stdout=subprocess.PIPE)
            for _ in range(20)]
        try:
            for p in crowd:
                p.stdout.readline()
            box.config(web={"command": probe(),
                            "listen": f"127.0.0.1:{port}"})
            start_fails(box, message(3, f"127.0.0.1:{port}"))
        finally:
            for p in crowd:
                p.kill()
                p.wait()
                p.stdout.close()
