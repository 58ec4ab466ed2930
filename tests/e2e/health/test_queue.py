"""Who accepts nobody is found without being asked (`health = queue`)."""

import os
import re
import signal
import time

import pytest

import control
from harness import SLOW, system_calls, wait_until
from test_health import (SILENCE, all_known, forget, instances_of, mood,
                         moody, pid_of, wait_known)
from test_replacement import answered, ask


def queued(box, **keys):
    return moody(box, health="queue", **{
        "health_timeout": SILENCE, **keys})


def clients_until(box, d, port, log, limit=200):
    """Clients come, and wait or are served, until that is logged."""
    clients = []

    def come():
        if len(clients) < limit:
            clients.append(ask(port))
        return d.find(log)
    wait_until(come, log, 20)
    control.status(box)         # What it leads to is done.
    return clients


UNWELL = (r"unhealthy: \d+ connections? waits?, and none was accepted in \S+; "
          "new connections avoid it")


@pytest.mark.parametrize("balance", ["least-connections", "random"])
def test_steered_around_and_back(box, balance):
    d, port = queued(box, health_failures=1000, balance=balance)
    all_known(box, 3)
    mood(box, 1, "stuck")
    clients = clients_until(box, d, port, r"web\[1\] pid \d+: " + UNWELL)
    assert instances_of(port, 20)[1] == 0
    assert "none was accepted" in control.status(box).seat(1)["unhealthy"]
    forget(box, 1)
    assert all(answered(s) for s in clients)
    wait_known(box, d, r"web\[1\] pid \d+: healthy again", limit=20)
    assert instances_of(port, 40)[1] > 0
    assert not d.find(r"web\[[02]\] pid \d+: unhealthy")
    d.stop()


def test_replaced_beside(box):
    d, port = queued(box, canary="100ms")
    all_known(box, 3)
    before = set(d.ready_pids())
    bad = pid_of(box, 1)
    mood(box, f"pid.{bad}", "stuck")
    clients = clients_until(box, d, port, rf"web\[1\] pid {bad}: unhealthy")
    d.wait_log(rf"web\[1\] pid {bad}: unhealthy: \d+ connections? waits?, and "
               r"none was accepted in \S+, 2 times; (killed by|exited)",
               limit=20)
    # Whoever waited is served by somebody.
    assert all(answered(s) for s in clients)
    wait_until(lambda: control.status(box).app()["state"] == "running",
               "the restart is over")
    after = set(control.status(box).pids())
    assert len(after - before) == 1 and before - after == {bad}
    assert control.status(box).seat(1)["recycles_unhealthy"] == 1
    assert not re.search(rf"pid {bad}: healthy again", d.log())
    done = box.ctl("-s", control.place(box), "reload", limit=30)
    assert done.returncode == 0, done.stderr
    all_known(box, 3)
    d.stop()


def test_one_alone_with_a_queue_for_all(box):
    d, port = queued(box, instances=1, balance="shared", health_failures=1000)
    all_known(box, 1)
    mood(box, 0, "stuck")
    clients = clients_until(box, d, port, r"web\[0\] pid \d+: unhealthy")
    forget(box, 0)
    assert all(answered(s) for s in clients)
    d.wait_log(r"web\[0\] pid \d+: healthy again", limit=20)
    # Its successor has the same queue.
    old = pid_of(box, 0)
    done = box.ctl("-s", control.place(box), "reload", limit=30)
    assert done.returncode == 0, done.stderr
    d.wait_log(rf"web\[0\] pid {old}: (killed by|exited)", limit=20)
    pid = pid_of(box, 0)
    assert pid != old
    mood(box, 0, "stuck")
    clients = clients_until(box, d, port, rf"web\[0\] pid {pid}: unhealthy")
    forget(box, 0)
    assert all(answered(s) for s in clients)
    d.stop()


def test_the_next_supervisor_looks_too(box):
    d, port = queued(box, health_failures=1000)
    all_known(box, 3)
    mark = d.mark()
    os.kill(d.find_supervisor(), signal.SIGKILL)
    d.wait_log("workers of the supervisor before serve on", start=mark)
    all_known(box, 3)
    mood(box, 1, "stuck")
    clients = clients_until(box, d, port, r"web\[1\] pid \d+: unhealthy")
    mark = d.mark()
    os.kill(d.find_supervisor(), signal.SIGKILL)
    d.wait_log("workers of the supervisor before serve on", start=mark)
    assert instances_of(port, 20)[1] == 0
    forget(box, 1)
    assert all(answered(s) for s in clients)
    d.wait_log(r"web\[1\] pid \d+: healthy again", start=mark, limit=20)
    d.stop()


def test_nothing_is_called_while_nobody_waits(box):
    # Who takes longer to accept than that is not replaced for it.
    d, port = queued(box, health_timeout="10ms", health_failures=1000)
    all_known(box, 3)
    assert sum(instances_of(port, 6).values()) == 6
    wait_until(d.is_at_rest, "all is at rest")
    calls = system_calls(box, d, lambda: time.sleep(0.5))
    if calls is None:
        pytest.skip("it cannot be traced here")
    assert calls == []
    # One who is served at once is heard of, once.
    for _ in range(5):
        mark = d.mark()
        calls = system_calls(box, d, lambda: instances_of(port, 1))
        if not d.find("unhealthy", mark):
            break
        wait_until(d.is_at_rest, "all is at rest again")
    assert sum(c.startswith(("epoll_wait", "epoll_pwait")) for c in calls) < 8
    d.stop()
