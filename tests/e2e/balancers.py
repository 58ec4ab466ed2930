"""Load balancers before clusterd, the hosts behind them, and clients before them."""

import collections
import csv
import http.client
import os
import shutil
import socket
import subprocess
import threading
import time

import pytest

from harness import SLOW, kill, wait_until

PATH = os.environ.get("PATH", "") + ":/usr/sbin"


def _needs(program):
    return pytest.mark.skipif(shutil.which(program, path=PATH) is None,
                              reason=f"needs {program}")


needs_haproxy = _needs("haproxy")
needs_nginx = _needs("nginx")


class Balancer:
    """A program in the foreground, ended with the test."""

    def __init__(self, box, command, launcher=()):
        self.box = box
        self.log_path = box.path(f"balancer.{time.monotonic_ns()}")
        with open(self.log_path, "ab") as f:
            self.process = subprocess.Popen(
                [*launcher, *command], stdin=subprocess.DEVNULL, stdout=f,
                stderr=f, cwd=box.dir, env={**os.environ, "PATH": PATH},
                start_new_session=True)

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def wait_file(self, path):
        def there():
            assert self.process.poll() is None, self.log()
            return os.path.exists(path)
        wait_until(there, self.log)

    def close(self):
        if self.process.poll() is None:
            kill(self.process.pid)
            self.process.wait()


class HAProxy(Balancer):
    """Of a configuration, which gets an admin socket."""

    def __init__(self, box, text, launcher=()):
        self.admin = box.path("haproxy.sock")
        config = box.write("haproxy.cfg", "global\n\tstats socket "
                           f"{self.admin} mode 600 level admin\n{text}")
        super().__init__(box, ["haproxy", "-db", "-f", config], launcher)
        wait_until(self._is_up, self.log)

    def _is_up(self):
        assert self.process.poll() is None, self.log()
        try:
            return self.servers()
        except (FileNotFoundError, ConnectionRefusedError):
            return False

    def command(self, text):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10 * SLOW)
            s.connect(self.admin)
            s.sendall(text.encode() + b"\n")
            return s.makefile("rb").read().decode()

    def servers(self):
        """Rows of `show stat`, by the servers' names."""
        lines = self.command("show stat").lstrip("# ").splitlines()
        return {row["svname"]: row for row in csv.DictReader(lines)
                if row["type"] == "2"}

    def wait_server(self, name, status, weight=None):
        def is_so():
            row = self.servers()[name]
            return row["status"].startswith(status) and \
                weight in (None, int(row["weight"]))
        wait_until(is_so, lambda: f"{status}, {weight}: "
                   f"{self.servers()[name]}\n{self.log()}")


class Hosts:
    """`front` and N others, each a network namespace; the front reaches them as
    10.0.N.2, and they it as 10.0.N.1. They end with their holders."""

    def __init__(self, n):
        self.holders = []
        for _ in range(n + 1):
            self.holders.append(subprocess.Popen(
                ["unshare", "--net", "sh", "-c",
                 "ip link set lo up && echo && exec sleep 600"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL))
        if not all(h.stdout.readline() for h in self.holders):
            self.close()
            pytest.skip("network namespaces are not to be had here")
        for i in range(1, n + 1):
            pid = self.holders[i].pid
            made = self._ip(0, "link", "add", f"h{i}", "type", "veth", "peer",
                            "name", "eth0", "netns", str(pid))
            if made.returncode != 0:
                self.close()
                pytest.skip(f"no veth here: {made.stderr.strip()}")
            for host, device, address in ((0, f"h{i}", f"10.0.{i}.1/24"),
                                          (i, "eth0", f"10.0.{i}.2/24")):
                self._ip(host, "addr", "add", address, "dev", device)
                self._ip(host, "link", "set", device, "up")

    def _ip(self, host, *words):
        return subprocess.run([*self.launcher(host), "ip", *words],
                              capture_output=True, text=True)

    def launcher(self, host):
        return ["nsenter", "-t", str(self.holders[host].pid), "--net", "--"]

    def close(self):
        for h in self.holders:
            h.kill()
            h.wait()
            h.stdout.close()


class Clients:
    """They ask all the time at a balancer's Unix socket, half of them over
    connections that they keep. `failed` has what a user would complain of."""

    def __init__(self, path, n=4, pause=0.006):
        self.path = path
        self.pause = pause
        self.over = threading.Event()
        self.answers = collections.Counter()
        self.served = 0
        self.failed = []
        self.threads = [threading.Thread(target=self._run, args=(i % 2 == 0,))
                        for i in range(n)]

    def _connect(self):
        c = http.client.HTTPConnection("www.example.org", timeout=20 * SLOW)
        c.sock = socket.socket(socket.AF_UNIX)
        c.sock.settimeout(20 * SLOW)
        c.sock.connect(self.path)
        return c

    def _ask(self, c, keep):
        c.request("GET", "/", headers={} if keep else
                  {"Connection": "close"})
        r = c.getresponse()
        body = r.read().decode(errors="replace")
        if r.status != 200:
            raise OSError(f"{r.status} {r.reason}")
        self.answers[body] += 1
        self.served += 1
        return not r.will_close

    def _run(self, keep):
        c = None
        while not self.over.wait(self.pause):
            try:
                c = c or self._connect()
                if not self._ask(c, keep) or not keep:
                    c.close()
                    c = None
            except (OSError, http.client.HTTPException) as e:
                self.failed.append((time.monotonic(), repr(e)))
                if c is not None:
                    c.close()
                c = None

    def wait_more(self, n=50):
        """So many answers from now on."""
        before = self.served
        wait_until(lambda: self.served >= before + n,
                   lambda: f"{n} answers, failed: {self.failed[:5]}")

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for t in self.threads:
            t.join()
