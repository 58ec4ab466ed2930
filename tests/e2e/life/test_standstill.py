"""Workers that stand still, and a clusterd that does."""

import os
import signal

import words
from harness import get, is_alive, kill, process_state, wait_until


def test_stopped_worker_blocks_nothing_and_is_killed_in_the_end(box):
    box.web(instances=3, restart_delay="10ms", stop_timeout="300ms")
    d = box.start()
    pids = d.wait_ready(3)
    os.kill(pids[0], signal.SIGSTOP)
    os.kill(pids[1], signal.SIGKILL)
    d.wait_replaced(pids[1:2], 3)
    d.stop()
    assert not is_alive(pids[0])


def test_worker_that_stops_itself_again_and_again_is_killed(box):
    box.web("--ignore-term", instances=1, stop_timeout="300ms")
    d = box.start()
    pid, = d.wait_ready(1)
    d.send(signal.SIGTERM)
    box.wait_events("signal 15")
    kill(pid, signal.SIGSTOP)   # it may have been killed already
    d.wait_end(0)


def test_stopped_worker_can_end_in_good_order(box):
    """It is continued to hear the signal, as systemd does."""
    box.web(stop_timeout="60s")
    d = box.start()
    for pid in d.wait_ready(2):
        os.kill(pid, signal.SIGSTOP)
    d.stop()
    assert len(box.events("signal 15")) == 2


def test_stopped_worker_does_not_hold_up_a_reload(box):
    box.web(stop_timeout="300ms")
    d = box.start()
    old = d.wait_ready(2)
    for pid in old:
        os.kill(pid, signal.SIGSTOP)
    d.send(signal.SIGHUP)
    d.wait_replaced(old, 2)
    d.wait_workers(2)
    d.stop()


def test_stopped_new_worker_aborts_the_reload(box):
    box.web()
    d = box.start()
    old = d.wait_ready(2)
    # By itself: we might come too late to do it.
    box.web(command=["/bin/sh", "-c", "kill -STOP $$"], ready="notify",
            ready_timeout="500ms", stop_timeout="200ms")
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_ABORTED("web"))
    assert d.wait_workers(2) == sorted(old, key=d.workers().index)
    d.stop()


def test_stop_of_a_stopped_clusterds_workers_works_after_cont(box):
    """A supervisor that slept (SIGSTOP, a suspended machine) catches up."""
    box.web(restart_delay="10ms")
    d = box.start()
    pids = d.wait_ready(2)
    os.kill(d.pid, signal.SIGSTOP)
    wait_until(lambda: process_state(d.pid) == "T", "clusterd stands still")
    get(d.port())               # never in the data path
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    os.kill(d.pid, signal.SIGCONT)
    d.wait_replaced(pids, 2)
    d.stop()
