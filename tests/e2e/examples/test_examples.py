"""The examples: the hello server in C, and the same in other languages."""

import collections
import glob
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

import words
from harness import (ROOT, SLOW, _connect, free_port, is_alive,
                     is_refused, kinds, wait_until)
from programs import HELLO

EXAMPLES = os.path.join(ROOT, "examples")
STOPPING = re.compile(r"(?i)\bstopping\b")
KILLED = words.DEATH(how=words.KILLED_9)

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

Reply = collections.namedtuple("Reply", "status fields body instance pid")


class Client:
    """One connection. Every wait of it has a limit."""

    def __init__(self, address, receive_buffer=None):
        if receive_buffer is None:
            self.socket = _connect(address, 10 * SLOW)
        else:
            self.socket = socket.socket()
            self.socket.settimeout(10 * SLOW)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                   receive_buffer)
            self.socket.connect(address)
        self.input = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _more(self):
        part = self.socket.recv(65536)
        self.input += part
        return bool(part)

    def _take(self, length):
        while len(self.input) < length:
            if not self._more():
                raise ConnectionError(f"half an answer: {self.input!r}")
        taken, self.input = self.input[:length], self.input[length:]
        return taken

    def reply(self, body=True):
        """The next answer; without a body, it answers a HEAD."""
        while b"\r\n\r\n" not in self.input:
            if not self._more():
                raise ConnectionError(f"no answer, but {self.input!r}")
        head = self._take(self.input.index(b"\r\n\r\n") + 4).decode()
        status, *lines = head[:-4].split("\r\n")
        fields = {}
        for line in lines:
            name, value = line.split(":", 1)
            assert name.lower() not in fields, head
            fields[name.lower()] = value.strip()
        text = ""
        if body:
            text = self._take(int(fields.get("content-length", 0))).decode()
        said = re.fullmatch(r"hello from instance (\d+), pid (\d+)\n", text)
        return Reply(int(re.match(r"HTTP/1\.1 (\d{3})( |$)", status)[1]),
                     fields, text, *(map(int, said.groups()) if said
                                     else (None, None)))

    def ask(self, request=GET, **how):
        self.send(request)
        return self.reply(**how)

    def wait_closed(self):
        """The server hangs up, and has said nothing more."""
        try:
            assert not self._more() and self.input == b"", self.input
        except ConnectionResetError:
            assert self.input == b"", self.input


def ask(address, request=b"GET / HTTP/1.1\r\nHost: x\r\n"
                         b"Connection: close\r\n\r\n"):
    """One request on a connection of its own."""
    with Client(address) as client:
        reply = client.ask(request)
        client.wait_closed()
    return reply


def hello(box, **keys):
    """Configure the hello server on a free loopback port."""
    settings = {"command": shlex.quote(HELLO), "listen": "127.0.0.1:0",
                "instances": 2, "handoff": "env", "ready": "notify"}
    settings.update(keys)
    return box.config(web=settings)


@pytest.fixture
def one(box):
    """Address of a single hello server under clusterd."""
    hello(box, instances=1)
    d = box.start()
    d.wait_ready(1)
    yield d.addresses()[0]
    assert not d.find(words.DEATH()), d.log()
    d.stop()
    assert not d.find(KILLED), d.log()


class Load:
    """Clients that ask all the time, each at most `bound` requests: some over
    one connection as long as it is kept, some over a fresh one each time."""

    def __init__(self, address, keeping=3, fresh=3, bound=20000):
        self.address = address
        self.failures = []
        self.pids = set()
        self.over = threading.Event()
        self.answered = [0] * (keeping + fresh)
        self.threads = [
            threading.Thread(target=self._run, args=(i, i < keeping, bound))
            for i in range(keeping + fresh)]

    def _run(self, me, keeping, bound):
        client = None
        while self.answered[me] < bound and not self.over.wait(0.001):
            try:
                if not keeping:
                    reply = ask(self.address)
                else:
                    client = client or Client(self.address)
                    reply = client.ask()
                    if reply.fields.get("connection") == "close":
                        client.wait_closed()
                        client.socket.close()
                        client = None
                assert reply.status == 200, reply
                self.pids.add(reply.pid)
                self.answered[me] += 1
            except (OSError, AssertionError) as e:
                self.failures.append(
                    f"{'kept' if keeping else 'fresh'}: {e!r}")
                client = None
        if client:
            client.socket.close()

    def wait_more(self, count=20):
        """Until every client has got so many answers more."""
        goal = [n + count for n in self.answered]
        wait_until(lambda: all(n >= g for n, g in zip(self.answered, goal)),
                   lambda: f"{count} answers more: {self.answered}, wanted "
                   f"{goal}, failures {self.failures[:5]}", 20)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        self.over.set()
        for thread in self.threads:
            thread.join()
        if exception[0] is None:
            assert not self.failures, (
                f"{len(self.failures)} failed, {self.answered} answered; "
                f"{self.failures[:5]}")


def is_read(client):
    """A worker has accepted the connection and read all that was sent."""
    mine, its = (f"{s[1]:04X}" for s in (client.socket.getsockname(),
                                         client.socket.getpeername()))
    for name in ("tcp", "tcp6"):
        for line in open(f"/proc/net/{name}").read().splitlines()[1:]:
            fields = line.split()
            if fields[1].endswith(f":{its}") and \
                    fields[2].endswith(f":{mine}"):
                # An inode it has from accept(2) on.
                return fields[4].endswith(":00000000") and fields[9] != "0"
    return False


# --- hello-server: HTTP

def test_connection_is_kept(one):
    with Client(one) as client:
        replies = [client.ask() for _ in range(20)]
        assert {r.status for r in replies} == {200}
        assert len({r.pid for r in replies}) == 1
        assert {r.instance for r in replies} == {0}
        last = client.ask(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert last.fields["connection"] == "close"
        client.wait_closed()


def test_http_1_0_closes_unless_asked_to_keep(one):
    assert ask(one, b"GET / HTTP/1.0\r\n\r\n").fields["connection"] == "close"
    with Client(one) as client:
        for _ in range(3):
            reply = client.ask(
                b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
            assert reply.fields["connection"].lower() == "keep-alive"


def test_pipelined_requests_are_answered_in_order(one):
    with Client(one) as client:
        client.send(GET * 200 + b"HEAD / HTTP/1.1\r\n\r\n" + GET)
        for _ in range(200):
            assert client.reply().pid
        assert client.reply(body=False).status == 200
        assert client.reply().pid


def test_request_may_come_in_pieces(one):
    with Client(one) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in (GET, b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"):
            for i in range(0, len(request), 4):
                client.send(request[i:i + 4])
                wait_until(lambda: is_read(client), "the piece is read")
            assert client.reply().status == 200


def test_client_that_does_not_read_gets_every_answer_later(one):
    """Its answers wait, and so do its requests."""
    count = 40000
    with Client(one, receive_buffer=4096) as client:
        sender = threading.Thread(
            target=client.send, args=(b"GET / HTTP/1.1\r\n\r\n" * count,))
        client.socket.settimeout(60 * SLOW)
        sender.start()
        assert ask(one).status == 200       # others are served meanwhile
        got = bytearray()
        size = 0
        while size == 0 or len(got) < size * count:
            part = client.socket.recv(1 << 20)
            assert part
            got += part
            if size == 0:
                first = re.match(rb"HTTP/1.1 200 .*?, pid \d+\n", got, re.S)
                size = first.end() if first else 0
        sender.join()
        assert got == got[:size] * count


def test_head_is_answered_without_a_body(one):
    with Client(one) as client:
        full = client.ask()
        reply = client.ask(b"HEAD / HTTP/1.1\r\n\r\n", body=False)
        assert reply.status == 200
        assert reply.fields["content-length"] == str(len(full.body))
        assert client.ask().pid == full.pid


@pytest.mark.parametrize("status, request_text", [
    (400, "GET\r\n\r\n"),
    (400, "GET /\r\n\r\n"),
    (400, "GET  HTTP/1.1\r\n\r\n"),
    (400, "GET / x HTTP/1.1\r\n\r\n"),
    (400, "GET / HTTP/1.X\r\n\r\n"),
    (400, "GET / HTTP/1.2\r\n\r\n"),
    (400, "GET / HTTP/1.10\r\n\r\n"),
    (400, "GET / HTTP/2.0\r\n\r\n"),
    (400, "get / HTTP/1.1\r\n\r\n"),
    (400, "\x16\x03\x01"),
    (400, "GET /slow?ms=1x HTTP/1.1\r\n\r\n"),
    (400, "GET /slow?ms=60001 HTTP/1.1\r\n\r\n"),
    (400, "GET / HTTP/1.1\r\nno colon\r\n\r\n"),
    (400, "GET / HTTP/1.1\r\n: no name\r\n\r\n"),
    (400, "GET / HTTP/1.1\r\nA: b\r\n folded: c\r\n\r\n"),
    (400, "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n"),
    (400, "GET / HTTP/1.1\r\nA: b\nContent-Length: 5\r\n\r\n"),
    (400, "GET / HTTP/1.1\r\nA: b\0c\r\n\r\n"),
    (400, "POST / HTTP/1.1\r\nContent-Length : 5\r\n\r\nhello"),
    (400, "POST / HTTP/1.1\r\nContent-Length\t: 5\r\n\r\nhello"),
    (400, "POST / HTTP/1.1\r\nContent-Length: 5\r\n"
          "content-length: 6\r\n\r\nhello"),
    (400, "POST / HTTP/1.1\r\nContent-Length: 0\r\n"
          "Content-Length: 5\r\n\r\nhello"),
    (400, "POST / HTTP/1.1\r\nContent-Length: 5, 6\r\n\r\nhello"),
    (400, "POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\nhello"),
    (400, "POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\nhello"),
    (400, "POST / HTTP/1.1\r\nContent-Length: 5 5\r\n\r\nhello"),
    (400, "POST / HTTP/1.1\r\nContent-Length:\r\n\r\nhello"),
    (400, "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999"
          "99999999\r\n\r\nhello"),
    (431, "GET / HTTP/1.1\r\nA: " + "b" * 9000 + "\r\n\r\n"),
    (431, "GET /" + "b" * 9000),
    (501, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
], ids=lambda value: repr(value)[:50])
def test_bad_request_is_refused(one, status, request_text):
    """After a good one, whose answer stays; then the server hangs up."""
    with Client(one) as client:
        client.send(GET + request_text.encode("latin-1"))
        assert client.reply().status == 200
        reply = client.reply()
        assert reply.status == status
        assert reply.fields["connection"] == "close"
        client.wait_closed()


@pytest.mark.parametrize("field", [
    "Content-Length:\t5", "Content-Length:5", "CONTENT-LENGTH: \t 5 \t",
    "Content-Length: 00000000000000000000005"])
def test_body_is_skipped(one, field):
    with Client(one) as client:
        request = f"POST / HTTP/1.1\r\n{field}\r\n\r\n".encode()
        client.send((request + b"GET /") * 2 + GET)
        assert [client.reply().status for _ in range(3)] == [200] * 3
        # Its last byte comes late, and the next request with it.
        client.send(request + b"hell")
        wait_until(lambda: is_read(client), "the body is read")
        client.send(b"o" + GET)
        assert [client.reply().status for _ in range(2)] == [200] * 2


def test_large_body_is_skipped(one):
    with Client(one) as client:
        client.send(b"POST / HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n"
                    + b"GET / HTTP" * 300000 + GET)
        assert [client.reply().status for _ in range(2)] == [200] * 2


def test_client_that_waits_for_100_gets_it(one):
    with Client(one) as client:
        assert client.ask(b"POST / HTTP/1.1\r\nExpect: 100-Continue\r\n"
                          b"Content-Length: 2\r\n\r\n").status == 100
        assert client.ask(b"ab").status == 200


@pytest.mark.parametrize("value, kept", [
    ("x-disclosed", True), ("closed", True), ("close-not", True),
    ("upgrade,\tkeep-alive", True), ("", True), (",,", True),
    ("close", False), ("CLOSE ", False), ("x-a, close", False),
    ("\tkeep-alive ,close,", False)])
def test_connection_field_is_a_list(one, value, kept):
    with Client(one) as client:
        reply = client.ask(
            f"GET / HTTP/1.1\r\nConnection:{value}\r\n\r\n".encode())
        assert reply.status == 200
        assert (reply.fields["connection"] != "close") == kept
        if kept:
            assert client.ask().status == 200
        else:
            client.wait_closed()


# --- hello-server: under clusterd

def test_connections_go_to_every_worker(box):
    hello(box, instances=4)
    d = box.start()
    pids = d.wait_ready(4)
    seen = {}

    def look():
        reply = ask(d.addresses()[0])
        seen[reply.pid] = reply.instance
        return len(seen) == 4
    wait_until(look, lambda: f"answers from {pids}, only {seen}")
    assert set(seen) == set(pids) and sorted(seen.values()) == [0, 1, 2, 3]
    d.stop()


def test_slow_request_in_flight_is_answered_before_the_end(box):
    """Also when it takes longer than 5 s: only clusterd sets a limit."""
    hello(box, instances=1, stop_timeout="60s", drain_timeout="0")
    d = box.start()
    d.wait_ready(1)
    address = d.addresses()[0]
    with Client(address) as slow, Client(address) as quick:
        slow.ask()
        asked = time.monotonic()
        slow.send(b"GET /slow?ms=5600 HTTP/1.1\r\n\r\n")
        quick.send(b"GET /slow?ms=2000 HTTP/1.1\r\n\r\n")
        wait_until(lambda: is_read(slow) and is_read(quick), "both are read")
        d.send(signal.SIGTERM)
        for client in (quick, slow):
            reply = client.reply()
            assert reply.status == 200
            assert reply.fields["connection"] == "close"
            client.wait_closed()
        assert time.monotonic() - asked > 5
    d.wait_end(0)
    assert not d.find(KILLED), d.log()


def test_stop_timeout_ends_a_request_that_takes_too_long(box):
    hello(box, instances=1, drain_timeout="300ms", stop_timeout="300ms")
    d = box.start()
    d.wait_ready(1)
    with Client(d.addresses()[0]) as client:
        client.send(b"GET /slow?ms=60000 HTTP/1.1\r\n\r\n")
        wait_until(lambda: is_read(client), "the request is read")
        d.stop()
        client.wait_closed()
    assert d.find(KILLED), d.log()


def drip(client):
    """Send half a request, and then a byte now and then, until it fails."""
    try:
        client.send(b"GET /")
        while True:
            client.send(b"x")
            time.sleep(0.02)
    except OSError:
        pass


def test_half_a_request_does_not_hold_the_stop(box):
    hello(box, instances=1, stop_timeout="60s", drain_timeout="0")
    d = box.start()
    d.wait_ready(1)
    address = d.addresses()[0]
    with Client(address) as silent, Client(address) as kept, \
            Client(address) as half, Client(address) as later, \
            Client(address) as dripping:
        kept.ask()
        half.send(GET + b"GET / HT")
        # Its second request remains a half when the first is answered.
        later.send(b"GET /slow?ms=300 HTTP/1.1\r\n\r\nGET / HT")
        thread = threading.Thread(target=drip, args=(dripping,))
        thread.start()
        assert half.reply().status == 200
        wait_until(lambda: all(is_read(c) for c in (silent, kept, half, later)),
                   "all are read")
        asked = time.monotonic()
        d.send(signal.SIGTERM)
        assert later.reply().status == 200
        for client in (silent, kept, half, later):
            client.wait_closed()
        d.wait_end(0)
        took = time.monotonic() - asked
        thread.join()
    assert not d.find(KILLED), d.log()
    assert 0.4 < took < 4 * SLOW


def n_sockets(pid):
    return kinds(pid).count("socket")


def test_request_that_is_completed_during_the_stop_is_answered(box):
    hello(box, instances=1)
    d = box.start()
    pid, = d.wait_ready(1)
    address = d.addresses()[0]
    with Client(address) as half, Client(address) as kept:
        half.send(GET[:10])
        kept.ask()
        wait_until(lambda: is_read(half), "the half is read")
        sockets = n_sockets(pid)
        # Without a drain: clusterd refuses at once, the server when it hears of it.
        d.send(signal.SIGINT)
        wait_until(lambda: is_refused(address), "nobody listens")
        wait_until(lambda: n_sockets(pid) < sockets, "the worker drains")
        half.send(GET[10:])
        kept.send(GET)
        for client in (half, kept):
            reply = client.reply()
            assert reply.status == 200
            assert reply.fields["connection"] == "close"
            client.wait_closed()
    d.wait_end(0)


def test_second_term_ends_it_at_once(box):
    with running([HELLO, str(free_port())], box) as (process, port):
        with Client(("127.0.0.1", port)) as client:
            client.send(b"GET /slow?ms=60000 HTTP/1.1\r\n\r\n")
            wait_until(lambda: is_read(client), "the request is read")
            process.send_signal(signal.SIGTERM)
            wait_until(lambda: is_refused(("127.0.0.1", port)), "it drains")
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            assert process.wait(10 * SLOW) == 0


def test_reload_under_load_loses_no_request(box):
    """By clients that never pause, so that only drain_timeout ends a drain;
    from there on the server sees to it."""
    hello(box, instances=2, drain_timeout="300ms")
    d = box.start()
    pids = d.wait_ready(2)
    with Load(d.addresses()[0]) as load:
        load.wait_more()
        for generation in range(2, 5):
            d.send(signal.SIGHUP)
            pids = d.wait_replaced(pids, 2)
            load.wait_more()
            assert set(pids) <= load.pids
    assert not d.find(KILLED), d.log()
    d.stop()


def test_crash_is_healed(box):
    hello(box, instances=2, restart_reset="10ms")
    d = box.start()
    pids = d.wait_ready(2)
    address = d.addresses()[0]
    with Client(address) as client:
        victim = client.ask().pid
        client.send(b"GET /crash HTTP/1.1\r\n\r\n")
        client.wait_closed()
    d.wait_log(words.DEATH(how=r"killed by signal 6 \(SIGABRT\)[^\n]*?"))
    now = d.wait_replaced([victim], 2)
    assert len(set(now) & set(pids)) == 1
    assert ask(address).pid in now
    d.stop()


@pytest.mark.parametrize("instances", [1, 2])
def test_every_listener_answers(box, instances):
    ports = [free_port(), free_port()]
    paths = [box.path("a.sock"), box.path("b.sock")]
    # Of a Unix socket nobody can see that it is idle.
    hello(box, instances=instances, drain_timeout="500ms", listen=", ".join(
        [f"127.0.0.1:{ports[0]}", f"unix:{paths[0]}",
         f"127.0.0.1:{ports[1]}", f"unix:{paths[1]}"]))
    d = box.start()
    pids = d.wait_ready(instances)
    addresses = [("127.0.0.1", port) for port in ports] + paths
    for _ in range(2):
        for address in addresses * 3:
            assert ask(address).pid in pids
        d.send(signal.SIGHUP)
        pids = d.wait_replaced(pids, instances)
    # And a stop lets go of all of them, in time.
    idle = [Client(address) for address in addresses]
    for client in idle:
        client.ask()
    d.stop()
    for client in idle:
        client.wait_closed()
        client.socket.close()
    assert not d.find(KILLED), d.log()
    assert all(is_refused(address) for address in addresses)


def test_lack_of_descriptors_is_told_once_and_survived(box):
    hello(box, instances=1, limit_nofile=16)
    d = box.start()
    d.wait_ready(1)
    told = re.compile(r"accept: Too many open files")
    clients = collections.deque(
        Client(d.addresses()[0]) for _ in range(30))
    for client in clients:
        client.send(GET)
    d.wait_log(told)
    # Whenever one goes, another is accepted, and accept() fails once more.
    while clients:
        client = clients.popleft()
        assert client.reply().status == 200
        client.socket.close()
    assert ask(d.addresses()[0]).status == 200
    assert len(d.find(told)) == 1, d.log()
    d.stop()


# --- hello-server: alone

class running:
    """A server without clusterd, on the port that its command line ends with.
    The box sees to it that it does not survive."""

    def __init__(self, command, box):
        self.command = command
        self.port = int(command[-1])
        self.env = box.environment()

    def __enter__(self):
        self.process = subprocess.Popen(self.command, env=self.env)
        wait_until(lambda: not is_refused(("127.0.0.1", self.port)),
                   "it listens")
        return self.process, self.port

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def test_runs_alone_on_a_port(box):
    with running([HELLO, str(free_port())], box) as (process, port):
        with Client(("127.0.0.1", port)) as client:
            reply = client.ask()
            assert (reply.instance, reply.pid) == (0, process.pid)
            taken = subprocess.run([HELLO, str(port)], capture_output=True,
                                   timeout=10 * SLOW)
            assert taken.returncode == os.EX_UNAVAILABLE
            assert b"in use" in taken.stderr
            process.send_signal(signal.SIGTERM)
            client.wait_closed()
        assert process.wait(10 * SLOW) == 0
        assert is_refused(("127.0.0.1", port))


def test_serves_ipv6_alone(box, has_ipv6):
    with running([HELLO, str(free_port())], box) as (process, port):
        assert ask(("::1", port)).pid == process.pid


@pytest.mark.parametrize("arguments, env", [
    ([], {}), (["80", "81"], {}), (["x"], {}), (["65536"], {}),
    (["--help"], {}), ([], {"CLUSTERD_FD": ""}), ([], {"CLUSTERD_FD": "0"}),
    ([], {"CLUSTERD_FD": "77"})])
def test_wrong_usage_is_told(box, arguments, env):
    done = subprocess.run([HELLO, *arguments], env=box.environment(env),
                          stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=10 * SLOW)
    assert done.returncode == os.EX_USAGE
    assert done.stderr.startswith(b"hello-")


# --- every example, with the INI that is shipped with it

SHIPPED = {
    "conf/hello.ini": None,
    "examples/hello-server.ini": None,
    "examples/hello-python.ini": "python3",
    "examples/hello-node.ini": "node",
    "examples/hello-go.ini": "go",
}
HERE = [ini for ini, needs in SHIPPED.items()
        if needs is None or shutil.which(needs)]


@pytest.fixture(scope="module")
def hello_go(tmp_path_factory):
    """hello.go, built without network and without a trace in the home."""
    place = tmp_path_factory.mktemp("go")
    program = place / "hello-go"
    subprocess.run(
        ["go", "build", "-o", str(program), f"{EXAMPLES}/hello.go"],
        cwd=place, check=True, timeout=300 * SLOW,
        env={"PATH": os.environ["PATH"], "HOME": str(place),
             "GOCACHE": str(place / "cache"), "GOPATH": str(place / "path"),
             "GO111MODULE": "off", "GOFLAGS": "-mod=mod",
             "GOPROXY": "off", "GOTOOLCHAIN": "local"})
    return str(program)


@pytest.fixture(params=HERE)
def shipped(request, box):
    """An example as it is shipped, in the box; only the port is a free one,
    and there are two instances whatever the machine. Returns clusterd, the
    app and the address."""
    ini = request.param
    os.mkdir(box.path("conf"))
    os.mkdir(box.path("examples"))
    for path in glob.glob(f"{EXAMPLES}/hello*"):
        shutil.copy(path, box.path("examples"))
    box.copy(HELLO, "examples/hello-server")
    if SHIPPED[ini] == "go":
        box.copy(request.getfixturevalue("hello_go"), "examples/hello-go")
    port = free_port()
    with open(os.path.join(ROOT, ini)) as f:
        text, n = re.subn(r"(?m)^port = \d+$", f"port = {port}", f.read())
        assert n == 1
    text, n = re.subn(r"(?m)^instances = \w+$", "instances = 2", text)
    assert n == 1
    app = re.search(r"(?m)^\[([a-z-]+)\]$", text)[1]
    d = box.start("-c", box.write(ini, text))
    d.wait_ready(2, limit=20)
    return d, app, ("127.0.0.1", port)


def test_every_shipped_configuration_is_tried():
    found = {os.path.relpath(path, ROOT) for directory in ("conf", "examples")
             for path in glob.glob(f"{ROOT}/{directory}/*.ini")}
    # The reference, and what takes a compiler that may not be there: see
    # test_compiled_server.
    assert found - set(SHIPPED) == {"conf/app.ini", "examples/hello-rust.ini"}


def test_shipped_example_answers_from_every_worker(shipped):
    d, app, address = shipped
    pids = d.ready_pids()
    with Client(address) as client:
        replies = [client.ask() for _ in range(3)]
        assert {r.status for r in replies} == {200}
        assert len({r.pid for r in replies}) == 1
        head = client.ask(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", body=False)
        assert head.status == 200
        assert client.ask().pid == replies[0].pid
    seen = {}

    def look():
        # Several at once: whoever is busy leaves the queue to the others.
        clients = [Client(address) for _ in range(8)]
        for client in clients:
            client.send(GET)
        for client in clients:
            with client:
                reply = client.reply()
                seen[reply.pid] = reply.instance
        return len(seen) == 2
    wait_until(look, lambda: f"answers from {pids}, only {seen}", 30)
    assert set(seen) == set(pids) and set(seen.values()) == {0, 1}
    d.stop()
    assert not d.find(KILLED), d.log()


def test_shipped_example_stops_gracefully(shipped):
    """What has begun is finished, and an idle connection holds nothing up."""
    d, app, address = shipped
    with Client(address) as idle, Client(address) as begun:
        idle.ask()
        begun.send(GET[:20])
        wait_until(lambda: is_read(begun), "half a request is read")
        d.send(signal.SIGTERM)
        d.wait_log(STOPPING)
        assert begun.ask(GET[20:]).status == 200
        begun.wait_closed()
        idle.wait_closed()
    d.wait_end(0)
    assert not d.find(KILLED), d.log()
    assert is_refused(address)


def test_shipped_example_reloads_under_load(shipped):
    d, app, address = shipped
    pids = d.ready_pids()
    with Load(address, keeping=0, fresh=4) as load:
        load.wait_more()
        d.send(signal.SIGHUP)
        d.wait_log(words.RELOAD_DONE(app, 2), limit=30)
        wait_until(lambda: not any(map(is_alive, pids)), "the old ones end")
        load.wait_more()
        assert load.pids - set(pids)
    assert not d.find(KILLED), d.log()
    d.stop()


# --- those that are compiled first

def whole_answer(address):
    """What comes until the end of the connection."""
    with _connect(address, 10 * SLOW) as s:
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: s.recv(65536), b"")).decode()


def with_compiler(*command):
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]}")
    # The stub of rustup is there without a toolchain, too.
    if subprocess.run([command[0], "--version"],
                      capture_output=True).returncode != 0:
        pytest.skip(f"{command[0]} does not run")
    subprocess.run(command, check=True, timeout=120 * SLOW)


@pytest.mark.parametrize("source, compiler", [
    ("hello-minimal.c", ["cc", "-Wall", "-Wextra", "-Werror"]),
    ("hello.rs", ["rustc", "-D", "warnings"]),
    ("hello-minimal.rs", ["rustc", "-D", "warnings"])])
def test_compiled_server(box, source, compiler):
    """Those that bind their port, and one that takes the socket, which would bind
    another port if it were not told of it."""
    program = box.path("hello-rust")
    with_compiler(*compiler, "-o", program, os.path.join(EXAMPLES, source))
    port = free_port()
    if source == "hello.rs":
        with open(os.path.join(EXAMPLES, "hello-rust.ini"),
                  encoding="utf-8") as f:
            text = f.read()
        assert "port = 8085\ninstances = auto\n" in text
        box.write("app.ini", text.replace("8085", str(port)).replace(
            "auto", "2"))
    else:
        box.config(web={"command": program, "port": port, "instances": 2})
    d = box.start()
    old = d.wait_ready(2)
    seen = set()

    def ask_until(pids):
        answer = whole_answer(port)
        assert answer.startswith("HTTP/1."), answer
        assert " 200 OK\r\n" in answer, answer
        found = re.search(r"\r\n\r\nhello from instance ([01]), pid (\d+)\n$",
                          answer)
        assert found, answer
        seen.add(int(found.group(2)))
        return pids <= seen

    wait_until(lambda: ask_until(set(old)), "both answer")
    d.send(signal.SIGHUP)
    wait_until(lambda: ask_until(set()) and d.find("reload complete"),
               "the reload", 20)
    wait_until(lambda: ask_until(set(d.ready_pids())), "the new ones answer")
    d.stop()


def test_minimal_server_is_minimal():
    with open(os.path.join(EXAMPLES, "hello-minimal.c"), encoding="utf-8") as f:
        assert len(f.readlines()) <= 30
