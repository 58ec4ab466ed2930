"""What the kernel counts of connections outlives a supervisor that is killed."""

import collections
import contextlib
import os
import shutil
import signal

import pytest

from control import status
from harness import CLUSTERD, HAS_KEEPER, get, is_alive, wait_until
from lanes import finish, hold, needs
from test_survive import kill_supervisor

pytestmark = pytest.mark.skipif(not HAS_KEEPER, reason="needs the keeper")

N = 3


@pytest.fixture(name="web")
def fixture_web(box):
    needs("least-connections")
    shutil.copy(CLUSTERD, box.path("clusterd"))
    box.web(balance="least-connections", instances=N)
    d = box.start(program=box.path("clusterd"))
    d.wait_ready(N)
    yield d
    d.stop()


def counts(box):
    """What each instance has open, and has had."""
    records = [status(box).seat(i) for i in range(N)]
    return ([int(r["connections"]) for r in records],
            [int(r["connections_total"]) for r in records])


def upgrade(box, d):
    count = len(d.find("start complete"))
    done = box.ctl("-c", "app.ini", "upgrade",
                   env={"RUNTIME_DIRECTORY": box.dir}, limit=40)
    assert done.returncode == 0, done.stderr
    d.wait_log("start complete", count=count + 1)


def next_one(box, d, how):
    if how == "upgraded":
        upgrade(box, d)
    else:
        kill_supervisor(d)


@pytest.mark.parametrize("how", ["killed", "upgraded"])
def test_whoever_has_fewest_is_filled_up(box, web, how):
    port = web.port()
    before = counts(box)[1]
    with contextlib.ExitStack() as stack:
        held = hold(stack, port, 20 * N)
        wait_until(lambda: counts(box)[0] == [20] * N, "all are counted")
        next_one(box, web, how)
        assert counts(box) == ([20] * N, [n + 20 for n in before])
        # Some leave, of one more than of another, and of one while nobody looks.
        first = [finish(s).instance for s in held[:15]]
        left = [20 - first.count(i) for i in range(N)]
        wait_until(lambda: counts(box)[0] == left, "they have left")
        next_one(box, web, how)
        assert counts(box)[0] == left
        more = hold(stack, port, 15)
        wait_until(lambda: counts(box)[0] == [20] * N, "as many as before")
        owners = collections.Counter(finish(s).instance for s in more)
        assert owners == collections.Counter(first)
        for s in held[15:]:
            finish(s)
    wait_until(lambda: counts(box)[0] == [0] * N, lambda: f"{counts(box)}")
    next_one(box, web, how)
    assert counts(box)[0] == [0] * N


def test_those_that_leave_while_nobody_looks_have_left(box, web):
    """And those that come meanwhile have come."""
    port = web.port()
    with contextlib.ExitStack() as stack:
        held = hold(stack, port, 10 * N)
        wait_until(lambda: counts(box)[0] == [10] * N, "all are counted")
        old = web.pid
        os.kill(old, signal.SIGSTOP)
        gone = collections.Counter(finish(s).instance for s in held[:9])
        more = hold(stack, port, 6)
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: web.pid != old and is_alive(web.pid), "the next one")
        web.wait_log("start complete", count=2)
        wait_until(lambda: sum(counts(box)[0]) == 10 * N - 3,
                   lambda: f"{counts(box)}")
        now = counts(box)[0]
        came = collections.Counter(finish(s).instance for s in more)
        assert now == [10 - gone[i] + came[i] for i in range(N)]


def test_a_reload_afterwards(box, web):
    """Workers that retire take their counts with them; many times."""
    port = web.port()
    for i in range(4):
        old = web.ready_pids()
        kill_supervisor(web)
        web.send(signal.SIGHUP)
        web.wait_log(f"reload complete, generation {i + 2}")
        web.wait_replaced(old, N)
        with contextlib.ExitStack() as stack:
            held = hold(stack, port, 5 * N)
            wait_until(lambda: counts(box)[0] == [5] * N,
                       lambda: f"{counts(box)}")
            kill_supervisor(web)
            assert counts(box)[0] == [5] * N
            assert collections.Counter(finish(s).instance for s in held) == \
                {i: 5 for i in range(N)}
        wait_until(lambda: counts(box)[0] == [0] * N, lambda: f"{counts(box)}")
    get(port)
