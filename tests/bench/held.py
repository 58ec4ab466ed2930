"""How long clusterd keeps a client of its control socket waiting while its
workers, or strangers, do what they can to keep it busy.

    python3 tests/bench/held.py [FLOOD]...

Prints for each flood the p50, p99 and maximum of `status`, asked every 5 ms
for ten seconds, and the CPU time that clusterd took. Bounded, and on the
loopback. From the environment: CLUSTERD, and HELD_SECONDS.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CLUSTERD = os.path.abspath(os.environ.get("CLUSTERD", os.path.join(
    HERE, "..", "..", "build", "clusterd")))
SECONDS = float(os.environ.get("HELD_SECONDS", "10"))

# Orphans that live, and one process after the other that does not.
ORPHANS = r"""
import os, signal, sys, time
n, chains = int(sys.argv[1]), int(sys.argv[2])
def detached(fn, times=1):
    if os.fork() == 0:
        os.setsid()
        for _ in range(times):
            if os.fork() == 0:
                fn()
        os._exit(0)
    os.wait()
def chain():
    end = time.monotonic() + float(sys.argv[3])
    while time.monotonic() < end:
        if os.fork():
            os._exit(0)
detached(signal.pause, n)
open(sys.argv[4], "w").close()
for _ in range(chains):
    detached(chain)
signal.pause()
"""

# Binds that are refused, and others of the app's own that were had before.
BINDS = r"""
import contextlib, os, resource, socket, sys, threading, time
_, end, fds, mark, what = sys.argv
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
fds = min(int(fds), hard - 100)
hold = [socket.socket() for _ in range(int(fds))]
open(mark, "w").close()
address = {"refused": ("127.0.0.1", int(os.environ.get("PORT", "1")) ),
           "own": ("127.0.0.1", 18099)}[what]
end = time.monotonic() + float(end)
while time.monotonic() < end:
    with socket.socket() as s, contextlib.suppress(OSError):
        s.bind(address)
        s.listen()
time.sleep(600)
"""

NOTIFIES = r"""
import contextlib, os, socket, sys, time
name = os.environ["NOTIFY_SOCKET"]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect("\0" + name[1:] if name.startswith("@") else name)
open(sys.argv[2] + name.replace("/", "_"), "w").close()
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    s.send(b"STATUS=x")
time.sleep(600)
"""


class Box:
    def __init__(self, apps):
        self.dir = tempfile.mkdtemp(prefix="held-")
        with open(f"{self.dir}/app.ini", "w") as f:
            f.write(f"[clusterd]\ncontrol = {self.dir}/c.sock\n"
                    f"log = {self.dir}/log\n" + apps)
        self.process = subprocess.Popen([CLUSTERD, "-c",
                                         f"{self.dir}/app.ini"])

    def __enter__(self):
        self.wait(lambda: os.path.exists(f"{self.dir}/c.sock"))
        # The keeper's child does everything.
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            self.pid = int(f.read().split()[0])
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            print("  (the stop takes more than 30 s)")
            self.process.kill()
            self.process.wait()

    @staticmethod
    def wait(condition, limit=120):
        end = time.monotonic() + limit
        while not condition():
            if time.monotonic() > end:
                raise SystemExit("it did not begin")
            time.sleep(0.05)

    def script(self, text):
        path = f"{self.dir}/worker.py"
        with open(path, "w") as f:
            f.write(text)
        return f"{sys.executable} {path}"

    def cpu(self):
        with open(f"/proc/{self.pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def log_lines(self):
        with open(f"{self.dir}/log", "rb") as f:
            return f.read().count(b"\n")

    def measure(self, what):
        taken, lines, cpu = [], self.log_lines(), self.cpu()
        end = time.monotonic() + SECONDS
        c = socket.socket(socket.AF_UNIX)
        c.settimeout(60)
        c.connect(f"{self.dir}/c.sock")
        f = c.makefile("rb")
        f.readline()
        while time.monotonic() < end:
            begin = time.monotonic()
            c.sendall(b"status\n")
            while not f.readline().startswith((b"ok", b"error")):
                pass
            taken.append(time.monotonic() - begin)
            time.sleep(0.005)
        c.close()
        taken.sort()
        p50, p99 = (taken[int(len(taken) * q)] * 1e3 for q in (0.5, 0.99))
        print(f"{what:24} status p50 {p50:7.2f} ms, p99 {p99:7.2f} ms, max "
              f"{taken[-1] * 1e3:7.2f} ms, {len(taken)} times; CPU "
              f"{(self.cpu() - cpu) / SECONDS * 100:.0f} %, log "
              f"{(self.log_lines() - lines) / SECONDS:.0f} lines/s",
              flush=True)


def app(name, command, **keys):
    return f"[{name}]\ncommand = {command}\n" + "".join(
        f"{k} = {v}\n" for k, v in keys.items())


def written(text):
    f = tempfile.NamedTemporaryFile("w", prefix="held-", suffix=".py",
                                    delete=False)
    f.write(text)
    f.close()
    return f"{sys.executable} {f.name}"


def quiet():
    with Box(app("a", "sleep 600", instances=10)) as box:
        time.sleep(2)
        box.measure("nothing")


def orphans(n, chains):
    mark = tempfile.mktemp(prefix="held-")
    command = f"{written(ORPHANS)} {n} {chains} {SECONDS + 5} {mark}"
    with Box(app("a", command, instances=1, ready="alive:10ms")) as box:
        box.wait(lambda: os.path.exists(mark))
        box.measure(f"{n} orphans, {chains} chains")


def binds(workers, fds, what):
    mark = tempfile.mktemp(prefix="held-")
    command = f"{written(BINDS)} {SECONDS + 5} {fds} {mark} {what}"
    with Box(app("a", command, instances=workers, port=18099,
                 ready="alive:10ms")) as box:
        box.wait(lambda: os.path.exists(mark))
        time.sleep(2)
        box.measure(f"binds, {what}: {workers} x {fds}")


def strangers(workers):
    with Box(app("a", "sleep 600", instances=workers, ready="notify",
                 ready_timeout="600s", fd_protocol="systemd")) as box:
        def pids():
            with open(f"/proc/{box.pid}/task/{box.pid}"
                      "/children") as f:
                return f.read().split()
        box.wait(lambda: len(pids()) == workers)
        time.sleep(2)
        names = []
        for pid in pids():
            with open(f"/proc/{pid}/environ", "rb") as f:
                names += [e.split(b"=", 1)[1] for e in f.read().split(b"\0")
                          if e.startswith(b"NOTIFY_SOCKET=")]
        flood = subprocess.Popen([sys.executable, "-c", """
import contextlib, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.setblocking(False)
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    for name in sys.argv[2:]:
        with contextlib.suppress(OSError):
            s.sendto(b"X=1", "\\0" + name[1:] if name[0] == "@" else name)
""", str(SECONDS + 2), *[n.decode() for n in names]])
        time.sleep(1)
        box.measure(f"strangers, {workers} workers")
        flood.wait()


def notifies(workers):
    command = f"{written(NOTIFIES)} {SECONDS + 10} {tempfile.mkdtemp()}/"
    with Box(app("a", command, instances=workers, ready="alive:10ms",
                 fd_protocol="systemd")) as box:
        time.sleep(5)
        box.measure(f"own notifies, {workers}")


FLOODS = {
    "quiet": quiet,
    "orphans": lambda: orphans(3000, 1),
    "chains": lambda: orphans(3000, 4),
    "strangers": lambda: strangers(500),
    "notifies": lambda: notifies(50),
    "refused": lambda: binds(2, 10, "refused"),
    "own": lambda: binds(1, 18000, "own"),
    "own8": lambda: binds(8, 18000, "own"),
}


if __name__ == "__main__":
    for name in sys.argv[1:] or FLOODS:
        with contextlib.suppress(KeyboardInterrupt):
            FLOODS[name]()
