"""Reload and scale under a constant load: no request fails.

The load does not wait for the server, and tells every failure with its errno;
most servers here die at once on TERM.
"""

import contextlib
import os
import shlex
import shutil
import signal
import socket
import sys
import time

import pytest

import words
from drains import (ABRUPT, KEYS, PATIENT, TIMED_OUT, Client, Load, abrupt,
                    begin, hup, reload, start, wait_gone)
from harness import (SLOW, ask, free_port, get, is_alive, is_refused,
                     wait_until)
from lanes import (answers, as_nobody, client, needs, parametrized, stopped)
from programs import HELLO, HTTP_SERVER, SERVERS, script
from test_drain import is_read

# Load is for the plain run: under a sanitizer it would be another one.
pytestmark = pytest.mark.heavy

HELLO_KEPT = {"command": shlex.quote(HELLO), "handoff": "env",
              "ready": "notify"}

each_way = parametrized("least-connections", "random", "shared")


# --- many servers

def servers(box, program=shlex.quote):
    """App → its keys and address, of all that are installed."""
    box.write("index.html", "hello\n", mode=0o644)
    found = {}

    def add(name, command, **keys):
        port = free_port()
        found[name] = ({"command": command.format(port), "instances": 2,
                        "listen": f"127.0.0.1:{port}", "directory": box.dir,
                        **KEYS, **PATIENT, **keys}, port)
    add("hello", program(HELLO), handoff="env", ready="notify")
    add("python", HTTP_SERVER + " {} --bind 127.0.0.1", stderr="null")
    if shutil.which("node"):
        add("node", f"node {box.copy(script('http.js'))} {{}}")
    if shutil.which("php"):
        # A worker of the master's would not be seen to accept.
        add("php", f"php -q -S 127.0.0.1:{{}} {box.copy(script('router.php'))}",
            stderr="null")
    return found


def reload_under_load(box, balance, times=3, rate=100, **how):
    program = box.copy if how else lambda path: path
    found = servers(box, lambda path: shlex.quote(program(path)))
    box.config(**{name: {**keys, "balance": balance}
                  for name, (keys, _) in found.items()})
    d = start(box, 2 * len(found), **how)
    with contextlib.ExitStack() as stack:
        loads = [stack.enter_context(Load(port, rate=rate))
                 for _, port in found.values()]
        for _ in range(times):
            reload(d, *found)
            loads[0].go_on(0.2)
    assert len(loads) == len(found)
    assert not d.find(r"drain_timeout"), d.log()
    d.stop()


@each_way
@pytest.mark.heavy
def test_no_request_fails_whatever_the_server(box, balance):
    needs(balance)
    reload_under_load(box, balance)


@parametrized("random", "source", "shared")
@pytest.mark.heavy
def test_no_request_fails_without_privileges(box, balance):
    reload_under_load(box, balance, times=2, **as_nobody(box))


@each_way
def test_no_request_fails_at_a_high_rate(box, balance):
    needs(balance)
    abrupt(box, instances=2, balance=balance, **PATIENT)
    d = start(box, 2)
    with Load(d.port(), rate=400):
        for _ in range(4):
            reload(d)
    d.stop()


@each_way
def test_no_request_fails_on_kept_connections(box, balance):
    """One that meets the end of an idle connection is retried by the client,
    and counted."""
    needs(balance)
    abrupt(box, instances=2, balance=balance, drain_idle="50ms")
    d = start(box, 2)
    # A request every 100 ms, on six connections in turn.
    with Load(d.port(), "--keepalive", 6, rate=10) as load:
        for _ in range(2):
            reload(d)
    assert load.said["raced"] < load.said["started"] / 4, load.said
    assert not d.find("drain_timeout"), d.log()
    d.stop()


def test_no_request_fails_on_kept_connections_of_a_graceful_server(box):
    """It says `Connection: close` once it has the signal; these connections
    never pause, so that it has it after drain_timeout."""
    box.config(web={**KEYS, **HELLO_KEPT, "listen": "127.0.0.1:0",
                    "instances": 2, "drain_timeout": "300ms"})
    d = start(box, 2)
    with Load(d.port(), "--keepalive", 10, rate=500):
        for _ in range(2):
            reload(d)
    d.stop()


@pytest.mark.heavy
def test_slow_answers_are_finished_in_reloads(box):
    """Which of them are in mid-air is never the same twice."""
    abrupt(box, instances=2, drain_idle="2s")
    d = start(box, 2)
    with Load(d.port(), "--path", "/stream/300", rate=60), \
            Load(d.port(), "--path", "/slow/300", rate=60):
        for _ in range(2):
            reload(d)
    d.stop()


# --- Unix sockets

def test_no_request_fails_on_a_unix_listener(box):
    path = box.path("web.sock")
    abrupt(box, instances=2, listen=f"unix:{path}")
    d = start(box, 2)
    with Load(path, rate=300):
        for _ in range(4):
            reload(d)
    assert not d.find("drain_timeout"), d.log()
    d.stop()


def test_request_on_a_unix_listener_is_finished(box):
    path = box.path("web.sock")
    abrupt(box, listen=f"unix:{path}")
    d = start(box, 1)
    old, = d.ready_pids()
    with contextlib.ExitStack() as stack:
        slow, = begin(box, stack, path, "/slow/700")
        hup(d)
        d.wait_log(words.RELOAD_DONE("web", 2))
        assert slow.read().pid == old
        # What it says last cannot be seen of a Unix socket: it is open, so
        # it holds.
        time.sleep(0.5)
        assert is_alive(old)
        slow.socket.close()
        wait_gone(d, [old])
    assert not d.find("drain_timeout"), d.log()
    d.stop()


# --- datagrams

@parametrized("auto", "random", "shared")
def test_no_datagram_is_lost(box, balance):
    """Each has a lane's buffer to wait in. A shared one is read by the old and
    the new worker, so that only a server that ends between two datagrams loses
    none. The flows are short: a datagram each, in the time that this takes."""
    extra = ["graceful"] if balance == "shared" else []
    abrupt(box, *extra, instances=2, balance=balance, ready="alive:150ms",
           listen="udp:127.0.0.1:0", drain_timeout="60s")
    d = start(box, 2)
    with Load(d.port(), "--udp", "--keepalive", 3000, rate=200):
        for _ in range(2):
            reload(d)
    assert not d.find("drain_timeout"), d.log()
    d.stop()


@parametrized("auto", "random")
def test_no_datagram_of_flows_that_never_pause_is_lost(box, balance):
    """They stay with their worker until drain_timeout, and go on to another
    then. What came for it meanwhile is answered by one that is started for
    that, if it ends between two datagrams."""
    abrupt(box, "graceful", instances=2, balance=balance, ready="alive:150ms",
           listen="udp:127.0.0.1:0", drain_timeout="1s")
    d = start(box, 2)
    stays = not d.find(r"flows of datagrams do not stay with their worker")
    with Load(d.port(), "--udp", rate=300):
        for _ in range(2):
            old = d.ready_pids()
            reload(d)
            for pid in old if stays else []:
                assert d.find(TIMED_OUT(
                    pid, "datagrams of its flows still come")), d.log()
    d.stop()


def test_datagrams_that_wait_hold_the_drain(box):
    abrupt(box, balance="random", ready="alive:150ms",
           listen="udp:127.0.0.1:0")
    d = start(box, 1)
    old, = d.ready_pids()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(10 * SLOW)
        s.connect(d.addresses()[0])
        with stopped([old]):
            for n in range(50):
                s.send(b"%d" % n)
            hup(d)
            d.wait_log(words.RELOAD_DONE("web", 2))
            time.sleep(0.3)     # looks that must not take it for drained
            assert is_alive(old)
        assert [s.recv(100) for _ in range(50)] == \
            [b"%d" % n for n in range(50)]
        wait_gone(d, [old])
    d.stop()


# --- scale

@each_way
def test_no_request_fails_when_scaled_up_and_down(box, balance):
    needs(balance)
    abrupt(box, instances=3, balance=balance, **PATIENT)
    d = start(box, 3)
    with Load(d.port(), rate=200):
        for _ in range(3):
            for number, count in ((signal.SIGTTOU, 2), (signal.SIGTTOU, 1),
                                  (signal.SIGTTIN, 2), (signal.SIGTTIN, 3)):
                d.send(number)
                d.wait_log(rf"scaling to {count} instance")
                d.wait_ready(count)
                d.wait_workers(count)
    assert not d.find("drain_timeout"), d.log()
    d.stop()


def test_scale_down_finishes_what_has_begun(box):
    abrupt(box, instances=2, balance="random")
    d = start(box, 2)
    with contextlib.ExitStack() as stack:
        # Of 8 all come to one of the two in one run of 128.
        held = begin(box, stack, d.addresses()[0], "/slow/1500", 20)
        d.send(signal.SIGTTOU)
        pids = [s.read().pid for s in held]
        assert len(set(pids)) == 2
        d.wait_workers(1)
    d.stop()


@parametrized("least-connections", "random")
@pytest.mark.heavy
def test_no_request_fails_between_own_lanes_and_a_shared_one(box, balance):
    """The lane of one of the old workers is everybody's then."""
    needs(balance)
    port = free_port()

    def keys(balance):
        abrupt(box, instances=2, balance=balance, listen=f"127.0.0.1:{port}",
               **PATIENT)
    keys(balance)
    d = start(box, 2)
    with Load(port, "--path", "/slow/2", rate=300):
        for _ in range(3):
            keys("shared")
            reload(d)
            keys(balance)
            reload(d)
    assert not d.find("drain_timeout"), d.log()
    d.stop()


@each_way
@pytest.mark.heavy
def test_no_request_fails_when_the_file_changes_the_number(box, balance):
    needs(balance)
    port = free_port()
    keys = {"balance": balance, "listen": f"127.0.0.1:{port}", **PATIENT}
    abrupt(box, instances=4, **keys)
    d = start(box, 4)
    with Load(port, rate=200):
        for generation, count in ((2, 1), (3, 3), (4, 2)):
            abrupt(box, instances=count, **keys)
            reload(d)
            d.wait_workers(count)
    assert not d.find("drain_timeout"), d.log()
    d.stop()


def test_none_is_left_frozen_of_several_that_drain_at_once(box):
    """They share a lane: each is looked at while it stands still, one after
    the other, and goes on where it gets a request meanwhile."""
    port = free_port()
    keys = {"balance": "shared", "listen": f"127.0.0.1:{port}", **PATIENT,
            "drain_timeout": "60s"}
    abrupt(box, instances=6, **keys)
    d = start(box, 6)
    with Load(port, rate=100):
        for count in (1, 6, 1, 6, 1):
            abrupt(box, instances=count, **keys)
            reload(d)
            d.wait_workers(count)
    d.stop()


# --- reloads that fail

# None of them serves anybody: with a shared lane it would, before it is ready,
# and take what it has along when it is killed.
BAD = {
    "crash": "sh -c 'kill -ABRT $$'",
    "exit": "sh -c 'exit 3'",
    "hang": "sleep 1000",
    "cannot be executed": "/nowhere/server",
}


def fail_under_load(box, balance, **bad):
    needs(balance)
    port = free_port()
    keys = {"instances": 2, "balance": balance,
            "listen": f"127.0.0.1:{port}", **PATIENT}
    abrupt(box, **keys)
    d = start(box, 2)
    old = sorted(d.ready_pids())
    with Load(port, rate=200) as load:
        for count in (1, 2):
            abrupt(box, **keys, ready="notify", ready_timeout="200ms", **bad)
            hup(d)
            d.wait_log(words.RELOAD_ABORTED("web"), count=count)
            d.wait_workers(2)
            load.go_on(0.1)
        assert sorted(d.ready_pids()) == old, d.log()
        abrupt(box, **keys)
        reload(d)
    d.stop()


@pytest.mark.parametrize("how, balance", [
    ("crash", "least-connections"), ("crash", "random"), ("crash", "shared"),
    ("hang", "least-connections"), ("hang", "shared"), ("exit", "source"),
    ("cannot be executed", "random")])
def test_no_request_fails_when_new_workers(box, how, balance):
    fail_under_load(box, balance, command=BAD[how])


@parametrized("least-connections", "random")
def test_no_request_fails_when_new_workers_are_never_ready(box, balance):
    """They serve, if anybody came; they do not say READY=1."""
    fail_under_load(box, balance)


@parametrized("least-connections", "random")
def test_no_request_fails_when_a_reload_is_rolled_back(box, balance):
    """The second new worker is no good, when the first has changed over."""
    needs(balance)
    port = free_port()
    keys = {"instances": 3, "balance": balance,
            "listen": f"127.0.0.1:{port}", **PATIENT}
    abrupt(box, **keys)
    d = start(box, 3)
    good = shlex.join([sys.executable, "-I", "-S", f"{SERVERS}/abrupt.py"])
    bad = box.write("bad.sh", "case $CLUSTERD_INSTANCE in\n"
                    f"0) exec {good};;\n*) exit 3;;\nesac\n")
    with Load(port, rate=200):
        abrupt(box, **keys, command=f"sh {bad}")
        hup(d)
        d.wait_log(words.RELOAD_ABORTED("web"))
        d.wait_log(r"web: rolled back to generation 1\b")
        d.wait_workers(3)
    assert get(port).generation == 1
    d.stop()


# --- what a reload leaves

@each_way
def test_old_port_serves_those_who_are_there(box, balance):
    """Some are connected, and ask; some wait in the queue; some have not asked
    yet. Nobody else gets anything."""
    needs(balance)
    one, other = free_port(), free_port()
    abrupt(box, balance=balance, listen=f"127.0.0.1:{one}", **PATIENT)
    d = start(box, 1)
    old, = d.ready_pids()
    with contextlib.ExitStack() as stack:
        slow, = begin(box, stack, one, "/slow/800")
        kept = stack.enter_context(Client(one))
        kept.get()
        with stopped([old]):
            waiting = [ask(one, source=client(n)) for n in range(10)]
            abrupt(box, balance=balance, listen=f"127.0.0.1:{other}")
            hup(d)
            d.wait_log(words.RELOAD_DONE("web", 2))
            assert get(other).pid != old
            wait_until(lambda: gets_nothing(one), "the old port is shut")
        assert [getattr(a, "pid", a) for a in answers(waiting)] == [old] * 10
        assert kept.get().pid == old
        assert slow.read().pid == old
        kept.socket.close()
        slow.socket.close()
        wait_gone(d, [old])
        wait_until(lambda: is_refused(one), "the old port is closed")
    assert not d.find("drain_timeout"), d.log()
    d.stop()


def gets_nothing(port):
    """A new client is refused, or nobody answers its SYN."""
    try:
        socket.create_connection(("127.0.0.1", port), 0.3 * SLOW).close()
    except OSError:
        return True
    return False


def nobodys_abrupt(box):
    """The key for abrupt.py of an ordinary user, who may not filter what
    comes."""
    return {"command": shlex.join([sys.executable, "-I", "-S", box.copy(
        script("abrupt.py")), box.events_path])}


def move_port(box, balance, rate=200, command=None, how=None):
    """Whoever was connected, or in a queue, when the port was left is served;
    what fails was refused, or never let in."""
    ports = [free_port(), free_port()]

    def listen(*numbers):
        abrupt(box, instances=2, balance=balance, **(command or {}), **PATIENT,
               listen=", ".join(f"127.0.0.1:{n}" for n in numbers))
    listen(ports[0])
    d = start(box, 2, **(how or {}))
    with Load(ports[0], rate=rate, lossy=True, timeout=3000) as load:
        listen(ports[1])
        reload(d)
        wait_until(lambda: is_refused(ports[0]), "the old port is closed")
    assert set(load.said["failures"]) <= {"connect"}, load.said
    with Load(ports[1], rate=100):
        assert get(ports[1]).generation == 2
    d.stop()


def alone_on_a_new_address(box, rounds=2, how=None, command=None, **keys):
    """A reload that another one overtakes: the one worker that serves the new
    address has to go, before there is room for another. Whoever comes meanwhile
    waits for that one."""
    gate = box.path("gate")
    command = command or f"{ABRUPT} {box.events_path}"
    slow = shlex.join(["sh", "-c", f"until [ -e {gate} ]; do sleep 0.01; done;"
                       f" exec {command}"])

    def listen(port, canary):
        abrupt(box, **{**PATIENT, "instances": 2, "canary": canary,
                       "command": slow, "listen": f"127.0.0.1:{port}", **keys})
    box.touch("gate")
    listen(free_port(), "0s")
    d = start(box, 2, **(how or {}))
    for _ in range(rounds):
        old = d.workers()
        port = free_port()
        listen(port, "60s")
        mark = hup(d)
        alone = int(d.wait_log(r"web\[\d\] pid (\d+): ready", limit=30,
                               start=mark)[1])
        os.unlink(gate)
        listen(port, "0s")
        with Load(port, rate=500):
            mark = hup(d)
            wait_gone(d, [alone])
            box.touch("gate")
            d.wait_log(words.RELOAD_DONE("web"), limit=30, start=mark)
        wait_gone(d, old)
    assert not d.find("restarting for those who wait"), d.log()
    d.stop()


@pytest.mark.parametrize("balance,surge", [
    ("least-connections", 0), ("least-connections", 1), ("random", 0),
    ("shared", 1)])
def test_no_request_fails_where_one_alone_serves_a_new_address(
        box, balance, surge):
    needs(balance)
    alone_on_a_new_address(box, balance=balance, max_surge=surge)


# Binds by itself, and goes on as a server that is told of its descriptor.
BINDS = """
import os, socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(os.environ["PORT"])))
s.listen()
s.set_inheritable(True)
os.environ["CLUSTERD_FD"] = str(s.fileno())
os.execvp(sys.argv[1], sys.argv[1:])
"""


@parametrized("least-connections", "random")
def test_one_alone_on_a_new_address_binds_by_itself(box, balance):
    needs(balance)
    binds = shlex.join([sys.executable, "-I", "-S",
                        box.write("binds.py", BINDS)])
    alone_on_a_new_address(box, rounds=1, balance=balance, handoff="adopt",
                           command=f"{binds} {ABRUPT} {box.events_path}")


@parametrized("random", "source")
def test_one_alone_on_a_new_address_without_privileges(box, balance):
    how = as_nobody(box)
    alone_on_a_new_address(box, rounds=1, how=how, balance=balance,
                           command=nobodys_abrupt(box)["command"])


@each_way
def test_load_moves_from_port_to_port(box, balance):
    needs(balance)
    move_port(box, balance)


@parametrized("random", "source", "shared")
def test_load_moves_from_port_to_port_without_privileges(box, balance):
    how = as_nobody(box)
    move_port(box, balance, 600, nobodys_abrupt(box), how)


@parametrized("auto", "shared")
@pytest.mark.parametrize("who", ["user", "nobody"])
def test_back_to_the_old_port_while_it_drains(box, who, balance):
    one, other = free_port(), free_port()
    how = as_nobody(box) if who == "nobody" else {}
    keys = {"balance": balance, "max_surge": 3,
            **(nobodys_abrupt(box) if how else {})}
    abrupt(box, listen=f"127.0.0.1:{one}", drain_timeout="60s", **keys)
    d = start(box, 1, **how)
    first, = d.ready_pids()
    with contextlib.ExitStack() as stack:
        # As long as it takes until it is asked for.
        held = stack.enter_context(Client(one))
        held.socket.sendall(b"GET / HTTP/1.1\r\n")
        wait_until(lambda: is_read(held.socket), "the half is read")
        abrupt(box, listen=f"127.0.0.1:{other}", **keys)
        hup(d)
        d.wait_log(words.RELOAD_DONE("web", 2))
        second = get(other).pid
        slow, = begin(box, stack, other, "/slow/1500")
        wait_until(lambda: gets_nothing(one), "the old port is shut")
        abrupt(box, listen=f"127.0.0.1:{one}", **keys)
        hup(d)
        d.wait_log(words.RELOAD_DONE("web", 3))
        assert is_alive(first)
        with Load(one, rate=200):
            # From a queue for all, the old one takes its share again.
            assert balance == "shared" or \
                get(one).pid not in (first, second)
            assert slow.read().pid == second
            held.socket.sendall(b"\r\n")
            assert held.read().pid == first
            held.socket.close()
            wait_gone(d, [first, second])
        wait_until(lambda: is_refused(other), "the other port is closed")
    d.stop()


@parametrized("least-connections", "shared")
def test_removed_app_finishes_what_has_begun(box, balance):
    needs(balance)
    ports = [free_port(), free_port()]

    def apps(*names):
        command = shlex.join([sys.executable, "-I", "-S",
                              f"{SERVERS}/abrupt.py", box.events_path])
        box.config(**{name: {
            "command": command, "listen": f"127.0.0.1:{port}",
            "instances": 2, "balance": balance, "handoff": "env", **KEYS,
            **PATIENT} for name, port in zip(("keep", "leave"), ports)
            if name in names})
    apps("keep", "leave")
    d = start(box, 4)
    old = d.ready_pids("leave")
    with contextlib.ExitStack() as stack:
        load = stack.enter_context(Load(ports[0], rate=100))
        left = stack.enter_context(Load(ports[1], rate=100, lossy=True,
                                        timeout=3000))
        held = begin(box, stack, ports[1], "/slow/700", 4)
        apps("keep")
        hup(d)
        wait_until(lambda: gets_nothing(ports[1]), "its port is shut")
        assert all(s.read().pid in old for s in held)
        wait_gone(d, old)
        wait_until(lambda: is_refused(ports[1]), "its port is closed")
        d.wait_log(words.RELOAD_DONE("keep", 2))
    assert set(left.said["failures"]) <= {"connect"}, left.said
    assert load.said["failed"] == 0
    d.stop()
