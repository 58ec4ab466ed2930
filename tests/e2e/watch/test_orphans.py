"""Pid 1, orphans, and what escapes a worker."""

import os
import re
import signal
import sys
import time

import pytest

import control
import words
from harness import (PROBE, children_of, get, is_alive, process_state, read_proc,
                     start_as_pid_1, status_field, wait_until)


def test_as_pid_1_it_serves_and_stops(box, as_root):
    # The log has the pids of the namespace, so wait for lines, not for pids.
    box.web("--escape", 0, stop_timeout="300ms")
    d = start_as_pid_1(box)
    d.wait_log(words.READY("web"), count=2)
    box.wait_events("escaped", 2)
    get(d.port())
    pids = d.workers()
    assert get(d.port(), "/dump").one("ppid") == \
        status_field(d.pid, "NSpid").split()[-1]
    d.send(signal.SIGTERM)
    d.wait_end(0)
    assert not any(is_alive(pid) for pid in pids)


@pytest.mark.valgrind
def test_as_pid_1_it_reaps_orphans_and_heals(box, as_root):
    box.web("--escape", 50, instances=1, restart_delay="10ms")
    d = start_as_pid_1(box)
    d.wait_log(words.READY("web"))
    box.wait_events("escaped")
    worker = d.wait_workers(1)[0]
    wait_until(lambda: d.children() == [worker], "the orphan is reaped")
    os.kill(worker, signal.SIGKILL)
    d.wait_log(words.READY("web"), count=2)
    wait_until(lambda: len(d.children()) == 1
               and process_state(d.children()[0]) != "Z",
               "only the new worker is left")
    d.send(signal.SIGTERM)
    d.wait_end(0)


def test_as_pid_1_with_the_proc_of_another_namespace_it_works(box, as_root):
    """Whose numbers are wrong; and what escapes dies with the namespace."""
    box.web("--fork-child", "--escape", 0, restart_delay="10ms",
            stop_timeout="300ms")
    d = start_as_pid_1(box, mount_proc=False)
    d.wait_log(words.READY("web"), count=2)
    box.wait_events("escaped", 2)
    box.wait_events("child", 2)
    get(d.port())
    os.kill(d.workers()[0], signal.SIGKILL)
    d.wait_log(words.READY("web"), count=3)
    d.send(signal.SIGTERM)
    d.wait_end(0)


def test_as_pid_1_every_stop_signal_works(box, as_root):
    for number in (signal.SIGINT, signal.SIGQUIT):
        box.web()
        d = start_as_pid_1(box)
        d.wait_log(words.READY("web"), count=2)
        d.send(number)
        d.wait_end(0)


def test_orphans_of_a_living_worker_are_reaped(box):
    box.web("--escape", 100, instances=1)
    d = box.start()
    pid, = d.wait_ready(1)
    orphan = box.wait_events("escaped")[0]["pid"]
    wait_until(lambda: process_state(orphan) is None, "it is reaped")
    assert d.children() == [pid]
    d.stop()


# As many as there is one after the other of, where each death starts the next.
SPAN = 3.0


def test_who_looks_at_others_is_started_when_there_is_something_to_look_at(box):
    """The end of one was taken for an orphan's, which is a reason to look at all
    that have left their parents; so another was started, and so on."""
    box.web("--escape", 0, instances=1, stop_timeout="300ms")
    d = box.start()
    d.wait_ready(1)
    escaped = box.wait_events("escaped")[0]["pid"]
    wait_until(lambda: escaped in d.children(), "it is a child of clusterd")
    box.ctl("status", env={"RUNTIME_DIRECTORY": box.dir})
    wait_until(d.is_at_rest, "nobody looks")
    started = set()
    end = time.monotonic() + SPAN
    while time.monotonic() < end:
        started.update(set(children_of(d.pid)) - set(d.children()))
        time.sleep(0.01)
    assert len(started) <= 1
    assert is_alive(escaped)
    d.stop()


def test_worker_that_forks_children_that_die_at_once_costs_nothing(box):
    script = box.write(
        "server", "#!/bin/sh\ni=0\nwhile [ $i -lt 300 ]; do\n"
        f"(true &)\ni=$((i + 1))\ndone\nexec {PROBE}\n", mode=0o755)
    box.web(command=script, instances=2)
    d = box.start()
    pids = d.wait_ready(2, limit=20)
    wait_until(lambda: sorted(d.children()) == sorted(pids),
               "all orphans are reaped")
    d.stop()


@pytest.mark.valgrind
def test_escaped_process_is_swept_whatever_the_size_of_the_environment(box):
    large = {f"LARGE_{n:03}": "x" * 1000 for n in range(400)}
    box.web("--escape", 0, instances=1, restart_delay="10ms",
            stop_timeout="300ms")
    d = box.start(env=large)
    pid, = d.wait_ready(1)
    escaped = box.wait_events("escaped")[0]["pid"]
    assert is_alive(escaped)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(escaped), "the escaped one is swept")
    d.wait_replaced([pid], 1)
    assert len(get(d.port(), "/dump").env) > 400
    d.stop()


# Leaves `n` behind that live, and chains of processes each of which is left
# behind by the one before it, for a while.
LEAVES = """
import os, signal, sys, time
n, chains, seconds, mark = int(sys.argv[1]), int(sys.argv[2]), \\
    float(sys.argv[3]), sys.argv[4]
if os.fork() == 0:
    os.setsid()
    for _ in range(n):
        if os.fork() == 0:
            signal.pause()
    for _ in range(chains):
        if os.fork() == 0:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                if os.fork():
                    os._exit(0)
            os._exit(0)
    os._exit(0)
os.wait()
open(mark, "w").close()
signal.pause()
"""


def test_many_orphans_and_many_deaths_hold_nobody_up(box):
    script = box.write("leaves.py", LEAVES)
    mark = box.path("mark")
    box.config(
        leaves={"command": f"{sys.executable} {script} 200 3 2 {mark}",
                "instances": 1, "ready": "alive:10ms"},
        web={"command": f"{PROBE} --events {box.events_path}",
             "listen": "127.0.0.1:0", "instances": 1,
             "restart_delay": "10ms"})
    d = box.start()
    pid, = d.wait_ready(1, "web")
    wait_until(lambda: os.path.exists(mark), "the orphans", 30)
    for _ in range(3):
        assert control.ask(box, "status").ok
        os.kill(pid, signal.SIGKILL)
        pid, = d.wait_replaced([pid], 1, "web", limit=30)
    # All of those that ended are reaped, the last too.
    wait_until(lambda: len(d.children()) == len(d.workers()) == 202,
               lambda: f"no zombies, there are {len(d.children())} children "
               f"and {len(d.workers())} live", 30)
    leader, = d.ready_pids("leaves")
    left = set(d.workers()) - {leader, pid}
    os.kill(leader, signal.SIGKILL)
    wait_until(lambda: not any(is_alive(p) for p in left),
               "those of the dead worker are swept", 30)
    d.stop(limit=30)


def test_term_right_after_the_start_of_pid_1_is_heard(box, as_root):
    """The kernel drops what process 1 neither handles nor blocks."""
    path = box.web(instances=1)
    with open(path, "a") as f:      # takes a while to read
        f.write("; nothing\n" * 300_000)

    def blocks(pid):
        status = read_proc(pid, "status").decode()
        mask = int(re.search(r"^SigBlk:\s*(\w+)", status, re.M)[1], 16)
        return mask >> signal.SIGTERM - 1 & 1
    for _ in range(3):
        d = start_as_pid_1(box)
        # What comes before its first instruction, nobody could block.
        wait_until(lambda: blocks(d.keeper) or d.find_supervisor(),
                   "it blocks the signal, or waits for it")
        d.send(signal.SIGTERM)
        d.wait_end(0, limit=20)
