"""Clients of a supervisor that is killed: the next one of the same keeper answers."""

import os
import re
import signal
import subprocess
import threading
import time

import pytest

from control import Client, client, place
from harness import (CLUSTERCTL, HAS_KEEPER, PROBE, SLOW, WRAP, is_alive,
                     process_state, wait_until)

pytestmark = pytest.mark.skipif(not HAS_KEEPER, reason="needs the keeper")


def end(d):
    """Returns when another one is there, or has been."""
    old = d.pid
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: d.find_supervisor() not in (None, old) or
               not is_alive(d.keeper), "the next one")


class Ctl:
    """A clusterctl that runs."""

    def __init__(self, box, *arguments):
        self.out = box.path("ctl.out")
        with open(self.out, "wb") as f:
            self.process = subprocess.Popen(
                [*WRAP, CLUSTERCTL, "-c", "app.ini", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=f, stderr=f, cwd=box.dir,
                env=box.environment({"RUNTIME_DIRECTORY": box.dir}))

    def said(self):
        with open(self.out, encoding="utf-8") as f:
            return f.read()

    def wait(self, limit=20):
        try:
            return self.process.wait(limit * SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@pytest.fixture(name="ctl")
def fixture_ctl(box):
    running = []

    def start(*arguments):
        running.append(Ctl(box, *arguments))
        return running[-1]
    yield start
    for c in running:
        if c.process.poll() is None:
            c.process.kill()
        c.process.wait()


def gated(box, **more):
    """An app that is ready once there is a file."""
    gate = box.path("gate")
    box.config(web={"command": f"sh -c 'while ! test -e {gate}; do "
                    f"sleep 0.05; done; exec {PROBE}'",
                    "listen": "127.0.0.1:0", "instances": 1,
                    "ready_timeout": "60s", **more})
    return gate


@pytest.mark.parametrize("command", ["status", "metrics"])
def test_questions_are_asked_again(box, command):
    box.web()
    d = box.start()
    d.wait_ready(2)
    over = threading.Event()

    def kill_on():
        while not over.wait(0.07):
            mark = d.mark()
            end(d)
            d.wait_log("start complete", start=mark)
    killer = threading.Thread(target=kill_on)
    killer.start()
    try:
        for _ in range(20):
            done = box.ctl("-c", "app.ini", command,
                           env={"RUNTIME_DIRECTORY": box.dir})
            assert (done.returncode, done.stderr) == (0, "")
    finally:
        over.set()
        killer.join()
    d.wait_ready(2)
    d.stop()


def test_who_waits_in_the_queue_is_served_by_the_next_one(box):
    box.web()
    d = box.start()
    d.wait_ready(2)
    path, before = place(box), os.stat(place(box))
    os.kill(d.pid, signal.SIGSTOP)
    wait_until(lambda: process_state(d.pid) == "T", "it stands still")
    with Client(path) as c:
        c.send("status")
        end(d)
        assert c.answer().ok
        assert " supervisor=1" in c.greeting
    assert os.stat(path).st_ino == before.st_ino
    d.stop()
    assert not os.path.exists(path)


def test_socket_that_was_removed_is_made_again(box):
    box.web()
    d = box.start()
    d.wait_ready(2)
    path = place(box)
    os.unlink(path)
    end(d)
    with client(box) as c:
        assert c.ask("status").ok
    assert place(box) == path
    d.stop()


def test_wait_goes_on(box, ctl):
    gate = gated(box)
    d = box.start()
    d.wait_workers(1)
    waiting = ctl("wait")
    time.sleep(0.3)
    for _ in range(2):
        end(d)
        time.sleep(0.1)
    assert waiting.process.poll() is None, waiting.said()
    box.touch("gate")
    assert waiting.wait() == 0, waiting.said()
    assert os.path.exists(gate)
    d.stop()


@pytest.mark.parametrize("command", [("reload",), ("restart", "web")])
def test_rollout_that_is_rolled_back_is_told(box, ctl, command):
    gate = gated(box)
    box.touch("gate")
    d = box.start()
    worker, = d.wait_ready(1)
    os.unlink(gate)
    reload = ctl(*command)
    d.wait_workers(2)
    end(d)
    assert reload.wait() == 1
    assert re.search("clusterctl: another supervisor has taken over before the "
                     f"{command[0]} was complete, as .*: ask again",
                     reload.said())
    box.touch("gate")
    assert d.wait_ready(1) == [worker]
    d.stop()


def test_stop_of_an_app_goes_on(box, ctl):
    box.config(web={"command": PROBE, "listen": "127.0.0.1:0"},
               job={"command": [PROBE, "--ignore-term"], "instances": 1,
                    "stop_timeout": "2s"})
    d = box.start()
    worker, = d.wait_ready(1, "job")
    stop = ctl("stop", "job")
    d.wait_log(r"job\[0\] pid \d+: .*stop")
    end(d)
    assert stop.wait() == 0, stop.said()
    wait_until(lambda: not is_alive(worker), "its end")
    d.stop()


def test_stop_of_all_in_the_queue_is_heard(box, ctl):
    box.web()
    d = box.start()
    d.wait_ready(2)
    os.kill(d.pid, signal.SIGSTOP)
    wait_until(lambda: process_state(d.pid) == "T", "it stands still")
    stop = ctl("stop")
    time.sleep(0.2)
    end(d)
    assert stop.wait() == 0, stop.said()
    d.wait_end(0)


def stop_under(d, follower):
    """Who follows ends when clusterd has, and is one of those who have to be
    gone then."""
    d.send(signal.SIGTERM)
    assert follower.wait() == 0, follower.said()
    d.wait_end(0)


def test_logs_are_followed_on(box, ctl):
    box.config(job={"command": "sh -c 'i=0; while :; do i=$((i+1)); "
                    "echo line $i; sleep 0.02; done'", "instances": 1,
                    "stdout": box.path("out.log")})
    d = box.start()
    d.wait_workers(1)
    logs = ctl("logs", "-f", "job")
    wait_until(lambda: "line " in logs.said(), "lines")
    end(d)
    wait_until(lambda: "going on with the next one" in logs.said(), "a word")
    seen = len(logs.said().splitlines())
    wait_until(lambda: len(logs.said().splitlines()) > seen + 5, "more")
    numbers = [int(n) for n in re.findall(r"line (\d+)\n", logs.said())]
    assert numbers == sorted(set(numbers))
    stop_under(d, logs)


@pytest.mark.parametrize("how", ["kill", "upgrade"])
def test_events_are_followed_on(box, ctl, how):
    def ask(*words):
        return box.ctl("-c", "app.ini", *words,
                       env={"RUNTIME_DIRECTORY": box.dir})

    box.web(instances=1)
    d = box.start()
    d.wait_ready(1)
    events = ctl("events", "-f", "web")
    wait_until(lambda: "ready" in events.said(), "events")
    if how == "kill":
        end(d)
    else:
        assert ask("upgrade").returncode == 0
    wait_until(lambda: "going on with the next one" in events.said(), "a word")
    seen = len(events.said())
    assert ask("restart", "web").returncode == 0
    wait_until(lambda: ": ready, " in events.said()[seen:], "more")
    stop_under(d, events)
