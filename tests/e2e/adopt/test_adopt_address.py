"""The address of an adopted server: what it asks for, or what is written."""

import errno
import os
import re
import shlex
import signal
import socket

import pytest

import words
from binder import (NONBLOCK, all_answer, binder, join, returned, settings,
                    start, tcp, udp, warnings)
from harness import (SLOW, Answer, free_port, get, is_refused, stays,
                     wait_until)
from lanes import needs, seats

# A server's sockets → the family that it sees of clients on these addresses,
# None where they are refused.
ANY4 = {"127.0.0.1": "inet", "127.0.0.2": "inet", "::1": None}
LOOPBACK4 = {"127.0.0.1": "inet", "127.0.0.2": None, "::1": None}
BOTH = {"127.0.0.1": "inet6", "127.0.0.2": "inet6", "::1": "inet6"}
ONLY6 = {"127.0.0.1": None, "127.0.0.2": None, "::1": "inet6"}
MAPPED = {"127.0.0.1": "inet6", "127.0.0.2": None, "::1": None}
EACH = {"127.0.0.1": "inet", "127.0.0.2": "inet", "::1": "inet6"}


@pytest.fixture
def port(has_ipv6):
    return free_port()


def served(d, port, wanted, count=2):
    """The addresses are served by all workers, or refused: as soon as clusterd
    has heard of the end of the last one that served them."""
    for host, family in wanted.items():
        if family is None:
            wait_until(lambda: is_refused((host, port)),
                       lambda: f"{host} is refused:\n{d.log()}")
            continue
        for answer in wait_until(lambda: answers(d, (host, port), count),
                                 lambda: f"answers of {host}:\n{d.log()}"):
            assert answer.one("peer.family") == family, host
            assert answer.one("c.family") == family, host
            assert answer.one("c.name").rpartition(":")[2] == str(port)


def answers(d, address, count):
    try:
        return all_answer(d, address, count)
    except ConnectionResetError:
        # A lane that no new server asks for ends right after the last of the
        # old ones, and what came in between ends with it.
        return None


def through_death_and_reload(d, port, wanted):
    served(d, port, wanted)
    first, second = d.ready_pids()
    os.kill(first, signal.SIGKILL)
    pids = d.wait_replaced([first], 2)
    served(d, port, wanted)
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_DONE("web", 2))
    d.wait_replaced(pids, 2)
    served(d, port, wanted)


def one_of_two(number, host, slot, **more):
    return tcp(number, host, slot, NONBLOCK, **more)


SERVERS = {
    "ipv4": (lambda n: tcp(n), ANY4),
    "loopback": (lambda n: tcp(n, "127.0.0.1"), LOOPBACK4),
    "dual": (lambda n: tcp(n, "::"), BOTH),
    "ipv6-only": (lambda n: tcp(n, "::", only=True), ONLY6),
    "ipv6-loopback": (lambda n: tcp(n, "::1"), ONLY6),
    # as Java does
    "mapped": (lambda n: tcp(n, "::ffff:127.0.0.1"), MAPPED),
    "mapped-any": (lambda n: tcp(n, "::ffff:0.0.0.0"),
                   {**BOTH, "::1": None}),
    "two-sockets": (lambda n: [*one_of_two(n, "::", "b", only=True),
                               *one_of_two(n, "0.0.0.0", "a")], EACH),
    "two-the-other-way": (
        lambda n: [*one_of_two(n, "0.0.0.0", "a"),
                   *one_of_two(n, "::", "b", only=True)], EACH),
    "two-loopbacks": (lambda n: [*one_of_two(n, "::1", "b"),
                                 *one_of_two(n, "127.0.0.1", "a")],
                      {**LOOPBACK4, "::1": "inet6"}),
}


@pytest.mark.parametrize("name", list(SERVERS))
def test_port_takes_the_address_that_the_server_asks_for(box, port, name):
    steps, wanted = SERVERS[name]
    d = start(box, *steps(port), "serve:poll", port=port)
    host = next(host for host in wanted if wanted[host])
    assert returned(get((host, port))) == [0]
    through_death_and_reload(d, port, wanted)
    d.stop()
    for host in wanted:
        assert is_refused((host, port))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.3", "::1"])
def test_private_address_is_logged(box, port, host):
    d = start(box, *tcp(port, host), "serve:poll", port=port)
    d.wait_log(rf"web: listening on {re.escape(join(host, port))}\b")
    get((host, port))
    d.stop()


def test_address_that_nobody_has_is_refused_and_changes_nothing(box, port):
    d = start(box, "socket:b:tcp4", f"bind:b:192.0.2.1:{port}",
              *tcp(port, "::"), "serve:poll:a", port=port)
    for answer in all_answer(d, port, 2):
        assert returned(answer, "bind", "b") == [errno.EADDRNOTAVAIL]
    served(d, port, BOTH)
    d.stop()


def reload_to(box, d, generation, *steps, **keys):
    old = d.ready_pids()
    box.config(web=settings(*steps, **keys))
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_DONE("web", generation))
    d.wait_replaced(old, 2)


@pytest.mark.parametrize("names", [
    ("ipv4", "loopback", "ipv4"),
    ("loopback", "dual", "loopback"),
    ("dual", "ipv4", "dual"),
    ("ipv6-loopback", "loopback", "two-loopbacks", "ipv6-loopback"),
], ids="-".join)
def test_reload_may_change_what_the_server_asks_for(box, port, names):
    steps, wanted = SERVERS[names[0]]
    d = start(box, *steps(port), "serve:poll", port=port)
    served(d, port, wanted)
    for generation, name in enumerate(names[1:], 2):
        steps, wanted = SERVERS[name]
        reload_to(box, d, generation, *steps(port), "serve:poll", port=port)
        served(d, port, wanted)
    d.stop()


def test_reload_that_fails_leaves_the_old_address_served(box, port):
    """Though the new one had asked for less already."""
    d = start(box, *tcp(port), "serve:poll", port=port)
    box.config(web=settings(*tcp(port, "127.0.0.1"), "exit:3", port=port))
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_ABORTED("web"))
    served(d, port, ANY4)
    d.stop()


def test_restart_without_bind_is_served_on_the_address_of_before(box, port):
    """A server that takes the descriptor the next time."""
    steps = tcp(port, "127.0.0.1")
    d = start(box, *steps, "serve:poll", port=port)
    served(d, port, LOOPBACK4)
    reload_to(box, d, 2, "take:a:0", "serve:poll", port=port)
    for answer in all_answer(d, port, 2):
        assert answer.all("bind.a") == []
    stays(lambda: d.process.poll() is None, "clusterd runs", 0.1)
    d.stop()


# --- with `listen`, the written address rules

@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "::"])
def test_written_loopback_stays_private(box, port, host):
    d = start(box, *tcp(port, host), "serve:poll", listen=f"127.0.0.1:{port}")
    for answer in all_answer(d, port, 2):
        assert returned(answer) == [0]
        if host != "::":
            assert answer.one("peer.family") == "inet"
    assert is_refused(("127.0.0.2", port))
    assert is_refused(("::1", port))
    d.stop()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_written_port_is_served_on_every_address(box, port, host):
    d = start(box, *tcp(port, host), "serve:poll", listen=port)
    for client in ("127.0.0.1", "127.0.0.2"):
        for answer in all_answer(d, (client, port), 2):
            assert returned(answer) == [0]
            assert answer.one("peer.family") == "inet"
    d.stop()


def test_written_port_is_served_on_both_families_of_a_dual_server(box, port):
    d = start(box, *tcp(port, "::"), "serve:poll", listen=port)
    served(d, port, BOTH)
    d.stop()


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_udp_server_sees_addresses_of_its_family(box, port, host):
    d = start(box, *udp(port, host), "serve:recvmsg", listen=f"udp:{port}",
              ready="alive:50ms")
    for server in ("127.0.0.1", "127.0.0.2"):
        # Not connected: the answer may come from any address of the server's.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(10 * SLOW)
            s.sendto(b"hello", (server, port))
            answer = Answer(s.recv(65536).decode())
        assert returned(answer) == [0]
        assert answer.one("peer.family") == "inet"
        assert answer.one("l.family") == "inet"
    d.stop()


def test_two_listeners_and_two_binds(box, port):
    other = free_port()
    d = start(box, *one_of_two(other, "127.0.0.2", "b"),
              *one_of_two(port, "127.0.0.1", "a"), "serve:epoll",
              listen=[f"127.0.0.1:{port}", f"127.0.0.2:{other}"])
    for address, slot in ((("127.0.0.1", port), "a"),
                          (("127.0.0.2", other), "b")):
        for answer in all_answer(d, address, 2):
            assert answer.one("socket") == slot
            assert answer.one("l.name") == join(*address)
            assert returned(answer) == returned(answer, "bind", "b") == [0]
    assert is_refused(("127.0.0.1", other))
    assert is_refused(("127.0.0.2", port))
    d.stop()


@pytest.mark.parametrize("balance", [
    "random", "shared", "least-connections"])
def test_address_that_one_instance_bound_is_refused_at_its_end(box, port,
                                                               balance):
    """Nobody serves it any more, until that one is started again."""
    needs(balance)
    admin = free_port()
    one = tcp(port, "127.0.0.1", flags=NONBLOCK)
    both = one + tcp(admin, "127.0.0.1", slot="b", flags=NONBLOCK)
    command = shlex.join([
        "sh", "-c", "[ $CLUSTERD_INSTANCE = 0 ] && exec " +
        binder("--events", box.events_path, *both, "serve:poll") +
        " || exec " +
        binder("--events", box.events_path, *one, "serve:poll")])
    box.config(web={
        "command": command, "instances": 2, "handoff": "adopt",
        "listen": [f"127.0.0.1:{port}", f"127.0.0.1:{admin}"],
        "restart": "never", "balance": balance})
    d = box.start()
    d.wait_ready(2)
    pid = seats(d)[0]
    assert get(admin).pid == pid
    os.kill(pid, signal.SIGSTOP)
    with socket.create_connection(("127.0.0.1", admin)) as waits:
        os.kill(pid, signal.SIGKILL)
        waits.settimeout(10 * SLOW)
        with pytest.raises(ConnectionResetError):
            waits.recv(1)
    # That it has left it is looked at a moment later.
    wait_until(lambda: is_refused(("127.0.0.1", admin)), d.log)
    assert get(port).pid != pid
    start = d.mark()
    done = box.ctl("-c", "app.ini", "restart", "web.0",
                   env={"RUNTIME_DIRECTORY": box.dir})
    assert done.returncode == 0, done.stderr
    d.wait_log(words.READY("web"), start=start)
    assert get(admin).pid == seats(d)[0]
    d.stop()


def test_same_port_on_two_addresses_is_matched_by_address(box, port):
    d = start(box, *one_of_two(port, "127.0.0.2", "b"),
              *one_of_two(port, "127.0.0.1", "a"), "serve:epoll",
              listen=[f"127.0.0.1:{port}", f"127.0.0.2:{port}"])
    for host, slot in (("127.0.0.1", "a"), ("127.0.0.2", "b")):
        for answer in all_answer(d, (host, port), 2):
            assert answer.one("socket") == slot
            assert answer.one("l.name") == join(host, port)
    d.stop()


def test_ipv4_server_cannot_have_an_ipv6_listener(box, port):
    d = start(box, "--events", box.events_path, *tcp(port)[:3], "pause",
              listen=f"[::1]:{port}", instances=1, ready="alive:50ms")
    box.wait_events(f"bind.a {errno.EADDRNOTAVAIL}")
    d.wait_log(rf"web\[0\].*{port}")
    assert warnings(d, rf"web\[0\].*\[::1\]:{port}"), d.log()
    d.stop()


def test_two_apps_get_each_its_own(box, port):
    other = free_port()
    box.config(one=settings(*tcp(port), "serve:poll", port=port),
               two=settings(*tcp(other), "serve:poll", port=other))
    d = box.start()
    d.wait_ready(4)
    one, two = (set(d.ready_pids(app)) for app in ("one", "two"))
    assert {a.pid for a in all_answer(d, port, 2)} == one
    assert {a.pid for a in all_answer(d, other, 2)} == two
    d.stop()


def test_port_of_another_app_is_not_given_away(box, port):
    """The second app binds what the first one has."""
    other = free_port()
    box.config(one=settings(*tcp(port), "serve:poll", port=port),
               two=settings(*tcp(port, slot="b")[:3], *tcp(other),
                            "serve:poll:a", port=other, instances=1))
    d = box.start()
    d.wait_ready(3)
    assert returned(get(other), "bind", "b") == [errno.EADDRINUSE]
    assert {a.pid for a in all_answer(d, port, 2)} == set(d.ready_pids("one"))
    d.stop()
