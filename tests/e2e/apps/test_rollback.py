"""Reloads that fail late, are superseded, or cannot even be undone."""

import os
import signal

import pytest

import words
from harness import (free_port, get, is_alive, is_refused, probe, stays,
                     wait_until)

ROLLED_BACK = r"web: rolled back to generation 1\b"
WAY_BACK_1 = r"web: the way back failed too, at instance 1\n"
WAY_BACK_FAILED = r"web: the way back failed too, at instance 0\b"

# Ready after 150 ms and dead after 250 ms: four such workers are never there
# at the same time, so that no reload to them can be complete.
FADES = ["--ready", 150, "--exit-after", 250, "--exit-code", 3]

# What comes after the trial is what is at stake here.
SETTINGS = {"ready": "notify", "ready_timeout": "60s", "instances": 3,
            "restart_delay": "10ms", "stop_timeout": "5s", "canary": "0"}


def hup(d):
    start = d.mark()
    d.send(signal.SIGHUP)
    return start


def worker_of(box, generation, instance):
    """Waits for the start of that seat's (latest) worker."""
    def look():
        return [e["pid"] for e in box.events("start")
                if e["generation"] == str(generation)
                and e["instance"] == str(instance)]
    return wait_until(look, lambda: f"a start of instance {instance}, "
                      f"generation {generation}, in {box.events()}")[-1]


def seats(d, address, count):
    """Instance → generation, of `count` workers that answer."""
    found = {}

    def ask():
        answer = get(address, "/busy/5")
        found[answer.instance] = answer.generation
        return len(found) >= count
    wait_until(ask, lambda: f"{count} instances, only {found} answered:\n"
               f"{d.log()}")
    return found


def wait_seats(d, wanted):
    wait_until(lambda: seats(d, d.port(), len(wanted)) == wanted,
               lambda: f"{wanted} in:\n{d.log()}")
    d.wait_workers(len(wanted))


def start_half_done_reload(box, *arguments, old=(), **keys):
    """Instance 0 has changed over, the new one of instance 1 is not ready."""
    settings = {**SETTINGS, **keys}
    box.web("--note", "old", *old, **settings)
    d = box.start()
    d.wait_ready(settings["instances"])
    box.web("--note", "new", *arguments, "--ready", "never",
            "--only-instance", 1, **settings)
    hup(d)
    # it is only started when instance 0 has changed over
    return d, worker_of(box, 2, 1)


@pytest.mark.parametrize("keys", [{}, {"restart_limit": "1/60s"}],
                         ids=["restarted", "parked"])
def test_workers_that_fade_after_they_were_ready_are_rolled_back(box, keys):
    settings = {**SETTINGS, "instances": 4, **keys}
    box.web("--note", "old", **settings)
    d = box.start()
    d.wait_ready(4)
    box.web("--note", "new", *FADES, **settings)
    start = hup(d)
    why = d.wait_log(words.RELOAD_ABORTED("web"), start=start)["why"]
    assert "became ready and then died" in why
    d.wait_log(ROLLED_BACK, start=start)
    wait_seats(d, {0: 1, 1: 1, 2: 1, 3: 1})
    assert get(d.port(), "/dump").all("arg")[-1] == "old"
    assert not d.find(words.RELOAD_DONE())
    # and a good version is taken
    box.web("--note", "newer", **settings)
    hup(d)
    d.wait_log(words.RELOAD_DONE("web", 3))
    wait_seats(d, {0: 3, 1: 3, 2: 3, 3: 3})
    d.stop()


def test_seat_that_dies_twice_after_it_changed_over_aborts(box):
    d, waits = start_half_done_reload(box)
    first = worker_of(box, 2, 0)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: worker_of(box, 2, 0) != first, "it is restarted")
    wait_until(lambda: worker_of(box, 2, 0) in d.ready_pids(), "it is ready")
    # One death may be anybody's fault.
    assert not d.find(words.RELOAD_ABORTED())
    assert is_alive(waits)
    os.kill(worker_of(box, 2, 0), signal.SIGKILL)
    d.wait_log(words.RELOAD_ABORTED("web"))
    d.wait_log(ROLLED_BACK)
    wait_seats(d, {0: 1, 1: 1, 2: 1})
    # those that had not changed over are what they were
    starts = [e["instance"] for e in box.events("start")
              if e["generation"] == "1"]
    assert sorted(starts) == ["0", "0", "1", "2"]
    d.stop()


@pytest.mark.valgrind
def test_failed_reload_goes_on_to_what_it_superseded(box):
    """Instance 0 serves under that one: it is as good as any."""
    box.web("--note", "old", **SETTINGS)
    d = box.start()
    d.wait_ready(3)
    go = box.path("go")
    box.web("--note", "new", "--ready", f"file:{go}", "--only-instance", 1,
            **SETTINGS)
    hup(d)
    worker_of(box, 2, 1)
    box.web("--note", "newest", "--exit-after", 0, "--exit-code", 3,
            **SETTINGS)
    start = hup(d)
    d.wait_log("supersedes", start=start)
    d.wait_log(words.RELOAD_ABORTED("web"), start=start)
    d.wait_log("going on to generation 2, which serves", start=start)
    box.touch("go")
    d.wait_log(r"web: rolled back to generation 2\b", start=start)
    wait_seats(d, {0: 2, 1: 2, 2: 2})
    assert not d.find(words.RELOAD_DONE())
    # it is in force, so that the next one comes back to it
    start = hup(d)
    d.wait_log(words.RELOAD_ABORTED("web"), start=start)
    wait_seats(d, {0: 2, 1: 2, 2: 2})
    d.stop()


def test_failed_reload_goes_back_further_if_what_it_superseded_fails(box):
    d, _ = start_half_done_reload(box, ready_timeout="2s")
    box.web("--note", "newest", "--exit-after", 0, "--exit-code", 3,
            **SETTINGS)
    start = hup(d)
    d.wait_log(words.RELOAD_ABORTED("web"), start=start)
    d.wait_log("going on to generation 2, which serves", start=start)
    d.wait_log(WAY_BACK_1, start=start)
    d.wait_log(ROLLED_BACK, start=start)
    wait_seats(d, {0: 1, 1: 1, 2: 1})
    assert not d.find(words.RELOAD_DONE())
    d.stop()


@pytest.mark.valgrind
def test_what_serves_goes_on_when_all_that_was_stable_had_ended(box):
    """A reload of a parked app is half done, superseded, and fails."""
    port = free_port()

    def configure(*arguments):
        events = ["--events", box.events_path]
        box.config(keep={"command": probe(), "instances": 1,
                         "restart": "never"},
                   web={**SETTINGS, "instances": 2, "restart": "never",
                        "listen": f"127.0.0.1:{port}",
                        "command": probe(*events, *arguments)})
    configure("--exit-after", 0, "--exit-code", 3)
    d = box.start()
    d.wait_ready(1, app="keep")
    wait_until(lambda: is_refused(port), "the ended app refuses")
    configure("--ready", "never", "--only-instance", 1)
    hup(d)
    worker_of(box, 2, 1)
    assert get(port).generation == 2
    configure("--exit-after", 0, "--exit-code", 3)
    start = hup(d)
    d.wait_log(words.RELOAD_ABORTED("web"), start=start)
    serves = get(port).pid
    assert serves == worker_of(box, 2, 0)
    # the other app is the one with nothing left, and clusterd is not over
    wait_until(lambda: d.find(r"keep: reload complete, generation 3"),
               "the other app's reload")
    keep, = d.wait_ready(1, app="keep")
    os.kill(keep, signal.SIGKILL)
    d.wait_log(words.DEATH("keep", how=words.KILLED_9))
    stays(lambda: d.process.poll() is None and get(port).pid == serves,
          "it goes on to serve", 0.2)
    configure()
    hup(d)
    d.wait_log(words.RELOAD_DONE("web"))
    d.wait_ready(2, app="web")
    d.stop()


@pytest.mark.valgrind
def test_way_back_that_fails_too_leaves_the_instances_as_they_are(box):
    d, waits = start_half_done_reload(
        box, old=["--fail-if-file", box.path("broken")])
    box.touch("broken")
    os.kill(waits, signal.SIGKILL)
    d.wait_log(words.RELOAD_ABORTED("web"))
    d.wait_log(WAY_BACK_FAILED)
    wait_seats(d, {0: 2, 1: 1, 2: 1})
    assert not d.find(ROLLED_BACK)
    # and a version that works is taken
    box.web("--note", "newer", **SETTINGS)
    hup(d)
    d.wait_log(words.RELOAD_DONE("web", 3))
    wait_seats(d, {0: 3, 1: 3, 2: 3})
    d.stop()


def test_way_back_that_failed_does_not_hinder_the_stop(box):
    d, waits = start_half_done_reload(
        box, old=["--fail-if-file", box.path("broken")])
    box.touch("broken")
    os.kill(waits, signal.SIGKILL)
    d.wait_log(WAY_BACK_FAILED)
    d.stop()


def test_seat_that_was_crash_looping_does_not_hinder_the_way_back(box):
    # A configuration under which instance 2 crashes once `broken` is there.
    old = ["--fail-if-file", box.path("broken"), "--only-instance", 2]
    settings = {**SETTINGS, "restart_delay": "50ms",
                "restart_delay_max": "100ms"}
    box.web(*old, **settings)
    d = box.start()
    d.wait_ready(3)
    box.touch("broken")
    os.kill(worker_of(box, 1, 2), signal.SIGKILL)
    d.wait_log(words.DEATH("web", 2, how=words.EXITED(1)), count=2)
    # Of the new ones only instance 0 gets ready.
    usual = probe("--events", box.events_path)
    never = probe("--events", box.events_path, "--ready", "never")
    script = box.write("new.sh", "case $CLUSTERD_INSTANCE in\n"
                       f"0) exec {usual};;\n*) exec {never};;\nesac\n")
    box.web(command=f"sh {script}", **settings)
    hup(d)
    os.kill(worker_of(box, 2, 1), signal.SIGKILL)
    d.wait_log(words.RELOAD_ABORTED("web"))
    d.wait_log(ROLLED_BACK)
    assert not d.find("way back failed")
    assert seats(d, d.port(), 2) == {0: 1, 1: 1}
    # it is still cared for
    os.unlink(box.path("broken"))
    wait_seats(d, {0: 1, 1: 1, 2: 1})
    d.stop()
