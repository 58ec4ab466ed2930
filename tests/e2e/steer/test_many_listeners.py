"""Many listeners are opened at once, and nobody waits for it."""

import signal
import threading
import time

import pytest

import control
from harness import SLOW, probe
from lanes import PRIVILEGED, needs, parametrized

N = 60

# To open one by eBPF may take so long more than without. The kernel's verifier
# alone took 18 to 30 ms for a program of its own.
EACH = 0.005

# Sixty processes start.
pytestmark = pytest.mark.heavy


class Asker:
    """Asks for the status all the time; `longest`: seconds until an answer."""

    def __init__(self, box):
        self.client = control.client(box)
        self.longest = 0
        self.failed = None
        self.enough = False
        self.thread = threading.Thread(target=self.ask)

    def ask(self):
        try:
            while not self.enough:
                begin = time.monotonic()
                assert self.client.ask("status").ok
                self.longest = max(self.longest, time.monotonic() - begin)
        except Exception as e:
            self.failed = e

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.enough = True
        self.thread.join()
        self.client.close()
        if exception == (None, None, None):
            assert self.failed is None


def write(box, n, **keys):
    app = {"command": probe(), "listen": "127.0.0.1:0", "instances": 1}
    box.config(web=app, **{f"more{i}": {**app, **keys} for i in range(n)})


def longest_wait(box, d, **keys):
    """For a status, while N apps are added; they are gone again then."""
    write(box, N, **keys)
    with Asker(box) as asker:
        d.send(signal.SIGHUP)
        d.wait_ready(1 + N, limit=30)
    write(box, 0)
    d.send(signal.SIGHUP)
    d.wait_workers(1, limit=30)
    return asker.longest


@parametrized(*PRIVILEGED)
def test_listeners_are_opened_without_holding_up_anybody(box, balance):
    needs(balance)
    write(box, 0)
    d = box.start()
    d.wait_ready(1)
    # Whatever is done once is done with the first one.
    write(box, 1, balance=balance)
    d.send(signal.SIGHUP)
    d.wait_ready(2)
    # That nobody has got any CPU meanwhile is no fault of theirs.
    limit = longest_wait(box, d, balance="random") + N * EACH * SLOW
    took = []
    while len(took) < 3 and min(took, default=limit) >= limit:
        took.append(longest_wait(box, d, balance=balance))
    assert min(took) < limit, took
    d.stop()


def counts_while_it_grows(box):
    """The numbers of workers that one sees who asks all the time."""
    seen = set()
    order = threading.Thread(target=control.do, args=(box, f"scale web {N}"))
    with control.client(box) as c:
        order.start()
        deadline = time.monotonic() + 20 * SLOW
        while N not in seen and time.monotonic() < deadline:
            seats = c.ask("status").seats("web")
            seen.add(sum(r.get("pid") is not None for r in seats))
    order.join()
    assert N in seen, seen
    return seen


def test_workers_are_started_without_holding_up_anybody(box):
    """Who asks meanwhile sees some of them, and is not answered after all; if he
    gets a CPU while they are started."""
    write(box, 0)
    d = box.start()
    d.wait_ready(1)
    seen = counts_while_it_grows(box)
    for _ in range(2):
        if not seen - {0, 1, N}:
            control.do(box, "scale web 1")
            d.wait_workers(1, limit=30)
            seen = counts_while_it_grows(box)
    assert seen - {0, 1, N}, seen
    d.stop()
