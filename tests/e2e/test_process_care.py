"""Pid 1, orphans, scaling, log files, pid file, signals, idleness."""

import os
import re
import signal
import time

import pytest

import harness
import lanes
import words
from harness import (Stream, children_of, get, is_alive, probe,
                     process_state, read_proc, status_field, wait_until)


# --- pid 1 and subreaper

def start_as_pid_1(box, mount_proc=True):
    d = box.start(launcher=["unshare", "--pid", "--fork", "--kill-child"] +
                  ["--mount-proc"] * mount_proc)
    wait_until(lambda: children_of(d.process.pid), "the child of unshare")
    d.pid = children_of(d.process.pid)[0]
    wait_until(lambda: b"app.ini" in read_proc(d.pid, "cmdline")
               and b"unshare" not in read_proc(d.pid, "cmdline"),
               "clusterd as pid 1")
    return d


def test_as_pid_1_it_serves_and_stops(box, as_root):
    # The log has the pids of the namespace, so wait for lines, not for pids.
    box.web("--escape", 0)
    d = start_as_pid_1(box)
    d.wait_log(words.READY("web"), count=2)
    box.wait_events("escaped", 2)
    get(d.port())
    pids = d.workers()
    assert get(d.port(), "/dump").one("ppid") == "1"
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


# --- TTIN, TTOU

@pytest.mark.valgrind
def test_ttin_and_ttou_scale_by_one(box):
    box.web(instances=2)
    d = box.start()
    two = d.wait_ready(2)
    with Stream(d.port(), clients=2):
        d.send(signal.SIGTTIN)
        three = d.wait_ready(3)
        assert set(two) < set(three)
        assert box.events("start")[-1]["instance"] == "2"
        d.send(signal.SIGTTOU)
        d.wait_workers(2)
        d.send(signal.SIGTTOU)
        d.wait_workers(1)
        assert d.ready_pids() == [e["pid"] for e in box.events("start")
                                  if e["instance"] == "0"]
        d.send(signal.SIGTTIN)
        d.wait_ready(2)
    assert d.pids_that_answer(d.port(), 2) == set(d.workers())
    d.stop()


def test_ttin_scales_every_app(box):
    box.config(first={"command": probe(), "instances": 1},
               second={"command": probe(), "instances": 2})
    d = box.start()
    d.wait_ready(3)
    d.send(signal.SIGTTIN)
    d.wait_ready(2, app="first")
    d.wait_ready(3, app="second")
    d.stop()


def test_ttou_never_goes_under_one(box):
    box.web(instances=2)
    d = box.start()
    d.wait_ready(2)
    for _ in range(4):
        d.send(signal.SIGTTOU)
        # standard signals do not queue: until this one was taken
        wait_until(lambda: int(status_field(d.pid, "ShdPnd"), 16) == 0,
                   "the signal is taken")
    d.wait_workers(1)
    assert get(d.port()).instance == 0
    d.send(signal.SIGTTIN)
    d.wait_ready(2)
    d.stop()


# --- other signals

@pytest.mark.valgrind
def test_usr1_reopens_the_log(box):
    log = box.path("clusterd.log")
    # Shared, because valgrind complains of eBPF on stderr.
    box.web(clusterd={"log": "clusterd.log"}, restart_delay="10ms",
            balance="shared")
    d = box.start()
    d.log_path = log
    wait_until(lambda: os.path.exists(log), "the log")
    pids = d.wait_ready(2)
    os.rename(log, log + ".1")
    d.send(signal.SIGUSR1)
    wait_until(lambda: os.path.exists(log), "the new log")
    os.kill(pids[0], signal.SIGKILL)
    d.wait_log(words.DEATH("web", how=words.KILLED_9))
    d.wait_replaced(pids[:1], 1)
    assert not re.search(words.KILLED_9, open(log + ".1").read())
    d.stop()
    assert d.stderr() == ""


def test_usr1_with_a_log_that_cannot_be_reopened_goes_on(box):
    os.mkdir(box.path("logs"))
    box.web(clusterd={"log": "logs/clusterd.log"})
    d = box.start()
    d.log_path = box.path("logs/clusterd.log")
    wait_until(lambda: os.path.exists(d.log_path), "the log")
    pids = d.wait_ready(2)
    d.log_path = box.path("gone/clusterd.log")
    os.rename(box.path("logs"), box.path("gone"))
    d.send(signal.SIGUSR1)
    os.kill(pids[0], signal.SIGKILL)
    d.wait_replaced(pids[:1], 2)
    d.stop()


def test_usr1_without_a_log_file_is_harmless(box):
    box.web()
    d = box.start()
    pids = d.wait_ready(2)
    d.send(signal.SIGUSR1)
    os.kill(pids[0], signal.SIGKILL)
    d.wait_replaced(pids[:1], 2)
    d.stop()


def test_usr2_is_ignored_and_logged(box):
    box.web()
    d = box.start()
    pids = d.wait_ready(2)
    start = d.mark()
    d.send(signal.SIGUSR2)
    d.wait_log("USR2", start=start)
    assert d.ready_pids() == pids
    get(d.port())
    d.stop()


@pytest.mark.parametrize("name", ["PIPE", "WINCH", "CONT", "URG"])
def test_stray_signal_does_no_harm(box, name):
    box.web()
    d = box.start()
    pids = d.wait_ready(2)
    d.send(getattr(signal, f"SIG{name}"))
    os.kill(pids[0], signal.SIGKILL)
    d.wait_replaced(pids[:1], 2)
    d.stop()


def ignore_and_block():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))


def test_worker_gets_a_clean_signal_mask_and_no_ignored_signal(box):
    box.web(instances=1)
    for preexec in (None, ignore_and_block):
        d = box.start(preexec_fn=preexec, restore_signals=False)
        d.wait_ready(1)
        dump = get(d.port(), "/dump")
        assert int(dump.one("SigBlk"), 16) == 0
        # 32 and 33 are the C library's own: posix_spawn(3), which make(1)
        # uses, ignores them in the child, and sigaction(2) will not touch
        # them.
        internal = 1 << 31 | 1 << 32
        assert int(dump.one("SigIgn"), 16) & ~internal == 0
        assert int(dump.one("SigPnd"), 16) == 0
        d.stop()


def test_inherited_ignored_and_blocked_signals_do_not_disturb_clusterd(box):
    box.web(restart_delay="10ms")
    d = box.start(preexec_fn=ignore_and_block, restore_signals=False)
    pids = d.wait_ready(2)
    os.kill(pids[0], signal.SIGKILL)
    d.wait_log(words.DEATH("web", how=words.KILLED_9))
    pids = d.wait_replaced(pids[:1], 2)
    d.send(signal.SIGHUP)
    d.wait_replaced(pids, 2)
    d.stop()


# --- pid file

@pytest.mark.valgrind
def test_pidfile_is_written_and_removed(box):
    box.web(clusterd={"pidfile": "run.pid"})
    d = box.start()
    d.wait_ready(2)
    assert open(box.path("run.pid")).read() == f"{d.pid}\n"
    assert [n for n in os.listdir(box.dir) if n.startswith("run.pid")] == \
        ["run.pid"]
    d.stop()
    assert not os.path.exists(box.path("run.pid"))


def test_pidfile_of_a_running_clusterd_refuses_a_second(box):
    box.web(clusterd={"pidfile": "run.pid"})
    d = box.start()
    pids = d.wait_ready(2)
    done = box.run("-c", "app.ini")
    assert done.returncode not in (0, 64, 78)
    assert "run.pid" in done.stderr
    assert str(d.pid) in done.stderr
    assert open(box.path("run.pid")).read() == f"{d.pid}\n"
    assert len(box.events("start")) == 2
    assert d.ready_pids() == pids
    d.stop()


def test_stale_pidfile_is_replaced(box):
    box.web(clusterd={"pidfile": "run.pid"})
    d = box.start()
    d.wait_ready(2)
    d.send(signal.SIGKILL)
    d.wait()
    wait_until(lambda: not box.survivors(), "the end of the workers")
    assert os.path.exists(box.path("run.pid"))
    d = box.start()
    d.wait_ready(2)
    assert open(box.path("run.pid")).read() == f"{d.pid}\n"
    d.stop()


def test_pidfile_stays_locked_across_a_reload(box):
    box.web(clusterd={"pidfile": "run.pid"})
    d = box.start()
    old = d.wait_ready(2)
    d.send(signal.SIGHUP)
    d.wait_replaced(old, 2)
    assert box.run("-c", "app.ini").returncode not in (0, 64, 78)
    assert open(box.path("run.pid")).read() == f"{d.pid}\n"
    d.stop()


# --- nothing to do, nothing done

def switches(pid):
    return tuple(int(status_field(pid, name)) for name in
                 ("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"))


def test_idle_it_does_not_wake_up(box, unwrapped):
    box.web()
    d = box.start()
    d.wait_ready(2)
    get(d.port())
    before = settle(d)
    time.sleep(1.5)             # what is measured, not a wait
    assert switches(d.pid) == before


def settle(d):
    """Start's last work is done once the counts hold still for a while."""
    seen = []

    def still():
        seen.append((time.monotonic(), switches(d.pid)))
        since = [t for t, s in seen if s == seen[-1][1]][0]
        return seen[-1][0] - since > 0.3
    wait_until(still, "rest")
    return seen[-1][1]


@lanes.parametrized(*lanes.ALL)
def test_idle_and_under_load_it_makes_no_system_call(box, unwrapped, balance):
    lanes.needs(balance)
    box.web(balance=balance, instances=4)
    d = box.start()
    d.wait_ready(4)
    settle(d)

    def measure():
        time.sleep(0.8)         # what is measured, not a wait
        with Stream(d.port()):
            time.sleep(0.7)
    calls = harness.system_calls(box, d, measure)
    if calls is None:
        pytest.skip("may not trace")
    assert calls == []
    d.stop()
