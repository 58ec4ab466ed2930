"""clusterd-web: clients that mean no good, and those that know no better."""

import http.client
import os
import random
import resource
import socket
import threading
import time

import pytest

from harness import SLOW, kill, wait_until
from webs import Stream, needs_web

pytestmark = needs_web


@pytest.fixture
def served(box, webs):
    box.web()
    d = box.start()
    d.wait_ready(2)
    return d, webs("--host", "cluster.example", "--host", "other")


def exchange(web, raw, limit=10.0, patience=0.1):
    """What comes for these bytes, until the end or until nothing does."""
    with web.connect(limit) as s:
        answer = b""
        try:
            s.sendall(raw)
            s.settimeout(patience)
            while part := s.recv(65536):
                answer += part
        except (socket.timeout, ConnectionError):
            pass
        return answer


HOSTS = [
    ("127.0.0.1", True), ("127.0.0.1:9", True), ("[::1]:80", True),
    ("10.1.2.3", True), ("localhost", True), ("LocalHost:8080", True),
    ("localhost.", True), ("cluster.example:80", True), ("OTHER", True),
    ("evil.example", False), ("localhost.evil.example", False),
    ("127.0.0.1.evil.example", False), ("2130706433", False),
    ("0x7f.1", False), ("127.1", False), ("", False), (":80", False),
    ("[::1", False), ("[::1]x", False), ("localhost:x", False),
    ("localhost:99999", False), ("cluster.example.evil", False),
    ("a" * 300, False),
]


def test_host(served):
    """A stranger's name may lead here: its pages are not to read along."""
    _, web = served
    for host, ok in HOSTS:
        assert web.get("/livez", Host=host)[0] == (200 if ok else 421), host


def test_hosts_that_are_odd(served):
    _, web = served
    get = b"GET /nothing HTTP/1.%d\r\nConnection: close\r\n%s\r\n"

    def answer(minor, hosts):
        return exchange(web, get % (minor, hosts), patience=10 * SLOW)
    assert b" 400 " in answer(1, b"")
    assert b" 404 " in answer(0, b"")
    assert b" 400 " in answer(1, b"Host: localhost\r\nHost: evil\r\n")


def test_paths(served):
    _, web = served
    for path in ("/x", "//", "/../etc/passwd", "/%2e%2e/etc/passwd",
                 "/app.js/", "/" + "a" * 2000,
                 "/livez%20", "/page/index.html"):
        assert web.get(path)[0] == 404, path
    assert web.get("/livez?a=b&c")[0] == 200


def test_garbage(served):
    """Whatever comes: an answer of some kind or none, and life goes on."""
    _, web = served
    chance = random.Random(4711)
    for raw in (b"\r\n\r\n", b"GET\r\n\r\n", b"\0" * 100, b"GET / HTTP/9\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n" +
                b"X: y\r\n" * 5000, b"GET /" + b"a" * 100000,
                b"POST /action HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Length: -1\r\n\r\n",
                b"POST / HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Length: 99999999999999999999\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: localhost\r\n"
                b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
                *(bytes(chance.randrange(256) for _ in range(300))
                  for _ in range(50))):
        exchange(web, raw)
    assert web.get("/livez")[0] == 200


def test_slowloris(served):
    """Connections that send no request give way to those that do."""
    d, web = served
    slow = []
    for _ in range(400):
        s = web.connect()
        s.sendall(b"GET / HTTP/1.1\r\nHost: local")
        slow.append(s)
    began = time.monotonic()
    for _ in range(5):
        assert web.get("/livez")[0] == 200
    # What gives way by its age has 5 s.
    assert time.monotonic() - began < 4 * SLOW
    # Of the first ones nobody is left.
    slow[0].settimeout(10 * SLOW)
    assert _is_cut(slow[0])
    for s in slow:
        s.close()
    assert d.ready_pids()


def _is_cut(s):
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True


def test_slow_readers(box, webs):
    """As many as there may be do not read their answers, and more of them come all
    the time: the slowest give way."""
    box.web()
    d = box.start()
    d.wait_ready(2)
    # The queue of a Unix socket does not grow: most of the answers stay behind.
    web = webs(listen="unix:web.sock")
    slow, over = [], threading.Event()

    def attack():
        while not over.is_set():
            s = socket.socket(socket.AF_UNIX)
            slow.append(s)
            s.settimeout(10 * SLOW)
            try:
                s.connect(web.address)
                s.sendall(b"GET /app.js HTTP/1.1\r\nHost: localhost\r\n\r\n" *
                          60)
            except OSError:
                pass
            over.wait(0 if len(slow) < 300 else 0.05)
    attacker = threading.Thread(target=attack)
    attacker.start()
    try:
        wait_until(lambda: len(slow) > 300, "the attack")
        # 60 seconds are the most that they have.
        for _ in range(20):
            wait_until(lambda: _is_answered(web), "an answer", 15)
    finally:
        over.set()
        attacker.join()
        for s in slow:
            s.close()


def _is_answered(web):
    try:
        return web.get("/livez")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def test_drip(served):
    """A byte now and then does not keep a connection for ever."""
    _, web = served
    s = web.connect(30)
    s.sendall(b"GET / HTTP/1.1\r\nX: ")
    began = time.monotonic()
    s.settimeout(0.5)
    while time.monotonic() - began < 15 * SLOW:
        try:
            s.send(b"y")
            if s.recv(1000) == b"":
                break
        except socket.timeout:
            continue
        except OSError:
            break
    assert time.monotonic() - began < 10 * SLOW
    s.close()


def test_page_that_does_not_read(served):
    """It is cut off; others go on."""
    d, web = served
    deaf = Stream(web)
    deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    other = Stream(web)
    other.until(lambda name, data: name == "state" and data["whole"])
    victim = d.ready_pids()[0]
    kill(victim)
    other.until(lambda name, data: name == "events" and any(
        e["event"] == "death" for e in data["list"]))
    deaf.close()
    other.close()


def _memory(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            total += next(int(line.split()[1]) for line in f
                          if line.startswith("Pss:"))
    return total


@pytest.mark.heavy
def test_ten_thousand_connections(served, unwrapped):
    """Neither it nor clusterd is harmed, and memory has a bound."""
    d, web = served
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 11000:
        pytest.skip("too few descriptors here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (11000, hard))
    crowd = []
    try:
        before = _memory(web.pids())
        for i in range(10000):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(web.address)
            crowd.append(s)
        answers = [web.get("/livez")[0] for _ in range(3)]
        assert answers == [200, 200, 200]
        assert web.json()["apps"][0]["ready"] == 2
        assert _memory(web.pids()) - before < 16 * 1024
        assert len(os.listdir(f"/proc/{web.process.pid}/fd")) < 700
    finally:
        for s in crowd:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(d.ready_pids()) == 2


def test_flood_of_questions(served, unwrapped):
    """However many ask: clusterd spends a small part of its time on them."""
    d, web = served
    over = threading.Event()

    def ask():
        while not over.is_set():
            web.get("/status.json")
    threads = [threading.Thread(target=ask) for _ in range(4)]
    before, began = _cpu(d.pid), time.monotonic()
    for t in threads:
        t.start()
    time.sleep(1.5)
    over.set()
    for t in threads:
        t.join()
    share = (_cpu(d.pid) - before) / (time.monotonic() - began)
    assert share < 0.3, share
    assert web.get("/livez")[0] == 200


def _cpu(pid):
    with open(f"/proc/{pid}/schedstat") as f:
        return int(f.read().split()[0]) / 1e9
