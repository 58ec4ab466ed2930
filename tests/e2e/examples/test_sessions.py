"""examples/sessions: who is logged in stays so, with a store; and what becomes of it
without one."""

import http.client
import os
import shutil
import signal
import subprocess

import pytest

from harness import ROOT, SLOW, free_port, kill, wait_until

EXAMPLE = os.path.join(ROOT, "examples/sessions")
MODULES = os.path.join(EXAMPLE, "node_modules")
NODE_PATH = os.pathsep.join(filter(None, [MODULES,
                                          os.environ.get("NODE_PATH")]))


def node_has(*names):
    if shutil.which("node") is None:
        return False
    done = subprocess.run(
        ["node", "-e", ";".join(f"require('{name}')" for name in names)],
        capture_output=True, env={**os.environ, "NODE_PATH": NODE_PATH})
    return done.returncode == 0


@pytest.fixture(scope="module")
def modules():
    if not node_has("express", "express-session", "connect-redis", "redis"):
        pytest.skip("needs express, express-session, connect-redis and redis of "
                    "npm, in NODE_PATH or by npm install in examples/sessions")


@pytest.fixture
def redis(box):
    """Debian's, without files; its port."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("needs redis-server")
    port = free_port()
    with open(box.path("redis.log"), "wb") as log:
        process = subprocess.Popen(
            [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "",
             "--appendonly", "no", "--dir", box.dir],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    yield port
    kill(process.pid)
    process.wait()


def start(box, name, *changes, instances=2):
    with open(os.path.join(EXAMPLE, name)) as f:
        text = f.read()
    for old, new in (("port = 8080", "listen = 127.0.0.1:0"),
                     ("instances = auto",
                      f"instances = {instances}\ncanary = 100ms"), *changes):
        assert old in text, old
        text = text.replace(old, new)
    box.write("app.ini", text)
    box.write("session.env", "SESSION_SECRET=0123456789abcdef\n", mode=0o600)
    shutil.copy(os.path.join(EXAMPLE, "server.js"), box.path("server.js"))
    d = box.start(env={"NODE_PATH": NODE_PATH})
    d.wait_ready(instances, limit=60)
    return d, d.addresses()[0]


class Browser:
    """A new connection for each request, and a jar of one cookie."""

    def __init__(self, address, source="127.0.0.1"):
        self.address, self.source, self.cookie = address, source, None

    def request(self, method, path, body=None):
        """The body, and who has answered."""
        c = http.client.HTTPConnection(*self.address, timeout=20 * SLOW,
                                       source_address=(self.source, 0))
        headers = {"Connection": "close"}
        if self.cookie is not None:
            headers["Cookie"] = self.cookie
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            c.request(method, path, body, headers)
            r = c.getresponse()
            text = r.read().decode()
            assert r.status in (200, 303), (r.status, text)
        finally:
            c.close()
        if r.headers["Set-Cookie"] is not None:
            self.cookie = r.headers["Set-Cookie"].partition(";")[0]
        return text.strip(), int(r.headers.get("X-Worker") or 0)

    def login(self, user):
        self.request("POST", "/login", f"user={user}")

    def look(self):
        return self.request("GET", "/")

    def until_seen(self, pids, text):
        """Each of these has answered, and each with that."""
        seen = set()

        def one_more():
            said, pid = self.look()
            assert said == text, (said, pid)
            seen.add(pid)
            return seen >= set(pids)
        wait_until(one_more, lambda: f"{seen}, not all of {pids}", 30)


def test_store(box, modules, redis):
    """Workers are killed, and all are replaced; another user is another one."""
    d, address = start(box, "app.ini", ("127.0.0.1:6379", f"127.0.0.1:{redis}"))
    alice, bob = Browser(address), Browser(address)
    assert alice.look()[0] == "logged out"
    alice.login("alice")
    bob.login("bob")
    old = d.ready_pids("web")
    alice.until_seen(old, "hello alice")
    bob.until_seen(old, "hello bob")
    kill(old[0])
    alice.until_seen(d.wait_replaced(old[:1], 2, limit=60), "hello alice")
    now = d.ready_pids("web")
    d.send(signal.SIGHUP)
    now = d.wait_replaced(now, 2, limit=60)
    alice.until_seen(now, "hello alice")
    bob.until_seen(now, "hello bob")
    alice.request("POST", "/logout")
    alice.until_seen(now, "logged out")
    assert bob.look()[0] == "hello bob"
    d.stop()


def test_source(box, modules):
    """A client has its worker, whose end is that of its clients' sessions alone."""
    d, address = start(box, "memory.ini", instances=3)
    browsers = [Browser(address, f"127.0.0.{i}") for i in range(1, 25)]
    home = {}
    for i, b in enumerate(browsers):
        b.login(f"user{i}")
        home[b] = b.look()[1]
    for _ in range(3):
        for i, b in enumerate(browsers):
            assert b.look() == (f"hello user{i}", home[b])
    victim = home[browsers[0]]
    assert len(set(home.values())) > 1
    kill(victim)
    d.wait_replaced([victim], 3, limit=60)
    for i, b in enumerate(browsers):
        said = b.look()[0]
        assert said == ("logged out" if home[b] == victim else
                        f"hello user{i}"), (i, said)
    d.stop()


def test_neither(box, modules):
    """The question of the tutorials: two workers, and a login at one of them."""
    d, address = start(box, "memory.ini", ("balance = source",
                                           "balance = auto"))
    alice = Browser(address)
    alice.login("alice")
    seen = set()
    wait_until(lambda: seen.add(alice.look()[0]) or len(seen) > 1,
               lambda: seen)
    assert seen == {"hello alice", "logged out"}
    d.stop()
