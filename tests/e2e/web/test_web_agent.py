"""`agent`: what HAProxy's agent-check is answered, and what HAProxy makes of it."""

import os
import re
import resource
import signal
import socket
import subprocess
import time

import pytest

from harness import (HAS_KEEPER, IS_ROOT, SLOW, free_port, is_refused, kill,
                     probe, wait_until)
from webs import CLUSTERD_WEB, needs_web
from balancers import HAProxy, needs_haproxy

pytestmark = needs_web


def read_agent(address, send=b"", limit=10.0):
    """The line, without its end; "" where there is none."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as s:
        s.settimeout(limit * SLOW)
        s.connect(address)
        s.sendall(send)
        text = b""
        while True:
            try:
                part = s.recv(4096)
            except ConnectionResetError:
                part = b""
            if not part:
                break
            text += part
    assert text.count(b"\n") == (1 if text else 0) and len(text) < 200
    return text.decode().rstrip("\n")


def wait_agent(address, line):
    wait_until(lambda: read_agent(address) == line,
               lambda: f"{line}, but {read_agent(address)}")


@pytest.fixture
def agent(box):
    return "127.0.0.1", free_port()


def config(box, agent, clusterd=None, instances=2, **keys):
    box.config(**({"clusterd": clusterd} if clusterd else {}),
               web={"command": probe(), "listen": "127.0.0.1:0",
                    "instances": instances, "agent": "%s:%d" % agent,
                    **keys})


@pytest.fixture
def haproxy(box):
    """Starts one, of a configuration."""
    started = []

    def start(text):
        started.append(HAProxy(box, text))
        return started[-1]
    yield start
    for h in started:
        h.close()


def ctl(box, *arguments):
    return box.ctl("-c", box.path("app.ini"), *arguments,
                   env={"RUNTIME_DIRECTORY": box.dir})


def test_answers(box, agent):
    """Each state of an app, and of clusterd."""
    config(box, agent, clusterd={"stop_delay": "60s"}, instances=3,
           restart="never")
    d = box.start()
    d.wait_ready(4)
    assert read_agent(agent) == "up ready 100%"
    pids = d.ready_pids("web")
    # One that waits for its restart is not among them.
    kill(pids[0])
    wait_agent(agent, "up ready 66%")
    kill(pids[1])
    wait_agent(agent, "up ready 33%")
    kill(pids[2])
    wait_agent(agent, "down #no instance of web is ready")
    assert ctl(box, "stop", "web").returncode == 0
    wait_agent(agent, "maint")
    assert ctl(box, "start", "web").returncode == 0
    wait_agent(agent, "up ready 100%")
    d.send(signal.SIGTERM)
    wait_agent(agent, "drain")
    d.send(signal.SIGTERM)
    d.wait_end(0)


@needs_haproxy
def test_haproxy_obeys(box, agent, haproxy):
    """Debian's HAProxy: its weight, out, and back from each way of being out."""
    listen = "127.0.0.1:%d" % free_port()
    config(box, agent, instances=4, restart="never", listen=listen,
           clusterd={"stop_delay": "60s"})
    d = box.start()
    d.wait_ready(5)
    h = haproxy("""
defaults
	mode http
	timeout connect 1s
	timeout client 5s
	timeout server 5s
backend web
	server a %s weight 100 check agent-check agent-addr %s agent-port %d agent-inter 100ms
""" % (listen, *agent))
    h.wait_server("a", "UP", 100)
    pids = d.ready_pids("web")
    kill(pids[0])
    h.wait_server("a", "UP", 75)
    for pid in pids[1:]:
        kill(pid)
    h.wait_server("a", "DOWN (agent)")
    assert "no instance of web is ready" in h.servers()["a"]["last_agt"]
    assert ctl(box, "stop", "web").returncode == 0
    h.wait_server("a", "MAINT")
    assert ctl(box, "start", "web").returncode == 0
    h.wait_server("a", "UP", 100)
    d.send(signal.SIGTERM)
    h.wait_server("a", "DRAIN")
    d.send(signal.SIGTERM)
    d.wait_end(0)
    # Nobody says otherwise until the next one does.
    assert h.servers()["a"]["status"].startswith(("DRAIN", "DOWN", "MAINT"))
    config(box, agent, instances=4, listen=listen)
    again = box.start()
    again.wait_ready(5)
    h.wait_server("a", "UP", 100)
    again.stop()


def test_slow_clients(box, agent):
    """Some say nothing and stay, some say too much, some hang up at once: others
    are answered, and clusterd-web holds no more of them than it may."""
    config(box, agent)
    d = box.start()
    d.wait_ready(3)
    (pid,) = d.ready_pids("clusterd-web")
    # What a client has said goes unread by nobody: its end is no reset.
    assert read_agent(agent, b"web\n" * 100) == "up ready 100%"
    held = []
    for i in range(150):
        s = socket.create_connection(agent, timeout=10 * SLOW)
        held.append(s)
        if i % 3 == 0:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         b"\1\0\0\0\0\0\0\0")
            s.close()
    assert read_agent(agent) == "up ready 100%"
    assert len(os.listdir(f"/proc/{pid}/fd")) < 64 + 40
    # One that talks on and on.
    talker = socket.create_connection(agent, timeout=10 * SLOW)
    end = time.monotonic() + 10 * SLOW
    with pytest.raises(OSError):
        while time.monotonic() < end:
            talker.sendall(b"x" * 4096)
            time.sleep(0.001)
    talker.close()
    assert read_agent(agent) == "up ready 100%"
    assert d.ready_pids("clusterd-web") == [pid]
    for s in held:
        s.close()
    wait_until(lambda: len(os.listdir(f"/proc/{pid}/fd")) < 40,
               lambda: os.listdir(f"/proc/{pid}/fd"), 15)
    d.stop()


def test_no_descriptors(box, agent, webs):
    """Where nobody can be accepted it does not spin, and goes on afterwards."""
    box.web()
    d = box.start()
    d.wait_ready(2)
    web = webs("--agent", f"web={agent[1]}",
               *(("--user", "root") if IS_ROOT else ()))
    # One of its listeners has been found, which need not be this one.
    wait_until(lambda: not is_refused(agent[1]), web.log)
    assert read_agent(agent) == "up ready 100%"
    pid = web.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    waiting = socket.create_connection(agent, timeout=10 * SLOW)

    def ticks():
        with open(f"/proc/{pid}/stat") as f:
            words = f.read().rpartition(")")[2].split()
        return int(words[11]) + int(words[12])
    before = ticks()
    waiting.settimeout(0.5)
    with pytest.raises(TimeoutError):
        waiting.recv(1)
    assert ticks() - before < 20
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    waiting.settimeout(10 * SLOW)
    assert waiting.recv(100) == b"up ready 100%\n"
    waiting.close()
    assert read_agent(agent) == "up ready 100%"
    web.stop()
    d.stop()


@pytest.mark.skipif(not HAS_KEEPER, reason="there is no next supervisor")
def test_supervisor_killed(box, agent):
    """While none is there nothing is said, or what was; it goes on with the next."""
    config(box, agent)
    d = box.start()
    d.wait_ready(3)
    pids = d.ready_pids()
    kill(d.pid)
    said = set()
    wait_until(lambda: said.add(read_agent(agent)) or
               d.find("workers of the supervisor before serve on"), "the next")
    wait_agent(agent, "up ready 100%")
    assert said <= {"", "up ready 100%"}, said
    assert d.wait_ready(3) == pids
    d.stop()


def test_it_comes_and_goes(box, agent):
    """With the key, by a reload and by an update, which leave the app alone."""
    box.config(web={"command": probe(), "listen": "127.0.0.1:0",
                    "instances": 2},
               other={"command": probe(), "listen": "127.0.0.1:0"})
    d = box.start()
    d.wait_ready(2, app="web")
    pids = d.ready_pids("web")
    path = box.path("agent.sock")
    box.config(web={"command": probe(), "listen": "127.0.0.1:0",
                    "instances": 2, "agent": "%s:%d" % agent},
               other={"command": probe(), "listen": "127.0.0.1:0",
                      "agent": "unix:agent.sock"})
    done = ctl(box, "update")
    assert done.returncode == 0, done.stderr
    d.wait_ready(1, app="clusterd-web")
    wait_agent(agent, "up ready 100%")
    wait_agent(path, "up ready 100%")
    assert ctl(box, "stop", "other").returncode == 0
    wait_agent(path, "maint")
    assert read_agent(agent) == "up ready 100%"
    box.config(web={"command": probe(), "listen": "127.0.0.1:0",
                    "instances": 2},
               other={"command": probe(), "listen": "127.0.0.1:0"})
    done = ctl(box, "update")
    assert done.returncode == 0, done.stderr
    d.wait_ready(0, app="clusterd-web")
    # Its listener is closed once its death was seen.
    wait_until(lambda: is_refused(agent), "nobody listens")
    assert d.ready_pids("web") == pids
    d.stop()


def test_beside_the_page(box, agent):
    """Both of one clusterd-web, each at its own address; the dump has what the file
    has."""
    port = free_port()
    config(box, agent, clusterd={"web": f"127.0.0.1:{port}"})
    dump = box.run("-T", "-c", box.path("app.ini"))
    assert "agent = %s:%d\n" % agent in dump.stdout
    assert "[clusterd-web]" not in dump.stdout
    d = box.start()
    d.wait_ready(3)
    assert read_agent(agent) == "up ready 100%"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
        assert b" 200 " in s.recv(4096)
    d.stop()


def test_errors(box):
    for keys, clusterd, said in (
            ({"agent": "x:y"}, None, r"agent: .*x:y"),
            ({"agent": "udp:9"}, None, "agent: .*UDP"),
            ({"agent": ""}, None, "agent: "),
            ({"agent": "9101"}, {"control": "none"},
             'agent: .*control is "none"')):
        box.config(**({"clusterd": clusterd} if clusterd else {}),
                   web={"command": probe(), "port": 0, **keys})
        done = box.run("-t", "-c", box.path("app.ini"))
        assert done.returncode in (1, 78), done
        assert re.search(said, done.stderr), done.stderr
    box.config(web={"command": probe(), "port": 0, "agent": "9101"},
               other={"command": probe(), "port": 0, "agent": "9101"})
    done = box.run("-t", "-c", box.path("app.ini"))
    assert done.returncode != 0 and "9101" in done.stderr, done
    done = subprocess.run([CLUSTERD_WEB, "--agent", "a b=9101"],
                          capture_output=True, text=True,
                          env=box.environment())
    assert done.returncode == 64 and "web=9101" in done.stderr, done
