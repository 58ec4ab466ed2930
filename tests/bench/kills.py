"""A supervisor that is killed: what it costs, and whether anybody notices.

    python3 tests/bench/kills.py answer [WORKERS]...    (4 200)
    python3 tests/bench/kills.py load [WORD]...
    python3 tests/bench/kills.py midst [WORD]...
    python3 tests/bench/kills.py leaks [KILLS]          (1000)
    python3 tests/bench/kills.py upgrades [UPGRADES]    (50)

`answer`: how long from the kill until the control socket answers `status`, and until
all of the answer is there, the median of KILLS_N (50), and what the next supervisor
takes of a CPU. `load`: killed every 200
ms for KILLS_SECONDS (60) in each way, under an open loop, for each balance, server,
handoff and user, or those whose names have all the WORDs; prints failed requests,
and whether the workers are the same. `midst`: the same while reloads, scale changes,
restarts, deaths, stops, starts and questions of clusterctl go on, at random (SEED),
also as process 1 (`pid1`); of another app nobody asks to change anything: its workers
are to be the same. In the end the first one has as many as it was told, no
connection counts as open, and keeper and supervisor have as many descriptors as
before. `leaks`: descriptors and memory before and after.
`upgrades`: the same under an open loop, where the program is replaced each time.
From the environment: CLUSTERD, PROBE and BINDER.
"""

import collections
import glob
import itertools
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from figures import leads_group

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
    def __init__(self, settings, user=None, server=None, copied=False,
                 more="", pid1=False):
        self.dir = tempfile.mkdtemp(prefix="kills")
        os.chmod(self.dir, 0o755)
        if server:
            with open(self.path("server.js"), "w", encoding="ascii") as f:
                f.write(server)
        with open(self.path("app.ini"), "w", encoding="ascii") as f:
            f.write("[web]\n" + "".join(f"{k} = {v}\n"
                                        for k, v in settings.items()) + more)
        self.env = env = {**os.environ, "RUNTIME_DIRECTORY": self.dir}
        words = [program("clusterd"), "-c", self.path("app.ini")]
        if copied:
            self.replace()
            words[0] = self.path("clusterd")
        if user:
            shutil.chown(self.dir, user)
            words = ["setpriv", "--reuid", user, "--regid", "nogroup",
                     "--clear-groups", *words]
        if pid1:
            words = ["unshare", "--pid", "--fork", "--mount-proc", *words]
        with open(self.path("log"), "w", encoding="ascii") as log:
            self.process = subprocess.Popen(words, env=env, stderr=log,
                                            cwd=self.dir)
        self.pid = self.process.pid
        self.wait("start complete")
        if pid1:
            self.pid = children(self.pid)[0]
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
        """Each has a group of its own, which whoever looks for clusterd has not."""
        s = self.supervisor()
        return {pid for pid in children(self.pid) + children(s)
                if pid != s and leads_group(pid)}

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

    def ctl(self, *words):
        """By itself it asks again whoever comes after one that was killed."""
        return subprocess.run(
            [program("clusterctl"), "-s", glob.glob(self.path("*.sock"))[0],
             *words], env=self.env, capture_output=True, text=True,
            timeout=120, check=False)

    def stop(self):
        os.kill(self.pid, signal.SIGTERM)
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


# Of `still` they ask for nothing. Those that a supervisor took with it are refused.
ORDERS = [("reload", "web"), ("restart", "web"), ("restart", "web:1"),
          ("scale", "web", "+1"), ("scale", "web", "5"), ("scale", "web", "3"),
          ("scale", "web", "-1"), ("status",), ("check", "web:0"), ("update",),
          ("wait", "-t", "30s", "web"), ("restart", "spare"),
          ("stop", "spare"), ("start", "spare"),
          ("logs", "web"), ("signal", "spare", "KILL"), ("metrics",)]


def give_orders(d, over, chance, told):
    while not over.is_set():
        words = chance.choice(ORDERS)
        began = time.monotonic()
        done = d.ctl(*words)
        took = time.monotonic() - began
        told.append((words, done.returncode, took,
                     (done.stderr.strip() or "-").split("\n")[-1]))
        over.wait(chance.random() * 0.1)


def kill_on(d, loop, gap):
    n = 0
    for way in itertools.cycle(WAYS):
        if loop.poll() is not None:
            return n
        pid = d.supervisor()
        for number in way:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        n += 1
        time.sleep(gap)


def descriptors(d):
    """What the table has that keeper and supervisor share, without numbers; and
    without the texts of configurations, of which each app has the one it began with."""
    place, seen = f"/proc/{d.pid}/fd", collections.Counter()
    for fd in os.listdir(place):
        try:
            name = os.readlink(f"{place}/{fd}").split(":[")[0]
            seen[name] += not name.startswith("/memfd:clusterd-text")
        except FileNotFoundError:
            pass
    return seen


def left_open(d, before):
    """What there is more of, or less; a look that is under way ends soon."""
    for _ in range(100):
        now = descriptors(d)
        if now == before:
            return ""
        time.sleep(0.1)
    return f"descriptors: more {dict(now - before)}, less {dict(before - now)}"


def calm(d, n):
    """What is under way comes to its end: whether there are so many workers."""
    for words in (("start", "spare"), ("reload", "web"), ("scale", "web", str(n))):
        # The last one that was killed may have been asked, and it is not asked again.
        for _ in range(20):
            if d.ctl(*words).returncode == 0:
                break
            time.sleep(0.1)
    for _ in range(600):
        d.ctl("wait", "-t", "60s")
        # Two of `still`, one of `spare`.
        if len(d.workers()) == n + 3:
            return True
        time.sleep(0.1)
    return False


def pids(d, app):
    lines = json.loads(d.ctl("status", "--json").stdout)
    return sorted(i["pid"] for a in lines["apps"] if a["name"] == app
                  for i in a["instances"] if i.get("pid"))


def open_connections(d):
    """As least-connections counts them; the others do not."""
    return sum(i.get("connections") or 0
               for a in json.loads(d.ctl("status", "--json").stdout)["apps"]
               for i in a["instances"])


def midst(balance, handoff, user, way, seed):
    port, n = free_port(), 3
    settings = {"instances": n, "balance": balance, "handoff": handoff,
                "listen": f"127.0.0.1:{port}", "command": program("probe"),
                "stdout": "prefix"}
    if handoff == "adopt":
        settings["command"] = (f"{program('binder')} socket:s:tcp4,nonblock "
                               f"bind:s:127.0.0.1:{port} listen:s:64 "
                               "serve:poll")
    more = "".join(f"[{app}]\ncommand = sleep 100000\ninstances = {k}\n"
                   for app, k in (("still", 2), ("spare", 1)))
    d = Clusterd(settings, None if user == "root" else user, more=more,
                 pid1=way == "pid1")
    calm(d, n)
    fds, still = descriptors(d), pids(d, "still")
    over, told = threading.Event(), []
    threads = [threading.Thread(target=give_orders, args=(
        d, over, random.Random(f"{seed}{i}"), told)) for i in range(2)]
    with subprocess.Popen(
            [os.path.join(BUILD, "openloop"), "--rate", str(RATE),
             "--duration", str(SECONDS), f"127.0.0.1:{port}"],
            stdout=subprocess.PIPE) as loop:
        for t in threads:
            t.start()
        kills = kill_on(d, loop, 0.2)
        over.set()
        result = json.load(loop.stdout)
    for t in threads:
        t.join()
    faults = [f"failed: {result['failures']}"] if result["failures"] else []
    if not calm(d, n):
        faults.append(f"{len(d.workers())} workers")
    if open_connections(d):
        faults.append(f"{open_connections(d)} connections count as open")
    if left := left_open(d, fds):
        faults.append(left)
    crashes = [line for line in d.log().split("\n")
               if "runtime error" in line or "AddressSanitizer" in line]
    faults += crashes[:3]
    if way != "pid1" and not set(still) <= d.workers():
        faults.append("workers of `still` are others")
    log = d.log()
    code = d.stop()
    if code != 0:
        faults.append(f"exit status {code}")
    refused = [t for t in told if t[1] != 0]
    print(f"midst {balance} {handoff} {user} {way}: {kills} kills, "
          f"{len(told)} orders, {len(refused)} of them refused, longest "
          f"{max((t[2] for t in told), default=0):.1f} s: "
          f"{'; '.join(faults) or 'no fault'}", flush=True)
    for words, status, _, why in refused[:int(os.environ.get("TELL", "0"))]:
        print(f"    {' '.join(words)}: {status}: {why}")
    if faults:
        with open(os.path.join(tempfile.gettempdir(),
                               f"kills-{balance}-{handoff}-{user}-{way}.log"),
                  "w", encoding="utf-8") as f:
            f.write(log)
    return bool(faults)


def midst_all(words):
    bad = False
    for case in itertools.product(BALANCES, ("env", "adopt"),
                                  ("root", "nobody"), ("plain", "pid1")):
        balance, _, user, way = case
        if not set(words) <= set(case) or \
                (user == "nobody" and balance in PRIVILEGED) or \
                (way == "pid1" and os.geteuid() != 0):
            continue
        bad |= midst(*case, os.environ.get("SEED", "1"))
    return bad


def main(what="answer", *words):
    if what == "answer":
        for n in words or ("4", "200"):
            answer(int(n))
        return 0
    if what == "leaks":
        return leaks(int(words[0]) if words else 1000)
    if what == "midst":
        return midst_all(words)
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
