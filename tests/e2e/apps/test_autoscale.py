"""instances = 1..3: one more when connections wait or workers are busy, one less
when they are idle."""

import json
import re
import signal
import sys

import pytest

import lanes
from control import Record, client, do, refused, status
from harness import (IS_ROOT, ask, finish_all, kill, probe, read_answer, stays,
                     wait_until)

SOON = {"scale_up_after": "200ms", "scale_down_after": "500ms"}


def next_scale(c):
    c.greet()
    while True:
        event = Record(c.line())
        if event.get("event") == "scale":
            return event


def ctl(box, *arguments):
    done = box.ctl("-c", "app.ini", *arguments,
                   env={"RUNTIME_DIRECTORY": box.dir})
    assert done.returncode == 0, done.stderr
    return done.stdout


def keep_busy(box, d, ms):
    """The one worker, while another client waits."""
    first = ask(d.port(), f"/busy/{ms}", 60)
    box.wait_events("busy")
    return [first, ask(d.port(), limit=60)]


def wanted(box):
    return status(box).app()["wanted"]


def test_more_when_connections_wait_and_fewer_when_idle(box):
    # Where nobody counts, it goes on to grow: somebody waits for the first one still.
    lanes.needs("least-connections")
    box.web(instances="1..3", scale_up_after="200ms")
    d = box.start()
    old = d.wait_ready(1)
    with client(box) as events:
        events.send("watch web")
        clients = keep_busy(box, d, 3000)
        up = next_scale(events)
        assert up["wanted"] == 2
        assert re.match(r"connections waited for \d+\.\ds$", up["text"])
        d.wait_log(r"web: scaling to 2 instances: connections waited for ")
        d.wait_ready(2)
        now = status(box).app()
        assert (now["wanted"], now["least"], now["most"]) == (2, 1, 3)
        assert (now["scalings_waiting"], now["scalings_idle"]) == (1, 0)
        assert "web running, 2/2 of 1..3 ready" in ctl(box, "status")
        for s in clients:
            assert read_answer(s).instance == 0
        box.web(instances="1..3", scale_up_after="1h")
        do(box, "update")
        assert d.pids_that_answer(d.port(), 2) == set(d.ready_pids())
        box.web(instances="1..3", scale_up_after="1h",
                scale_down_after="200ms")
        do(box, "update")
        down = next_scale(events)
        assert down["wanted"] == 1
        assert down["text"].startswith("workers were idle for ")
    d.wait_workers(1)
    assert d.ready_pids() == old
    found = json.loads(ctl(box, "status", "--json"))["apps"][0]
    assert (found["scalings_waiting"], found["scalings_busy"],
            found["scalings_idle"]) == (1, 0, 1)
    metrics = ctl(box, "metrics")
    assert 'autoscale_total{app="web",reason="waiting"} 1\n' in metrics
    assert 'clusterd_app_max_instances{app="web"} 3\n' in metrics
    d.stop()


@pytest.mark.skipif(not IS_ROOT, reason="needs root, to go before others")
def test_more_when_busy(box):
    """Of all processes of a worker."""
    # Two of them have 80% of one CPU also where others want all there are, who get
    # some of it still; with autogroups, whole sessions are weighed against each other.
    spins = box.write("spins", f"#!{sys.executable} -S\n"
                      "import os, time\n"
                      "if os.environ['CLUSTERD_INSTANCE'] != '0':\n"
                      "    time.sleep(1000)\n"
                      "try:\n"
                      "    os.setpriority(os.PRIO_PROCESS, 0, -10)\n"
                      "    open('/proc/self/autogroup', 'w').write('-10')\n"
                      "except OSError:\n"
                      "    pass\n"
                      "for _ in range(2):\n"
                      "    if os.fork() == 0:\n"
                      "        while True:\n"
                      "            pass\n"
                      "os.wait()\n", mode=0o755)
    box.config(web={"command": spins, "instances": "1..2",
                    "scale_up_after": "0s", "ready": "alive:100ms",
                    "stop_to": "group"})
    d = box.start()
    d.wait_log("scaling to 2 instances: workers were busy for", limit=30)
    d.stop()


def test_scale_by_hand_within_the_range(box):
    box.web(instances="2..4", scale_down_after="60s")
    d = box.start()
    d.wait_ready(2)
    for request in ("1", "5", "-1", "+3"):
        assert refused(box, f"scale web {request}") == \
            "web has 2 instances, and its range is 2..4"
    do(box, "scale web 4")
    d.send_and_wait(signal.SIGTTIN)
    d.wait_log("stays at 4 instances")
    assert wanted(box) == 4
    # What was said holds until it is idle for long enough.
    stays(lambda: wanted(box) == 4, "it stays", 1.2)
    box.web(instances="2..4", scale_down_after="200ms")
    do(box, "update")
    d.wait_log("scaling to 2 instances: workers were idle", limit=20)
    d.wait_workers(2)
    d.stop()


def test_other_range_is_put_in_force(box):
    box.web(instances="2..4", canary="0")
    d = box.start()
    old = d.wait_ready(2)
    do(box, "scale web 4")
    for instances, then in (("1..8", 4), ("2..3", 3), ("2", 2), ("1..8", 2),
                            ("3..8", 3)):
        box.web(instances=instances)
        do(box, "update")
        wait_until(lambda: len(d.ready_pids()) == then, f"{then} of them")
        assert wanted(box) == then
        assert set(old) <= set(d.ready_pids())
    box.web(instances="1..8", env="A=1", canary="0")
    do(box, "reload")
    assert wanted(box) == 3
    wait_until(lambda: not set(old) & set(d.ready_pids()), "the old ones have gone")
    box.web(instances="5..8", env="A=2", canary="0")
    do(box, "reload")
    assert wanted(box) == 5
    # Aborted: as before.
    box.web("--exit-after", "1", instances="1..2", env="A=3")
    refused(box, "reload")
    wait_until(lambda: len(d.ready_pids()) == 5, "5 of them")
    d.stop()


def test_supervisor_that_is_killed(box):
    box.web(instances="1..4")
    d = box.start()
    d.wait_ready(1)
    do(box, "scale web 3")
    old = d.ready_pids()
    kill(d.find_supervisor())
    d.wait_log(r"supervisor pid \d+: killed")
    wait_until(lambda: status(box).app()["ready"] == 3, "they are back")
    assert set(d.ready_pids()) == set(old)
    assert wanted(box) == 3
    box.web(instances="1..4", scale_down_after="200ms")
    do(box, "update")
    d.wait_log("scaling to 1 instance: workers were idle", limit=20)
    d.stop()


def test_crash_is_no_load(box):
    """Who waits, waits for the restart."""
    box.web(instances="1..3", restart_delay="2500ms", restart_reset="1h",
            scale_up_after="1s")
    d = box.start()
    pid, = d.wait_ready(1)
    kill(pid)
    d.wait_log("restarting in ")
    s = ask(d.port())
    assert read_answer(s).pid != pid
    assert "scaling" not in d.log()
    d.stop()


def test_one_more_that_fails_is_given_up(box):
    script = box.write("server", "#!/bin/sh\n"
                       "[ $CLUSTERD_INSTANCE -ge 1 ] && exit 4\n"
                       f"exec {probe()} \"$@\"\n", mode=0o755)
    box.web(command=f"{script} --events {box.events_path}",
            instances="1..3", restart_delay="100ms", **SOON)
    d = box.start()
    old = d.wait_ready(1)
    clients = keep_busy(box, d, 4000)
    d.wait_log("scaling to 2 instances: connections waited")
    d.wait_log("scaling to 1 instance: workers were idle", limit=20)
    assert "to 3" not in d.log()
    finish_all(clients, 10)
    assert d.ready_pids() == old
    d.stop()


@pytest.mark.parametrize("balance", ["shared", "random"])
def test_without_counts(box, balance):
    """Of one queue for all, and of lanes of which nobody counts."""
    box.web(instances="1..2", balance=balance, scale_up_after="200ms")
    d = box.start()
    d.wait_ready(1)
    clients = keep_busy(box, d, 4000)
    d.wait_log("scaling to 2 instances: connections waited")
    finish_all(clients, 10)
    d.stop()
