#!/usr/bin/python3
"""How long the turns of clusterd's loop are where hundreds of apps run.

    python3 -B tests/bench/turns.py [--apps N] [--instances N] [--syscalls]
        [--keys KEY=VALUE;...] [--only start,reload,open,kill,stop] [--open N]
        [CLUSTERD...]

Many apps are started, reloaded, killed and stopped, while one client asks for
the status of one app all the time; `open` is a reload that brings N apps more,
with a listener each. For each of the programs (CLUSTERD, or
build/clusterd) and phases there is a line: the longest turn by the clock, and
without what others had of the CPU and what it slept; how many turns took more
than 5 ms without what others had; the turns' number; what the phase took and how
much CPU time; and how long the client waited for an answer, at most and for 99
of 100. looptime.c measures, which takes root or the like.

--syscalls tells what the longest turn of each phase did in the kernel, and makes
all of them longer.
"""

import argparse
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import chaos_look
import figures
from figures import ENV, HERE, ROOT, Bench, Trouble, await_exit, end

LIMIT = 120
LONG = 5        # milliseconds


# ---- a client --------------------------------------------------------------


class Client:
    """Asks without end; `waits`: (when, seconds)."""

    def __init__(self, path):
        self.path = path
        self.waits = []
        self.enough = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def connect(self):
        while not self.enough:
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(LIMIT)
            try:
                s.connect(self.path)
                return s
            except OSError:
                s.close()
                time.sleep(0.001)
        return None

    def run(self):
        # Before those who are measured, which wait for nobody else either.
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK,
                              os.sched_param(2))
        s = self.connect()
        if s is None:
            return
        begin = time.monotonic()
        text = s.makefile("rb")
        try:
            while not self.enough:
                s.sendall(b"status a0\n")
                while not text.readline().startswith((b"ok", b"error")):
                    pass
                now = time.monotonic()
                self.waits.append((begin, now - begin))
                time.sleep(0.002)
                begin = time.monotonic()
        except OSError:
            pass
        s.close()

    def close(self):
        self.enough = True
        self.thread.join()


# ---- what was measured -----------------------------------------------------


def most(values):
    return max((v for v in values if v is not None), default=0)


def tell(name, phase, cpu, looked, waits):
    begin, finish = phase
    periods = [p for p in looked.periods if begin <= p[0] - 0.05 < finish]
    waits = sorted(w for when, w in waits if begin <= when < finish)
    asked = f"{waits[-1] * 1000:8.1f} {waits[len(waits) * 99 // 100] * 1000:8.1f}" \
        if waits else "       -        -"
    print(f"{name:10} {most(p[2] for p in periods):8.1f} "
          f"{most(p[4] for p in periods):8.1f} "
          f"{len(looked.long_between(begin, finish)):6} "
          f"{sum(p[1] for p in periods):7} {finish - begin:8.2f} "
          f"{cpu:8.2f} {asked}", flush=True)


def tell_calls(phase, looked):
    turns = looked.long_between(*phase)
    if turns:
        _, _, own, slept, calls = max(turns, key=lambda t: t[2])
        print(f"    of {own} ms, {slept} slept: "
              f"{chaos_look.calls_in_words(calls)}")


# ---- the phases ------------------------------------------------------------


def write(path, args, worker, serial, more=0):
    keys = {"command": worker, "instances": args.instances,
            "ready": "notify", "handoff": "env", "listen": "127.0.0.1:0",
            "env": f"SERIAL={serial}"}
    keys.update(k.split("=", 1) for k in args.keys.split(";") if k)
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"[clusterd]\ncontrol = {path}.sock\n")
        for i in range(args.apps + more):
            f.write(f"[a{i}]\n")
            f.writelines(f"{k} = {v}\n" for k, v in keys.items())


def await_words(path, words, process):
    """Soon."""
    deadline = time.monotonic() + LIMIT
    while True:
        with open(path, encoding="ascii") as f:
            text = f.read()
        if words in text:
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise Trouble(text)
        time.sleep(0.01)


def more_lines(line):
    m = re.search(r"(\d+) more lines such as", line)
    return int(m[1]) if m else 1


def wait_log(path, words, n, process):
    """Until the n-th line has the words, with those that were left out."""
    deadline = time.monotonic() + LIMIT
    while True:
        with open(path, encoding="utf-8", errors="replace") as f:
            seen = sum(more_lines(line) for line in f if words in line)
        if seen >= n:
            return time.monotonic()
        if process.poll() is not None or time.monotonic() > deadline:
            with open(path, encoding="utf-8", errors="replace") as f:
                rest = "".join(f.readlines()[-10:])
            raise Trouble(f"\"{words}\" is not in the log:\n{rest}")
        time.sleep(0.05)


def workers_of(pid, program):
    """And no helper of clusterd's, which come and go."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        pids = [int(w) for w in f.read().split()]
    for child in pids:
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{child}/exe") == program:
                yield child


def first():
    """Where other work goes on, that is not to be measured: this process comes
    before all of it, and its workers do not."""
    figures.tied()()
    os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK,
                          os.sched_param(1))


def run(bench, args, program):
    ini, log, out = bench.path("ini"), bench.path("log"), bench.path("turns")
    write(ini, args, bench.hello, 0)
    phases = {}
    with open(log, "wb") as f:
        # It is looked at from its first turn on.
        p = subprocess.Popen(
            ["/bin/sh", "-c", "read -r _; exec \"$0\" -c \"$1\" </dev/null",
             program, ini], stdin=subprocess.PIPE, stdout=f, stderr=f,
            # One process is looked at: there is none beside it.
            env=dict(ENV, CLUSTERD_KEEPER="no"), preexec_fn=first)
    looked = chaos_look.Turns(out, p.pid, LONG, args.syscalls)
    await_words(out, "begins", looked.process)
    begin, cpu = time.monotonic(), chaos_look.cpu_seconds(p.pid)
    p.stdin.write(b"\n")
    p.stdin.close()
    client = Client(ini + ".sock")

    def phase(name, finish):
        """Its CPU time is told where there is still a process."""
        used = chaos_look.cpu_seconds(p.pid)
        phases[name] = (begin, finish), used - cpu
        time.sleep(0.5)
        return time.monotonic(), chaos_look.cpu_seconds(p.pid)

    try:
        begin, cpu = phase("start", wait_log(log, "start complete", 1, p))
        if "reload" in args.only:
            write(ini, args, bench.hello, 1)
            p.send_signal(signal.SIGHUP)
            begin, cpu = phase(
                "reload", wait_log(log, "reload complete", args.apps, p))
        if "open" in args.only:
            serial = 1 if "reload" in args.only else 0
            write(ini, args, bench.hello, serial, more=args.open)
            p.send_signal(signal.SIGHUP)
            begin, cpu = phase("open", wait_log(
                log, "starting", args.apps + args.open, p))
        if "kill" in args.only:
            for pid in workers_of(p.pid, bench.hello):
                os.kill(pid, signal.SIGKILL)
            begin, cpu = phase("kill", wait_log(
                log, "ready after", args.apps * args.instances *
                (3 if "reload" in args.only else 2), p))
        p.send_signal(signal.SIGTERM)
        await_exit(p.pid, LIMIT)
        phases["stop"] = (begin, time.monotonic()), \
            chaos_look.cpu_seconds(p.pid) - cpu
        p.wait()
    finally:
        end(p)
        client.close()
        looked.end()
    if looked.why_not:
        raise Trouble(looked.why_not)
    if looked.lost:
        print(f"{looked.lost} records were lost, and turns with them")
    for name, (span, used) in phases.items():
        tell(name, span, used, looked, client.waits)
        if args.syscalls:
            tell_calls(span, looked)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--apps", type=int, default=300)
    parser.add_argument("--instances", type=int, default=10)
    parser.add_argument("--keys", default="", help="of each app, with ; between")
    parser.add_argument("--open", type=int, default=10)
    parser.add_argument("--only", default="start,reload,kill,stop",
                        type=lambda s: s.split(","))
    parser.add_argument("--syscalls", action="store_true")
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("clusterd", nargs="*",
                        default=[os.path.join(ROOT, "build/clusterd")])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(directory, False)
        chaos_look.LOOPTIME = bench.compile("looptime", "looptime", [])
        for _ in range(args.times):
            for program in args.clusterd:
                print(f"{program}\n{'phase':10} {'wall':>8} {'ran ms':>8} "
                      f"{'>5ms':>6} {'turns':>7} {'took s':>8} {'CPU s':>8} "
                      f"{'asked ms':>8} {'p99':>8}")
                run(bench, args, os.path.abspath(program))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as e:
        print(e, file=sys.stderr)
        sys.exit(2)
