"""For tests of clusterctl: a server that answers as a test wants it to, as
man/clusterd-control.7 has it or worse, and a terminal to look at.

The same tests' helpers run clusterctl against a real clusterd: `box.ctl()`.
"""

import errno
import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

import harness

GREETING = "clusterd 1 pid={pid} version=9.9.9\n"

# Two apps, as a clusterd would tell of them.
STATUS = """\
+ clusterd pid=4711 version=9.9.9 config=/etc/app.ini state=running \
uptime_ms=123456 cpu_ns=20000000 memory_bytes=900000 reloads_refused=0
+ app name=web state=running generation=2 wanted=2 ready=1 reloads_ok=1 \
reloads_aborted=0 stdout=prefix stderr=prefix
+ listener app=web address=0.0.0.0:8080 balance=least-connections lanes=2 \
waiting=0 backlog=8192 state=open
+ instance app=web instance=0 role=seat pid=4712 state=ready generation=2 \
uptime_ms=60000 ready_ms=35 cpu_ns=5000000000 memory_bytes=52428800 \
waiting=0 connections=3 connections_total=99 restarts_exit=0 \
restarts_failure=1 restarts_signal=0 restarts_timeout=0 restarts_start=0 \
death=exited%20with%20code%201%20after%203.2s death_ago_ms=60000
+ instance app=web instance=1 role=seat pid=4713 state=starting generation=2 \
uptime_ms=900
+ app name=jobs state=running generation=1 wanted=1 ready=1 reloads_ok=0 \
reloads_aborted=0 stdout=inherit stderr=inherit
+ instance app=jobs instance=0 role=seat pid=4720 state=ready generation=1 \
uptime_ms=60000 ready_ms=1000 cpu_ns=1000000 memory_bytes=1048576
ok
"""


class Server:
    """Listens on `path`. `answers`: request line → text, bytes, or a function
    of (server, connection) that sends by itself. `greeting` None: silence."""

    def __init__(self, path, answers=None, greeting=GREETING):
        self.path = path
        self.answers = {"status": STATUS, **(answers or {})}
        self.greeting = greeting
        self.requests = []
        self.over = threading.Event()
        self.connections = []
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        self.listener.settimeout(0.05)
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def _accept(self):
        while not self.over.is_set():
            try:
                c, _ = self.listener.accept()
            except socket.timeout:
                continue
            except OSError:
                return
            self.connections.append(c)
            t = threading.Thread(target=self._serve, args=(c,))
            self.threads.append(t)
            t.start()

    def _serve(self, c):
        try:
            c.settimeout(None)
            if self.greeting is not None:
                c.sendall(_bytes(self.greeting.format(pid=os.getpid())
                                 if isinstance(self.greeting, str)
                                 else self.greeting))
            f = c.makefile("rb")
            for line in f:
                request = line.decode().rstrip("\n")
                self.requests.append(request)
                answer = self.answers.get(request)
                if answer is None:
                    answer = f"error usage no such request: {request}\n"
                if callable(answer):
                    if answer(self, c) == "close":
                        break
                else:
                    c.sendall(_bytes(answer))
        except OSError:
            pass
        finally:
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            c.close()

    def drop(self):
        """Cut all connections."""
        for c in self.connections:
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self, unlink=True):
        self.over.set()
        self.listener.close()
        self.drop()
        for t in self.threads:
            t.join(10 * harness.SLOW)
        if unlink:
            try:
                os.unlink(self.path)
            except FileNotFoundError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _bytes(text):
    return text if isinstance(text, bytes) else text.encode()


def stale(path):
    """A socket's file with nobody behind it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)


class Terminal:
    """clusterctl on a pseudo-terminal, its standard input, output and error;
    `stdout`: another one for that."""

    def __init__(self, arguments, env, rows=24, columns=80, cwd=None):
        master, slave = pty.openpty()
        self.fd = master
        self.text = b""
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)

        def take_terminal():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            arguments, stdin=slave, stdout=slave, stderr=slave, env=env,
            cwd=cwd, start_new_session=True, preexec_fn=take_terminal)
        self.slave = slave      # kept, to see the settings afterwards

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, limit=0.05):
        """What has come; b"" where nothing does."""
        if not select.select([self.fd], [], [], limit)[0]:
            return b""
        try:
            part = os.read(self.fd, 65536)
        except OSError as e:
            if e.errno != errno.EIO:
                raise
            part = b""
        self.text += part
        return part

    def wait_for(self, pattern, limit=10.0, start=0):
        """Until the bytes are there, as a regular expression."""
        deadline = time.monotonic() + limit * harness.SLOW
        while True:
            found = re.search(pattern, self.text[start:], re.S)
            if found:
                return found
            assert time.monotonic() < deadline, (
                f"{pattern!r} did not come: {self.text[start:]!r}")
            self.read()

    def key(self, key):
        os.write(self.fd, key)

    def settings_are_back(self):
        return termios.tcgetattr(self.slave) == self.before

    def finish(self, limit=10.0):
        """To its end; the exit status."""
        deadline = time.monotonic() + limit * harness.SLOW
        while self.process.poll() is None:
            assert time.monotonic() < deadline, (
                f"it does not end: {self.text!r}")
            self.read()
        while self.read():
            pass
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self.fd)
        os.close(self.slave)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def screen(data, rows=24, columns=80):
    """What a terminal shows after these bytes: its lines. Knows no more than
    clusterctl needs."""
    lines = [[" "] * columns for _ in range(rows)]
    row = column = 0
    tokens = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|(.)", re.S)
    for m in tokens.finditer(data.decode(errors="replace")):
        parameters, letter, c = m.groups()
        if letter:
            n = int(parameters) if parameters.isdigit() else 1
            if letter == "H":
                row = column = 0
            elif letter == "A":
                row = max(0, row - n)
            elif letter == "K":
                lines[row][column:] = [" "] * (columns - column)
            elif letter == "J":
                lines[row][column:] = [" "] * (columns - column)
                for below in range(row + 1, rows):
                    lines[below] = [" "] * columns
        elif c == "\r":
            column = 0
        elif c == "\n":
            row += 1
            if row == rows:
                lines.append([" "] * columns)
                lines.pop(0)
                row -= 1
        else:
            if column < columns:
                lines[row][column] = c
                column += 1
    return ["".join(line).rstrip() for line in lines]
