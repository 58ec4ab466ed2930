"""What happened, by clusterd's log and by who did it, and what it excuses.

Times are of CLOCK_MONOTONIC, in seconds; those of the log are known to the
millisecond.
"""

import bisect
import copy
import re
import time

from clients import Lateness

# LIMITS in clusterd(8), and a little: for those who move, and for those who
# cannot.
WAIT_TO_MOVE = 1.0
WAIT_FOR_OWN = 5.0
LITTLE = 0.5
# What a client takes when nothing happens.
OWN = 1.0
# Troubles so soon behind each other are one.
TOGETHER = 0.5
# A client meets more than so many troubles one after another by a wonder.
TROUBLES_MOST = 4
# Of a port: refused, may have to wait for a reload, served.
CLOSED, OPEN, SERVED = range(3)
# What happens at the same moment is seen so far apart.
MOMENT = 0.3
# So exact are the kernel's times of what moves on a connection.
TICK = 0.02

LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.(\d{3}) +\w+ +(.*)$")
OF_WORKER = re.compile(r"web\[(\d+)\] pid (\d+): (.*)$")
DEATH = re.compile(r"(killed by signal \d+|exited with code \d+)")
RESET = re.compile(r"web: (\d+) connections? that waited for a worker reset")
MOVED = re.compile(r"web: (\d+) connections? that waited for a worker moved")
LISTENING = re.compile(r"web: (no longer )?listening on \S*:(\d+)\b")
ASKS = re.compile(r"control: pid (\d+) asks for: ")
LEAVES = re.compile(r"\w+ -> draining\b")


class Worker:
    def __init__(self, instance):
        self.instance = instance
        self.ready = None       # when
        self.leaving = None     # it gets no new clients …
        self.retired = None     # … and got the stop signal, drained
        self.forced = None      # … or not, or was killed for its lateness
        self.struck = None      # by the driver, to death
        self.death = None
        self.how = ""
        self.frozen = []        # [from, to] by the driver; to: None yet

    def serves_until(self):
        return min(t for t in (self.struck, self.retired, self.forced,
                               self.death, float("inf")) if t is not None)

    def is_excused(self):
        """Did it end by what was done to it? Then its clients' ends are its."""
        return (self.death is not None and "code 0" not in self.how and
                (self.struck is not None or self.forced is not None))


class Timeline:
    def __init__(self):
        self.workers = {}       # by pid
        self.resets = []        # [when, how many]: what is left of them
        self.moved = 0
        self.aborts = []
        self.ends = []          # of all instances
        self.complete = 0.0     # the last reload, …
        self.reloading = None   # … and when it, or the next one, began
        self.shuts = []         # (when a worker shut its lanes down, pid)
        self.ports = {}         # number → [(when, what it is from then on)]
        self.hups = []          # (when, port)
        self.asked = set()      # by which clusterctl something was
        self.own = set()        # those that are an instance's own
        self.lefts = []         # when these were left
        self.until = float("inf")   # who comes later does not serve here
        self.second = (None, 0.0)

    def of(self, client):
        """What concerns it: of all, or of the instance whose own address it came
        to; whoever comes after that was left may not have it."""
        if client.instance is None:
            return self
        view = copy.copy(self)
        view.workers = {pid: w for pid, w in self.workers.items()
                        if w.instance == client.instance}
        view.until = min((t for t in self.lefts if t > client.begun - MOMENT),
                         default=view.until)
        return view

    # the log

    def when(self, stamp, milliseconds):
        if stamp != self.second[0]:
            at = time.mktime(time.strptime(stamp, "%Y-%m-%d %H:%M:%S"))
            self.second = (stamp, at - time.time() + time.monotonic())
        return self.second[1] + int(milliseconds) / 1000

    def read(self, lines):
        for line in lines:
            m = LINE.match(line)
            if m:
                self.take(self.when(m[1], m[2]), m[3])

    def worker(self, pid, instance=None):
        found = self.workers.setdefault(pid, Worker(instance))
        found.instance = instance if instance is not None else found.instance
        return found

    def take(self, at, text):
        m = OF_WORKER.match(text)
        if m:
            self.take_of_worker(at, self.worker(int(m[2]), int(m[1])), m[3])
            return
        m = LISTENING.match(text)
        if m:
            self.ports.setdefault(int(m[2]), []).append(
                (at, CLOSED if m[1] else OPEN))
        elif ASKS.match(text):
            self.asked.add(int(ASKS.match(text)[1]))
        elif RESET.match(text):
            self.resets.append([at, int(RESET.match(text)[1])])
        elif MOVED.match(text):
            self.moved += int(MOVED.match(text)[1])
        elif text.startswith("web: reload complete"):
            self.complete = at
            self.see_reload(at)
        elif text.startswith("web: reloading, generation"):
            self.reloading = at
        elif text == "start complete":
            self.see_reload(at)
        elif text.startswith("web: every instance has ended"):
            self.ends.append(at)
            for changes in self.ports.values():
                changes.append((at, CLOSED))
        elif text.startswith("web: reload aborted"):
            self.aborts.append(at)

    @staticmethod
    def take_of_worker(at, worker, text):
        death = DEATH.match(text)
        if text.startswith("ready after"):
            worker.ready = at
        elif death:
            worker.death, worker.how = at, death[1]
        elif LEAVES.match(text):
            worker.leaving = at
        elif text.startswith("drained in"):
            worker.retired = at
        elif text.startswith(("drain_timeout after", "killing it")):
            worker.forced = worker.forced or at

    def see_reload(self, at):
        """Which port that was is certain if no other reload was asked for while
        the file was being read."""
        read = self.reloading or at
        ports = [port for when, port in self.hups if when <= read][-1:]
        ports += [port for when, port in self.hups
                  if read < when < read + MOMENT]
        if len(set(ports)) == 1:
            self.ports.setdefault(ports[0], []).append((at, SERVED))
        for port in self.own:
            if self.ports.get(port, [(0, CLOSED)])[-1][1] == OPEN:
                self.ports[port].append((at, SERVED))

    # questions

    def is_complete(self, since):
        """A reload, to the millisecond."""
        return self.complete > since - 0.002

    def is_over(self, since):
        return self.is_complete(since) or any(
            at > since - 0.002 for at in self.aborts)

    def port_is(self, port, least, a, b):
        """That or more all the time between these, for certain."""
        now = CLOSED
        for when, what in self.ports.get(port, []):
            if when > b:
                break
            if when > a and (now < least or what < least):
                return False
            now = what
        return now >= least

    def closes(self, port, a, b):
        """Who has not spoken by then is new to an address that is left."""
        return any(a <= when <= b and to == CLOSED
                   for when, to in self.ports.get(port, []))

    def given_up(self, port, a, b):
        """Was it closed under those who waited: nobody serves any more, or
        those alone who finish what they have ("when every instance of an app is
        at its end"), or the reload that had opened it was aborted?"""
        return any(a <= t <= b and to == CLOSED and (
            any(abs(t - end) < MOMENT for end in self.ends) or
            self.gaps(t - MOMENT, t + MOMENT, (), True)[1] or
            any(abs(t - abort) < MOMENT for abort in self.aborts))
            for t, to in self.ports.get(port, []))

    def who_shut(self, a, b):
        i = bisect.bisect_left(self.shuts, (a,))
        j = bisect.bisect_left(self.shuts, (b,))
        return {pid for _, pid in self.shuts[i:j] if pid in self.workers}

    def take_reset(self, a, b):
        """One of those of which clusterd has said so."""
        for entry in self.resets:
            if a <= entry[0] <= b and entry[1] > 0:
                entry[1] -= 1
                return True
        return False

    def troubles(self, a, b, more=()):
        """How often workers that had been ready died before their time, and
        what else there was: at the same moment is once."""
        times = sorted([w.serves_until() for w in self.workers.values()
                        if w.ready is not None and w.retired is None and
                        w.death is not None and a <= w.serves_until() <= b] +
                       list(more))
        found, last = 0, float("-inf")
        for at in times:
            found += at > last + TOGETHER
            last = at
        return found

    def death_near(self, a, b):
        return any(w.is_excused() and (a <= w.death <= b or
                                       a <= (w.struck or w.death) <= b)
                   for w in self.workers.values())

    def frozen(self, a, b):
        """How long somebody was, in all; who is told to end by others than
        clusterd finishes what it has, and accepts no more."""
        return measure(clip(
            [(f, to if to is not None else b) for w in self.workers.values()
             for f, to in [*w.frozen, *([(w.struck, w.death)]
                                        if w.struck is not None else [])]],
            a, b))

    def gaps(self, a, b, without=(), draining=False):
        """How long nobody served, and the ends of these times. `draining`:
        those do, too, who get no new clients."""
        served = []
        for pid, w in self.workers.items():
            if w.ready is None or w.ready > self.until or pid in without:
                continue
            at, end = w.ready, w.serves_until()
            if w.leaving is not None and not draining:
                end = min(end, w.leaving)
            for f, to in w.frozen:
                served.append((at, f))
                at = max(at, to if to is not None else b)
            served.append((at, end))
        served = clip(served, a, b)
        ends, at = [], a
        for f, to in [*served, (b, b)]:
            if f > at + 0.001:
                ends.append(f)
            at = max(at, to)
        return (b - a) - measure(served), ends


def moment(at):
    """How far apart the same moment may be seen there."""
    return MOMENT + Lateness.between(at - MOMENT, at + MOMENT)


def clip(intervals, a, b):
    """Sorted, and without overlaps."""
    found = []
    for f, to in sorted((max(f, a), min(to, b)) for f, to in intervals):
        if to <= f:
            continue
        if found and f <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], to))
        else:
            found.append((f, to))
    return found


def measure(intervals):
    return sum(to - f for f, to in intervals)


class Judge:
    """`moves(client)`: could who waited be moved, all the time? `drain`: so
    long a worker may know that it is to end; `idle`: drain_idle."""

    def __init__(self, timeline, moves, drain, idle):
        self.timeline = timeline
        self.moves = moves
        self.drain = drain
        self.idle = idle

    def hindered(self, client, now):
        """How long somebody was frozen, and nobody served, while it waited, and
        the ends of the latter."""
        end = client.greeted or client.end or now
        t = self.timeline.of(client)
        return t.frozen(client.begun, end), *t.gaps(client.begun - MOMENT, end)

    def unhindered(self, client):
        """How long it waited while somebody served."""
        frozen, gap, _ = self.hindered(client, client.end)
        return max(client.waited(client.end) - frozen - gap, 0.0)

    def bound(self, client, now):
        """How long it may have waited by now, and why."""
        end = client.greeted or client.end or now
        late = client.lateness(now)
        frozen, gap, ends = self.hindered(client, now)
        t = self.timeline.of(client)
        # Who was late itself, or is heard of only when it speaks, may have come to
        # somebody who has retired since.
        ends += [w.retired for w in t.workers.values()
                 if (client.deaf or client.deferred) and w.retired and
                 client.begun < w.retired < end]
        # "A worker that listens again itself, before clusterd has looked": who
        # strays then "is treated as one of a worker that died" ("Shared
        # listeners" in clusterd(8)).
        if not self.moves(client):
            ends += [at for at, pid in t.shuts
                     if client.begun - LITTLE - late < at < end]
        troubles = t.troubles(client.begun - MOMENT - late, end, ends)
        each = (WAIT_TO_MOVE if self.moves(client) else WAIT_FOR_OWN) + LITTLE
        bound = (OWN + late + frozen + gap +
                 each * min(troubles, TROUBLES_MOST))
        return bound, (f"{OWN:g} s, {late:.2f} s of the machine's, {frozen:.2f}"
                       f" s frozen, {gap:.2f} s without anybody, {troubles} "
                       f"times {each:g} s")

    def too_long(self, client, now):
        """Why it should not wait any more, or None."""
        if client.waited(now) < OWN:
            return None
        if not self.is_reachable(client):
            return None
        bound, why = self.bound(client, now)
        return None if client.waited(now) <= bound else \
            f"{client.waited(now):.2f} s, may wait {bound:.2f} s: {why}"

    def is_reachable(self, client):
        """Was its address served when it came? "An address that a reload leaves
        takes no new clients" (clusterd(8)), nor those whose handshake is not
        through."""
        w = moment(client.begun)
        there = client.connected or client.end or time.monotonic()
        return self.timeline.port_is(
            client.address[1], SERVED, client.begun - w,
            (there if client.deaf else client.begun) + w)

    def of(self, client):
        """(excuse or None, what is wrong or None)"""
        now = client.end
        if client.how == "none":
            return None, None
        if client.how == "ok":
            return None, self.too_long(client, now)
        if client.how == "refused":
            return (self.of_unprocessed(client) if client.connected else
                    self.of_refused(client))
        if client.how == "cut":
            return (self.of_accepted(client) if client.server else
                    self.of_cut(client))
        return (None, self.too_long(client, now)) \
            if self.is_reachable(client) else ("left: port", None)

    def of_refused(self, client):
        t, w = self.timeline.of(client), moment(client.begun)
        a, b = client.begun - w, client.end + w
        if not t.port_is(client.address[1], OPEN, a, b):
            return "refused: port", None
        if self.is_shut(client, t, a, b):
            return "refused: lanes shut", None
        return None, "is refused"

    def is_shut(self, client, t, a, b):
        """By workers. With eBPF nobody notices as long as another has a lane."""
        who = t.who_shut(a, b)
        return who and (not self.moves(client) or
                        t.gaps(a, b, who, True)[1])

    def of_unprocessed(self, client):
        """HTTP/2 has said so. Who drains may: "servers that then ask their
        clients to come no more on the connections that they have, by … GOAWAY"
        (drain_signal in clusterd.ini(5))."""
        pid = client.server and int(client.server[0])
        worker = self.timeline.workers.get(pid)
        w = moment(client.end)
        if worker is None or not (client.end - w <= worker.serves_until() <=
                                  client.end + self.drain + w):
            return None, f"is turned away by pid {pid}, which is to go on"
        return "refused: not processed", None

    def was_idle(self, client, worker):
        """When its worker was drained: "an open connection on which nothing has
        moved for this long does not hold up the worker's end" (drain_idle in
        clusterd.ini(5)). By the kernel's account, and not by when the client
        was to speak, for which it may have come to run too late."""
        return client.quiet is not None and worker.retired is not None and (
            client.quiet + self.idle - TICK <= worker.retired <=
            (client.spoke or client.end) + moment(client.end))

    def of_accepted(self, client):
        t = self.timeline.of(client)
        worker = t.workers.get(int(client.server[0]))
        w = moment(client.end) + LITTLE
        if worker is not None and self.was_idle(client, worker):
            return "cut: idle", None
        if worker is None or not worker.is_excused() or not (
                client.well - w <= worker.death <= client.end + w):
            return None, (f"is cut, by pid {client.server[0]}, which "
                          f"{worker and worker.how or 'lives'}")
        return "cut: death", None

    def of_cut(self, client):
        t, w = self.timeline.of(client), moment(client.end)
        # Who had not been heard by its worker may hear of all that now.
        a = (client.begun if client.deaf else client.well) - w
        b = client.end + w
        if self.is_shut(client, t, a, b):
            return "cut: lane shut", None
        # Who has not spoken yet may hear of that only when it does
        # (TCP_DEFER_ACCEPT).
        if not self.is_reachable(client) or t.given_up(
                client.address[1], client.begun - w, b) or (
                client.deferred and t.closes(
                    client.address[1], client.begun,
                    client.spoke or client.end)):
            return "cut: port", None
        if t.death_near(a, b):
            return "cut: death at accept", None
        # Last, as there are no more of these than clusterd has said: on a late
        # machine one that is excused by something else is near to one, too.
        if not self.moves(client) and t.take_reset(a, b):
            return "reset: said", None
        return None, "is cut, and nobody had accepted it"
