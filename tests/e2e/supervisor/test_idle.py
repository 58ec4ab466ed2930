"""Nothing to do, nothing done."""

import time

import pytest

import harness
import lanes
from harness import Stream, get, status_field, wait_until


def switches(pid):
    return tuple(int(status_field(pid, name)) for name in
                 ("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"))


def all_switches(d):
    """Of keeper and supervisor."""
    return switches(d.keeper), switches(d.pid)


def test_idle_it_does_not_wake_up(box, unwrapped):
    box.web()
    d = box.start()
    d.wait_ready(2)
    get(d.port())
    before = settle(d)
    time.sleep(1.5)             # what is measured, not a wait
    assert all_switches(d) == before


def settle(d):
    """Start's last work is done once the counts hold still for a while."""
    seen = []
    wait_until(lambda: not d.lookers(), "nobody who looks at workers")

    def still():
        seen.append((time.monotonic(), all_switches(d)))
        since = [t for t, s in seen if s == seen[-1][1]][0]
        return seen[-1][0] - since > 0.3
    wait_until(still, "rest")
    return seen[-1][1]


@lanes.parametrized(*lanes.ALL)
def test_idle_and_under_load_it_makes_no_system_call(box, unwrapped, balance):
    lanes.needs(balance)
    box.web(balance=balance, instances=4)
    d = box.start()
    d.wait_ready(4)
    settle(d)

    def measure():
        time.sleep(0.8)         # what is measured, not a wait
        with Stream(d.port()):
            time.sleep(0.7)
    calls = harness.system_calls(box, d, measure, {d.keeper, d.pid})
    if calls is None:
        pytest.skip("may not trace")
    assert calls == []
    d.stop()
