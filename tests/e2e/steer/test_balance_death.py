"""What becomes of clients when a worker dies, by each `balance`."""

import collections
import contextlib
import os
import re
import signal
import socket
import time

import pytest

import words
from control import do
from harness import CUT, SLOW, get, is_refused, wait_until
from lanes import (ALL, OWN_LANES, PRIVILEGED, SlowStream, answers, ask_all,
                   client, finish, kill_and_wait, needs, parametrized, seats,
                   seats_of_clients, stopped, wait_asleep)

# Of a worker that dies early: nobody comes for longer than a test takes.
AWAY = {"restart_delay": "60s", "restart_delay_max": "60s"}
BACK_AT_ONCE = {"restart_delay": "10ms", "restart_delay_max": "10ms"}


def start(box, balance, *arguments, instances=4, **keys):
    needs(balance)
    box.web(*arguments, balance=balance, instances=instances, **keys)
    d = box.start()
    d.wait_ready(instances)
    wait_asleep(d)
    return d


# --- new connections

@parametrized(*ALL)
@pytest.mark.valgrind
def test_new_connections_avoid_a_dead_worker_at_once(box, balance):
    """None fails, and none waits."""
    d = start(box, balance, **AWAY)
    dead = seats(d)[2]
    kill_and_wait(d, dead)
    begun = time.monotonic()
    found = collections.Counter(
        get(d.port(), source=client(n), limit=5).instance
        for n in range(120))
    assert time.monotonic() - begun < 20 * SLOW
    if balance == "shared":
        assert 2 not in found
    else:
        assert sorted(found) == [0, 1, 3]
    if balance in PRIVILEGED:
        assert set(found.values()) == {40}
    d.stop()


@parametrized(*OWN_LANES)
def test_clients_come_until_the_last_worker_is_left(box, balance):
    d = start(box, balance, **AWAY)
    left = seats(d)
    for instance in (0, 3, 1):
        kill_and_wait(d, left.pop(instance))
        found = {get(d.port(), source=client(n), limit=5).instance
                 for n in range(60)}
        assert found == set(left)
    d.stop()


@parametrized(*ALL)
def test_dead_workers_come_back(box, balance):
    d = start(box, balance, **BACK_AT_ONCE)
    with SlowStream(d.port()) as stream:
        for turn in range(4):
            pids = seats(d)
            for instance in ((0,), (1, 2), (0, 1, 3), (0, 1, 2, 3))[turn]:
                os.kill(pids[instance], signal.SIGKILL)
                d.wait_log(rf"pid {pids[instance]}: killed by signal 9")
            d.wait_ready(4)
            # What a dead worker was busy with is gone with it.
            stream.forgive_cut()
            stream.wait_more()
        stream.forgive_cut()
    wait_asleep(d)
    found = {get(d.port(), source=client(n)).instance for n in range(200)}
    assert balance == "shared" or found == set(range(4))
    d.stop()


def test_source_moves_the_clients_of_the_dead_alone(box):
    d = start(box, "source", instances=5, **AWAY)
    count = 300
    before = seats_of_clients(d.port(), count)
    mark = d.mark()
    dead = seats(d)[1]
    kill_and_wait(d, dead)
    after = seats_of_clients(d.port(), count)
    moved = [n for n in before if before[n] != after[n]]
    assert moved == [n for n in before if before[n] == 1]
    assert len(moved) <= count * (1 / 5 + 0.05)
    # They are spread over all the others.
    assert {after[n] for n in moved} == {0, 2, 3, 4}
    do(box, "restart web.1")
    d.wait_log(words.READY(index=1), start=mark)
    wait_asleep(d)
    assert seats_of_clients(d.port(), count) == before
    d.stop()


def nobody_waits(port):
    """In any accept queue of the port (proc_net_tcp(5): of a listening socket rx_queue is
    its length)."""
    rows = [line.split() for line in open("/proc/net/tcp").readlines()[1:]]
    return all(row[4].endswith(":00000000") for row in rows
               if row[1].endswith(f":{port:04X}") and row[3] == "0A")


def test_least_connections_stays_even_after_a_death(box):
    """What the dead one had open is not counted any more."""
    d = start(box, "least-connections", **BACK_AT_ONCE)
    port = d.port()
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(
            socket.create_connection(("127.0.0.1", port)))
            for _ in range(80)]
        # What waits in the dead one's queue would go to others, unevenly.
        wait_until(lambda: nobody_waits(port), "all are accepted")
        dead = seats(d)[0]
        kill_and_wait(d, dead)
        d.wait_replaced([dead], 4)
        wait_asleep(d)
        # 20 each of three, none of the fourth.
        held += [stack.enter_context(
            socket.create_connection(("127.0.0.1", port)))
            for _ in range(20)]
        found = collections.Counter()
        for s in held:
            s.settimeout(10 * SLOW)
            # Those that the dead one had are cut.
            with contextlib.suppress(ConnectionError):
                found[finish(s).instance] += 1
        # What it had not accepted yet its successor has.
        assert sorted(found) == [0, 1, 2, 3]
        assert 80 <= sum(found.values()) <= 100
        assert max(found.values()) - min(found.values()) <= 1
    d.stop()


# --- those that wait in its queue

def queue(d, count, go_on):
    """All workers stand still, clients connect and ask, and one worker dies;
    the rest goes on. Returns what each client was answered. `go_on()` is called
    when clusterd has acted on the death."""
    pids = seats(d)
    with stopped(pids.values()):
        clients = ask_all(d.port(), count)
        kill_and_wait(d, pids[0])
    go_on()
    return answers(clients)


def waited_for(found):
    return collections.Counter(
        a.instance if not isinstance(a, OSError) else repr(a) for a in found)


@parametrized(*ALL)
def test_queue_of_a_dead_worker_is_served_by_its_replacement(box, balance):
    d = start(box, balance, instances=1, **BACK_AT_ONCE)
    old = d.ready_pids()[0]
    found = queue(d, 100, lambda: None)
    assert waited_for(found) == {0: 100}
    assert old not in {a.pid for a in found}
    d.stop()


@parametrized(*ALL)
def test_queue_is_served_though_others_are_there(box, balance):
    d = start(box, balance, instances=2, **BACK_AT_ONCE)
    found = waited_for(queue(d, 200, lambda: d.wait_ready(2)))
    assert set(found) <= {0, 1}, found
    assert sum(found.values()) == 200
    d.stop()


@parametrized(*PRIVILEGED)
def test_queue_moves_to_others_when_nobody_comes_soon(box, balance):
    d = start(box, balance, instances=3, **AWAY)
    found = waited_for(queue(d, 300, lambda: None))
    assert set(found) == {1, 2}, found
    assert sum(found.values()) == 300
    d.wait_log(r"web: 100 connections that waited for a worker moved to "
               r"others")
    d.stop()


@parametrized(*PRIVILEGED)
def test_queue_of_a_parked_seat_moves_to_others(box, balance):
    d = start(box, balance, instances=3, restart_limit="1/60s")
    found = waited_for(queue(d, 300, lambda: None))
    assert set(found) == {1, 2}, found
    assert sum(found.values()) == 300
    d.stop()


@parametrized("random", "source")
def test_queue_waits_where_it_cannot_move(box, balance):
    """Clients of the others do not."""
    d = start(box, balance, instances=3, restart_delay="2s")
    mark = d.mark()
    begun = time.monotonic()
    found = waited_for(queue(d, 150, lambda: None))
    assert time.monotonic() - begun > 1.5
    assert set(found) == {0, 1, 2}, found
    assert sum(found.values()) == 150
    d.wait_log(words.READY(index=0), start=mark)
    d.stop()


@parametrized("random", "source")
def test_queue_of_a_parked_seat_is_reset(box, balance):
    """Nobody would ever come, and clients are not left waiting."""
    d = start(box, balance, instances=3, restart_limit="1/60s")
    begun = time.monotonic()
    results = queue(d, 150, lambda: None)
    assert time.monotonic() - begun < 8 * SLOW
    found = waited_for(results)
    assert set(found) - {1, 2}, "nobody had come to the dead one"
    for a in results:
        assert not isinstance(a, OSError) or isinstance(a, CUT), a
    assert 0 not in found
    d.wait_log(r"web: \d+ connections? that waited for a worker reset")
    assert {get(d.port(), source=client(n)).instance
            for n in range(60)} == {1, 2}
    d.stop()


@parametrized("round-robin", "least-connections", "random")
def test_app_whose_seats_are_all_parked_refuses(box, balance):
    d = start(box, balance, instances=2, restart_limit="1/60s")
    port = d.port()
    for pid in d.ready_pids():
        os.kill(pid, signal.SIGKILL)
    assert d.wait() == 1
    assert is_refused(port)


@parametrized(*PRIVILEGED)
def test_half_open_connections_are_not_lost(box, balance):
    """Clients that connect all the time, while workers die for long."""
    d = start(box, balance, instances=4, **AWAY)
    with SlowStream(d.port()) as stream:
        for instance in (1, 3):
            # Between two requests: what it is busy with is lost with it.
            pid = seats(d)[instance]
            with stopped([pid]):
                kill_and_wait(d, pid)
            stream.forgive_cut()
            stream.wait_more(60)
    d.stop()


# --- datagrams

def flows(stack, port, count):
    found = []
    for _ in range(count):
        s = stack.enter_context(
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        s.settimeout(10 * SLOW)
        s.connect(("127.0.0.1", port))
        found.append(s)
    return found


def heard(s):
    return int(re.search(rb"instance (\d+)", s.recv(4096))[1])


def ask_flow(s):
    s.send(b"hello")
    return heard(s)


def test_flows_of_the_others_stay_when_a_worker_dies(box):
    d = start(box, "auto", listen="udp:127.0.0.1:0", **AWAY)
    with contextlib.ExitStack() as stack:
        clients = flows(stack, d.port(), 150)
        before = [ask_flow(s) for s in clients]
        kill_and_wait(d, seats(d)[1])
        after = [ask_flow(s) for s in clients]
        for b, a in zip(before, after):
            assert a == b if b != 1 else a != 1
        assert {a for b, a in zip(before, after) if b == 1} == {0, 2, 3}
    d.stop()


def test_datagrams_of_a_dead_worker_are_for_its_replacement(box):
    d = start(box, "auto", listen="udp:127.0.0.1:0", **BACK_AT_ONCE)
    with contextlib.ExitStack() as stack:
        clients = flows(stack, d.port(), 150)
        before = [ask_flow(s) for s in clients]
        pids = seats(d)
        with stopped(pids.values()):
            for s in clients:
                s.send(b"hello")
            kill_and_wait(d, pids[2])
        assert [heard(s) for s in clients] == before
        # And all go on where they were.
        d.wait_ready(4)
        assert [ask_flow(s) for s in clients] == before
    d.stop()


def test_flows_come_back_with_their_worker(box):
    d = start(box, "auto", listen="udp:127.0.0.1:0", **AWAY)
    with contextlib.ExitStack() as stack:
        clients = flows(stack, d.port(), 100)
        before = [ask_flow(s) for s in clients]
        mark = d.mark()
        kill_and_wait(d, seats(d)[3])
        meanwhile = [ask_flow(s) for s in clients]
        do(box, "restart web.3")
        d.wait_log(words.READY(index=3), start=mark)
        wait_asleep(d)
        after = [ask_flow(s) for s in clients]
        if d.find("flows of datagrams do not stay"):
            assert after == before
        else:
            # They have begun something where they are now; new ones come.
            assert after == meanwhile and 3 not in after
            assert 3 in {ask_flow(s) for s in flows(stack, d.port(), 50)}
    d.stop()
