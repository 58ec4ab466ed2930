"""A Unix listener that a worker shuts down, as Twisted does when it ends: it can
never listen again, for anybody who has it. Another takes its place at once."""

import os
import shutil
import signal
import socket
import stat
import subprocess

import pytest

import words
from control import do, status
from harness import (CUT, get, is_alive, is_refused, is_socket, kill, wait_until)

SHUT = r"has shut down the listener \S+/web\.unix; there is another one in " \
    "its place, and workers that have the old one are replaced"


def shutting(box, *more, instances=2, **keys):
    box.web("--shut-lanes", *more, listen=f"unix:{box.path('web.unix')}",
            handoff="env", instances=instances, **keys)


def served(box, limit=20.0):
    return get(box.path("web.unix"), limit=limit)


class Clients:
    """One after the other. In the moment in which it happens they are refused,
    or cut in the queue; but then somebody is there again, and in time."""

    def __init__(self, box):
        self.box = box
        self.failed = 0

    def is_served(self):
        try:
            served(self.box)
            self.failed = 0
        except (*CUT, ConnectionRefusedError, FileNotFoundError):
            self.failed += 1
        return self.failed == 0

    def until(self, condition, what):
        def look():
            self.is_served()
            return condition()
        wait_until(look, what, 30)
        # That moment may be this one.
        wait_until(self.is_served, "somebody is there again", 30)


def settled(box, d, count):
    """All workers have the listener that is at the path now."""
    def look():
        s = status(box)
        pids = s.pids()
        return s.app()["state"] == "running" and \
            len(s.all("instance")) == count and \
            all(r["state"] == "ready" for r in s.seats()) and \
            all(lane_of(pid) == lane_of(d.pid) for pid in pids)
    wait_until(look, lambda: f"everybody has it: {status(box).lines}\n"
               f"{d.log()}", 30)


def lane_of(pid):
    """Inode of the listening socket at the path, as the process has it."""
    try:
        lines = open(f"/proc/{pid}/net/unix").readlines()
    except OSError:
        return "the process has died"
    for line in lines:
        fields = line.split()
        if len(fields) == 8 and fields[7].endswith("/web.unix") and \
                int(fields[3], 16) & 0x10000:
            try:
                if any(os.readlink(f"/proc/{pid}/fd/{fd}") ==
                       f"socket:[{fields[6]}]"
                       for fd in os.listdir(f"/proc/{pid}/fd")):
                    return fields[6]
            except FileNotFoundError:
                pass
    return None


@pytest.mark.valgrind
@pytest.mark.parametrize("instances", [1, 3])
def test_at_a_reload(box, instances):
    shutting(box, instances=instances)
    d = box.start()
    old = d.wait_ready(instances)
    clients = Clients(box)
    for generation in (2, 3):
        d.send(signal.SIGHUP)
        clients.until(lambda: d.find(words.RELOAD_DONE("web", generation)),
                      "the reload")
        settled(box, d, instances)
        # Nobody waits for the next reload, and nobody for a deaf worker.
        for _ in range(4 * instances):
            assert served(box).pid in status(box).pids()
    assert not any(map(is_alive, old))
    assert len(d.find(SHUT)) >= 1
    assert not d.find("clients are refused")
    assert is_socket(box.path("web.unix"))
    d.stop()
    assert not os.path.lexists(box.path("web.unix"))
    assert not os.path.lexists(box.path("web.unix.lane"))


def test_new_one_has_the_mode_of_the_old_one(box):
    """A server may have set it."""
    shutting(box)
    d = box.start()
    d.wait_ready(2)
    os.chmod(box.path("web.unix"), 0o606)
    do(box, "reload", 60)
    settled(box, d, 2)
    assert d.find(SHUT)
    assert stat.S_IMODE(os.stat(box.path("web.unix")).st_mode) == 0o606
    d.stop()


def test_who_starts_meanwhile_is_begun_anew(box):
    """An old worker ends while new ones are not ready yet."""
    shutting(box, "--ready", 1500, ready="notify", instances=2, max_surge=2,
             ready_timeout="8s")
    d = box.start()
    d.wait_ready(2)
    do(box, "reload", 60)
    assert d.find(r"web\[1\] pid \d+: is replaced: its listener was shut down")
    assert status(box).app()["reloads_aborted"] == 0
    settled(box, d, 2)
    for _ in range(10):
        served(box)
    d.stop()


def test_at_a_scale_down_the_others_are_replaced(box):
    shutting(box, instances=3)
    d = box.start()
    old = d.wait_ready(3)
    do(box, "scale web 2")
    clients = Clients(box)
    clients.until(lambda: len(d.find(r"instance \d is restarted")) == 2,
                  "both are replaced")
    settled(box, d, 2)
    assert not set(old) & set(status(box).pids())
    assert status(box).app()["reloads_aborted"] == 0
    for _ in range(10):
        served(box)
    d.stop()


def test_who_is_shut_out_finishes_what_it_has(box):
    """Connections of before have the old file, and are not forgotten."""
    shutting(box, instances=2, drain_timeout="30s")
    d = box.start()
    d.wait_ready(2)
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30)
        s.connect(box.path("web.unix"))
        s.sendall(b"GET /busy/1500 HTTP/1.0\r\n\r\n")
        do(box, "reload", 60)
        reply = b""
        while part := s.recv(65536):
            reply += part
    assert b"200" in reply.split(b"\r\n")[0]
    settled(box, d, 2)
    d.stop()


def test_new_one_that_does_not_come_up_is_not_tried_for_ever(box):
    shutting(box, "--fail-if-file", box.path("bad"), instances=3)
    d = box.start()
    d.wait_ready(3)
    box.touch("bad")
    do(box, "scale web 2")
    d.wait_log(r"restart aborted", count=2, limit=20)
    mark = d.mark()
    # It is there for who comes up by any other way.
    os.unlink(box.path("bad"))
    do(box, "reload", 30)
    settled(box, d, 2)
    assert len(d.find("restart aborted", mark)) == 0
    served(box)
    d.stop()


def test_at_the_end_nobody_listens_any_more(box):
    shutting(box)
    d = box.start()
    d.wait_ready(2)
    d.stop()
    assert not d.find("another one in its place|clients are refused")
    assert is_refused(box.path("web.unix"))


def test_of_an_app_that_is_removed(box):
    path = box.path("web.unix")
    keys = {"command": f"{box.path('x')}", "instances": 1}
    shutting(box)
    with open(box.path("app.ini"), "a") as f:
        f.write("[other]\ncommand = sleep 1000\ninstances = 1\n")
    d = box.start()
    d.wait_ready(3)
    box.write("app.ini", "[other]\ncommand = sleep 1000\ninstances = 1\n")
    do(box, "update")
    wait_until(lambda: is_refused(path), "it is gone")
    assert not d.find("another one in its place|clients are refused"), keys
    d.stop()


TWISTED = """
import os
from twisted.internet import protocol, reactor
import socket
class Hello(protocol.Protocol):
    def dataReceived(self, data):
        self.transport.write(b"%d" % os.getpid())
        self.transport.loseConnection()
factory = protocol.Factory()
factory.protocol = Hello
fd = int(os.environ["CLUSTERD_FD"].split(",")[0])
os.set_blocking(fd, False)
reactor.adoptStreamPort(fd, socket.AF_UNIX, factory)
reactor.run()
"""


def twisted_python():
    for python in ("/usr/bin/python3", shutil.which("python3")):
        if python and subprocess.run(
                [python, "-c", "import twisted.internet"],
                capture_output=True).returncode == 0:
            return python
    return None


def ask_twisted(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect(path)
        s.sendall(b"hello")
        return int(s.recv(64))


def test_twisted_itself(box):
    python = twisted_python()
    if python is None:
        pytest.skip("needs python3-twisted")
    path = box.path("web.unix")
    box.config(web={"command": f"{python} {box.write('srv.py', TWISTED)}",
                    "listen": f"unix:{path}", "handoff": "env",
                    "instances": 2})
    d = box.start()
    d.wait_ready(2, limit=30)
    for generation in (2, 3):
        d.send(signal.SIGHUP)
        d.wait_log(words.RELOAD_DONE("web", generation), limit=60)
        settled(box, d, 2)
        assert ask_twisted(path) in status(box).pids()
    kill(status(box).pids()[0])
    d.wait_log(words.DEATH())
    settled(box, d, 2)
    assert ask_twisted(path)
    d.stop(limit=20)
