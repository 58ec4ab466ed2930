"""examples/haproxy: two hosts, each a network namespace, a balancer before them,
and clients that ask while hosts are deployed to, taken out and lost."""

import contextlib
import os
import shutil
import signal

import pytest

from balancers import (Balancer, Clients, HAProxy, Hosts, needs_haproxy,
                       needs_nginx)
from harness import IS_ROOT, ROOT, SLOW, kill, marked_processes, wait_until
from webs import needs_web

EXAMPLE = os.path.join(ROOT, "examples/haproxy")

pytestmark = [
    needs_web,
    pytest.mark.skipif(not IS_ROOT, reason="network namespaces need root"),
    pytest.mark.skipif(shutil.which("node") is None, reason="needs node"),
]


def changed(name, *changes):
    """The text of a file of the example, with what a test has otherwise."""
    with open(os.path.join(EXAMPLE, name)) as f:
        text = f.read()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


class Farm:
    """The hosts a and b (1 and 2), a clusterd on each."""

    def __init__(self, box, protocol):
        self.box = box
        self.hosts = Hosts(2)
        self.path = box.path("www.sock")
        self.balancer = None
        self.d = {}
        shutil.copy(os.path.join(EXAMPLE, "server.js"),
                    box.path("server.js"))
        for host in (1, 2):
            box.write(f"{host}.ini", changed(
                "app.ini", ("stop_delay = 3s",
                            f"stop_delay = {1500 * SLOW:g}ms"),
                ("instances = auto", "instances = 1\nenv = PROTOCOL=" +
                 protocol + "\ncanary = 100ms\ndrain_idle = 300ms"),
                ("health = http:/healthz", "health = " +
                             ("tcp" if protocol == "h2" else
                              "http:/healthz"))))
            self.start(host)
        for d in self.d.values():
            d.wait_ready(2, limit=60)

    def start(self, host):
        self.d[host] = self.box.start(
            "-c", self.box.path(f"{host}.ini"),
            launcher=self.hosts.launcher(host))

    def ctl(self, host, *words):
        done = self.box.ctl("-c", self.box.path(f"{host}.ini"), *words,
                            env={"RUNTIME_DIRECTORY": self.box.dir},
                            limit=30)
        assert done.returncode == 0, done.stderr + self.d[host].log()

    def kill(self, host):
        """All that runs there, at once."""
        inside = os.readlink(f"/proc/{self.hosts.holders[host].pid}/ns/net")
        mine = []
        for pid in marked_processes(self.box.mark):
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(f"/proc/{pid}/ns/net") == inside:
                    mine.append(pid)
        self.d[host].kill_all_of_it(workers=False)
        for pid in mine:
            kill(pid)

    def close(self):
        if self.balancer is not None:
            self.balancer.close()
        self.hosts.close()


@pytest.fixture
def farm(box):
    """Starts one, for a protocol between HAProxy and the hosts."""
    farms = []

    def start(protocol):
        farms.append(Farm(box, protocol))
        return farms[-1]
    yield start
    for farm in farms:
        farm.close()


def from_hosts(clients, hosts, but=()):
    """From now on answers come of these, of all of them, and of no such worker."""
    def so_it_is():
        clients.wait_more(len(clients.threads))     # that were under way
        clients.answers.clear()
        clients.wait_more(30)
        said = [text.split() for text in list(clients.answers)]
        return {words[0] for words in said} == \
            {f"10.0.{host}.2" for host in hosts} and \
            not {int(words[2]) for words in said} & set(but)
    wait_until(so_it_is, lambda: f"{hosts}: {clients.answers}, "
               f"{clients.failed[:5]}", 20)


def come_and_go(f, clients, saw):
    """Whatever is done to hosts; how many requests failed at each step. saw(name,
    status) waits until the balancer has, where it can tell."""
    failed = {}

    def step(name):
        failed[name] = len(clients.failed) - sum(failed.values())
    clients.wait_more(20)
    # A deploy, host by host.
    old = {pid for host in (1, 2) for pid in f.d[host].ready_pids("web")}
    for host in (1, 2):
        f.ctl(host, "reload", "web")
    from_hosts(clients, (1, 2), but=old)
    step("deploy")
    # A host is taken out, and comes back.
    f.ctl(1, "stop", "web")
    saw("a", "MAINT")
    from_hosts(clients, (2,))
    f.ctl(1, "start", "web")
    saw("a", "UP")
    from_hosts(clients, (1, 2))
    step("out and back")
    # TERM, as by `systemctl stop`, and the next start.
    f.d[2].send(signal.SIGTERM)
    # Where this is late, what comes behind it.
    saw("b", ("DRAIN", "MAINT"))
    assert f.d[2].wait(20) == 0
    from_hosts(clients, (1,))
    f.start(2)
    saw("b", "UP")
    from_hosts(clients, (1, 2))
    step("TERM")
    # Everything on a host is killed.
    f.kill(1)
    saw("a", "DOWN")
    from_hosts(clients, (2,))
    step("killed")
    print(f"\nfailed: {failed}, of {clients.served}")
    killed = failed.pop("killed")
    assert not any(failed.values()), (failed, clients.failed)
    # Those in hand.
    assert killed <= len(clients.threads), clients.failed


@needs_haproxy
@pytest.mark.parametrize("protocol", ["h1", "h2"])
def test_haproxy(box, farm, protocol):
    f = farm(protocol)
    h = f.balancer = HAProxy(box, changed(
        "haproxy.cfg", ("bind :80", f"bind unix@{f.path} mode 600"),
        ("agent-inter 1s", "agent-inter 100ms"),
        *((("10.0.1.2:8080", "10.0.1.2:8080 proto h2"),
           ("10.0.2.2:8080", "10.0.2.2:8080 proto h2"))
          if protocol == "h2" else ())), f.hosts.launcher(0))
    for name in "ab":
        h.wait_server(name, "UP", 100)
    with Clients(f.path) as clients:
        come_and_go(f, clients, h.wait_server)
    f.d[2].send(signal.SIGINT)
    f.d[2].wait(20)


@needs_nginx
def test_nginx(box, farm):
    """It has passive checks alone, and HTTP/1.1 to the hosts."""
    f = farm("h1")
    config = box.write("nginx.conf", "daemon off;\npid nginx.pid;\n" + changed(
        "nginx.conf", ("listen 80;", f"listen unix:{f.path};")))
    f.balancer = Balancer(box, ["nginx", "-p", box.dir, "-e", "stderr", "-c",
                                config], f.hosts.launcher(0))
    f.balancer.wait_file(f.path)
    with Clients(f.path) as clients:
        come_and_go(f, clients, lambda name, status: None)
    f.d[2].send(signal.SIGINT)
    f.d[2].wait(20)
