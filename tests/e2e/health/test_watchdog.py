"""Who says itself that it is well (`health = watchdog`), and who asks for more
time (EXTEND_TIMEOUT_USEC)."""

import json
import os
import re
import shlex
import signal

import control
from harness import SLOW, free_port, get, probe, stays, wait_until
from programs import PYTHON
from supervisors import Supervisor
from test_health import (SILENCE, all_known, forget, instances_of, mood,
                         moody, pid_of, wait_known)


def ms(value):
    return f"{int(value * SLOW)}ms"


def watched(box, instances=2, **keys):
    return moody(box, "watchdog", instances,
                 **{"health_timeout": SILENCE, **keys})


def test_one_that_hangs_is_replaced(box):
    d, port = watched(box)
    all_known(box, 2)
    before = set(d.ready_pids())
    bad = pid_of(box, 1)
    mood(box, f"pid.{bad}", "stuck")
    wait_known(box, d, rf"web\[1\] pid {bad}: unhealthy: no WATCHDOG=1 in \S+; "
               "new connections avoid it", limit=20)
    # It would not answer; one that comes in its place may do so already.
    instances_of(port, 20)
    d.wait_log(rf"web\[1\] pid {bad}: unhealthy: no WATCHDOG=1 in \S+, "
               r"2 times; (killed by|exited)", limit=20)
    wait_until(lambda: control.status(box).app()["state"] == "running",
               "the restart is over")
    after = set(control.status(box).pids())
    assert len(after - before) == 1 and before - after == {bad}
    seat = control.status(box).seat(1)
    assert seat["recycles_unhealthy"] == 1
    assert seat["death"].startswith("unhealthy: no WATCHDOG=1 in ")
    done = box.ctl("-s", control.place(box), "metrics")
    assert 'clusterd_instance_healthy{app="web",worker="1"} 1' in done.stdout
    assert "check_seconds" not in "".join(
        line for line in done.stdout.splitlines() if not line.startswith("#"))
    done = box.ctl("-s", control.place(box), "events", "--json", "web:1")
    kinds = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert "unhealthy" in kinds
    d.stop()


def test_steered_around_and_back(box):
    d, port = watched(box, health_failures=1000)
    all_known(box, 2)
    mood(box, 1, "stuck")
    d.wait_log(r"web\[1\] pid \d+: unhealthy: no WATCHDOG=1", limit=20)
    forget(box, 1)
    wait_known(box, d, r"web\[1\] pid \d+: healthy again", limit=20)
    assert instances_of(port, 40)[1] > 0
    d.stop()


def test_one_that_gives_up_is_replaced_at_once(box):
    """Although it goes on saying WATCHDOG=1."""
    d, port = watched(box, health_failures=1000, health_timeout="1h")
    all_known(box, 2)
    bad = pid_of(box, 1)
    mood(box, f"pid.{bad}", "trigger")
    d.wait_log(rf"web\[1\] pid {bad}: unhealthy: it said WATCHDOG=trigger: it "
               "is replaced", limit=20)
    d.wait_log(rf"web\[1\] pid {bad}: unhealthy: it said WATCHDOG=trigger; "
               "(killed by|exited)", limit=20)
    assert not d.find("healthy again")
    d.stop()


def test_that_it_gave_up_outlives_the_supervisor(box):
    """No other comes where nobody is replaced: it stays, as it is."""
    d, port = watched(box, restart="never", health_timeout="1h")
    all_known(box, 2)
    bad = pid_of(box, 1)
    mood(box, f"pid.{bad}", "trigger")
    wait_known(box, d, "unhealthy: it said WATCHDOG=trigger")
    mark = d.mark()
    os.kill(d.find_supervisor(), signal.SIGKILL)
    d.wait_log("workers of the supervisor before serve on", start=mark)
    wait_until(lambda: control.status(box).seat(1).get("unhealthy") ==
               "it said WATCHDOG=trigger", "it is known", 20)
    assert pid_of(box, 1) == bad
    assert instances_of(port, 20)[1] == 0
    d.stop()


def test_a_time_of_its_own_outlives_the_supervisor(box):
    port = {"a": free_port(), "b": free_port()}
    box.config(**{app: {
        "command": probe(), "listen": f"127.0.0.1:{port[app]}",
        "instances": 1, "health": "watchdog", "health_timeout": ms(300),
        "health_failures": 1000} for app in ("a", "b")})
    d = box.start()
    d.wait_ready(2)
    # Neither ever says it.
    d.wait_log(r"a\[0\] pid \d+: unhealthy: no WATCHDOG=1")
    at = ("127.0.0.1", port["a"])
    dump = get(at, "/dump")
    assert dump.env["WATCHDOG_PID"] == str(dump.pid)
    assert dump.env["WATCHDOG_USEC"] == str(int(300 * SLOW) * 1000)
    get(at, "/notify/WATCHDOG_USEC=3600000000")
    get(at, "/notify/WATCHDOG=1")
    wait_known(box, d, r"a\[0\] pid \d+: healthy again")
    mark = d.mark()
    os.kill(d.find_supervisor(), signal.SIGKILL)
    d.wait_log("workers of the supervisor before serve on", start=mark)
    get(("127.0.0.1", port["b"]), "/notify/WATCHDOG=1")
    d.wait_log(r"b\[0\] pid \d+: unhealthy: no WATCHDOG=1 in \d+ms", start=mark)
    assert not re.search(r"a\[0\] pid \d+: unhealthy", d.log()[mark:])
    get(at, "/notify/WATCHDOG_USEC=9999")
    d.wait_log("WATCHDOG_USEC=9999 is ignored: at least 10000", start=mark)
    d.stop()


def test_another_time_in_the_file_is_for_those_to_come(box):
    """A worker goes on saying it as often as it was told to."""
    d, port = watched(box, instances=1, health_timeout="1h")
    all_known(box, 1)
    text = open(box.path("app.ini")).read()
    assert "health_timeout = 1h" in text
    box.write("app.ini", text.replace("health_timeout = 1h",
                                      "health_timeout = 10ms"))
    done = box.ctl("-s", control.place(box), "update", limit=30)
    assert done.returncode == 0, done.stderr
    pid = pid_of(box, 0)
    stays(lambda: not d.find("unhealthy"), "it is as well as before")
    assert pid_of(box, 0) == pid
    d.stop()


def test_ready_with_its_first_word(box):
    d, port = watched(box, ready="health", instances=1)
    d.wait_log(r"web\[0\] pid \d+: ready after \S+ \(it is healthy\)", limit=20)
    all_known(box, 1)
    d.stop()


def test_a_reload_waits_for_its_word(box):
    """A new worker that never says it does not take the place."""
    d, port = watched(box, instances=1)
    all_known(box, 1)
    pids = set(control.status(box).pids())
    for pid in pids:
        mood(box, f"pid.{pid}", "well")
    mood(box, None, "stuck")
    done = box.ctl("-s", control.place(box), "reload", limit=30)
    assert done.returncode == 1
    assert "is unhealthy: no WATCHDOG=1 in" in done.stderr
    assert set(control.status(box).pids()) == pids
    forget(box, None)
    done = box.ctl("-s", control.place(box), "reload", limit=30)
    assert done.returncode == 0, done.stderr
    d.stop()


# --- more time

SLOW_ONE = """
import os, signal, socket, sys, time

def say(text):
    s.send(text.encode())

def work(periods):
    for _ in range(periods):
        say(f"EXTEND_TIMEOUT_USEC={TIME}")
        time.sleep(TIME / 2e6)

def stop(signo, frame):
    work(int(sys.argv[3]))
    os._exit(7)

s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1))
TIME = int(sys.argv[1])
signal.signal(signal.SIGTERM, stop)
work(int(sys.argv[2]))
if sys.argv[4:] != ["stall"]:
    say("READY=1")
while True:
    signal.pause()
"""


def slow(box, *arguments, env=None, **keys):
    script = box.write("slow.py", SLOW_ONE)
    time_us = int(1500 * SLOW) * 1000
    box.config(web={
        "command": shlex.join([PYTHON, "-S", "-E", script, str(time_us),
                               *(str(a) for a in arguments)]),
        "instances": 1, "ready": "notify", "ready_timeout": ms(1500),
        "stop_timeout": ms(800),
        **keys})
    return box.start(env=env)


def test_a_start_and_a_stop_may_take_longer(box):
    """… and whoever waits for clusterd hears of it."""
    with Supervisor(box.path("above")) as above:
        d = slow(box, 3, 2, env={"NOTIFY_SOCKET": box.path("above")})
        d.wait_ready(1, limit=20)
        took = re.search(r"ready after ([\d.]+)(m?s)", d.log())
        assert float(took[1]) * (1 if took[2] == "s" else 0.001) > 1.5 * SLOW
        # What is left behind has 10 s more.
        more = f"EXTEND_TIMEOUT_USEC={(int(1500 * SLOW) + 10000) * 1000}"
        above.wait(more)
        above.wait("READY=1")
        so_far = len(above.look())
        d.send(signal.SIGTERM)
        d.wait_log(r"web\[0\] pid \d+: exited with code 7", limit=20)
        above.wait(more, start=so_far)
        assert not d.find("killing it")
        d.wait()


def test_who_stops_asking_is_killed_all_the_same(box):
    d = slow(box, 2, 0, "stall", restart="never")
    d.wait_log(r"web\[0\] pid \d+: killing it: not ready within ready_timeout",
               limit=20)
    d.wait()


def test_no_time(box):
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}", instances=1)
    d = box.start()
    d.wait_ready(1)
    get(("127.0.0.1", port), "/notify/EXTEND_TIMEOUT_USEC=soon")
    d.wait_log("ignoring a notify message: its time is no number of "
               "microseconds")
    d.stop()
