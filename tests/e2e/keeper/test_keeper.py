"""The process that the user starts."""

import os
import re
import signal
import subprocess
import time

import pytest

import harness
from harness import (HAS_KEEPER, SLOW, children_of, get, is_alive, kill,
                     process_state, read_proc, start_as_pid_1, stays,
                     status_field, wait_until)

pytestmark = pytest.mark.skipif(not HAS_KEEPER, reason="there is no keeper")


def test_killed_the_supervisor_stops_everything(box):
    box.web(clusterd={"pidfile": "run.pid"})
    d = box.start()
    d.wait_ready(2)
    supervisor = d.pid
    os.kill(d.keeper, signal.SIGKILL)
    assert d.wait() == -signal.SIGKILL
    wait_until(lambda: not is_alive(supervisor), "its end")
    assert d.find(f"the keeper, pid {d.keeper}, was killed: stopping")
    assert len(box.events("signal 15")) == 2
    assert not box.survivors() and not os.path.exists(box.path("run.pid"))


def test_killed_a_request_is_finished(box):
    box.web(instances=1)
    d = box.start()
    d.wait_ready(1)
    s = harness.ask(d.port(), "/slow/500")
    box.wait_events("slow")
    os.kill(d.keeper, signal.SIGKILL)
    assert harness.read_answer(s).pid
    d.wait()
    wait_until(lambda: not box.survivors(), "nobody is left")


def test_killed_at_once(box):
    """In whatever it is doing, nobody stays."""
    box.web()
    for n in range(20):
        d = box.start()
        time.sleep(0.001 * n)
        os.kill(d.keeper, signal.SIGKILL)
        d.wait()
        wait_until(lambda: not box.survivors(), "nobody is left")


def test_signal_at_once_ends_it(box):
    """As if it handled none yet, or by a stop."""
    box.web()
    for n in range(20):
        d = box.start()
        time.sleep(0.002 * n)
        d.send(signal.SIGTERM)
        assert d.wait() in (-signal.SIGTERM, 0)
        wait_until(lambda: not box.survivors(), "nobody is left")


def test_signals_for_the_supervisor_are_ignored(box):
    """As pkill(1) sends them, to all that have the name."""
    box.web()
    d = box.start()
    pids = d.wait_ready(2)
    for name in ("TERM", "INT", "HUP"):
        os.kill(d.pid, getattr(signal, f"SIG{name}"))
        d.wait_log(rf"SIG{name} of pid {os.getpid()} ignored: signals are for "
                   rf"pid {d.keeper}, the keeper")
    assert d.ready_pids() == pids
    supervisor = d.pid
    d.send(signal.SIGTERM)
    # It may have stopped all by now.
    kill(supervisor, signal.SIGTERM)
    d.wait_end(0)
    assert "killing what is left" not in d.log()


def test_ps_tells_which_is_which(box):
    box.web()
    d = box.start()
    d.wait_ready(2)
    assert read_proc(d.keeper, "comm") == b"clusterd\n"
    assert read_proc(d.keeper, "cmdline").endswith(b"\0-c\0" +
                                                   box.path("app.ini").encode()
                                                   + b"\0")
    assert read_proc(d.pid, "comm") == b"clusterd-super\n"
    title = read_proc(d.pid, "cmdline")
    assert title.startswith(b"clusterd: supervisor\0-c\0/")
    assert b"E2E_BOX" not in title
    assert b"E2E_BOX" in read_proc(d.pid, "environ")
    found = subprocess.run(["pgrep", "-x", "clusterd"], capture_output=True,
                           text=True).stdout.split()
    assert str(d.keeper) in found and str(d.pid) not in found
    d.stop()


def test_title_where_there_is_little_room(box):
    box.web(name="a")
    d = box.start("-ca", program=harness.CLUSTERD,
                  launcher=["/bin/bash", "-c", 'exec -a x "$@"', "bash"])
    d.wait_ready(2)
    assert read_proc(d.pid, "cmdline").rstrip(b"\0") == b"clust"
    d.stop()


def test_supervisor_has_a_process_group_of_its_own(box):
    box.web()
    d = box.start()
    d.wait_ready(2)
    assert os.getpgid(d.pid) == d.pid != os.getpgid(d.keeper)
    assert os.getsid(d.pid) == os.getsid(d.keeper)
    d.stop()


def test_stopped_keeper_does_not_hold_the_supervisor_up(box):
    box.web(restart_delay="10ms")
    d = box.start()
    pids = d.wait_ready(2)
    d.send(signal.SIGSTOP)
    wait_until(lambda: process_state(d.keeper) == "T", "it stands still")
    kill(pids[0])
    d.wait_replaced(pids[:1], 2)
    mark = d.mark()
    d.send(signal.SIGHUP)
    stays(lambda: not d.find("SIGHUP", mark), "nobody passes it on")
    d.send(signal.SIGCONT)
    d.wait_log("SIGHUP: reloading", start=mark)
    d.stop()


def test_idle_both_sleep(box, unwrapped):
    box.web()
    d = box.start()
    d.wait_ready(2)
    d.wait_log("start complete")
    wait_until(d.is_at_rest, "rest")
    calls = harness.system_calls(box, d, lambda: time.sleep(0.8),
                                 pids=[d.keeper, d.pid])
    if calls is None:
        pytest.skip("may not trace")
    assert calls == []
    assert read_proc(d.keeper, "wchan") in (b"", b"0", b"do_sigtimedwait",
                                            b"do_sigtimedwait.isra.0")
    d.stop()


def test_keeper_is_small(box, unwrapped):
    box.web()
    d = box.start()
    d.wait_ready(2)

    def pss(pid):
        text = read_proc(pid, "smaps_rollup").decode()
        return int(re.search(r"^Pss_Anon: +(\d+)", text, re.M)[1])
    assert pss(d.keeper) < 200
    d.stop()


# --- process 1

def test_as_process_1(box, as_root):
    box.web()
    d = start_as_pid_1(box)
    d.wait_log("start complete")
    assert status_field(d.keeper, "NSpid").split()[-1] == "1"
    mark = d.mark()
    kill(d.pid)
    d.wait_log("start complete", start=mark)
    assert len(d.wait_workers(2)) == 2
    # An orphan of somebody else, such as one of docker exec.
    subprocess.run(["nsenter", f"--target={d.keeper}", "--pid", "sh", "-c",
                    "sleep 0.1 &"], env=box.environment(), check=True)
    wait_until(lambda: set(children_of(d.keeper)) ==
               {d.pid, *d.wait_workers(2)}, "it is reaped")
    d.stop()


def test_as_process_1_without_proc(box, as_root):
    box.web()
    d = start_as_pid_1(box, mount_proc=False)
    d.wait_log("start complete")
    old = d.workers()
    mark = d.mark()
    kill(d.pid)
    d.wait_log("start complete", start=mark)
    assert d.workers() == old and all(map(is_alive, old))
    d.stop()


# --- without one

def test_without_a_keeper(box):
    box.web(clusterd={"pidfile": "run.pid"})
    d = box.start(env={"CLUSTERD_KEEPER": "no"})
    d.wait_log("start complete")
    assert not d.find_supervisor()
    assert open(box.path("run.pid")).read() == f"{d.keeper}\n"
    d.stop()
