"""Retiring workers: what holds them, for how long, and what comes of it.

The servers are those of servers/abrupt.py, which lose at once on TERM whatever
they have not finished.
"""

import collections
import contextlib
import os
import shlex
import signal
import sys
import time

import pytest

import words
from drains import (ABRUPT, DRAINED, KEYS, TIMED_OUT, Client, Watch, abrupt,
                    begin, hup, reload, start, wait_gone)
from harness import (SLOW, ask, free_port, get, is_alive, marked_processes,
                     probe, process_state, read_answer, status_field,
                     wait_until)
from lanes import (answers, as_nobody, client, needs, nobodys_probe,
                   parametrized, seats, stopped)
from programs import SERVERS

each_way = parametrized("least-connections", "random", "shared")


def start_one(box, balance="random", *arguments, **keys):
    needs(balance)
    abrupt(box, *arguments, balance=balance, **keys)
    d = start(box, 1)
    return d, d.addresses()[0], d.ready_pids()[0]


def wait_draining(d, old, generation=2):
    """The new one has taken over, and the old one is still there."""
    d.wait_log(words.RELOAD_DONE("web", generation))
    assert is_alive(old)


# --- what holds a drain

@each_way
@pytest.mark.parametrize("path", ["/slow/1000", "/stream/2000"])
def test_request_that_is_worked_on_is_finished(box, balance, path):
    """A pause in mid-answer, too, if it is shorter than drain_idle."""
    d, address, old = start_one(box, balance, drain_timeout="60s",
                                drain_idle="200ms" if "slow" in path else "8s")
    with contextlib.ExitStack() as stack:
        client, = begin(box, stack, address, path)
        hup(d)
        # It may have finished by then, where the new one took its time.
        d.wait_log(words.RELOAD_DONE("web", 2))
        # From a queue for all, it goes on taking its share.
        assert balance == "shared" or get(address).pid != old
        assert client.read().pid == old
        client.socket.close()
        wait_gone(d, [old])
    assert d.find(DRAINED(old)), d.log()
    d.stop()


def test_half_a_request_holds_the_drain(box):
    d, address, old = start_one(box, drain_idle="0")
    with Client(address) as half:
        half.get()
        time.sleep(0.05)        # so that the kernel's clock tells who was last
        half.socket.sendall(b"GET / HTTP/1.1\r\n")
        wait_until(lambda: is_read(half.socket), "the half is read")
        hup(d)
        wait_draining(d, old)
        time.sleep(0.3)         # looks that must not find it idle
        half.socket.sendall(b"\r\n")
        assert half.read().pid == old
        wait_gone(d, [old])
    d.stop()


def is_read(s):
    """Its server has read all that was sent."""
    mine, its = (f"{n[1]:04X}" for n in (s.getsockname(), s.getpeername()))
    for line in open("/proc/net/tcp").read().splitlines()[1:]:
        _, local, remote, _, queues, *rest = line.split()
        if local.endswith(f":{its}") and remote.endswith(f":{mine}"):
            return queues.endswith(":00000000") and rest[4] != "0"
    return False


@each_way
def test_idle_connection_holds_it_for_drain_idle_only(box, balance):
    d, address, old = start_one(box, balance, drain_idle="800ms")
    with Client(address) as kept:
        kept.get()
        spoke = time.monotonic()
        hup(d)
        # What counts is since when it is idle: it may be gone by then.
        d.wait_log(words.RELOAD_DONE("web", 2))
        wait_gone(d, [old])
        held = time.monotonic() - spoke
        assert kept.is_cut()
    assert 0.7 < held < 5 * SLOW
    assert d.find(DRAINED(old, "1 idle connection is left")), d.log()
    d.stop()


def test_removed_app_has_its_drain_idle_too(box):
    """It is no stop: whoever has a connection may go on to use it."""
    abrupt(box, drain_idle="1500ms")
    d = start(box, 1)
    with open(box.path("app.ini")) as f:
        both = f.read()
    box.write("app.ini", both + both.replace("[web]", "[gone]"))
    hup(d)
    d.wait_ready(1, app="gone")
    old, = d.ready_pids("gone")
    with Client(d.addresses("gone")[0]) as kept:
        kept.get()
        spoke = time.monotonic()
        box.write("app.ini", both)
        hup(d)
        wait_gone(d, [old])
        held = time.monotonic() - spoke
        assert kept.is_cut()
    assert 1.4 < held < 8 * SLOW
    assert d.find(DRAINED(old, "1 idle connection is left")), d.log()
    d.stop()


def test_connection_that_has_been_idle_for_long_holds_nothing_up(box):
    d, address, old = start_one(box, drain_idle="200ms", drain_timeout="60s")
    with Client(address) as kept, Client(address) as silent:
        kept.get()
        # What is measured, not a wait.
        time.sleep(0.3)
        asked = time.monotonic()
        reload(d)
        assert time.monotonic() - asked < 5 * SLOW
        assert kept.is_cut() and silent.is_cut()
    assert d.find(DRAINED(old, "2 idle connections are left")), d.log()
    d.stop()


def test_idle_connection_may_be_used_until_the_end(box):
    """Each request begins drain_idle anew."""
    d, address, old = start_one(box, drain_idle="2s", drain_timeout="60s")
    with Client(address) as kept:
        mark = hup(d)

        def done():
            assert kept.get().pid == old
            return d.find(words.RELOAD_DONE("web"), start=mark)
        wait_until(done, "the reload", limit=30, step=0.05)
        for _ in range(10):
            time.sleep(0.3)     # a client that thinks
            assert kept.get().pid == old
        assert is_alive(old)
        wait_gone(d, [old])
    assert d.find(DRAINED(old)), d.log()
    d.stop()


@each_way
def test_drain_idle_off_holds_until_drain_timeout(box, balance):
    d, address, old = start_one(box, balance, drain_idle="off",
                                drain_timeout="1s")
    with Client(address) as kept:
        kept.get()
        asked = time.monotonic()
        hup(d)
        d.wait_log(words.RELOAD_DONE("web", 2))
        wait_gone(d, [old])
        assert 0.9 < time.monotonic() - asked < 6 * SLOW
        assert kept.is_cut()
    assert d.find(TIMED_OUT(old, "1 connection still open")), d.log()
    d.stop()


def test_drain_idle_off_ends_when_the_client_leaves(box):
    d, address, old = start_one(box, drain_idle="off", drain_timeout="60s")
    with Client(address) as kept:
        kept.get()
        hup(d)
        wait_draining(d, old)
        time.sleep(0.3)         # it would have been idle by then
        assert is_alive(old)
    wait_gone(d, [old])
    assert d.find(DRAINED(old)), d.log()
    d.stop()


@each_way
def test_drain_timeout_0_stops_at_once(box, balance):
    d, address, old = start_one(box, balance, drain_timeout="0")
    with contextlib.ExitStack() as stack:
        held, = begin(box, stack, address, "/slow/60000")
        asked = time.monotonic()
        reload(d)
        assert time.monotonic() - asked < 5 * SLOW
        assert held.is_cut()
    assert not d.find(rf"pid {old}: drain"), d.log()
    d.stop()


@each_way
def test_drain_timeout_says_how_many_are_open(box, balance):
    d, address, old = start_one(box, balance, drain_timeout="500ms")
    with contextlib.ExitStack() as stack:
        begin(box, stack, address, "/slow/60000", 3)
        reload(d)
    line = d.find(TIMED_OUT(old, "3 connections still open"))
    assert line, d.log()
    took = words.seconds(line[0][0].partition("after ")[2].split(":")[0])
    assert 0.4 < took < 5 * SLOW, line[0][0]
    d.stop()


def test_app_without_a_listener_is_not_drained(box):
    box.config(web={"command": "sleep 1000", "ready": "alive:1ms",
                    "instances": 2, **KEYS})
    d = start(box, 2)
    asked = time.monotonic()
    reload(d)
    assert time.monotonic() - asked < 5 * SLOW
    assert not d.find(r": drain"), d.log()
    d.stop()


# --- what waits in a queue

def queue(d, address, old, count=20):
    """A reload while the old worker stands still; clients that wait in its
    queue. It is draining then."""
    waiting = [ask(address, source=client(n)) for n in range(count)]
    hup(d)
    wait_draining(d, old)
    return waiting


@parametrized("least-connections", "random", "source")
def test_queue_of_a_retiring_worker_is_served_by_it(box, balance):
    d, address, old = start_one(box, balance)
    with stopped([old]):
        waiting = queue(d, address, old)
        assert get(address).pid != old
        time.sleep(0.1)         # looks that must not take it for drained
        assert is_alive(old)
    assert [getattr(a, "pid", a) for a in answers(waiting)] == [old] * 20
    wait_gone(d, [old])
    assert not d.find(TIMED_OUT(old)), d.log()
    d.stop()


def test_shared_queue_is_served_by_the_new_worker(box):
    d, address, old = start_one(box, "shared")
    with stopped([old]):
        waiting = queue(d, address, old)
        found = [getattr(a, "pid", a) for a in answers(waiting)]
    assert set(found) == set(d.ready_pids()) - {old}
    wait_gone(d, [old])
    d.stop()


@parametrized("least-connections", "round-robin")
def test_queue_of_a_retiring_worker_that_is_killed_moves(box, balance):
    d, address, old = start_one(box, balance)
    with stopped([old]):
        waiting = queue(d, address, old)
        os.kill(old, signal.SIGKILL)
        found = [getattr(a, "pid", a) for a in answers(waiting)]
    new = d.ready_pids()
    assert len(new) == 1 and set(found) == set(new), (found, d.log())
    d.stop()


@parametrized("random", "source")
def test_queue_of_a_retiring_worker_that_is_killed_is_served(box, balance):
    """Without privileges nothing can be moved: one comes for them alone."""
    how = as_nobody(box)
    box.config(web={"command": nobodys_probe(box), "listen": "127.0.0.1:0",
                    "instances": 1, "balance": balance, **KEYS})
    d = start(box, 1, **how)
    old, = d.ready_pids()
    address = d.addresses()[0]
    with stopped([old]):
        waiting = queue(d, address, old)
        new, = set(d.ready_pids()) - {old}
        os.kill(old, signal.SIGKILL)
        found = {getattr(a, "pid", a) for a in answers(waiting)}
    assert len(found) == 1 and not found & {old, new}, (found, d.log())
    assert d.find(r"restarting for those who wait in its queue"), d.log()
    wait_gone(d, list(found))
    assert d.ready_pids() == [new]
    assert get(address).pid == new
    d.stop()


def test_worker_that_is_killed_in_a_drain_is_gone_if_nobody_waits(box):
    d, address, old = start_one(box)
    with contextlib.ExitStack() as stack:
        begin(box, stack, address, "/slow/60000")
        hup(d)
        wait_draining(d, old)
        os.kill(old, signal.SIGKILL)
        wait_gone(d, [old])
        d.wait_workers(1)
        assert not d.find("for those who wait"), d.log()
        assert get(address).pid != old
    d.stop()


# --- signals amid a drain

def draining(box, stack, balance="random", **keys):
    """One that only drain_timeout ends, which is far off."""
    d, address, old = start_one(box, balance,
                                **{"drain_timeout": "60s", **keys})
    held, = begin(box, stack, address, "/slow/60000")
    hup(d)
    wait_draining(d, old)
    return d, address, old, held


@each_way
def test_int_during_a_drain_stops_at_once(box, balance):
    with contextlib.ExitStack() as stack:
        d, _, _, held = draining(box, stack, balance)
        d.stop(signal.SIGINT)
        assert held.is_cut()


@each_way
def test_term_during_a_drain_lets_it_finish(box, balance):
    """The one that the reload replaced, too: the stop waits for it."""
    d, address, old = start_one(box, balance, drain_timeout="60s")
    with Client(address) as held:
        held.socket.sendall(b"GET / HTTP/1.1\r\n")
        wait_until(lambda: is_read(held.socket), "the half is read")
        hup(d)
        wait_draining(d, old)
        new, = set(d.workers()) - {old}
        d.send(signal.SIGTERM)
        wait_gone(d, [new])
        assert is_alive(old) and d.process.poll() is None
        held.socket.sendall(b"\r\n")
        assert held.read().pid == old
    d.wait_end(0)
    assert not d.find(TIMED_OUT(old)), d.log()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_during_a_drain_kills(box, second):
    """One has had TERM and does not care, the other drains on and has had
    none."""
    box.web("--ignore-term", instances=1, drain_timeout="60s",
            stop_timeout="60s", balance="random")
    d = start(box, 1)
    old, = d.ready_pids()
    with ask(d.port(), "/slow/60000"):
        box.wait_events("slow")
        hup(d)
        wait_draining(d, old)
        new, = set(d.workers()) - {old}
        d.send(signal.SIGTERM)
        box.wait_events("signal 15")
        assert is_alive(old) and is_alive(new)
        d.stop(second)
    assert [e["pid"] for e in box.events("signal 15")] == [new]


def test_hup_during_a_drain_begins_another(box):
    with contextlib.ExitStack() as stack:
        d, address, old, held = draining(box, stack, max_surge=2)
        second = get(address).pid
        hup(d)
        d.wait_log(words.RELOAD_DONE("web", 3))
        wait_gone(d, [second])
        assert get(address).generation == 3
        assert is_alive(old) and len(d.workers()) == 2
        d.stop(signal.SIGINT)
        assert held.is_cut()


def test_reload_waits_for_room_and_a_newer_file_takes_its_place(box):
    """With max_surge = 1 the next one begins when the first is drained."""
    with contextlib.ExitStack() as stack:
        d, address, old, held = draining(box, stack)
        for generation in (3, 4, 5):
            hup(d)
            d.wait_log(rf"web: reloading, generation {generation}\b")
        assert len(d.find("supersedes")) == 2
        assert len(d.workers()) == 2 and get(address).generation == 2
        held.socket.close()
        os.kill(old, signal.SIGKILL)
        d.wait_log(words.RELOAD_DONE("web", 5))
        d.wait_workers(1)
        assert get(address).generation == 5
        d.stop()


@pytest.mark.parametrize("before", ["random", "source", "shared"])
def test_who_was_there_before_the_kernel_counted_is_waited_for(box, before):
    """Of the lanes that are there already only what comes later is counted."""
    needs("least-connections")
    keys = {"instances": 3, "max_surge": 3, "canary": "1s"}
    abrupt(box, balance=before, **keys)
    d = start(box, 3)
    abrupt(box, balance="least-connections", **keys)
    hup(d)
    d.wait_log(words.READY("web"), count=4)
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(ask(d.port(), "/slow/5000"))
                for _ in range(12)]
        box.wait_events("slow", 12)
        old = {e["pid"] for e in box.events("slow") if e["generation"] == "1"}
        assert {read_answer(s).pid for s in held} >= old
    d.wait_log(words.RELOAD_DONE("web", 2))
    d.stop()


def test_who_came_to_a_superseded_reload_is_answered(box):
    """Its worker serves, and was not seen to: looks are up to 100 ms apart."""
    command = shlex.join(["sh", "-c", "sleep 0.6; exec " + ABRUPT +
                          " " + shlex.quote(box.events_path)])
    abrupt(box)
    d = start(box, 1)
    for i in range(4):
        port = free_port()
        keys = {"command": command, "listen": f"127.0.0.1:{port}"}
        abrupt(box, **keys)
        hup(d)
        d.wait_log(rf"listening on 127\.0\.0\.1:{port}\b")
        with ask(port, "/slow/500") as held:
            wait_until(lambda: len(box.events("slow")) > i, "the request")
            abrupt(box, env=f"ROUND={i}", **keys)
            begin_of = hup(d)
            assert read_answer(held).generation == 2 * i + 2
        d.wait_log(words.RELOAD_DONE("web", 2 * i + 3), start=begin_of)
    d.stop()


# Whenever it is looked at, it does something else than to wait for somebody.
AT_WORK = """
import os, socket, sys, time
go, begun = sys.argv[1:]
lane = socket.socket(fileno=3)
while not os.path.exists(go):
    time.sleep(0.01)
while True:
    client, _ = lane.accept()
    open(begun, "w").close()
    time.sleep(1)
    client.recv(4096)
    body = b"generation %s\\n" % os.environb[b"CLUSTERD_GENERATION"]
    client.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s" %
                   (len(body), body))
    client.close()
"""


def who_has_accepted_serves(box, balance, how=None):
    needs(balance)
    command = shlex.join([sys.executable, "-I", "-S",
                          box.copy(os.path.join(SERVERS, "abrupt.py")),
                          box.events_path])
    abrupt(box, command=command, balance=balance)
    d = start(box, 1, **(how or {}))
    port, go, begun = free_port(), box.path("go"), box.path("begun")
    keys = {"listen": f"127.0.0.1:{port}", "balance": balance,
            "command": shlex.join([
                sys.executable, "-I", "-S",
                box.write("at-work.py", AT_WORK, mode=0o755), go, begun])}
    abrupt(box, **keys)
    hup(d)
    d.wait_log(rf"listening on 127\.0\.0\.1:{port}\b")
    with ask(port) as held:
        box.touch("go")
        wait_until(lambda: os.path.exists(begun), "it is accepted")
        abrupt(box, env="ROUND=2", **keys)
        hup(d)
        assert read_answer(held).generation == 2
    d.wait_log(words.RELOAD_DONE("web", 3))
    d.stop()


@parametrized("least-connections", "random", "shared")
def test_who_has_accepted_in_a_superseded_reload_serves(box, balance):
    who_has_accepted_serves(box, balance)


@parametrized("random", "shared")
def test_who_has_accepted_serves_without_privileges(box, balance):
    who_has_accepted_serves(box, balance, as_nobody(box))


def frozen(d, pid, limit=20):
    """Does clusterd freeze it before it ends?"""
    deadline = time.monotonic() + limit * SLOW
    while time.monotonic() < deadline:
        state = process_state(pid)
        if state == "T":
            return True
        if state in (None, "Z", "X"):
            return False
    raise AssertionError(f"{pid} does not end:\n{d.log()}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_end_while_a_worker_is_frozen(box, number):
    """Nobody stays behind, standing still or not."""
    d, address, _ = start_one(box, "shared")
    for _ in range(20):
        old = d.ready_pids()[-1]
        hup(d)
        if frozen(d, old):
            d.send(number)
            break
        d.wait_ready(1)
    else:
        raise AssertionError("never seen frozen")
    d.wait(limit=5)
    # Behind a killed one the kernel ends them.
    wait_until(lambda: not marked_processes(box.mark), "all are gone")
    d.wait_end(0 if number == signal.SIGTERM else -number)


def test_app_that_is_over_waits_for_those_who_retire(box):
    """Its last seat ends while one that was scaled away is still at work."""
    abrupt(box, instances=2, restart="never", balance="random",
           drain_timeout="30s")
    d = start(box, 2)
    address = d.addresses()[0]
    with contextlib.ExitStack() as stack:
        clients = []
        while "1" not in [e["instance"] for e in box.events("slow")]:
            clients += begin(box, stack, address, "/slow/3000")
        at = [e["instance"] for e in box.events("slow")].index("1")
        last = seats(d)[0]
        d.send(signal.SIGTTOU)
        d.wait_log(r"web: scaling to 1 instance")
        os.kill(last, signal.SIGKILL)
        d.wait_log(r"web: every instance has ended")
        assert clients[at].read().instance == 1
    d.wait_end(1)


# --- how many there are

def test_generations_do_not_pile_up(box):
    """Ten reloads, each while connections are held."""
    abrupt(box, instances=2, drain_timeout="700ms", balance="random")
    d = start(box, 2)
    address = d.addresses()[0]
    with contextlib.ExitStack() as stack, Watch(d) as watch:
        for n in range(10):
            begin(box, stack, address, "/slow/60000", 2)
            hup(d)
            d.wait_log(rf"web: reloading, generation {n + 2}\b")
        d.wait_log(words.RELOAD_DONE("web", 11), limit=30)
        d.wait_workers(2, limit=30)
    assert watch.most <= 3
    assert get(address).generation == 11
    d.stop()


@pytest.mark.parametrize("surge, instances", [(3, 4), (2, 1)])
def test_max_surge_starts_so_many_at_once(box, surge, instances):
    """Each is ready when it may, and not before all are there who can be."""
    def allow(generation, *instances):
        for n in instances:
            box.touch(f"may-{generation}-{n}")

    serves = probe("--events", box.events_path) + " --ready file:" + \
        box.path("may-$CLUSTERD_GENERATION-$CLUSTERD_INSTANCE")
    box.web(command=f"sh -c 'exec {serves}'", instances=instances,
            ready="notify", max_surge=surge, balance="random", **KEYS)
    allow(1, *range(instances))
    d = start(box, instances)
    # There may be fewer old ones than extra places.
    most = instances + min(surge, instances)
    with Watch(d) as watch:
        hup(d)
        # The canary is alone; those behind it start together.
        watch.wait(instances + 1)
        allow(2, 0)
        watch.wait(most)
        allow(2, *range(1, instances))
        d.wait_log(words.RELOAD_DONE("web"), limit=30)
    assert watch.most == most, d.log()
    starts = [e["at"] for e in box.events("start")[instances:]]
    ready = [e["at"] for e in box.events("ready")[instances:]]
    assert len(starts) == instances
    assert all(at >= ready[0] for at in starts[1:])
    d.stop()


@pytest.mark.parametrize("balance", ["random", "auto"])
def test_who_has_nothing_left_does_not_hold_up_a_reload(box, balance):
    """Of 16 one may be on its way out beside the others: it keeps no room."""
    keys = {"instances": 16, "ready": "notify", "stop_timeout": "60s",
            "balance": balance, "canary": "0"}
    box.web("--ignore-term", "--only-instance", 3, **keys)
    d = start(box, 16)
    old = next(e["pid"] for e in box.events("start") if e["instance"] == "3")
    box.web(**keys)
    with Watch(d) as watch:
        mark = hup(d)
        d.wait_log(words.RELOAD_DONE("web"), limit=30, start=mark)
    assert is_alive(old)
    assert watch.most <= 18
    os.kill(old, signal.SIGKILL)
    d.stop()


def test_who_has_something_left_holds_up_a_reload_of_many(box):
    box.web(instances=16, ready="notify", balance="random", canary="0")
    d = start(box, 16)
    address = d.addresses()[0]
    with Watch(d) as watch, contextlib.ExitStack() as stack:
        held = [stack.enter_context(ask(address, "/slow/1500"))
                for _ in range(4)]
        box.wait_events("slow", 4)
        mark = hup(d)
        # Who has none of them is replaced meanwhile, and the one that was begun
        # beside the first of these.
        asked = {int(e["instance"]): e["at"] for e in box.events("slow")}
        assert {int(read_answer(s).instance) for s in held} == set(asked)
        d.wait_log(words.RELOAD_DONE("web"), limit=30, start=mark)
    assert watch.most <= 18
    first = min(asked)
    done = {int(e["instance"]): e["at"] for e in box.events("start")[16:]}
    if first < 14:
        assert done[first + 2] >= asked[first] + 1400
    d.stop()


def test_each_of_many_is_drained_of_what_is_its_own(box):
    """They are looked at together, and each has other connections."""
    abrupt(box, instances=12, drain_timeout="60s")
    d = start(box, 12)
    with contextlib.ExitStack() as stack:
        kept = [stack.enter_context(Client(d.addresses()[0]))
                for _ in range(30)]
        owners = collections.Counter(c.get().pid for c in kept)
        d.stop(limit=60)
    for pid, n in owners.items():
        assert d.find(DRAINED(pid, rf"\b{n} idle connection")), d.log()


# --- and then

def switches(pid):
    return [status_field(pid, f"{kind}voluntary_ctxt_switches")
            for kind in ("", "non")]


def test_idle_again_after_a_drain(box, unwrapped):
    """clusterd does nothing at all once the last one is gone."""
    abrupt(box, instances=2, balance="random")
    d = start(box, 2)
    for _ in range(2):
        with Client(d.addresses()[0]) as kept:
            kept.get()
            reload(d)
    seen = []

    def still():
        now = switches(d.pid)
        seen.append((time.monotonic(), now))
        since = min(t for t, s in seen if s == now)
        return time.monotonic() - since > 0.7
    wait_until(still, lambda: f"rest: {seen[-1]}")
    d.stop()
