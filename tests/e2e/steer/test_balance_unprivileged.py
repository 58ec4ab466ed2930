"""What there is of `balance` for a clusterd without privileges, and why."""

import os
import re
import signal
import time

import pytest

import words
from binder import BINDER, binder, tcp
from harness import (SLOW, ask, free_port, get, read_answer, stays,
                     wait_until)
from lanes import (PRIVILEGED, SlowStream, as_nobody, check_even, client,
                   kill_and_wait, nobodys, nobodys_probe, parametrized, seats,
                   seats_of_clients, wait_asleep)

N = 4


def start(box, balance, instances=N, **keys):
    box.web(command=nobodys_probe(box), balance=balance, instances=instances,
            **keys)
    d = box.start(**as_nobody(box))
    d.wait_ready(instances)
    wait_asleep(d)
    return d


@parametrized(*PRIVILEGED)
def test_what_needs_privileges_is_an_error_in_words(box, balance):
    box.web(command=nobodys_probe(box), balance=balance)
    d = box.start(**as_nobody(box))
    d.wait_end(69)
    errors = [m[2] for m in words.LINE.finditer(d.log()) if m[1] == "error"]
    assert len(errors) == 1, d.log()
    # What it is, why, and what can be had.
    assert re.search(rf"web: balance = {balance} is not possible here: \S.+"
                     rf"; auto, random, source and shared are", errors[0])
    assert not d.find(words.STARTED("web"))
    assert not box.events()


@parametrized(*PRIVILEGED)
def test_reload_to_what_needs_privileges_changes_nothing(box, balance):
    d = start(box, "random")
    pids = d.ready_pids()
    box.web(command=nobodys_probe(box, "--note", "new"), balance=balance,
            instances=2)
    mark = d.mark()
    with SlowStream(d.port()):
        d.send(signal.SIGHUP)
        d.wait_log(rf"error.*balance = {balance} is not possible here",
                   start=mark)
        stays(lambda: d.ready_pids() == pids, "the old ones run")
    check_even(d.port(), "random", N)
    # A file that is right again is taken.
    box.web(command=nobodys_probe(box), balance="source", instances=N)
    d.send(signal.SIGHUP)
    d.wait_replaced(pids, N)
    d.wait_workers(N)
    wait_asleep(d)
    check_even(d.port(), "source", N)
    d.stop()


@parametrized(*PRIVILEGED)
def test_what_listens_on_no_tcp_port_needs_no_privileges(box, balance):
    d = start(box, balance, listen="udp:127.0.0.1:0")
    d.stop()
    d = start(box, balance, listen=f"unix:{box.path('x.sock')}")
    get(box.path("x.sock"))
    d.stop()


def test_auto_says_why_it_is_random(box):
    d = start(box, "auto")
    assert len(d.find(r"balance = auto is random here, or shared for a "
                      r"program that accepts one connection at a time; "
                      r"least-connections is not possible: \S+")) == 1
    check_even(d.port(), "random", N)
    # Said once.
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_DONE("web", 2))
    assert len(d.find(r"balance = auto is random here")) == 1
    d.stop()


def test_dump_says_so_too(box):
    box.web()
    started = as_nobody(box)
    d = box.start("-T", "-c", box.path("app.ini"), **started)
    d.wait_end(0)
    assert re.search(r"^# auto is random here, .*not possible: .+\n"
                     r"balance = auto$", d.log(), re.M)


@parametrized("random", "source", "shared")
@pytest.mark.parametrize("listen", ["127.0.0.1:0", "0"])
def test_others_work(box, balance, listen):
    d = start(box, balance, listen=listen, restart_delay="10ms")
    before = seats_of_clients(d.port(), 60)
    check_even(d.port(), balance, N)
    for pid in d.ready_pids()[:2]:
        kill_and_wait(d, pid)
    d.wait_ready(N)
    wait_asleep(d)
    check_even(d.port(), balance, N)
    if balance == "source":
        assert seats_of_clients(d.port(), 60) == before
    d.stop()


@parametrized("random", "source")
def test_dead_worker_is_avoided(box, balance):
    d = start(box, balance, restart_delay="60s", restart_delay_max="60s")
    kill_and_wait(d, seats(d)[1])
    found = {get(d.port(), source=client(n), limit=2).instance
             for n in range(100)}
    assert found == {0, 2, 3}
    d.stop()


def test_changes_of_balance_lose_nobody(box):
    d = start(box, "shared", instances=2)
    with SlowStream(d.port()) as stream:
        generation = 1
        for balance in ("random", "source", "auto", "shared", "source",
                        "random", "shared", "auto", "random"):
            box.web(command=nobodys_probe(box), balance=balance, instances=2)
            d.send(signal.SIGHUP)
            generation += 1
            d.wait_log(words.RELOAD_DONE("web", generation))
            d.wait_workers(2)
            stream.wait_more()
    d.stop()


# --- servers that bind by themselves

def start_binder(box, *steps, **keys):
    section = {"command": binder(*steps, program=nobodys(box, BINDER)),
               "instances": 3, "restart_delay": "10ms"}
    section.update(keys)
    box.config(web=section)
    d = box.start(**as_nobody(box))
    d.wait_ready(3)
    wait_asleep(d)
    return d


def lanes_of(d):
    """The sockets that the workers serve, by inode."""
    return {a.one("inode.a") for a in
            (get(d.port()) for _ in range(60))}


SHARED = r"web: balance = auto is shared: its program accepts one connection"
RANDOM = r"web: balance = auto is random: its program accepts several"


@pytest.mark.parametrize("flags, said, unsaid, count", [
    pytest.param("", SHARED, RANDOM, 1, id="blocking"),
    pytest.param(",nonblock", RANDOM, SHARED, 3, id="nonblocking"),
])
def test_auto_goes_by_how_an_adopted_server_accepts(box, flags, said, unsaid,
                                                    count):
    port = free_port()
    d = start_binder(box, *tcp(port, "127.0.0.1", flags=flags), "serve:poll",
                     listen=f"127.0.0.1:{port}")
    assert len(d.find(said)) == 1
    assert not d.find(unsaid)
    inodes = set()

    def seen():
        inodes.update(lanes_of(d))
        return len(inodes) >= count
    wait_until(seen, f"{count} lanes")
    assert len(inodes) == count
    d.stop()


def test_idle_workers_serve_while_one_of_a_blocking_server_is_busy(box):
    """For which it is shared."""
    port = free_port()
    d = start_binder(box, *tcp(port, "127.0.0.1"), "serve:accept",
                     listen=f"127.0.0.1:{port}")
    busy = ask(port, f"/busy/{3000 * SLOW:.0f}")
    begun = time.monotonic()
    for _ in range(30):
        get(port)
    assert time.monotonic() - begun < 2.5 * SLOW
    read_answer(busy)
    d.stop()


@parametrized("random", "source")
def test_blocking_server_has_lanes_where_they_are_asked_for(box, balance):
    port = free_port()
    d = start_binder(box, *tcp(port, "127.0.0.1"), "serve:accept",
                     listen=f"127.0.0.1:{port}", balance=balance)
    found = {get(port, source=client(n)).one("inode.a") for n in range(60)}
    assert len(found) == 3
    d.stop()


def test_clients_are_served_while_it_is_not_yet_known(box):
    """They come before the first worker has bound its socket."""
    port = free_port()
    go = box.path("go")
    for flags in ("", ",nonblock"):
        box.config(web={
            "command": binder(f"until:{go}", *tcp(port, "127.0.0.1",
                                                  flags=flags),
                              "serve:poll", program=nobodys(box, BINDER)),
            "listen": f"127.0.0.1:{port}", "instances": 3})
        d = box.start(**as_nobody(box))
        d.wait_log(words.LISTENING("web"))
        early = [ask(port) for _ in range(40)]
        box.write("go", "", mode=0o666)
        for s in early:
            read_answer(s)
        d.stop()
        os.unlink(go)
