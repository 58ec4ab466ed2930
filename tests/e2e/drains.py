"""What the tests of drain share: load that records every failure, servers that
die at once, clients that hold connections.

From the environment: OPENLOOP (the load generator, by default beside CLUSTERD).
Where it is not there, it is compiled for the session.
"""

import atexit
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import words
from harness import (CLUSTERD, ROOT, SLOW, Answer, _connect, is_alive,
                     wait_until)
from programs import SERVERS

# In every test, unless it says otherwise: whoever hangs fails soon.
KEYS = {"restart_delay": "10ms", "drain_idle": "300ms", "stop_timeout": "5s",
        "canary": "0"}

# Under load: a client that has connected and then does not get the processor
# for drain_idle is cut before it has asked, and rightly so. These all leave
# after one answer, so that nobody waits for it.
PATIENT = {"drain_idle": "5s"}


def _find():
    path = os.path.abspath(os.path.join(ROOT, os.environ.get(
        "OPENLOOP", os.path.join(os.path.dirname(CLUSTERD), "openloop"))))
    if os.access(path, os.X_OK):
        return path
    directory = tempfile.mkdtemp(prefix="cld-openloop-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    path = os.path.join(directory, "openloop")
    subprocess.run([*shlex.split(os.environ.get("CC", "cc")), "-std=gnu11",
                    "-O2", "-D_GNU_SOURCE", "-o", path,
                    os.path.join(ROOT, "tests/bench/openloop.c"), "-lm"],
                   check=True)
    return path


OPENLOOP = _find()


def to_argument(address):
    if isinstance(address, str):
        return ["--unix", address]
    host, port = address if isinstance(address, tuple) else (
        "127.0.0.1", address)
    return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]


class Load:
    """Requests at a constant rate, whatever the server does, as long as the
    block lasts. At its end no request may have failed, unless `lossy`; the
    figures are in `said` then."""

    def __init__(self, address, *options, rate=300, timeout=10000,
                 lossy=False):
        self.rate = rate
        self.lossy = lossy
        self.command = [OPENLOOP, "--rate", str(rate), "--duration", "120",
                        "--timeout", str(int(timeout * SLOW)),
                        *map(str, options), *to_argument(address)]
        self.said = None

    def __enter__(self):
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.go_on(0.2)
        return self

    def go_on(self, seconds):
        """Some more requests: this is load, not a wait."""
        time.sleep(seconds)
        assert self.process.poll() is None, self.process.communicate()

    def __exit__(self, kind, *_):
        # What it has from a moment ago belongs to what was done.
        if kind is None:
            self.go_on(0.1)
        self.process.send_signal(signal.SIGINT)
        try:
            out, err = self.process.communicate(timeout=30 * SLOW)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        if kind is not None:
            return
        assert out, err
        self.said = json.loads(out)
        asked = (time.monotonic() - self.begun) * self.rate
        assert self.said["started"] > min(asked / 4, 50), self.said
        assert self.said["unfinished"] == 0, self.said
        if not self.lossy:
            assert self.said["failed"] == 0, json.dumps(self.said, indent=1)


class Watch:
    """The most workers that were alive at a time while the block lasted, as far
    as seen: those that are there for a moment are missed where others have the
    processor."""

    def __init__(self, d):
        self.d = d
        self.most = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._look)

    def _look(self):
        while not self.over.wait(0.002):
            self.most = max(self.most, len(self.d.workers()))

    def wait(self, count, limit=10):
        wait_until(lambda: self.most >= count,
                   lambda: f"{count} workers, there were {self.most}:\n"
                   f"{self.d.log()}", limit)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


# --- servers

ABRUPT = shlex.join([sys.executable, "-I", "-S",
                     os.path.join(SERVERS, "abrupt.py")])


def abrupt(box, *arguments, **keys):
    """One app whose server dies at once on TERM."""
    command = ABRUPT + " " + shlex.join([box.events_path, *arguments])
    settings = {"command": command, "listen": "127.0.0.1:0", "instances": 1,
                "handoff": "env", **KEYS, **keys}
    box.config(web={k: v for k, v in settings.items() if v is not None})


def start(box, count, **how):
    d = box.start(**how)
    d.wait_ready(count, limit=20)
    return d


# --- reloads

def hup(d):
    mark = d.mark()
    d.send(signal.SIGHUP)
    return mark


def reload(d, *apps, limit=30):
    """A whole one, until all that retired are gone. Returns their pids."""
    old = d.workers()
    mark = hup(d)
    for app in apps or ("web",):
        d.wait_log(words.RELOAD_DONE(app), limit=limit, start=mark)
    wait_gone(d, old, limit)
    return old


def wait_gone(d, pids, limit=30):
    wait_until(lambda: not any(map(is_alive, pids)),
               lambda: f"the end of {[p for p in pids if is_alive(p)]}:\n"
               f"{d.log()}", limit)


def DRAINED(pid, what=""):
    return rf"pid {pid}: drained in [^\n]*{what}"


def TIMED_OUT(pid, what=""):
    return rf"pid {pid}: drain_timeout after [^\n]*{what}"


# --- clients

class Client:
    """A connection that is kept."""

    def __init__(self, address):
        self.socket = _connect(address, 15 * SLOW)
        self.got = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def ask(self, path="/"):
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    def _until(self, condition):
        while not condition():
            part = self.socket.recv(65536)
            if not part:
                raise ConnectionError(f"cut, after {self.got!r}")
            self.got += part

    def read(self):
        self._until(lambda: b"\r\n\r\n" in self.got)
        head, _, self.got = self.got.partition(b"\r\n\r\n")
        assert re.match(rb"HTTP/1\.\d 200 ", head), head
        length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
        self._until(lambda: len(self.got) >= length)
        body, self.got = self.got[:length], self.got[length:]
        return Answer(body.decode())

    def get(self, path="/"):
        self.ask(path)
        return self.read()

    def is_cut(self):
        """The server ends it, without another word."""
        try:
            return self.got == b"" and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True


def begin(box, stack, address, path, count=1):
    """Requests that the server works on."""
    kind = path.split("/")[1]
    before = len(box.events(kind))
    clients = [stack.enter_context(Client(address)) for _ in range(count)]
    for client in clients:
        client.ask(path)
    box.wait_events(kind, before + count)
    return clients
