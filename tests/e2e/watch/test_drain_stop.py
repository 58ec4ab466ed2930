"""A stop drains first: what was taken is finished, who comes is refused.

The servers are those of servers/abrupt.py, which lose at once on TERM whatever
they have not finished, and the probe.
"""

import contextlib
import os
import shlex
import signal
import time
import subprocess
import threading

import pytest

from binder import settings as binder_settings
from binder import tcp
from drains import DRAINED, TIMED_OUT, Client, abrupt, begin, start, wait_gone
from harness import (CLUSTERCTL, CUT, SLOW, ask, free_port, get, is_alive,
                     is_refused, is_socket, probe, read_answer, wait_until)
from lanes import as_nobody, needs, nobodys_probe, parametrized

SETTLE_MS = 20      # DRAIN_SETTLE_MS of core/worker/drain.h

each_way = parametrized("least-connections", "round-robin", "random", "source",
                        "shared")


def start_abrupt(box, balance="random", count=1, **keys):
    needs(balance)
    abrupt(box, balance=balance, instances=count, **keys)
    d = start(box, count)
    return d, d.addresses()[0]


def wait_refused(address):
    wait_until(lambda: is_refused(address), "new clients are refused")


def ctl(box, *arguments):
    return box.ctl("-c", box.path("app.ini"), *arguments,
                   env={"RUNTIME_DIRECTORY": box.dir})


def stop_by_clusterctl(box):
    """Which waits for the end."""
    return subprocess.Popen([CLUSTERCTL, "-c", box.path("app.ini"), "stop"],
                            env=box.ctl_environment(
                                {"RUNTIME_DIRECTORY": box.dir}))


def half(stack, address, count=1):
    """Requests that hold their worker up until they are complete."""
    clients = [stack.enter_context(Client(address)) for _ in range(count)]
    for client in clients:
        client.socket.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
    return clients


def complete(client):
    client.socket.sendall(b"\r\n")
    answer = client.read()
    client.socket.close()
    return answer


# --- what is under way is finished, and who comes is refused

@each_way
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_requests_are_finished_and_new_clients_refused(box, balance, number):
    d, address = start_abrupt(box, balance, 2, drain_timeout="60s")
    with contextlib.ExitStack() as stack:
        clients = half(stack, address, count=6)
        d.send(number)
        wait_refused(address)
        assert d.process.poll() is None, "the requests are not finished yet"
        assert {complete(c).instance for c in clients} <= {0, 1}
    d.wait_end(0)


@pytest.mark.parametrize("balance", ["random", "source", "shared"])
def test_without_privileges_too(box, balance):
    who = as_nobody(box)
    box.web(command=nobodys_probe(box), balance=balance, drain_timeout="60s")
    d = box.start(**who)
    d.wait_ready(2)
    address = d.addresses()[0]
    with contextlib.ExitStack() as stack:
        clients = half(stack, address, count=6)
        d.send(signal.SIGTERM)
        wait_refused(address)
        # By `source` all are one's, and the other has nothing left.
        told = {int(e["pid"]) for e in box.events("signal 15")}
        assert told.isdisjoint({complete(c).pid for c in clients})
    d.wait_end(0)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_on_all_addresses(box, host):
    """One socket for both families."""
    d, address = start_abrupt(box, listen="0", drain_timeout="60s")
    address = (host, d.port())
    with contextlib.ExitStack() as stack:
        client, = half(stack, address)
        d.send(signal.SIGTERM)
        wait_refused(("127.0.0.1", d.port()))
        wait_refused(("::1", d.port()))
        complete(client)
    d.wait_end(0)


@each_way
def test_queue_is_served(box, balance):
    """A worker that takes one at a time."""
    needs(balance)
    box.web(instances=1, balance=balance, drain_timeout="60s")
    d = start(box, 1)
    address = d.addresses()[0]
    busy = ask(address, "/busy/800")
    box.wait_events("busy")
    waiting = [ask(address) for _ in range(5)]
    d.send(signal.SIGTERM)
    wait_refused(address)
    read_answer(busy)
    for s in waiting:
        read_answer(s)
    d.wait_end(0)


def test_worker_that_dies_is_started_again_for_those_who_wait(box):
    box.web(instances=1, balance="random", restart_delay="10ms",
            drain_timeout="60s")
    d = start(box, 1)
    pid, = d.ready_pids()
    address = d.addresses()[0]
    busy = ask(address, "/busy/60000")
    box.wait_events("busy")
    waiting = [ask(address) for _ in range(3)]
    d.send(signal.SIGTERM)
    wait_refused(address)
    os.kill(pid, signal.SIGKILL)
    for s in waiting:
        assert read_answer(s).pid != pid
    busy.close()
    d.wait_end(0)


def test_no_worker_is_started_for_those_whose_sharer_still_serves(box):
    box.web(instances=2, balance="shared", restart_delay="10ms",
            drain_timeout="60s")
    d = start(box, 2)
    address = d.addresses()[0]
    busy = []
    for n in 1, 2:      # one that sees two clients takes both
        busy.append(ask(address, "/busy/3000"))
        pids = {e["pid"] for e in box.wait_events("busy", n)}
    assert len(pids) == 2
    waiting = [ask(address) for _ in range(3)]
    d.send(signal.SIGTERM)
    wait_refused(address)
    pid = pids.pop()
    os.kill(pid, signal.SIGKILL)
    for s in waiting:
        assert {read_answer(s).pid} == pids
    for s in busy:
        s.close()
    d.wait_end(0)
    assert len(box.events("start")) == 2


def test_nobody_is_started_when_the_time_is_over(box):
    """It would be stopped again a moment later."""
    box.web(instances=1, balance="random", drain_timeout="400ms",
            stop_signal="KILL")
    d = start(box, 1)
    address = d.addresses()[0]
    busy = ask(address, "/busy/60000")
    box.wait_events("busy")
    waiting = ask(address)
    d.send(signal.SIGTERM)
    d.wait_end(0)
    assert d.find("drain_timeout after"), d.log()
    assert len(box.events("start")) == 1
    for s in busy, waiting:
        s.close()


class UntilRefused:
    """Clients that come all the time, until nobody lets them in."""

    def __init__(self, address, count=4):
        self.address = address
        self.answered = 0
        self.lost = []
        self.threads = [threading.Thread(target=self._come)
                        for _ in range(count)]

    def _come(self):
        while True:
            try:
                get(self.address)
                self.answered += 1
            except (ConnectionRefusedError, FileNotFoundError):
                return
            except (*CUT, OSError) as e:
                self.lost.append(e)
                return

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_until(lambda: self.answered > 20, "answers")
        return self

    def __exit__(self, *_):
        for thread in self.threads:
            thread.join()


@each_way
def test_under_load_nobody_is_lost(box, balance):
    """Answered, or refused: nothing in between."""
    d, address = start_abrupt(box, balance, 2)
    with UntilRefused(address) as clients:
        d.send(signal.SIGTERM)
    assert clients.lost == []
    d.wait_end(0)


# --- what does not hold it up, and for how long

def test_idle_connections_do_not_hold_a_stop_up(box):
    """Neither drain_idle nor drain_timeout is waited for."""
    d, address = start_abrupt(box, drain_idle="60s", drain_timeout="60s",
                              count=1)
    pid, = d.ready_pids()
    with Client(address) as used, Client(address):
        used.get()
        d.stop(limit=20)
        assert used.is_cut()
    assert d.find(DRAINED(pid, "2 idle connections are left")), d.log()


def test_address_that_no_server_binds_does_not_hold_a_stop_up(box):
    """Where new clients are refused there are no places in the kernel's order
    that have to settle."""
    ports = [free_port(), free_port()]
    box.config(web=binder_settings(
        *tcp(ports[0]), "serve:epoll", listen=ports, handoff="adopt",
        ready="accept", balance="random", instances=2))
    took = []
    for _ in range(60):     # of a busy machine, the best
        d = start(box, 2)
        get(ports[0])
        d.send(signal.SIGTERM)
        d.wait_end(0)
        took += [int(m[1]) for m in d.find(r"drained in (\d+)ms")]
        if took and min(took) < SETTLE_MS:
            break
    assert min(took) < SETTLE_MS, took


def test_with_drain_idle_off_connections_have_to_be_closed(box):
    d, address = start_abrupt(box, drain_idle="off", drain_timeout="60s")
    with Client(address) as kept:
        kept.get()
        d.send(signal.SIGTERM)
        wait_refused(address)
        kept.get()
        assert d.process.poll() is None
    d.wait_end(0)


def test_drain_timeout_bounds_it(box):
    d, address = start_abrupt(box, drain_timeout="400ms")
    pid, = d.ready_pids()
    with contextlib.ExitStack() as stack:
        client, = begin(box, stack, address, "/slow/60000")
        d.stop(limit=20)
        assert client.is_cut()
    assert d.find(TIMED_OUT(pid, "1 connection still open")), d.log()


def test_drain_timeout_0_is_a_stop_at_once(box):
    d, address = start_abrupt(box, drain_timeout="0")
    with contextlib.ExitStack() as stack:
        client, = begin(box, stack, address, "/slow/60000")
        d.stop(limit=20)
        assert client.is_cut()
    assert "drain" not in d.log()


def test_int_does_not_drain(box):
    d, address = start_abrupt(box, drain_timeout="60s")
    with contextlib.ExitStack() as stack:
        client, = begin(box, stack, address, "/slow/60000")
        d.stop(signal.SIGINT, limit=20)
        assert client.is_cut()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_kills_in_the_midst_of_a_drain(box, second):
    box.web("--ignore-term", instances=1, drain_timeout="60s",
            stop_timeout="60s")
    d = start(box, 1)
    address = d.addresses()[0]
    slow = ask(address, "/slow/60000")
    box.wait_events("slow")
    d.send(signal.SIGTERM)
    wait_refused(address)
    d.stop(second, limit=20)
    slow.close()
    assert box.events("signal 15") == []


def test_first_signal_kills_nobody_in_the_midst_of_a_stop_by_clusterctl(box):
    box.web("--ignore-term", instances=1, drain_timeout="60s",
            stop_timeout="60s")
    d = start(box, 1)
    address = d.addresses()[0]
    slow = ask(address, "/slow/800")
    box.wait_events("slow")
    stop = stop_by_clusterctl(box)
    wait_refused(address)
    d.send(signal.SIGTERM)
    d.wait_log("SIGTERM: stopping already")
    read_answer(slow)
    d.send(signal.SIGTERM)
    stop.wait(20 * SLOW)
    d.wait_end(0, limit=20)
    assert "SIGTERM again: killing what is left" in d.log()


def test_int_after_clusterctl_ends_the_drain(box):
    d, address = start_abrupt(box, drain_timeout="60s")
    with contextlib.ExitStack() as stack:
        client, = begin(box, stack, address, "/slow/60000")
        stop = stop_by_clusterctl(box)
        wait_refused(address)
        d.send(signal.SIGINT)
        stop.wait(20 * SLOW)
        d.wait_end(0, limit=20)
        assert client.is_cut()
    assert "killing what is left" not in d.log()


def test_retiring_workers_of_a_reload_finish_too(box):
    d, address = start_abrupt(box, drain_timeout="60s")
    with contextlib.ExitStack() as stack:
        client, = begin(box, stack, address, "/slow/1500")
        d.send(signal.SIGHUP)
        d.wait_log("reload complete")
        other, = begin(box, stack, address, "/slow/1000")
        d.send(signal.SIGTERM)
        wait_refused(address)
        assert client.read().generation == 1
        assert other.read().generation == 2
    d.wait_end(0)


@pytest.mark.parametrize("how", ["signal", "stop"])
@pytest.mark.parametrize("begun", [False, True])
def test_who_waits_for_the_successor_is_served(box, begun, how):
    """max_surge = 0: while the old one drains, clients wait for the new, which
    is not there yet, or has just begun; and never two at a time."""
    gate = box.path("gate")
    slow = shlex.join(["sh", "-c", f"until [ -e {gate} ]; do sleep 0.01; "
                       f"done; exec {probe('--events', box.events_path)}"])
    keys = {"instances": 1, "balance": "random", "max_surge": 0,
            "drain_timeout": "60s"}
    box.web(**keys)
    d = start(box, 1)
    old, = d.ready_pids()
    address = d.addresses()[0]
    held = ask(address, f"/until{box.path('go')}")
    box.wait_events("until")
    box.web(command=slow, **keys)
    d.send(signal.SIGHUP)
    wait_until(lambda: "draining" in ctl(box, "status").stdout,
               "the old one drains")
    if begun:
        box.touch("go")
        read_answer(held)
        wait_until(lambda: d.workers() and old not in d.workers(),
                   "the new one starts")
    waiting = [ask(address) for _ in range(3)]
    with contextlib.ExitStack() as stack:
        if how == "stop":
            stopping = threading.Thread(target=ctl, args=(box, "stop", "web"))
            stopping.start()
            stack.callback(stopping.join)
        else:
            d.send(signal.SIGTERM)
        wait_refused(address)
        if not begun:
            assert d.workers() == [old]
            box.touch("go")
            read_answer(held)
            wait_until(lambda: old not in d.workers(), "it goes")
        box.touch("gate")
        for s in waiting:
            assert read_answer(s).generation == 2
    if how == "stop":
        d.send(signal.SIGTERM)
    d.wait_end(0)


# --- stop_delay

def test_stop_delay_goes_on_as_before(box):
    box.web(clusterd={"stop_delay": "60s"}, instances=1, restart_delay="10ms")
    d = start(box, 1)
    pid, = d.ready_pids()
    address = d.addresses()[0]
    d.send(signal.SIGTERM)
    d.wait_log("going down")
    assert "going down" in ctl(box, "status").stdout
    os.kill(pid, signal.SIGKILL)
    d.wait_replaced([pid], 1)
    assert get(address).pid != pid
    d.stop(limit=20)


def test_stop_delay_ends_in_a_stop(box):
    box.web(clusterd={"stop_delay": "300ms"}, instances=1)
    d = start(box, 1)
    d.send(signal.SIGTERM)
    d.wait_end(0, limit=20)
    assert d.find("going down"), d.log()
    assert len(box.events("signal 15")) == 1


def test_second_signal_ends_stop_delay(box):
    box.web(clusterd={"stop_delay": "60s"}, instances=1)
    d = start(box, 1)
    d.send(signal.SIGTERM)
    d.wait_log("going down")
    d.stop(limit=20)


def test_first_signal_ends_stop_delay_of_clusterctl(box):
    box.web(clusterd={"stop_delay": "60s"}, instances=1, drain_timeout="60s")
    d = start(box, 1)
    address = d.addresses()[0]
    stop = stop_by_clusterctl(box)
    d.wait_log("going down")
    slow = ask(address, "/slow/800")
    box.wait_events("slow")
    d.send(signal.SIGTERM)
    wait_refused(address)
    read_answer(slow)
    stop.wait(20 * SLOW)
    d.wait_end(0, limit=20)


# --- other listeners

def test_unix_listener_is_gone_and_its_queue_served(box):
    path = box.path("web.sock")
    box.web(listen=f"unix:{path}", instances=1, drain_timeout="60s")
    d = start(box, 1)
    busy = ask(path, "/busy/800")
    box.wait_events("busy")
    waiting = [ask(path) for _ in range(5)]
    d.send(signal.SIGTERM)
    wait_refused(path)
    assert not is_socket(path) and not is_socket(path + ".lane")
    read_answer(busy)
    for s in waiting:
        read_answer(s)
    d.wait_end(0)


# --- one app

@each_way
def test_stopped_app_refuses_and_finishes(box, balance):
    d, address = start_abrupt(box, balance, drain_timeout="60s")
    old, = d.ready_pids()
    done = []
    with contextlib.ExitStack() as stack:
        client, = half(stack, address)
        thread = threading.Thread(
            target=lambda: done.append(ctl(box, "stop", "web")))
        thread.start()
        wait_refused(address)
        assert is_alive(old)
        assert complete(client).pid == old
        thread.join()
    assert done[0].returncode == 0, done[0].stderr
    wait_gone(d, [old])
    d.stop()


@each_way
def test_app_is_started_while_it_stops(box, balance):
    """Beside the old worker, which finishes what it has."""
    needs(balance)
    port = free_port()
    d, address = start_abrupt(box, balance, listen=f"127.0.0.1:{port}",
                              drain_timeout="60s")
    old, = d.ready_pids()
    with contextlib.ExitStack() as stack:
        client, = half(stack, address)
        thread = threading.Thread(target=lambda: ctl(box, "stop", "web"))
        thread.start()
        wait_refused(address)
        started = ctl(box, "start", "web")
        assert started.returncode == 0, started.stderr + d.log()
        assert get(address).pid != old
        assert is_alive(old)
        assert complete(client).pid == old
        thread.join()
    wait_gone(d, [old])
    get(address)
    d.stop()
