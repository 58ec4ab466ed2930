#!/usr/bin/python3
"""How long the turns of clusterd's loop are, and what the long ones are made of.

    python3 -B tests/bench/turns.py [--apps N] [--instances N] [--parts]
        [--keys KEY=VALUE,...] [--only start,reload,kill,stop] [CLUSTERD...]

Many apps are started, reloaded, killed and stopped, while one client asks for
the status of one app all the time. For each of the programs (CLUSTERD, or
build/clusterd) and phases there is a line: the longest turn, in wall clock time
and in CPU time (which other work on the machine does not lengthen), how many
turns took more than 5 ms of CPU time, the turns' number, what the phase took
and how much CPU time, and how long the client waited for an answer, at most and
for 99 of 100. turns.c measures, preloaded.

--parts builds nothing: the program has to be built with

    make B=build-turns OPT=-O1 HARDEN= LDHARDEN= \\
        CFLAGS='-g -fno-inline -finstrument-functions' build-turns/clusterd

and shows of which functions the longest turn of each phase consists.
"""

import argparse
import collections
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import figures
from figures import ENV, HERE, ROOT, Bench, Trouble, await_exit, end

LIMIT = 120
LONG = 5000     # microseconds


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


Turn = collections.namedtuple("Turn", "begin wall cpu switches parts")


def read_turns(path):
    turns = []
    with open(path, encoding="ascii") as f:
        for line in f:
            kind, *rest = line.split()
            if kind == "turn":
                turns.append(Turn(*map(int, rest), []))
            else:
                level, address, count, wall = rest
                turns[-1].parts.append((int(level), int(address, 16),
                                        int(count), int(wall)))
    return turns


def names_of(program):
    out = subprocess.run(["nm", program], capture_output=True, text=True,
                         check=True).stdout
    names = {}
    for line in out.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in "tTwW":
            names.setdefault(int(words[0], 16), words[2])
    return names


def in_phase(pairs, phase):
    begin, finish = phase
    return [p for p in pairs if begin <= p[0] < finish]


def tell(name, phase, took, turns, waits):
    turns = [t for t in turns if phase[0] * 1e6 <= t.begin < phase[1] * 1e6]
    waits = sorted(w for _, w in in_phase(waits, phase))
    if not turns:
        print(f"{name:10} no turn")
        return turns
    by_cpu = max(turns, key=lambda t: t.cpu)
    by_wall = max(turns, key=lambda t: t.wall)
    many = sum(t.cpu > LONG for t in turns)
    asked = f"{waits[-1] * 1000:8.1f} {waits[len(waits) * 99 // 100] * 1000:8.1f}" \
        if waits else "       -        -"
    print(f"{name:10} {by_wall.wall / 1000:8.1f} {by_cpu.cpu / 1000:8.1f} "
          f"{many:6} {len(turns):7} {took:8.2f} "
          f"{sum(t.cpu for t in turns) / 1e6:8.2f} {asked}", flush=True)
    return turns


def tell_parts(turns, names):
    if not turns:
        return
    # Of several that are about as long, one that was let go on.
    t = max(turns, key=lambda t: t.cpu)
    print(f"    of {t.wall} us:")
    for level, address, count, wall in t.parts:
        print(f"    {wall:7} {count:6}x {'  ' * level}"
              f"{names.get(address, hex(address))}")


# ---- the phases ------------------------------------------------------------


def write(path, args, worker, serial):
    keys = {"command": worker, "instances": args.instances,
            "ready": "notify", "handoff": "env", "listen": "127.0.0.1:0",
            "env": f"SERIAL={serial}"}
    keys.update(k.split("=", 1) for k in args.keys.split(";") if k)
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"[clusterd]\ncontrol = {path}.sock\n")
        for i in range(args.apps):
            f.write(f"[a{i}]\n")
            f.writelines(f"{k} = {v}\n" for k, v in keys.items())


def wait_log(path, words, n, process):
    """Until the n-th line has the words."""
    deadline = time.monotonic() + LIMIT
    while True:
        with open(path, encoding="utf-8", errors="replace") as f:
            seen = sum(words in line for line in f)
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
        begin = time.monotonic()
        p = subprocess.Popen(
            [program, "-c", ini], stdin=subprocess.DEVNULL, stdout=f, stderr=f,
            env={**ENV, "LD_PRELOAD": bench.turns, "TURNS_FILE": out},
            preexec_fn=first)
    client = Client(ini + ".sock")

    def phase(name, finish):
        nonlocal begin
        phases[name] = (begin, finish), finish - begin
        time.sleep(0.5)
        begin = time.monotonic()

    try:
        phase("start", wait_log(log, "start complete", 1, p))
        if "reload" in args.only:
            write(ini, args, bench.hello, 1)
            begin = time.monotonic()
            p.send_signal(signal.SIGHUP)
            phase("reload", wait_log(log, "reload complete", args.apps, p))
        if "kill" in args.only:
            for pid in workers_of(p.pid, bench.hello):
                os.kill(pid, signal.SIGKILL)
            wait_log(log, "ready after",
                     args.apps * args.instances *
                     (3 if "reload" in args.only else 2), p)
            phase("kill", time.monotonic())
        begin = time.monotonic()
        p.send_signal(signal.SIGTERM)
        await_exit(p.pid, LIMIT)
        phase("stop", time.monotonic())
        p.wait()
    finally:
        end(p)
        client.close()
    names = names_of(program) if args.parts else {}
    all_turns = read_turns(out)
    for name, (span, took) in phases.items():
        turns = tell(name, span, took, all_turns, client.waits)
        if args.parts:
            tell_parts(turns, names)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--apps", type=int, default=300)
    parser.add_argument("--instances", type=int, default=10)
    parser.add_argument("--keys", default="", help="of each app, with ; between")
    parser.add_argument("--only", default="start,reload,kill,stop",
                        type=lambda s: s.split(","))
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("clusterd", nargs="*",
                        default=[os.path.join(ROOT, "build/clusterd")])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(directory, False)
        bench.turns = bench.compile("turns", "turns.so", ["-shared", "-fPIC"])
        for _ in range(args.times):
            for program in args.clusterd:
                print(f"{program}\n{'phase':10} {'wall':>8} {'CPU ms':>8} "
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
