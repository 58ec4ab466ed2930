"""What neither restarts nor reloads leave behind in clusterd."""

import os
import signal

import control
import words
from harness import kinds, status_field, wait_until


def test_descriptors_do_not_leak_over_restarts_and_reloads(box):
    box.web(restart_delay="5ms", restart_delay_max="5ms")
    d = box.start()
    pids = d.wait_ready(2)
    # The first reload needs lanes for old and new workers, which stay open for
    # the next ones.
    for generation in range(2, 7):
        # Nor may one that takes its time to end hold a lane for once.
        d.wait_workers(2)
        if generation == 3:
            before = d.kinds_at_rest()
        os.kill(pids[0], signal.SIGKILL)
        pids = d.wait_replaced(pids[:1], 2)
        d.send(signal.SIGHUP)
        d.wait_log(words.RELOAD_DONE("web", generation))
        pids = d.wait_replaced(pids, 2)
    d.wait_workers(2)
    wait_until(lambda: kinds(d.pid) == before, lambda:
               f"as many descriptors as before: {before}, {kinds(d.pid)}")
    d.stop()


# KiB. What malloc(3) asks brk(2) for at once, when its last page is full: once,
# whenever that may be, it says nothing about clusterd.
STEP = 132 + 4


def test_memory_does_not_grow_over_restarts_and_reloads(box, unwrapped):
    box.web(restart_delay="2ms", restart_delay_max="2ms", restart_reset="1h")
    d = box.start()
    pids = d.wait_ready(2)

    def work(reloads, deaths):
        nonlocal pids
        for _ in range(reloads):
            d.send(signal.SIGHUP)
            pids = d.wait_replaced(pids, 2)
            d.wait_workers(2)
        for _ in range(deaths):
            os.kill(pids[0], signal.SIGKILL)
            pids = control.wait_ready(box, 2, other_than=pids[:1])
        return int(status_field(d.pid, "VmData").split()[0])
    # As many as clusterd keeps the events of.
    warm = work(10, 200)
    assert work(20, 200) <= warm + STEP + 64
    d.stop()
