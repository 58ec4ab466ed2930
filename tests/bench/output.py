#!/usr/bin/python3
"""What passing workers' output through clusterd costs, against cat(1).

    python3 -B tests/bench/output.py [--quick] [--strict] [--only NAME,...]

A worker writes 1 GiB of lines of some hundred bytes as fast as it can.

    prefix  clusterd, `stdout = prefix`, its standard output a pipe that is
            read, against the same worker and reader with cat in between
    file    `stdout = FILE`, rotated at 64M with two kept, against cat >FILE

One run of each, in turns; the ratio is of the medians' throughput. In `prefix`
every line is counted and looked at; in `file` the lines that are kept have to
follow one another up to the last one. Sampled meanwhile: clusterd's memory.

Exit status: 0 measured, 1 with --strict if a figure is short, 2 not measured.
CLUSTERD names another program. Files go to a temporary directory.
"""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from figures import ROOT, Trouble, supervisor, tied

BLOCK = 8 << 20
LIMIT = 120         # seconds, for one run
RATIO = {"prefix": 0.6, "file": 0.7}
MEMORY = 4096       # KiB, at most

WRITER = """\
import os, sys
block = memoryview(open(sys.argv[1], "rb").read())
for _ in range(int(sys.argv[2])):
    at = 0
    while at < len(block):
        at += os.write(1, block[at:at + 65536])
"""

# Looks at what it reads, a megabyte at a time.
READER = """\
import os, sys
n = lines = 0
while True:
    data = os.read(0, 1 << 20)
    if not data:
        break
    n += len(data)
    lines += data.count(b"\\n")
print(n, lines)
"""

APP = """\
[clusterd]
log_level = warning
[web]
command = {command}
instances = 1
restart = never
stdout = {stdout}
log_max_size = 64M
log_keep = 2
"""


def make_block(path):
    """Numbered lines of 20 to 180 bytes; returns how many."""
    lines, size = [], 0
    while size < BLOCK:
        number = len(lines)
        line = b"%08d " % number + b"x" * (12 + number * 7919 % 160) + b"\n"
        lines.append(line)
        size += len(line)
    with open(path, "wb") as f:
        f.write(b"".join(lines))
    return len(lines), size


class Sampler(threading.Thread):
    """The most that the memory of clusterd's supervisor ever was, in KiB: what it has alone
    or shared, and what is its own."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.pss, self.peak = pid, 0, 0
        self.stop = threading.Event()
        self.start()

    def run(self):
        while not self.stop.wait(0.02):
            try:
                pid = supervisor(self.pid)
                text = open(f"/proc/{pid}/smaps_rollup").read()
                self.pss = max(self.pss, int(text.split("\nPss:")[1].split()[0]))
                text = open(f"/proc/{pid}/status").read()
                self.peak = int(text.split("VmHWM:")[1].split()[0])
            except (OSError, IndexError):
                return


class Run:
    def __init__(self, directory, blocks):
        self.directory = directory
        self.block = os.path.join(directory, "block")
        self.n_lines, self.size = make_block(self.block)
        self.blocks = blocks
        self.started = []
        self.pss = self.peak = self.cpu = 0

    def path(self, name):
        return os.path.join(self.directory, name)

    def popen(self, command, **keys):
        process = subprocess.Popen(command, preexec_fn=tied(),
                                   cwd=self.directory, **keys)
        self.started.append(process)
        return process

    def writer(self):
        return [sys.executable, "-c", WRITER, self.block, str(self.blocks)]

    def clusterd(self, stdout_key, stdout):
        program = os.environ.get("CLUSTERD") or \
            os.path.join(ROOT, "build/clusterd")
        with open(self.path("writer.py"), "w") as f:
            f.write(WRITER)
        with open(self.path("app.ini"), "w") as f:
            f.write(APP.format(stdout=stdout_key, command=" ".join(
                [sys.executable, "writer.py", self.block, str(self.blocks)])))
        return self.popen([os.path.abspath(program), "-c", "app.ini"],
                          stdout=stdout, stderr=subprocess.PIPE)

    def end(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.started = []

    def finish_clusterd(self, process, sampler):
        said = process.stderr.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        sampler.stop.set()
        self.pss = max(self.pss, sampler.pss)
        self.peak = max(self.peak, sampler.peak)
        # Its own, without the worker's: that is in RUSAGE of its children.
        self.cpu = usage.ru_utime + usage.ru_stime
        if said or process.returncode != 0:
            raise Trouble(f"clusterd exits {process.returncode}: {said}")

    # -- one run each: seconds

    def cat(self):
        begin = time.monotonic()
        writer = self.popen(self.writer(), stdout=subprocess.PIPE)
        middle = self.popen(["cat"], stdin=writer.stdout,
                            stdout=subprocess.PIPE)
        writer.stdout.close()
        reader = self.popen([sys.executable, "-c", READER],
                            stdin=middle.stdout, stdout=subprocess.PIPE)
        middle.stdout.close()
        self.check(reader.communicate(timeout=LIMIT)[0], 0)
        return time.monotonic() - begin

    def prefix(self):
        begin = time.monotonic()
        d = self.clusterd("prefix", subprocess.PIPE)
        sampler = Sampler(d.pid)
        reader = self.popen([sys.executable, "-c", READER], stdin=d.stdout,
                            stdout=subprocess.PIPE)
        d.stdout.close()
        self.check(reader.communicate(timeout=LIMIT)[0], len("web.0 | "))
        seconds = time.monotonic() - begin
        self.finish_clusterd(d, sampler)
        return seconds

    def check(self, counted, tag):
        n, lines = map(int, counted.split())
        wanted = self.n_lines * self.blocks
        if lines != wanted or n != self.size * self.blocks + wanted * tag:
            raise Trouble(f"{lines} of {wanted} lines came, {n} bytes")

    def cat_file(self):
        begin = time.monotonic()
        writer = self.popen(self.writer(), stdout=subprocess.PIPE)
        with open(self.path("cat.log"), "wb") as f:
            middle = self.popen(["cat"], stdin=writer.stdout, stdout=f)
        writer.stdout.close()
        middle.wait(LIMIT)
        seconds = time.monotonic() - begin
        if os.path.getsize(self.path("cat.log")) != self.size * self.blocks:
            raise Trouble("cat has not written it all")
        os.unlink(self.path("cat.log"))
        return seconds

    def file(self):
        begin = time.monotonic()
        d = self.clusterd("web.log", subprocess.DEVNULL)
        sampler = Sampler(d.pid)
        self.finish_clusterd(d, sampler)
        seconds = time.monotonic() - begin
        names = sorted((n for n in os.listdir(self.directory)
                        if n.startswith("web.log")), reverse=True)
        last = None
        for name in names:
            if os.path.getsize(self.path(name)) > 64 << 20:
                raise Trouble(f"{name} is too large")
            with open(self.path(name), "rb") as f:
                for line in f:
                    number = int(line[:8])
                    if last is not None and number != (last + 1) % self.n_lines:
                        raise Trouble(f"{name}: {number} after {last}")
                    last = number
            os.unlink(self.path(name))
        if last != self.n_lines - 1:
            raise Trouble(f"the last line is {last}")
        if len(names) != min(3, -(-self.size * self.blocks // (64 << 20))):
            raise Trouble(f"kept: {names}")
        return seconds


def measure(run, name, rounds):
    ours, theirs = {"prefix": (run.prefix, run.cat),
                    "file": (run.file, run.cat_file)}[name]
    run.pss = run.peak = 0
    seconds = [[], []]
    for _ in range(rounds):
        for way, taken in zip((ours, theirs), seconds):
            taken.append(way())
            run.end()
    size = run.size * run.blocks
    mine, cats = map(statistics.median, seconds)
    ratio = cats / mine
    good = ratio >= RATIO[name] and run.peak <= MEMORY
    print(f"{name:8} {size / mine / 1e6:7.0f} MB/s   cat "
          f"{size / cats / 1e6:7.0f} MB/s   ratio {ratio:5.2f} "
          f"(at least {RATIO[name]})   peak RSS {run.peak} KiB, PSS "
          f"{run.pss} KiB (at most {MEMORY})   "
          f"{run.n_lines * run.blocks} lines, none lost   "
          f"{'ok' if good else 'SHORT'}", flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--only", default="prefix,file")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    directory = tempfile.mkdtemp(prefix="clusterd-output-")
    run = None
    try:
        run = Run(directory, 16 if options.quick else 128)
        good = [measure(run, name, 1 if options.quick else 3)
                for name in options.only.split(",")]
    except (Trouble, subprocess.TimeoutExpired, OSError) as e:
        print(f"not measured: {e}", file=sys.stderr)
        return 2
    finally:
        if run is not None:
            run.end()
        shutil.rmtree(directory)
    return 1 if options.strict and not all(good) else 0


if __name__ == "__main__":
    sys.exit(main())
