"""`on_event`: a command for each event."""

import json
import os
import pwd
import signal
import time

import pytest

import words
from control import do, refused, status
from harness import (HAS_KEEPER, IS_ROOT, SLOW, is_alive, kill,
                     marked_processes, probe, wait_until)

ME = {"on_event_user": "root"} if IS_ROOT else {}


def hook(box, script, **keys):
    """An app, and a command that is this script; {dir} is the box's."""
    path = box.write("hook.sh", "#!/bin/sh\n" +
                     script.replace("{dir}", box.dir), 0o755)
    box.web(instances=1, restart_delay="20ms",
            clusterd={"on_event": path, **ME, **keys})


def told(box):
    """What has been passed, as objects."""
    try:
        with open(box.path("told")) as f:
            return [json.loads(line) for line in f if line.endswith("\n")]
    except FileNotFoundError:
        return []


def figures(box):
    c = status(box).one("clusterd")
    return tuple(c[f"on_event_{k}"] for k in ("runs", "failures", "dropped"))


def ctl(box, *arguments):
    done = box.ctl("-c", box.path("app.ini"), *arguments,
                   env={"RUNTIME_DIRECTORY": box.dir})
    assert done.returncode == 0, done.stderr
    return done.stdout


TELL = "cat >>{dir}/told\n"


def test_each_event_is_passed_once(box):
    hook(box, "[ $(wc -l <{dir}/env) -ge 2 ] || "
         "echo $CLUSTERD_EVENT $CLUSTERD_APP >>{dir}/env\n" + TELL)
    box.touch("env")
    d = box.start()
    (pid,) = d.wait_ready(1)
    kill(pid)
    d.wait_replaced([pid], 1)
    do(box, "reload")
    happened = []

    def is_over():
        happened[:] = [json.loads(line) for line in
                       ctl(box, "events", "--json").splitlines()]
        return {"reloaded", "end"} <= {e["event"] for e in happened}
    wait_until(is_over, "the old one's end")
    # Of each kind in its order, but each kind for itself.
    wait_until(lambda: sorted(map(json.dumps, told(box))) ==
               sorted(map(json.dumps, happened)),
               lambda: f"all of {happened}, there are {told(box)}")
    death = next(e for e in told(box) if e["event"] == "death")
    assert death["pid"] == pid and "SIGKILL" in death["text"]
    with open(box.path("env")) as f:
        assert "added web\n" in f.read()
    assert figures(box) == (len(told(box)), 0, 0)
    d.stop()
    # The last ones have their time.
    assert {"stop", "end", "removed"} <= {
        e["event"] for e in told(box)[-4:]}


@pytest.mark.skipif(not IS_ROOT, reason="other users take root")
def test_it_runs_as_nobody(box):
    os.mkdir(box.path("open"))
    os.chmod(box.path("open"), 0o777)
    hook(box, "{ id -un; echo $HOME $USER; cat /dev/stdin; }"
         " >{dir}/open/$CLUSTERD_EVENT\n"
         "echo out >/dev/stdout; echo err >/dev/stderr\n",
         on_event_user="nobody")
    d = box.start()
    d.wait_ready(1)
    d.wait_log("on_event: start: out\n")
    d.wait_log("on_event: start: err\n")
    with open(box.path("open/start")) as f:
        name, home, event = f.read().splitlines()
    nobody = pwd.getpwnam("nobody")
    assert name == "nobody" and home == f"{nobody.pw_dir} nobody"
    assert "event" in json.loads(event)
    d.stop()


def test_one_that_hangs_is_killed_and_dropped_are_counted(box):
    """One at a time of each kind: other kinds go on; with all it has started it is
    killed at its time-out."""
    hook(box, "case $CLUSTERD_EVENT in refused) echo $$ >>{dir}/pids; "
         "sleep 60 & echo $! >>{dir}/pids; wait;; esac\n" + TELL)
    d = box.start()
    d.wait_ready(1)
    began = time.monotonic()
    box.write("app.ini", "[web]\n" + "nonsense" * 20 + " = 1\n")
    # As many as 32 KiB hold, and more.
    for i in range(200):
        refused(box, "reload")
    d.wait_log("on_event: refused: some are dropped")

    def noted():
        if not os.path.exists(box.path("pids")):
            return []
        with open(box.path("pids")) as f:
            return [int(line) for line in f if line.endswith("\n")]
    wait_until(lambda: len(noted()) >= 2, "the first one, and its child")
    pids = noted()
    # By now the first ones may have been killed, on a busy machine.
    runs, failures, dropped = figures(box)
    assert dropped > 0
    assert len(pids) <= 2 * (failures + 1), "one at a time"
    wait_until(lambda: "ready" in [e["event"] for e in told(box)], "others go on")
    d.wait_log("on_event: refused: killed, it had not ended after 10 s",
               limit=20)
    assert time.monotonic() - began > 9
    wait_until(lambda: not any(map(is_alive, pids[:2])), "their death")
    assert figures(box)[1] >= 1
    assert f"clusterd_on_event_dropped_total {dropped}\n" in \
        ctl(box, "metrics")
    began = time.monotonic()
    d.stop()
    assert time.monotonic() - began < 8 * SLOW
    assert d.find(r"on_event: refused: \d+ were dropped")
    assert d.find("on_event: refused: killed, clusterd ends")


def test_what_goes_wrong_is_logged(box):
    hook(box, "cat >/dev/null; case $CLUSTERD_EVENT in\n"
         "added) exit 3;;\n"
         "start) i=0; while [ $i -lt 400 ]; do echo line $i of the output;"
         " i=$((i + 1)); done;;\n"
         "ready) printf '\\033[31mred';;\n"
         "esac\n")
    d = box.start()
    (pid,) = d.wait_ready(1)
    d.wait_log("on_event: added: exited with code 3")
    d.wait_log("on_event: start: line 0 of the output")
    d.wait_log(r"on_event: ready: \?\[31mred\n")
    # At most 20 of a kind a second, and 4 KiB of each.
    assert not d.find("line 399 of the output")
    box.config(clusterd={"on_event": "./is-not-there", **ME},
               web={"command": probe(), "listen": "127.0.0.1:0",
                    "instances": 1})
    do(box, "reload")
    d.wait_log("on_event: applied: cannot execute .*/is-not-there: No such")
    wait_until(lambda: figures(box)[1] >= 2, "both are counted")
    box.web(instances=1)
    do(box, "reload")
    mark = d.mark()
    kill(d.ready_pids()[0])
    d.wait_ready(1)
    assert not d.find("on_event", start=mark)
    assert "on_event_runs" not in status(box).one("clusterd")
    assert is_alive(d.pid) and pid
    d.stop()


@pytest.mark.skipif(not HAS_KEEPER, reason="nobody comes after a supervisor")
def test_none_outlives_its_supervisor_for_long(box):
    """Its own process is killed with it, and what that has started is stopped by
    the next one, which runs commands as before."""
    hook(box, "case $CLUSTERD_EVENT in added) sleep 61 & "
         "echo $! >{dir}/child; echo $$ >{dir}/pid; wait;; esac\n" + TELL)
    d = box.start()
    (pid,) = d.wait_ready(1)
    wait_until(lambda: os.path.exists(box.path("pid")) and
               os.path.getsize(box.path("pid")), "the command")
    with open(box.path("pid")) as f, open(box.path("child")) as g:
        command, child = int(f.read()), int(g.read())
    kill(d.find_supervisor())
    wait_until(lambda: not is_alive(command), "its death")
    wait_until(lambda: status(box).pids() == [pid], "the next one")
    d.wait_log(rf"stopping pid {child} \(sleep\)")
    before = len(told(box))
    kill(pid)
    wait_until(lambda: "death" in [e["event"] for e in told(box)[before:]],
               "an event of the next one's")
    wait_until(lambda: not is_alive(child), "its death")
    d.stop()


def test_what_it_leaves_is_stopped(box):
    hook(box, "case $CLUSTERD_EVENT in added) "
         "(setsid sleep 62 >/dev/null 2>&1 & echo $! >{dir}/left);; esac\n")
    d = box.start()
    (pid,) = d.wait_ready(1)
    wait_until(lambda: os.path.exists(box.path("left")) and
               os.path.getsize(box.path("left")), "what it leaves")
    with open(box.path("left")) as f:
        left = int(f.read())
    kill(pid)
    wait_until(lambda: not is_alive(left), "its end")
    d.stop()


def test_a_second_signal_gives_the_last_ones_no_time(box):
    hook(box, "case $CLUSTERD_EVENT in end) : >{dir}/flag; sleep 63;; esac\n")
    d = box.start()
    d.wait_ready(1)
    d.send(signal.SIGTERM)
    wait_until(lambda: os.path.exists(box.path("flag")), "the last event")
    d.send(signal.SIGTERM)
    killed = d.wait_log(rf"({words.TIME}).*on_event: end: killed, clusterd ends")
    # They would have had 2 seconds, which may be over before it is heard.
    for again in d.find(rf"({words.TIME}).*SIGTERM again"):
        assert words.when(killed[1]) - words.when(again[1]) < 1.5
    assert d.wait() == 0
    # Killed, but not awaited.
    wait_until(lambda: not marked_processes(box.mark), "nobody is left")
