"""Runs suites of tests, which are targets of make, and says what came of them.

usage: run-suites.py MAKE DIRECTORY SUITE[+SUITE ...] ...

Arguments run one after another, suites joined by a plus beside each other. The
suite `man` is what `make check-man` does. Its lines come out as they come, with
its name before them; what pytest tells of its failures in the end comes out in
one piece, as does a line for each suite when all is over: how many tests
passed, failed and were skipped, and the seconds. A suite that fails ends no
other. DIRECTORY/SUITE.log keeps what was said.

The tests are counted in the line that pytest ends with, or in a line
`2 passed, 0 failed, 1 skipped`, whatever its first words; if more than one
says it, all count. A suite without such a line is a test by itself.

An interrupt (or SIGTERM) ends what was started: at first politely, so that
tests clean up behind them, after a while by force.
"""

import os
import re
import selectors
import signal
import subprocess
import sys
import time

PATIENCE = 20           # seconds between an interrupt and force
COUNT = re.compile(r"(\d+) (passed|failed|skipped|errors?|xfailed|xpassed)\b")
SUMMARY = re.compile(r"^(=+ |[\w-]+: )?(\d+ [a-z]+(, |$| in [\d.]+s))+")
DETAILS = re.compile(r"^=+ (FAILURES|ERRORS) =+$")
FAILED = re.compile(r"^(FAILED|ERROR) \S")

interrupted = None


def on_signal(signo, frame):
    global interrupted
    interrupted = interrupted or signo


class Suite:
    def __init__(self, name, width, make, directory):
        self.name = name
        self.prefix = name.ljust(width) + " | "
        self.counts = dict.fromkeys(("passed", "failed", "skipped"), 0)
        self.details = []
        self.failures = []
        self.rest = b""
        self.code = None
        self.start = time.monotonic()
        self.seconds = 0
        self.log = open(os.path.join(directory, name + ".log"), "w",
                        encoding="utf-8")
        # A process group of its own, which an interrupt is sent to; open
        # descriptors, because make's jobserver is among them.
        self.process = subprocess.Popen(
            [make, "--no-print-directory", "check-" + name],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, close_fds=False, preexec_fn=os.setpgrp)
        os.set_blocking(self.process.stdout.fileno(), False)

    def read(self):
        """Take what there is; False at the end."""
        while True:
            try:
                data = os.read(self.process.stdout.fileno(), 65536)
            except BlockingIOError:
                return True
            if not data:
                return False
            *lines, self.rest = (self.rest + data).split(b"\n")
            for line in lines:
                self.take(line.decode(errors="replace"))

    def take(self, line):
        self.log.write(line + "\n")
        self.log.flush()
        if SUMMARY.match(line):
            for n, word in COUNT.findall(line):
                word = {"error": "failed", "errors": "failed",
                        "xpassed": "failed", "xfailed": "skipped"
                        }.get(word, word)
                self.counts[word] += int(n)
        if FAILED.match(line):
            self.failures.append(line)
        if self.details or DETAILS.match(line):
            self.details.append(line)
        else:
            say(self.prefix + line)

    def end(self):
        if self.rest:
            self.take(self.rest.decode(errors="replace"))
        self.code = self.process.wait()
        self.seconds = time.monotonic() - self.start
        self.process.stdout.close()
        self.log.close()
        if self.code != 0:
            self.counts["failed"] = max(1, self.counts["failed"])
        elif not any(self.counts.values()):
            self.counts["passed"] = 1
        for line in self.details:
            say(line)
        say("%s%s after %.1f s" % (self.prefix, "done" if self.code == 0 else
                                   "FAILED", self.seconds))


def say(line):
    try:
        print(line, flush=True)
    except BrokenPipeError:
        on_signal(signal.SIGPIPE, None)
        sys.stdout = open(os.devnull, "w")


# ---- whoever is left ----

def stat_of(pid):
    """Parent and time of birth, or nothing."""
    try:
        with open("/proc/%s/stat" % pid, encoding="utf-8",
                  errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
        return int(fields[1]), int(fields[19])
    except (OSError, IndexError):
        return None


def descendants(roots):
    """{pid: time of birth} of the processes and all that they started."""
    stats = {int(e): stat_of(e) for e in os.listdir("/proc") if e.isdigit()}
    found, again = {p: stats[p][1] for p in roots if stats.get(p)}, True
    while again:
        again = False
        for pid, stat in stats.items():
            if stat and stat[0] in found and pid not in found:
                found[pid] = stat[1]
                again = True
    return found


def end_all(suites, started):
    """Interrupt the suites; force once more than PATIENCE has passed."""
    now = time.monotonic()
    if started is None:
        say("interrupted: what runs is ended")
        born = descendants([s.process.pid for s in suites])
        for suite in suites:
            os.killpg(suite.process.pid, signal.SIGINT)
        return now, born
    if now - started[0] > PATIENCE:
        kill(started[1])
    return started


def kill(born):
    for pid, birth in born.items():
        stat = stat_of(pid)
        if stat is None or stat[1] != birth:
            continue
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


# ---- the run ----

def run_beside(suites):
    """Until all have ended, one way or another."""
    selector = selectors.DefaultSelector()
    for suite in suites:
        selector.register(suite.process.stdout, selectors.EVENT_READ, suite)
    running, silent, ending = set(suites), set(), None
    while running:
        for key, _ in selector.select(0.2):
            if not key.data.read():
                selector.unregister(key.fileobj)
                silent.add(key.data)
        for suite in list(running):
            # Somebody left behind may hold the pipe: no reason to wait.
            if suite.process.poll() is None:
                continue
            if suite not in silent:
                suite.read()
                selector.unregister(suite.process.stdout)
            suite.end()
            running.remove(suite)
        if interrupted and running:
            ending = end_all(running, ending)
    if ending:
        kill(ending[1])


def table(suites, width):
    say("")
    say("%s  passed  failed  skipped  seconds" % "suite".ljust(width))
    for s in suites:
        say("%s  %6d  %6d  %7d  %7.1f" % (
            s.name.ljust(width), s.counts["passed"], s.counts["failed"],
            s.counts["skipped"], s.seconds))
    say("")
    for s in suites:
        for line in s.failures:
            say(s.prefix + line)
        if s.code != 0:
            say("%sFAILED, all of it is in %s" % (s.prefix, s.log.name))
    say("%d passed, %d failed, %d skipped" % tuple(
        sum(s.counts[word] for s in suites)
        for word in ("passed", "failed", "skipped")))


def main(make, directory, *stages):
    for signo in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        signal.signal(signo, on_signal)
    os.makedirs(directory, exist_ok=True)
    names = [stage.split("+") for stage in stages]
    if not names:
        sys.exit("no suite is named: see `make help`")
    width = max(len(name) for stage in names for name in stage)
    done = []
    for stage in names:
        if interrupted:
            break
        suites = [Suite(name, width, make, directory) for name in stage]
        run_beside(suites)
        done += suites
    table(done, width)
    if interrupted:
        sys.exit(128 + interrupted)
    sys.exit(any(s.code != 0 for s in done))


main(*sys.argv[1:])
