"""The order of the kernel's group where nobody can know it: lanes that are shut
down at the same moment, by servers that do so when they stop."""

import contextlib
import os
import random
import resource
import signal
import socket

import pytest

from harness import get, probe, wait_until
from lanes import (OWN_LANES, PRIVILEGED, as_nobody, client, hup,
                   is_listening, kill_and_wait, needs, nobodys_probe,
                   parametrized, seats, seats_of_clients, stopped, take_fd,
                   wait_asleep)


def lost(port, count):
    """Who of so many clients, each with its address, gets no answer."""
    found = []
    for n in range(count):
        try:
            get(port, source=client(n), limit=5)
        except (OSError, AssertionError) as e:
            found.append((n, e))
    return found


@parametrized("random", "source")
def test_change_from_ebpf_after_reloads(box, balance):
    """Each reload has eight lanes shut down at once, while eBPF does without
    the order."""
    needs("least-connections")
    box.web("--shut-lanes", balance="least-connections", instances=8,
            max_surge=8)
    d = box.start()
    d.wait_ready(8)
    for generation in range(2, 7):
        hup(d, generation)
        d.wait_workers(8)
    box.web("--shut-lanes", balance=balance, instances=8, max_surge=8)
    hup(d, 7)
    d.wait_workers(8)
    wait_asleep(d)
    assert lost(d.port(), 400) == []
    assert set(seats_of_clients(d.port(), 400).values()) == set(range(8))
    d.stop()


@pytest.mark.heavy
@parametrized("random", "source")
@pytest.mark.parametrize("nobody", [False, True])
def test_half_of_many_stop_at_once(box, balance, nobody):
    start = as_nobody(box) if nobody else {}
    command = nobodys_probe(box, "--shut-lanes") if nobody else \
        probe("--events", box.events_path, "--shut-lanes")
    keys = {"balance": balance, "command": command}
    box.web(instances=64, **keys)
    d = box.start(**start)
    d.wait_ready(64, limit=30)
    before = seats_of_clients(d.port(), 300)
    for generation in (2, 4):
        box.web(instances=32, **keys)
        hup(d, generation)
        d.wait_workers(32, limit=30)
        wait_asleep(d)
        assert lost(d.port(), 300) == []
        if balance == "source":
            now = seats_of_clients(d.port(), 300)
            assert [n for n in now if before[n] < 32 and
                    now[n] != before[n]] == []
        box.web(instances=64, **keys)
        hup(d, generation + 1)
        d.wait_workers(64, limit=30)
        wait_asleep(d)
    assert lost(d.port(), 300) == []
    if balance == "source":
        assert seats_of_clients(d.port(), 300) == before
    d.stop()


def shut_at_once(lanes):
    """By several processes, which begin together."""
    ways = 4
    begin, go = os.pipe()
    children = []
    for way in range(ways):
        child = os.fork()
        if child == 0:
            os.close(go)
            os.read(begin, 1)
            for lane in lanes[way::ways]:
                lane.shutdown(socket.SHUT_RDWR)
            os._exit(0)
        children.append(child)
    os.close(begin)
    os.close(go)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0


@parametrized(*OWN_LANES)
def test_lanes_are_shut_down_in_an_order_that_nobody_knows(box, balance):
    """Half of them each time, and then all are where they were."""
    needs(balance)
    n = 40
    dice = random.Random(balance)
    box.web(balance=balance, instances=n)
    d = box.start()
    d.wait_ready(n, limit=30)
    with contextlib.ExitStack() as stack:
        lanes = [stack.enter_context(take_fd(seats(d)[i])) for i in range(n)]
        wait_asleep(d)
        before = seats_of_clients(d.port(), 200)
        for _ in range(8):
            shut_at_once(dice.sample(lanes, n // 2))
            wait_until(lambda: all(map(is_listening, lanes)), "they listen")
            wait_asleep(d)
            now = seats_of_clients(d.port(), 200)
            assert balance != "source" or now == before
    box.web(balance="source", instances=n)
    hup(d, 2)
    d.wait_workers(n, limit=30)
    wait_asleep(d)
    after = seats_of_clients(d.port(), 200)
    if balance == "source":
        assert after == before
    d.stop()
    # Its clients come to the same instances as if nothing had been in doubt.
    other = box.start()
    other.wait_ready(n, limit=30)
    wait_asleep(other)
    assert seats_of_clients(other.port(), 200) == after
    other.stop()


def test_lane_that_listens_again_unseen(box):
    """A worker shuts its lane down and listens again while nobody looks, and
    then another one comes to a place that nobody would think of."""
    n = 4
    box.web(balance="source", instances=n)
    d = box.start()
    d.wait_ready(n)
    wait_asleep(d)
    before = seats_of_clients(d.port(), 100)
    pid = seats(d)[1]
    with take_fd(pid) as lane, take_fd(seats(d)[0]) as other:
        with stopped([d.pid]):
            lane.shutdown(socket.SHUT_RDWR)
            lane.listen(5)
            other.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: is_listening(other), "it listens")
        wait_asleep(d)
        # It shows when its next process is to have it.
        os.kill(pid, signal.SIGKILL)
        d.wait_replaced([pid], n)
    wait_asleep(d)
    assert seats_of_clients(d.port(), 100) == before
    d.stop()


def unanswered(port):
    """How many of 100 clients get no answer soon."""
    found = 0
    for n in range(100):
        try:
            get(port, source=client(n), limit=0.5)
        except (OSError, AssertionError):
            found += 1
    return found


@parametrized("random", "source")
def test_stray_shows_that_a_lane_listens_again_unseen(box, balance):
    """The worker of that lane lives on, and another one goes for good, whose
    place is another one than anybody would think."""
    box.web(balance=balance, instances=4, restart="never")
    d = box.start()
    d.wait_ready(4)
    wait_asleep(d)
    with take_fd(seats(d)[0]) as lane, stopped([d.pid]):
        lane.shutdown(socket.SHUT_RDWR)
        lane.listen(5)
    os.kill(seats(d)[3], signal.SIGKILL)
    d.wait_workers(3)
    wait_asleep(d)
    unanswered(d.port())
    wait_asleep(d)
    assert unanswered(d.port()) == 0
    d.stop()


@pytest.mark.parametrize("before", [1, 3])
@parametrized(*PRIVILEGED)
def test_only_lane_that_listens_again_unseen(box, balance, before):
    """The program knows it no more, and has no other: nobody is refused, and
    who comes to one that nobody has, since there were more instances, moves."""
    needs(balance)
    box.web(balance=balance, instances=before)
    d = box.start()
    d.wait_ready(before)
    for left in range(before - 1, 0, -1):
        d.send(signal.SIGTTOU)
        d.wait_workers(left)
    wait_asleep(d)
    with take_fd(seats(d)[0]) as lane, stopped([d.pid]):
        lane.shutdown(socket.SHUT_RDWR)
        lane.listen(5)
    assert [get(d.port(), limit=5).instance for _ in range(20)] == [0] * 20
    d.stop()


def test_doubt_ends_when_the_kernel_can_be_asked_again(box):
    """Nothing else happens that would remind clusterd of it."""
    box.web(balance="random", instances=4, restart="never")
    d = box.start()
    d.wait_ready(4)
    wait_asleep(d)
    pids = seats(d)
    kill_and_wait(d, pids[3])
    limits = resource.prlimit(d.pid, resource.RLIMIT_NOFILE)
    with take_fd(pids[0]) as one, take_fd(pids[1]) as other:
        resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        with stopped([d.pid]):
            one.shutdown(socket.SHUT_RDWR)
            other.shutdown(socket.SHUT_RDWR)
        d.wait_log("is in doubt, and the kernel cannot be asked")
        # Which of two places it has: the other one is that of nobody.
        assert set(seats_of_clients(d.port(), 50).values()) == {0, 1}
        resource.prlimit(d.pid, resource.RLIMIT_NOFILE, limits)
    wait_until(lambda: set(seats_of_clients(d.port(), 50).values()) ==
               {0, 1, 2}, "all that live get new connections")
    d.stop()
