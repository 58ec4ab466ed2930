"""The keeper is killed, after another supervisor than the first has taken over: what
that one has not started itself, nobody tells it of any more."""

import os
import signal
import subprocess

import pytest

from harness import HAS_KEEPER, WRAP, get, is_alive, kill, wait_until

pytestmark = pytest.mark.skipif(not HAS_KEEPER or bool(WRAP),
                                reason="needs the keeper")

# Longer than any test: who waits for it fails.
NEVER = "300s"
FALSE = "killing|killed by|do not die|still there|leaving"

MARKS = """\
trap 'echo TERM >"$1.term"; exit 0' TERM
echo $$ >"$1.tmp"
mv "$1.tmp" "$1.pid"
while :; do sleep 0.02; done
"""

# It has children in its own group, with its environment and without; one in a
# session of its own; and one whose parent is dead.
WRAPPER = """\
exec 2>/dev/null
cd "$1"
sh marks member-$CLUSTERD_INSTANCE &
env -i sh marks bare-$CLUSTERD_INSTANCE &
setsid sh marks escaped-$CLUSTERD_INSTANCE &
(setsid sh marks early-$CLUSTERD_INSTANCE &)
wait
"""
KINDS = ("member", "bare", "escaped", "early")


def begin(d, box, how):
    """Of another supervisor, or none."""
    d.wait_log("start complete")
    mark = d.mark()
    if how == "upgrade":
        assert box.ctl("upgrade", env={"RUNTIME_DIRECTORY": box.dir},
                       limit=40).returncode == 0
    elif how == "killed":
        kill(d.pid)
    if how != "first":
        d.wait_log("start complete", start=mark)


def kill_keeper(d):
    """Returns when the supervisor has come to its end."""
    supervisor, mark = d.pid, d.mark()
    os.kill(d.keeper, signal.SIGKILL)
    assert d.wait() == -signal.SIGKILL
    wait_until(lambda: not is_alive(supervisor),
               lambda: f"its end, log:\n{d.log()[mark:]}", 10)
    return d.log()[mark:]


HOW = pytest.mark.parametrize("how", ["first", "upgrade", "killed"])


@HOW
def test_ends_with_its_workers(box, how):
    """And another one can begin."""
    box.web(stop_timeout=NEVER, clusterd={"pidfile": "run.pid"})
    d = box.start()
    workers = d.wait_ready(2)
    begin(d, box, how)
    assert d.wait_ready(2) == workers
    text = kill_keeper(d)
    assert len(box.events("signal 15")) == 2
    assert f"the keeper, pid {d.keeper}, was killed: stopping" in text
    for pid in workers:
        assert f"pid {pid}: " + ("exited with code 0" if how == "first" else
                                 "gone, nobody saw how, after ") in text
    assert not [x for x in FALSE.split("|") if x in text], text
    assert text.rstrip().endswith("stopped"), text
    assert not box.survivors() and not os.path.exists(box.path("run.pid"))
    d = box.start()
    d.wait_ready(2)
    get(d.port())
    d.stop()


def read_pid(path):
    with open(path) as f:
        return int(f.read())


@HOW
def test_what_workers_started_is_told_to_stop(box, how):
    box.write("marks", MARKS)
    wrapper = box.write("wrapper", WRAPPER)
    box.config(app={"command": f"sh {wrapper} {box.dir}", "instances": 2,
                    "stop_to": "process", "stop_timeout": NEVER})
    d = box.start()
    names = [f"{kind}-{i}" for kind in KINDS for i in range(2)]
    wait_until(lambda: all(os.path.exists(box.path(f"{name}.pid"))
                           for name in names), "all of them")
    pids = [read_pid(box.path(f"{name}.pid")) for name in names]
    try:
        begin(d, box, how)
        text = kill_keeper(d)
        assert [name for name in names
                if not os.path.exists(box.path(f"{name}.term"))] == [], text
        assert not [pid for pid in pids if is_alive(pid)]
    finally:
        # Of those without an environment nobody else knows.
        for pid in pids:
            kill(pid)
    assert "do not die" not in text and "killing" not in text, text


@pytest.mark.parametrize("how", ["upgrade", "killed"])
def test_who_does_not_go_is_killed_in_time(box, how):
    """And is known to be dead then."""
    box.config(app={"command": "sh -c 'trap \"\" TERM; while :; do sleep 0.1; "
                    "done'", "instances": 2, "stop_timeout": "300ms"})
    d = box.start()
    d.wait_ready(2)
    begin(d, box, how)
    text = kill_keeper(d)
    assert text.count("killing it: still there after stop_timeout") == 2
    assert "do not die" not in text
    assert not box.survivors()


@HOW
def test_killed_during_a_stop(box, how):
    """Who is told to go by then is waited for as long as it lives."""
    gate = box.touch("gate")
    box.config(app={"command": f"sh -c 'trap \"while test -e {gate}; do sleep "
                    "0.02; done; exit 0\" TERM; while :; do sleep 0.02; done'",
                    "instances": 2, "stop_timeout": NEVER})
    d = box.start()
    d.wait_ready(2)
    begin(d, box, how)
    supervisor = d.pid
    d.send(signal.SIGTERM)
    d.wait_log("SIGTERM: stopping")
    os.kill(d.keeper, signal.SIGKILL)
    d.wait()
    wait_until(lambda: d.find("was killed: stopping"), "it knows")
    assert is_alive(supervisor)
    os.unlink(gate)
    wait_until(lambda: not is_alive(supervisor), d.log)
    assert not d.find("killing it|do not die")
    assert not box.survivors()


def test_others_of_the_same_parent_are_left_alone(box):
    """It has become that of our workers: their process groups, and what workers are
    executed with, tell who is ours."""
    box.web(instances=1)
    others = [int(subprocess.check_output([
        "setsid", "sh", "-c", f"CLUSTERD_WORKER_ID={of} sleep 100 >&2 & "
        "echo $!"], stderr=subprocess.DEVNULL, text=True))
        for of in ("", "0123456789abcdef.1")]
    try:
        d = box.start()
        d.wait_ready(1)
        begin(d, box, "killed")
        text = kill_keeper(d)
        assert [pid for pid in others if not is_alive(pid)] == [], text
        assert not [pid for pid in others if f"pid {pid}" in text], text
    finally:
        for pid in others:
            kill(pid)


def test_worker_that_dies_while_going_down(box):
    """Of which nobody tells: it is replaced as ever."""
    box.web(instances=1, restart="always", clusterd={"stop_delay": NEVER})
    d = box.start()
    worker, = d.wait_ready(1)
    begin(d, box, "killed")
    supervisor = d.pid
    os.kill(d.keeper, signal.SIGKILL)
    d.wait()
    wait_until(lambda: d.find("going down"), "it goes down")
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: d.find(rf"pid {worker}: gone, nobody saw how, after .*, "
                              "restarting"), d.log)
    wait_until(lambda: d.find(r"pid (?!%d:)\d+: ready" % worker), "another one")
    for pid in (supervisor, int(d.find(r"pid (?!%d:)(\d+): ready" %
                                       worker)[0][1])):
        kill(pid)
    wait_until(lambda: not box.survivors(), "nobody is left")
