"""Connections are counted by cgroup: what if clusterd is moved to another?"""

import collections
import contextlib
import os
import signal

import pytest

import words
from control import status, wait_status
from harness import (HAS_KEEPER, IS_ROOT, free_port, get, kill,
                     wait_until)
from lanes import (SETPRIV, as_nobody, finish, hold, hup, needs,
                   nobodys_probe, wait_asleep)

N = 4


@pytest.fixture
def cgroups():
    """Two, neither below the other. To be named before `box`, which empties
    them at its end."""
    if not IS_ROOT:
        pytest.skip("needs root")
    needs("least-connections")
    with open("/proc/mounts") as f:
        point = next(line.split()[1] for line in f if " cgroup2 " in line)
    with open("/proc/self/cgroup") as f:
        own = next(line.strip()[3:] for line in f if line.startswith("0::"))
    paths = [f"{point}{own.rstrip('/')}/clusterd-test-{os.getpid()}-{name}"
             for name in "ab"]
    try:
        for path in paths:
            try:
                os.mkdir(path)
            except OSError as e:
                pytest.skip(f"no cgroup of one's own: {e}")
        yield paths
    finally:
        for path in reversed(paths):
            wait_until(lambda: remove(path), f"{path} is empty")


def remove(path):
    with contextlib.suppress(FileNotFoundError, OSError):
        os.rmdir(path)
    return not os.path.exists(path)


def within(cgroup, *launcher):
    """The launcher of a program that begins in it."""
    return ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', cgroup,
            *launcher]


def move(d, cgroup):
    """clusterd alone, not its workers."""
    with open(f"{cgroup}/cgroup.procs", "w") as f:
        f.write(str(d.pid))


def scale_up(d, before, after):
    for n in range(before + 1, after + 1):
        d.send(signal.SIGTTIN)
        d.wait_ready(n)
    wait_asleep(d)


def connections(now):
    return [r.get("connections") for r in now.seats()]


def check_counted(box, d, each=10):
    """All workers have as many, and clusterd knows it."""
    with contextlib.ExitStack() as stack:
        held = hold(stack, d.port(), each * N)
        wait_status(box, lambda now: connections(now) == [each] * N,
                    "all are counted")
        found = collections.Counter(finish(s).instance for s in held)
    assert set(found.values()) == {each}, found
    wait_status(box, lambda now: connections(now) == [0] * N,
                "they have gone")


def test_new_lanes_are_counted_after_a_move(cgroups, box):
    box.web(balance="least-connections")
    d = box.start(launcher=within(cgroups[0]))
    d.wait_ready(2)
    move(d, cgroups[1])
    scale_up(d, 2, N)
    check_counted(box, d)
    # Back, and with new lanes again.
    move(d, cgroups[0])
    hup(d, 2)
    d.wait_workers(N)
    wait_asleep(d)
    check_counted(box, d)
    d.stop()


@pytest.mark.skipif(not HAS_KEEPER, reason="there is no keeper")
def test_counts_outlive_a_supervisor_that_was_moved_below(cgroups, box):
    """There its sockets count already: nothing more is to be handed over."""
    below = f"{cgroups[0]}/below"
    os.mkdir(below)
    cgroups.append(below)
    box.web(balance="least-connections", instances=N)
    d = box.start(launcher=within(cgroups[0]))
    d.wait_ready(N)
    for pid in d.keeper, d.pid:
        with open(f"{below}/cgroup.procs", "w") as f:
            f.write(str(pid))
    hup(d, 2)
    d.wait_workers(N)
    wait_asleep(d)
    with contextlib.ExitStack() as stack:
        held = hold(stack, d.port(), 5 * N)
        for _ in range(2):
            wait_status(box, lambda now: connections(now) == [5] * N,
                        "all are counted")
            mark, old = d.mark(), d.pid
            kill(old)
            d.wait_log("start complete", start=mark)
            wait_until(lambda: d.pid not in (None, old), "the next one")
        wait_status(box, lambda now: connections(now) == [5] * N,
                    "all are counted")
        for s in held:
            finish(s)
    wait_asleep(d)
    check_counted(box, d)
    d.stop()


def test_reload_where_one_that_was_below_is_gone(cgroups, box):
    """Nothing was attached to it, and nothing can be."""
    below = f"{cgroups[0]}/below"
    os.mkdir(below)
    cgroups.append(below)
    box.web(balance="least-connections")
    d = box.start(launcher=within(cgroups[0]))
    d.wait_ready(2)
    move(d, below)
    scale_up(d, 2, N)
    with open(f"{below}/cgroup.procs") as f:
        pids = f.read().split()
    for pid in pids:
        with open(f"{cgroups[0]}/cgroup.procs", "w") as f:
            f.write(str(pid))
    wait_until(lambda: remove(below), "it is gone")
    box.web(balance="least-connections", instances=N,
            listen=f"127.0.0.1:{free_port()}")
    hup(d, 2)
    d.wait_workers(N)
    wait_asleep(d)
    assert not d.find("round-robin now"), d.log()
    d.stop()


def test_lanes_from_before_a_move_are_counted(cgroups, box):
    """What counts begins in another cgroup than they did."""
    box.web(balance="random")
    d = box.start(launcher=within(cgroups[0]))
    d.wait_ready(2)
    move(d, cgroups[1])
    box.web(balance="least-connections", instances=N,
            listen=f"127.0.0.1:{d.port()}")
    hup(d, 2)
    d.wait_workers(N)
    wait_asleep(d)
    assert status(box).one("listener")["balance"] == "least-connections"
    check_counted(box, d)
    d.stop()


def test_what_is_not_counted_is_not_compared(cgroups, box):
    """It would seem to be empty, and draw all that comes."""
    if not SETPRIV:
        pytest.skip("needs setpriv(1)")
    caps = "+bpf,+net_admin"
    nobody = as_nobody(box)
    nobody["launcher"] = within(
        cgroups[0], SETPRIV, "--reuid=65534", "--regid=65534",
        "--clear-groups", f"--inh-caps=-all,{caps}",
        f"--ambient-caps=-all,{caps}", f"--bounding-set=-all,{caps}")
    os.chmod(cgroups[1], 0o700)
    box.web(command=nobodys_probe(box), balance="auto")
    d = box.start(**nobody)
    d.wait_log(r"balance = auto is least-connections here")
    d.wait_ready(2)
    move(d, cgroups[1])
    scale_up(d, 2, N)
    assert len(d.find(
        r"web: balance = least-connections failed, it is round-robin now: "
        r"the connections of a new listener of \S+ are not counted: "
        r"cannot open the cgroup \S+: Permission denied")) == 1, d.log()
    assert status(box).one("listener")["balance"] == "round-robin"
    order = [get(d.port()).instance for _ in range(3 * N)]
    assert sorted(order[:N]) == list(range(N))
    assert order == order[:N] * 3
    # The figures of those that are counted stay true.
    assert [n is None for n in connections(status(box))] == \
        [False, False, True, True]
    # A reload tries again, and stays with what can be had.
    hup(d, 2)
    d.wait_workers(N)
    d.wait_log(r"web: balance = least-connections failed, it is "
               r"round-robin now: cannot open the cgroup")
    assert status(box).one("listener")["balance"] == "round-robin"
    d.stop()
