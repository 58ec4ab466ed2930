"""Signals of no use, ignored ones, blocked ones, and very many."""

import contextlib
import os
import signal

import pytest

import words
from harness import TimeLimit, get, status_field, wait_until


def test_usr2_leaves_workers_alone(box):
    box.web()
    d = box.start()
    pids = d.wait_ready(2)
    start = d.mark()
    d.send(signal.SIGUSR2)
    d.wait_log("upgraded to clusterd .*|upgrade: there is no keeper",
               start=start)
    assert d.ready_pids() == pids
    get(d.port())
    d.stop()


@pytest.mark.parametrize("name", ["PIPE", "WINCH", "CONT", "URG"])
def test_stray_signal_does_no_harm(box, name):
    box.web()
    d = box.start()
    pids = d.wait_ready(2)
    d.send(getattr(signal, f"SIG{name}"))
    os.kill(pids[0], signal.SIGKILL)
    d.wait_replaced(pids[:1], 2)
    d.stop()


def test_sigalrm_does_nothing(box):
    box.web()
    d = box.start()
    pids = d.wait_ready(2)
    for _ in range(3):
        d.send(signal.SIGALRM)
    d.send(signal.SIGUSR1)
    d.wait_log("reopened")
    assert d.ready_pids() == pids
    d.stop()


@pytest.mark.valgrind
def test_storm_of_signals_is_survived(box):
    box.web(restart_delay="5ms", restart_delay_max="20ms")
    d = box.start()
    d.wait_ready(2)
    for _ in range(30):
        for name in ("HUP", "USR1", "USR2", "TTIN", "TTOU", "CHLD", "WINCH"):
            d.send(getattr(signal, f"SIG{name}"))
    wait_until(lambda: int(status_field(d.keeper, "ShdPnd"), 16) == 0,
               "the signals are taken")
    get(d.port())
    d.stop()


def ignore_and_block():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))


def test_worker_gets_a_clean_signal_mask_and_no_ignored_signal(box):
    box.web(instances=1)
    for preexec in (None, ignore_and_block):
        d = box.start(preexec_fn=preexec, restore_signals=False)
        d.wait_ready(1)
        dump = get(d.port(), "/dump")
        assert int(dump.one("SigBlk"), 16) == 0
        # 32 and 33 are the C library's own: posix_spawn(3), which make(1)
        # uses, ignores them in the child, and sigaction(2) will not touch
        # them.
        internal = 1 << 31 | 1 << 32
        assert int(dump.one("SigIgn"), 16) & ~internal == 0
        assert int(dump.one("SigPnd"), 16) == 0
        d.stop()


def test_inherited_ignored_and_blocked_signals_do_not_disturb_clusterd(box):
    box.web(restart_delay="10ms")
    d = box.start(preexec_fn=ignore_and_block, restore_signals=False)
    pids = d.wait_ready(2)
    os.kill(pids[0], signal.SIGKILL)
    d.wait_log(words.DEATH("web", how=words.KILLED_9))
    pids = d.wait_replaced(pids[:1], 2)
    d.send(signal.SIGHUP)
    d.wait_replaced(pids, 2)
    d.stop()


def test_two_at_once_are_one(box):
    """As timeout(1) sends them; a later one means it."""
    box.web("--ignore-term", instances=1, stop_timeout="60s")
    d = box.start()
    d.wait_ready(1)
    d.send(signal.SIGTERM)
    first = d.wait_log(rf"({words.TIME}).*SIGTERM: stopping")
    os.kill(d.keeper, signal.SIGTERM)
    box.wait_events("signal 15")

    def again():
        return d.find(rf"({words.TIME}).*SIGTERM again: killing what is left")
    with contextlib.suppress(TimeLimit):
        wait_until(again, "it was another one", 0.15)
    if again():
        # It had to wait for the keeper to get a processor.
        assert words.when(again()[0][1]) - words.when(first[1]) > 0.08
    else:
        d.send(signal.SIGTERM)
    d.wait_end(0)
    assert len(again()) == 1
