"""A stop goes on where a supervisor was killed in its midst: the same phase, the same
deadlines, and nobody who is being served is lost."""

import os
import signal
import time

import pytest


import words
from control import client, do
from harness import (HAS_KEEPER, SLOW, ask, free_port, get, is_alive, kill,
                     probe, read_answer, wait_until)
from lanes import needs, parametrized
from test_survive import kill_supervisor
from test_survive_midst import ctl

pytestmark = pytest.mark.skipif(not HAS_KEEPER, reason="needs the keeper")

N = 3
LONG = 3 + SLOW         # s, within which a supervisor takes over
GOES_ON = "going on with the stop that was under way"


def kill_stopping(d):
    """Returns when the next one goes on with it."""
    mark, old = d.mark(), wait_until(d.find_supervisor, "a supervisor")
    kill(old)
    d.wait_log(GOES_ON, start=mark)
    wait_until(lambda: not is_alive(old), "its end")


def held(box, address, count):
    """Requests that are answered once the file `go` is there."""
    asked = [ask(address, f"/until{box.path('go')}", limit=30)
             for _ in range(count)]
    box.wait_events("until", count)
    return asked


def check_deadline(d, seconds, begin, end):
    """From that line to this one, not from what the last supervisor has begun."""
    def at(pattern):
        return words.when(d.find(rf"({words.TIME}).*(?:{pattern})")[-1][1])
    assert at(begin) + seconds - 0.1 < at(end) < \
        at(f"start complete|{GOES_ON}") + seconds


def terms(box):
    return [e["pid"] for e in box.events("signal 15")]


@parametrized("random", "shared", "round-robin", "least-connections")
def test_who_is_served_is_served_to_the_end(box, balance):
    """Also who waits in a queue; each worker gets one stop signal, after that."""
    needs(balance)
    box.web(instances=N, balance=balance, drain_timeout="20s")
    d = box.start()
    workers = d.wait_ready(N)
    slow = held(box, d.port(), 2 * N)
    busy = [ask(d.port(), "/busy/40") for _ in range(6 * N)]
    d.send(signal.SIGTERM)
    d.wait_log("SIGTERM: stopping")
    for _ in range(3):
        kill_stopping(d)
    box.touch("go")
    assert {read_answer(s).pid for s in slow + busy} <= set(workers)
    d.wait_end(0, limit=20)
    assert sorted(terms(box)) == sorted(workers)


def test_unix_listener(box):
    path = box.path("s")
    box.web(instances=N, listen=f"unix:{path}", drain_timeout="20s")
    d = box.start()
    workers = d.wait_ready(N)
    slow = held(box, path, N)
    busy = [ask(path, "/busy/40") for _ in range(4 * N)]
    d.send(signal.SIGTERM)
    wait_until(lambda: not os.path.exists(path), "its file is gone")
    kill_stopping(d)
    assert not os.path.exists(path)
    box.touch("go")
    assert {read_answer(s).pid for s in slow + busy} <= set(workers)
    d.wait_end(0, limit=20)


def test_new_clients_are_refused_as_before(box):
    port = free_port()
    box.web(instances=N, listen=f"127.0.0.1:{port}", drain_timeout="20s")
    d = box.start()
    d.wait_ready(N)
    slow = held(box, port, 3 * N)
    d.send(signal.SIGTERM)
    wait_until(lambda: not accepts(port), "new ones are refused")
    for _ in range(2):
        kill_stopping(d)
        assert not accepts(port)
    box.touch("go")
    for s in slow:
        read_answer(s)
    d.wait_end(0, limit=20)


def accepts(port):
    try:
        get(port, limit=5)
    except ConnectionError:
        return False
    return True


def test_deadline_of_the_stop_signal_is_kept(box):
    box.web("--ignore-term", instances=N, stop_timeout=f"{LONG * 1000:.0f}ms")
    d = box.start()
    workers = d.wait_ready(N)
    d.send(signal.SIGTERM)
    box.wait_events("signal 15", N)
    time.sleep(LONG / 4)
    kill_stopping(d)
    assert all(map(is_alive, workers))
    d.wait_end(0)
    check_deadline(d, LONG, "SIGTERM: stopping", "killing it")
    assert sorted(terms(box)) == sorted(workers)


def test_deadline_of_the_draining_is_kept(box):
    box.web(instances=1, drain_timeout=f"{LONG * 1000:.0f}ms")
    d = box.start()
    d.wait_ready(1)
    with ask(d.port(), "/slow/60000"):
        box.wait_events("slow", 1)
        d.send(signal.SIGTERM)
        d.wait_log("SIGTERM: stopping")
        time.sleep(LONG / 4)
        kill_stopping(d)
        box.wait_events("signal 15", 1)
        d.wait_end(0)
    check_deadline(d, LONG, "SIGTERM: stopping", "drain_timeout after")


def test_stop_delay_is_kept(box):
    box.web(instances=N, clusterd={"stop_delay": f"{LONG * 1000:.0f}ms"})
    d = box.start()
    workers = d.wait_ready(N)
    d.send(signal.SIGTERM)
    d.wait_log("going down")
    time.sleep(LONG / 4)
    kill_supervisor(d)
    get(d.port())
    assert do(box, "status").one("clusterd")["state"] == "going down"
    assert sorted(d.wait_workers(N)) == sorted(workers)
    d.wait_end(0)
    check_deadline(d, LONG, "going down", "web.*(stopping|drained)")


def test_second_signal_kills_as_before(box):
    box.web("--ignore-term", instances=N, stop_timeout="60s")
    d = box.start()
    d.wait_ready(N)
    d.send(signal.SIGTERM)
    box.wait_events("signal 15", N)
    kill_stopping(d)
    d.send(signal.SIGTERM)
    d.wait_log("SIGTERM again: killing what is left")
    d.wait_end(0)


def test_one_that_is_killed_again_and_again(box):
    box.web(instances=N, drain_timeout="20s")
    d = box.start()
    d.wait_ready(N)
    slow = held(box, d.port(), N)
    d.send(signal.SIGTERM)
    d.wait_log("SIGTERM: stopping")
    for _ in range(8):
        kill_stopping(d)
    box.touch("go")
    for s in slow:
        read_answer(s)
    d.wait_end(0, limit=20)


# --- of a single app

def configure(box, *names):
    box.config(**{name: {
        "command": probe("--events", box.events_path),
        "listen": "127.0.0.1:0", "drain_timeout": "20s",
        "instances": N if name == "web" else 1} for name in names})


@pytest.mark.parametrize("how", ["removed", "stopped"])
def test_app_that_leaves_goes_on_to(box, how):
    configure(box, "web", "other")
    d = box.start()
    d.wait_ready(N + 1)
    port, web = d.port("web"), d.ready_pids("web")
    slow = [ask(port, "/slow/1200") for _ in range(2 * N)]
    box.wait_events("slow", 2 * N)
    busy = [ask(port, "/busy/40") for _ in range(4 * N)]
    if how == "removed":
        configure(box, "other")
        d.send(signal.SIGHUP)
        d.wait_log("no longer listening")
    else:
        asker = client(box).send("stop web")
        asker.greet()
        d.wait_log("stopping, as asked")
    for _ in range(2):
        kill_supervisor(d)
    assert {read_answer(s).pid for s in slow + busy} <= set(web)
    wait_until(lambda: not set(web) & set(d.workers()), "they have gone")
    # The reload that was rolled back has others.
    assert sorted(set(terms(box)) & set(web)) == sorted(web)
    assert len(terms(box)) <= N + 1
    if how == "stopped":
        mark = d.mark()
        assert ctl(box, "start", "web").returncode == 0
        assert d.find(words.LISTENING("web"), mark)
    d.wait_ready(1, "other")
    d.stop()
