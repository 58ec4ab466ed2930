"""One clusterd of the soak test, from its start to its end: see soak.py."""

import collections
import contextlib
import json
import os
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import harness                                                  # noqa: E402
import lanes                                                    # noqa: E402
from harness import IS_ROOT, SLOW, wait_until                   # noqa: E402

from clients import Client, Lateness, talk                      # noqa: E402
from h2 import Http2Client                                      # noqa: E402
from plan import BALANCES, POLICIES, Round, Settings            # noqa: E402
from verdict import Judge, Timeline                             # noqa: E402

SERVER = os.path.abspath(os.environ.get("SOAK_SERVER", os.path.join(
    os.path.dirname(harness.CLUSTERD), "soak-server")))

EDGE = os.path.join(os.path.dirname(SERVER), "soak-edge")

CLIENTS = 6
SETTLE_MOST = 12.0
REST_MOST = 30.0
FIGURES = "figures: "   # begins a line that is for soak.Totals
OLD = "old-"            # begins a seed from before `more` of plan.py

# What is configured, in seconds. Large programs take their time.
READY_TIMEOUT = {True: 20.0, False: 1.5}
DRAIN_TIMEOUT = DRAIN_IDLE = 3.0
STOP_TIMEOUT = 2.0

MOVING = ["round-robin", "least-connections"]

# Servers, how often, and the command of those that server.c becomes. Of those in C
# some are of another kind, edge.c: by numbers of their own, as `more` of plan.py.
EDGES = 0.25
KINDS = {"c": 5, "loop": 3, "threads": 1, "node": 1, "http2": 1}
COMMANDS = {
    "loop": ["/usr/bin/python3", "-B", "loop.py"],
    "threads": ["/usr/bin/python3", "-B", "threads.py"],
    "node": [shutil.which("node") or "", "node.js"],
    "http2": [shutil.which("node") or "", "http2.js"],
}


class Violation(Exception):
    """What must not be."""


class Lag(threading.Thread):
    """Measures how much later than it wanted somebody runs: this process, whose
    threads the clients are, and clusterd and its workers, by the kernel's account
    of who could run and was not let to. Who stands still has no part in that."""

    def __init__(self):
        super().__init__(daemon=True)
        self.pid = None
        self.timeline = None
        self.seen = {}
        self.start()

    def of_process(self, pid):
        try:
            with open(f"/proc/{pid}/schedstat") as f:
                total = int(f.read().split()[1])
        except (OSError, IndexError):
            return 0.0
        more = total - self.seen.get(pid, total)
        self.seen[pid] = total
        return more / 1e9

    def of_all(self):
        pids = [pid for pid, w in list(self.timeline.workers.items())
                if w.death is None]
        return max(map(self.of_process, [self.pid, *pids]))

    def run(self):
        while True:
            begun = Lateness.under_way = time.monotonic()
            time.sleep(Lateness.STEP)
            others = self.of_all() if self.pid else 0.0
            now = time.monotonic()      # whichever of them has taken long
            late = max(now - begun - Lateness.STEP, others)
            if late > 0.005:
                Lateness.samples.append((now, begun, late))


def lateness_since(moment):
    return Lateness.between(moment, time.monotonic())


LAG = Lag()


def clock(moment):
    """As in clusterd's log."""
    then = time.time() - time.monotonic() + moment
    return (time.strftime("%H:%M:%S", time.localtime(then)) +
            f".{int(then * 1000) % 1000:03d}")


def ms(seconds):
    return f"{int(seconds * SLOW * 1000)}ms"


class Log:
    """What clusterd says, as it comes."""

    def __init__(self, path):
        self.file = open(path, errors="replace")
        self.rest = ""

    def lines(self):
        *lines, self.rest = (self.rest + self.file.read()).split("\n")
        return lines


class Episode:
    """One clusterd, from its start to its end."""

    def __init__(self, seed, number):
        self.seed = f"{seed}/{number}"
        # Of the actions, nothing else.
        self.rnd, self.more = random.Random(self.seed), None
        if str(seed).startswith(OLD):
            self.seed = self.seed[len(OLD):]
            self.rnd = random.Random(self.seed)
        else:
            self.more = random.Random(f"more {self.seed}")
        kinds = [("env", "root"), ("adopt", "nobody"), ("env", "nobody"),
                 ("adopt", "root")]
        if not IS_ROOT:
            kinds = [("env", "nobody"), ("adopt", "nobody")]
        elif not lanes.SETPRIV:
            kinds = [("env", "root"), ("adopt", "root")]
        self.handoff, self.who = kinds[number % len(kinds)]
        self.kind, = self.rnd.choices(list(KINDS), list(KINDS.values()))
        if self.more:
            self.kind = self.more.choice([*KINDS, "c", "c", "c", "http2"])
            if self.kind == "c" and random.Random(
                    f"tokio {self.seed}").random() < EDGES:
                self.kind = "edge"
        self.dual = self.rnd.random() < 0.3 and self.kind == "c"
        if not COMMANDS.get(self.kind, [True])[0]:
            self.kind = "loop"
        self.client = Http2Client if self.kind == "http2" else Client
        self.light = self.kind in COMMANDS
        self.balances = [b for b in BALANCES if b not in MOVING or (
            self.who == "root" and not lanes.why_not())]
        self.settings = Settings(self.rnd.choice(self.balances))
        self.ports = [harness.free_port(), harness.free_port()]
        self.own = harness.free_base() \
            if self.kind == "c" and self.more else None
        self.udp = harness.free_port(socket.SOCK_DGRAM) \
            if self.handoff == "env" and self.kind == "c" else None
        self.box = harness.Box()
        self.bad = self.box.write("bad", "", mode=0o644)
        self.events = self.box.write("shuts", "", mode=0o666)
        self.trace = []
        self.figures = collections.Counter()
        self.of_balance = collections.defaultdict(collections.Counter)
        # The longest wait, and of it while somebody served.
        self.worst = collections.defaultdict(lambda: [0.0, 0.0])
        self.lock = threading.Lock()
        self.done = []
        self.crowd, self.slow = CLIENTS, 0.0
        self.controls, self.said = [], open(self.box.path("said"), "wb")
        self.running = {}
        self.over = threading.Event()
        self.stopped = {}
        self.timeline = Timeline()
        if self.own:
            self.timeline.own = {int(f"{self.own}{i}") for i in range(20)}
        self.judge = Judge(self.timeline, self.moves, DRAIN_TIMEOUT * SLOW,
                           DRAIN_IDLE * SLOW)
        self.d = self.log = None
        self.round_balances = {self.settings.balance}

    def __str__(self):
        return (f"handoff = {self.handoff}, {self.who}, {self.kind}"
                f"{', dual-stack' if self.dual else ''}")

    def note(self, *what):
        self.trace.append(f"{clock(time.monotonic())} "
                          f"{' '.join(map(str, what))}")

    def moves(self, client):
        """Could who waited with it be moved, whatever was done?"""
        return self.who == "root" and not lanes.why_not() and \
            client.instance is None and client.round | self.round_balances <= {*MOVING, "auto"}

    # the configuration

    def command(self, *more):
        nobody = self.who != "root"
        program = lanes.nobodys(self.box, SERVER) if nobody else SERVER
        port = self.ports[self.settings.port]
        command = [program, "--start", self.bad, *more]
        if self.kind == "edge":
            return [*command, "--exec",
                    lanes.nobodys(self.box, EDGE) if nobody else EDGE,
                    port if self.handoff == "adopt" else "-"]
        if self.kind != "c":
            *start, script = COMMANDS[self.kind]
            path = self.box.path(script)
            if not os.path.exists(path):
                self.box.copy(os.path.join(HERE, "servers", script))
            return [*command, "--exec", *start, path,
                    port if self.handoff == "adopt" else "-"]
        command += ["--events", self.events]
        command += ["--port", port] if self.handoff == "adopt" else []
        command += ["--own", self.own] * bool(
            self.own and self.settings.own and self.handoff == "adopt")
        command += ["--listen"] * self.settings.listens
        command += ["--dual"] * (self.dual and self.handoff == "adopt")
        command += ["--shut-lanes"] * self.settings.shut
        command += ["--defer"] * self.settings.defer
        return command

    def configure(self, *more):
        now = self.settings
        port = self.ports[now.port]
        listen = [port if self.dual else f"127.0.0.1:{port}"]
        listen += [f"127.0.0.1:{self.own}{{instance}}"] * bool(
            self.own and now.own)
        listen += [f"udp:127.0.0.1:{self.udp}"] if self.udp else []
        keys = {
            "command": shlex.join(map(str, self.command(*more))),
            "listen": listen, "handoff": self.handoff,
            "balance": now.balance, "instances": now.instances,
            "max_surge": now.max_surge,
            "ready": "notify" if self.kind == "c" else "accept",
            "ready_timeout": ms(READY_TIMEOUT[self.light or now.patient]),
            "drain_timeout": ms(DRAIN_TIMEOUT),
            "drain_idle": ms(DRAIN_IDLE),
            "stop_timeout": ms(STOP_TIMEOUT),
            **POLICIES[now.policy],
        }
        # Else clusterd would end when all instances of `web` are parked.
        keep = {"command": "/bin/sleep 1000000", "instances": 1,
                "ready": "alive:20ms"}
        self.box.config(clusterd={"log_level": "debug"}, web=keys, keep=keep)

    def reload(self, settings, *more):
        self.settings = settings
        self.round_balances = self.round_balances | {settings.balance}
        self.timeline.hups.append((time.monotonic(),
                                   self.ports[settings.port]))
        if not settings.own:
            self.timeline.lefts.append(time.monotonic())
        self.configure(*more)
        self.d.send_and_wait(signal.SIGHUP)

    # the workers

    def see(self):
        """What has come meanwhile."""
        self.timeline.read(self.log.lines())
        with open(self.events) as f:
            self.timeline.shuts = sorted(
                (int(line.split()[1]) / 1000, int(line.split()[2]))
                for line in f)

    def children(self):
        """Without the other app's, with the dead."""
        try:
            with open(f"/proc/{self.d.pid}/task/{self.d.pid}/children") as f:
                pids = list(map(int, f.read().split()))
        except FileNotFoundError:
            pids = self.d.children()
        return [pid for pid in pids if not harness.read_proc(
            pid, "cmdline").startswith(b"/bin/sleep")]

    def ready(self):
        alive = set(filter(harness.is_alive, self.children()))
        return sorted(pid for pid, w in self.timeline.workers.items()
                      if w.ready is not None and pid in alive)

    def strike(self, pid, number):
        worker = self.timeline.worker(pid)
        worker.struck = worker.struck or time.monotonic()
        harness.kill(pid, number)

    def let_go(self, pid, and_die=False):
        self.note("kill-stopped" if and_die else "cont", pid)
        if and_die:
            self.strike(pid, signal.SIGKILL)
        harness.kill(pid, signal.SIGCONT)
        for interval in self.timeline.worker(pid).frozen:
            interval[1] = interval[1] or time.monotonic()

    # the actions

    def act(self, what, argument):
        self.figures["actions"] += 1
        self.see()
        if what in ("hup", "abort", "abort-dies"):
            self.note(what, argument)
            self.reload(argument, *{"abort": ["--never"],
                                    "abort-dies": ["--dies"]}.get(what, []))
        elif what in ("ttin", "ttou"):
            self.note(what)
            self.d.send_and_wait(signal.SIGTTIN if what == "ttin" else
                                 signal.SIGTTOU)
        elif what == "scale":
            self.note(what, argument)
            self.controls.append(subprocess.Popen(
                [harness.CLUSTERCTL, "scale", "web", argument],
                env=self.box.environment(), cwd=self.box.dir,
                stdin=subprocess.DEVNULL, stdout=self.said, stderr=self.said))
        elif what == "starts":
            self.note("starts", argument or "are well")
            self.box.write("bad", argument)
        elif what in ("cont", "kill-stopped"):
            if argument in self.stopped:
                self.let_go(self.stopped.pop(argument), what != "cont")
        else:
            self.act_on_workers(what, argument)

    def act_on_workers(self, what, rank):
        pids = self.ready()
        if what in ("listen", "shut-listen") and self.kind != "c":
            pids = []       # they know no such signal
        if what in ("kill-any", "kill-all"):
            pids = sorted(filter(harness.is_alive, self.children()))
        if pids and what == "kill-but-one":
            pids.pop(rank % len(pids))
        if not pids:
            self.note(what, "nobody")
            return
        if what not in ("kill-all", "kill-but-one", "term-all"):
            pids = [pids[rank % len(pids)]]
        self.note(what, *pids)
        for pid in pids:
            if what == "stop":
                harness.kill(pid, signal.SIGSTOP)
                self.timeline.worker(pid).frozen.append(
                    [time.monotonic(), None])
                self.stopped[rank] = pid
            elif what in ("listen", "shut-listen"):
                harness.kill(pid, signal.SIGUSR1 if what == "listen" else
                             signal.SIGUSR2)
            else:
                self.strike(pid, signal.SIGTERM if what.startswith("term")
                            else signal.SIGKILL)

    def await_complete(self, limit):
        """The reload, aborted or not."""
        begun = time.monotonic()
        while time.monotonic() < begun + limit + lateness_since(begun):
            self.see()
            if self.timeline.is_over(self.timeline.hups[-1][0]):
                break
            time.sleep(0.02)
        self.note("the reload is over")

    def await_controls(self):
        """What was asked for has reached clusterd, done or not."""
        begun = time.monotonic()
        while any(c.poll() is None and c.pid not in self.timeline.asked
                  for c in self.controls):
            if time.monotonic() > begun + 10 * SLOW + lateness_since(begun):
                raise Violation("clusterctl is not heard")
            time.sleep(0.02)
            self.see()

    # clients

    def address(self, rnd):
        """Host, port, and whose own it is or None."""
        if self.own and self.settings.own and rnd.random() < 0.4:
            instance = rnd.randrange(self.settings.instances)
            return "127.0.0.1", int(f"{self.own}{instance}"), instance
        host = "::1" if self.dual and rnd.random() < 0.3 else "127.0.0.1"
        now = self.settings.port
        # Who has not heard of the change.
        if rnd.random() < 0.1 and len({p for _, p in
                                       self.timeline.hups[-2:]}) > 1:
            now = 1 - now
        return host, self.ports[now], None

    def run_client(self, k):
        rnd = random.Random(f"{self.seed}/{k}")
        n = 0
        while not self.over.wait(0.005 + 0.02 * rnd.random()):
            if k >= self.crowd:
                continue
            n += 1
            *address, instance = self.address(rnd)
            client = self.client(tuple(address), self.round_balances,
                                 self.settings.balance)
            client.instance = instance
            if rnd.random() < self.slow:
                client.deaf = 0.1 + 3 * rnd.random()
            self.running[k] = client
            talk(client, rnd, lanes.client((k * 40 + n) % 240),
                 self.settings.defer)
            with self.lock:
                self.done.append(client)
            if client.how == "refused":
                self.over.wait(0.05)

    def look_at(self, client):
        """Where it waits, and who has that."""
        found = []
        lines = [line for name in ("tcp", "tcp6") for line in
                 open(f"/proc/net/{name}").read().splitlines()[1:]]
        for line in lines:
            f = line.split()
            if client.name and f"{client.name:04X}" in (
                    f[1].split(":")[1], f[2].split(":")[1]):
                found.append(f"{f[1]} {f[2]} state {f[3]} queues {f[4]} "
                             f"timer {f[5]} {f[6]} inode {f[9]}")
            elif f[3] == "0A" and client.name and int(
                    f[1].split(":")[1], 16) == client.address[1]:
                found.append(f"{f[1]} listens, queue {f[4].split(':')[1]} "
                             f"inode {f[9]}, held by {self.holders(f[9])}")
        for pid in self.children():
            found.append(f"{pid}: {harness.process_state(pid)}, "
                         f"{harness.read_proc(pid, 'wchan').decode()}")
        return "\n\t".join(found)

    def holders(self, inode):
        """PID:FD of those that have that socket, the supervisor's first."""
        found = []
        for pid in [self.d.pid, *self.children()]:
            with contextlib.suppress(OSError):
                found += [f"{pid}:{fd}" for fd in os.listdir(f"/proc/{pid}/fd")
                          if os.readlink(f"/proc/{pid}/fd/{fd}") ==
                          f"socket:[{inode}]"]
        return " ".join(found) or "nobody"

    def say(self, client, wrong):
        now = time.monotonic()
        return (f"client {client.name} of {client.address}, begun at "
                f"{clock(client.begun)}: {client.how} after "
                f"{(client.end or now) - client.begun:.2f} s, "
                f"{client.phase}, accepted by {client.server}, "
                f"{client.note_resent()}: {wrong}")

    def await_clients(self, before, limit):
        """Until they are through, or the limit; nobody may wait for too long."""
        end = time.monotonic() + limit
        while True:
            self.see()
            now = time.monotonic()
            left = [c for c in before if not c.how]
            for client in left:
                wrong = self.judge.too_long(client, now)
                if wrong and not client.greeted and not client.is_to_hear():
                    evidence = self.look_at(client)
                    if not client.how:
                        raise Violation(f"{self.say(client, wrong)}\n\t"
                                        f"{evidence}")
            if not left or now > end:
                return
            time.sleep(0.1)

    # the verdict

    def count(self, client, excuse):
        for figures in (self.figures, self.of_balance[client.balance]):
            figures["clients"] += 1
            figures[client.how] += 1
            if excuse:
                figures[excuse] += 1
        # At an address that is left nobody is promised anything.
        if client.how in ("ok", "cut") and excuse != "cut: port":
            worst = self.worst[client.balance]
            worst[0] = max(worst[0], client.waited(client.end))
            if client.waited(client.end) > worst[1]:
                worst[1] = max(worst[1], self.judge.unhindered(client))

    def judge_all(self):
        """Those who are through since the last time."""
        with self.lock:
            done, self.done = self.done, []
        # What a death was comes after it.
        if done:
            time.sleep(max(done[-1].end + 0.4 - time.monotonic(), 0))
        self.see()
        wrong = []
        for client in done:
            excuse, why = self.judge.of(client)
            self.count(client, excuse)
            if why:
                wrong.append(self.say(client, why))
        if wrong:
            raise Violation("\n".join(wrong))

    def check_running(self):
        if self.d.process.poll() is not None:
            raise Violation("clusterd ended with "
                            f"{self.d.process.returncode}")

    def quiet(self):
        """All are let go on; the cluster has to come to rest, and serve."""
        for rank in list(self.stopped):
            self.let_go(self.stopped.pop(rank))
        self.box.write("bad", "")
        self.note("settle")
        self.await_clients(list(self.running.values()), SETTLE_MOST)
        self.await_controls()
        # A number that no action sets: it overrides what TTIN and TTOU said.
        few, many = (4, 5) if self.light else (5, 6)
        self.instances = many if self.instances == few else few
        now = self.settings
        self.note("quiet, instances", self.instances, now.balance)
        begun = time.monotonic()
        # Nothing is to go wrong, however slow the machine is.
        self.reload(Settings(now.balance, self.instances, self.instances,
                             now.port, patient=True))

        def at_rest():
            self.check_running()
            self.see()
            if time.monotonic() > begun + REST_MOST + lateness_since(begun):
                raise Violation(f"no rest: {harness.describe(self.children())}")
            # With what a worker has done to its lane before it died seen to.
            return (self.timeline.is_complete(begun) and
                    len(self.children()) == self.instances ==
                    len(self.ready()) and
                    harness.process_state(self.d.pid) == "S")
        self.wait_for(at_rest)
        self.await_clients([c for c in self.running.values()
                            if c.begun < begun], REST_MOST)
        self.serves_all()
        self.judge_all()
        self.round_balances = {now.balance}

    @staticmethod
    def wait_for(condition):
        while not condition():
            time.sleep(0.02)

    def all_of_lanes(self, seen):
        """What is known of them, and of those who have them and who wait; of
        those that are not among `seen` clusterd says more when they die."""
        done = subprocess.run(
            [harness.CLUSTERCTL, "metrics"], env=self.box.environment(),
            cwd=self.box.dir, capture_output=True, text=True)
        found = [line for line in done.stdout.splitlines()
                 if line.startswith("clusterd_") and "_connections" in line]
        for pid in self.children():
            instance = self.timeline.worker(pid).instance
            found.append(f"{pid} of instance {instance}: "
                         f"{harness.process_state(pid)}, "
                         f"{harness.read_proc(pid, 'wchan').decode()}")
            if str(instance) not in seen:
                self.strike(pid, signal.SIGKILL)
        time.sleep(0.5)
        return "\n".join(found + [
            self.say(c, "is not through") for c in self.running.values()
            if not c.how])

    def serves_all(self):
        own = self.settings.balance not in ("shared", "auto")
        wanted = self.instances if own else 1
        begun, seen, n = time.monotonic(), set(), 0
        while len(seen) < wanted or n < 20:
            if time.monotonic() > begun + 10 * SLOW + lateness_since(begun):
                raise Violation(f"only instances {sorted(seen)} of "
                                f"{self.instances} serve ({n} clients)\n"
                                f"{self.all_of_lanes(seen)}")
            client = self.client(
                ("127.0.0.1", self.ports[self.settings.port]),
                self.round_balances, self.settings.balance)
            talk(client, random.Random(n), lanes.client(n % 240),
                 patience=10 * SLOW)
            n += 1
            if client.how not in ("ok", "none"):
                raise Violation("when all was quiet: " +
                                self.say(client, client.how))
            if client.how == "ok":
                self.count(client, None)
                seen.add(client.server[1])
        if self.udp:
            for flow in range(8):
                self.check_flow(flow, own)

    def check_flow(self, n, own):
        """A UDP flow has somebody who serves it, and the same one."""
        seen = set()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((lanes.client(n), 0))
            s.connect(("127.0.0.1", self.udp))
            s.settimeout(5 * SLOW)
            for _ in range(3):
                try:
                    s.send(b"hello")
                    seen.add(s.recv(100).split()[1])
                except OSError as e:
                    raise Violation(f"when all was quiet: a UDP flow: {e}")
        self.figures["flows"] += 1
        if own and len(seen) > 1:
            raise Violation(f"a UDP flow went to {seen}")

    # all of it

    def start(self):
        nobody = self.who != "root"
        how = lanes.as_nobody(self.box) if nobody else {}
        self.timeline.hups.append((time.monotonic(),
                                   self.ports[self.settings.port]))
        self.configure()
        self.d = self.box.start(**how)
        self.log = Log(self.d.log_path)
        LAG.timeline, LAG.pid = self.timeline, self.d.pid
        self.instances = self.settings.instances

        def all_ready():
            self.check_running()
            self.see()
            return len(self.ready()) == self.instances
        wait_until(all_ready, lambda: self.d.log(), 30)

    def run(self, seconds):
        self.start()
        threads = [threading.Thread(target=self.run_client, args=(k,),
                                    daemon=True) for k in range(CLIENTS)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        try:
            while True:
                begun = time.monotonic()
                plan = Round(self.rnd, self.balances, self.settings,
                             self.light, self.more)
                self.crowd, self.slow = plan.crowd, plan.slow
                self.note("clients", self.crowd, *[
                    f"slow {self.slow:g}"] * bool(self.slow))
                for at, what, argument in plan.steps:
                    time.sleep(max(begun + at - time.monotonic(), 0))
                    if what == "complete":
                        self.await_complete(argument)
                        begun = time.monotonic() - at
                    else:
                        self.act(what, argument)
                self.quiet()
                self.figures["rounds"] += 1
                if time.monotonic() > end:
                    break
        finally:
            self.over.set()
        self.await_clients(list(self.running.values()), REST_MOST)
        for thread in threads:
            thread.join(REST_MOST)
        self.judge_all()

    def close(self):
        self.over.set()
        for client in self.running.values():
            client.give_up()
        for pid in self.stopped.values():
            harness.kill(pid, signal.SIGCONT)
        for control in self.controls:
            control.terminate()     # it may wait for what does not come
            control.wait()
        self.said.close()
        LAG.pid = None
        wrong = self.box.close()
        if wrong:
            raise Violation("\n".join(wrong))


def run_episode(seed, number, seconds):
    """Figures by balance go out in a line of their own, for Totals."""
    episode = Episode(seed, number)
    said, log = None, ""
    try:
        try:
            episode.run(seconds)
        except (Violation, AssertionError, OSError) as e:
            said = f"{type(e).__name__}: {e}"
        finally:
            log = episode.d.log() if episode.d else ""
            episode.close()
    except Violation as e:
        said = f"{said or ''}\n{e}"
    figures = ", ".join(f"{v} {k}" for k, v in episode.figures.items())
    worst, served = map(max, zip(*episode.worst.values(), (0.0, 0.0)))
    print(f"soak: episode {number} of {seed}, {episode}: {figures}; longest "
          f"{worst:.2f} s, {served:.2f} s while somebody served")
    if said:
        print(f"--- clusterd's log\n{log}\n--- what was done\n" +
              "\n".join(episode.trace) +
              f"\n--- violated\n{said}\n--- again: make soak SEED={seed} "
              f"EPISODE={number}")
    print(FIGURES + json.dumps([episode.of_balance, episode.worst]),
          flush=True)
    return said is None
