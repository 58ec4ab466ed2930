"""A worker that dies while its successor is under way, without privileges: whoever
waits in its lane cannot be moved, and the successor has another one. They are served
all the same: nothing is lost."""

import collections
import os
import shlex
import signal

import pytest

import words
from binder import BINDER, binder, tcp
from harness import (HAS_KEEPER, SLOW, finish_all, free_port, get, stays,
                     wait_until)
from lanes import (PRIVILEGED, as_nobody, ask_all, client, kill_and_wait, needs,
                   nobodys, nobodys_probe, parametrized, stopped, wait_asleep)

# In these nobody comes to the dead one's lane by itself, in time or at all.
AWAY = {"restart_delay": "60s", "restart_delay_max": "60s"}
GONE = {
    "long delay": AWAY,
    "parked": {"restart_limit": "1/60s"},
    "never": {"restart": "never"},
}

FOR_OTHERS = "is started for those who wait"

N = 24


def program(box, server):
    """Later generations note in `begun` that they are there, and start when there is
    no file `hold`, or `late` for who is not the first of its instance. Where there is
    one of that name, the first generation fails if it is `bad`, and the later ones if
    `worse`; and those have SIGTERM wait if they are `deaf`."""
    def name(word):
        return shlex.quote(box.path(word))

    def there(word):
        return f"[ -e {name(word)} ]"
    box.write("program", f"""
if [ "$CLUSTERD_GENERATION" = 1 ]; then
    {there("bad")} && exit 1
else
    {there("deaf")} && trap '' TERM
    : > {name("begun")}
    until=late
    mkdir {name("first.")}$CLUSTERD_GENERATION.$CLUSTERD_INSTANCE && until=hold
    while [ -e {name("")}$until ]; do sleep 0.02; done
    {there("worse")} && exit 1
    trap - TERM
fi
exec {server}
""", mode=0o755)
    return f"/bin/sh {box.path('program')}"


def start(box, balance, instances=1, nobody=True, server=None, **keys):
    how = as_nobody(box) if nobody else {}
    keys.setdefault("listen", "127.0.0.1:0")
    box.config(web={"command": program(box, server or nobodys_probe(box)),
                    "balance": balance, "instances": instances, **keys})
    d = box.start(**how)
    d.wait_ready(instances)
    wait_asleep(d)
    return d


def begin_reload(box, d):
    """The successor of instance 0 starts when `hold` is removed."""
    box.touch("hold")
    d.send(signal.SIGHUP)
    wait_until(lambda: os.path.exists(box.path("begun")), "a successor")


def die_beside_successor(box, d):
    """Instance 0 does, with clients in its queue: some that have come before, and,
    if it is alone, some after. Returns them."""
    old = d.ready_pids()
    victim, = (int(m["pid"]) for m in d.find(words.READY("web", 0)))
    begin_reload(box, d)
    with stopped(old):
        clients = ask_all(d.port(), N)
        kill_and_wait(d, victim)
    return clients + (ask_all(d.port(), N) if len(old) == 1 else [])


def outcomes(clients, limit=20):
    """How many each instance answers, are cut, or wait in vain."""
    return collections.Counter(finish_all(clients, limit * SLOW))


def check_over(d, instances=1, generation=2):
    assert not d.find("that waited for a worker reset")
    d.wait_workers(instances)
    assert get(d.port(), source=client(1)).generation == generation
    d.stop()


@parametrized("random", "source")
@pytest.mark.parametrize("gone", GONE)
@pytest.mark.parametrize("broken", [False, True], ids=["sound", "broken"])
def test_who_waits_for_the_dead_one_is_served(box, balance, gone, broken):
    """Also where its own program would fail again."""
    d = start(box, balance, **GONE[gone])
    clients = die_beside_successor(box, d)
    if broken:
        box.touch("bad")
    os.unlink(box.path("hold"))
    assert outcomes(clients) == {0: 2 * N}
    d.wait_log(words.RELOAD_DONE("web", 2))
    check_over(d)


@parametrized("random", "source")
@pytest.mark.parametrize("gone", GONE)
def test_who_waits_beside_others_is_served(box, balance, gone):
    d = start(box, balance, instances=3, **GONE[gone])
    clients = die_beside_successor(box, d)
    os.unlink(box.path("hold"))
    found = outcomes(clients)
    assert found[0] + found[1] + found[2] == N, found
    d.wait_log(words.RELOAD_DONE("web", 2))
    check_over(d, 3)


@parametrized("random", "source")
@pytest.mark.parametrize("gone", GONE)
def test_death_beside_one_on_trial(box, balance, gone):
    """The successor is ready, and gets those who come."""
    d = start(box, balance, canary="2s", **GONE[gone])
    old, = d.ready_pids()
    begin_reload(box, d)
    with stopped([old]):
        clients = ask_all(d.port(), N)
        mark = d.mark()
        os.unlink(box.path("hold"))
        d.wait_log(words.READY("web", 0), start=mark)
        wait_asleep(d)
        clients += ask_all(d.port(), N)
        kill_and_wait(d, old)
    assert outcomes(clients) == {0: 2 * N}
    d.wait_log(words.RELOAD_DONE("web", 2))
    check_over(d)


@parametrized("random", "source")
@pytest.mark.parametrize("gone", GONE)
@pytest.mark.parametrize("fails", [False, True], ids=["good", "fails"])
def test_they_do_not_wait_for_the_end_of_the_trial(box, balance, gone, fails):
    """One more is started for them as soon as the successor is ready, and stays if
    that fails."""
    d = start(box, balance, canary="1h", **GONE[gone])
    clients = die_beside_successor(box, d)
    mark = d.mark()
    if fails:
        box.touch("late")
    os.unlink(box.path("hold"))
    d.wait_log(FOR_OTHERS, start=mark)
    # One of the instance, and one of the surge.
    wait_until(lambda: len(d.workers()) == 2, d.log)
    if fails:
        new, = (int(m["pid"]) for m in d.find(words.READY("web", 0), mark))
        os.kill(new, signal.SIGKILL)
        d.wait_log(words.RELOAD_ABORTED("web"))
        os.unlink(box.path("late"))
        # As without those who wait: whoever is not restarted is not.
        if gone == "long delay":
            d.wait_log(words.READY("web", 0), start=mark, count=2)
            assert get(d.port(), source=client(1)).generation == 1
    assert outcomes(clients) == {0: 2 * N}
    assert len(d.find(FOR_OTHERS)) == 1
    assert not d.find("that waited for a worker reset")
    # Nobody is left of an app whose only instance has ended.
    if fails and gone != "long delay":
        assert d.wait() != 0
    else:
        d.stop()


@parametrized("random", "source")
def test_who_is_restarted_before_the_end_of_the_trial_serves_them(box, balance):
    d = start(box, balance, canary="1h", restart_delay="1s")
    clients = die_beside_successor(box, d)
    os.unlink(box.path("hold"))
    assert outcomes(clients) == {0: 2 * N}
    assert not d.find(FOR_OTHERS)
    d.stop()


@parametrized("random")
def test_successor_that_has_not_all_of_their_addresses_takes_the_seat_first(
        box, balance):
    """Whoever waits at the other one is refused then."""
    port, other = free_port(), free_port()
    keys = {"canary": f"{4 * SLOW:g}s", **GONE["never"]}
    d = start(box, balance, listen=[f"127.0.0.1:{port}", f"127.0.0.1:{other}"],
              **keys)
    box.config(web={"command": program(box, nobodys_probe(box)),
                    "balance": balance, "instances": 1,
                    "listen": f"127.0.0.1:{port}", **keys})
    clients = die_beside_successor(box, d)
    lost = ask_all(other, 1)
    mark = d.mark()
    os.unlink(box.path("hold"))
    d.wait_log(words.READY("web", 0), start=mark)
    stays(lambda: not d.find(FOR_OTHERS), d.log)
    assert outcomes(clients) == {0: 2 * N}
    d.wait_log(words.RELOAD_DONE("web", 2))
    assert outcomes(lost) == {"cut": 1}
    assert len(d.find(FOR_OTHERS)) == 1
    d.stop()


@pytest.mark.skipif(not HAS_KEEPER, reason="needs the keeper")
@parametrized("random")
@pytest.mark.parametrize("gone", GONE)
def test_supervisor_is_killed_during_the_trial(box, balance, gone):
    """Who is to serve them is executed, and not ready yet: it goes on."""
    d = start(box, balance, canary="1h", **GONE[gone])
    d.wait_log("start complete")
    box.touch("late")
    clients = die_beside_successor(box, d)
    os.unlink(box.path("begun"))
    os.unlink(box.path("hold"))
    d.wait_log(FOR_OTHERS)
    wait_until(lambda: os.path.exists(box.path("begun")), "it has begun")
    old = wait_until(d.find_supervisor, "a supervisor")
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: d.find_supervisor() not in (None, old), "the next one")
    os.unlink(box.path("late"))
    assert outcomes(clients) == {0: 2 * N}
    assert not d.find("that waited for a worker reset")
    d.stop()


@parametrized("random")
@pytest.mark.parametrize("gone", GONE)
def test_they_are_served_without_a_time_to_drain(box, balance, gone):
    d = start(box, balance, drain_timeout="0", **GONE[gone])
    clients = die_beside_successor(box, d)
    os.unlink(box.path("hold"))
    assert outcomes(clients) == {0: 2 * N}
    check_over(d)


@parametrized("random", "source")
@pytest.mark.parametrize("instances", [1, 3])
def test_successor_fails_too(box, balance, instances):
    """They are the old program's again, and nobody waits for its restart."""
    d = start(box, balance, instances=instances, **AWAY)
    clients = die_beside_successor(box, d)
    box.touch("worse")
    os.unlink(box.path("hold"))
    d.wait_log(words.RELOAD_ABORTED("web"))
    found = outcomes(clients)
    assert "cut" not in found and "waits" not in found, found
    check_over(d, instances, 1)


@parametrized("random")
@pytest.mark.parametrize("slow", [False, True], ids=["at once", "slow to stop"])
def test_newer_reload_supersedes_it(box, balance, slow):
    """Where that takes its time to stop, the old program fails again meanwhile."""
    d = start(box, balance, stop_timeout="2s", **AWAY)
    if slow:
        box.touch("deaf")
    clients = die_beside_successor(box, d)
    if slow:
        box.touch("bad")
        os.unlink(box.path("deaf"))
    os.unlink(box.path("begun"))
    begin_reload(box, d)
    os.unlink(box.path("hold"))
    assert outcomes(clients) == {0: 2 * N}
    d.wait_log(words.RELOAD_DONE("web", 3))
    check_over(d, generation=3)


@parametrized("random")
def test_who_is_none_of_those_that_are_replaced_waits_for_its_restart(box, balance):
    """An abort starts the one whose successor has failed, and no other."""
    d = start(box, balance, instances=4, canary="0", **AWAY)
    pids = d.ready_pids()
    begin_reload(box, d)
    with stopped(pids):
        clients = ask_all(d.port(), 4 * N)
        for pid in pids:
            kill_and_wait(d, pid)
    box.touch("worse")
    mark = d.mark()
    os.unlink(box.path("hold"))
    d.wait_log(words.RELOAD_ABORTED("web"), start=mark)
    d.wait_log(words.READY("web", 0), start=mark)
    stays(lambda: len(d.find(words.READY("web"), mark)) == 1, "the others wait")
    d.stop()
    outcomes(clients)


@parametrized("random")
def test_one_that_serves_those_who_wait_is_one_of_the_surge(box, balance):
    d = start(box, balance, instances=2, max_surge=1, canary="0", **GONE["never"])
    box.touch("late")
    clients = die_beside_successor(box, d)
    mark = d.mark()
    os.unlink(box.path("hold"))
    d.wait_log(FOR_OTHERS, start=mark)
    # It, one of the old ones, and the new one.
    stays(lambda: len(d.workers()) == 3, "no other begins beside them")
    os.unlink(box.path("late"))
    found = outcomes(clients)
    assert found[0] + found[1] == N, found
    d.wait_log(words.RELOAD_DONE("web", 2))
    check_over(d, 2)


@parametrized("random")
@pytest.mark.parametrize("gone", GONE)
def test_stop_lets_it_serve_those_who_wait(box, balance, gone):
    d = start(box, balance, drain_timeout="20s", **GONE[gone])
    box.touch("late")
    clients = die_beside_successor(box, d)
    os.unlink(box.path("hold"))
    d.wait_log(FOR_OTHERS)
    d.wait_log(words.RELOAD_DONE("web", 2))
    d.send(signal.SIGQUIT)
    d.wait_log("stopping")
    os.unlink(box.path("late"))
    assert outcomes(clients) == {0: 2 * N}
    assert not d.find("that waited for a worker reset")
    assert d.wait() == 0


@pytest.mark.skipif(not HAS_KEEPER, reason="needs the keeper")
@parametrized("random", "source")
@pytest.mark.parametrize("instances", [1, 3])
def test_supervisor_is_killed_in_between(box, balance, instances):
    """The reload is rolled back by the next one."""
    d = start(box, balance, instances=instances, **AWAY)
    d.wait_log("start complete")
    clients = die_beside_successor(box, d)
    old = wait_until(d.find_supervisor, "a supervisor")
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: d.find_supervisor() not in (None, old), "the next one")
    found = outcomes(clients)
    assert "cut" not in found and "waits" not in found, found
    os.unlink(box.path("hold"))
    check_over(d, instances, 1)


@parametrized("random", "source")
@pytest.mark.parametrize("gone", GONE)
def test_who_waits_for_a_server_that_binds_itself(box, balance, gone):
    port = free_port()
    d = start(box, balance, listen=f"127.0.0.1:{port}", **GONE[gone],
              server=binder(*tcp(port, "127.0.0.1"), "serve:poll",
                            program=nobodys(box, BINDER)))
    clients = die_beside_successor(box, d)
    os.unlink(box.path("hold"))
    assert outcomes(clients) == {0: 2 * N}
    d.wait_log(words.RELOAD_DONE("web", 2))
    check_over(d)


@parametrized("shared", *PRIVILEGED)
@pytest.mark.parametrize("gone", GONE)
@pytest.mark.parametrize("canary", ["0", "1s"])
def test_who_shares_or_can_move_is_served_by_the_successor(
        box, balance, gone, canary):
    needs(balance)
    d = start(box, balance, nobody=False, canary=canary, **GONE[gone])
    clients = die_beside_successor(box, d)
    os.unlink(box.path("hold"))
    assert outcomes(clients) == {0: 2 * N}
    d.wait_log(words.RELOAD_DONE("web", 2))
    assert not d.find(FOR_OTHERS)
    check_over(d)
