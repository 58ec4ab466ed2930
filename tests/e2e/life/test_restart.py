"""What follows a worker's death."""

import os
import re
import signal
import time

import pytest

import control
import words
from harness import PROBE, get, is_alive, is_refused, probe, wait_until
from lanes import stopped


def test_worker_that_lived_long_enough_restarts_at_once(box):
    box.web(restart_reset="200ms", restart_delay="30s",
            restart_delay_max="60s")
    d = box.start()
    pids = d.wait_ready(2)
    starts = {e["pid"]: e["at"] for e in box.events("start")}
    for pid in pids:
        # from the exec, which lies before the probe's first line
        wait_until(lambda: time.monotonic() * 1000 - starts[pid] > 250,
                   "it lived for restart_reset")
        killed = int(time.monotonic() * 1000)
        os.kill(pid, signal.SIGKILL)
        pids = d.wait_replaced([pid], 2)
        new = [e for e in box.events("start") if e["at"] >= killed]
        assert len(new) == 1
        assert new[0]["at"] - killed < 15000    # half of restart_delay
    deaths = d.find(words.DEATH("web", how=words.KILLED_9))
    assert len(deaths) == 2
    assert all(words.RESTARTING_NOW.search(m["next"]) for m in deaths)
    d.stop()


def test_replacement_has_the_same_seat_and_generation(box):
    box.web(instances=3, restart_delay="10ms")
    d = box.start()
    pids = d.wait_ready(3)
    before = {e["pid"]: e["instance"] for e in box.events("start")}
    os.kill(pids[1], signal.SIGKILL)
    d.wait_replaced(pids[1:2], 3)
    last = box.events("start")[-1]
    assert last["instance"] == before[pids[1]]
    assert last["generation"] == "1"
    assert set(pids[:1] + pids[2:]) < set(d.workers())
    d.stop()


def test_crash_loop_backs_off_up_to_the_maximum(box):
    box.web("--exit-after", 0, "--exit-code", 3, instances=1,
            restart_delay="40ms", restart_delay_max="200ms")
    d = box.start()
    d.wait_log(words.DEATH("web", how=words.EXITED(3)), count=6)
    deaths = d.find(words.DEATH("web", how=words.EXITED(3)))
    delays = [words.seconds(words.RESTARTING_IN.search(m["next"])["delay"])
              for m in deaths][:6]
    for delay, expected in zip(delays, [.04, .08, .16, .2, .2, .2]):
        assert expected * 0.88 <= delay <= expected * 1.12, delays
    starts = [e["at"] / 1000 for e in box.events("start")]
    for delay, one, next_one in zip(delays, starts, starts[1:]):
        assert next_one - one >= delay - 0.01
    d.stop()


def test_ends_in_vain_are_warned_of(box):
    """One that ends well and at once, and again; not the first time, nor if it
    was to end."""
    box.config(web={"command": "/bin/true", "instances": 1,
                    "restart_delay": "20ms", "restart_delay_max": "20ms"},
               once={"command": "/bin/true", "instances": 1,
                     "restart": "never"})
    d = box.start()
    how = words.EXITED(0)
    d.wait_log(words.DEATH("web", how=how), count=3)
    d.wait_log(words.DEATH("once", how=how))
    levels = {app: [line.group(1) for line in words.LINE.finditer(d.log())
                    if re.match(rf"{app}\[0\] pid \d+: exited", line.group(2))]
              for app in ("web", "once")}
    assert levels["web"][:3] == ["info", "warning", "warning"]
    assert levels["once"] == ["info"]
    d.stop()


def test_crash_is_logged_with_its_signal(box):
    box.web("--crash-after", 0, "--crash-signal", int(signal.SIGABRT),
            instances=1, restart_delay="60s", restart_delay_max="60s")
    d = box.start()
    d.wait_log(words.DEATH("web", how=r"killed by signal 6 \(SIGABRT\)"))
    d.stop()


def test_reset_of_zero_does_not_restart_without_a_pause(box):
    """It was a thousand starts a second, of a program that ends at once."""
    box.web("--exit-after", 0, "--exit-code", 3, instances=1,
            restart_delay="10ms", restart_delay_max="80ms", restart_reset="0")
    d = box.start()

    def waits():
        deaths = d.find(words.DEATH("web", how=words.EXITED(3)))
        return [m for m in deaths if words.RESTARTING_IN.search(m["next"])]
    # One that took long to end, on a busy machine, had lived.
    wait_until(lambda: len(waits()) >= 3, "three pauses", limit=30)
    d.stop()


def test_long_life_resets_the_backoff(box):
    box.web(instances=1, restart_delay="20ms", restart_delay_max="60s",
            restart_reset="400ms")
    d = box.start()
    for _ in range(3):
        pid, = d.wait_ready(1)
        os.kill(pid, signal.SIGKILL)
        d.wait_replaced([pid], 1)
    start = box.events("start")[-1]["at"]
    wait_until(lambda: time.monotonic() * 1000 - start > 450,
               "it lived for restart_reset")
    pid, = d.ready_pids()
    os.kill(pid, signal.SIGKILL)
    pid, = d.wait_replaced([pid], 1)
    os.kill(pid, signal.SIGKILL)
    d.wait_log(words.DEATH("web"), count=5)
    deaths = d.find(words.DEATH("web"))
    if not words.RESTARTING_NOW.search(deaths[4]["next"]):
        delay = words.RESTARTING_IN.search(deaths[4]["next"])["delay"]
        assert words.seconds(delay) < 0.03, deaths[4][0]
    assert words.RESTARTING_NOW.search(deaths[3]["next"]), deaths[3][0]
    d.stop()


def test_seats_are_parked_at_the_limit_and_the_last_app_ends_with_1(box):
    box.web("--exit-after", 0, "--exit-code", 3, restart_limit="3/60s",
            restart_delay="10ms", restart_delay_max="20ms")
    d = box.start()
    d.wait_end(1)
    assert len(box.events("start")) == 2 * 3


@pytest.mark.valgrind
def test_parked_app_refuses_its_clients_while_others_serve(box):
    box.config(
        bad={"command": probe("--exit-after", 50, "--exit-code", 3),
             "listen": "127.0.0.1:0\n\tunix:bad.sock", "instances": 2,
             "restart_limit": "2/1m", "restart_delay": "10ms"},
        good={"command": probe(), "listen": "127.0.0.1:0", "instances": 1})
    d = box.start()
    d.wait_ready(1, app="good")
    tcp, unix = d.addresses("bad", 2)
    wait_until(lambda: is_refused(tcp), "the parked app refuses")
    wait_until(lambda: is_refused(unix), "on its Unix socket too")
    get(d.port("good"))
    d.wait_workers(1)    # the Unix socket's queue may be closed by a child
    d.stop()


def test_one_parked_seat_leaves_the_app_serving(box):
    box.web("--exit-after", 0, "--exit-code", 3, "--only-instance", 1,
            instances=2, restart_limit="2/60s", restart_delay="10ms")
    d = box.start()
    d.wait_log(words.DEATH("web", 1), count=2)
    d.wait_workers(1)
    for _ in range(5):
        assert get(d.port()).instance == 0
    d.stop()


# --- restart = never | on-failure, success_codes

@pytest.mark.parametrize("restart, code, codes, status", [
    ("never", 0, None, 0),
    ("never", 3, None, 1),
    ("never", 3, "0 3", 0),
    ("never", 0, "3", 1),
    ("on-failure", 0, None, 0),
    ("on-failure", 7, "7 8", 0),
])
def test_end_of_all_workers_decides_the_exit_status(box, restart, code, codes,
                                                    status):
    box.web("--exit-after", 50, "--exit-code", code, restart=restart,
            success_codes=codes)
    d = box.start()
    d.wait_end(status)
    assert len(box.events("start")) == 2


def test_never_restarted_worker_that_is_killed_ends_with_1(box):
    box.web(restart="never", instances=1)
    d = box.start()
    pid, = d.wait_ready(1)
    os.kill(pid, signal.SIGKILL)
    d.wait_end(1)


def test_one_failure_among_good_ends_is_a_failure(box):
    box.web("--exit-after", 50, "--exit-code", 3, "--only-instance", 1,
            restart="never", instances=2)
    d = box.start()
    d.wait_log(words.DEATH("web", 1, words.EXITED(3)))
    address = d.addresses()[0]
    get(address, "/exit/0")
    d.wait_end(1)


@pytest.mark.valgrind
def test_on_failure_restarts_a_failed_exit_and_a_signal(box):
    box.web(restart="on-failure", restart_delay="10ms", instances=1)
    d = box.start()
    pid, = d.wait_ready(1)
    get(d.port(), "/exit/3")
    pid, = d.wait_replaced([pid], 1)
    os.kill(pid, signal.SIGKILL)
    d.wait_replaced([pid], 1)
    get(d.port(), "/exit/0")
    d.wait_end(0)


def test_always_restarts_a_good_exit_too(box):
    box.web(restart_delay="10ms", instances=1)
    d = box.start()
    pid, = d.wait_ready(1)
    get(d.port(), "/exit/0")
    d.wait_replaced([pid], 1)
    d.stop()


def test_app_that_ended_well_lets_the_others_go_on(box):
    box.config(
        job={"command": probe("--exit-after", 0), "restart": "never",
             "instances": 1},
        web={"command": probe(), "listen": "127.0.0.1:0", "instances": 1})
    d = box.start()
    d.wait_ready(1, app="web")
    d.wait_workers(1)
    get(d.port())
    d.stop()


def test_one_ended_worker_lets_its_sibling_go_on(box):
    box.web("--exit-after", 0, "--only-instance", 0, restart="never")
    d = box.start()
    # One worker alive is as well the first, while the second is not there yet.
    d.wait_log(words.DEATH("web", 0))
    d.wait_ready(1)
    for _ in range(5):
        assert get(d.port()).instance == 1
    d.stop()


# --- workers that never get ready

@pytest.mark.valgrind
def test_worker_that_hangs_is_killed_and_counts_as_crashed(box):
    box.web("--hang", ready="notify", ready_timeout="200ms", instances=1,
            restart_delay="20ms", restart_delay_max="20ms")
    d = box.start()
    starts = box.wait_events("start", 3)
    # Its own time begins later than clusterd's.
    age, unit = re.fullmatch(r"([\d.]+)(ms|s)", d.wait_log(
        words.DEATH("web", how=words.KILLED_9))["age"]).groups()
    assert float(age) * (1000 if unit == "s" else 1) >= 200
    assert not is_alive(starts[0]["pid"])
    d.stop()


def test_workers_that_always_hang_are_parked_in_the_end(box):
    box.web("--ready", "never", ready="notify", ready_timeout="100ms",
            restart_limit="2/60s", restart_delay="20ms")
    d = box.start()
    d.wait_end(1)
    # as clusterd tells it: not each may have come to write an event
    killed = [m["pid"] for m in d.find(words.DEATH("web", how=words.KILLED_9))]
    assert len(killed) == len(set(killed)) == 4
    assert {str(e["pid"]) for e in box.events("start")} <= set(killed)
    assert len(d.find(words.DEATH("web"))) == 4


def test_slow_worker_within_ready_timeout_is_left_alone(box):
    box.web("--ready", 400, ready="notify", ready_timeout="60s", instances=1)
    d = box.start()
    d.wait_ready(1)
    assert len(box.events("start")) == 1
    d.stop()


# --- programs that cannot be executed any more

@pytest.mark.valgrind
def test_program_that_went_away_backs_off_and_comes_back(box):
    program = box.copy(PROBE, "server")
    box.web(command=probe("--events", box.events_path, program=program),
            restart_delay="20ms", restart_delay_max="50ms")
    d = box.start()
    pids = d.wait_ready(2)
    os.rename(program, program + ".gone")
    os.kill(pids[0], signal.SIGKILL)
    d.wait_log(words.CANNOT_EXECUTE(), count=3)
    assert d.ready_pids() == pids[1:]
    assert get(d.port()).pid == pids[1]
    os.rename(program + ".gone", program)
    d.wait_replaced(pids[:1], 2)
    d.stop()


def test_program_that_went_away_for_good_is_parked(box):
    program = box.copy(PROBE, "server")
    box.web(command=probe(program=program), instances=1, restart_limit="3/60s",
            restart_delay="20ms")
    d = box.start()
    pid, = d.wait_ready(1)
    os.unlink(program)
    os.kill(pid, signal.SIGKILL)
    d.wait_end(1)


@pytest.mark.valgrind
def test_storm_of_deaths_is_survived(box):
    box.web(instances=20, restart_delay="5ms", restart_delay_max="20ms")
    d = box.start()
    pids = d.wait_ready(20)
    for _ in range(5):
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        pids = control.wait_ready(box, 20, other_than=pids)
    get(d.port())
    d.stop()


def test_deaths_that_are_alike_do_not_flood_the_log(box):
    """They are counted where there are many in a second; another one is told."""
    box.web(command="/bin/sleep 1000", listen=None, instances=50,
            ready="alive:1ms", restart_delay="60s", restart_delay_max="60s")
    d = box.start()
    *alike, other = d.wait_ready(50)
    # All at once: the limit is for a second, which a loop of ours may outlast.
    with stopped([d.pid]):
        for pid in alike:
            os.kill(pid, signal.SIGKILL)
        os.kill(other, signal.SIGTERM)
    d.wait_log(words.DEATH("web", how=r"killed by signal 15 \(SIGTERM\)"))
    left_out = 'web: ([0-9]+) more lines such as "killed by signal 9'

    def all_are_counted():
        told = len(d.find(words.DEATH("web", how=words.KILLED_9)))
        counted = [int(m[1]) for m in d.find(left_out)]
        return counted and told + sum(counted) == len(alike)
    wait_until(all_are_counted, lambda: d.log())
    d.stop()


def test_nor_do_those_that_are_ready_again(box):
    """Each that an order begins is told; of those that die and come back, so many."""
    n = 100
    box.web(command="/bin/sleep 1000", listen=None, instances=n,
            ready="alive:1ms", restart_delay="100ms")
    d = box.start()
    first = d.wait_ready(n, limit=30)
    assert not d.find("left out")
    with stopped([d.pid]):
        for pid in first:
            os.kill(pid, signal.SIGKILL)
    control.wait_ready(box, n, other_than=first, limit=30)
    left_out = r'web: ([0-9]+) more lines such as "ready after'

    def told():
        lines = re.findall(r"^\S+ (\d+:\d+:\d+)\.\d+ .* ready after .*$",
                           d.log(), re.M)[n:]
        return lines, sum(int(m[1]) for m in d.find(left_out))
    wait_until(lambda: len(told()[0]) + told()[1] == n, lambda: d.log())
    lines, _ = told()
    assert 20 <= len(lines) <= 20 * (len(set(lines)) + 1), d.log()
    d.stop()
