"""What chaos.py sees of clusterd, without changing it: how long `status` takes,
how long the turns of its loop are, its log, its memory and descriptors.

    python3 chaos_look.py SOCKET REQUEST

asks that each 20 ms, and writes `WHEN SECONDS` of each answer, WHEN being when it
was asked for; `WHEN gone` where the connection was closed instead.
"""

import bisect
import collections
import os
import re
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
EACH_S = 0.02
PATIENCE_S = 120

LOOPTIME = os.path.abspath(os.environ.get("LOOPTIME", os.path.join(
    HERE, "..", "..", "build", "looptime")))


# --- a client

def connected(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(PATIENCE_S)
    s.connect(path)
    return s, s.makefile("rb")


def ask_on_and_on(path, request):
    line = request.encode() + b"\n"
    s, f = connected(path)
    f.readline()
    due = time.monotonic()
    while True:
        begun = time.monotonic()
        try:
            s.sendall(line)
            while True:
                said = f.readline()
                if not said or said.startswith(b"error slow"):
                    raise ConnectionError
                if said.startswith((b"ok", b"error")):
                    break
            print(f"{begun:.5f} {time.monotonic() - begun:.6f}", flush=True)
        except OSError:
            print(f"{begun:.5f} gone {time.monotonic() - begun:.6f}",
                  flush=True)
            try:
                s, f = connected(path)
                f.readline()
            except OSError:
                return
        due = max(due + EACH_S, time.monotonic() - EACH_S)
        time.sleep(max(0, due - time.monotonic()))


class Watcher:
    """A program that writes to a file, and ends when it is told."""

    def __init__(self, path, *arguments, first=False):
        self.path = path
        self.file = open(path, "w")
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=self.file,
            stderr=subprocess.STDOUT,
            preexec_fn=(lambda: os.nice(-10)) if first else None)

    def end(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(1)
            except subprocess.TimeoutExpired:
                self.process.terminate()
                self.process.wait()
        self.file.close()
        with open(self.path) as f:
            return f.read().splitlines()


class Asker(Watcher):
    """`n`, `gone`, and seconds by the time at which they were asked for."""

    def __init__(self, path, control, request, first):
        super().__init__(path, sys.executable, "-B",
                         os.path.abspath(__file__), control, request,
                         first=first)
        self.times, self.took, self.gone = [], [], []

    def end(self):
        # The one that waits counts as long as it has waited.
        for line in super().end():
            when, *rest = line.split()
            if rest[0] == "gone":
                self.gone.append(float(when))
            self.times.append(float(when))
            self.took.append(float(rest[-1]))

    def between(self, begin, end):
        i = bisect.bisect_left(self.times, begin)
        return sorted(self.took[i:bisect.bisect_left(self.times, end)])

    def gone_between(self, begin, end):
        return sum(begin <= t < end for t in self.gone)


def quantile(values, q):
    """Of those in order; None of nothing."""
    return values[min(int(len(values) * q), len(values) - 1)] \
        if values else None


class Turns(Watcher):
    """What looptime.c says. `why_not`: it could not look."""

    def __init__(self, path, pid, over_ms, syscalls):
        super().__init__(path, LOOPTIME, str(pid), str(over_ms),
                         *["all"] * syscalls)
        self.periods, self.long, self.lost = [], [], 0
        self.why_not = None

    def end(self):
        for line in super().end():
            word, *rest = line.split()
            if word == "at":
                self.periods.append((float(rest[0]), int(rest[2]),
                                     float(rest[4]), float(rest[6]),
                                     float(rest[8])))
            elif word == "long":
                self.long.append((float(rest[0]), float(rest[2]),
                                  float(rest[4]), float(rest[6]), rest[7:]))
            elif word == "lost":
                self.lost += int(rest[0])
            elif word != "begins":
                self.why_not = line

    def between(self, begin, end):
        """In ms the longest by the clock, of its own, and on a CPU."""
        found = [p for p in self.periods if begin <= p[0] - 0.05 < end]
        return [max((p[i] for p in found), default=None) for i in (2, 3, 4)]

    def long_between(self, begin, end):
        return [t for t in self.long if begin <= t[0] < end]


def calls_in_words(fields):
    """`257 12 3.10 …` of looptime.c."""
    names = call_names()
    triples = zip(fields[::3], fields[1::3], fields[2::3])
    return ", ".join(f"{n} {names.get(int(nr), nr)} {ms} ms"
                     for nr, n, ms in triples)


def call_names():
    machine = os.uname().machine
    path = {"x86_64": f"/usr/include/{machine}-linux-gnu/asm/unistd_64.h"} \
        .get(machine, "/usr/include/asm-generic/unistd.h")
    try:
        with open(path) as f:
            return {int(m[2]): m[1] for m in re.finditer(
                r"^#define __NR_(\w+)\s+(\d+)$", f.read(), re.M)}
    except OSError:
        return {}


# --- the process

def memory(pid):
    """PSS and RSS in KiB; None where it may not be seen."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            found = dict(re.findall(r"^(Pss|Rss):\s+(\d+)", f.read(), re.M))
        return int(found["Pss"]), int(found["Rss"])
    except (OSError, KeyError):
        return None, None


def kinds_of_fds(pid):
    counted = collections.Counter()
    for n in os.listdir(f"/proc/{pid}/fd"):
        try:
            counted[re.split(r":\[", os.readlink(f"/proc/{pid}/fd/{n}"))[0]] \
                += 1
        except OSError:
            pass
    return counted


def busy_seconds():
    """Of all CPUs, and of all there could have been."""
    with open("/proc/stat") as f:
        n = [int(field) for field in f.readline().split()[1:9]]
    hertz = os.sysconf("SC_CLK_TCK")
    return (sum(n) - n[3] - n[4]) / hertz, sum(n) / hertz


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def waited_seconds(pid):
    """For a CPU that others had; None where the kernel does not count it."""
    with open(f"/proc/{pid}/schedstat") as f:
        on_cpu, waited, _ = map(int, f.read().split())
    return waited / 1e9 if on_cpu > 0 else None


# --- the log

LINE = re.compile(
    r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.(\d{3}) +(\w+) +"
    r"(?:([a-z0-9][a-z0-9_-]*)(?:\[\d+\])?(?: pid (\d+))?: )?(.*)$")


class Log:
    """Lines as (when, app, pid, text); when is seconds of the monotonic clock."""

    def __init__(self, path):
        offset = time.time() - time.monotonic()
        seconds = {}
        self.lines, self.seconds = [], None
        with open(path, errors="replace") as f:
            for line in f:
                m = LINE.match(line)
                if not m:
                    continue
                when = seconds.get(m[1])
                if when is None:
                    when = seconds[m[1]] = time.mktime(time.strptime(
                        m[1], "%Y-%m-%d %H:%M:%S")) - offset
                self.lines.append((when + int(m[2]) / 1000, m[4] or "",
                                   int(m[5]) if m[5] else None, m[6]))

    @staticmethod
    def kind(text):
        text = re.sub(r'"[^"]*"', '"…"', text)
        return re.sub(r"\d[\d.:]*(ms|s|m|h)?\b", "#", text)

    def windows(self):
        """(when, lines, app, kind): those of an app and kind in a second, which
        begins with a line, as those of the limit do. As many as an order starts are
        ready by it, which are told each."""
        open_ones, found, started = {}, [], collections.Counter()
        for when, app, _, text in self.lines:
            m = re.match(r"starting (\d+) instance", text)
            if m:
                started[app] = int(m[1])
            if text.startswith("ready after") and started[app] > 0:
                started[app] -= 1
                continue
            key = app, self.kind(text)
            window = open_ones.get(key)
            # The log rounds to milliseconds.
            if window is None or when >= window[0] + 0.999:
                window = open_ones[key] = [when, 0, *key]
                found.append(window)
            window[1] += 1
        return found

    def busiest(self, begin, end):
        """Of those that began then, the one with the most lines."""
        if self.seconds is None:
            self.seconds = self.windows()
        return max((w[1:] for w in self.seconds if begin <= w[0] < end),
                   default=[0, "", ""])


def lost_readies(events, log, states, end, patience=5.0):
    """Who said READY=1 and was not believed: `events` of probes (pid, seconds),
    `states` pid → state at the `end`. A worker that died soon after does not
    count, nor does one whose line the log may have left out. Returns (said, lost, the
    longest until it was heard)."""
    ready, last, left_out = {}, {}, []
    for when, _, pid, text in log.lines:
        if pid is None:
            if re.match(r'\d+ more lines such as "ready', text):
                left_out.append(when)
            continue
        if re.match(r"ready\b", text):
            ready.setdefault(pid, []).append(when)
        else:
            last[pid] = when
    lost, longest = [], 0.0
    for pid, said in events:
        # Pids come back: one that is close.
        heard = [t for t in ready.get(pid, ()) if t >= said - 0.01]
        if heard:
            longest = max(longest, min(heard) - said)
        elif pid in states:
            if states[pid] != "ready":
                lost.append(pid)
        elif any(said < t < said + patience for t in left_out):
            continue
        elif min(last.get(pid, said), end) - said > patience:
            lost.append(pid)
    return len(events), lost, longest


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ask_on_and_on(*sys.argv[1:])
