#!/usr/bin/python3
"""The figures that clusterd is measured by, in one table.

    /usr/bin/python3 tests/bench/figures.py [--quick] [--only NAME,...]

needs a built tree (`make`) and a C compiler for its two helpers, which go to
a temporary directory:

    load.c      a closed-loop HTTP load generator
    worker.c    the smallest worker; reports when it came to life

strace, where it is there, counts system calls. Everything is on loopback, of
bounded count and time, and what is started here is ended here, by pid. On a
machine with other work the figures that compare are medians of interleaved
runs; --quick is for trying the benchmark itself, too short for its verdicts
to count. CLUSTERD, HELLO and CC name other programs.

Exit status: 0 measured, 1 with --strict if a figure is short, 2 not measured.
"""

import argparse
import contextlib
import ctypes
import http.client
import os
import re
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LIMIT = 60      # seconds, for any single thing that is waited for
OVERALL = 900   # ... and for the whole

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)

# The workers' environment is ours: keep it small, and the same everywhere.
ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C"}


class Trouble(Exception):
    """Something could not be measured, with the reason."""


# ---- processes -----------------------------------------------------------


def tied(cpus=None, uid=None):
    """For preexec_fn: be that user, without capabilities; die with the
    benchmark, and stay on these CPUs."""
    def run():
        if uid is not None:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if cpus:
            os.sched_setaffinity(0, cpus)
    return run


def await_exit(pid, limit=LIMIT):
    """Until a child is dead (and not yet reaped)."""
    fd = os.pidfd_open(pid)
    try:
        if not select.select([fd], [], [], limit)[0]:
            raise Trouble(f"pid {pid} did not end within {limit} s")
    finally:
        os.close(fd)


def end(process, signo=signal.SIGTERM):
    """End a child, whatever it takes."""
    if process.poll() is None:
        process.send_signal(signo)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Mailbox:
    """A datagram socket in the file system that others write to."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(LIMIT)

    def receive(self):
        try:
            return self.socket.recv(4096).decode()
        except socket.timeout:
            raise Trouble(f"no message on {self.path}") from None

    def close(self):
        self.socket.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


class Server:
    """A program that says READY=1 when it is: clusterd, or a server alone."""

    def __init__(self, bench, argv, cpus=None, uid=None):
        self.log_path = bench.path("log")
        self.mailbox = Mailbox(bench.path("notify"))
        os.chmod(self.mailbox.path, 0o666)
        with open(self.log_path, "wb") as log:
            self.started = time.monotonic()
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**ENV, "NOTIFY_SOCKET": self.mailbox.path},
                # clusterd gives each worker a session, and the kernel may
                # share out the CPU by session (sched_autogroup_enabled):
                # so that a server alone is not worse off, it gets one too.
                start_new_session=True, preexec_fn=tied(cpus, uid))
        self.pid = self.process.pid
        try:
            self._await_ready()
        except BaseException:
            self.__exit__()
            raise
        # Of clusterd it is this one that does everything.
        self.supervisor = supervisor(self.pid)
        # What it says later (STATUS=) is refused at once.
        self.mailbox.close()

    def _await_ready(self):
        fd = os.pidfd_open(self.pid)
        try:
            # Before it ends, it may say other things.
            box, said = self.mailbox.socket, []
            while "READY=1" not in said:
                ready = select.select([box, fd], [], [], LIMIT)[0]
                if box not in ready:
                    raise Trouble(f"{self.process.args[0]} did not become "
                                  f"ready:\n{self.log()}")
                said = self.mailbox.receive().split("\n")
            self.ready_after = time.monotonic() - self.started
        finally:
            os.close(fd)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-10:])

    def stop(self):
        """Returns the seconds it took and the CPU time it had in its life."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        cpu = cpu_until_the_end(self.supervisor)
        await_exit(self.pid)
        took = time.monotonic() - begin
        if self.process.wait() != 0:
            raise Trouble(f"exit status {self.process.returncode}:\n"
                          f"{self.log()}")
        return took, cpu

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)
        self.mailbox.close()


def clusterd(bench, command, instances, cpus=None, **keys):
    """clusterd with one app, ready. Underscores are as in the file."""
    keys = {"command": command, "instances": instances, "ready": "notify",
            **keys}
    path = bench.path("ini")
    with open(path, "w", encoding="utf-8") as ini:
        ini.write("[bench]\n")
        ini.writelines(f"{k} = {v}\n" for k, v in keys.items())
    return Server(bench, [bench.clusterd, "-c", path], cpus)


def free_port():
    with socket.socket(socket.AF_INET6) as s:
        s.bind(("::", 0))
        return s.getsockname()[1]


# ---- what the kernel tells ------------------------------------------------


def proc(pid, name):
    with open(f"/proc/{pid}/{name}", encoding="ascii",
              errors="replace") as f:
        return f.read()


def fields(text):
    return {k: int(v) for k, v in
            re.findall(r"^(\w+):\s+(\d+)", text, re.MULTILINE)}


def cpu_seconds(pid):
    """CPU time of a single-threaded process, in ns resolution if possible."""
    try:
        return int(proc(pid, "schedstat").split()[0]) / 1e9
    except (OSError, IndexError):
        times = proc(pid, "stat").rpartition(")")[2].split()[11:13]
        return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def cpu_until_the_end(pid):
    """As far as it can be seen: the keeper reaps it at once."""
    cpu = 0
    with contextlib.suppress(OSError, IndexError):
        while True:
            cpu = max(cpu, cpu_seconds(pid))
            if proc(pid, "stat").rpartition(")")[2].split()[0] in "ZX":
                break
            time.sleep(0.001)
    return cpu


def supervisor(pid):
    """Of a clusterd that was started as `pid`, its keeper; of another program, or
    a clusterd without a keeper, that one itself."""
    for child in map(int, proc(pid, f"task/{pid}/children").split()):
        with contextlib.suppress(OSError):
            if proc(child, "comm").strip() == "clusterd-super":
                return child
    return pid


def wait_seconds(pid):
    """How long it could have run, but another process had the CPU."""
    try:
        return int(proc(pid, "schedstat").split()[1]) / 1e9
    except (OSError, IndexError):
        return 0


def wakeups(pid):
    """How often it went to sleep, and how often it lost the CPU otherwise."""
    now = fields(proc(pid, "status"))
    return (now["voluntary_ctxt_switches"],
            now["nonvoluntary_ctxt_switches"])


def monotonic_ns():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


class Strace:
    """strace, attached to a process that runs already."""

    def __init__(self, bench, pid, *options):
        self.output = bench.path("strace")
        self.process = subprocess.Popen(
            ["strace", *options, "-o", self.output, "-p", str(pid)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env=ENV, preexec_fn=tied())
        deadline = time.monotonic() + 10
        while fields(proc(pid, "status"))["TracerPid"] == 0:
            if self.process.poll() is not None or \
                    time.monotonic() > deadline:
                end(self.process)
                raise Trouble("strace cannot attach: " +
                              self.process.stderr.read().decode().strip())
            time.sleep(0.01)
        # The attachment itself makes a sleeping epoll_wait return and begin
        # again (EINTR): let that pass.
        time.sleep(0.3)

    def finish(self):
        """Detach; what it wrote."""
        end(self.process, signal.SIGINT)
        self.process.stderr.close()
        with open(self.output, encoding="ascii", errors="replace") as f:
            return f.read()


def calls_between(trace, begin, until):
    """The calls that `strace -ttt` saw to begin within a time."""
    names = []
    for line in trace.splitlines():
        m = re.match(r"(?:\d+ +)?(\d+\.\d+) (\w+)\(", line)
        if m and begin <= float(m[1]) <= until:
            names.append(m[2])
    return names


def calls_counted(summary):
    """name -> calls, from `strace -c`."""
    counts = {}
    for line in summary.splitlines():
        words = line.split()
        if len(words) >= 5 and words[3].isdigit() and words[-1] != "total":
            counts[words[-1]] = int(words[3])
    return counts


# ---- the benchmark's frame ------------------------------------------------


class Bench:
    def __init__(self, directory, quick):
        self.directory = directory
        self.quick = quick
        self.strace = shutil.which("strace") is not None
        self.rows = []
        self.serial = 0
        cpus = sorted(os.sched_getaffinity(0))
        self.n_cpus = len(cpus)
        # Server and load generator on a CPU each, where there are two.
        self.server_cpus = {cpus[0]} if len(cpus) > 1 else None
        self.load_cpus = {cpus[1]} if len(cpus) > 1 else None
        # Copies: a build meanwhile does not change what is measured, and no
        # other clusterd shares (and so halves) the pages of this one.
        self.clusterd = self._copy("CLUSTERD", "build/clusterd")
        self.hello = self._copy("HELLO", "examples/hello-server")
        self.load_program = self.compile("load", "load", [])
        self.worker = self._compile_worker()

    def path(self, what):
        self.serial += 1
        return os.path.join(self.directory, f"{what}.{self.serial}")

    def _copy(self, variable, default):
        source = os.path.join(ROOT, os.environ.get(variable, default))
        copy = os.path.join(self.directory, os.path.basename(source))
        try:
            return shutil.copy(source, copy)
        except OSError as e:
            raise Trouble(f"{e}; run make first") from None

    def compile(self, source, name, options):
        program = os.path.join(self.directory, name)
        made = subprocess.run(
            [os.environ.get("CC", "cc"), "-std=gnu11", "-O2",
             "-D_GNU_SOURCE", "-Wall", "-Wextra", "-o", program,
             os.path.join(HERE, source + ".c"), *options],
            capture_output=True, text=True)
        if made.returncode != 0:
            raise Trouble(f"{source}.c: {made.stderr}")
        return program

    def _compile_worker(self):
        self.worker_kind = "static, timed from its first instruction"
        with contextlib.suppress(Trouble):
            return self.compile("worker", "worker", [
                "-static", "-no-pie", "-Wl,-e,bench_entry"])
        self.worker_kind = "dynamic, timed from main(): there is no static " \
            "C library, or another processor"
        return self.compile("worker", "worker", [])

    def load(self, port, cpus=None, **options):
        """Run the load generator. c, d (ms), n, k, a, w: see load.c."""
        args = [w for k, v in options.items()
                for w in ([f"-{k}"] if v is True else [f"-{k}", str(v)])]
        p = subprocess.Popen(
            [self.load_program, "-p", str(port), *args],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=ENV, preexec_fn=tied(cpus))
        try:
            out, err = p.communicate(
                timeout=LIMIT + options.get("d", 0) / 1000)
        finally:
            end(p, signal.SIGKILL)
        if p.returncode != 0:
            raise Trouble(f"load: {err.strip() or out.strip()}")
        result = {k: float(v) for k, v in
                  (word.split("=") for word in out.split())}
        if result["errors"] > 0:
            raise Trouble(f"load: {out.strip()}")
        return result

    def say(self, text):
        print(text, file=sys.stderr, flush=True)

    def row(self, figure, measured, target="", good=None):
        """good: None when there is no target."""
        verdict = "" if good is None else "pass" if good else "SHORT"
        self.rows.append((figure, measured, target, verdict))

    def table(self):
        head = ("figure", "measured", "target", "")
        widths = [max(len(r[i]) for r in [head, *self.rows])
                  for i in range(4)]
        rule = tuple("-" * w for w in widths)
        for r in (head, rule, *self.rows):
            print("  ".join(c.ljust(w) for c, w in zip(r, widths)).rstrip())


def percentile(values, p):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(p / 100 * (len(ordered) - 1)))]


# ---- 1. kill -9 until the replacement runs --------------------------------


class Stamps:
    """The workers' reports of when they came to life."""

    def __init__(self, bench):
        self.box = Mailbox(bench.path("stamps"))

    def next(self):
        """(pid, entry or main when that is unknown, main), ns."""
        pid, entry, main = map(int, self.box.receive().split())
        return pid, entry or main, main


def kill_restarts(bench, stamps, instances, wanted):
    """Milliseconds from kill(2) to the replacement's exec and to its main(),
    undisturbed; and in words how many that were.

    Included: the signal's delivery and the old process's death, the
    supervisor's waking, its bookkeeping and its log line, the fork, the
    child's preparations and the exec, up to the first instruction of the new
    program. Not included: that program's own start (C library), which `main`
    adds.

    A restart during which supervisor or child could run, but other work had
    the CPU, is set aside, whatever it took, and another one made; with too few
    of the undisturbed all of them count.
    """
    times = []      # (entry, main, disturbed)
    with clusterd(bench, f"{bench.worker} {stamps.box.path}", instances,
                  restart_reset="100ms") as server:
        for _ in range(instances):
            pid = stamps.next()[0]
        while len(times) < 4 * wanted and \
                sum(not t[2] for t in times) < wanted:
            time.sleep(0.15)    # more than restart_reset
            waited = wait_seconds(server.supervisor)
            begin = monotonic_ns()
            os.kill(pid, signal.SIGKILL)
            pid, entry, main = stamps.next()
            waited = wait_seconds(server.supervisor) - waited + wait_seconds(pid)
            times.append(((entry - begin) / 1e6, (main - begin) / 1e6,
                          waited > 200e-6))
    calm_ones = [t for t in times if not t[2]]
    if len(calm_ones) < wanted // 2:
        return times, f"all {len(times)}, most of them disturbed"
    return calm_ones, f"{len(calm_ones)} undisturbed of {len(times)}"


def bare_restarts(bench, stamps, count):
    """The same by the barest of loops: kill, waitpid, posix_spawn."""
    times = []

    def spawn():
        os.posix_spawn(bench.worker, [bench.worker, stamps.box.path], ENV)

    pid = 0
    try:
        spawn()
        pid = stamps.next()[0]
        for _ in range(count):
            time.sleep(0.15)
            begin = monotonic_ns()
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            spawn()
            pid, entry, _ = stamps.next()
            times.append((entry - begin) / 1e6)
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return times


def figure_kill(bench):
    count = 10 if bench.quick else 50
    stamps = Stamps(bench)
    try:
        bench.say(f"kill: {count} undisturbed, 1 instance")
        one, one_words = kill_restarts(bench, stamps, 1, count)
        bare = bare_restarts(bench, stamps, count)
        bench.say(f"kill: {count // 2} undisturbed, 200 instances")
        crowd, crowd_words = kill_restarts(bench, stamps, 200, count // 2)
    finally:
        stamps.box.close()

    def spread(values):
        return f"{statistics.median(values):.2f} ms (p90 " \
            f"{percentile(values, 90):.2f}, best {min(values):.2f}"

    entry = [t[0] for t in one]
    bench.row("kill -9 to exec of the replacement, median",
              f"{spread(entry)}; {one_words})", "< 2 ms",
              statistics.median(entry) < 2)
    bench.row("  to its main(), with the C library's start",
              f"{spread([t[1] for t in one])})")
    bench.row("  of one among 200 workers, to exec",
              f"{spread([t[0] for t in crowd])}; {crowd_words})")
    bench.row("  a bare kill, waitpid, posix_spawn for comparison",
              f"{spread(bare)}; all {len(bare)})")


# ---- 2. memory ------------------------------------------------------------


def memory(pid):
    """PSS, the private part of it, and RSS, in KiB.

    PSS counts a shared page in equal parts, so the C library weighs the less
    the more programs run on the machine.
    """
    m = fields(proc(pid, "smaps_rollup"))
    private = m["Private_Clean"] + m["Private_Dirty"]
    return m["Pss"], private, m["Rss"]


def figure_memory(bench):
    for workers, target in ((2, 700), (200, 1024)):
        bench.say(f"memory: {workers} workers")
        with clusterd(bench, bench.hello, workers,
                      port=free_port()) as server:
            time.sleep(1)
            pss, private, rss = (sum(x) for x in zip(*map(memory, {
                server.pid, server.supervisor})))
        alone = private + (rss - private) // (workers + 2)
        bench.row(f"keeper and supervisor, PSS with {workers} workers",
                  f"{pss} KiB (private {private}, RSS {rss})",
                  f"< {target} KiB", pss < target)
        bench.row("  roughly, if only these processes had the C library",
                  f"~{alone} KiB")
    stub = subprocess.Popen([bench.compile("worker", "stub", [])], env=ENV,
                            preexec_fn=tied())
    try:
        time.sleep(1)
        pss, private, rss = memory(stub.pid)
    finally:
        end(stub)
    bench.row("  a C program that does nothing, for comparison",
              f"{pss} KiB (private {private}, RSS {rss})")


# ---- 3. idleness ----------------------------------------------------------


def watch(bench, pid, seconds):
    """Wake-ups, lost CPU, system calls (None without strace) in that time.

    Two windows, because strace's own stops count as wake-ups.
    """
    before = wakeups(pid)
    time.sleep(seconds)
    after = wakeups(pid)
    calls = None
    if bench.strace:
        trace = Strace(bench, pid, "-ttt")
        begin = time.time()
        time.sleep(seconds)
        until = time.time()
        calls = calls_between(trace.finish(), begin, until)
    return after[0] - before[0], after[1] - before[1], calls


def report_watch(bench, what, seconds, seen):
    woken, lost, calls = seen
    bench.row(f"{what} for {seconds} s: wake-ups",
              f"{woken} (and {lost} preemptions)", "0", woken + lost == 0)
    if calls is not None:
        names = ", ".join(sorted(set(calls)))
        bench.row(f"{what} for {seconds} s: system calls",
                  f"{len(calls)}" + (f" ({names})" if names else ""), "0",
                  not calls)
    else:
        bench.row(f"{what} for {seconds} s: system calls",
                  "strace is absent" + ("; it slept throughout, so none"
                                        if woken + lost == 0 else ""),
                  "0", woken + lost == 0)


def figure_idle(bench):
    seconds = 2 if bench.quick else 10
    windows = 2 if bench.strace else 1
    port = free_port()
    with clusterd(bench, bench.hello, 2, port=port) as server:
        time.sleep(1)
        bench.say(f"idle: {windows} x {seconds} s")
        report_watch(bench, "idle", seconds,
                     watch(bench, server.supervisor, seconds))

        bench.say(f"under load: {windows} x {seconds} s")
        ms = (seconds * windows + 3) * 1000
        load = subprocess.Popen(
            [bench.load_program, "-p", str(port), "-c", "16", "-k", "200",
             "-d", str(ms)], stdout=subprocess.PIPE, text=True, env=ENV,
            preexec_fn=tied())
        try:
            time.sleep(0.5)
            seen = watch(bench, server.supervisor, seconds)
            if load.poll() is not None:
                raise Trouble("the load ended too soon")
            out = load.communicate(timeout=LIMIT)[0]
        finally:
            end(load, signal.SIGKILL)
        report_watch(bench, "under load", seconds, seen)
        n = dict(word.split("=") for word in out.split())
        bench.row("  that load", f"{float(n['rps']):,.0f} requests/s, "
                  f"{int(n['connections']):,} connections, "
                  f"{n['errors']} errors")


# ---- 4. many workers ------------------------------------------------------


def children(pid):
    """Of clusterd its workers, which have a group each; who looks or takes something
    out for it has not. Needs CONFIG_PROC_CHILDREN, as all distributions have it."""
    busy = supervisor(pid)
    return {child for child in map(
        int, proc(busy, f"task/{busy}/children").split())
        if busy == pid or leads_group(child)}


def leads_group(pid):
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(pid) == pid
    return False


def replacement(pid, act):
    """Seconds, and the supervisor's CPU, until every worker is another."""
    old, busy = children(pid), supervisor(pid)
    cpu, begin = cpu_seconds(busy), time.monotonic()
    act(old)
    while True:
        looked = time.monotonic()
        now = children(pid)
        if len(now) == len(old) and not now & old:
            return looked - begin, cpu_seconds(busy) - cpu
        if looked > begin + LIMIT:
            raise Trouble(f"the {len(old)} workers are not replaced")
        # A look at thousands takes its time: a twentieth of it all.
        time.sleep(0.005 + 20 * (time.monotonic() - looked))


def kill_all(pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def life_of(bench, workers):
    """(seconds, the supervisor's CPU) of each stage."""
    with clusterd(bench, bench.worker, workers,
                  restart_reset="100ms") as server:
        pid = server.pid
        start = server.ready_after, cpu_seconds(server.supervisor)
        time.sleep(0.5)
        reload = replacement(pid, lambda _: os.kill(pid, signal.SIGHUP))
        time.sleep(0.5)     # more than restart_reset
        deaths = replacement(pid, kill_all)
        time.sleep(0.5)
        cpu = cpu_seconds(server.supervisor)
        took, life = server.stop()
    return start, (took, life - cpu), reload, deaths


def bare_start_and_stop(bench, workers):
    """The same workers from a loop that does nothing but spawn and wait."""
    box = Mailbox(bench.path("notify"))
    env = {**ENV, "NOTIFY_SOCKET": box.path}
    pids = []
    begin = time.monotonic()
    try:
        # Taken from the queue in between: it is short, and a full one would
        # stop the workers.
        box.socket.setblocking(False)
        ready = 0
        while ready < workers:
            if len(pids) < workers:
                pids.append(os.posix_spawn(bench.worker, [bench.worker],
                                           env))
            elif not select.select([box.socket], [], [], LIMIT)[0]:
                raise Trouble("bare workers do not get ready")
            with contextlib.suppress(BlockingIOError):
                while box.socket.recv(64):
                    ready += 1
        started = time.monotonic()
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        for pid in pids:
            os.waitpid(pid, 0)
        box.close()
    return started - begin, time.monotonic() - started


def figure_many(bench):
    sizes = (50, 100, 200, 400) if bench.quick else (250, 500, 1000, 2000)
    lives = {n: [] for n in sizes}
    bare = []
    for turn in range(3):
        for n in sizes if turn % 2 == 0 else sizes[::-1]:
            bench.say(f"many: {n} workers, round {turn + 1} of 3")
            lives[n].append(life_of(bench, n))
        bare.append(bare_start_and_stop(bench, sizes[2]))
    # size -> stage -> (seconds, CPU seconds)
    middle = {n: [[statistics.median(column) for column in zip(*stage)]
                  for stage in zip(*runs)] for n, runs in lives.items()}

    def times(stages):
        return "; ".join(f"{s:.2f} s" for s, _ in stages) + \
            " (supervisor's CPU " + \
            "; ".join(f"{cpu:.2f}" for _, cpu in stages) + ")"

    few, many = sizes[0], sizes[-1]
    growth = [[middle[many][stage][i] / many / (middle[few][stage][i] / few)
               for i in range(2)] for stage in range(4)]

    def factors(stages):
        return "; ".join(f"x {s:.2f}" for s, _ in stages) + " (CPU " + \
            "; ".join(f"x {cpu:.2f}" for _, cpu in stages) + ")"

    each = f"per worker, {many:,} against {few:,}"
    for n in sizes:
        bench.row(f"{n:,} workers: all ready; all stopped",
                  times(middle[n][:2]), "report" if n == sizes[2] else "")
    start, stop = (statistics.median(column) for column in zip(*bare))
    bench.row(f"  a bare loop of spawns and kills, {sizes[2]:,}",
              f"{start:.2f} s; {stop:.2f} s")
    bench.row(f"  {each}", factors(growth[:2]),
              f"< x 2 (n²: {many // few})",
              max(max(stage) for stage in growth[:2]) < 2)
    for n in few, many:
        bench.row(f"{n:,} workers: reloaded; all killed and replaced",
                  times(middle[n][2:]))
    bench.row(f"  {each}", factors(growth[2:]))


# ---- 5. the server under clusterd and alone -------------------------------


def server_pid(port):
    """hello-server tells its own pid."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    try:
        c.request("GET", "/", headers={"Connection": "close"})
        return int(re.search(rb"pid (\d+)", c.getresponse().read())[1])
    finally:
        c.close()


@contextlib.contextmanager
def both_servers(bench, cpus=None):
    """(port, pid) of one alone and of one under clusterd, fresh."""
    ports = free_port(), free_port()
    with Server(bench, [bench.hello, str(ports[0])], cpus), \
            clusterd(bench, bench.hello, 1, cpus, port=ports[1]):
        yield [(port, server_pid(port)) for port in ports]


class Run:
    """One run of the load generator against one server."""

    def __init__(self, bench, server, connections, ms):
        port, pid = server
        before = cpu_seconds(pid), wait_seconds(pid)
        result = bench.load(port, bench.load_cpus, c=connections, d=ms)
        seconds = result["seconds"]
        cpu = cpu_seconds(pid) - before[0]
        self.rate = result["rps"]
        self.cost = cpu / result["requests"]    # CPU seconds per request
        self.server_share = cpu / seconds
        self.load_share = result["cpu"] / seconds
        # While one of the two could run, but other work had its CPU.
        self.disturbance = max(wait_seconds(pid) - before[1],
                               result["wait"]) / seconds


def figure_throughput(bench):
    """In pairs, alone and under clusterd, in ABBA order. A pair during which
    other work had the CPUs is set aside, whatever came out, and another one
    run; with too few of the undisturbed all of them count."""
    connections = 16
    wanted, most, ms = (4, 8, 300) if bench.quick else (20, 80, 500)
    pairs = []
    while len(pairs) < most and \
            sum(calm(pair) for pair in pairs) < wanted:
        # New processes for every four runs: how a process happens to lie in
        # memory makes a difference of its own.
        with both_servers(bench, bench.server_cpus) as (alone, under):
            for s in alone, under:
                Run(bench, s, connections, 200)
            order = (alone, under, under, alone)
            runs = [Run(bench, s, connections, ms) for s in order]
        pairs += [(runs[0], runs[1]), (runs[3], runs[2])]
        bench.say("throughput: " + ", ".join(
            f"{b.rate / a.rate:.3f}{'' if calm((a, b)) else ' disturbed'}"
            for a, b in pairs[-2:]))
    undisturbed = [pair for pair in pairs if calm(pair)]
    which = f"{len(undisturbed)} undisturbed pairs of {len(pairs)}"
    if len(undisturbed) < min(10, wanted):
        which = f"{len(pairs)} pairs, most of them disturbed"
        undisturbed = pairs
    rates = [b.rate / a.rate for a, b in undisturbed]
    costs = [b.cost / a.cost for a, b in pairs]
    alone = [a for a, _ in undisturbed]
    ratio = statistics.median(rates)
    bench.row("requests/s under clusterd : alone, median",
              f"{ratio:.3f} (quartiles {percentile(rates, 25):.3f}, "
              f"{percentile(rates, 75):.3f}; {which})", "1 ± 0.02",
              abs(ratio - 1) <= 0.02)
    bench.row("  server's CPU per request, the same ratio",
              f"{statistics.median(costs):.3f} (quartiles "
              f"{percentile(costs, 25):.3f}, {percentile(costs, 75):.3f}; "
              f"all {len(pairs)} pairs)")
    bench.row(f"  alone, {connections} keep-alive connections",
              f"{statistics.median(r.rate for r in alone):,.0f} requests/s; "
              "CPU: server "
              f"{statistics.median(r.server_share for r in alone):.0%}, "
              "load generator "
              f"{statistics.median(r.load_share for r in alone):.0%}")


def calm(pair):
    return max(run.disturbance for run in pair) < 0.02


def figure_syscalls(bench):
    what = "worker's system calls per request, alone; under"
    if not bench.strace:
        bench.row(what, "not measured: strace is absent", "equal")
        return
    requests = 500 if bench.quick else 2000
    bench.say(f"system calls: 2 x {requests} requests")
    found = []
    with both_servers(bench) as servers:
        for port, pid in servers:
            trace = Strace(bench, pid, "-f", "-c")
            bench.load(port, c=1, n=requests)
            time.sleep(0.2)     # for the connection's end
            found.append(calls_counted(trace.finish()))
    each = [sum(calls.values()) / requests for calls in found]
    bench.row(what, f"{each[0]:.3f}; {each[1]:.3f}", "equal",
              abs(each[0] - each[1]) < 0.01)
    for who, calls in zip(("alone", "under"), found):
        bench.row(f"  {who}, {requests:,} requests on one connection",
                  ", ".join(f"{v} {k}" for k, v in sorted(
                      calls.items(), key=lambda i: -i[1])))


FIGURES = {
    "kill": figure_kill,
    "memory": figure_memory,
    "idle": figure_idle,
    "many": figure_many,
    "throughput": figure_throughput,
    "syscalls": figure_syscalls,
}


def give_up(signo, _frame):
    raise Trouble(f"ended by {signal.Signals(signo).name}")


def main():
    parser = argparse.ArgumentParser(
        description="Measure clusterd's figures.")
    parser.add_argument("--quick", action="store_true",
                        help="short runs, whose verdicts do not count")
    parser.add_argument("--strict", action="store_true",
                        help="exit with 1 when a figure is short")
    parser.add_argument("--only", metavar="NAME,...",
                        help="of " + ", ".join(FIGURES))
    args = parser.parse_args()
    names = args.only.split(",") if args.only else list(FIGURES)
    for name in names:
        if name not in FIGURES:
            parser.error(f"{name}: not one of {', '.join(FIGURES)}")

    for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP,
                  signal.SIGALRM):
        signal.signal(signo, give_up)
    signal.alarm(OVERALL)
    status = 0
    with tempfile.TemporaryDirectory(prefix="clusterd-bench-") as directory:
        try:
            bench = Bench(directory, args.quick)
        except Trouble as e:
            print(f"figures.py: {e}", file=sys.stderr)
            return 2
        if not bench.strace:
            bench.say("strace is absent: no system calls are counted")
        for name in names:
            try:
                FIGURES[name](bench)
            except Trouble as e:
                bench.say(f"figures.py: {name}: {e}")
                bench.row(name, "not measured: " + str(e).split("\n")[0])
                status = 2
                if "ended by" in str(e):
                    break
        signal.alarm(0)
        print(f"clusterd figures on {os.uname().release}, {bench.n_cpus} "
              f"CPUs, load average {os.getloadavg()[0]:.2f}"
              f"{', --quick' if args.quick else ''}; worker: "
              f"{bench.worker_kind}")
        bench.table()
    if status == 0 and args.strict and \
            any(row[3] == "SHORT" for row in bench.rows):
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
