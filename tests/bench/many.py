#!/usr/bin/python3
"""What clusterd takes for many workers of one app, and how that grows.

    python3 -B tests/bench/many.py [--only reload,drain] [--sizes N,N,...]
        [--workers N] [--connections N] [--keys KEY=VALUE;...] [CLUSTERD...]

`reload`: a reload, with defaults, of each of --sizes instances that nobody uses
(examples/hello-server, which binds its port by itself): seconds, the same for each
worker, and the supervisor's CPU time for each worker. Last comes how much more a
worker of the largest size takes of it than one of the smallest.

`drain`: --workers instances have --connections between two requests, and the app is
stopped: seconds until the last of them is drained, the supervisor's CPU time, and how
many came to their drain_timeout instead.

The programs (build/clusterd, or those that are named) take turns. A clusterctl is to
be beside each. Exit status: 0 measured, 2 not measured.
"""

import argparse
import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time

from figures import ENV, ROOT, Trouble, cpu_seconds, end, free_port

LIMIT = 400
HELLO = os.path.join(ROOT, "examples/hello-server")


class Run:
    def __init__(self, directory, program, instances, keys):
        self.port = free_port()
        self.keys = [k for k in keys.split(";") if k]
        self.instances = instances
        self.ini = os.path.join(directory, "ini")
        self.path = os.path.join(directory, "log")
        self.ctl = os.path.join(os.path.dirname(program), "clusterctl")
        self.write(0)
        with open(self.path, "wb") as log:
            # One process is looked at: there is none beside it.
            self.process = subprocess.Popen(
                [program, "-c", self.ini], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=dict(ENV, CLUSTERD_KEEPER="no"))
        self.log, self.text = open(self.path, encoding="utf-8"), ""

    def write(self, serial):
        with open(self.ini, "w", encoding="ascii") as f:
            f.write(f"[clusterd]\ncontrol = {self.ini}.sock\n"
                    f"[web]\ncommand = {HELLO} {self.port}\n"
                    f"port = {self.port}\ninstances = {self.instances}\n"
                    f"env = SERIAL={serial}\n")
            f.writelines(f"{k}\n" for k in self.keys)

    def wait(self, words, n=1):
        """Until one of the words was said so often."""
        deadline = time.monotonic() + LIMIT
        while True:
            self.text += self.log.read()
            if sum(map(self.text.count, words.split("|"))) >= n:
                return time.monotonic()
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Trouble(f"no \"{words}\":\n{self.text[-1000:]}")
            time.sleep(0.005)

    def cpu(self):
        return cpu_seconds(self.process.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # At the end its log says no more than what was said.
        self.log.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        end(self.process, signal.SIGINT)


def reload(directory, program, n, keys):
    """Seconds, and those of CPU time."""
    with Run(directory, program, n, keys) as run:
        run.wait("start complete")
        run.write(1)
        begin, cpu = time.monotonic(), run.cpu()
        run.process.send_signal(signal.SIGHUP)
        return run.wait("reload complete") - begin, run.cpu() - cpu


def clients(stack, port, n):
    """So many connections, each of which has had an answer."""
    found = []
    for _ in range(n):
        s = socket.create_connection(("127.0.0.1", port))
        stack.enter_context(s)
        s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        found.append(s)
    for s in found:
        if not s.recv(4096).startswith(b"HTTP/1.1 200"):
            raise Trouble("no answer")


def drain(directory, program, args):
    with Run(directory, program, args.workers, args.keys) as run, \
            contextlib.ExitStack() as stack:
        run.wait("start complete")
        clients(stack, run.port, args.connections)
        # Until they are idle, as a stop has it.
        time.sleep(0.5)
        begin, cpu = time.monotonic(), run.cpu()
        asked = subprocess.Popen(
            [run.ctl, "-c", run.ini, "stop", "web"], env=ENV,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        try:
            took = run.wait(": drained in |: drain_timeout",
                            args.workers) - begin
            return took, run.cpu() - cpu, run.text.count(": drain_timeout")
        finally:
            end(asked)


def measure_reload(args, directory):
    print("reload of       seconds  ms each  CPU ms each", flush=True)
    each = {}
    for n in args.sizes:
        for program in args.clusterd:
            took, cpu = reload(directory, program, n, args.keys)
            each[program, n] = cpu / n
            print(f"{n:6} idle  {took:11.2f} {took * 1000 / n:8.2f} "
                  f"{cpu * 1000 / n:12.2f}  {program}", flush=True)
    low, high = min(args.sizes), max(args.sizes)
    for program in args.clusterd:
        if low < high:
            print(f"{high} against {low}: x "
                  f"{each[program, high] / each[program, low]:.2f} CPU each  "
                  f"{program}")


def measure_drain(args, directory):
    resource.setrlimit(resource.RLIMIT_NOFILE, [
        max(args.connections + 100, resource.getrlimit(
            resource.RLIMIT_NOFILE)[1])] * 2)
    print("drain of                          seconds    CPU s  timed out", flush=True)
    for program in args.clusterd:
        took, cpu, late = drain(directory, program, args)
        print(f"{args.workers:6} with {args.connections:6} connections "
              f"{took:9.2f} {cpu:8.2f} {late:9}  {program}", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="reload,drain",
                        type=lambda s: s.split(","))
    parser.add_argument("--sizes", default=[250, 1000, 2000],
                        type=lambda s: [int(n) for n in s.split(",")])
    parser.add_argument("--workers", type=int, default=600)
    parser.add_argument("--connections", type=int, default=20000)
    parser.add_argument("--keys", default="", help="of the app, with ; between")
    parser.add_argument("clusterd", nargs="*",
                        default=[os.path.join(ROOT, "build/clusterd")])
    args = parser.parse_args()
    args.clusterd = [os.path.abspath(p) for p in args.clusterd]
    with tempfile.TemporaryDirectory(prefix="clusterd-bench-") as directory:
        if "reload" in args.only:
            measure_reload(args, directory)
        if "drain" in args.only:
            measure_drain(args, directory)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Trouble, OSError) as e:
        print(f"many.py: {e}", file=sys.stderr)
        sys.exit(2)
