"""Who is not well is found, steered around and replaced: `health`."""

import collections
import http.client
import json
import os
import shlex
import signal

import pytest

import control
from harness import SLOW, free_port, read_proc, wait_until
from programs import PYTHON, script

WELL = "http:/healthz"
# So long one says nothing that is not well, and others may be given no CPU.
SILENCE = f"{int(1000 * SLOW)}ms"


def moody(box, health=WELL, instances=3, app="web", **keys):
    port = free_port()
    settings = {
        "command": shlex.join([PYTHON, script("moody.py"), box.dir]),
        "listen": f"127.0.0.1:{port}", "instances": instances,
        "health": health, "health_interval": "200ms",
        "health_timeout": f"{int(5000 * SLOW)}ms", "health_failures": 2,
        "drain_timeout": "1s", "stop_timeout": "1s", "canary": "300ms",
    }
    settings.update(keys)
    box.config(**{app: {k: v for k, v in settings.items() if v is not None}})
    d = box.start()
    if keys.get("ready") != "health":
        d.wait_ready(instances, limit=20)
    return d, port


def instances_of(port, count):
    """How many of so many requests each instance gets."""
    found = collections.Counter()
    for _ in range(count):
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=10 * SLOW)
        c.request("GET", "/")
        found[int(c.getresponse().read().split()[3])] += 1
        c.close()
    return found


def wait_known(box, d, pattern, **how):
    """Until it is logged, and what it leads to is done, of which the answer of the
    next request is a sign."""
    found = d.wait_log(pattern, **how)
    control.status(box)
    return found


def mood(box, who, what):
    """Of an instance, a pid, or (None) of all."""
    name = "mood" if who is None else f"mood.{who}"
    box.write(name + ".new", what)
    os.rename(box.path(name + ".new"), box.path(name))


def forget(box, who):
    os.unlink(box.path("mood" if who is None else f"mood.{who}"))


def all_known(box, count, healthy=1):
    def look():
        seats = control.status(box).seats()
        return len(seats) == count and all(
            s.get("healthy") == healthy for s in seats)
    wait_until(look, f"{count} are checked", 20)


def pid_of(box, instance):
    return control.status(box).seat(instance)["pid"]


def test_steered_around_and_back(box):
    d, port = moody(box, health_failures=1000)
    all_known(box, 3)
    mood(box, 1, "500")
    wait_known(box, d, r"web\[1\] pid \d+: unhealthy: GET /healthz: status 500; "
               "new connections avoid it")
    assert instances_of(port, 40)[1] == 0
    seat = control.status(box).seat(1)
    assert seat["healthy"] == 0 and "status 500" in seat["unhealthy"]
    forget(box, 1)
    wait_known(box, d, r"web\[1\] pid \d+: healthy again")
    assert instances_of(port, 40)[1] > 0
    assert not d.find("it is replaced")
    d.stop()


@pytest.mark.parametrize("health, what, words", [
    (WELL, "500", "GET /healthz: status 500, 2 times"),
    (WELL, "hang", r"GET /healthz: no answer in \S+, 2 times"),
    (WELL, "garbage", "GET /healthz: the answer is not HTTP/1, 2 times"),
    ("tcp", "stuck", r"not accepted in \S+, 2 times"),
])
def test_replaced_beside(box, health, what, words):
    d, port = moody(box, health=health, health_timeout=SILENCE
                    if what in ("hang", "stuck") else f"{int(5000*SLOW)}ms")
    all_known(box, 3)
    before = d.ready_pids()
    bad = pid_of(box, 1)
    mood(box, f"pid.{bad}", what)
    d.wait_log(rf"web\[1\] pid {bad}: unhealthy: {words}; (killed by|exited)",
               limit=20)
    wait_until(lambda: control.status(box).app()["state"] == "running",
               "the restart is over")
    after = set(control.status(box).pids())
    assert len(after - set(before)) == 1 and bad not in after
    seat = control.status(box).seat(1)
    assert seat["recycles_unhealthy"] == 1 and seat["healthy"] == 1
    assert seat["death"].startswith("unhealthy: ")
    done = box.ctl("-s", control.place(box), "metrics")
    assert ('clusterd_instance_recycles_total{app="web",worker="1",'
            'reason="unhealthy"} 1') in done.stdout
    assert 'clusterd_instance_healthy{app="web",worker="1"} 1' in done.stdout
    done = box.ctl("-s", control.place(box), "events", "--json", "web:1")
    kinds = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert "unhealthy" in kinds
    d.stop()


def test_nobody_is_well(box):
    # Each has failed once before one of them is to be replaced.
    d, port = moody(box, restart_delay="5s", instances=2,
                    health_interval="400ms", health_failures=6)
    all_known(box, 2)
    pids = set(d.ready_pids())
    mood(box, None, "500")
    d.wait_log("web: no instance is healthy .* they stay", limit=20)
    all_known(box, 2, healthy=0)
    assert box.ctl("-s", control.place(box), "status").returncode == 3
    # Somebody has to serve all the same.
    assert set(instances_of(port, 30)) == {0, 1}
    forget(box, None)
    d.wait_log("healthy again", count=2)
    assert set(control.status(box).pids()) == pids
    assert len(d.find("no instance is healthy")) == 1
    assert len(d.find("restarting instance")) == 0
    d.stop()


def test_replacements_that_fail_too(box):
    d, port = moody(box, health_failures=1)
    all_known(box, 3)
    pids = set(d.ready_pids())
    mood(box, 1, "500")
    d.wait_log(r"restart aborted: the new worker of instance 1 is unhealthy: "
               "GET /healthz: status 500", limit=20)
    # The one that there was stays, until somebody is better.
    assert set(control.status(box).pids()) >= pids
    forget(box, 1)
    d.wait_log(r"web\[1\] pid \d+: healthy again")
    d.stop()


def test_reload_needs_somebody_well(box):
    d, port = moody(box)
    all_known(box, 3)
    pids = d.ready_pids()
    for pid in pids:
        mood(box, f"pid.{pid}", "well")
    mood(box, None, "503")
    done = box.ctl("-s", control.place(box), "reload", limit=30)
    assert done.returncode == 1
    assert "is unhealthy: GET /healthz: status 503" in done.stderr
    assert set(control.status(box).pids()) == set(pids)
    forget(box, None)
    assert box.ctl("-s", control.place(box), "reload",
                   limit=30).returncode == 0
    d.stop()


def test_ready_at_the_first_success(box):
    mood(box, None, "503")
    d, port = moody(box, ready="health", instances=1)
    d.wait_log(r"web\[0\] pid \d+: unhealthy: GET /healthz: status 503",
               limit=20)
    assert not d.find("ready after")
    mood(box, None, "well")
    d.wait_log(r"web\[0\] pid \d+: ready after \S+ \(it is healthy\)", limit=20)
    d.stop()


def test_a_command(box):
    command = box.write("check", f"""#!/bin/sh
echo "$CLUSTERD_INSTANCE $CLUSTERD_PID $CLUSTERD_ADDRESS" >>{box.dir}/asked
test ! -e {box.dir}/slow || exec sleep 1000
test ! -e {box.dir}/bad.$CLUSTERD_INSTANCE
""", mode=0o755)
    d, port = moody(box, health=f"exec:{command}", health_failures=1000,
                    health_timeout=f"{int(500*SLOW)}ms")
    all_known(box, 3)
    with open(box.path("asked")) as f:
        lines = {tuple(line.split()) for line in f}
    assert lines == {(str(i), str(pid_of(box, i)), f"127.0.0.1:{port}")
                     for i in range(3)}
    box.touch("bad.2")
    wait_known(box, d, r"web\[2\] pid \d+: unhealthy: \S+/check: exited with code "
               "1")
    assert instances_of(port, 30)[2] == 0
    os.unlink(box.path("bad.2"))
    d.wait_log(r"web\[2\] pid \d+: healthy again")
    # It is killed in time, and another one does not come before.
    box.touch("slow")
    d.wait_log(r"web\[0\] pid \d+: unhealthy: \S+/check: no answer in")
    assert len([pid for pid in d.children()
                if read_proc(pid, "cmdline") == b"sleep\0001000\0"]) <= 3
    os.unlink(box.path("slow"))
    d.wait_log(r"web\[0\] pid \d+: healthy again")
    d.stop()


def test_the_next_supervisor_knows(box):
    d, port = moody(box, health_interval="500ms", health_failures=1000,
                    health_timeout=SILENCE)
    all_known(box, 3)
    mood(box, 1, "hang")
    wait_known(box, d, r"web\[1\] pid \d+: unhealthy", limit=20)
    mark = d.mark()
    pids = d.ready_pids()
    os.kill(d.find_supervisor(), signal.SIGKILL)
    d.wait_log("workers of the supervisor before serve on", start=mark)
    assert instances_of(port, 30)[1] == 0
    forget(box, 1)
    d.wait_log(r"web\[1\] pid \d+: healthy again", start=mark, limit=20)
    assert set(control.status(box).pids()) == set(pids)
    d.stop()
