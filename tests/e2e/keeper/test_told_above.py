"""sd_notify(3): the words come from the pid that is known above."""

import os
import signal
import socket
import struct

import pytest

from harness import (CLUSTERD, HAS_KEEPER, IS_ROOT, PROBE, SLOW, kill, probe,
                     process_state, wait_until)

pytestmark = pytest.mark.skipif(not HAS_KEEPER, reason="there is no keeper")


class Systemd:
    """NotifyAccess=main: who has sent it?"""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(path)
        os.chmod(path, 0o666)
        self.socket.setblocking(False)
        self.messages = []      # (pid, lines)

    def look(self):
        while True:
            try:
                text, extra, _, _ = self.socket.recvmsg(65536, 1024)
            except BlockingIOError:
                return self.messages
            pid = struct.unpack("3i", extra[0][2])[0]
            self.messages.append((pid, text.decode().rstrip("\n").split("\n")))

    def wait(self, line, start=0):
        wait_until(lambda: any(line in lines for _, lines in
                               self.look()[start:]),
                   lambda: f"{line} in {self.messages}")

    def mark(self):
        return len(self.look())


@pytest.fixture(params=["root", "nobody"])
def started(box, request):
    above = Systemd(box.path("notify"))
    launcher = []
    if request.param == "nobody":
        if not IS_ROOT:
            pytest.skip("needs root")
        os.chmod(box.dir, 0o777)
        launcher = ["setpriv", "--reuid=65534", "--regid=65534",
                    "--clear-groups"]
    elif not IS_ROOT:
        pytest.skip("needs root")
    box.copy(PROBE)
    box.web(command=probe(program=box.path("probe")), instances=1)
    d = box.start(launcher=launcher, program=box.copy(CLUSTERD),
                  env={"NOTIFY_SOCKET": box.path("notify")})
    yield d, above
    above.socket.close()


def test_all_of_it_comes_from_the_keeper(box, started):
    d, above = started
    above.wait("READY=1")
    above.wait(f"MAINPID={d.keeper}")
    above.wait("STATUS=1 of 1 instances ready")
    mark = above.mark()
    d.send(signal.SIGHUP)
    above.wait("RELOADING=1", mark)
    above.wait("READY=1", mark)
    mark = above.mark()
    kill(d.pid)
    above.wait("READY=1", mark)
    above.wait("STATUS=1 of 1 instances ready", mark)
    d.stop()
    above.wait("STOPPING=1")
    above.wait("STATUS=stopping")
    assert {pid for pid, _ in above.messages} == {d.keeper}


def test_in_order_and_not_lost_while_nobody_reads(box, started):
    d, above = started
    above.wait("STATUS=1 of 1 instances ready")
    # The queue over there is full.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.setblocking(False)
        s.connect(box.path("notify"))
        n = 0
        try:
            while True:
                s.send(b"FILL=1")
                n += 1
        except BlockingIOError:
            pass
    assert n > 0
    d.send(signal.SIGHUP)
    d.wait_log("reload complete|generation 2", count=1)
    wait_until(lambda: process_state(d.keeper) == "S", "it waits")
    said = []

    def read():
        said[:] = [line for pid, lines in above.look() for line in lines
                   if pid == d.keeper]
        return said.count("READY=1") == 2
    wait_until(read, lambda: f"RELOADING, READY in {said}")
    assert said.index("RELOADING=1") < len(said) - said[::-1].index("READY=1")
    d.stop()


def test_status_is_said_where_it_has_changed(box):
    """Not at the death of each orphan, which would fill the queue above."""
    script = box.write("server", f"""#!/bin/sh
(i=0; while [ $i -lt 100 ]; do (true &); i=$((i + 1)); done; : >{
    box.path("left")}) &
exec {probe()}
""", 0o755)
    above = Systemd(box.path("notify"))
    box.web(command=script, instances=1)
    d = box.start(env={"NOTIFY_SOCKET": box.path("notify")})
    pid, = d.wait_ready(1)
    wait_until(lambda: os.path.exists(box.path("left")) and
               d.children() == [pid], "all orphans are reaped", 20)
    d.stop()
    said = [line for _, lines in above.look() for line in lines
            if line.startswith("STATUS=")]
    above.socket.close()
    assert "STATUS=1 of 1 instances ready" in said
    assert all(a != b for a, b in zip(said, said[1:])), said


def test_without_the_keeper_it_is_said_all_the_same(box, started):
    d, above = started
    above.wait("READY=1")
    supervisor = d.pid
    os.kill(d.keeper, signal.SIGKILL)
    d.wait()
    above.wait("STOPPING=1")
    assert above.messages[-1][0] == supervisor
    wait_until(lambda: not box.survivors(), "nobody is left")


def test_what_a_killed_keeper_was_to_say_is_said(box, started):
    """… and whatever had to wait for it."""
    d, above = started
    above.wait("STATUS=1 of 1 instances ready")
    supervisor = d.pid
    worker, = d.ready_pids()
    mark = above.mark()
    os.kill(d.keeper, signal.SIGSTOP)
    wait_until(lambda: process_state(d.keeper) == "T", "it stands still")
    # A STATUS is the keeper's to say now.
    kill(worker)
    d.wait_log(rf"pid {worker}: killed by signal 9")
    d.wait_ready(1)
    assert len(above.look()) == mark
    os.kill(d.keeper, signal.SIGKILL)
    d.wait()
    above.wait("STOPPING=1", mark)
    assert {pid for pid, _ in above.messages[mark:]} == {supervisor}
    wait_until(lambda: not box.survivors(), "nobody is left")


def test_stopped_keeper_says_it_later(box, started):
    d, above = started
    above.wait("STATUS=1 of 1 instances ready")
    mark = above.mark()
    d.send(signal.SIGSTOP)
    wait_until(lambda: process_state(d.keeper) == "T", "it stands still")
    d.send(signal.SIGTERM)
    d.send(signal.SIGCONT)
    assert d.wait() == 0
    above.wait("STOPPING=1", mark)
