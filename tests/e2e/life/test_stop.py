"""Stopping: in time, in order, and nobody stays."""

import os
import re
import signal
import threading
import time

import pytest

import words
from harness import (HAS_KEEPER, PROBE, SLOW, free_port, get, is_alive, is_refused,
                     kill, marked_processes, probe, stays, wait_until)


@pytest.mark.parametrize("name", ["TERM", "INT", "QUIT"])
def test_stops_on_signal_and_exits_0(box, name):
    box.web()
    d = box.start()
    pids = d.wait_ready(2)
    address = d.addresses()[0]
    d.stop(getattr(signal, f"SIG{name}"))
    assert not any(is_alive(pid) for pid in pids)
    assert is_refused(address)


def test_all_workers_are_told_at_once(box):
    box.web("--term-delay", 500, instances=6)
    d = box.start()
    d.wait_ready(6)
    d.stop()
    told = [e["at"] for e in box.events("signal 15")]
    assert len(told) == 6
    # One after the other would be 2,500 ms at least.
    assert max(told) - min(told) < 2400


def test_stop_signal_is_the_configured_one(box):
    box.web(stop_signal="USR1")
    d = box.start()
    d.wait_ready(2)
    d.stop()
    assert len(box.events("signal 10")) == 2
    assert box.events("signal 15") == []


def test_worker_that_ignores_the_signal_is_killed_after_stop_timeout(box):
    box.web("--ignore-term", "--only-instance", 1, instances=3,
            stop_timeout="400ms")
    d = box.start()
    pids = d.wait_ready(3)
    asked = time.monotonic()
    d.stop()
    assert time.monotonic() - asked >= 0.38
    # Who had no processor for stop_timeout was killed before it could tell.
    told = {e["pid"] for e in box.events("signal 15")}
    killed = {int(m[1]) for m in d.find(r"pid (\d+): killed by signal 9")}
    assert told | killed == set(pids), d.log()
    assert {e["pid"] for e in box.events("start")
            if e["instance"] == "1"} <= killed, d.log()


@pytest.mark.valgrind
def test_second_signal_kills_at_once(box):
    box.web("--ignore-term", stop_timeout="60s")
    d = box.start()
    d.wait_ready(2)
    d.send(signal.SIGTERM)
    box.wait_events("signal 15", 2)
    asked = time.monotonic()
    d.stop(signal.SIGTERM)
    assert time.monotonic() - asked < 5 * SLOW


def test_int_after_term_kills_too(box):
    box.web("--ignore-term", stop_timeout="60s")
    d = box.start()
    d.wait_ready(2)
    d.send(signal.SIGTERM)
    box.wait_events("signal 15", 2)
    d.stop(signal.SIGINT)


def test_open_requests_are_answered_before_the_end(box):
    box.web()
    d = box.start()
    d.wait_ready(2)
    address = d.addresses()[0]
    answers = []
    threads = [threading.Thread(
        target=lambda: answers.append(get(address, "/slow/500")))
        for _ in range(6)]
    for thread in threads:
        thread.start()
    box.wait_events("slow", 6)
    d.stop()
    for thread in threads:
        thread.join()
    assert len(answers) == 6


def test_stop_does_not_wait_for_the_restart_of_a_dead_worker(box):
    box.web("--exit-after", 0, "--exit-code", 3, restart_delay="60s",
            restart_delay_max="60s")
    d = box.start()
    # No worker is alive either before the first is.
    d.wait_log(words.DEATH("web"), count=2)
    d.stop(limit=5)


@pytest.mark.valgrind
def test_stop_while_workers_are_starting(box):
    box.web("--hang", ready="notify", stop_timeout="10s", instances=4)
    d = box.start()
    box.wait_events("start", 4)
    d.stop(limit=5)


def test_stop_right_after_the_start(box):
    """Whatever is there by then."""
    box.web(instances=20)
    for _ in range(5):
        d = box.start()
        wait_until(lambda: d.children(), "a first child")
        d.stop()


def test_no_worker_is_started_once_the_stop_began(box):
    box.web("--term-delay", 400, restart_reset="1ms", restart_delay="1ms")
    d = box.start()
    d.wait_ready(2)
    d.send(signal.SIGTERM)
    box.wait_events("signal 15", 2)
    d.send(signal.SIGHUP)
    d.send(signal.SIGTTIN)
    for e in box.events("ready"):
        kill(e["pid"])      # where it is still there
    d.wait_end(0)
    assert len(box.events("start")) == 2


def test_failures_of_the_past_do_not_spoil_the_exit_status(box):
    box.web(restart_delay="10ms")
    d = box.start()
    pids = d.wait_ready(2)
    os.kill(pids[0], signal.SIGKILL)
    d.wait_replaced(pids[:1], 2)
    d.stop()


# --- orphans

@pytest.mark.parametrize("how", [["--fork-child"], ["--escape", 0],
                                 ["--fork-child", "--escape", 0]],
                         ids=["in the group", "by setsid", "both"])
def test_descendants_are_gone_after_the_stop(box, how):
    box.web(*how, stop_timeout="300ms")
    d = box.start()
    d.wait_ready(2)
    if "--fork-child" in how:
        box.wait_events("child", 2)
    if "--escape" in how:
        box.wait_events("escaped", 2)
    d.stop()


@pytest.mark.parametrize("how, event", [
    (["--fork-child"], "child"), (["--escape", 0], "escaped")],
    ids=["in the group", "by setsid"])
def test_descendants_are_gone_after_their_worker_died(box, how, event):
    box.web(*how, instances=1, restart_delay="10ms", stop_timeout="300ms")
    d = box.start()
    pid, = d.wait_ready(1)
    one, = box.wait_events(event)
    os.kill(pid, signal.SIGKILL)
    d.wait_replaced([pid], 1)
    wait_until(lambda: not is_alive(one["pid"]),
               lambda: f"the end of {one['pid']}, log:\n{d.log()}")
    box.wait_events(event, 2)
    assert is_alive(box.events(event)[1]["pid"])
    d.stop()


@pytest.mark.valgrind
def test_descendants_of_a_sibling_are_left_alone(box):
    box.web("--fork-child", "--escape", 0, restart_delay="10ms",
            stop_timeout="300ms")
    d = box.start()
    pids = d.wait_ready(2)
    escaped = box.wait_events("escaped", 2)
    box.wait_events("child", 2)
    os.kill(pids[0], signal.SIGKILL)
    d.wait_replaced(pids[:1], 2)
    gone = {e["instance"]: e["instance"] for e in box.events("start")
            if e["pid"] == pids[0]}
    for e in escaped:
        if e["instance"] not in gone:
            assert is_alive(e["pid"])
        else:
            wait_until(lambda: not is_alive(e["pid"]), "its end")
    d.stop()


def test_descendant_without_any_trace_of_its_worker_is_gone_too(box):
    """A session of its own, an empty environment, no living parent."""
    note = box.path("pid")
    box.web(command=[
        "/bin/sh", "-c", f"env -i setsid sh -c 'echo $$ > {note}.new; "
        f"mv {note}.new {note}; exec sleep 600' & exec {PROBE}"], instances=1)
    d = box.start()
    d.wait_ready(1)
    wait_until(lambda: os.path.exists(note), "the descendant")
    pid = int(open(note).read())
    try:
        assert is_alive(pid)
        d.stop()
        assert not is_alive(pid)
    finally:
        kill(pid)


def test_descendant_in_the_group_without_environment_is_gone_too(box):
    """Told by its group alone, when its worker has died."""
    note = box.path("pid")
    box.web(command=[
        "/bin/sh", "-c", f"env -i sh -c 'echo $$ > {note}.new; "
        f"mv {note}.new {note}; exec sleep 600' & exec {PROBE}"], instances=1,
        restart_delay="60s", restart_delay_max="60s", stop_timeout="300ms")
    d = box.start()
    worker, = d.wait_ready(1)
    wait_until(lambda: os.path.exists(note), "the descendant")
    pid = int(open(note).read())
    try:
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid), "its end", 5)
        d.stop()
    finally:
        kill(pid)


def test_daemonized_process_is_gone_after_the_stop(box):
    box.web("--daemonize", instances=1, restart_delay="60s",
            restart_delay_max="60s")
    d = box.start()
    box.wait_events("daemonized")
    d.stop()


@pytest.mark.skipif(not HAS_KEEPER, reason="there is no keeper")
def test_kill_9_of_keeper_and_supervisor_leaves_workers(box):
    """Which serve on, and the next start names them."""
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}")
    d = box.start()
    workers = d.wait_ready(2)
    d.kill_all_of_it(workers=False)
    get(port)
    done = box.run("-c", "app.ini")
    assert done.returncode == 69
    told = re.search(r'a clusterd that is gone has left behind: "kill ([ \d]+)"',
                     done.stderr)[1]
    assert sorted(map(int, told.split())) == sorted(workers)
    for pid in workers:
        kill(pid)
    wait_until(lambda: not marked_processes(box.mark),
               "the end of the workers")
    d = box.start()
    d.wait_ready(2)
    get(port)
    d.stop()


def test_several_apps_stop_together(box):
    box.config(
        slow={"command": probe("--events", box.events_path,
                               "--term-delay", 1500), "instances": 2},
        slower={"command": probe("--events", box.events_path,
                                 "--term-delay", 1500), "instances": 2})
    d = box.start()
    d.wait_ready(4)
    d.stop()
    told = [e["at"] for e in box.events("signal 15")]
    assert len(told) == 4
    assert max(told) - min(told) < 1400     # one waits for no other


def test_child_may_finish_after_its_leader_died_of_the_signal(box):
    """As node(1) under npm(1), and clusterd ends right after it."""
    count = 3
    script = box.write("worker.sh", """
        drain() {
            trap '' TERM
            touch "there.$1"
            until test -e "go.$1"; do sleep 0.02; done
            touch "finished.$1"
        }
        drain "$CLUSTERD_INSTANCE" &
        exec sleep 1000
        """)
    box.config(web={"command": f"sh {script}", "instances": count,
                    "directory": box.dir, "stop_timeout": "60s"})
    d = box.start()
    leaders = d.wait_ready(count)
    for n in range(count):
        wait_until(lambda: os.path.exists(box.path(f"there.{n}")), "a child")
    d.send(signal.SIGTERM)
    wait_until(lambda: not any(map(is_alive, leaders)), "the leaders' death")
    for n in range(count):
        stays(lambda: d.process.poll() is None, "clusterd waits", 0.1)
        assert not os.path.exists(box.path(f"finished.{n}"))
        box.touch(f"go.{n}")
        wait_until(lambda: os.path.exists(box.path(f"finished.{n}")),
                   "the child may finish")
    since = time.monotonic()
    d.wait_end(0)
    assert time.monotonic() - since < 8 * SLOW
