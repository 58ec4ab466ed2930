"""Workers that bind all the time, die or stand still in it, or are many.

What clusterd owes to the others meanwhile: a killed worker of another app is
there again at once.
"""

import os
import platform
import random
import signal
import time

import pytest

import words
from binder import (all_answer, binder, returned, settings, start, tcp,
                    watched)
from harness import (SLOW, TimeLimit, free_port, get, is_alive, kill,
                     process_state, read_proc, wait_until)

BIND = {"x86_64": 49, "aarch64": 200}.get(platform.machine())


@pytest.fixture
def port():
    return free_port()


def with_neighbour(box, good_port, *steps, **keys):
    """The app `web` of these steps, and `good`, which serves its port."""
    keys = {"ready": "alive:50ms", "stop_timeout": "500ms", **keys}
    box.config(web=settings(*steps, **keys),
               good=settings(*tcp(good_port, "127.0.0.1"), "serve:accept",
                             port=good_port))
    d = box.start()
    d.wait_ready(2, app="good")
    return d


def neighbour_is_well(d, port, times=5):
    """A killed worker is replaced, and the new one serves, within a second: most of
    them, where the machine is busy."""
    took = []
    for _ in range(times):
        old = d.ready_pids("good")
        mark = d.mark()
        since = time.time()
        kill(old[0])
        new, = set(d.wait_replaced(old[:1], 2, app="good")) - set(old)
        # By its own clock: to see that may take long where there is no CPU.
        stamp = d.find(rf"({words.TIME}) +\w+ +good\[\d\] pid {new}: ready",
                       mark)[0][1]
        took.append(words.when(stamp) - since)
        get(port)
    assert sorted(took)[(times - 1) // 2] < 1 * SLOW, took
    assert {a.pid for a in all_answer(d, port, 2)} == \
        set(d.ready_pids("good"))


def count_fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def is_in_bind(pid):
    number = read_proc(pid, "syscall").split()[:1]
    return number == [str(BIND).encode()] and process_state(pid) == "S"


needs_syscall = pytest.mark.skipif(
    BIND is None or not read_proc("self", "syscall"),
    reason="cannot see who is in bind(2)")


# --- binds all the time

def spinning(instances, **keys):
    other = free_port()
    return {"steps": [f"spin:tcp4:127.0.0.1:{other}"], "keys": {
        "instances": instances, "listen": "127.0.0.1:0", **keys}}


def test_worker_that_binds_all_the_time_holds_nobody_up(box, port):
    app = spinning(1)
    d = with_neighbour(box, port, *watched(box, *app["steps"]), **app["keys"])
    box.wait_events("spin")
    neighbour_is_well(d, port)
    d.stop()


def test_storm_of_stops_on_binding_workers_harms_nobody(box, port):
    app = spinning(2)
    d = with_neighbour(box, port, *watched(box, *app["steps"]), **app["keys"])
    box.wait_events("spin", 2)
    for pid in d.wait_ready(2, app="web") * 50:
        kill(pid, signal.SIGSTOP)
        kill(pid, signal.SIGCONT)
    neighbour_is_well(d, port)
    d.stop()


def test_kills_amid_binds_harm_nobody(box, port):
    app = spinning(2, restart_delay_max="20ms")
    d = with_neighbour(box, port, *watched(box, *app["steps"]), **app["keys"])
    box.wait_events("spin", 2)
    fds = count_fds(d.pid)
    for n in range(20):
        pid = random.choice(d.wait_ready(2, app="web"))
        kill(pid)
        d.wait_replaced([pid], 2, app="web")
    neighbour_is_well(d, port)
    wait_until(lambda: count_fds(d.pid) <= fds + 4,
               lambda: f"{fds} descriptors, there are {count_fds(d.pid)}")
    d.stop()


def test_workers_that_die_in_bind_harm_nobody(box, port):
    d = with_neighbour(
        box, port, *watched(box, "die-in-bind:tcp4:127.0.0.1:0"),
        listen="127.0.0.1:0", instances=4, restart_delay_max="20ms")
    box.wait_events("die", 12)
    fds = count_fds(d.pid)
    neighbour_is_well(d, port, times=2)
    box.wait_events("die", 48)
    wait_until(lambda: count_fds(d.pid) <= fds + 8,
               lambda: f"{fds} descriptors, there are {count_fds(d.pid)}")
    d.stop()


def test_workers_that_die_while_they_bind_the_lane_harm_nobody(box, port):
    other = free_port()
    d = with_neighbour(
        box, port, *watched(box, f"die-in-bind:tcp4:0.0.0.0:{other}"),
        port=other, instances=4, restart_delay_max="20ms")
    box.wait_events("die", 24)
    neighbour_is_well(d, port, times=2)
    d.stop()


def test_storm_of_kills_ends_with_all_instances_serving(box, port):
    d = start(box, *tcp(port), "serve:accept", port=port, instances=3,
              restart_delay_max="20ms")
    for _ in range(30):
        kill(random.choice(wait_until(d.workers, "a worker")))
    d.wait_ready(3)
    all_answer(d, port, 3)
    d.stop()


# --- stands still in it

def held_in_bind(box, port, other):
    """A worker is in bind(2), and clusterd has not heard of it."""
    d = with_neighbour(
        box, port, *watched(box, f"until:{box.path('go')}", *tcp(other),
                            "serve:accept"),
        port=other, instances=1, ready="accept", ready_timeout="60s")
    pid = box.wait_events("start")[0]["pid"]
    os.kill(d.pid, signal.SIGSTOP)
    wait_until(lambda: process_state(d.pid) == "T", "clusterd stands still")
    box.touch("go")
    try:
        wait_until(lambda: is_in_bind(pid), "the worker is in bind")
    except TimeLimit:
        os.kill(d.pid, signal.SIGCONT)
        raise
    return d, pid


@needs_syscall
def test_worker_killed_in_bind_is_replaced(box, port):
    other = free_port()
    d, pid = held_in_bind(box, port, other)
    kill(pid)
    os.kill(d.pid, signal.SIGCONT)
    d.wait_replaced([pid], 1, app="web")
    assert returned(get(other)) == [0]
    neighbour_is_well(d, port, times=3)
    d.stop()


@needs_syscall
def test_worker_stopped_in_bind_goes_on_later(box, port):
    other = free_port()
    d, pid = held_in_bind(box, port, other)
    os.kill(pid, signal.SIGSTOP)
    os.kill(d.pid, signal.SIGCONT)
    neighbour_is_well(d, port)
    assert d.ready_pids("web") == []
    os.kill(pid, signal.SIGCONT)
    assert d.wait_ready(1, app="web") == [pid]
    assert returned(get(other)) == [0]
    d.stop()


@needs_syscall
def test_worker_stopped_in_bind_for_ever_does_not_hold_up_the_stop(box, port):
    d, pid = held_in_bind(box, port, free_port())
    os.kill(pid, signal.SIGSTOP)
    os.kill(d.pid, signal.SIGCONT)
    neighbour_is_well(d, port, times=3)
    d.stop()
    assert not is_alive(pid)


@needs_syscall
def test_worker_stopped_in_bind_does_not_hold_up_a_reload(box, port):
    other = free_port()
    d, pid = held_in_bind(box, port, other)
    os.kill(pid, signal.SIGSTOP)
    os.kill(d.pid, signal.SIGCONT)
    old = d.ready_pids("good")
    d.send(signal.SIGHUP)
    d.wait_replaced(old, 2, app="good")
    d.wait_replaced([pid], 1, app="web")
    assert returned(get(other)) == [0]
    d.stop()


@needs_syscall
def test_stop_while_a_worker_is_in_bind(box, port):
    d, pid = held_in_bind(box, port, free_port())
    d.send(signal.SIGTERM)
    os.kill(d.pid, signal.SIGCONT)
    d.wait_end(0)
    assert not is_alive(pid)


@needs_syscall
def test_clusterd_killed_while_a_worker_is_in_bind(box, port):
    """Whose bind then fails; it does not sleep for ever."""
    d, pid = held_in_bind(box, port, free_port())
    d.kill_all_of_it()
    wait_until(lambda: not box.survivors(), "the end of the workers")


# --- very many

@pytest.mark.heavy
def test_hundred_workers_that_bind_at_once_become_ready(box, port):
    count = 100
    box.config(web=settings(
        *watched(box, f"until:{box.path('go')}", *tcp(port), "serve:accept"),
        port=port, instances=count, ready="accept"))
    d = box.start()
    wait_until(lambda: len(box.events("start")) == count, "all of them", 30)
    box.touch("go")
    d.wait_ready(count, limit=30)
    assert len(box.events("bind.a 0")) == count
    assert returned(get(port)) == [0]
    d.stop(limit=30)


@pytest.mark.heavy
def test_hundred_descendants_that_bind_at_once_are_adopted(box, port):
    """Of two workers, in a shell's background."""
    go = box.path("go")
    command = binder("--events", box.events_path, f"until:{go}", *tcp(port),
                     "serve:accept")
    script = box.write("many", f"for n in $(seq 50); do {command} & done\n"
                       "wait\n")
    box.config(web={"command": f"sh {script}", "port": port, "instances": 2})
    d = box.start()
    wait_until(lambda: len(box.events("start")) == 100, "all of them", 30)
    box.touch("go")
    d.wait_ready(2, limit=30)
    wait_until(lambda: len(box.events("serve")) == 100, "all of them", 30)
    assert len(box.events("bind.a 0")) == 100
    get(port)
    d.stop(limit=30)
