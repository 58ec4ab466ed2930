#!/usr/bin/python3
"""What adoption costs: `handoff = adopt` against `handoff = env`, in a table.

    python3 -B tests/bench/adopt.py [--quick] [--strict] [--only NAME,...]

This needs what figures.py needs, and follows it in everything: the options,
the exit status, the variables CLUSTERD, HELLO and CC. Node is measured where
there is one.

For each comparison there are two clusterds with one worker each, alike but for
their handoff, and only one of them has work at a time. That the one worker is
adopted, and the other one not, is looked up in /proc before anything counts.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import statistics
import sys
import time

import figures
from figures import (Mailbox, Strace, Trouble, calls_counted, children,
                     clusterd, cpu_seconds, free_port, monotonic_ns,
                     percentile, proc, server_pid, wait_seconds, wakeups)

MODES = ("env", "adopt")
TARGET = 0.02       # of a request, at most
CONNECTIONS = 16

# With CLUSTERD_FD, or with a port that it binds by itself. Node calls
# listen(2) on what it gets, and its own default would shorten the queue.
NODE_SERVER = """\
'use strict';
const port = process.argv[2];
require('node:http').createServer((request, response) => {
	response.end(`hello from Node, pid ${process.pid}\\n`);
}).listen({ ...(port ? { port } : { fd: 3 }), backlog: 4096 });
"""

# worker.c gives the first instruction's time, and say().
PROBE = r"""
#define main worker_main
#include "%s/worker.c"
#undef main
#include <sys/syscall.h>

#include <err.h>
#include <netinet/in.h>

static long long
now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ns_of(ts);
}

/* Binds a port as servers do. Returns when listen(2) has returned. */
static long long
listen_on(const char *port)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6,
		.sin6_port = htons((uint16_t)strtoul(port, NULL, 10)) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1, off = 0;

	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(fd, 4096) < 0)
		err(1, "port %%s", port);
	return now(CLOCK_MONOTONIC);
}

static void
call(long long times)
{
	while (times-- > 0)
		syscall(SYS_getppid);
}

/*
 *	probe SOCKET listen PORT	reports "PID ENTRY BEGIN END"
 *	probe SOCKET call TIMES		the same, in its CPU time
 */
int
main(int argc, char **argv)
{
	const char *notify = getenv("NOTIFY_SOCKET");
	long long times, begin = now(CLOCK_MONOTONIC), end;
	char text[96];

	if (argc != 4 || notify == NULL)
		errx(64, "this is for adopt.py");
	if (strcmp(argv[2], "listen") == 0) {
		end = listen_on(argv[3]);
		say(notify, "READY=1");
	} else {
		say(notify, "READY=1");
		times = strtoll(argv[3], NULL, 10);
		call(times / 50);
		begin = now(CLOCK_PROCESS_CPUTIME_ID);
		call(times);
		end = now(CLOCK_PROCESS_CPUTIME_ID);
	}
	snprintf(text, sizeof(text), "%%d %%lld %%lld %%lld", (int)getpid(),
	    ns_of(bench_entry_time), begin, end);
	say(argv[1], text);
	for (;;)
		pause();
}
"""


# ---- two alike ------------------------------------------------------------


@contextlib.contextmanager
def both(bench, commands, cpus=None, **keys):
    """mode -> clusterd with one worker; `port` is its app's.

    A worker that dies unasked, say because it is not adopted, ends it all.
    """
    keys = {"restart": "never", **keys}
    with contextlib.ExitStack() as stack:
        servers = {}
        for mode in MODES:
            port = free_port()
            servers[mode] = stack.enter_context(
                clusterd(bench, commands[mode], 1, cpus, handoff=mode,
                         port=port, **keys))
            servers[mode].port = port
        yield servers


def filters(pid):
    """How many seccomp filters a process has; we may run under some, too."""
    return figures.fields(proc(pid, "status")).get("Seccomp_filters", 0)


def sockets(pid):
    """inode numbers"""
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
            if target.startswith("socket:["):
                found.add(target[8:-1])
    return found


def listening(port):
    """inode numbers of the sockets that listen on a TCP port"""
    found = set()
    for table in "tcp", "tcp6":
        with contextlib.suppress(FileNotFoundError), \
                open(f"/proc/net/{table}", encoding="ascii") as f:
            for words in map(str.split, f):
                if words[3] == "0A" and words[1].endswith(f":{port:04X}"):
                    found.add(words[9])
    return found


def check(mode, server, pid, has_listened=True):
    """Is it what it is to be measured as?"""
    more = filters(pid) - filters("self")
    if more != (mode == "adopt"):
        raise Trouble(f"handoff = {mode}, but {more} filters on the worker")
    # In both modes the worker listens on clusterd's own socket.
    if has_listened and not (listening(server.port) & sockets(pid) &
                             sockets(server.supervisor)):
        raise Trouble(f"handoff = {mode}, but the worker does not listen on "
                      "clusterd's socket")


def web_server_pid(mode, server):
    """The worker's pid, once it answers."""
    pid = server_pid(server.port)
    if {pid} != children(server.pid):
        raise Trouble(f"pid {pid} is not clusterd's worker")
    check(mode, server, pid)
    return pid


# For workers that are killed.
KILLED = {"restart": "always", "restart_reset": "100ms"}


def hello_commands(bench):
    return {"env": bench.hello, "adopt": bench.hello + " {port}"}


def node_commands(bench):
    """None where there is no Node."""
    node = shutil.which("node", path=figures.ENV["PATH"])
    if node is None:
        bench.row("Node", "not measured: node is absent")
        return None
    script = bench.path("js")
    with open(script, "w", encoding="utf-8") as f:
        f.write(NODE_SERVER)
    return {"env": f"{node} {script}", "adopt": f"{node} {script} {{port}}"}


# Node does not say READY=1.
NODE_KEYS = {"ready": "alive:100ms"}

# What one figure finds and another needs, by name.
FOUND = {}


def require_adoption(bench):
    """Trouble where clusterd does not adopt, which is found out once."""
    if "adoption" not in FOUND:
        FOUND["adoption"] = None
        try:
            with both(bench, hello_commands(bench)) as servers:
                for mode in MODES:
                    web_server_pid(mode, servers[mode])
        except Trouble as e:
            FOUND["adoption"] = Trouble(f"no worker is adopted: {e}")
    if FOUND["adoption"]:
        raise FOUND["adoption"]


# ---- 1. requests per second, and their CPU --------------------------------


def cpu_times(pid):
    """CPU time of a process with the threads that it has, and the part of its
    first thread's waiting for a CPU that those do not account for. (Node has
    threads that compile and collect garbage, on the same CPU here.)"""
    main = cpu_seconds(pid)
    every = sum(cpu_seconds(f"{pid}/task/{tid}")
                for tid in os.listdir(f"/proc/{pid}/task"))
    return every, wait_seconds(pid) - (every - main)


class Runs:
    """Runs of the load generator against one worker, summed up."""

    def __init__(self, bench, port, pid):
        self.bench, self.port, self.pid = bench, port, pid
        self.requests = self.seconds = self.cpu = self.load_cpu = 0
        self.disturbance = 0

    def run(self, options):
        before = cpu_times(self.pid)
        result = self.bench.load(self.port, self.bench.load_cpus,
                                 c=CONNECTIONS, **options)
        cpu, waited = (b - a for a, b in zip(before, cpu_times(self.pid)))
        self.requests += result["requests"]
        self.seconds += result["seconds"]
        self.cpu += cpu
        self.load_cpu += result["cpu"]
        self.disturbance = max(
            self.disturbance, max(waited, result["wait"]) / result["seconds"])

    def rate(self):
        return self.requests / self.seconds

    def cost(self):
        """CPU seconds of the server per request"""
        return self.cpu / self.requests

    def server_share(self):
        return self.cpu / self.seconds

    def load_share(self):
        return self.load_cpu / self.seconds


def pair_of(bench, servers, pids, options):
    """(env, adopt), of two runs each: in ABBA order, for it makes a difference
    who was idle for how long."""
    runs = {mode: Runs(bench, servers[mode].port, pids[mode])
            for mode in MODES}
    for mode in MODES + MODES[::-1]:
        runs[mode].run(options)
    return runs["env"], runs["adopt"]


def calm(pair):
    """The kernel's own threads, busy with new connections, take up to 4 %."""
    return max(runs.disturbance for runs in pair) < 0.06


def ratio(of, value):
    """Of adopt to env: the median, and in words. "±" is the usual 95 % notch
    of a box plot."""
    ratios = [value(adopt) / value(env) for env, adopt in of]
    middle = statistics.median(ratios)
    low, high = percentile(ratios, 25), percentile(ratios, 75)
    notch = 1.57 * (high - low) / len(ratios) ** 0.5
    return middle, f"{middle:.3f} ± {notch:.3f} (quartiles {low:.3f}, " \
        f"{high:.3f}"


def compare_servers(bench, name, commands, styles, extent, **keys):
    """styles: words -> options of the load generator for the warming up, and
    for a run. extent: pairs from the same processes, pairs in all, seconds.

    As in figures.py, a pair during which other work had the CPUs is set aside
    and another one run, while the time lasts.
    """
    rounds, wanted, budget = (1, 2, 3) if bench.quick else extent
    pairs = {style: [] for style in styles}
    woken = 0
    deadline = time.monotonic() + budget

    def undisturbed(style):
        return [pair for pair in pairs[style] if calm(pair)]

    while time.monotonic() < deadline and \
            any(len(undisturbed(style)) < wanted for style in styles):
        # New processes now and then: see figures.py.
        with both(bench, commands, bench.server_cpus, **keys) as servers:
            pids = {mode: web_server_pid(mode, servers[mode])
                    for mode in MODES}
            for warm, _ in styles.values():
                pair_of(bench, servers, pids, warm)
            before = wakeups(servers["adopt"].supervisor)
            for _ in range(rounds):
                for style, (_, options) in styles.items():
                    env, adopt = pair_of(bench, servers, pids, options)
                    pairs[style].append((env, adopt))
                    bench.say(f"{name}, {style}: "
                              f"{adopt.rate() / env.rate():.3f} (CPU "
                              f"{adopt.cost() / env.cost():.3f})"
                              f"{'' if calm((env, adopt)) else ' disturbed'}")
            woken += sum(wakeups(servers["adopt"].supervisor)) - sum(before)

    for style in styles:
        report_pairs(bench, name, style, pairs[style], undisturbed(style))
    bench.row(f"{name}: wake-ups of clusterd while the adopted one was loaded",
              str(woken), "0", woken == 0)


def report_pairs(bench, name, style, pairs, undisturbed):
    which = f"{len(undisturbed)} undisturbed pairs of {len(pairs)}"
    if len(undisturbed) < min(10, len(pairs)):
        which = f"{len(pairs)} pairs, many of them disturbed"
        undisturbed = pairs
    rate, rate_words = ratio(undisturbed, Runs.rate)
    cost, cost_words = ratio(undisturbed, Runs.cost)

    def env(value):
        return statistics.median(value(a) for a, _ in undisturbed)

    FOUND[f"{name}, {style}"] = env(Runs.cost)
    bench.row(f"{name}, {style}: requests/s, adopt : env",
              f"{rate_words}; {which})", f">= {1 - TARGET}",
              rate >= 1 - TARGET)
    bench.row("  server's CPU per request, the same ratio",
              cost_words + ")", f"<= {1 + TARGET}", cost <= 1 + TARGET)
    bench.row(f"  env, {CONNECTIONS} connections",
              f"{env(Runs.rate):,.0f} requests/s, "
              f"{env(Runs.cost) * 1e6:.2f} us each; CPU: server "
              f"{env(Runs.server_share):.0%}, load generator "
              f"{env(Runs.load_share):.0%}")


KEPT = "keep-alive"
NOT_KEPT = "a connection each"


def styles(bench, ms, warm_ms, requests, warm):
    """Connections are counted, not timed: for a second after its end each
    keeps its port, and the kernel readily gives the load generator only half
    of the ephemeral ports, 14,000, to one server."""
    scale = 4 if bench.quick else 1
    return {KEPT: ({"d": warm_ms}, {"d": ms // scale}),
            NOT_KEPT: ({"k": 1, "n": warm}, {"k": 1, "n": requests // scale})}


def figure_hello(bench):
    compare_servers(bench, "hello-server", hello_commands(bench),
                    styles(bench, 300, 100, 3000, 500), (2, 20, 70))


def figure_node(bench):
    """Needs more pairs, for its garbage collection adds noise."""
    commands = node_commands(bench)
    if commands:
        compare_servers(bench, "Node", commands,
                        styles(bench, 300, 400, 2000, 1500), (4, 48, 100),
                        **NODE_KEYS)


# ---- 2. the filter by itself ----------------------------------------------


def probe(bench):
    """The program PROBE, statically linked if possible (see worker.c)."""
    source = bench.path("probe")
    with open(source + ".c", "w", encoding="utf-8") as f:
        f.write(PROBE % figures.HERE)
    name = os.path.basename(source)
    with contextlib.suppress(Trouble):
        return bench.compile(source, name, ["-static", "-no-pie",
                                            "-Wl,-e,bench_entry"])
    return bench.compile(source, name, [])


class Reports:
    """What PROBE reports."""

    def __init__(self, bench):
        self.box = Mailbox(bench.path("reports"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.box.close()

    def next(self):
        """pid, entry (begin where it is unknown), begin, end; in ns"""
        pid, entry, begin, end = map(int, self.box.receive().split())
        return pid, entry or begin, begin, end


def figure_filter(bench):
    times = 500_000 if bench.quick else 5_000_000
    rounds = 2 if bench.quick else 10
    program = probe(bench)
    each = {mode: [] for mode in MODES}
    with Reports(bench) as reports:
        command = f"{program} {reports.box.path} call {times}"
        for turn in range(rounds):
            bench.say(f"filter: round {turn + 1} of {rounds}")
            for mode in MODES if turn % 2 == 0 else MODES[::-1]:
                with clusterd(bench, command, 1, bench.server_cpus,
                              handoff=mode, port=free_port(),
                              restart="never") as server:
                    pid, _, begin, end = reports.next()
                    check(mode, server, pid, has_listened=False)
                each[mode].append((end - begin) / times)
    _, words = ratio(list(zip(each["env"], each["adopt"])), float)
    middle = {mode: statistics.median(each[mode]) for mode in MODES}
    FOUND["filter"] = max(0, middle["adopt"] - middle["env"])
    bench.row("getppid(2), adopt : env",
              f"{words}; {rounds} pairs of {times:,})", "report")
    bench.row("  each call's CPU time, median (best)", "; ".join(
        f"{mode} {middle[mode]:.1f} ns ({min(each[mode]):.1f})"
        for mode in MODES))


# ---- 3. a worker's start --------------------------------------------------


class Starts:
    """What was measured at each start, in ms, and whether other work had the
    CPU while clusterd or the worker could have run. Up to 1.5 ms they and the
    benchmark wait for each other, an adopted worker more than others."""

    def __init__(self):
        self.all = {mode: [] for mode in MODES}

    def add(self, mode, times, waited):
        self.all[mode].append((times, waited > 2e-3))

    def calm(self):
        return {mode: [times for times, disturbed in self.all[mode]
                       if not disturbed] for mode in MODES}

    def enough(self, count):
        return len(self.all["env"]) >= 1.5 * count or \
            min(map(len, self.calm().values())) >= count

    def counted(self):
        """The undisturbed ones; with too few in either mode, all."""
        calm_ones, total = self.calm(), len(self.all["env"])
        if min(map(len, calm_ones.values())) >= total // 2:
            return calm_ones, "{} and {} undisturbed of {}".format(
                *map(len, calm_ones.values()), total)
        return {mode: [times for times, _ in self.all[mode]]
                for mode in MODES}, f"all {total}, many of them disturbed"

    def row(self, bench, figure, column):
        counted, which = self.counted()
        counted = {mode: [times[column] for times in counted[mode]]
                   for mode in MODES}
        middle = {mode: statistics.median(counted[mode]) for mode in MODES}
        bench.row(figure, f"{middle['adopt'] - middle['env']:+.3f} ms: " +
                  "; ".join(f"{mode} {middle[mode]:.3f} (p90 "
                            f"{percentile(counted[mode], 90):.3f})"
                            for mode in MODES) + f"; {which}", "report")


def killed(server, pid, replaced):
    """Kill the worker; what replaced() returns, (pid, ...), from then on.

    Also the time of the kill in ns, and the seconds that clusterd and the new
    worker had to wait for a CPU.
    """
    time.sleep(0.15)    # more than restart_reset
    waited = wait_seconds(server.supervisor)
    begin = monotonic_ns()
    os.kill(pid, signal.SIGKILL)
    result = replaced()
    waited = wait_seconds(server.supervisor) - waited + cpu_times(result[0])[1]
    return result, begin, waited


def figure_start(bench):
    """A worker that binds one port: the app's own, or where nothing is
    adopted a free one."""
    count = 10 if bench.quick else 60
    program = probe(bench)
    starts = Starts()
    bench.say(f"start: 2 x {count} starts")
    with Reports(bench) as env, Reports(bench) as adopt:
        reports = {"env": env, "adopt": adopt}
        commands = {
            "env": f"{program} {env.box.path} listen {free_port()}",
            "adopt": f"{program} {adopt.box.path} listen {{port}}",
        }
        with both(bench, commands, **KILLED) as servers:
            pids = {mode: reports[mode].next()[0] for mode in MODES}
            while not starts.enough(count):
                for mode in MODES:
                    (pid, entry, begin, end), kill, waited = killed(
                        servers[mode], pids[mode], reports[mode].next)
                    pids[mode] = pid
                    starts.add(mode, ((end - begin) / 1e6,
                                      (end - entry) / 1e6,
                                      (end - kill) / 1e6), waited)
            for mode in MODES:
                check(mode, servers[mode], pids[mode])
    starts.row(bench, "added to socket() ... listen() by adoption, median", 0)
    starts.row(bench, "  to the time from the exec to listen()'s return", 1)
    starts.row(bench, "  to the time from the kill -9 to listen()'s return", 2)


def answer(port, other_than):
    """(pid, ns when it was there, refused or broken connections before): the
    first answer of another worker."""
    deadline = time.monotonic() + figures.LIMIT
    failed = 0
    while time.monotonic() < deadline:
        with contextlib.suppress(ConnectionError), \
                socket.create_connection(("127.0.0.1", port),
                                         figures.LIMIT) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n"
                      b"Connection: close\r\n\r\n")
            text = b""
            while more := s.recv(4096):
                text += more
            m = re.search(rb"^HTTP/1.1 200 .* pid (\d+)\n", text, re.DOTALL)
            if m and int(m[1]) != other_than:
                return int(m[1]), monotonic_ns(), failed
        failed += 1
        time.sleep(0.0005)
    raise Trouble(f"no answer on port {port}")


def compare_answers(bench, name, commands, count, **keys):
    starts = Starts()
    failed = 0
    bench.say(f"answer: {name}, 2 x {count} starts")
    with both(bench, commands, **KILLED, **keys) as servers:
        pids = {mode: web_server_pid(mode, servers[mode]) for mode in MODES}
        while not starts.enough(count):
            for mode in MODES:
                server = servers[mode]
                (pid, when, failures), kill, waited = killed(
                    server, pids[mode],
                    lambda s=server, p=pids[mode]: answer(s.port, p))
                pids[mode] = pid
                failed += failures
                starts.add(mode, ((when - kill) / 1e6,), waited)
        for mode in MODES:
            check(mode, servers[mode], pids[mode])
    starts.row(bench, f"added to kill -9 ... first answer, {name}, median", 0)
    if failed:
        bench.row("  connections that failed meanwhile", str(failed), "0",
                  False)


def figure_answer(bench):
    compare_answers(bench, "hello-server", hello_commands(bench),
                    5 if bench.quick else 60)
    commands = node_commands(bench)
    if commands:
        compare_answers(bench, "Node", commands, 3 if bench.quick else 30,
                        **NODE_KEYS)


# ---- 4. system calls ------------------------------------------------------


def count_calls(bench, name, commands, style, **keys):
    requests = 200 if bench.quick else 2000
    found = {}
    bench.say(f"system calls: {name}, {style}, 2 x {requests} requests")
    with both(bench, commands, **keys) as servers:
        for mode in MODES:
            pid = web_server_pid(mode, servers[mode])
            # Once round, for what is done a single time.
            bench.load(servers[mode].port, c=1, n=100)
            # The thread that serves; Node's others collect garbage.
            trace = Strace(bench, pid, "-c")
            bench.load(servers[mode].port, c=1, n=requests,
                       **({"k": 1} if style == NOT_KEPT else {}))
            time.sleep(0.2)     # for the connection's end
            found[mode] = calls_counted(trace.finish())
    # How often it waits is a matter of timing, and so is how often Node wakes
    # its other threads.
    regular = {mode: sum(
        n for call, n in found[mode].items()
        if n > requests / 2 and "wait" not in call) / requests
        for mode in MODES}
    bench.row(f"system calls per request, {name}, {style}",
              "; ".join(f"{mode} {regular[mode]:.3f}" for mode in MODES) +
              ", without waits", "equal",
              abs(regular["adopt"] - regular["env"]) < 0.02)
    FOUND[f"calls of {name}, {style}"] = \
        sum(found["adopt"].values()) / requests
    for mode in MODES:
        bench.row(f"  {mode}", ", ".join(
            f"{n / requests:.2f} {call}" for call, n in sorted(
                found[mode].items(), key=lambda i: -i[1])
            if n > requests / 20))


def report_share(bench, name, style):
    """What 1., 2. and 4. come to together: free of 1.'s noise."""
    call = FOUND.get("filter")
    calls = FOUND.get(f"calls of {name}, {style}")
    cost = FOUND.get(f"{name}, {style}")
    if None in (call, calls, cost):
        return
    share = call * calls / (cost * 1e9)
    bench.row("  by calculation, the filter's share of a request's CPU",
              f"{calls:.1f} calls x {call:.1f} ns of {cost * 1e6:.2f} us: "
              f"{share:.2%}", f"<= {TARGET:.0%}", share <= TARGET)


def figure_syscalls(bench):
    if not bench.strace:
        bench.row("system calls per request, env; adopt",
                  "not measured: strace is absent", "equal")
        return
    programs = [("hello-server", hello_commands(bench), {}),
                ("Node", node_commands(bench), NODE_KEYS)]
    for name, commands, keys in programs:
        for style in (KEPT, NOT_KEPT) if commands else ():
            count_calls(bench, name, commands, style, **keys)
            report_share(bench, name, style)


FIGURES = {
    "hello": figure_hello,
    "node": figure_node,
    "filter": figure_filter,
    "start": figure_start,
    "answer": figure_answer,
    "syscalls": figure_syscalls,
}


def main():
    """figures.py's frame, with these."""
    def beginning_with_a_look(figure):
        def run(bench):
            require_adoption(bench)
            figure(bench)
        return run

    figures.FIGURES = {name: beginning_with_a_look(figure)
                       for name, figure in FIGURES.items()}
    figures.LIMIT, figures.OVERALL = 20, 290
    return figures.main()


if __name__ == "__main__":
    sys.exit(main())
