"""Who gets the stop signal: the worker's own process, then the rest of its
group, then what it leaves behind in other sessions; and drain_signal."""

import os
import shlex
import signal
import sys

import pytest

from drains import DRAINED, start
from harness import (CLUSTERCTL, is_alive, kill, probe, process_state, stays,
                     wait_until)

# A master that obeys TERM by waiting for its child's task; children of such
# masters end at once when they get TERM themselves.
MASTER = """
import os, signal, sys, time
note = open(sys.argv[1], "a", buffering=1)
# Before there is a child, whose word is what the test goes by.
signal.signal(signal.SIGTERM, lambda *_: print("master told", file=note))
if os.fork() == 0:
    signal.signal(signal.SIGTERM, lambda *_: (print("child told", file=note),
                                              os._exit(1)))
    print("task begins", file=note)
    while not os.path.exists(sys.argv[2]):
        time.sleep(0.01)
    print("task done", file=note)
    os._exit(0)
os.wait()
"""

# As npm and others do: the signal is passed on, and the child waited for.
WRAPPER = """
import os, signal, sys
child = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
while True:
    try:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    except InterruptedError:
        pass
"""


def python(box, text, *arguments):
    return shlex.join([sys.executable, "-ISc", text, *map(str, arguments)])


def lines(path):
    return open(path).read().splitlines() if os.path.exists(path) else []


def wait_line(path, line):
    wait_until(lambda: line in lines(path),
               lambda: f"{line!r} in {lines(path)}")


# --- the process, or the group

@pytest.mark.parametrize("to", ["process", "group"])
def test_master_waits_for_its_child(box, to):
    note, go = box.path("note"), box.path("go")
    master = box.write("master.py", MASTER)
    box.config(web={"command": shlex.join([sys.executable, "-IS", master,
                                           note, go]),
                    "instances": 1, "stop_to": to, "stop_timeout": "60s"})
    d = start(box, 1)
    wait_line(note, "task begins")
    d.send(signal.SIGTERM)
    wait_line(note, "master told")
    if to == "process":
        stays(lambda: d.process.poll() is None, "the task goes on")
        box.touch("go")
    d.wait_end(0)
    assert ("task done" in lines(note)) == (to == "process")
    assert ("child told" in lines(note)) == (to == "group")


def test_wrapper_that_passes_the_signal_on(box):
    """Its child gets it once."""
    wrapper = box.write("wrapper.py", WRAPPER)
    box.web(command=shlex.join([
        sys.executable, "-IS", wrapper, *shlex.split(probe(
            "--events", box.events_path, "--term-delay", 300))]),
        instances=1)
    d = start(box, 1)
    d.stop()
    assert len(box.events("signal 15")) == 1


def test_wrapper_that_dies_of_it(box):
    """dash, behind which the server is told when its shell has ended."""
    # It is told, and then looked for: it is to be there yet.
    box.web(command=["/bin/sh", "-c", probe(
        "--events", box.events_path, "--term-delay", 1000) + "; true"],
        instances=1)
    d = start(box, 1)
    d.stop()
    assert len(box.events("signal 15")) == 1
    assert d.find(r"web\[0\] pid \d+: exited; pid \d+ \(probe\) of its "
                  "process group is still there"), d.log()


def test_group_is_killed_at_stop_timeout(box):
    box.web("--ignore-term", command=["/bin/sh", "-c", probe(
        "--events", box.events_path, "--ignore-term") + "; true"],
        instances=1, stop_timeout="400ms")
    d = start(box, 1)
    d.stop()
    # None where it had no processor for so long.
    assert len(box.events("signal 15")) <= 1
    assert d.find("still there after stop_timeout|killed by signal 9"), d.log()


# --- what is left behind

HELPER = """
trap 'echo told >> "$1"; exit 0' TERM
echo $$ > "$1.new"
mv "$1.new" "$1"
while :; do sleep 0.05; done
"""


def start_with_helper(box, detached, **keys):
    """A worker that has started a shell script beside it; its pid."""
    note = box.path("note")
    script = box.write("helper.sh", HELPER)
    setsid = "setsid " if detached else ""
    box.web(command=["/bin/sh", "-c", f"{setsid}sh {script} {note} & exec "
                     + probe("--events", box.events_path)],
            instances=1, restart_delay="60s", restart_delay_max="60s", **keys)
    d = start(box, 1)
    wait_until(lambda: os.path.exists(note), "the helper")
    return d, note, int(lines(note)[0])


@pytest.mark.parametrize("detached", [False, True],
                         ids=["in the group", "detached"])
@pytest.mark.parametrize("how", ["crash", "stop"])
def test_helper_gets_the_stop_signal(box, detached, how):
    d, note, helper = start_with_helper(box, detached, stop_timeout="60s")
    worker, = d.ready_pids()
    if how == "crash":
        kill(worker)
        wait_line(note, "told")
        wait_until(lambda: not is_alive(helper), "its end")
    d.stop()
    assert "told" in lines(note), d.log()
    if detached:
        assert d.find(rf"web\[0\] pid {worker}: stopping pid {helper} \(sh\), "
                      "which it left behind"), d.log()


def test_helper_that_ignores_it_is_killed_and_named(box):
    box.web("--escape", 0, instances=1, stop_timeout="300ms",
            restart_delay="10ms")
    d = start(box, 1)
    worker, = d.ready_pids()
    helper = box.wait_events("escaped")[0]["pid"]
    kill(worker)
    wait_until(lambda: not is_alive(helper), "its end")
    d.wait_log(rf"web\[0\] pid {worker}: killing pid {helper} \(probe\), "
               "which it left behind: still there after stop_timeout")
    d.stop()


@pytest.mark.parametrize("detached", [False, True],
                         ids=["in the group", "detached"])
@pytest.mark.parametrize("how", ["crash", "stop"])
def test_kept_helper_lives_on(box, detached, how):
    d, note, helper = start_with_helper(box, detached, orphans="keep",
                                        stop_timeout="300ms")
    try:
        if how == "crash":
            kill(d.ready_pids()[0])
            d.wait_log(rf"leaving alone pid {helper} \(sh\), which it left "
                       r"behind \(orphans = keep\)")
        d.send(signal.SIGTERM)
        d.wait()
        assert d.process.returncode == 0
        assert is_alive(helper)
        assert lines(note) == [str(helper)]
    finally:
        kill(helper)
        # It may just have had a sleep(1).
        wait_until(lambda: not box.survivors(), "its child's end")


DEPLOY = """
trap 'echo told >> "$1"; exit 1' TERM
(if test "$5" = True; then trap '' TERM; fi
"$2" -c "$3" reload > "$1.ctl" 2>&1
echo "reload exits $?" >> "$1")
until test -e "$4"; do sleep 0.02; done
echo "deployed" >> "$1"
"""


@pytest.mark.parametrize("detached", [False, True],
                         ids=["in the group", "detached"])
@pytest.mark.parametrize("orphans", ["stop", "keep"])
def test_deployment_that_a_worker_has_started(box, detached, orphans):
    """Its reload ends its own worker."""
    note, go, end = box.path("note"), box.path("go"), box.path("end")
    script = box.write("deploy.sh", DEPLOY)
    setsid = "setsid " if detached else ""
    box.web(command=["/bin/sh", "-c",
                     f'if test "$CLUSTERD_GENERATION" = 1; then '
                     f'(until test -e {go}; do sleep 0.02; done; exec '
                     f'{setsid}sh {script} {note} {CLUSTERCTL} '
                     f'{box.path("app.ini")} {end} {detached}) & fi; '
                     f'exec {probe("--events", box.events_path)}'],
            instances=1, orphans=orphans, stop_timeout="60s")
    d = box.start(env={"RUNTIME_DIRECTORY": box.dir})
    d.wait_ready(1)
    box.touch("go")
    d.wait_log("reload complete")
    # With the rest of the group it is told as soon as its leader has ended,
    # which the reload is over only after. A detached one is told at about the
    # time of the answer: its clusterctl waits for that whatever comes.
    if detached or orphans == "keep":
        wait_line(note, "reload exits 0")
    d.wait_log(r"pid \d+: exited with code 0")
    if orphans == "keep":
        d.wait_log(r"leaving alone pid \d+ \(sh\)")
        box.touch("end")
        wait_line(note, "deployed")
    else:
        wait_line(note, "told")
        # Of its group whoever is still there once it was told, maybe nobody.
        if detached:
            d.wait_log(r"stopping pid \d+ \(\w+\), which it left behind")
        assert "deployed" not in lines(note)
    d.stop()


# --- a drain is told

def test_drain_signal_comes_before_the_stop_signal(box):
    """The probe is one that ends by itself then."""
    box.web("--term-delay", 200, instances=1, drain_signal="USR2",
            stop_signal="TERM")
    d = start(box, 1)
    old, = d.ready_pids()
    d.send(signal.SIGHUP)
    d.wait_replaced([old], 1)
    wait_until(lambda: not is_alive(old), "its end")
    told = [e["what"] for e in box.events() if e["pid"] == old
            and e["what"].startswith("signal")]
    assert told[0] == "signal 12", told
    d.stop()
    assert len(box.events("signal 12")) == 2


def test_no_drain_signal_by_default(box):
    box.web(instances=1)
    d = start(box, 1)
    pid, = d.ready_pids()
    d.stop()
    assert [e["what"] for e in box.events() if "signal" in e["what"]] == \
        ["signal 15"]
    assert d.find(DRAINED(pid)), d.log()
    assert process_state(pid) is None
