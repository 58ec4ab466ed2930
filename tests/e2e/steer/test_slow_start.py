"""A new worker's share of new connections grows: `slow_start`."""

import collections
import os
import re
import signal
import subprocess

import control
from harness import CLUSTERD, HAS_KEEPER, free_port, get, probe, wait_until
from lanes import PRIVILEGED, needs, parametrized, wait_asleep

N = 4
# So long that the share does not change while a test runs.
LONG = "10h"


def configure(box, balance, port, slow_start):
    box.config(web={"command": probe(), "listen": f"127.0.0.1:{port}",
                    "instances": N, "balance": balance,
                    "restart_delay": "10ms", "slow_start": slow_start})


def begin(box, balance, slow_start):
    needs(balance)
    port = free_port()
    configure(box, balance, port, slow_start)
    d = box.start()
    d.wait_ready(N)
    wait_asleep(d)
    return d, port


def shares(port, count=160):
    """How many each instance gets, of clients that come one by one."""
    return collections.Counter(get(port).instance for _ in range(count))


def kill_one(box, d, instance):
    pid = control.status(box).seat(instance)["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: control.status(box).seat(instance).get("pid")
               not in (pid, None)
               and control.status(box).seat(instance)["state"] == "ready",
               "another one is ready")
    wait_asleep(d)


def kill_supervisor(d):
    mark = d.mark()
    os.kill(wait_until(d.find_supervisor, "a supervisor"), signal.SIGKILL)
    d.wait_log("start complete", start=mark)


@parametrized(*PRIVILEGED)
def test_all_are_new(box, balance):
    d, port = begin(box, balance, LONG)
    n = shares(port)
    assert len(n) == N and min(n.values()) >= 10, n
    d.stop()


@parametrized(*PRIVILEGED)
def test_one_is_new(box, balance):
    """A thirtieth of a quarter of 160 is one or two, and chance."""
    d, port = begin(box, balance, "0s")
    # No new workers for that.
    configure(box, balance, port, LONG)
    control.do(box, "update")
    assert shares(port)[2] >= 15
    kill_one(box, d, 2)
    n = shares(port)
    assert n[2] <= 13 and min(n[i] for i in (0, 1, 3)) >= 15, n
    if HAS_KEEPER:
        kill_supervisor(d)
        n = shares(port)
        assert n[2] <= 13 and min(n[i] for i in (0, 1, 3)) >= 15, n
    # The next one has all of its share again.
    configure(box, balance, port, "0s")
    control.do(box, "update")
    kill_one(box, d, 2)
    assert shares(port)[2] >= 15
    d.stop()


def test_what_it_cannot_do_is_told(box):
    box.config(web={"command": probe(), "listen": "127.0.0.1:0",
                    "balance": "random", "slow_start": "5s"})
    done = subprocess.run([CLUSTERD, "-t", "-c", box.path("app.ini")],
                          capture_output=True, text=True)
    assert done.returncode == 0
    assert re.search(r"^warning: .*app\.ini:\d+: slow_start: does nothing "
                     "here: balance has to be", done.stderr, re.M)
