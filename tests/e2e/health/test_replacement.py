"""Who is not well is replaced: what there is around it."""

import os
import re
import shlex
import signal
import socket
import time

import pytest

import control
from harness import IS_ROOT, SLOW, free_port, kill, wait_until
from programs import PYTHON, script
from test_health import (SILENCE, all_known, instances_of, mood, moody, pid_of)


def ask(port):
    """A request under way."""
    s = socket.create_connection(("127.0.0.1", port), 20 * SLOW)
    s.sendall(b"GET / HTTP/1.0\r\n\r\n")
    return s


def answered(s):
    with s:
        return s.recv(4096).startswith(b"HTTP/1.1 200")


@pytest.mark.skipif(not IS_ROOT, reason="needs root, for eBPF")
def test_who_waits_for_one_that_hangs_is_moved(box):
    d, port = moody(box, drain_timeout="600s", health_timeout=SILENCE)
    if not d.find("balance = auto is least-connections"):
        pytest.skip("there is no eBPF here")
    all_known(box, 3)
    bad = pid_of(box, 1)
    mood(box, f"pid.{bad}", "stuck")
    clients = [ask(port) for _ in range(30)]
    assert all(answered(s) for s in clients)
    d.wait_log(r"connections? that waited for a worker moved to others")
    d.wait_log(rf"web\[1\] pid {bad}: unhealthy: .*: it is replaced")
    # A check of it is not moved: another one would answer.
    assert not re.search(rf"pid {bad}: healthy again", d.log())
    # Unless it has gone already.
    kill(bad)
    d.stop()


def test_a_new_worker_has_to_be_well_without_a_canary(box):
    d, port = moody(box, canary="0")
    all_known(box, 3)
    pids = d.ready_pids()
    for pid in pids:
        mood(box, f"pid.{pid}", "well")
    mood(box, None, "503")
    done = box.ctl("-s", control.place(box), "reload", limit=30)
    assert done.returncode == 1
    assert "is unhealthy: GET /healthz: status 503" in done.stderr
    assert set(control.status(box).pids()) == set(pids)
    os.unlink(box.path("mood"))
    done = box.ctl("-s", control.place(box), "reload", limit=30)
    assert done.returncode == 0, done.stderr
    all_known(box, 3)
    assert not set(control.status(box).pids()) & set(pids)
    d.stop()


@pytest.mark.parametrize("canary", ["0", "300ms"])
def test_one_goes_before_the_next_comes(box, canary):
    d, port = moody(box, max_surge=0, canary=canary)
    all_known(box, 3)
    bad = pid_of(box, 1)
    others = {pid_of(box, 0), pid_of(box, 2)}
    mood(box, f"pid.{bad}", "500")
    d.wait_log(rf"web\[1\] pid {bad}: unhealthy: .*, 2 times; (killed|exited)",
               limit=20)
    d.wait_log("instance 1 is restarted", limit=20)
    all_known(box, 3)
    seat = control.status(box).seat(1)
    assert seat["pid"] != bad and seat["recycles_unhealthy"] == 1
    assert others < set(control.status(box).pids())
    assert set(instances_of(port, 40)) == {0, 1, 2}
    d.stop()


def test_one_that_comes_to_nothing_after_the_old_one_has_gone(box):
    d, port = moody(box, max_surge=0, health_failures=1)
    all_known(box, 3)
    mood(box, 1, "500")
    d.wait_log(r"restart aborted: the new worker of instance 1 is unhealthy: "
               "GET /healthz: status 500", limit=20)
    # It is started again, and has clients until its first check.
    wait_until(lambda: set(instances_of(port, 30)) == {0, 2}, "the others serve")
    os.unlink(box.path("mood.1"))
    all_known(box, 3)
    wait_until(lambda: control.status(box).app()["state"] == "running",
               "all is well", 20)
    d.stop()


def test_scaled_away_while_it_is_replaced(box):
    d, port = moody(box, canary="1h", instances=2)
    all_known(box, 2)
    # It has died once, as its seat remembers.
    os.kill(pid_of(box, 1), signal.SIGKILL)
    d.wait_log(r"web\[1\] pid \d+: killed by signal 9")
    all_known(box, 2)
    mood(box, f"pid.{pid_of(box, 1)}", "500")
    d.wait_log("web: restarting instance 1", limit=20)
    done = box.ctl("-s", control.place(box), "scale", "web", "1", limit=30)
    assert done.returncode == 0, done.stderr
    all_known(box, 1)
    done = box.ctl("-s", control.place(box), "scale", "web", "2", limit=30)
    assert done.returncode == 0, done.stderr
    all_known(box, 2)
    assert control.status(box).seat(1).get("recycles_unhealthy", 0) == 0
    d.stop()


def test_one_that_is_not_well_comes_before_none(box):
    """Somebody who comes in a minute is no better than an error now."""
    d, port = moody(box, instances=2, restart_delay="60s",
                    restart_delay_max="60s", health_failures=1000)
    all_known(box, 2)
    mood(box, 1, "503")
    d.wait_log(r"web\[1\] pid \d+: unhealthy")
    os.kill(pid_of(box, 0), signal.SIGKILL)
    d.wait_log(r"web\[0\] pid \d+: killed by signal 9 .* in ")
    began = time.monotonic()
    with ask(port) as s:
        assert s.recv(4096).startswith(b"HTTP/1.1 503")
    assert time.monotonic() - began < 10 * SLOW
    d.stop()


def test_a_command_is_of_its_file(box):
    """Of one that is included: its directory, and the limits of the worker."""
    os.mkdir(box.path("sub"))
    command = box.write("sub/check", f"""#!/bin/sh
ulimit -n >{box.dir}/limit
""", mode=0o755)
    port = free_port()
    box.config("sub/web.ini", web={
        "command": shlex.join([PYTHON, script("moody.py"), box.dir]),
        "listen": f"127.0.0.1:{port}", "instances": 1,
        "health": "exec:./check", "health_interval": "200ms",
        "limit_nofile": 1234, "directory": ".",
    })
    box.config(clusterd={"include": "sub/web.ini"})
    d = box.start()
    d.wait_ready(1)
    all_known(box, 1)
    with open(box.path("limit")) as f:
        assert f.read().strip() == "1234"
    assert os.path.exists(command)
    d.stop()
