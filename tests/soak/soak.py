"""A random driver of everything that happens to workers, beside clients who each
demand an answer or an honest refusal.

usage: soak.py SECONDS [SEED [EPISODE]]

An episode is one clusterd: with `handoff = env` or `adopt`, with all rights or
none, beginning with one balance or another. It has rounds of actions, each of
which ends in a quiet moment. Which actions there are, and when, is a matter of
the seed alone: the same seed does the same again, and EPISODE does that one
alone, for as long as SECONDS. What else the machine does is another matter.

What has to hold:

* No client waits longer than BOUND, the sum of what the configuration and the
  manual let happen one after another, and of what the machine did not let us
  run meanwhile.
* None is reset but by the death of the process that had accepted it (which has
  said who it is), or where the manual says so: see Episode.judge().
* None is refused but on a port that is opened or left, or where all workers
  have shut their listeners down.
* At the end of a round, when all are let go on, the cluster comes to rest, and
  each ready instance serves (with `shared`, somebody does).

A violation is told with the seed, what was done and when, and clusterd's log;
the exit status is 1 then.
"""

import collections
import os
import random
import re
import shlex
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "e2e"))

import harness                                                  # noqa: E402
import lanes                                                    # noqa: E402
import words                                                    # noqa: E402
from harness import IS_ROOT, SLOW, wait_until                   # noqa: E402

SERVER = os.path.abspath(os.environ.get("SOAK_SERVER", os.path.join(
    os.path.dirname(harness.CLUSTERD), "soak-server")))

CLIENTS = 6
EPISODE_MOST = 60.0     # seconds; the log of a longer one costs too much

# Each in seconds: what is configured, and how long the driver holds on to
# somebody.
READY_TIMEOUT = 1.5
RESTART_DELAY_MAX = 1.0
DRAIN_TIMEOUT = 3.0
STOP_TIMEOUT = 2.0
FREEZE_MOST = 1.2
BAD_STARTS_MOST = 1.5
# LIMITS in clusterd(8): for those who cannot be moved.
WAIT_FOR_OWN = 5.0
# The client's pauses and the request; its SYN again, the server's SYN-ACK again
# and what TCP_DEFER_ACCEPT holds back.
OWN = 1.0
AGAIN = 3.0
# Who comes to a worker that stands still waits for it. If it is killed then, or
# is drained, a replacement is waited for, which may hang in its start, be
# killed, and wait for its turn again, while all starts fail.
BOUND = SLOW * (FREEZE_MOST + DRAIN_TIMEOUT + STOP_TIMEOUT + BAD_STARTS_MOST +
                2 * READY_TIMEOUT + RESTART_DELAY_MAX + WAIT_FOR_OWN + OWN +
                AGAIN)

BALANCES = ["round-robin", "least-connections", "random", "source", "shared",
            "auto"]
MOVING = ["round-robin", "least-connections"]
RESET = re.compile(r"(\d+) connections? that waited for a worker reset")
MOVED = re.compile(r"(\d+) connections? that waited for a worker moved")


class Violation(Exception):
    """What must not be."""


class Lag(threading.Thread):
    """How much later than it wanted somebody ran, in all."""

    def __init__(self):
        super().__init__(daemon=True)
        self.total = 0.0
        self.start()

    def run(self):
        while True:
            begun = time.monotonic()
            time.sleep(0.05)
            late = time.monotonic() - begun - 0.05
            if late > 0.02:
                # Clients, worker and clusterd each may have waited so long.
                self.total += 3 * late


LAG = Lag()


# --- what is done

def plan_round(rnd, balances, seconds):
    """[(when, what, arguments …)], by the random numbers alone."""
    plan, at = [], 0.0
    while at < seconds:
        what = rnd.choices(
            ["kill", "kill-any", "freeze", "freeze-kill", "term", "hup",
             "abort", "ttin", "ttou", "bad-starts", "kill-all"],
            [6, 3, 5, 3, 3, 6, 2, 2, 2, 3, 1])[0]
        rank = rnd.randrange(1000)
        span = rnd.uniform(0.1, FREEZE_MOST)
        setting = {
            "balance": rnd.choice(balances),
            "instances": rnd.choice([1, 2, 4, 6]),
            "max_surge": rnd.choice([1, 2, 8]),
            "change-port": rnd.random() < 0.2,
            "shut": rnd.random() < 0.25,
            "defer": rnd.random() < 0.25,
        }
        letter = rnd.choice("xxhd")
        if what in ("freeze", "freeze-kill"):
            plan.append((at, "stop", rank))
            plan.append((at + span, "kill-stopped" if what == "freeze-kill"
                         else "cont", rank))
        elif what in ("hup", "abort"):
            plan.append((at, what, setting))
        elif what == "bad-starts":
            plan.append((at, "starts", letter))
            plan.append((at + rnd.uniform(0.2, BAD_STARTS_MOST), "starts", ""))
        else:
            plan.append((at, what, rank))
        at += rnd.choice([0, 0.01, 0.05, 0.1, 0.3, 0.6]) * rnd.random()
    return sorted(plan, key=lambda step: step[0])


class Client:
    """What became of one."""

    def __init__(self, port, in_round):
        self.port = port
        self.round = in_round
        self.begun = time.monotonic()
        self.lag = LAG.total
        self.name = None        # its own port
        self.server = None      # pid, instance, generation
        self.phase = "connects"
        self.end = None
        self.how = None
        self.evidence = ""

    def bound(self):
        return self.begun + BOUND + LAG.total - self.lag

    def finish(self, how):
        self.how, self.end = how, time.monotonic()
        return self

    def __str__(self):
        return (f"client {self.name} of port {self.port}, begun at "
                f"{clock(self.begun)}: {self.how} after "
                f"{(self.end or time.monotonic()) - self.begun:.2f} s, "
                f"{self.phase}, accepted by {self.server}")


def clock(moment):
    """As in clusterd's log."""
    then = time.time() - time.monotonic() + moment
    return (time.strftime("%H:%M:%S", time.localtime(then)) +
            f".{int(then * 1000) % 1000:03d}")


def talk(client, rnd, source, look_at):
    """Connect, dawdle, ask, and read; the client then knows how it went."""
    with socket.socket() as s:
        try:
            s.settimeout(BOUND)
            s.bind((source, 0))
            patient(client, s, lambda: s.connect(("127.0.0.1", client.port)))
            client.name = s.getsockname()[1]
            client.phase = "is to ask"
            kind = rnd.random()
            if kind < 0.3:
                time.sleep(rnd.random() * 0.3)
            if kind < 0.15:
                s.sendall(b"0")
                time.sleep(rnd.random() * 0.2)
            s.sendall(b"%d\n" % (0 if kind < 0.7 else rnd.randrange(200)))
            client.phase = "has asked"
            reply = b""
            while True:
                part = patient(client, s, lambda: s.recv(100))
                reply += part
                if b"\n" in reply and not client.server:
                    client.server = reply.split(b"\n")[0].decode().split()
                if not part:
                    break
            return client.finish("ok" if reply.endswith(b"done\n") else "cut")
        except ConnectionRefusedError:
            return client.finish("refused")
        except (ConnectionError, BrokenPipeError):
            # What it had said before is there still.
            try:
                s.settimeout(0)
                reply = s.recv(100)
                if b"\n" in reply and not client.server:
                    client.server = reply.split(b"\n")[0].decode().split()
            except OSError:
                pass
            return client.finish("cut")
        except TimeoutError:
            client.name = client.name or s.getsockname()[1]
            client.evidence = look_at(client)
            return client.finish("waits")


def patient(client, s, call):
    """The call, within the client's bound."""
    while True:
        try:
            s.settimeout(max(client.bound() - time.monotonic(), 0.01))
            return call()
        except TimeoutError:
            if time.monotonic() > client.bound() or client.phase == "connects":
                raise


class Episode:
    """One clusterd, from its start to its end."""

    def __init__(self, seed, number):
        self.seed = f"{seed}/{number}"
        self.rnd = random.Random(self.seed)     # of the actions, nothing else
        kinds = [("env", "root"), ("adopt", "root"), ("env", "nobody"),
                 ("adopt", "nobody")]
        if not IS_ROOT:
            kinds = [("env", "nobody"), ("adopt", "nobody")]
        elif not lanes.SETPRIV:
            kinds = kinds[:2]
        self.handoff, self.who = kinds[number % len(kinds)]
        self.balances = [b for b in BALANCES if b not in MOVING or (
            self.who == "root" and not lanes.why_not())]
        self.balance = self.rnd.choice(self.balances)
        self.instances = 3
        self.max_surge = 1
        self.shut = self.defer = False
        self.ports = [harness.free_port(), harness.free_port()]
        self.box = harness.Box()
        self.bad = self.box.write("bad", "")
        self.trace = []
        self.figures = collections.Counter()
        self.worst = 0.0
        self.lock = threading.Lock()
        self.done = []
        self.running = {}
        self.over = threading.Event()
        self.stopped = {}
        self.d = None
        self.fresh_round()

    def __str__(self):
        return f"handoff = {self.handoff}, {self.who}"

    def fresh_round(self):
        """What excuses there are, from here on."""
        self.round = {"balances": {self.balance}, "shut": self.shut,
                      "ports": 0}

    def note(self, *what):
        self.trace.append(f"{clock(time.monotonic())} "
                          f"{' '.join(map(str, what))}")

    # the configuration

    def configure(self, never=False):
        program = SERVER if self.who == "root" else \
            lanes.nobodys(self.box, SERVER)
        command = [program, "--start", self.bad]
        command += ["--port", self.ports[0]] if self.handoff == "adopt" else []
        command += ["--shut-lanes"] * self.shut + ["--defer"] * self.defer
        command += ["--never"] * never
        keys = {
            "command": shlex.join(map(str, command)),
            "listen": f"127.0.0.1:{self.ports[0]}",
            "handoff": self.handoff, "balance": self.balance,
            "instances": self.instances, "max_surge": self.max_surge,
            "ready": "notify", "ready_timeout": ms(READY_TIMEOUT),
            "restart_delay": "20ms", "restart_delay_max":
            ms(RESTART_DELAY_MAX), "restart_limit": "none",
            "drain_timeout": ms(DRAIN_TIMEOUT),
            "drain_idle": ms(DRAIN_TIMEOUT),
            "stop_timeout": ms(STOP_TIMEOUT),
        }
        self.box.config(web=keys)

    def reload(self, setting, never=False):
        self.balance = setting["balance"]
        self.instances = setting["instances"]
        self.max_surge = setting["max_surge"]
        self.shut, self.defer = setting["shut"], setting["defer"]
        if setting["change-port"]:
            self.ports.reverse()
            self.round["ports"] += 1
        self.round["balances"].add(self.balance)
        self.round["shut"] |= self.shut
        self.configure(never)
        self.d.send_and_wait(signal.SIGHUP)

    # the actions

    def act(self, what, argument):
        self.figures["actions"] += 1
        if what in ("hup", "abort"):
            self.note(what, argument)
            self.reload(argument, what == "abort")
        elif what in ("ttin", "ttou"):
            self.note(what)
            self.d.send_and_wait(signal.SIGTTIN if what == "ttin" else
                                 signal.SIGTTOU)
        elif what == "starts":
            self.note("starts", argument or "are well")
            self.box.write("bad", argument)
        elif what in ("cont", "kill-stopped"):
            pid = self.stopped.pop(argument, None)
            if pid is not None:
                self.note(what, pid)
                if what == "kill-stopped":
                    harness.kill(pid)
                harness.kill(pid, signal.SIGCONT)
        else:
            self.act_on_worker(what, argument)

    def act_on_worker(self, what, rank):
        pids = sorted(self.d.workers() if what in ("kill-any", "kill-all")
                      else self.d.ready_pids())
        if not pids:
            self.note(what, "nobody")
            return
        chosen = pids if what == "kill-all" else [pids[rank % len(pids)]]
        self.note(what, *chosen)
        for pid in chosen:
            if what == "stop":
                harness.kill(pid, signal.SIGSTOP)
                self.stopped[rank] = pid
            else:
                harness.kill(pid, signal.SIGTERM if what == "term" else
                             signal.SIGKILL)

    # clients

    def run_client(self, k):
        rnd = random.Random(f"{self.seed}/{k}")
        n = 0
        while not self.over.wait(0.005 + 0.02 * rnd.random()):
            n += 1
            now = self.round
            ports = self.ports if now["ports"] else self.ports[:1]
            client = Client(rnd.choice(ports), now)
            self.running[k] = client
            talk(client, rnd, lanes.client((k * 40 + n) % 240), self.look_at)
            with self.lock:
                self.done.append(client)

    def look_at(self, client):
        """Where it waits, and who has that."""
        found = []
        for line in open("/proc/net/tcp").read().splitlines()[1:]:
            f = line.split()
            if client.name and f"{client.name:04X}" in (
                    f[1].split(":")[1], f[2].split(":")[1]):
                found.append(f"{f[1]} {f[2]} state {f[3]} queues {f[4]} "
                             f"inode {f[9]}")
        for pid in self.d.workers():
            found.append(f"{pid}: {harness.process_state(pid)}, "
                         f"{harness.read_proc(pid, 'wchan').decode()}")
        return "\n\t".join(found)

    # the verdict

    def judge(self, log):
        """Of those who are through since the last time."""
        with self.lock:
            done, self.done = self.done, []
        dead = {}
        for m in words.DEATH("web").finditer(log):
            dead[m["pid"]] = m["how"]
        reset = sum(int(m[1]) for m in RESET.finditer(log))
        spared = {
            # Said by clusterd: the manual's "and is reset".
            "log": reset - self.figures["said reset"],
            # Accepted by a process that died before it had said who it is.
            "death": len(dead) - self.figures["deaths"],
        }
        self.figures["said reset"] = reset
        self.figures["deaths"] = len(dead)
        self.figures["said moved"] = sum(
            int(m[1]) for m in MOVED.finditer(log))
        aborted = len(words.RELOAD_ABORTED("web").findall(log))
        undone = aborted > self.figures["aborts"]
        self.figures["aborts"] = aborted
        wrong = []
        for client in done:
            # It may have begun in the one before.
            rounds = [client.round, self.round]
            ports = sum(r["ports"] for r in {id(r): r for r in rounds}.values())
            shut = any(r["shut"] for r in rounds)
            moving = self.who == "root" and all(
                r["balances"] <= {*MOVING, "auto"} for r in rounds)
            self.figures["clients"] += 1
            self.figures[client.how] += 1
            self.worst = max(self.worst, client.end - client.begun)
            if client.how == "ok":
                continue
            if client.how == "refused" and (ports or shut):
                self.figures["refused: port or shut"] += 1
            elif client.how == "cut" and client.server:
                how = dead.get(client.server[0], "alive")
                if how == "alive" or "code 0" in how:
                    wrong.append(f"{client}, which is {how}")
            elif client.how == "cut" and spared["log"] > 0:
                spared["log"] -= 1
            elif client.how == "cut" and not moving and shut:
                # Without eBPF, what waits is lost with the lane.
                self.figures["cut: lane shut down"] += 1
            elif client.how == "cut" and ports and (undone or ports > 1):
                # A port that an aborted reload, or the next one, closes again.
                self.figures["cut: port closed"] += 1
            elif client.how == "cut" and spared["death"] > 0:
                spared["death"] -= 1
                self.figures["cut: death at accept"] += 1
            else:
                wrong.append(f"{client}\n\t{client.evidence}")
        if wrong:
            raise Violation("\n".join(wrong))

    def quiet(self):
        """All are let go on; the cluster has to come to rest, and serve."""
        for rank in list(self.stopped):
            pid = self.stopped.pop(rank)
            self.note("cont", pid)
            harness.kill(pid, signal.SIGCONT)
        self.box.write("bad", "")
        # A number that no action sets: it overrides what TTIN and TTOU said.
        self.instances = 5 if self.instances_before == 3 else 3
        self.instances_before = self.instances
        self.note("quiet, instances", self.instances, self.balance)
        self.configure()
        lag = LAG.total
        mark = self.d.mark()
        self.d.send_and_wait(signal.SIGHUP)
        begun = time.monotonic()

        def at_rest():
            if self.d.process.poll() is not None:
                raise Violation("clusterd ended with "
                                f"{self.d.process.returncode}")
            if time.monotonic() > begun + 2 * BOUND + LAG.total - lag:
                raise Violation(
                    f"no rest: {harness.describe(self.d.workers())}")
            # With what a worker has done to its lane before it died seen to.
            return (self.d.find(words.RELOAD_DONE("web"), mark) and
                    len(self.d.children()) == self.instances ==
                    len(self.d.ready_pids()) and self.d.is_at_rest())
        wait_until(at_rest, "rest", 3600)
        self.serves_all()
        # Who has begun before is through soon, or is bound to be.
        before = [c for c in self.running.values() if c.begun < begun]
        wait_until(lambda: all(c.how for c in before), "clients end", 3600)
        self.judge(self.d.log())
        self.fresh_round()

    def serves_all(self):
        wanted = 1 if self.balance in ("shared", "auto") else self.instances
        begun, lag, seen, n = time.monotonic(), LAG.total, set(), 0
        while len(seen) < wanted or n < 20:
            if time.monotonic() > begun + 10 * SLOW + LAG.total - lag:
                raise Violation(f"only instances {sorted(seen)} of "
                                f"{self.instances} serve ({n} clients)")
            client = Client(self.ports[0], self.round)
            talk(client, random.Random(n), lanes.client(n % 240), self.look_at)
            n += 1
            if client.how != "ok":
                raise Violation(f"when all was quiet: {client}\n\t"
                                f"{client.evidence}")
            self.figures["clients"] += 1
            self.figures["ok"] += 1
            seen.add(client.server[1])

    # all of it

    def run(self, seconds):
        how = {} if self.who == "root" else lanes.as_nobody(self.box)
        self.configure()
        self.d = self.box.start(**how)
        self.instances_before = self.instances
        self.d.wait_ready(self.instances, limit=30)
        threads = [threading.Thread(target=self.run_client, args=(k,),
                                    daemon=True) for k in range(CLIENTS)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        try:
            while True:
                begun = time.monotonic()
                for at, what, argument in plan_round(
                        self.rnd, self.balances, 1.5):
                    time.sleep(max(begun + at - time.monotonic(), 0))
                    self.act(what, argument)
                self.quiet()
                self.figures["rounds"] += 1
                if time.monotonic() > end:
                    break
        finally:
            self.over.set()
        for thread in threads:
            thread.join()
        self.judge(self.d.log())

    def close(self):
        self.over.set()
        for pid in self.stopped.values():
            harness.kill(pid, signal.SIGCONT)
        wrong = self.box.close()
        if wrong:
            raise Violation("\n".join(wrong))


def ms(seconds):
    return f"{int(seconds * SLOW * 1000)}ms"


def run_episode(seed, number, seconds):
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
    print(f"soak: episode {number}, {episode}: {figures}; longest "
          f"{episode.worst:.2f} s", flush=True)
    if said:
        print(f"--- clusterd's log\n{log}\n--- what was done\n" +
              "\n".join(episode.trace) +
              f"\n--- violated\n{said}\n--- again: make soak SEED={seed} "
              f"EPISODE={number}", flush=True)
    return said is None


def main(seconds, seed=None, episode=None):
    seed = seed or str(random.SystemRandom().randrange(10 ** 6))
    seconds = float(seconds)
    print(f"soak: seed {seed}, {seconds:g} s; nobody may wait longer than "
          f"{BOUND:g} s", flush=True)
    if not os.access(SERVER, os.X_OK):
        sys.exit(f"{SERVER} is not there: `make soak` builds it")
    end, n = time.monotonic() + seconds, 0
    if episode:
        sys.exit(not run_episode(seed, int(episode), seconds))
    each = min(seconds / 4, EPISODE_MOST)
    failed = 0
    while n < 4 or time.monotonic() + each / 2 < end:
        failed += not run_episode(seed, n, each)
        n += 1
        if failed:
            break
    print(f"soak: {n - failed} passed, {failed} failed, 0 skipped")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main(*[a for a in sys.argv[1:] if a])
