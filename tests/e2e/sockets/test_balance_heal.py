"""Workers that spoil their lane, by each `balance`."""

import contextlib
import os
import signal
import socket
import sys
import time

import pytest

import words
from binder import settings
from harness import (CUT, HAS_KEEPER, SLOW, ask_udp, get, process_state,
                     status_field, wait_until)
from lanes import (ALL, OWN_LANES, answers, ask_all, check_even, hup,
                   is_listening, needs, parametrized, seats, seats_of_clients,
                   stopped, take_fd, wait_asleep)

N = 4


def start(box, balance, *arguments, instances=N, **keys):
    needs(balance)
    box.web(*arguments, balance=balance, instances=instances, **keys)
    d = box.start()
    d.wait_ready(instances)
    wait_asleep(d)
    return d


def take_lanes(stack, d):
    """The lanes of all workers, by instance."""
    return {n: stack.enter_context(take_fd(pid))
            for n, pid in seats(d).items()}


def shut(lanes):
    for lane in lanes:
        lane.shutdown(socket.SHUT_RDWR)


def wait_healed(d, lanes):
    wait_until(lambda: all(map(is_listening, lanes)), "they listen again")
    wait_asleep(d)


def check_steered(d, balance, before):
    """As it should be, and as it was."""
    check_even(d.port(), balance, N)
    if balance == "source":
        assert seats_of_clients(d.port(), 100) == before


def clients_before(d, balance):
    return seats_of_clients(d.port(), 100) if balance == "source" else None


@parametrized("auto", *ALL)
@pytest.mark.parametrize("instance", range(N))
def test_lane_that_a_worker_shuts_down_listens_again(box, balance, instance):
    d = start(box, balance)
    before = clients_before(d, balance)
    pid = seats(d)[instance]
    with take_fd(pid) as lane:
        shut([lane])
        wait_healed(d, [lane])
    who = "web: a worker" if balance == "shared" else \
        rf"web\[{instance}\] pid {pid}"
    d.wait_log(rf"warn.* {who}:? has shut down the listener "
               rf"127\.0\.0\.1:{d.port()}; it listens again")
    if balance == "auto":
        balance = "random"
    check_steered(d, balance, before)
    d.stop()


@parametrized(*OWN_LANES)
@pytest.mark.parametrize("which", [(0, 1), (1, 3), (0, 2, 3), (3, 2, 1, 0),
                                   (2, 0, 1, 3)])
def test_lanes_shut_down_at_the_same_time_listen_again(box, balance, which):
    d = start(box, balance)
    before = clients_before(d, balance)
    with contextlib.ExitStack() as stack:
        lanes = take_lanes(stack, d)
        # All of it is there to be seen when clusterd comes to look.
        with stopped([d.pid]):
            shut(lanes[n] for n in which)
        wait_healed(d, lanes.values())
    d.wait_log(r"has shut down the listener")
    check_steered(d, balance, before)
    d.stop()


@parametrized(*OWN_LANES)
def test_lane_shut_down_again_and_again(box, balance):
    """The log is not flooded."""
    d = start(box, balance)
    before = clients_before(d, balance)
    with contextlib.ExitStack() as stack:
        lanes = take_lanes(stack, d)
        begun = time.monotonic()
        for turn in range(30):
            shut([lanes[turn * 7 % N]])
            wait_healed(d, lanes.values())
    # One in ten seconds.
    took = time.monotonic() - begun
    assert len(d.find(r"has shut down the listener")) <= 3 + took / 10
    check_steered(d, balance, before)
    d.stop()


@parametrized(*OWN_LANES)
def test_healed_lanes_survive_deaths_and_reloads(box, balance):
    """The order of the group is known all the time."""
    d = start(box, balance, restart_delay="10ms")
    before = clients_before(d, balance)
    with contextlib.ExitStack() as stack:
        lanes = take_lanes(stack, d)
        with stopped([d.pid]):
            shut([lanes[2], lanes[0]])
        wait_healed(d, lanes.values())
    dead = seats(d)[1]
    os.kill(dead, signal.SIGKILL)
    d.wait_replaced([dead], N)
    wait_asleep(d)
    check_steered(d, balance, before)
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_DONE("web", 2))
    d.wait_workers(N)
    wait_asleep(d)
    check_steered(d, balance, before)
    with contextlib.ExitStack() as stack:
        lanes = take_lanes(stack, d)
        with stopped([d.pid]):
            shut([lanes[3], lanes[1], lanes[0]])
        wait_healed(d, lanes.values())
    check_steered(d, balance, before)
    d.stop()


@parametrized("round-robin", "least-connections")
def test_clients_who_wait_move_when_their_lane_is_shut_down(box, balance):
    d = start(box, balance)
    pids = seats(d)
    with stopped(pids.values()):
        waiting = ask_all(d.port(), 40)
        with take_fd(pids[1]) as lane:
            shut([lane])
            wait_healed(d, [lane])
    found = answers(waiting)
    assert not [a for a in found if isinstance(a, OSError)]
    d.stop()


# --- the backlog

def shared_beside_a_free_lane(box):
    """The lane for all, and one that nobody has had for long."""
    d = start(box, "random", instances=1)
    box.web(balance="shared", instances=1)
    hup(d, 2)
    d.wait_workers(1)
    time.sleep(1.2 * SLOW)      # so long it might have been taken
    wait_asleep(d)
    return d


def strays(d):
    """Clients who come while the lane for all is shut, as clusterd has yet to
    see: they end in the free one."""
    with take_fd(seats(d)[0]) as lane:
        shut([lane])
    return ask_all(d.port(), 4)


def test_stray_has_the_time_in_which_its_lane_may_be_taken(box):
    d = shared_beside_a_free_lane(box)
    with stopped([d.pid]):
        clients = strays(d)
        begun = time.monotonic()
    found = answers(clients)
    assert time.monotonic() - begun > 1
    assert all(isinstance(e, CUT) for e in found), found
    d.wait_log("4 connections that waited for a worker reset")
    get(d.port())
    d.stop()


def test_stray_is_served_by_the_process_that_takes_its_lane(box):
    d = shared_beside_a_free_lane(box)
    box.web(balance="random", instances=1)
    with stopped([d.pid]):
        clients = strays(d)
        d.send(signal.SIGHUP)
        # So that it hears of both at once.
        wait_until(lambda: not HAS_KEEPER or
                   int(status_field(d.keeper, "ShdPnd"), 16) == 0 and
                   process_state(d.keeper) == "S", "the keeper passes it on")
    assert [a.generation for a in answers(clients)] == [3] * 4
    d.stop()


@parametrized("auto", *ALL)
def test_backlog_of_a_given_descriptor_is_set_back(box, balance):
    needs(balance)
    box.config(web=settings(
        "take:a:0", "listen:a:1", "block:a", "serve:poll",
        listen="127.0.0.1:0", handoff="env", balance=balance, backlog=77))
    d = box.start()
    d.wait_ready(2)
    wait_until(lambda: {get(d.port()).one("l.backlog")
                        for _ in range(6)} == {"77"}, "it is set back")
    who = "web: a worker" if balance == "shared" else r"web\[\d\] pid \d+"
    d.wait_log(rf"{who}:? has changed the backlog of its listener to 1: "
               r"back to 77")
    d.stop()


# Who is in accept(2) while its socket is shut down, if only for a moment, gets
# an error; or not, if it is slow. The bound of the window goes in any case.
ATTENTIVE = """
import os, select, socket, sys
listener = socket.socket(fileno=3)
listener.listen(5)
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, 1 << 20)
says = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
says.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1))
while listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP):
    select.select([listener], [], [], 0.01)
sys.exit("it was shut down")
"""


@parametrized(*OWN_LANES)
def test_backlog_is_set_back_and_nobody_is_disturbed(box, balance):
    """Who is about to accept hears nothing of it."""
    needs(balance)
    path = box.write("attentive.py", ATTENTIVE)
    box.config(web={"command": f"{sys.executable} -S -B {path}",
                    "listen": "127.0.0.1:0", "instances": 2, "max_surge": 2,
                    "handoff": "env", "balance": balance, "backlog": 77})
    d = box.start()
    d.wait_ready(2)
    for generation in range(2, 10):
        hup(d, generation)
        d.wait_workers(2)
    d.wait_log(r"has changed the backlog of its listener to 5: back to 77")
    assert not d.find(r"exited with code")
    d.stop()


# --- flags

# What the mode of a shared lane is, all who have it decide.
@parametrized("auto", *OWN_LANES)
def test_blocking_mode_of_a_worker_is_its_own(box, balance):
    """The next process of the seat gets its lane as the first one did."""
    needs(balance)
    box.config(web=settings(
        "take:a:0", "serve:poll", listen="127.0.0.1:0", handoff="env",
        balance=balance, instances=2))
    d = box.start()
    d.wait_ready(2)
    old = d.ready_pids()
    for pid in old:
        with take_fd(pid) as lane:
            os.set_blocking(lane.fileno(), False)
        os.kill(pid, signal.SIGKILL)
    d.wait_replaced(old, 2)
    for _ in range(6):
        assert get(d.port()).one("l.nonblock") == "0"
    d.stop()


# --- datagrams

def test_udp_lane_that_a_worker_shuts_down(box):
    d = start(box, "auto", listen="udp:127.0.0.1:0", instances=2,
              restart_delay="10ms")
    pid = seats(d)[1]
    with take_fd(pid) as lane:
        with contextlib.suppress(OSError):      # ENOTCONN, but it is done
            shut([lane])
    d.wait_log(rf"web\[1\] pid {pid}: has shut down the listener .*"
               rf"until its next start")
    os.kill(pid, signal.SIGKILL)
    d.wait_replaced([pid], 2)
    wait_asleep(d)
    found = {ask_udp(("127.0.0.1", d.port())).instance for _ in range(60)}
    assert found == {0, 1}
    d.stop()


def test_udp_lane_that_a_worker_connects(box):
    """Then it hears that one client alone."""
    d = start(box, "auto", listen="udp:127.0.0.1:0", instances=2,
              restart_delay="10ms")
    pid = seats(d)[0]
    with take_fd(pid) as lane:
        lane.connect(("127.0.0.1", 9))
    os.kill(pid, signal.SIGKILL)
    d.wait_replaced([pid], 2)
    wait_asleep(d)
    found = {ask_udp(("127.0.0.1", d.port())).instance for _ in range(60)}
    assert found == {0, 1}
    d.stop()
