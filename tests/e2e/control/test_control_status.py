"""The control socket: is what status tells true?"""

import contextlib
import os
import signal
import socket
import time

import pytest

import control
import lanes
from control import do, status, wait_status
from harness import (PROBE, SLOW, ask, children_of, free_port, get,
                     process_state, read_answer, status_field, wait_until)


@pytest.mark.valgrind
def test_status_of_what_runs_well(box):
    box.web(balance="shared")
    begun = time.monotonic()
    d = box.start()
    pids = d.wait_ready(2)
    now = status(box)
    up = (time.monotonic() - begun) * 1000
    sup = now.one("clusterd")
    assert sup["pid"] == d.keeper
    assert sup["config"] == os.path.realpath(box.path("app.ini"))
    assert sup["version"] in now.lines[0] and sup["state"] == "running"
    assert 0 < sup["uptime_ms"] <= up
    assert sup["cpu_ns"] > 0 and sup["reloads_refused"] == 0
    rss = int(status_field(d.pid, "VmRSS").split()[0]) * 1024
    assert rss / 2 < sup["memory_bytes"] < rss * 2
    app = now.app()
    assert (app["state"], app["generation"]) == ("running", 1)
    assert (app["wanted"], app["ready"]) == (2, 2)
    assert (app["reloads_ok"], app["reloads_aborted"]) == (0, 0)
    assert not {"target", "moved", "reload_error"} & set(app)
    l = now.one("listener")
    assert l["address"] == f"127.0.0.1:{d.port()}"
    assert (l["balance"], l["lanes"], l["state"]) == ("shared", 1, "open")
    assert l["waiting"] == 0 and l["backlog"] > 0
    assert "dropped" not in l
    assert set(now.pids()) == set(pids)
    for r in now.seats():
        assert (r["state"], r["generation"]) == ("ready", 1)
        assert 0 < r["uptime_ms"] <= up and r["ready_ms"] <= up
        rss = int(status_field(r["pid"], "VmRSS").split()[0]) * 1024
        assert rss / 2 <= r["memory_bytes"] <= rss * 2
        assert [r[k] for k in sorted(r) if k.startswith("restarts_")] == [0] * 6
        assert not {"death", "death_ago_ms", "restart_in_ms",
                    "connections", "connections_total"} & set(r)
    later = status(box)
    assert later.one("clusterd")["uptime_ms"] >= sup["uptime_ms"]
    d.stop()


def test_listeners_of_every_kind(box):
    port = free_port()
    box.web(port=str(free_port()), listen=[
        f"127.0.0.1:{port}", f"udp:127.0.0.1:{free_port(socket.SOCK_DGRAM)}",
        f"unix:{box.path('web.sock2')}"], balance="random")
    d = box.start()
    d.wait_ready(2)
    found = {r["address"]: r for r in status(box).all("listener")}
    assert len(found) == 4
    kinds = {}
    for address, r in found.items():
        kind = "udp" if address.startswith("udp:") else \
            "unix" if address.startswith("unix:") else \
            "any" if address.startswith("*:") else "tcp"
        kinds[kind] = r
        assert ("waiting" in r) == ("backlog" in r) == (kind != "udp"), r
    assert set(kinds) == {"udp", "unix", "any", "tcp"}
    assert kinds["unix"]["address"] == "unix:" + box.path("web.sock2")
    assert (kinds["unix"]["balance"], kinds["unix"]["lanes"]) == ("shared", 1)
    assert (kinds["tcp"]["balance"], kinds["tcp"]["lanes"]) == ("random", 2)
    assert kinds["tcp"]["backlog"] >= 2 * min(4096, int(open(
        "/proc/sys/net/core/somaxconn").read()))
    d.stop()


def test_queue_of_a_worker_that_does_not_accept(box):
    box.web(balance="random")
    d = box.start()
    pids = d.wait_ready(2)
    with lanes.stopped(pids), contextlib.ExitStack() as stack:
        lanes.hold(stack, d.port(), 30)
        now = wait_status(box, lambda s: s.one("listener")["waiting"] == 30)
        assert sum(r["waiting"] for r in now.seats()) == 30
        # Nobody waits for workers that stand still.
        assert {process_state(pid) for pid in pids} == {"T"}
    wait_status(box, lambda s: s.one("listener")["waiting"] == 0)
    d.stop()


def test_queue_of_a_shared_listener(box):
    box.web(balance="shared")
    d = box.start()
    pids = d.wait_ready(2)
    with lanes.stopped(pids), contextlib.ExitStack() as stack:
        lanes.hold(stack, d.port(), 30)
        now = wait_status(box, lambda s: s.one("listener")["waiting"] == 30)
        # It is nobody's own.
        assert not any("waiting" in r for r in now.seats())
    d.stop()


@lanes.parametrized(*lanes.PRIVILEGED)
def test_connections_are_counted_where_ebpf_is(box, balance):
    lanes.needs(balance)
    box.web(balance=balance)
    d = box.start()
    d.wait_ready(2)
    with contextlib.ExitStack() as stack:
        lanes.hold(stack, d.port(), 10)
        now = wait_status(box, lambda s: sum(
            r["connections"] for r in s.seats()) == 10)
        assert [r["connections"] for r in now.seats()] == [5, 5]
        assert [r["connections_total"] for r in now.seats()] == [5, 5]
        assert now.one("listener")["dropped"] == 0
    wait_status(box, lambda s: all(r["connections"] == 0 for r in s.seats()))
    for _ in range(4):
        get(d.port())
    now = status(box)
    assert sum(r["connections_total"] for r in now.seats()) == 14
    d.stop()


# --- deaths and restarts

def counts(record):
    return {k[len("restarts_"):]: v for k, v in record.items()
            if k.startswith("restarts_") and v}


def test_restarts_are_counted_by_their_causes(box):
    box.web(restart_delay="10ms", restart_delay_max="20ms")
    d = box.start()
    d.wait_ready(2)
    death, now = None, status(box)
    for cause, words_ in (("signal", "killed by signal 9 (SIGKILL)"),
                          ("failure", "exited with code 1"),
                          ("exit", "exited with code 0")):
        if cause == "signal":
            os.kill(now.seat(0)["pid"], signal.SIGKILL)
            victim = 0
        else:
            victim = get(d.port(), f"/exit/{words_[-1]}").instance
        old = now.seat(victim)
        now = wait_status(box, lambda s: counts(s.seat(victim)).get(cause, 0)
                          == counts(old).get(cause, 0) + 1
                          and s.app()["ready"] == 2)
        assert now.seat(victim)["pid"] != old["pid"]
        assert now.seat(victim)["death"].startswith(words_)
        assert now.seat(victim)["death_ago_ms"] < 10000 * SLOW
    assert sum(sum(counts(r).values()) for r in now.seats()) == 3
    # They are the instance's, whichever worker it has.
    before = [counts(r) for r in now.seats()]
    do(box, "reload")
    now = status(box)
    assert [counts(r) for r in now.seats()] == before
    assert "death" in now.seat(0)
    d.stop()


def test_program_that_can_be_executed_no_more(box):
    program = box.copy(PROBE, "server")
    box.web(command=program, instances=1, restart_delay="10ms",
            restart_delay_max="20ms")
    d = box.start()
    pid, = d.wait_ready(1)
    os.rename(program, program + ".away")
    os.kill(pid, signal.SIGKILL)
    now = wait_status(box, lambda s: counts(s.seat()).get("start", 0) >= 2)
    assert "cannot execute" in now.seat()["death"]
    assert "No such file" in now.seat()["death"]
    os.rename(program + ".away", program)
    do(box, "wait")
    d.stop()


def test_worker_that_is_not_ready_in_time(box):
    box.web("--ready", "never", instances=1, ready="notify",
            ready_timeout="200ms", restart_delay="100ms")
    d = box.start()
    now = wait_status(box, lambda s: counts(s.seat()).get("timeout", 0) >= 1)
    assert "not ready in time" in now.seat()["death"]
    assert set(counts(now.seat())) == {"timeout"}
    assert "ready_ms" not in now.seat()
    d.stop()


def test_worker_that_waits_for_its_restart(box):
    box.web("--ready", "never", "--exit-after", "1", "--exit-code", "9",
            instances=1,
            restart_delay="1h", restart_delay_max="1h", ready="alive:1h",
            ready_timeout="2h")
    d = box.start()
    now = wait_status(box, lambda s: s.seat()["state"] == "backoff")
    r = now.seat()
    assert 3000000 < r["restart_in_ms"] <= 3960000
    assert not {"pid", "uptime_ms", "cpu_ns", "memory_bytes"} & set(r), r
    assert r["death"].startswith("exited with code 9")
    assert now.app()["ready"] == 0
    # Each app has been ready, or has failed once.
    assert now.one("clusterd")["state"] == "running"
    d.stop()


def test_apps_at_their_end(box):
    box.config(
        well={"command": "/bin/true", "restart": "never"},
        badly={"command": "/bin/false", "restart": "never"},
        parked={"command": "/bin/false", "restart_limit": "1/60s",
                "restart_delay": "10ms"},
        last={"command": "/bin/sleep 1000"})
    d = box.start()
    now = wait_status(box, lambda s: all(
        a["state"] != "running" for a in s.all("app") if a["name"] != "last"))
    assert now.app("well")["state"] == "ended"
    assert {r["state"] for r in now.seats("well")} == {"ended"}
    for app, state in (("badly", "failed"), ("parked", "parked")):
        assert now.app(app)["state"] == "failed"
        assert {r["state"] for r in now.seats(app)} == {state}
        assert all(r["death"].startswith("exited with code 1")
                   for r in now.seats(app))
    d.stop()


# --- what workers use

def test_cpu_time_is_that_of_the_whole_tree(box):
    box.config(
        idle={"command": "/bin/sleep 1000", "instances": 1},
        busy={"command": "/bin/sh -c 'while :; do :; done'", "instances": 1},
        child={"command": "/bin/sh -c '(while :; do :; done) & wait'",
               "instances": 1})
    d = box.start()

    def used(app):
        return status(box).seat(app=app)["cpu_ns"]
    do(box, "wait")
    for app in ("busy", "child"):
        before = used(app)
        wait_until(lambda: used(app) > before + 100_000_000, f"{app} works")
    assert used("idle") < 100_000_000
    leader = status(box).seat(app="child")
    tree = [leader["pid"], *children_of(leader["pid"])]
    resident = sum(int(status_field(pid, "VmRSS").split()[0]) for pid in tree)
    assert len(tree) == 2
    assert 0.8 < leader["memory_bytes"] / (resident * 1024) < 1.2
    d.stop()


def test_retiring_workers_are_told_as_such(box):
    box.web(canary="0", max_surge=2)
    d = box.start()
    old = d.wait_ready(2)
    busy = [ask(d.port(), f"/until{box.path('go')}") for _ in range(6)]
    box.wait_events("until", 6)
    # without clusterctl's, which ends when they have gone
    d.send(signal.SIGHUP)
    now = wait_status(box, lambda s: s.all("instance", role="retiring") and
                      {r["generation"] for r in s.seats()} == {2})
    for r in now.all("instance", role="retiring"):
        assert r["pid"] in old and r["generation"] == 1
        assert r["state"] in ("draining", "stopping")
        assert not any(k.startswith("restarts") for k in r)
    assert {r["generation"] for r in now.seats()} == {2}
    box.touch("go")
    for s in busy:
        read_answer(s)
    wait_status(box, lambda s: not s.all("instance", role="retiring"))
    d.stop()


def test_listener_that_is_closing(box):
    box.web(listen=f"127.0.0.1:{free_port()}", canary="0", instances=1)
    d = box.start()
    d.wait_ready(1)
    busy = ask(d.port(), f"/until{box.path('go')}")
    box.wait_events("until")
    box.web(canary="0", instances=1)
    d.send(signal.SIGHUP)
    wait_status(box, lambda s: sorted(
        r["state"] for r in s.all("listener")) == ["closing", "open"])
    box.touch("go")
    read_answer(busy)
    wait_status(box, lambda s: len(s.all("listener")) == 1)
    d.stop()


def test_app_of_the_command_line_has_no_file(box):
    d = box.start("-p", "0", "-n", "1", "--", PROBE)
    d.wait_ready(1)
    now = status(box)
    assert "config" not in now.one("clusterd")
    assert now.app("probe")["ready"] == 1
    assert str(d.keeper) in os.path.basename(control.place(box))
    do(box, "restart probe")
    do(box, "reload")
    d.stop()


def test_worker_that_is_stopped_by_a_signal_holds_up_no_status(box):
    box.web(stop_timeout="300ms")
    d = box.start()
    pids = d.wait_ready(2)
    with lanes.stopped(pids):
        assert set(status(box).pids()) == set(pids)
    d.stop()
