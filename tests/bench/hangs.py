#!/usr/bin/python3
"""Who suffers from an instance that hangs, leaks or lies, and for how long.

    python3 -B tests/bench/hangs.py hang [WORD]...     (all)
    python3 -B tests/bench/hangs.py replace [TIMES]    (100)
    python3 -B tests/bench/hangs.py down [SECONDS]     (60)
    python3 -B tests/bench/hangs.py memory [SECONDS]   (30)
    python3 -B tests/bench/hangs.py check [ROUNDS]     (1000)

Under an open loop of 300 requests a second, a connection each, of which one fails
that is not answered in a second.

`hang`: one of four instances begins to hang after two seconds, for each server (c, node,
python) and each way (loop, mute: accepts and never answers; fail: answers 500; stop:
SIGSTOP), or those whose names have all the WORDs: how many requests failed, and when
the last of them began after the hang; without `health`, and with `health_interval = 1s`
and `health_timeout = 400ms`; with BALANCE (round-robin). Where others miss checks, too,
the machine is too busy for this: nobody is left to go to. `replace`: so many instances
hang one after the other, each when the one before is replaced: how many requests
failed, and how many the hung ones had in their hands. `down`: every instance answers 503 for so long: how
many workers were started. `memory`: one leaks 50 MB a second, and max_memory is 64M.
`check`: each of eight instances answers with its own status: how many checks reached
another one, in each balance, as root and as nobody.
"""

import collections
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from figures import ENV, HERE, ROOT, end

RATE = 300
BEFORE, BEHIND = 2, 5       # seconds of load around a hang
NODE = """let hangs = false, held = [];
process.on("SIGUSR2", () => {
    hangs = true;
    while (process.env.HANG == "loop") ;
});
require("http").createServer((q, r) => {
    if (hangs && process.env.HANG == "mute") return held.push(r);
    r.writeHead(hangs ? 500 : 200, { Connection: "close" }).end();
}).listen(process.env.PORT, "127.0.0.1");
"""
SERVER_PY = """import asyncio, os, signal
HANG, hangs, held = os.environ["HANG"], [], []
async def serve(r, w):
    await r.readuntil(b"\\r\\n\\r\\n")
    if hangs and HANG == "mute":
        held.append(w)
        return
    w.write(b"HTTP/1.1 %d x\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n"
            % (500 if hangs else 200))
    await w.drain()
    w.close()
def hang():
    hangs.append(1)
    while HANG == "loop":
        pass
async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, hang)
    async with await asyncio.start_server(
            serve, "127.0.0.1", int(os.environ["PORT"]), backlog=1024) as s:
        await s.serve_forever()
asyncio.run(main())
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def compiled(directory, name, *options):
    program = os.path.join(directory, name)
    subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-O2",
                    "-D_GNU_SOURCE", "-o", program,
                    os.path.join(HERE, name + ".c"), *options], check=True)
    return program


class Clusterd:
    def __init__(self, tools, settings, hang="none", server="c", user=None):
        self.dir = tempfile.mkdtemp(prefix="hangs")
        os.chmod(self.dir, 0o755)
        self.port = free_port()
        command = {"c": f"{tools}/hanging",
                   "node": f"{shutil.which('node')} server.js",
                   "python": "/usr/bin/python3 server.py"}[server]
        for name, text in ("server.js", NODE), ("server.py", SERVER_PY):
            with open(self.path(name), "w", encoding="ascii") as f:
                f.write(text)
        settings = {"command": command, "listen": f"127.0.0.1:{self.port}",
                    "instances": 4, "env": f"HANG={hang}\n    "
                    f"DOWN={self.path('down')}\n    HELD={self.path('held')}",
                    **settings}
        with open(self.path("app.ini"), "w", encoding="ascii") as f:
            f.write(f"[clusterd]\ncontrol = {self.path('control')}\n[web]\n")
            f.writelines(f"{k} = {v}\n" for k, v in settings.items())
        words = [os.path.abspath(os.environ.get(
            "CLUSTERD", os.path.join(ROOT, "build/clusterd"))),
                 "-c", self.path("app.ini")]
        if user:
            shutil.chown(self.dir, user)
            words = ["setpriv", "--reuid", user, "--regid", "nogroup",
                     "--clear-groups", *words]
        with open(self.path("log"), "w", encoding="ascii") as log:
            self.process = subprocess.Popen(words, env=ENV, stderr=log,
                                            cwd=self.dir)
        self.wait(lambda: "start complete" in self.log(), "start complete")

    def path(self, name):
        return os.path.join(self.dir, name)

    def log(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait(self, condition, what, limit=60):
        until = time.monotonic() + limit
        while not condition():
            if time.monotonic() > until or self.process.poll() is not None:
                end(self.process)
                sys.exit(f"without: {what}\n{self.log()[-3000:]}")
            time.sleep(0.02)

    def ask(self, request):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30)
            s.connect(self.path("control"))
            s.sendall(request.encode() + b"\n")
            text = b""
            while b"\nok" not in text and b"\nfailed" not in text:
                part = s.recv(65536)
                if not part:
                    break
                text += part
        return [dict(word.split("=", 1) for word in line.split()
                     if "=" in word) | {"": line.split()[1]}
                for line in text.decode().splitlines()
                if line.startswith("+ ")]

    def seats(self):
        """The pid of each instance that is ready."""
        return {int(r["instance"]): int(r["pid"]) for r in self.ask("status")
                if r[""] == "instance" and r["role"] == "seat" and
                r["state"] == "ready" and r.get("healthy") != "0"}

    def stop(self):
        for pid in self.seats().values():
            os.kill(pid, signal.SIGCONT)
        self.process.send_signal(signal.SIGTERM)
        self.process.send_signal(signal.SIGINT)
        end(self.process)
        shutil.rmtree(self.dir)


class Load:
    def __init__(self, tools, port):
        self.process = subprocess.Popen(
            [f"{tools}/openloop", "--rate", str(RATE), "--duration", "3600",
             "--timeout", "1000", f"127.0.0.1:{port}"], stdout=subprocess.PIPE)

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        told = json.loads(self.process.communicate()[0])
        n = sum(sum(kind.values()) if isinstance(kind, dict) else kind
                for kind in told["failures"].values())
        return n, told


def one_hang(tools, server, way, health):
    settings = {"drain_timeout": "1s", "stop_timeout": "500ms",
                "balance": os.environ.get("BALANCE", "round-robin")}
    if health:
        settings.update(health="http:/", health_interval="1s",
                        health_timeout="400ms")
    d = Clusterd(tools, settings, way, server)
    load = Load(tools, d.port)
    time.sleep(BEFORE)
    began = time.monotonic()
    os.kill(d.seats()[1], signal.SIGSTOP if way == "stop" else signal.SIGUSR2)
    time.sleep(BEHIND)
    n, told = load.stop()
    last = (told["began_ms"] + told["last_failure_ms"]) / 1000 - began
    others = set(re.findall(r"(web\[[^1]\]) pid \d+: unhealthy", d.log()))
    d.stop()
    return n, last if n else 0.0, len(others)


def hang(tools, *words):
    short = False
    print(f"{'':14} {'without health':>24} {'with':>24}\n"
          f"{'':14}" + 2 * f" {'failed':>12} {'last after':>11}")
    for server, way in itertools.product(("c", "node", "python"),
                                         ("loop", "mute", "fail", "stop")):
        if not set(words) <= {server, way} or \
                (server == "node" and not shutil.which("node")):
            continue
        without, beside = (one_hang(tools, server, way, health)
                           for health in (False, True))
        print(f"{server:7}{way:7}" + "".join(
            f" {n:12} {last:9.2f} s" for n, last, _ in (without, beside)) +
            (f"  {beside[2]} of the others missed checks, too"
             if beside[2] else ""), flush=True)
        short |= beside[1] > 1.5
    return short


def replace(tools, times="100"):
    d = Clusterd(tools, {"health": "http:/health", "health_interval": "200ms",
                         "health_timeout": "150ms", "health_failures": "2",
                         "drain_timeout": "300ms", "stop_timeout": "2s"},
                 "mute")
    load = Load(tools, d.port)
    for i in range(int(times)):
        d.wait(lambda: len(d.seats()) == 4, "four that are well")
        pid = d.seats()[i % 4]
        os.kill(pid, signal.SIGUSR2)
        d.wait(lambda: d.seats().get(i % 4, pid) != pid and
               len(d.seats()) == 4, f"a replacement of {pid}")
        d.wait(lambda: f"pid {pid}: unhealthy: GET /health: no answer in 150ms" in
               d.log() and not os.path.exists(f"/proc/{pid}"), "its end")
    n, told = load.stop()
    with open(d.path("held"), encoding="ascii") as f:
        held = sum(int(line) for line in f)
    d.stop()
    print(f"{times} hung instances replaced: {n} of "
          f"{told.get('requests', told.get('started'))} requests failed "
          f"({told['failures']}), {held} clients were in their hands")
    return n > held


def down(tools, seconds="60"):
    d = Clusterd(tools, {"health": "http:/", "health_interval": "1s",
                         "instances": "8", "canary": "2s"})
    before = d.seats()
    with open(d.path("down"), "w", encoding="ascii"):
        time.sleep(float(seconds))
    os.unlink(d.path("down"))
    d.wait(lambda: len(d.seats()) == 8, "healthy again")
    started = len(set(re.findall(r"web\[\d+\] pid (\d+)", d.log()))) - 8
    deaths = collections.Counter(
        line.split("[")[1].split("]")[0] for line in d.log().splitlines()
        if " pid " in line and ("killed by" in line or "exited" in line))
    after = d.seats()
    d.stop()
    print(f"{seconds} s down: {started} workers were tried beside, "
          f"deaths by instance {dict(deaths)}, "
          f"{sum(before[i] != after[i] for i in before)} of 8 are others now")
    return before != after or started > 8


def memory(tools, seconds="30"):
    d = Clusterd(tools, {"max_memory": "64M", "drain_timeout": "5s"}, "leak")
    load = Load(tools, d.port)
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        pid = d.seats().get(1)
        if pid:
            os.kill(pid, signal.SIGUSR2)
        time.sleep(0.5)
    n, told = load.stop()
    recycled = d.log().count("max_memory")
    d.stop()
    print(f"one leaks, {seconds} s: {recycled} lines of max_memory, {n} "
          f"requests failed ({told['failures']}), the load itself was late by "
          f"{told['lateness_ms']['max']:.0f} ms at most")
    return n > 0 or not recycled


def check(tools, rounds="1000"):
    bad = False
    for balance, user in itertools.product(
            ("least-connections", "round-robin", "random", "source"),
            (None, "nobody")):
        if user and balance in ("least-connections", "round-robin"):
            continue    # they take eBPF
        d = Clusterd(tools, {"balance": balance, "instances": "8"}, user=user)
        wrong = 0
        for _ in range(int(rounds)):
            got = {int(r["instance"]): int(r.get("status", 0))
                   for r in d.ask("check web /") if r[""] == "check"}
            wrong += got != {i: 200 + i for i in range(8)}
        d.stop()
        print(f"check, {balance}, {user or 'root'}: {rounds} rounds of 8, "
              f"{wrong} with an answer of another one, or none", flush=True)
        bad |= wrong > 0
    return bad


def main(what="", *words):
    kinds = {"hang": hang, "replace": replace, "down": down,
             "memory": memory, "check": check}
    if what not in kinds:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as tools:
        os.chmod(tools, 0o755)
        compiled(tools, "hanging")
        compiled(tools, "openloop", "-lm")
        return kinds[what](tools, *words)


sys.exit(main(*sys.argv[1:]))
