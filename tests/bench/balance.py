#!/usr/bin/python3
"""How evenly connections reach the workers, and what that is good for.

    python3 -B tests/bench/balance.py [--quick] [--strict] [--only NAME,...]

This needs what figures.py needs, and follows it in everything: the options,
the exit status, the variables CLUSTERD, HELLO and CC. Two more helpers, which
go to a temporary directory too:

    arrive.c    an open-loop load generator
    blocking.c  a worker that serves one connection at a time

Node is measured where there is one: the same unchanged server under clusterd
and under node:cluster. A value of `balance` that this clusterd does not know,
or that this user may not use, is said to be not measured.
"""

import collections
import contextlib
import heapq
import os
import random
import re
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import textwrap
import time

import figures
from adopt import NODE_SERVER, cpu_times, ratio, sockets
from figures import (ENV, Server, Trouble, children, clusterd, end,
                     free_port, percentile, proc)

MODES = ("shared", "random", "source", "round-robin", "least-connections",
         "auto")

# An unchanged server, as the first example of Node's manual has it. Its
# default backlog is 511, which no figure here comes near.
NODE_PLAIN = """\
'use strict';
require('node:http').createServer((request, response) => {
	response.end(`hello from Node, pid ${process.pid}\\n`);
}).listen(process.argv[2]);
"""

# That server's cluster: SCRIPT PORT WORKERS POLICY. It is restarted at once
# when it dies, and says when it is ready as clusterd does.
NODE_CLUSTER = """\
'use strict';
const cluster = require('node:cluster');
const [, , exec, port, workers, policy] = process.argv;
cluster.schedulingPolicy = cluster[policy];
cluster.setupPrimary({ exec, args: [port] });
cluster.on('listening', (worker) =>
	console.log(`pid ${worker.process.pid}: ready`));
cluster.on('exit', () => cluster.fork());
for (let i = 0; i < workers; i++)
	cluster.fork();
"""


# ---- clusters -------------------------------------------------------------


def ready_pids(server):
    """Whoever was ever said to be ready, in clusterd's log or Node's."""
    with open(server.log_path, encoding="utf-8", errors="replace") as f:
        return set(map(int, re.findall(r"pid (\d+): ready", f.read())))


def await_ready(server, wanted, limit=figures.LIMIT):
    """Until so many were."""
    deadline = time.monotonic() + limit
    while len(ready_pids(server)) < wanted:
        if time.monotonic() > deadline or server.process.poll() is not None:
            raise Trouble(f"{server.process.args[0]}: not {wanted} workers "
                          f"are ready:\n{server.log()}")
        time.sleep(0.01)


class NodeCluster(Server):
    def __init__(self, bench, port, workers, policy):
        self.wanted = workers
        super().__init__(bench, [
            bench.node, bench.node_cluster, bench.node_plain, str(port),
            str(workers), policy])

    def _await_ready(self):
        await_ready(self, self.wanted)


def node_cluster(bench, workers, policy="SCHED_RR"):
    port = free_port()
    server = NodeCluster(bench, port, workers, policy)
    server.port, server.workers = port, workers
    return server


def balanced(bench, mode, command, workers, **keys):
    """clusterd with `balance = mode` and a port, ready."""
    port = free_port()
    server = clusterd(bench, command, workers, port=port,
                      **{"restart_reset": "100ms", **balance_keys(bench, mode),
                         **keys})
    server.port, server.workers = port, workers
    return server


def balanced_hello(bench, mode, workers, **keys):
    return balanced(bench, mode, bench.hello, workers, handoff="env", **keys)


def balanced_node(bench, mode, workers):
    """It binds the port by itself, and does not say READY=1."""
    return balanced(bench, mode, f"{bench.node} {bench.node_plain} {{port}}",
                    workers, ready="accept")


def node_with_fd(bench, mode, workers):
    """It listens on what it inherits."""
    return balanced(bench, mode, f"{bench.node} {bench.node_fd}", workers,
                    handoff="env", ready="accept")


# mode -> the keys for it, or the Trouble that it gives.
KEYS = {}


def balance_keys(bench, mode):
    if mode not in KEYS:
        KEYS[mode] = find_balance_keys(bench, mode)
    if isinstance(KEYS[mode], Trouble):
        raise KEYS[mode]
    return KEYS[mode]


def find_balance_keys(bench, mode):
    """A clusterd without this key has the one queue, `shared`."""
    path = bench.path("ini")
    with open(path, "w", encoding="utf-8") as ini:
        ini.write(f"[bench]\ncommand = {bench.hello}\nport = 0\n"
                  f"instances = 2\nready = notify\nbalance = {mode}\n")
    try:
        with Server(bench, [bench.clusterd, "-c", path]):
            return {"balance": mode}
    except Trouble as e:
        said = [line for line in str(e).splitlines() if "balance" in line]
        words = re.sub(r"^.*?balance", "balance", (said or [str(e)])[0])
    if mode == "shared" and words.endswith("not supported yet"):
        bench.say("this clusterd has no key `balance`")
        return {}
    bench.say(f"balance.py: not measured: {words}")
    return Trouble(textwrap.shorten(words, 60, placeholder=" ..."))


@contextlib.contextmanager
def if_there(bench, figure):
    """Go on with the next mode when this one cannot be measured."""
    try:
        yield
    except Trouble as e:
        if "ended by" in str(e):
            raise
        if e not in KEYS.values():
            bench.say(f"balance.py: {figure}: {e}")
        bench.row(figure, "not measured: " + str(e).split("\n")[0])


def prepare_node(bench):
    bench.node = shutil.which("node", path=ENV["PATH"])
    for name, text in (("node_plain", NODE_PLAIN), ("node_fd", NODE_SERVER),
                       ("node_cluster", NODE_CLUSTER)):
        path = bench.path("js")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        setattr(bench, name, path)
    return bench.node is not None


# ---- 1. connections per worker --------------------------------------------


class Spread:
    """How many connections each worker got: the most to the fewest."""

    def __init__(self, counts, workers):
        self.counts = sorted(counts)
        self.none = workers - len(self.counts)
        if self.none < 0:
            raise Trouble("a worker died unasked")
        self.mean = sum(counts) / workers

    def value(self):
        return self.counts[-1] / self.counts[0] if not self.none \
            else float("inf")

    def __str__(self):
        if not self.none:
            return f"{self.value():.2f}"
        return f"{self.counts[-1] / self.mean:.1f} x mean, " \
            f"{self.none} got none"


SHORT = 10_000          # connections, a request each
ADDRESSES = 1000        # of the clients that make them
HELD = 200              # connections that are kept
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def connect(server, number):
    """From an address of its own, and the request sent."""
    s = socket.socket()
    try:
        s.settimeout(figures.LIMIT)
        s.bind((f"127.0.{number // 250}.{number % 250 + 1}", 0))
        s.connect(("127.0.0.1", server.port))
        s.sendall(REQUEST)
        return s
    except BaseException:
        s.close()
        raise


def answer(s):
    """The pid of whoever answers; None when the connection breaks."""
    text = b""
    with contextlib.suppress(ConnectionError):
        # Both servers' bodies end in the only line feed that is alone.
        while not re.search(rb"[^\r]\n", text):
            more = s.recv(4096)
            if not more:
                return None
            text += more
        m = re.match(rb"HTTP/1.1 200 .* pid (\d+)\n$", text, re.DOTALL)
        if m:
            return int(m[1])
    return None


def ask(s):
    with contextlib.suppress(ConnectionError):
        s.sendall(REQUEST)
        return answer(s)
    return None


class Held:
    """Connections that stay open; who has them is asked anew each time."""

    def __init__(self, server):
        self.server = server
        self.sockets = []
        self.count = 0

    def fill(self):
        """One after the other."""
        while len(self.sockets) < HELD:
            if self.count > 3 * HELD:
                raise Trouble("connections do not last")
            self.sockets.append(connect(self.server, self.count % HELD))
            self.count += 1
            if answer(self.sockets[-1]) is None:
                self.sockets.pop().close()

    def owners(self):
        """pid -> connections. The broken ones are dropped."""
        found = collections.Counter()
        for s in self.sockets[:]:
            pid = ask(s)
            if pid is None:
                s.close()
                self.sockets.remove(s)
            else:
                found[pid] += 1
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in self.sockets:
            s.close()


def spread_of_short(bench, server):
    count = SHORT // 10 if bench.quick else SHORT
    result = bench.load(server.port, c=16, n=count, k=1, a=ADDRESSES, w=True)
    counts = [int(n) for pid, n in result.items() if pid.isdigit()]
    if sum(counts) != count:
        raise Trouble(f"{sum(counts)} of {count} connections were counted")
    return Spread(counts, server.workers)


def spread_of_held(server):
    """When all are open; and with those of a killed worker opened again, once
    it is back."""
    with Held(server) as held:
        held.fill()
        owners = held.owners()
        first = Spread(owners.values(), server.workers)
        ready = len(ready_pids(server))
        victim, had = owners.most_common(1)[0]
        os.kill(victim, signal.SIGKILL)
        await_ready(server, ready + 1)
        time.sleep(0.1)     # for what it does when a worker is ready
        left = held.owners()
        if sum(left.values()) != HELD - had:
            raise Trouble(f"of {HELD} connections {had} were the killed "
                          f"worker's, but {sum(left.values())} are left")
        time.sleep(0.1)
        held.fill()
        return first, Spread(held.owners().values(), server.workers)


def spread_targets(mode, workers):
    """(short, held) at most"""
    return {"round-robin": (1.01, None),
            "least-connections": (None, 1.05),
            # Which is least-connections where that may be had.
            "auto": (None, None if isinstance(
                KEYS.get("least-connections"), Trouble) else 1.05),
            "random": (1.15 if workers == 8 else None, None),
            }.get(mode, (None, None))


def measure_spread(bench, figure, server, targets):
    with server:
        short = spread_of_short(bench, server)
        time.sleep(0.3)     # the servers notice the last ends of connections
        first, again = spread_of_held(server)
    limit, held_limit = targets
    words = [f"short <= {limit}"] if limit else []
    good = short.value() <= limit if limit else None
    if held_limit:
        words.append(f"held <= {held_limit}")
        good = good is not False and \
            max(first.value(), again.value()) <= held_limit
    bench.say(f"spread: {figure}: {short.counts}; {first.counts}; "
              f"{again.counts}")
    bench.row(figure, f"short {short}; held {first}; after kill -9 {again}",
              ", ".join(words), good)


def figure_spread(bench):
    sizes = (2, 8)
    for name, start in (("hello-server", balanced_hello),
                        ("Node", balanced_node)):
        if name == "Node" and not prepare_node(bench):
            bench.row("Node", "not measured: node is absent")
            return
        for workers in sizes:
            for mode in MODES:
                figure = f"{name}, {workers} workers: {mode}"
                with if_there(bench, figure):
                    measure_spread(bench, figure,
                                   start(bench, mode, workers),
                                   spread_targets(mode, workers))
    for workers in sizes:
        for policy in "SCHED_RR", "SCHED_NONE":
            figure = f"node:cluster, {workers} workers: {policy}"
            with if_there(bench, figure):
                measure_spread(bench, figure,
                               node_cluster(bench, workers, policy),
                               (None, None))


# ---- 2. a connection for each request -------------------------------------


def tree(pid):
    """A process and its descendants."""
    found = [pid]
    for child in children(pid):
        found += tree(child)
    return found


def idle_seconds():
    """Of the CPUs that we may use, together."""
    total = 0
    for cpu, *times in map(str.split, proc(".", "stat").splitlines()):
        if re.fullmatch(r"cpu\d+", cpu) and \
                int(cpu[3:]) in os.sched_getaffinity(0):
            total += sum(map(int, times[3:5]))
    return total / os.sysconf("SC_CLK_TCK")


class Loads:
    """Runs of the load generator against one cluster, summed up."""

    connections = 32

    def __init__(self, bench, server):
        self.bench, self.server = bench, server
        self.pids = tree(server.supervisor)
        self.requests = self.seconds = self.cpu = self.load_cpu = 0
        self.others = 0

    def server_cpu(self):
        return sum(cpu_times(pid)[0] for pid in self.pids)

    def run(self, ms):
        begin, idle, cpu = time.monotonic(), idle_seconds(), self.server_cpu()
        result = self.bench.load(self.server.port, c=self.connections, k=1,
                                 d=ms, a=250)
        cpu = self.server_cpu() - cpu
        seconds = time.monotonic() - begin
        idle = idle_seconds() - idle
        self.requests += result["requests"]
        self.seconds += result["seconds"]
        self.cpu += cpu
        self.load_cpu += result["cpu"]
        # CPUs' worth of other work meanwhile, the kernel's own included.
        self.others = max(self.others, self.bench.n_cpus -
                          (idle + cpu + result["cpu"]) / seconds)

    def rate(self):
        return self.requests / self.seconds

    def cost(self):
        """CPU seconds of primary, supervisor and workers per request"""
        return self.cpu / self.requests

    def server_share(self):
        return self.cpu / self.seconds

    def load_share(self):
        return self.load_cpu / self.seconds


BASE = "node:cluster"
THROUGHPUT = {
    BASE: lambda bench: node_cluster(bench, 2),
    "auto": lambda bench: balanced_node(bench, "auto", 2),
    "random": lambda bench: balanced_node(bench, "random", 2),
    "shared, fd 3": lambda bench: node_with_fd(bench, "shared", 2),
}


def others(turn):
    return max(loads.others for loads in turn.values())


def undisturbed(turn):
    """The kernel's own threads take some, with so many new connections."""
    return others(turn) < 0.15


def throughput_turn(bench, names, ms):
    """name -> Loads, of two runs each, in an order and in its reverse. New
    processes: how one happens to lie in memory makes a difference."""
    with contextlib.ExitStack() as stack:
        loads = {name: Loads(bench, stack.enter_context(
            THROUGHPUT[name](bench))) for name in names}
        for each in loads.values():
            # Node's compiler takes a while. Not counted.
            bench.load(each.server.port, c=each.connections, k=1, n=3000,
                       a=250)
        for name in [*names, *names[::-1]]:
            loads[name].run(ms)
    return loads


def figure_throughput(bench):
    if not prepare_node(bench):
        bench.row("Node", "not measured: node is absent")
        return
    names = [BASE]
    for name in list(THROUGHPUT)[1:]:
        with if_there(bench, f"Node, connection each: {name}"):
            balance_keys(bench, name.split(",")[0])
            names.append(name)
    wanted, budget, ms = (1, 8, 300) if bench.quick else (6, 65, 700)
    turns = []
    deadline = time.monotonic() + budget
    while time.monotonic() < deadline and \
            sum(map(undisturbed, turns)) < wanted:
        # Whoever comes first, in the middle or last does so in turn.
        turn = throughput_turn(bench, names, ms)
        names = names[1:] + names[:1]
        turns.append(turn)
        bench.say("throughput: " + ", ".join(
            f"{name} {turn[name].rate():,.0f}/s" for name in THROUGHPUT
            if name in turn) + f"; other work "
            f"{others(turn):.2f} CPUs"
            f"{'' if undisturbed(turn) else ', disturbed'}")
    calm = [turn for turn in turns if undisturbed(turn)]
    which = f"{len(calm)} undisturbed of {len(turns)}"
    if len(calm) < min(4, wanted):
        # Other work is not neutral: whoever needs more processes loses more.
        calm = sorted(turns, key=others)[:4]
        which = f"the calmest {len(calm)} of {len(turns)}, disturbed"
    for name in THROUGHPUT:
        if name in names:
            report_throughput(bench, name, calm, which)


def report_throughput(bench, name, turns, which):
    def middle(value):
        return statistics.median(value(turn[name]) for turn in turns)

    what = "Node, connection each, 2 workers"
    if name != BASE:
        pairs = [(turn[BASE], turn[name]) for turn in turns]
        rate, rate_words = ratio(pairs, Loads.rate)
        _, cost_words = ratio(pairs, Loads.cost)
        target = name != "shared, fd 3"
        bench.row(f"{what}: {name} : {BASE}", f"{rate_words}; {which})",
                  ">= 1.8" if target else "", rate >= 1.8 if target else None)
        bench.row("  servers' CPU per request, the same ratio",
                  cost_words + ")")
    bench.row(f"  {name}, {Loads.connections} connections at a time",
              f"{middle(Loads.rate):,.0f} requests/s, "
              f"{middle(Loads.cost) * 1e6:.1f} us each; CPU: servers "
              f"{middle(Loads.server_share):.0%}, load generator "
              f"{middle(Loads.load_share):.0%} of {bench.n_cpus}00%")


# ---- 3. workers that block ------------------------------------------------


WORKERS = 8
SERVICE = 0.04      # seconds, the mean
LOAD = 0.7


def schedule(seed, seconds):
    """[(due, service)] in seconds: Poisson arrivals, exponential service."""
    chance = random.Random(seed)
    requests, due = [], 0
    while True:
        due += chance.expovariate(LOAD * WORKERS / SERVICE)
        if due > seconds:
            return requests
        requests.append((due, chance.expovariate(1 / SERVICE)))


def computed_shared(requests):
    """Latencies by calculation: whoever is free takes the next."""
    free = [0] * WORKERS
    latencies = []
    for due, service in requests:
        done = max(due, heapq.heappop(free)) + service
        heapq.heappush(free, done)
        latencies.append(done - due)
    return latencies


def computed_lanes(requests, choose):
    """The same where each worker has its own queue. choose(number, lanes):
    the lane for a request; lanes: the times when those in each are done."""
    lanes = [collections.deque() for _ in range(WORKERS)]
    latencies = []
    for number, (due, service) in enumerate(requests):
        for lane in lanes:
            while lane and lane[0] <= due:
                lane.popleft()
        lane = lanes[choose(number, lanes)]
        lane.append((lane[-1] if lane else due) + service)
        latencies.append(lane[-1] - due)
    return latencies


def fewest(number, lanes):
    """Of equal ones the next in turn."""
    return min(range(WORKERS), key=lambda i: (
        len(lanes[i]), (i - number) % WORKERS))


COMPUTED = {
    "shared": computed_shared,
    "least-connections": lambda requests: computed_lanes(requests, fewest),
    "round-robin": lambda requests: computed_lanes(
        requests, lambda number, _: number % WORKERS),
    "random": lambda requests: computed_lanes(
        requests, lambda number, _, chance=random.Random(1):
        chance.randrange(WORKERS)),
}


class Arrivals:
    """One schedule's run against one cluster."""

    def __init__(self, bench, server, path):
        with open(path, "rb") as f:
            self.process = subprocess.Popen(
                [bench.arrive, str(server.port)], stdin=f, env=ENV, text=True,
                stdout=subprocess.PIPE, preexec_fn=figures.tied())

    def finish(self, seconds, wanted):
        """[latency in seconds], how many failed, how late it was at most."""
        out = self.process.communicate(timeout=seconds + figures.LIMIT)[0]
        lines = [tuple(map(int, line.split())) for line in out.splitlines()]
        if self.process.returncode != 0 or len(lines) != wanted:
            raise Trouble("arrive: it did not run to the end")
        return [a / 1e6 for a, _ in lines if a >= 0], \
            sum(a < 0 for a, _ in lines), max(late for _, late in lines) / 1e6

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process, signal.SIGKILL)
        self.process.stdout.close()


def latency_run(bench, servers, requests, seconds):
    """All of them at the same time: they mostly sleep, and what other work
    there is hits them alike."""
    path = bench.path("schedule")
    with open(path, "w", encoding="ascii") as f:
        f.writelines(f"{due * 1e6:.0f} {service * 1e6:.0f}\n"
                     for due, service in requests)
    with contextlib.ExitStack() as stack:
        runs = {mode: stack.enter_context(Arrivals(bench, server, path))
                for mode, server in servers.items()}
        return {mode: run.finish(seconds, len(requests))
                for mode, run in runs.items()}


def figure_latency(bench):
    wanted, seconds = (1, 5) if bench.quick else (3, 20)
    bench.arrive = bench.compile("arrive", "arrive", [])
    command = bench.compile("blocking", "blocking", [])
    runs, schedules = [], []
    what = f"{WORKERS} blocking workers, p99"
    with contextlib.ExitStack() as stack:
        servers = {}
        for mode in COMPUTED:
            with if_there(bench, f"{what}: {mode}"):
                servers[mode] = stack.enter_context(balanced(
                    bench, mode, command, WORKERS, handoff="env"))
        # One more when one was disturbed.
        while len(runs) < wanted + 1 and \
                sum(map(on_time, runs)) < min(wanted, len(runs) + 1):
            requests = schedule(len(runs) + 1, seconds)
            runs.append(latency_run(bench, servers, requests, seconds))
            schedules.append(requests)
            bench.say("latency: p99 " + ", ".join(
                f"{mode} {percentile(good, 99) * 1e3:.0f} ms"
                for mode, (good, _, _) in runs[-1].items()) +
                ("" if on_time(runs[-1]) else ", disturbed"))
    counted = [i for i, run in enumerate(runs) if on_time(run)]
    which = f"{len(counted)} undisturbed runs of {len(runs)}, {seconds} s each"
    if len(counted) < min(2, wanted):
        counted = range(len(runs))
        which = f"{len(runs)} runs of {seconds} s, most of them disturbed"
    report_latency(bench, what, which, [runs[i] for i in counted],
                   [schedules[i] for i in counted])


def on_time(run):
    """The load generators were."""
    return max(late for _, _, late in run.values()) < 0.02


def report_latency(bench, what, which, runs, schedules):
    found = {mode: sorted(t for run in runs for t in run[mode][0])
             for mode in runs[0]}
    computed = {mode: [t for requests in schedules for t in
                       COMPUTED[mode](requests)] for mode in COMPUTED}

    def words(latencies):
        return f"{percentile(latencies, 99) * 1e3:.0f} ms (median " \
            f"{statistics.median(latencies) * 1e3:.0f})"

    for mode in found:
        failed = sum(run[mode][1] for run in runs)
        if mode != "shared" and "shared" in found:
            value = percentile(found[mode], 99) / \
                percentile(found["shared"], 99)
            ideal = percentile(computed[mode], 99) / \
                percentile(computed["shared"], 99)
            target = mode == "least-connections"
            bench.row(f"{what}: {mode} : shared",
                      f"{value:.2f} (by calculation {ideal:.2f}; {which})",
                      "<= 1.15" if target else "",
                      value <= 1.15 and not failed if target else None)
        bench.row(f"  {mode}, {len(schedules[0]) / schedules[0][-1][0]:.0f} "
                  "requests/s", f"{words(found[mode])}; by calculation "
                  f"{words(computed[mode])}" +
                  (f"; {failed} FAILED" if failed else ""))


# ---- 4. a queue whose worker is killed ------------------------------------


QUEUED = 100
STATE_LISTEN = "0A"


def queued(lanes):
    """How many wait in the accept queues of these sockets (inode numbers)."""
    total = 0
    for table in "tcp", "tcp6":
        with contextlib.suppress(FileNotFoundError), \
                open(f"/proc/net/{table}", encoding="ascii") as f:
            next(f)
            for words in map(str.split, f):
                if words[3] != STATE_LISTEN:    # those are the first lines
                    break
                if words[9] in lanes:
                    total += int(words[4].partition(":")[2], 16)
    return total


def readable(sockets, wait):
    poll = select.poll()
    numbers = {s.fileno(): s for s in sockets}
    for number in numbers:
        poll.register(number, select.POLLIN)
    return [numbers[number] for number, _ in poll.poll(wait * 1000)]


class Waiting:
    """Connections with a request sent, of which some stay unanswered."""

    def __init__(self, server, lanes):
        self.server, self.lanes = server, lanes
        self.sockets = []       # answered ones, too: they stay open
        self.unanswered = []

    def take_answers(self, wait):
        """[pid or None]"""
        ready = readable(self.unanswered, wait)
        self.unanswered = [s for s in self.unanswered if s not in ready]
        return [answer(s) for s in ready]

    def fill(self, count):
        """Until exactly so many are in the queue of the stopped worker."""
        deadline = time.monotonic() + 10
        while len(self.unanswered) < count:
            for _ in range(count - len(self.unanswered)):
                s = connect(self.server, len(self.sockets))
                self.sockets.append(s)
                self.unanswered.append(s)
            while queued(self.lanes) != len(self.unanswered):
                if None in self.take_answers(0.01):
                    raise Trouble("a living worker closed a connection")
                if time.monotonic() > deadline:
                    raise Trouble(f"{len(self.unanswered)} are unanswered, "
                                  f"{queued(self.lanes)} queued")
            if len(self.sockets) > 20 * count:
                raise Trouble("nothing waits for the stopped worker")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in self.sockets:
            s.close()


def answered_after_kill(server):
    """([pid or None], seconds, the replacements' pids)"""
    time.sleep(0.15)    # more than restart_reset
    old = children(server.pid)
    victim = min(old)
    os.kill(victim, signal.SIGSTOP)
    try:
        with Waiting(server, sockets(victim)) as waiting:
            waiting.fill(QUEUED)
            begin = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            answers = []
            while waiting.unanswered and time.monotonic() < begin + 10:
                answers += waiting.take_answers(0.1)
            took = time.monotonic() - begin
            return answers, took, children(server.pid) - old
    finally:
        # After trouble: as long as it is stopped, it does not end.
        if victim in children(server.pid):
            os.kill(victim, signal.SIGKILL)


def measure_kill(bench, figure, server, target):
    bench.say(figure)
    with server:
        answers, took, new = answered_after_kill(server)
    good = [pid for pid in answers if pid]
    heirs = sum(pid in new for pid in good)
    bench.row(figure, f"{len(good)} answered, {heirs} by the replacement, "
              f"{len(good) - heirs} by others, within {took:.2f} s",
              str(QUEUED) if target else "",
              len(good) == QUEUED if target else None)


def figure_kill(bench):
    programs = [("hello-server", balanced_hello), ("Node", balanced_node)]
    if not prepare_node(bench):
        bench.row("Node", "not measured: node is absent")
        programs.pop()
    what = f"kill -9 with {QUEUED} queued"
    for name, start in programs:
        for mode in "least-connections", "round-robin", "random", "source":
            figure = f"{what}, {name}: {mode}"
            with if_there(bench, figure):
                measure_kill(bench, figure, start(bench, mode, 4),
                             mode != "source")
    for mode in "least-connections", "round-robin", "random":
        figure = f"  restarted after 3 s only, hello-server: {mode}"
        with if_there(bench, figure):
            measure_kill(bench, figure, balanced_hello(
                bench, mode, 4, restart_delay="3s", restart_reset="60s"),
                False)


FIGURES = {
    "spread": figure_spread,
    "throughput": figure_throughput,
    "latency": figure_latency,
    "kill": figure_kill,
}


def main():
    """figures.py's frame, with these."""
    figures.FIGURES = FIGURES
    figures.LIMIT, figures.OVERALL = 20, 290
    return figures.main()


if __name__ == "__main__":
    sys.exit(main())
