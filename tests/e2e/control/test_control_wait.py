"""The control socket: who waits for apps, and the end of clusterd."""

import os
import signal

import pytest

import control
import words
from control import client, do, refused, status, two_apps, wait_status
from harness import ask as ask_http, probe, read_answer


# --- wait

def test_wait_ends_when_every_instance_is_ready(box):
    box.web("--ready", f"file:{box.path('go')}", ready="notify")
    d = box.start()
    with client(box) as c:
        c.send("wait")
        box.wait_events("start", 2)
        now = status(box)
        assert now.one("clusterd")["state"] == "starting"
        assert {r["state"] for r in now.seats()} == {"starting"}
        box.touch("go")
        answer = c.answer()
        assert answer.ok
        assert [r["instance"] for r in answer.progress
                if r.get("state") == "ready"]
    assert status(box).one("clusterd")["state"] == "running"
    d.stop()


def test_wait_bears_crashes_that_come_to_an_end(box):
    flag = box.touch("flag")
    box.web("--fail-if-file", flag, restart_delay="20ms",
            restart_delay_max="50ms")
    d = box.start()
    with client(box) as c:
        c.send("wait")
        d.wait_log(words.DEATH("web", 0), count=3)
        os.unlink(flag)
        answer = c.answer()
        assert answer.ok
        assert any("exited with code 1" in note for note in answer.notes)
    d.stop()


def test_wait_fails_by_an_app_that_has_failed_and_ignores_stopped_ones(box):
    two_apps(box, command="/bin/sh -c 'exit 1'", restart="never")
    d = box.start()
    with client(box) as c:
        c.send("wait")
        answer = c.answer()
        assert answer.why == "failed" and "web" in answer.text
    assert "web" in refused(box, "wait")
    do(box, "stop web")
    assert do(box, "wait").text == "ready (web is stopped)"
    do(box, "stop other")
    assert do(box, "wait").text in ("ready (web, other are stopped)",
                                    "ready (other, web are stopped)")
    d.stop()


def test_wait_for_one_app(box):
    two_apps(box, command="/bin/sh -c 'exit 1'", restart="never")
    d = box.start()
    assert do(box, "wait other").text == "ready"
    assert "web" in refused(box, "wait web")
    assert "is stopped" in (do(box, "stop other"),
                            refused(box, "wait other"))[1]
    assert "there is no app" in refused(box, "wait othr", "unknown")
    d.stop()


def test_wait_for_so_many_instances(box):
    """One that will never be ready is no matter where others are enough."""
    box.config(web={
        "command": "/bin/sh -c 'test $CLUSTERD_INSTANCE -gt 0 || exit 1; "
                   f"exec {probe('--ready', 'file:' + box.path('go'))}'",
        "instances": 3, "restart": "never", "ready": "notify"})
    d = box.start()
    with client(box) as c, client(box) as all_of_them:
        c.send("wait web min=2")
        all_of_them.send("wait min=3")
        assert "not restarted any more" in all_of_them.answer().text
        wait_status(box, lambda s: [r["state"] for r in s.seats()] ==
                    ["failed", "starting", "starting"])
        box.touch("go")
        assert c.answer().text == "ready"
    # And of an app that has fewer, all are asked for.
    assert "not restarted any more" in refused(box, "wait min=9")
    d.stop()


def test_wait_for_so_many_passes_over_a_reload(box):
    box.web(instances=2)
    d = box.start()
    d.wait_ready(2)
    box.web("--ready", f"file:{box.path('go')}", ready="notify", instances=2)
    with client(box) as c:
        c.send("reload")
        wait_status(box, lambda s: "target" in s.app())
        assert do(box, "wait min=1").text == "ready"
        # All are up, though the rollout goes on; more than all is all.
        assert do(box, "wait min=2").text == "ready"
        assert do(box, "wait web min=9").text == "ready"
        box.touch("go")
        assert c.answer().ok
    d.stop()


# --- the end

@pytest.mark.valgrind
def test_stop_ends_clusterd_and_answers_when_all_is_gone(box):
    box.web(balance="shared")
    d = box.start()
    d.wait_ready(2)
    path = control.place(box)
    with client(box) as c, client(box) as other, client(box) as idle:
        idle.greet()
        other.send("wait", "reload")
        assert other.answer().ok
        other.answer()
        pids = status(box).pids()
        # One has something to finish until then.
        busy = ask_http(d.port(), f"/until{box.path('go')}")
        box.wait_events("until")
        c.send("stop")
        wait_status(box, lambda s: s.one("clusterd")["state"] == "stopping")
        # Once more is the same, not a second TERM; and the rest is refused.
        with client(box) as again:
            again.send("stop")
            assert "stopping" in refused(box, "reload")
            assert "stopping" in refused(box, "wait")
            assert d.workers()
            box.touch("go")
            assert read_answer(busy).pid in pids
            assert again.answer().text == "stopped"
        answer = c.answer()
        assert answer.text == "stopped"
        # A sanitizer may have a child of its own by now.
        assert len(pids) == 2 and not set(pids) & set(d.workers())
        assert c.line() is None and idle.line() is None
    d.wait_end(0)
    assert not os.path.exists(path)
    assert len(box.events("signal 15")) == 4


def test_who_waits_is_told_when_clusterd_stops(box):
    box.web("--ready", "never", ready="notify")
    d = box.start()
    with client(box) as waits:
        waits.send("wait")
        waits.greet()
        box.wait_events("start", 2)
        d.send(signal.SIGTERM)
        assert "stopping" in waits.answer().text
    d.wait_end(0)


def test_stop_while_an_app_has_failed(box):
    two_apps(box, command="/bin/sh -c 'exit 1'", restart="never")
    d = box.start()
    wait_status(box, lambda s: s.app()["state"] == "failed")
    assert do(box, "stop").text == "stopped"
    d.wait()


def test_wait_names_each_app_that_will_not_be_ready(box):
    box.config(web={"command": probe(), "listen": "127.0.0.1:0"},
               **{name: {"command": f"/bin/sh -c 'exit {code}'",
                         "instances": 1, "restart": "never"}
                  for name, code in (("one", 3), ("two", 4))})
    d = box.start()
    wait_status(box, lambda s: [s.one("app", name=name)["state"]
                                for name in ("one", "two")] == ["failed"] * 2)
    text = refused(box, "wait")
    assert text == ("2 apps have failed: every instance of one has ended, at "
                    "least one of them badly | every instance of two has "
                    "ended, at least one of them badly")
    d.stop()
