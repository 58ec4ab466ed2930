#!/usr/bin/python3
"""Whether a reload, a scaling, a kill loses a request, and what it delays.

    python3 -B tests/bench/reload.py [--quick] [--full] [--strict]
        [--only NAME,...] [--server NAME,...] [--balance NAME,...]
        [--user NAME,...]

This needs what figures.py needs, and follows it in the exit status and the
variables CLUSTERD, HELLO and CC. The load is openloop.c's: so many requests
each second, whatever the server does, on one connection each or on some that
are kept. Node, Python and PHP are measured where they are; as root, and as
nobody (uid 65534, no capabilities) where we are root.

The scenarios, each under load:

    reload      20 times HUP, one after the other
    keepalive   the same on connections that are kept. A server that dies of
                TERM at once is killed with its connections open at
                drain_timeout, which is 1s here so that it gets there; what is
                retried then, as HTTP has it, is `raced`
    busy        the same, drain_timeout = 2s, with answers that take 20 ms: a
                worker has some under way at any moment
    scale       2 -> 8 -> 2 instances, again and again, by TTIN and TTOU
    kill        kill -9 of any worker, every 200 ms
    killreload  the same while there is one reload after the other, with
                drain_timeout = 500ms
    abort       reloads to programs that crash, hang, accept without ever
                being ready, or crash in all instances but the first
    port        reloads that move to another port. What is refused
                (ECONNREFUSED) on the old one after HUP is as it must be, and
                counted apart
    stream      answers that pause for 10 s in their middle, which a reload
                has to let finish (drain_timeout = 30s; with drain_idle = off,
                or 15s)

A killed process takes the requests with it that it had accepted. How many that
were is looked up while it stands still (SIGSTOP) just before its death.

`ratio` is the worst request's latency to the p99.9 of the same load on the
same cluster when nothing happens (`quiet`, for at most 2 s). It is what a
machine without other work makes of it: `late` is by how much the load
generator itself was late.
"""

import argparse
import collections
import contextlib
import ctypes
import errno
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time

import figures
from figures import Bench, ENV, Server, Trouble, children, end, free_port

NOBODY = 65534
INSTANCES = 4
OVERALL = 1200

PHP = "<?php echo 'hello from PHP, pid ', getmypid(), \"\\n\";\n"

NODE = """\
'use strict';
require('node:http').createServer((request, response) => {
	const hello = () => response.end(`hello from Node, pid ${process.pid}\\n`);
	if (request.url === '/pause')
		return setTimeout(hello, 20);
	if (request.url !== '/stream')
		return hello();
	response.write('the first half, ');
	setTimeout(() => response.end('the second\\n'), process.argv[3] * 1000);
}).listen(process.argv[2]);
"""

# As `python3 -m http.server`, but for its answers.
PYTHON = """\
import http.server, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"first")
        if self.path == "/stream":
            time.sleep(float(sys.argv[2]))
        elif self.path == "/pause":
            time.sleep(0.02)
        self.wfile.write(b" last")

    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
"""

# KIND COMMAND...: what a bad release does.
BAD = """\
import os, sys, time

kind, command = sys.argv[1], sys.argv[2:]
if kind == "hang":
    time.sleep(1000)
if kind == "crash" or kind == "later" and os.environ["CLUSTERD_INSTANCE"] != "0":
    sys.exit("crash")
if kind == "mute":
    del os.environ["NOTIFY_SOCKET"]
os.execvp(command[0], command)
"""

# kind -> what it takes besides
BAD_KINDS = {"crash": {}, "hang": {}, "mute": {"ready": "notify"},
             "later": {}}


# ---- the servers -----------------------------------------------------------


Kind = collections.namedtuple("Kind", "command keys path rate")
Kind.__doc__ = "A server; `command` is None where it is not installed."


def prepare(bench):
    """bench.kinds, bench.site, bench.openloop"""
    bench.openloop = bench.compile("openloop", "openloop", ["-lm"])
    bench.site = site = bench.path("site")
    os.mkdir(site)
    files = {"hello.txt": "hello from Python\n", "hello.php": PHP,
             "node.js": NODE, "server.py": PYTHON, "bad.py": BAD}
    for name, text in files.items():
        with open(os.path.join(site, name), "w", encoding="utf-8") as f:
            f.write(text)

    def have(program, rest):
        found = shutil.which(program, path=ENV["PATH"])
        return f"{found} {rest}" if found else None

    accept = {"ready": "accept"}
    bench.kinds = {
        "hello-server": Kind(bench.hello, {"handoff": "env",
                                           "ready": "notify"}, "/", 1000),
        "Node": Kind(have("node", f"{site}/node.js {{port}} 0"), accept,
                     "/", 400),
        "Python": Kind(have("python3", "-m http.server "
                            f"--directory {site} {{port}}"), accept,
                       "/hello.txt", 300),
        "php -S": Kind(have("php", f"-S 127.0.0.1:{{port}} -t {site}"),
                       accept, "/hello.php", 300),
    }
    # For nobody.
    for path in bench.directory, bench.hello, bench.clusterd:
        os.chmod(path, 0o755)


# ---- a cluster -------------------------------------------------------------


class Case(collections.namedtuple("Case", "server balance user")):
    def __str__(self):
        return f"{self.server}, {self.balance}, {self.user}"


DONE = r"reload complete|reload aborted|rolled back to|reload refused"


class Cluster(Server):
    """clusterd with one app, whose keys can be changed."""

    def __init__(self, bench, case, instances=INSTANCES, **keys):
        self.bench, self.case = bench, case
        kind = bench.kinds[case.server]
        self.path, self.rate = kind.path, kind.rate
        self.port = free_port()
        self.keys = {"command": kind.command, "instances": instances,
                     "balance": case.balance, "port": self.port,
                     "restart_reset": "0", "stdout": "null",
                     "stderr": "null", **kind.keys, **keys}
        self.ini = bench.path("ini")
        self.write()
        self.events = []    # (when, what), for the words on a failure
        self.log_read, self.log_text = 0, ""
        super().__init__(bench, [bench.clusterd, "-c", self.ini],
                         uid=NOBODY if case.user == "nobody" else None)

    def write(self, **keys):
        """Renamed, so that nobody reads half of it."""
        with open(self.ini + ".new", "w", encoding="utf-8") as ini:
            ini.write("[bench]\n")
            ini.writelines(f"{k} = {v}\n"
                           for k, v in {**self.keys, **keys}.items())
        os.rename(self.ini + ".new", self.ini)

    def event(self, what):
        self.events.append((time.monotonic(), what))

    def mark(self):
        """Where the log ends now."""
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            f.seek(self.log_read)
            self.log_text += f.read()
            self.log_read = f.tell()
        return len(self.log_text)

    def count(self, pattern, start):
        self.mark()
        return len(re.findall(pattern, self.log_text[start:]))

    def wait_for(self, what, holds, limit=figures.LIMIT):
        deadline = time.monotonic() + limit
        while not holds():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise Trouble(f"{self.case}: {what}: not within {limit} s\n"
                              f"{self.log()}")
            time.sleep(0.005)

    def wait_log(self, pattern, start, times=1):
        self.wait_for(f"{pattern} {times} times in the log",
                      lambda: self.count(pattern, start) >= times)
        return re.search(pattern, self.log_text[start:])[0]

    def wait_workers(self, count):
        self.wait_for(f"{count} workers",
                      lambda: len(children(self.pid)) == count)

    def hup(self):
        start = self.mark()
        self.event("HUP")
        self.process.send_signal(signal.SIGHUP)
        return start

    def reload(self):
        said = self.wait_log(DONE, self.hup())
        self.event(said)
        return said

    def must_reload(self):
        said = self.reload()
        if "complete" not in said:
            raise Trouble(f"{self.case}: {said}:\n{self.log()}")


# ---- the load --------------------------------------------------------------


class Load:
    """openloop, until stop()."""

    def __init__(self, cluster, rate=None, path=None, timeout=5, keepalive=0,
                 duration=600):
        self.cluster = cluster
        options = ["--rate", str(rate or cluster.rate),
                   "--duration", str(duration),
                   "--timeout", str(timeout * 1000),
                   "--path", path or cluster.path]
        if keepalive:
            options += ["--keepalive", str(keepalive)]
        self.begin = time.monotonic()
        self.process = subprocess.Popen(
            [cluster.bench.openloop, *options, f"127.0.0.1:{cluster.port}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=ENV, preexec_fn=figures.tied())

    def stop(self, now=True):
        """Finishes what is under way. now=False: at the end of its time."""
        if now:
            self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=figures.LIMIT)
        if self.process.returncode != 0:
            raise Trouble(f"openloop: {err.decode().strip()}")
        return Result(json.loads(out), self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process, signal.SIGKILL)
        self.process.stdout.close()
        self.process.stderr.close()


class Result:
    """Of one load, or of several (add())."""

    def __init__(self, found, load):
        self.started, self.failed = found["started"], found["failed"]
        self.raced, self.seconds = found["raced"], found["seconds"]
        self.failures = collections.Counter(
            {f"{phase} {error}": n
             for phase, errors in found["failures"].items()
             for error, n in errors.items()})
        self.latency = found["latency_ms"]
        self.late = found["lateness_ms"]["max"] or 0
        self.told = [self._tell(f, load) for f in found["first_failures"]]

    @staticmethod
    def _tell(failure, load):
        """With when it began, and what had happened before it failed."""
        failure["when"] = load.begin + 0.01 + failure["at_ms"] / 1000
        failed = failure["when"] + failure["after_ms"] / 1000
        before = [(failed - when, what) for when, what in
                  load.cluster.events if when <= failed]
        ago, what = min(before, default=(failed - load.begin, "the start"))
        return failure, (
            f"{failure['phase']} {failure['error']} after "
            f"{failure['after_ms']:.1f} ms, {ago * 1000:.0f} ms after {what}")

    def add(self, other):
        self.started += other.started
        self.failed += other.failed
        self.raced += other.raced
        self.failures += other.failures
        self.seconds += other.seconds
        self.late = max(self.late, other.late)
        self.told += other.told
        for key in self.latency:
            self.latency[key] = max(self.latency[key] or 0,
                                    other.latency[key] or 0)
        return self

    def excuse(self, which):
        """Takes out the failures for which it holds; how many."""
        if self.failed > len(self.told):
            raise Trouble("more failures than are told one by one")
        excused = [f for f, _ in self.told if which(f)]
        for f in excused:
            self.failures[f"{f['phase']} {f['error']}"] -= 1
        self.failures = +self.failures
        self.failed -= len(excused)
        self.told = [t for t in self.told if not which(t[0])]
        return len(excused)


def quiet(cluster, result, **options):
    """The same load when nothing happens."""
    with Load(cluster, duration=min(result.seconds, 2), **options) as load:
        return load.stop(now=False)


# ---- the table -------------------------------------------------------------


HEAD = ("scenario", "server", "balance", "user", "what", "requests", "failed",
        "allowed", "raced", "p99.9", "max", "late", "quiet p99.9", "ratio",
        "lost", "delay")


def ms(value):
    return "-" if value is None else f"{value:.1f}"


def report(bench, scenario, case, what, result, calm=None, allowed=0):
    """allowed: failures that are none of clusterd's. calm: the load without,
    or None where delays are the point."""
    good = result.failed <= allowed
    p999, worst = result.latency["p99.9"], result.latency["max"]
    ratio = delay = ""
    if calm and worst and calm.latency["p99.9"]:
        ratio = worst / calm.latency["p99.9"]
        delay = "pass" if ratio < 3 else "SHORT"
        ratio = f"{ratio:.1f}"
    bench.results.append((
        scenario, *case, what, f"{result.started:,}", str(result.failed),
        str(allowed), str(result.raced), ms(p999), ms(worst),
        ms(result.late), ms(calm.latency["p99.9"]) if calm else "", ratio,
        "pass" if good else "SHORT", delay))
    bench.say(f"{scenario}: {case}: {what}: {result.failed} of "
              f"{result.started} failed, worst {ms(worst)} ms"
              f"{'' if good else ', SHORT'}")
    if result.failures:
        bench.failures.append((f"{scenario}: {case}", result.failures))
    if not good:
        for _, words in result.told[:8]:
            bench.say("    " + words)


def print_table(bench):
    rows = [HEAD, tuple("-" * len(h) for h in HEAD), *bench.results]
    widths = [max(len(r[i]) for r in rows) for i in range(len(HEAD))]
    for r in rows:
        print("  ".join(c.ljust(w) if i < 5 else c.rjust(w) for i, (c, w) in
                        enumerate(zip(r, widths))).rstrip())
    print("times in ms; lost: failed <= allowed; delay: ratio < 3")
    for what, failures in bench.failures:
        print(f"  {what}: " + ", ".join(
            f"{n} x {kind}" for kind, n in failures.most_common()))
    for what, why in bench.skipped:
        print(f"  {what}: not measured: {why}")


# ---- the cases -------------------------------------------------------------


MODES = ("least-connections", "round-robin", "random", "source", "shared")
PLAIN = ("random", "source", "shared")          # without privileges


def skip(bench, what, why):
    if (str(what), why) not in bench.skipped:
        bench.skipped.append((str(what), why))


def case_list(bench, wanted):
    """wanted: (server, balance, user). What cannot be is said once."""
    is_root = os.geteuid() == 0
    for case in map(Case._make, wanted):
        if any(chosen and value not in chosen
               for chosen, value in zip(bench.chosen, case)):
            continue
        if bench.kinds[case.server].command is None:
            skip(bench, case.server, "it is not installed")
        elif is_root:
            yield case
        elif case.balance not in PLAIN:
            skip(bench, f"balance = {case.balance}", "takes root")
        elif case.user == "root":
            yield case._replace(user="self")


def matrix(bench):
    """Every server with two balances, two servers with all; nobody with
    Python. --full: all of them."""
    servers = list(bench.kinds)
    if bench.full:
        return [(s, b, "root") for s in servers for b in MODES] + \
            [(s, b, "nobody") for s in servers for b in PLAIN]
    if bench.quick:
        return [("hello-server", "least-connections", "root"),
                ("Python", "shared", "root"), ("Python", "random", "nobody")]
    return [(s, b, "root") for s in servers for b in MODES
            if b in ("least-connections", "shared") or
            s in ("hello-server", "Python")] + \
        [("Python", b, "nobody") for b in PLAIN]


def few(bench, *rows):
    """Those, or all of them with --full, or the first with --quick."""
    return matrix(bench) if bench.full else rows[:1] if bench.quick else rows


@contextlib.contextmanager
def measured(bench, scenario, case):
    """Go on with the next case when this one cannot be measured."""
    try:
        yield
    except Trouble as e:
        if "ended by" in str(e):
            raise
        bench.say(f"reload.py: {scenario}: {e}")
        skip(bench, f"{scenario}: {case}",
             textwrap.shorten(str(e).split("\n")[0], 100))
        bench.trouble = True


# ---- 1. reload -------------------------------------------------------------


def reloads(cluster, times, limit=10, **options):
    """Under load; as many as there are in so many seconds."""
    done = 0
    with Load(cluster, **options) as load:
        time.sleep(0.3)
        begin = time.monotonic()
        while done < times and time.monotonic() < begin + limit:
            cluster.must_reload()
            done += 1
        each = (time.monotonic() - begin) / done
        cluster.wait_workers(cluster.keys["instances"])
        time.sleep(0.1)
        result = load.stop()
    late = cluster.count("drain_timeout after", 0)
    return result, f"{done} reloads of {each * 1000:.0f} ms" + (
        f", {late} drain_timeouts" if late else "")


def scenario_reload(bench):
    for case in case_list(bench, matrix(bench)):
        with measured(bench, "reload", case), \
                Cluster(bench, case) as cluster:
            result, what = reloads(cluster, 5 if bench.quick else 20)
            report(bench, "reload", case, what, result,
                   quiet(cluster, result))


def scenario_keepalive(bench):
    """The servers that keep connections."""
    for case in case_list(bench, few(
            bench, ("Node", "least-connections", "root"),
            ("Node", "shared", "root"),
            ("hello-server", "random", "nobody"))):
        if case.server not in ("Node", "hello-server"):
            continue
        with measured(bench, "keepalive", case), \
                Cluster(bench, case, drain_timeout="1s",
                        max_surge=INSTANCES) as cluster:
            result, what = reloads(cluster, 20, 1 if bench.quick else 4,
                                   keepalive=32)
            report(bench, "keepalive", case, what, result,
                   quiet(cluster, result, keepalive=32))


# Answered after 20 ms, so that there is something to lose.
PAUSES = {"hello-server": "/slow?ms=20", "Node": "/pause", "Python": "/pause"}


def pausing(bench, case, pause=0):
    """Keys for a server that does so; `pause` seconds within /stream."""
    command = bench.kinds[case.server].command
    if case.server == "Python":
        command = f"{command.split()[0]} {bench.site}/server.py {{port}} " \
            f"{pause}"
    elif case.server == "Node":
        command = f"{command[:-1]}{pause}"
    return {"command": command}


def scenario_busy(bench):
    for case in case_list(bench, few(
            bench, ("Python", "shared", "root"),
            ("Python", "least-connections", "root"),
            ("Python", "random", "nobody"), ("Node", "shared", "root"),
            ("hello-server", "shared", "root"))):
        if case.server not in PAUSES:
            continue
        with measured(bench, "busy", case), \
                Cluster(bench, case, drain_timeout="2s",
                        **pausing(bench, case)) as cluster:
            cluster.path = PAUSES[case.server]
            result, what = reloads(cluster, 20, 2 if bench.quick else 5)
            report(bench, "busy", case, what, result, quiet(cluster, result))


# ---- 2. scale --------------------------------------------------------------


def scale(cluster, signo, count, to):
    """One at a time: two signals that wait are one."""
    start = cluster.mark()
    step = 1 if signo == signal.SIGTTIN else -1
    for n in range(count + step, to + step, step):
        cluster.event(f"scaling to {n}")
        cluster.process.send_signal(signo)
        cluster.wait_log(f"scaling to {n} ", start)
    if step > 0:
        cluster.wait_log("ready after", start, to - count)
    cluster.wait_workers(to)


def scenario_scale(bench):
    for case in case_list(bench, few(
            bench, ("Python", "least-connections", "root"),
            ("Python", "shared", "root"), ("Python", "random", "nobody"),
            ("Node", "least-connections", "root"),
            ("php -S", "shared", "root"),
            ("hello-server", "random", "root"))):
        with measured(bench, "scale", case), \
                Cluster(bench, case, 2) as cluster:
            turns = 0
            with Load(cluster) as load:
                time.sleep(0.3)
                until = time.monotonic() + (1 if bench.quick else 2)
                while turns < 1 or time.monotonic() < until:
                    scale(cluster, signal.SIGTTIN, 2, 8)
                    scale(cluster, signal.SIGTTOU, 8, 2)
                    turns += 1
                time.sleep(0.1)
                result = load.stop()
            report(bench, "scale", case, f"{turns} times 2 -> 8 -> 2", result,
                   quiet(cluster, result))


# ---- 3. and 4. kill --------------------------------------------------------


SYS_PIDFD_GETFD = 438


def is_accepted(pidfd, fd, port):
    """Is that descriptor a connection of the port? Nothing of it is kept."""
    copy = figures.LIBC.syscall(SYS_PIDFD_GETFD, pidfd, fd, 0)
    if copy < 0:
        if ctypes.get_errno() == errno.EPERM:
            raise PermissionError
        return False
    with socket.socket(fileno=copy) as s:
        try:
            s.getpeername()
            return s.family in (socket.AF_INET, socket.AF_INET6) and \
                s.getsockname()[1] == port
        except OSError:
            return False


def accepted(pid, port):
    """How many connections of that port a process has; None: unknown."""
    count = 0
    pidfd = os.pidfd_open(pid)
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(f"/proc/{pid}/fd/{name}").startswith(
                        "socket:"):
                    count += is_accepted(pidfd, int(name), port)
    except PermissionError:
        return None
    finally:
        os.close(pidfd)
    return count


class Killer:
    """Every 200 ms, a worker. How many, and what they had accepted."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.kills = self.accepted = 0
        self.blind = False
        self.random = random.Random(5)

    def kill_one(self):
        pid = self.random.choice(sorted(children(self.cluster.pid)) or [0])
        if pid == 0:
            return
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            os.kill(pid, signal.SIGSTOP)
            self.stand_still(pid)
            n = accepted(pid, self.cluster.port)
            self.cluster.event(f"kill of {pid} with {n} connections")
            os.kill(pid, signal.SIGKILL)
            self.kills += 1
            self.accepted += n or 0
            self.blind |= n is None

    @staticmethod
    def stand_still(pid):
        """All threads, for 50 ms at most."""
        deadline = time.monotonic() + 0.05
        while time.monotonic() < deadline:
            if all(figures.proc(f"{pid}/task/{tid}", "stat")
                   .rpartition(")")[2].split()[0] in "TtZX"
                   for tid in os.listdir(f"/proc/{pid}/task")):
                return
            time.sleep(0.0005)

    def run(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            due = time.monotonic() + 0.2
            self.kill_one()
            time.sleep(max(0, due - time.monotonic()))

    def words(self, result):
        return f"{self.kills} kills, " \
            f"{result.failed / max(1, self.kills):.2f} failed each" + \
            (" (what they had is unknown)" if self.blind else "")

    def allowed(self, result):
        return max(self.accepted, result.failed) if self.blind \
            else self.accepted


def kill_cases(bench):
    return case_list(bench, few(
        bench, ("Python", "least-connections", "root"),
        ("Python", "shared", "root"), ("Python", "random", "nobody"),
        ("Node", "least-connections", "root"),
        ("hello-server", "shared", "root")))


def scenario_kill(bench):
    for case in kill_cases(bench):
        with measured(bench, "kill", case), \
                Cluster(bench, case, **pausing(bench, case)) as cluster:
            cluster.path = PAUSES.get(case.server, cluster.path)
            killer = Killer(cluster)
            with Load(cluster) as load:
                time.sleep(0.3)
                killer.run(1 if bench.quick else 4)
                result = load.stop()
            report(bench, "kill", case, killer.words(result), result,
                   quiet(cluster, result), killer.allowed(result))


def scenario_killreload(bench):
    for case in kill_cases(bench):
        with measured(bench, "killreload", case), \
                Cluster(bench, case, drain_timeout="500ms",
                        **pausing(bench, case)) as cluster:
            cluster.path = PAUSES.get(case.server, cluster.path)
            killer = Killer(cluster)
            said = collections.Counter()
            with Load(cluster) as load:
                time.sleep(0.3)
                thread = threading.Thread(
                    target=killer.run, args=(1 if bench.quick else 4,))
                thread.start()
                try:
                    while thread.is_alive():
                        said[cluster.reload()] += 1
                finally:
                    thread.join()
                time.sleep(0.3)
                result = load.stop()
            late = cluster.count("drain_timeout after", 0)
            report(bench, "killreload", case, killer.words(result) + ", " +
                   ", ".join(f"{n} {what}" for what, n in said.items()) +
                   (f", {late} drain_timeouts" if late else ""),
                   result, None, killer.allowed(result))


# ---- 5. abort --------------------------------------------------------------


def abort(cluster, python, kind, keys):
    """A bad reload, and what clusterd has to say."""
    old = children(cluster.pid)
    cluster.write(command=f"{python} {cluster.bench.site}/bad.py {kind} "
                  f"{cluster.keys['command']}", **keys)
    start = cluster.hup()
    said = cluster.wait_log(DONE, start)
    cluster.event(f"{kind}: {said}")
    if "aborted" not in said:
        raise Trouble(f"{cluster.case}: {kind}: {said}")
    if kind == "later":     # the first one had changed over
        cluster.wait_log("rolled back to", start)
        cluster.event("rolled back")
    elif not old <= children(cluster.pid):
        raise Trouble(f"{cluster.case}: {kind}: an old worker is gone")
    cluster.wait_workers(INSTANCES)


def scenario_abort(bench):
    python = shutil.which("python3", path=ENV["PATH"])
    if not python:
        skip(bench, "abort", "python3 is not installed")
        return
    for case in case_list(bench, few(
            bench, ("Python", "least-connections", "root"),
            ("Python", "shared", "root"), ("Python", "random", "nobody"),
            ("hello-server", "least-connections", "root"))):
        with measured(bench, "abort", case), \
                Cluster(bench, case, ready_timeout="1s") as cluster:
            with Load(cluster) as load:
                time.sleep(0.3)
                for kind, keys in BAD_KINDS.items():
                    abort(cluster, python, kind, keys)
                cluster.write()
                cluster.must_reload()
                time.sleep(0.3)
                result = load.stop()
            report(bench, "abort", case, f"{len(BAD_KINDS)} aborted, 1 of "
                   "them rolled back", result, quiet(cluster, result))


# ---- 6. port ---------------------------------------------------------------


def scenario_port(bench):
    for case in case_list(bench, few(
            bench, ("Python", "least-connections", "root"),
            ("Python", "shared", "root"), ("Node", "random", "nobody"),
            ("hello-server", "least-connections", "root"))):
        with measured(bench, "port", case), \
                Cluster(bench, case) as cluster, \
                contextlib.ExitStack() as stack:
            moves, refused, total = 2 if bench.quick else 4, 0, None
            load = stack.enter_context(Load(cluster))
            for _ in range(moves):
                time.sleep(0.5)
                cluster.port = cluster.keys["port"] = free_port()
                cluster.write()
                hup = time.monotonic()
                cluster.must_reload()
                following = stack.enter_context(Load(cluster))
                result = load.stop()
                refused += result.excuse(
                    lambda f, hup=hup: f["phase"] == "connect" and
                    f["error"] == "ECONNREFUSED" and f["when"] >= hup - 0.01)
                total = total.add(result) if total else result
                load = following
            time.sleep(0.5)
            total.add(load.stop())
            report(bench, "port", case, f"{moves} moves, {refused} refused "
                   "as they must be", total, quiet(cluster, total))


# ---- 7. stream -------------------------------------------------------------


def stream_one(bench, case, pause, idle, results):
    """Two loads: slow answers, and quick ones beside them. The reload begins
    while slow ones are under way and others come."""
    slow_path = f"/slow?ms={pause * 1000}" \
        if case.server == "hello-server" else "/stream"
    with Cluster(bench, case, drain_timeout="30s", drain_idle=idle,
                 max_surge=INSTANCES, **pausing(bench, case, pause)) \
            as cluster, \
            Load(cluster, rate=100, path="/", duration=pause + 6) as quick, \
            Load(cluster, rate=10, duration=3, timeout=2 * pause + 10,
                 path=slow_path) as slow:
        time.sleep(1.5)
        begin = time.monotonic()
        cluster.must_reload()
        took = time.monotonic() - begin
        results.append((case, f"drain_idle {idle}, reload {took:.1f} s",
                        slow.stop(now=False), quick.stop(now=False)))


def scenario_stream(bench):
    """All at a time: they mostly wait."""
    pause = 4 if bench.quick else 10
    rows = [("Python", "least-connections", "root", "off"),
            ("Python", "shared", "root", "15s"),
            ("Python", "random", "nobody", "off"),
            ("Node", "least-connections", "root", "15s"),
            ("Node", "shared", "root", "off"),
            ("hello-server", "least-connections", "root", "off")]
    results, threads = [], []

    def run(case, idle):
        with measured(bench, "stream", case):
            stream_one(bench, case, pause, idle, results)

    for row in rows:
        for case in case_list(bench, [row[:3]]):
            threads.append(threading.Thread(target=run, args=(case, row[3])))
            threads[-1].start()
            time.sleep(0.1)
    for thread in threads:
        thread.join()
    for case, what, slow, quick in results:
        report(bench, "stream", case, f"slow ones, {what}", slow)
        report(bench, "stream", case, "quick ones beside them", quick)


# ---- the frame -------------------------------------------------------------


SCENARIOS = {
    "reload": scenario_reload,
    "keepalive": scenario_keepalive,
    "busy": scenario_busy,
    "scale": scenario_scale,
    "kill": scenario_kill,
    "killreload": scenario_killreload,
    "abort": scenario_abort,
    "port": scenario_port,
    "stream": scenario_stream,
}


def parse():
    parser = argparse.ArgumentParser(
        description="Count what reloads, scalings and kills lose.")
    parser.add_argument("--quick", action="store_true",
                        help="short runs, whose verdicts do not count")
    parser.add_argument("--full", action="store_true",
                        help="every server with every balance and user: more "
                        "than half an hour")
    parser.add_argument("--strict", action="store_true",
                        help="exit with 1 when a target is missed")
    for name, what in (("only", "of " + ", ".join(SCENARIOS)),
                       ("server", "these alone"), ("balance", "these alone"),
                       ("user", "of root, nobody")):
        parser.add_argument(f"--{name}", metavar="NAME,...", help=what,
                            type=lambda text: text.split(","))
    args = parser.parse_args()
    for name in args.only or ():
        if name not in SCENARIOS:
            parser.error(f"{name}: not one of {', '.join(SCENARIOS)}")
    return args


def run_all(bench, names):
    """True: all of it could be measured."""
    bench.trouble = False
    for name in names:
        try:
            SCENARIOS[name](bench)
        except Trouble as e:
            bench.say(f"reload.py: {name}: {e}")
            skip(bench, name, str(e).split("\n")[0])
            return False
    return not bench.trouble


def main():
    args = parse()
    for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP,
                  signal.SIGALRM):
        signal.signal(signo, figures.give_up)
    signal.alarm(OVERALL * 4 if args.full else OVERALL)
    status = 0
    with tempfile.TemporaryDirectory(prefix="clusterd-bench-") as directory:
        try:
            bench = Bench(directory, args.quick)
            prepare(bench)
        except Trouble as e:
            print(f"reload.py: {e}", file=sys.stderr)
            return 2
        bench.full = args.full
        bench.chosen = args.server, args.balance, args.user
        bench.results, bench.failures, bench.skipped = [], [], []
        begin = time.monotonic()
        if not run_all(bench, args.only or list(SCENARIOS)):
            status = 2
        signal.alarm(0)
        print(f"clusterd under reloads on {os.uname().release}, "
              f"{bench.n_cpus} CPUs, load average {os.getloadavg()[0]:.2f}, "
              f"{time.monotonic() - begin:.0f} s"
              f"{', --quick' if args.quick else ''}")
        print_table(bench)
    if status == 0 and args.strict and \
            any("SHORT" in row[-2:] for row in bench.results):
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
