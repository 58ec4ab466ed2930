"""Those who wait in a lane that nobody serves: they are moved to somebody who is
ready, or are refused within a bound; nobody is left there."""

import collections
import os
import shlex
import signal
import socket
import time

import pytest

from harness import CUT, PROBE, SLOW, finish_all, free_port, wait_until
from lanes import (ALL, PRIVILEGED, as_nobody, ask_all, client, kill_and_wait,
                   needs, nobodys, nobodys_probe, parametrized, seats, stopped,
                   take_fd, wait_asleep)

# So long somebody who cannot be moved waits for a worker that does not come;
# and who can, for one that does not become ready (clusterd(8)).
WAIT = 5
START = 1

# What follows the death of a worker: nobody for long, or for good.
GONE = {
    "parked": {"restart_limit": "1/60s"},
    "never": {"restart": "never"},
    "long delay": {"restart_delay": "30s"},
}


def start(box, balance, instances, nobody=False, **keys):
    how = {}
    if nobody:
        how = as_nobody(box)
        keys.setdefault("command", nobodys_probe(box))
    else:
        needs(balance)
    box.web(balance=balance, instances=instances, **keys)
    d = box.start(**how)
    d.wait_ready(instances)
    wait_asleep(d)
    return d


def outcomes(clients, limit):
    """What becomes of each: the instance that answers, "cut" or "waits"."""
    found = collections.Counter(finish_all(clients, limit * SLOW))
    assert "waits" not in found, found
    return found


# --- handshakes that end when the worker has gone

def late_handshakes(d, balance):
    """Clients whose handshake is over for them, and for the server when they
    send: in the lane that was chosen when they began."""
    pids = seats(d)
    for pid in pids.values():
        with take_fd(pid) as lane:
            lane.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 60)
    clients = [socket.create_connection(("127.0.0.1", d.port()),
                                        source_address=(client(n), 0))
               for n in range(24)]
    kill_and_wait(d, pids[0])
    for s in clients:
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
    found = outcomes(clients, 4)
    assert found[1] + found[2] + found["cut"] == 24, found
    if balance != "shared":
        d.wait_log(r"web: \d+ connections? that waited for a worker " +
                   ("moved" if balance in PRIVILEGED else "reset"))
        assert found["cut"] < 20, found
    if balance in (*PRIVILEGED, "shared"):
        assert not found["cut"], found
    d.stop()


@parametrized(*ALL)
@pytest.mark.parametrize("gone", GONE)
def test_late_handshake_does_not_end_in_a_dead_lane(box, balance, gone):
    late_handshakes(start(box, balance, 3, **GONE[gone]), balance)


@parametrized("random", "source", "shared")
@pytest.mark.parametrize("gone", GONE)
def test_late_handshake_without_privileges(box, balance, gone):
    d = start(box, balance, 3, nobody=True, **GONE[gone])
    late_handshakes(d, balance)


# --- a worker that does not become ready again, beside one that does

def unlucky(box, what, program=PROBE):
    """A program whose instance 0 does that, once it is started anew."""
    box.write("unlucky", f"""
if [ -e {shlex.quote(box.path("bad"))} ] && [ "$CLUSTERD_INSTANCE" = 0 ]; then
    {what}
fi
exec {shlex.quote(program)}
""", mode=0o755)
    return f"/bin/sh {box.path('unlucky')}"


def both_die(box, d):
    """… while clients wait for both, and instance 0 does not come again.
    Returns what becomes of them, and when the last one knew."""
    pids = seats(d)
    with stopped(pids.values()):
        clients = ask_all(d.port(), 24)
        box.touch("bad")
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
    begun = time.monotonic()
    found = outcomes(clients, 2 * WAIT + 5)
    assert set(found) <= {1, "cut"} and found[1] > 0, found
    return found, time.monotonic() - begun


HANGS = {"restart_delay": "50ms", "ready_timeout": "60s"}
CRASHES = {"restart_delay": "50ms", "restart_delay_max": "800ms"}


@parametrized(*PRIVILEGED)
@pytest.mark.parametrize("what, keys", [
    ("exec sleep 1000", HANGS), ("exit 1", CRASHES)], ids=["hangs", "crashes"])
def test_queue_moves_when_somebody_else_becomes_ready(box, balance, what,
                                                      keys):
    d = start(box, balance, 2, command=unlucky(box, what), **keys)
    found, took = both_die(box, d)
    assert found == {1: 24}
    assert took < (START + 3) * SLOW
    d.wait_log(r"web: \d+ connections? that waited for a worker moved")
    d.stop()


@parametrized("random", "source")
@pytest.mark.parametrize("what, keys", [
    ("exec sleep 1000", HANGS), ("exit 1", CRASHES)], ids=["hangs", "crashes"])
def test_queue_that_cannot_move_is_refused_in_time(box, balance, what, keys):
    d = start(box, balance, 2, nobody=True, **keys,
              command=unlucky(box, what, nobodys(box, PROBE)))
    found, took = both_die(box, d)
    assert found[1] + found["cut"] == 24 and found["cut"] > 0, found
    # From the first death, not the latest.
    assert took < (WAIT + 4) * SLOW
    d.wait_log(r"web: \d+ connections? that waited for a worker reset")
    d.stop()


@parametrized(*PRIVILEGED)
def test_start_that_hangs_beside_a_ready_one_keeps_nobody(box, balance):
    """The worker died alone."""
    d = start(box, balance, 2, command=unlucky(box, "exec sleep 1000"),
              **HANGS)
    pids = seats(d)
    with stopped(pids.values()):
        clients = ask_all(d.port(), 24)
        box.touch("bad")
        kill_and_wait(d, pids[0])
    assert outcomes(clients, START + 4) == {1: 24}
    d.stop()


def test_program_that_starts_is_not_disturbed(box):
    """Who waits for it is served by it, if it does so in time; its lane does
    not cease to listen under it."""
    script = box.write("slow", f"""
[ "$CLUSTERD_INSTANCE" = 0 ] && sleep 0.3
exec {shlex.quote(PROBE)}
""")
    box.web(command=f"/bin/sh {script}", balance="random")
    d = box.start()
    port = d.port()
    found = outcomes(ask_all(port, 24), 5)
    assert found[0] + found[1] == 24, found
    assert not d.find("that waited for a worker")
    d.stop()


# --- a reload that fails

@parametrized("least-connections", "random", "source")
def test_aborted_reload_resets_nobody_who_waits_for_a_restart(box, balance):
    """It takes the place of a worker that waits for its restart, and those who
    wait in its lane."""
    needs(balance)
    box.web("--fail-if-file", box.path("bad"), balance=balance, instances=1,
            restart_delay="60s", restart_delay_max="60s")
    d = box.start()
    pid, = d.wait_ready(1)
    kill_and_wait(d, pid)
    clients = ask_all(d.port(), 20)
    box.touch("bad")
    d.send(signal.SIGHUP)
    d.wait_log("reload aborted")
    os.unlink(box.path("bad"))
    # What was started at once may have failed as well.
    d.send(signal.SIGHUP)
    assert outcomes(clients, 10) == {0: 20}
    assert not d.find("that waited for a worker reset")
    wait_until(lambda: len(d.ready_pids()) == 1, "one worker")
    d.stop()


# --- an address that is left

@parametrized("least-connections", "random", "source")
def test_who_is_let_go_with_the_address_is_told_of(box, balance):
    """A worker waits for its restart; the next generation serves elsewhere."""
    needs(balance)
    keys = {"balance": balance, "instances": 1, "restart_delay": "60s",
            "restart_delay_max": "60s"}
    box.web(**keys)
    d = box.start()
    pid, = d.wait_ready(1)
    kill_and_wait(d, pid)
    clients = ask_all(d.port(), 20)
    box.web(**keys, listen=f"127.0.0.1:{free_port()}")
    d.send(signal.SIGHUP)
    d.wait_log("reload complete")
    assert outcomes(clients, 10) == {"cut": 20}
    d.wait_log("web: 20 connections that waited for a worker reset")
    d.stop()
