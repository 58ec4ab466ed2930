#!/usr/bin/python3
"""How long a start takes, from exec to all workers ready, beside nginx's.

    python3 -B tests/bench/start.py [--runs N] [--keys KEY=VALUE;...]
        [--only 1x2,1x32,50x2] [CLUSTERD...]

Apps of so many workers each, of examples/hello-server, which binds its port by
itself and is adopted; nothing is configured but `port` and `instances`, and what
--keys says. nginx, where there is one, has as many workers on as many ports, and
answers by itself. The programs (build/clusterd, or those that are named) and nginx
start in turns; there is a line for each with the median, the quartiles, and the
ratio to nginx in the same rounds.

clusterd is ready when it says so (READY=1), nginx when all of its workers wait for
events. As root eBPF is part of it, else not. Exit status: 0 measured, 2 not
measured.
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from figures import ENV, LIMIT, ROOT, Mailbox, Trouble, end, free_port, proc

EPOLL_WAIT = {"x86_64": ("232", "281"), "aarch64": ("22",)}

NGINX = """\
daemon off;
worker_processes {workers};
error_log stderr;
pid {path}.pid;
events {{ }}
http {{
	access_log off;
{servers}
}}
"""
NGINX_SERVER = "	server {{ listen [::]:{0} ipv6only=off; return 200; }}"


def spawn(argv, log, **env):
    with open(log, "wb") as f:
        begin = time.monotonic()
        # Neither preexec_fn nor another session: that takes a fork of Python.
        return begin, subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=f, stderr=f,
            env={**ENV, **env}, close_fds=False)


def fail(what, log):
    with open(log, encoding="utf-8", errors="replace") as f:
        raise Trouble(f"{what} did not become ready:\n{f.read()[-1000:]}")


class Clusterd:
    def __init__(self, program, keys):
        self.program = program
        self.name = program
        self.keys = keys

    def start(self, path, hello, ports, workers):
        with open(path, "w", encoding="ascii") as f:
            f.write(f"[clusterd]\ncontrol = {path}.sock\n")
            for port in ports:
                f.write(f"[a{port}]\ncommand = {hello} {port}\n"
                        f"port = {port}\ninstances = {workers}\n{self.keys}\n")
        box = Mailbox(path + ".notify")
        begin, process = spawn([self.program, "-c", path], path + ".log",
                               NOTIFY_SOCKET=box.path)
        try:
            while "READY=1" not in box.receive().split("\n"):
                pass
            return time.monotonic() - begin
        except Trouble:
            return fail(self.name, path + ".log")
        finally:
            box.close()
            end(process)


class Nginx:
    name = "nginx"

    def __init__(self):
        self.program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
        self.waits = EPOLL_WAIT.get(os.uname().machine)

    def await_workers(self, process, n, log):
        waiting, deadline = set(), time.monotonic() + LIMIT
        while len(waiting) < n:
            if process.poll() is not None or time.monotonic() > deadline:
                fail(self.name, log)
            for pid in proc(process.pid,
                            f"task/{process.pid}/children").split():
                if pid in waiting:
                    continue
                with contextlib.suppress(OSError):
                    if proc(pid, "syscall").split()[0] not in self.waits:
                        break
                    waiting.add(pid)
        return time.monotonic()

    def start(self, path, _, ports, workers):
        with open(path, "w", encoding="ascii") as f:
            f.write(NGINX.format(
                workers=workers * len(ports), path=path,
                servers="\n".join(map(NGINX_SERVER.format, ports))))
        begin, process = spawn([self.program, "-c", path, "-e", "stderr"],
                               path + ".log")
        try:
            return self.await_workers(process, workers * len(ports),
                                      path + ".log") - begin
        finally:
            end(process, signal.SIGTERM)


def free_ports(n):
    ports = set()
    while len(ports) < n:
        ports.add(free_port())
    return sorted(ports)


def measure(args, directory, apps, workers, programs):
    took = {p.name: [] for p in programs}
    for i in range(args.runs + 1):
        for p in programs:
            seconds = p.start(os.path.join(directory, "conf"), args.hello,
                              free_ports(apps), workers)
            if i > 0:       # the first one brings files into memory
                took[p.name].append(seconds * 1000)
    last = statistics.median(took[programs[-1].name])
    for name, values in took.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"{apps:4} x {workers:<4} {middle:9.2f} "
              f"{low:9.2f} {high:9.2f} {middle / last:7.2f}  {name}",
              flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--keys", default="", help="of each app, with ; between")
    parser.add_argument("--only", default="1x2,1x32,50x2")
    parser.add_argument("clusterd", nargs="*",
                        default=[os.path.join(ROOT, "build/clusterd")])
    args = parser.parse_args()
    args.hello = os.path.join(ROOT, "examples/hello-server")
    keys = args.keys.replace(";", "\n")
    programs = [Clusterd(os.path.abspath(c), keys) for c in args.clusterd]
    nginx = Nginx()
    if nginx.program and nginx.waits:
        programs.append(nginx)
    print(f"apps x workers  ms: median    25 %      75 %   ratio")
    with tempfile.TemporaryDirectory() as directory:
        for case in args.only.split(","):
            measure(args, directory, *map(int, case.split("x")), programs)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as e:
        print(e, file=sys.stderr)
        sys.exit(2)
