"""Who gets which connection, by each `balance`."""

import collections
import contextlib
import os
import re
import signal
import socket
import subprocess

import pytest

import words
from harness import (IS_ROOT, SLOW, ask_udp, free_port, get, start_with_sockets,
                     wait_until)
from lanes import (ALL, OWN_LANES, become_nobody, check_even,
                   client, finish, hold, instances_of, needs, parametrized,
                   seats_of_clients, wait_asleep, why_not)

N = 4


def start(box, balance, *arguments, instances=N, **keys):
    needs(balance)
    box.web(*arguments, balance=balance, instances=instances, **keys)
    d = box.start()
    d.wait_ready(instances)
    wait_asleep(d)
    return d


# --- how even

def test_root_may_have_every_balance(as_root):
    """Else all that needs privileges is skipped."""
    with open("/proc/self/status") as f:
        effective = int(re.search(r"CapEff:\s*(\w+)", f.read())[1], 16)
    if effective & 1 << 21 == 0:
        pytest.skip("a root without CAP_SYS_ADMIN")
    with open("/proc/mounts") as f:
        if " cgroup2 " not in f.read():
            pytest.skip("no cgroup v2")
    assert why_not() is None


@parametrized(*ALL)
@pytest.mark.valgrind
def test_connections_are_spread(box, balance):
    d = start(box, balance)
    check_even(d.port(), balance, N, each=100)
    d.stop()


@pytest.mark.valgrind
def test_round_robin_goes_in_turn(box):
    d = start(box, "round-robin")
    order = [get(d.port()).instance for _ in range(3 * N)]
    assert sorted(order[:N]) == list(range(N))
    assert order == order[:N] * 3
    d.stop()


@pytest.mark.valgrind
def test_least_connections_evens_out_what_is_held(box):
    d = start(box, "least-connections")
    with contextlib.ExitStack() as stack:
        held = hold(stack, d.port(), 20 * N)
        owners = [finish(s).instance for s in held]
    assert set(collections.Counter(owners).values()) == {20}
    d.stop()


def test_least_connections_fills_up_whoever_has_fewest(box):
    """When all the clients of two workers have left, these get the next."""
    d = start(box, "least-connections")
    port = d.port()
    with contextlib.ExitStack() as stack:
        held = hold(stack, port, 20 * N)
        # In which order they came is known from a second round.
        by = collections.defaultdict(list)
        for s in held:
            by[owner_of(d, s)].append(s)
        assert {len(v) for v in by.values()} == {20}
        gone = sorted(by)[:2]
        for pid in gone:
            for s in by[pid]:
                assert finish(s).pid == pid
        more = hold(stack, port, 40)
        found = collections.Counter(finish(s).pid for s in more)
        assert found == {pid: 20 for pid in gone}
    d.stop()


def owner_of(d, s):
    """The worker that has accepted a connection, by its inode."""
    ports = [n[1] for n in (s.getpeername(), s.getsockname())]

    def inode():
        with open("/proc/net/tcp") as f:
            for fields in map(str.split, f.readlines()[1:]):
                if (fields[9] != "0" and fields[0] != "sl" and ports ==
                        [int(f.rpartition(":")[2], 16) for f in fields[1:3]]):
                    return fields[9]
        return None
    link = f"socket:[{wait_until(inode, 'it is accepted')}]"

    def holder():
        for pid in d.ready_pids():
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if os.readlink(f"/proc/{pid}/fd/{fd}") == link:
                        return pid
        return None
    return wait_until(holder, "somebody has it")


@pytest.mark.valgrind
def test_held_connections_do_not_keep_random_from_being_random(box):
    d = start(box, "random")
    with contextlib.ExitStack() as stack:
        held = hold(stack, d.port(), 400)
        found = collections.Counter(finish(s).instance for s in held)
    assert len(found) == N
    assert 50 <= min(found.values()) <= max(found.values()) <= 170, found
    d.stop()


# --- source

def test_source_keeps_a_client_on_its_instance(box):
    d = start(box, "source")
    found = seats_of_clients(d.port(), 100)
    assert set(found.values()) == set(range(N))
    for _ in range(2):
        assert seats_of_clients(d.port(), 100) == found
    assert len(instances_of(d.port(), 50)) == 1
    d.stop()


def test_source_keeps_its_clients_over_a_reload_and_a_restart(box):
    d = start(box, "source", restart_delay="10ms")
    found = seats_of_clients(d.port(), 60)
    for pid in d.ready_pids():
        os.kill(pid, signal.SIGKILL)
        d.wait_log(rf"pid {pid}: killed by signal 9")
    d.wait_ready(N)
    wait_asleep(d)
    assert seats_of_clients(d.port(), 60) == found
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_DONE("web", 2))
    d.wait_workers(N)
    wait_asleep(d)
    assert seats_of_clients(d.port(), 60) == found
    d.stop()


def test_source_by_ipv6_and_mapped_ipv4(box, has_ipv6):
    """One dual-stack socket: a client's IPv4 address counts in both ways."""
    port = free_port()
    d = start(box, "source", listen=None, port=port, instances=8)
    over4 = seats_of_clients(port, 60)
    assert set(over4.values()) == set(range(8))
    assert seats_of_clients(port, 60) == over4
    mapped = seats_of_mapped(port, 60)
    assert mapped == over4
    assert len({get(("::1", port)).instance for _ in range(30)}) == 1
    d.stop()


def seats_of_mapped(port, count):
    """IPv4 from an IPv6 socket."""
    found = {}
    for n in range(count):
        with socket.socket(socket.AF_INET6) as s:
            s.settimeout(10 * SLOW)
            s.bind((f"::ffff:{client(n)}", 0))
            s.connect(("::ffff:127.0.0.1", port))
            found[n] = finish(s).instance
    return found


def test_source_moves_only_a_share_when_it_scales(box):
    d = start(box, "source", instances=4)
    count = 400
    before = seats_of_clients(d.port(), count)
    d.send(signal.SIGTTIN)
    d.wait_ready(5)
    wait_asleep(d)
    more = seats_of_clients(d.port(), count)
    moved = [n for n in before if before[n] != more[n]]
    # They all go to the new one; it takes its share.
    assert {more[n] for n in moved} == {4}
    assert 0 < len(moved) <= count * (1 / 5 + 0.05), len(moved)
    d.send(signal.SIGTTOU)
    d.wait_workers(4)
    wait_asleep(d)
    assert seats_of_clients(d.port(), count) == before
    d.stop()


# --- which address

@parametrized(*OWN_LANES)
def test_port_0_is_one_number_for_all_instances(box, balance):
    d = start(box, balance, listen=None, port=0)
    port = d.port()
    assert d.pids_that_answer(port, N) == set(d.ready_pids()) \
        if balance != "source" else get(port)
    for pid in d.ready_pids():
        os.kill(pid, signal.SIGKILL)
        d.wait_log(rf"pid {pid}: killed by signal 9")
    d.wait_ready(N)
    wait_asleep(d)
    check_even(port, balance, N)
    assert len(d.find(words.LISTENING("web"))) == 1
    d.stop()


@parametrized(*OWN_LANES)
def test_several_listeners_are_each_spread(box, balance):
    d = start(box, balance, listen="127.0.0.1:0, 127.0.0.2:0")
    ports = [port for _, port in d.addresses(count=2)]
    check_even(ports[0], balance, N)
    if balance == "source":
        found = seats_of_clients(ports[1], 60, host="127.0.0.2")
        assert set(found.values()) == set(range(N))
    else:
        found = [get(("127.0.0.2", ports[1])).instance for _ in range(60)]
        assert set(found) == set(range(N))
    d.stop()


@parametrized("random", "least-connections", "round-robin", "source")
def test_unix_listener_is_shared(box, balance):
    path = box.path("x.sock")
    d = start(box, balance, listen=f"unix:{path}")
    assert d.pids_that_answer(path, N) == set(d.ready_pids())
    links = {os.readlink(f"/proc/{pid}/fd/3") for pid in d.ready_pids()}
    assert len(links) == 1
    d.stop()


@parametrized("auto", *ALL)
def test_socket_of_the_supervisor_above_is_shared(box, balance):
    needs(balance)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        box.web(listen=f"127.0.0.1:{port}", balance=balance)
        d = start_with_sockets(box, s)
        pids = d.wait_ready(2)
        assert d.pids_that_answer(port, 2) == set(pids)
        links = {os.readlink(f"/proc/{pid}/fd/3") for pid in pids}
        assert len(links) == 1
        said = d.find(r"web: its socket is passed .*shared.*")
        assert len(said) == (balance not in ("auto", "shared"))
        d.stop()


@parametrized(*ALL)
def test_one_instance_alone(box, balance):
    d = start(box, balance, instances=1)
    assert instances_of(d.port(), 20) == {0: 20}
    d.stop()


@parametrized("auto", *ALL)
def test_every_worker_has_a_lane_of_its_own_or_none_has(box, balance):
    needs(balance)
    d = start(box, balance)
    links = {os.readlink(f"/proc/{pid}/fd/3") for pid in d.ready_pids()}
    assert len(links) == (1 if balance == "shared" else N)
    d.stop()


@parametrized("auto", *ALL)
def test_dump_names_the_balance(box, balance):
    box.web(balance=balance)
    done = box.run("-T", "-c", "app.ini")
    assert re.search(rf"^balance = {balance}$", done.stdout, re.M)
    assert bool(re.search(r"^# auto is (least-connections|random) here.*\n"
                          r"balance", done.stdout, re.M)) == \
        (balance == "auto")


def test_log_says_what_auto_comes_to(box):
    box.web()
    d = box.start()
    d.wait_log(r"balance = auto is (least-connections|random) here")
    d.wait_ready(2)
    d.stop()


# --- UDP

def flows(port, count):
    """Sockets of clients."""
    found = []
    for _ in range(count):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(10 * SLOW)
        s.connect(("127.0.0.1", port))
        found.append(s)
    return found


def ask_flow(s):
    s.send(b"hello")
    return int(re.search(rb"instance (\d+)", s.recv(4096))[1])


@parametrized("auto", *OWN_LANES)
def test_udp_flow_stays_on_its_worker(box, balance):
    d = start(box, balance, listen="udp:127.0.0.1:0")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(s) for s in flows(d.port(), 200)]
        first = [ask_flow(s) for s in clients]
        if balance == "source":
            assert len(set(first)) == 1
        else:
            found = collections.Counter(first)
            assert sorted(found) == list(range(N))
            assert 15 <= min(found.values()) <= max(found.values()) <= 110
        for _ in range(3):
            assert [ask_flow(s) for s in clients] == first
    d.stop()


def test_udp_may_be_shared(box):
    d = start(box, "shared", listen="udp:127.0.0.1:0")
    assert ask_udp(("127.0.0.1", d.port())).pid in d.ready_pids()
    links = {os.readlink(f"/proc/{pid}/fd/3") for pid in d.ready_pids()}
    assert len(links) == 1
    d.stop()


# --- who else may have the port

JOIN = """
import socket, sys
s = socket.socket({family}, socket.{kind})
for name in sys.argv[2:]:
    s.setsockopt(socket.SOL_SOCKET, getattr(socket, name), 1)
try:
    s.bind(("127.0.0.1", int(sys.argv[1])))
    if "{kind}" == "SOCK_STREAM":
        s.listen()
    print("bound")
except OSError as e:
    print(e.errno)
"""


def try_to_bind(port, *options, launcher=(), kind="SOCK_STREAM"):
    """`bound`, or the errno."""
    done = subprocess.run(
        [*launcher, "/usr/bin/python3", "-ISc",
         JOIN.format(family="socket.AF_INET", kind=kind), str(port),
         *options], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


IN_USE = "98"


@parametrized(*ALL)
def test_port_cannot_be_bound_by_accident(box, balance):
    d = start(box, balance)
    port = d.port()
    assert try_to_bind(port) == IN_USE
    assert try_to_bind(port, "SO_REUSEADDR") == IN_USE
    if balance == "shared":
        # One socket alone lets nobody join, on purpose neither.
        assert try_to_bind(port, "SO_REUSEPORT") == IN_USE
    if IS_ROOT:
        for options in ([], ["SO_REUSEADDR"], ["SO_REUSEPORT"],
                        ["SO_REUSEADDR", "SO_REUSEPORT"]):
            assert try_to_bind(port, *options,
                               launcher=become_nobody()) == IN_USE
    check_even(port, balance, N)
    d.stop()


@parametrized("auto", "shared")
def test_udp_port_cannot_be_bound_by_accident(box, balance):
    d = start(box, balance, listen="udp:127.0.0.1:0")
    port = d.port()
    for options in ([], ["SO_REUSEADDR"]):
        assert try_to_bind(port, *options, kind="SOCK_DGRAM") == IN_USE
    if IS_ROOT:
        for options in ([], ["SO_REUSEADDR"], ["SO_REUSEPORT"],
                        ["SO_REUSEADDR", "SO_REUSEPORT"]):
            assert try_to_bind(port, *options, launcher=become_nobody(),
                               kind="SOCK_DGRAM") == IN_USE
    d.stop()


@parametrized(*ALL)
@pytest.mark.parametrize("listen", ["127.0.0.1:{}", "{}", "udp:127.0.0.1:{}"])
def test_second_clusterd_finds_the_port_taken(box, balance, listen):
    d = start(box, balance, listen=listen.format(0))
    number = d.port()
    for other in {"shared", "random", balance}:
        box.web(name="second.ini", listen=listen.format(number),
                balance=other)
        done = box.run("-c", "second.ini")
        assert done.returncode == 69, done.stderr
        assert words.IN_USE.search(done.stderr)
        assert str(number) in done.stderr
    if "udp" not in listen:
        check_even(number, balance, N)
    d.stop()


@parametrized(*ALL)
def test_of_two_that_start_at_once_one_finds_the_port_taken(box, balance):
    needs(balance)
    for _ in range(4):
        box.web(listen=f"127.0.0.1:{free_port()}", balance=balance)
        both = [box.start(), box.start()]
        loser = wait_until(
            lambda: [d for d in both if d.process.poll() is not None],
            "one of them ends")
        assert len(loser) == 1, [d.log() for d in both]
        loser[0].process.wait()
        assert loser[0].process.returncode == 69, loser[0].log()
        winner = both[1 - both.index(loser[0])]
        winner.wait_ready(2)
        winner.stop()
