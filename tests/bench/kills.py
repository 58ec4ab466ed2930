"""A supervisor that is killed: what it costs, and whether anybody notices.

    python3 tests/bench/kills.py answer [WORKERS]...    (4 200)
    python3 tests/bench/kills.py load [WORD]...
    python3 tests/bench/kills.py leaks [KILLS]          (1000)
    python3 tests/bench/kills.py upgrades [UPGRADES]    (50)

`answer`: how long from the kill until the control socket answers `status`, and until
all of the answer is there, the median of KILLS_N (50), and what the next supervisor
takes of a CPU. `load`: killed every 200
ms for KILLS_SECONDS (60) in each way, under an open loop, for each balance, server,
handoff and user, or those whose names have all the WORDs; prints failed requests,
and whether the workers are the same. `leaks`: descriptors and memory before and after.
`upgrades`: the same under an open loop, where the program is replaced each time.
From the environment: CLUSTERD, PROBE and BINDER.
"""

import glob
import itertools
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(HERE, "..", "..", "build")


def program(name):
    return os.path.abspath(os.environ.get(name.upper(),
                                          os.path.join(BUILD, name)))


N_KILLS = int(os.environ.get("KILLS_N", "50"))
SECONDS = float(os.environ.get("KILLS_SECONDS", "60"))
RATE = 300
PRIVILEGED = ["round-robin", "least-connections"]
BALANCES = ["random", "round-robin", "source", "least-connections", "shared"]
NODE = """require("http").createServer((q, r) => r.end("pid " + process.pid))
    .listen(%d, "127.0.0.1")\n"""
WAYS = [(signal.SIGKILL,), (signal.SIGSEGV,), (signal.SIGABRT,),
        (signal.SIGSTOP, signal.SIGKILL)]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            return [int(x) for x in f.read().split()]
    except OSError:
        return []


def comm(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
            return f.read().strip()
    except OSError:
        return ""


class Clusterd:
    def __init__(self, settings, user=None, server=None, copied=False):
        self.dir = tempfile.mkdtemp(prefix="kills")
        os.chmod(self.dir, 0o755)
        if server:
            with open(self.path("server.js"), "w", encoding="ascii") as f:
                f.write(server)
        with open(self.path("app.ini"), "w", encoding="ascii") as f:
            f.write("[web]\n" + "".join(f"{k} = {v}\n"
                                        for k, v in settings.items()))
        env = {**os.environ, "RUNTIME_DIRECTORY": self.dir}
        words = [program("clusterd"), "-c", self.path("app.ini")]
        if copied:
            self.replace()
            words[0] = self.path("clusterd")
        if user:
            shutil.chown(self.dir, user)
            words = ["setpriv", "--reuid", user, "--regid", "nogroup",
                     "--clear-groups", *words]
        with open(self.path("log"), "w", encoding="ascii") as log:
            self.process = subprocess.Popen(words, env=env, stderr=log,
                                            cwd=self.dir)
        self.pid = self.process.pid
        self.wait("start complete")
        if "but for what has failed" in self.log():
            sys.exit(self.log())

    def path(self, name):
        return os.path.join(self.dir, name)

    def replace(self):
        """The program at its path is another file from now on."""
        shutil.copy(program("clusterd"), self.path("new"))
        os.rename(self.path("new"), self.path("clusterd"))

    def log(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait(self, text, limit=60):
        end = time.monotonic() + limit
        while text not in self.log():
            if time.monotonic() > end or self.process.poll() is not None:
                sys.exit(f"without `{text}`:\n{self.log()}")
            time.sleep(0.01)

    def supervisor(self):
        while True:
            for pid in children(self.pid):
                if comm(pid) == "clusterd-super":
                    return pid
            time.sleep(0.0005)

    def workers(self):
        s = self.supervisor()
        return {pid for pid in children(self.pid) + children(s) if pid != s}

    def status(self):
        """When its answer began, and when it was there; the request may meet
        the one that dies."""
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as s:
                    s.settimeout(20)
                    s.connect(glob.glob(self.path("*.sock"))[0])
                    s.sendall(b"status\n")
                    text, first = b"", None
                    while b"\nok" not in text:
                        part = s.recv(65536)
                        if not part:
                            raise ConnectionError
                        text += part
                        if not first and b"\n+" in text:
                            first = time.monotonic()
                    return first, time.monotonic()
            except (OSError, IndexError):
                time.sleep(0.0002)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        finally:
            shutil.rmtree(self.dir)


def cpu(pid):
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as f:
        return int(f.read().split()[0]) / 1e6


def answer(workers):
    d = Clusterd({"command": program("probe"), "instances": workers,
                  "listen": "127.0.0.1:0"})
    took, all_of_it, costs = [], [], []
    for _ in range(N_KILLS):
        old = d.supervisor()
        began = time.monotonic()
        os.kill(old, signal.SIGKILL)
        first, last = d.status()
        took.append((first - began) * 1000)
        all_of_it.append((last - began) * 1000)
        time.sleep(0.3)
        costs.append(cpu(d.supervisor()))
    d.stop()
    print(f"{workers} workers: {statistics.median(took):.1f} ms until it "
          f"answers, {min(took):.1f} at best, {max(took):.1f} at worst; "
          f"{statistics.median(all_of_it):.1f} until all of it is there; "
          f"{statistics.median(costs):.1f} ms of CPU, {min(costs):.1f} at "
          "best")


def pss(*pids):
    """What is theirs; of the program's file others have a share, or not."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
            total += sum(int(line.split()[1]) for line in f
                         if line.startswith(("Pss_Anon:", "Pss_Shmem:")))
    return total


def leaks(kills):
    d = Clusterd({"command": program("probe"), "instances": 3,
                  "listen": "127.0.0.1:0", "stdout": "out.log"})
    seen = []
    for n in range(kills + 1):
        if n in (1, kills):
            time.sleep(1)
            seen.append((len(os.listdir(f"/proc/{d.pid}/fd")),
                         pss(d.pid, d.supervisor())))
        if n < kills:
            os.kill(d.supervisor(), signal.SIGKILL)
            d.status()
    print(f"descriptors and PSS in KiB, without the program's file, after one "
          f"kill: {seen[0]}, after {kills}: {seen[1]}")
    d.stop()
    return seen[0][0] != seen[1][0]


def upgrades(n):
    port = free_port()
    d = Clusterd({"command": program("probe"), "instances": 3,
                  "listen": f"127.0.0.1:{port}"}, copied=True)
    before, seen = d.workers(), []
    with subprocess.Popen(
            [os.path.join(BUILD, "openloop"), "--rate", str(RATE),
             "--duration", "600", f"127.0.0.1:{port}"],
            stdout=subprocess.PIPE) as loop:
        for i in range(1, n + 1):
            d.replace()
            d.process.send_signal(signal.SIGUSR2)
            while d.log().count("upgraded to clusterd") < i:
                if "upgrade:" in d.log() or loop.poll() is not None:
                    sys.exit(d.log())
                time.sleep(0.02)
            while d.log().count("start complete") < i + 1:
                time.sleep(0.02)
            d.status()
            if i in (1, n):
                time.sleep(1)
                seen.append((len(os.listdir(f"/proc/{d.pid}/fd")),
                             pss(d.pid, d.supervisor())))
        loop.send_signal(signal.SIGINT)
        told = json.load(loop.stdout)
    same = before == d.workers()
    code = d.stop()
    failed = told["failures"]
    print(f"{n} upgrades: failed: {failed or 0}, workers "
          f"{'the same' if same else 'OTHERS'}, descriptors and PSS in KiB "
          f"after the first {seen[0]}, after the last {seen[1]}, exit status "
          f"{code}")
    return bool(failed) or not same or code != 0 or seen[0][0] != seen[1][0]


def load(balance, server, handoff, user):
    port = free_port()
    settings = {"instances": 3, "balance": balance, "handoff": handoff,
                "listen": f"127.0.0.1:{port}", "command": program("probe")}
    if server == "node":
        settings["command"] = f"{shutil.which('node')} server.js"
    elif handoff == "adopt":
        settings["command"] = (f"{program('binder')} socket:s:tcp4,nonblock "
                               f"bind:s:127.0.0.1:{port} listen:s:64 "
                               "serve:poll")
    d = Clusterd(settings, None if user == "root" else user, NODE % port)
    before = d.workers()
    with subprocess.Popen(
            [os.path.join(BUILD, "openloop"), "--rate", str(RATE),
             "--duration", str(SECONDS), f"127.0.0.1:{port}"],
            stdout=subprocess.PIPE) as loop:
        for way in itertools.cycle(WAYS):
            if loop.poll() is not None:
                break
            pid = d.supervisor()
            for number in way:
                os.kill(pid, number)
            time.sleep(0.2)
        told = json.load(loop.stdout)
    same = before == d.workers()
    deaths = d.log().count("supervisor pid")
    code = d.stop()
    failed = told["failures"]
    print(f"{balance} {server} {handoff} {user}: {deaths} kills, failed: "
          f"{failed or 0}, workers {'the same' if same else 'OTHERS'}, "
          f"exit status {code}", flush=True)
    return bool(failed) or not same or code != 0


def main(what="answer", *words):
    if what == "answer":
        for n in words or ("4", "200"):
            answer(int(n))
        return 0
    if what == "leaks":
        return leaks(int(words[0]) if words else 1000)
    if what == "upgrades":
        return upgrades(int(words[0]) if words else 50)
    bad = False
    for case in itertools.product(BALANCES, ("c", "node"), ("env", "adopt"),
                                  ("root", "nobody")):
        balance, server, handoff, user = case
        if not set(words) <= set(case) or \
                (server == "node" and (handoff == "env" or
                                       not shutil.which("node"))) or \
                (user == "nobody" and balance in PRIVILEGED):
            continue
        bad |= load(*case)
    return bad


sys.exit(main(*sys.argv[1:]))
