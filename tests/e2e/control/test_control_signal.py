"""The control socket: signals for workers."""

import signal

from control import client, do, refused, status, two_apps, wait_status
from harness import is_alive, probe, wait_until


def test_signal_for_an_app_and_for_an_instance(box):
    box.web("--ignore-term", instances=3, stop_timeout="200ms")
    d = box.start()
    d.wait_ready(3)
    assert do(box, "signal web USR1").text == "SIGUSR1 sent to 3 processes"
    box.wait_events("signal 10", 3)
    assert do(box, "signal web:1 SIGUSR2").text == "SIGUSR2 sent to 1 process"
    box.wait_events("signal 12", 1)
    assert (len(box.events("signal 10")), len(box.events("signal 12"))) == \
        (3, 1)
    pids = status(box).pids()
    # One that dies of it comes back, as after any death.
    assert do(box, "signal web.2 KILL").ok
    now = wait_status(box, lambda s: s.seat(2).get("pid") not in
                      (None, pids[2]) and s.seat(2)["state"] == "ready")
    assert now.seat(2)["restarts_signal"] == 1
    assert now.pids()[:2] == pids[:2]
    d.stop()


def test_signal_for_nobody(box):
    two_apps(box, command="/bin/sh -c 'exit 1'", restart="never")
    d = box.start()
    wait_status(box, lambda s: s.app()["state"] == "failed")
    assert refused(box, "signal web TERM") == "web has no process"
    assert refused(box, "signal web:1 TERM") == "web[1] has no process"
    assert refused(box, "signal other:2 TERM", "unknown") == \
        "other has instances 0 to 1"
    assert "did you mean other?" in refused(box, "signal othr 1", "unknown")
    do(box, "stop other")
    assert refused(box, "signal other HUP") == "other is stopped"
    assert "is not a signal" in refused(box, "signal web FOO", "usage")
    d.stop()


def test_those_that_start_are_left_out_unless_named(box):
    """They may have no handler yet."""
    box.config(web={
        "command": "/bin/sh -c 'test $CLUSTERD_INSTANCE -gt 0 && exec " +
                   probe("--ready", "file:" + box.path("go")) + "; exec " +
                   probe("--events", box.events_path, "--ready", "now") +
                   "'",
        "instances": 3, "ready": "notify", "ready_timeout": "60s"})
    d = box.start()
    wait_status(box, lambda s: [r["state"] for r in s.seats()] ==
                ["ready", "starting", "starting"])
    pids = status(box).pids()
    assert do(box, "signal web USR1").text == \
        "SIGUSR1 sent to 1 process, and not to 2 that start"
    box.wait_events("signal 10", 1)
    assert is_alive(pids[1]) and is_alive(pids[2])
    assert do(box, "signal web:1 USR1").text == "SIGUSR1 sent to 1 process"
    wait_until(lambda: not is_alive(pids[1]), "its end")
    assert is_alive(pids[2])
    d.stop()


def test_signal_where_all_start(box):
    box.web("--ready", f"file:{box.path('go')}", ready="notify",
            instances=2, ready_timeout="60s")
    d = box.start()
    wait_status(box, lambda s: [r["state"] for r in s.seats()] ==
                ["starting"] * 2)
    assert "are starting" in refused(box, "signal web USR1")
    box.touch("go")
    d.wait_ready(2)
    d.stop()


def test_those_that_retire_get_it_too(box):
    box.web("--term-delay", "60000", instances=1, balance="shared",
            stop_timeout="60s")
    d = box.start()
    old, = d.wait_ready(1)
    with client(box) as c:
        c.send("restart web")
        wait_status(box, lambda s: s.all("instance", role="retiring") and
                    s.seat()["state"] == "ready")
        new, = status(box).pids()
        assert do(box, "signal web:0 KILL").text == \
            "SIGKILL sent to 2 processes"
        assert c.answer().ok
    wait_until(lambda: not is_alive(old) and not is_alive(new), "their end")
    wait_status(box, lambda s: s.seat()["state"] == "ready" and
                s.seat()["pid"] != new)
    d.send(signal.SIGTERM)
    wait_status(box, lambda s: s.one("clusterd")["state"] == "stopping")
    # Who is asked to end may be told more.
    assert do(box, "signal web KILL").ok
    d.wait_end(0)
