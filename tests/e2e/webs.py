"""Runs clusterd-web for a clusterd, and asks it what browsers and others ask."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time

import pytest

from harness import BUG, SLOW, _program, is_alive, kill, wait_until

CLUSTERD_WEB = _program("CLUSTERD_WEB", os.path.join(
    os.path.dirname(os.environ.get("CLUSTERD", "build/clusterd")),
    "clusterd-web"))

needs_web = pytest.mark.skipif(
    not os.access(CLUSTERD_WEB, os.X_OK),
    reason="clusterd-web was not built (libmicrohttpd)")

TOKEN = "a-token-of-more-than-16"


class Web:
    """One that was started by hand, beside the clusterd of a box."""

    def __init__(self, box, *options, config="app.ini", listen="127.0.0.1:0",
                 token=None):
        self.box = box
        self.log_path = box.path(f"web.{time.monotonic_ns()}")
        if token is not None:
            options += ("--token-file", box.write("token", token + "\n",
                                                  mode=0o600))
        # LeakSanitizer looks at its own process, which nobody's may not.
        if "-asan" in CLUSTERD_WEB:
            options = ("--user", "root", *options)
        with open(self.log_path, "ab") as f:
            self.process = subprocess.Popen(
                [CLUSTERD_WEB, "-c", box.path(config), "--listen", listen,
                 *options], stdin=subprocess.DEVNULL, stdout=f, stderr=f,
                env=box.environment(), cwd=box.dir, start_new_session=True)
        self.address = None
        wait_until(self._find_address, self.log)
        self.name = "127.0.0.1:%d" % self.address[1] \
            if isinstance(self.address, tuple) else "localhost"

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def _find_address(self):
        assert self.process.poll() is None, self.log()
        for fd in os.listdir(f"/proc/{self.process.pid}/fd"):
            found = _listener(self.process.pid, fd)
            if found is not None:
                self.address = found
                return True
        return False

    def connect(self, limit=10.0):
        if isinstance(self.address, str):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(limit * SLOW)
            s.connect(self.address)
            return s
        return socket.create_connection(self.address, timeout=limit * SLOW)

    def request(self, method, path, body=None, headers=None, limit=15.0):
        """The status, the headers and the body, as text."""
        c = http.client.HTTPConnection(self.name, timeout=limit * SLOW)
        c.sock = self.connect(limit)
        try:
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            return r.status, r.headers, r.read().decode()
        finally:
            c.close()

    def get(self, path, **headers):
        return self.request("GET", path, headers={
            k.replace("_", "-"): v for k, v in headers.items()})

    def json(self):
        status, _, text = self.get("/status.json")
        assert status == 200, text
        return json.loads(text)

    def act(self, token=TOKEN, headers=None, **body):
        """The status and what was said."""
        all_headers = {"Content-Type": "application/json"}
        if token is not None:
            all_headers["Authorization"] = "Bearer " + token
        all_headers.update(headers or {})
        status, _, text = self.request("POST", "/action", json.dumps(body),
                                       all_headers)
        return status, text

    def pids(self):
        """Both halves."""
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with open(children) as f:
            return [self.process.pid, *map(int, f.read().split())]

    def stop(self, number=signal.SIGTERM, limit=10.0):
        pids = self.pids()
        kill(self.process.pid, number)
        wait_until(lambda: self.process.poll() is not None, self.log, limit)
        assert self.process.returncode == 0, (self.process.returncode,
                                              self.log())
        wait_until(lambda: not any(map(is_alive, pids)), "the other half")

    def close(self):
        if self.process.poll() is None:
            pids = self.pids()
            kill(self.process.pid)
            self.process.wait()
            wait_until(lambda: not any(
                os.path.exists(f"/proc/{pid}") for pid in pids),
                "the end of both halves")
        assert not BUG.search(self.log()), self.log()


def _listener(pid, fd):
    """The address, where that descriptor listens."""
    try:
        ours = os.pidfd_open(pid)
    except OSError:
        return None
    try:
        copy = _getfd(ours, int(fd))
    except OSError:
        return None
    finally:
        os.close(ours)
    try:
        s = socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        return None
    with s:
        if not s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return None
        return s.getsockname()


def _getfd(pidfd, fd):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    got = libc.syscall(438, pidfd, fd, 0)       # pidfd_getfd(2)
    if got < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return got


class Stream:
    """Server-sent events, as EventSource reads them."""

    def __init__(self, web, path="/events", limit=10.0):
        self.socket = web.connect(limit)
        self.socket.sendall((f"GET {path} HTTP/1.0\r\nHost: {web.name}\r\n"
                             "Accept: text/event-stream\r\n\r\n").encode())
        self.file = self.socket.makefile("rb")
        self.head = b""
        while True:
            line = self.file.readline()
            self.head += line
            if line in (b"\r\n", b""):
                break
        self.bytes = 0

    def next(self):
        """The next event's name and its data; None at the end."""
        name = None
        while True:
            line = self.file.readline()
            self.bytes += len(line)
            if not line:
                return None
            key, _, value = line.decode().rstrip("\n").partition(": ")
            if key == "event":
                name = value
            elif key == "data":
                data = json.loads(value)
            elif not key and name:
                return name, data

    def until(self, condition, limit=10.0):
        """The first event of which condition(name, data) is true."""
        deadline = time.monotonic() + limit * SLOW
        seen = []
        while time.monotonic() < deadline:
            event = self.next()
            assert event is not None, f"the stream has ended after {seen}"
            seen.append(event[0])
            if condition(*event):
                return event[1]
        raise AssertionError(f"not among {seen}")

    def close(self):
        self.file.close()
        self.socket.close()
