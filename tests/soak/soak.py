"""A random driver of everything that happens to workers, beside clients who each
demand an answer or an honest refusal.

usage: soak.py SECONDS [SEED [EPISODE]]
       soak.py known SECONDS [SEED]

An episode is one clusterd: with `handoff = env` or `adopt`, with all rights or
none, one kind of server, beginning with one balance or another. It has rounds
of actions (plan.py), each of which ends in a quiet moment. Which actions there
are, and when, is a matter of the seed alone: the same seed does the same again,
and EPISODE does that one alone, for as long as SECONDS. What else the machine
does is another matter. `known`: first the seeds of known.py, which have found
something once.

What has to hold (verdict.py):

* No client waits longer than what was done while it waited lets it: nobody was
  ready, somebody stood still, and for each death before its time the second
  after which who waits moves, or, where it cannot move, the five after which it
  is reset. The lateness of the machine, as it is measured, comes on top.
* None is cut but by the death of the process that had accepted it (which has
  said who it is), and that death was by what was done to it.
* Who is in a queue is reset only where it cannot be moved: when clusterd says
  so, or its lane was shut down by a worker at that moment.
* None is refused but on a port that is opened or left at that moment, or where
  the workers have shut their listeners down at that moment. Of HTTP/2 a worker
  that drains may also turn requests away, if it says so (h2.py).
* At the end of a round the cluster comes to rest, and each ready instance
  serves (with `shared`, somebody does), also UDP.

A violation is told with the seed, what was done and when, and clusterd's log;
the exit status is 1 then.
"""

import collections
import json
import os
import random
import select
import subprocess
import sys
import time

from episode import FIGURES, SERVER, run_episode
from known import KNOWN

JOBS = 4                # episodes beside each other
EPISODE_MOST = 60.0     # seconds; the log of a longer one costs too much
EPISODE_LEAST = 8.0


class Totals:
    """Of all episodes, by balance."""

    def __init__(self):
        self.figures = collections.defaultdict(collections.Counter)
        self.worst = collections.defaultdict(lambda: [0.0, 0.0])
        self.passed = self.failed = 0

    def add(self, text):
        figures, worst = json.loads(text)
        for balance, counted in figures.items():
            self.figures[balance].update(counted)
            self.worst[balance] = list(map(max, self.worst[balance],
                                           worst.get(balance, (0.0, 0.0))))

    @staticmethod
    def tell_of(what, f, worst):
        cut = f["cut: death"] + f["cut: death at accept"]
        print(f"soak: {what}: {f['clients']} clients, {f['ok']} served, "
              f"{f['refused']} refused, {cut} cut by a death, "
              f"{f['cut'] - cut} else; waited longest {worst[0]:.2f} s, "
              f"{worst[1]:.2f} s while somebody served", flush=True)
        why = ", ".join(f"{f[k]} {k}" for k in sorted(f) if ":" in k)
        if why:
            print(f"soak: {what}: {why}", flush=True)

    def tell(self):
        total, worst = collections.Counter(), [0.0, 0.0]
        for balance in sorted(self.figures):
            self.tell_of(balance, self.figures[balance], self.worst[balance])
            total.update(self.figures[balance])
            worst = list(map(max, worst, self.worst[balance]))
        self.tell_of("all", total, worst)
        print(f"soak: {self.passed} passed, {self.failed} failed, 0 skipped")


def start_episode(seed, number, seconds):
    """In a process of its own: most of the time nothing is to be done."""
    return subprocess.Popen(
        [sys.executable, "-B", os.path.abspath(__file__), "episode",
         str(seed), str(number), f"{seconds:.1f}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def finish_episode(process, totals):
    text = process.communicate()[0]
    for line in text.splitlines():
        if line.startswith(FIGURES):
            totals.add(line[len(FIGURES):])
        else:
            print(line, flush=True)
    totals.passed += process.returncode == 0
    totals.failed += process.returncode != 0


def episodes(seed, known, until, seconds):
    """Which are to run, as long as there is time."""
    if known:
        yield from KNOWN
    for number in range(10 ** 6):
        left = until - time.monotonic()
        if number > 0 and left < EPISODE_LEAST / 2:
            return
        yield seed, number, max(min(seconds / 4, EPISODE_MOST, left), 1)


def await_one(running, totals):
    """Until one of them at least is through."""
    while True:
        # It also has to be read from, however much it says.
        through = [p for p in running if p.poll() is not None or
                   select.select([p.stdout], [], [], 0)[0]]
        for process in through:
            running.remove(process)
            finish_episode(process, totals)
        if through:
            return
        time.sleep(0.1)


def run_all(chosen):
    """`chosen` is asked for the next one when there is a place for it."""
    totals, running, chosen = Totals(), [], iter(chosen)
    while not totals.failed:
        if len(running) >= JOBS:
            await_one(running, totals)
            continue
        one = next(chosen, None)
        if one is None:
            break
        running.append(start_episode(*one))
    while running:
        await_one(running, totals)
    totals.tell()
    return totals.failed == 0


def main(seconds, seed=None, episode=None, least="0"):
    if not os.access(SERVER, os.X_OK):
        sys.exit(f"{SERVER} is not there: `make soak` builds it")
    if seconds == "episode":        # SEED NUMBER SECONDS, see start_episode()
        sys.exit(not run_episode(seed, int(episode), float(least)))
    known = seconds == "known"
    if known:
        seconds, seed, episode = seed, episode, None
    seconds = float(seconds)
    seed = seed or str(random.SystemRandom().randrange(10 ** 6))
    print(f"soak: seed {seed}, {seconds:g} s", flush=True)
    sys.exit(not run_all(
        [(seed, int(episode), seconds)] if episode else
        episodes(seed, known, time.monotonic() + seconds, seconds)))


if __name__ == "__main__":
    main(*[a for a in sys.argv[1:] if a])
