"""Everything at once that workers and strangers can do to keep clusterd busy,
and what somebody sees of it who only wants to know the status of one app.

    make chaos CHAOS_SECONDS=600 SEED=4711 APPS=300 INSTANCES=10
    python3 tests/bench/chaos.py [--floods log,binds] [--mode each|together|both]

One clusterd (CLUSTERD, as it is or built with sanitizers) has APPS apps of
INSTANCES probes each, and the apps that the floods need (chaos_floods.py; --list
names them). First nothing happens, then one flood after another, then all of them
together, each for a part of the seconds. At the end all has to come to rest and
to serve, the descriptors and the memory are counted again, and clusterd gets TERM.

Of each phase it prints
  status    p50, p99 and the longest `status APP`, asked each 20 ms by one client
  turn      the longest turn of the loop: of its own, of that on a CPU (the rest
            it slept in system calls), and by the clock, where those also count
            who had the CPU instead. By looptime.c, which takes root or
            CAP_PERFMON; without it there is the status alone.
  >N        how many were longer of their own than the target
  CPU       of clusterd; and wait, for how much of the time it could have gone on, and
            others had the CPU
  log       the most lines in a second of one app and kind, and which

and then which targets are met. It is clusterd that is measured, so who floods has
the least claim to a CPU (--nice); what else the machine does is told, and counts:
where it is busy, so are the processes that clusterd waits for. With --realtime each
flood goes on for as long again, as "NAME first", with the supervisor, the keeper and
the one who asks before all others that want a CPU, but not their children: what
somebody waits for then is clusterd's own work. That takes root.

The exit status is 1 where something is wrong that is no matter of time: a lost
READY=1, no rest, an exit status, a process that is left, a flood that was none.
--syscalls tells which system calls the longest turns were in; it costs some. What
it starts it ends, each by its pid.
"""

import argparse
import contextlib
import os
import random
import resource
import shlex
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import chaos_look                                               # noqa: E402
from chaos_floods import FLOODS, GATE, NOISE                    # noqa: E402
from chaos_look import quantile                                 # noqa: E402

import conftest                                                 # noqa: E402
import control                                                  # noqa: E402
import harness                                                  # noqa: E402
from binder import BINDER                                       # noqa: E402
from harness import SANITIZED, SLOW, kill, probe, wait_until    # noqa: E402

TURN_MS = 20 if SANITIZED else 5
STATUS_MS = 20
LOG_LINES = 20
# Where one second of the log ends is seen by the lines' own stamps, of which the
# first may be late.
LOG_SLACK = 5
ORDER_S = 120           # an order may take so long
REST_S = 300
START_S = 900           # of thousands of workers, on a busy machine
LASTING = {"path"}      # apps of floods that run all the time
TOP = 12                # of the longest turns


def say(*words):
    print("chaos:", *words, flush=True)


def more_descriptors():
    """As many as may be had, for thousands of workers."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for most in (1 << 18, hard):
        with contextlib.suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
            return


def whole_answer(client, deadline):
    """However much of it comes."""
    client.greet()
    lines = []
    while not lines or lines[-1].split(" ")[0] not in ("ok", "error"):
        if time.monotonic() > deadline:
            raise TimeoutError
        line = client.line()
        if line is None:
            raise ConnectionError(f"half an answer: {lines[-1:]}")
        lines.append(line)
    return control.Answer(lines)


class Phase:
    def __init__(self, run, name):
        self.run, self.name = run, name

    def __enter__(self):
        self.begin, self.cpu = time.monotonic(), self.cpu_now()
        self.waited = self.waited_now()
        return self

    def __exit__(self, *exception):
        self.end = time.monotonic()
        self.cpu = self.cpu_now() - self.cpu
        waited = self.waited_now()
        self.waited = None if None in (waited, self.waited) else \
            waited - self.waited
        self.run.phases.append(self)
        say(f"{self.name}: {self.end - self.begin:.1f} s")

    def cpu_now(self):
        try:
            return chaos_look.cpu_seconds(self.run.d.pid)
        except (OSError, AttributeError):
            return 0.0

    def waited_now(self):
        try:
            return chaos_look.waited_seconds(self.run.d.pid)
        except (OSError, AttributeError):
            return None


class Run:
    """One clusterd, from its start to its end."""

    def __init__(self, args):
        self.args = args
        self.seconds, self.seed = args.seconds, args.seed
        self.rnd = random.Random(f"{args.seed} run")
        self.box = harness.Box()
        self.control = self.box.path("c.sock")
        self.gate = self.box.write("gate", GATE.format(nice=args.nice))
        self.binder = BINDER
        self.serves = []        # Unix paths that have to be there at the end
        self.names = [f"q{n:03}" for n in range(args.apps)]
        self.pids = []
        self.phases, self.wrong = [], []
        self.processes = []
        self.orders = {}        # verb → [done, refused, longest]
        self.lock = threading.Lock()
        self.states, self.term_at = {}, time.monotonic()
        self.before = self.after = None     # figures()
        self.d = self.asker = self.turns = self.drain = None
        self.floods = [FLOODS[name](self) for name in args.floods]

    def many(self, most):
        """As many as that with 300 apps of 10, fewer of fewer."""
        share = self.args.apps * self.args.instances / 3000
        return max(1, int(most * min(1, max(share, 0.02))))

    def some_pid(self):
        return self.rnd.choice(self.pids)

    def some_app(self, rnd):
        return rnd.choice(self.names[1:] or self.names)

    # the configuration

    def configure(self, more=0):
        quiet = {"command": probe("--events", self.box.events_path),
                 "listen": "127.0.0.1:0", "instances": self.args.instances,
                 "ready": "notify", "restart_delay": "10ms",
                 "drain_timeout": "200ms", "stop_timeout": "3s"}
        apps = {name: dict(quiet) for name in self.names}
        for name in self.names[1:6]:
            apps[name]["env"] = f"MORE={more}"
        settings = {"control": self.control, "log": self.box.path("log")}
        for f in self.floods:
            apps.update(f.apps())
            settings.update(f.settings())
        path = self.box.config("app.ini.new", clusterd=settings, **apps)
        os.rename(path, self.box.path("app.ini"))

    # orders

    def order(self, request, limit=ORDER_S):
        """Its answer, or None where there was none."""
        begun = time.monotonic()
        answer = None
        try:
            with control.Client(self.control, limit) as c:
                answer = whole_answer(c.send(request), begun + limit * SLOW)
        except TimeoutError as e:
            if limit >= ORDER_S:
                say(f"{request}: {e!r} after {limit:.0f} s")
        except (OSError, AssertionError) as e:
            if self.d.process.poll() is None:
                say(f"{request}: {e!r} after {time.monotonic() - begun:.1f} s")
        with self.lock:
            counts = self.orders.setdefault(request.split()[0], [0, 0, 0.0])
            counts[answer is None or not answer.ok] += 1
            counts[2] = max(counts[2], time.monotonic() - begun)
        return answer

    def at_once(self, requests, limit=ORDER_S):
        """So many are under way beside each other. What takes longer goes on
        without us."""
        threads = [threading.Thread(target=self.order, args=(r, limit))
                   for r in requests]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    # phases

    def start(self):
        self.configure()
        # What workers say comes with clusterd's own standard error.
        with open(self.box.path("said"), "ab") as said:
            self.drain = subprocess.Popen(
                ["grep", "-a", "-v", "--line-buffered", NOISE],
                stdin=subprocess.PIPE, stdout=said)
        self.d = self.box.start(
            stderr=self.drain.stdin, stdout=self.drain.stdin,
            preexec_fn=more_descriptors)
        self.drain.stdin.close()
        self.d.stderr_path = self.box.path("said")
        self.d.log_path = self.box.path("log")
        self.turns = chaos_look.Turns(
            self.box.path("turns"), self.d.pid, TURN_MS, self.args.syscalls)
        with Phase(self, "start"):
            wait_until(lambda: os.path.exists(self.control) and
                       self.order("status q000") is not None,
                       "the control socket", 60)
            self.asker = chaos_look.Asker(
                self.box.path("asked"), self.control, "status q000",
                first=harness.IS_ROOT)
            self.stop_apps(self.floods, START_S)
            self.come_to_rest(START_S)

    def status(self):
        answer = self.order("status")
        return control.check(answer) if answer is not None else None

    @staticmethod
    def unrest(answer):
        """What is not as it should be, in words."""
        if answer is None:
            return ["no answer"]
        found = [f"{r['name']} is {r['state']}, {r['ready']} of {r['wanted']}"
                 for r in answer.all("app") if r["state"] != "stopped" and
                 (r["state"] != "running" or r["ready"] != r["wanted"])]
        return found + [f"{r['app']}[{r['instance']}] {r['role']} "
                        f"{r['state']}" for r in answer.all("instance")
                        if r["role"] != "seat"]

    def come_to_rest(self, limit=REST_S):
        deadline = time.monotonic() + limit * SLOW
        while True:
            # The one who waits costs nothing; who looks at all does.
            self.order("wait", max(1, deadline - time.monotonic()) / SLOW)
            begun = time.monotonic()
            answer = self.status()
            took = time.monotonic() - begun
            unrest = self.unrest(answer)
            if answer is not None:
                self.pids = [r["pid"] for r in answer.all("instance")
                             if r["app"] in self.names and "pid" in r]
            if not unrest:
                return True
            if time.monotonic() > deadline:
                self.wrong.append(f"no rest after {limit * SLOW:g} s: "
                                  f"{'; '.join(unrest[:5])}")
                return False
            time.sleep(max(0.2, took * 5))

    def begin(self, floods):
        over = threading.Event()
        for f in floods:
            self.box.touch(os.path.basename(f.mark))
        # One of them is never ready.
        self.at_once([f"start {name}" for f in floods for name in f.apps()
                      if name not in LASTING], 2)
        for f in floods:
            for kind, *rest in f.strangers():
                self.processes.append(subprocess.Popen(
                    [sys.executable, "-B",
                     os.path.join(HERE, "chaos_floods.py"), kind,
                     str(self.seconds + 30), str(self.seed),
                     *map(str, rest)],
                    stdin=subprocess.DEVNULL, env=self.box.environment(),
                    preexec_fn=lambda: os.nice(self.args.nice)))
        threads = [threading.Thread(target=self.give_orders, args=(f, over))
                   for f in floods]
        for t in threads:
            t.start()
        return over, threads

    def give_orders(self, f, over):
        try:
            f.orders(over)
        except Exception as e:      # all the others are to go on
            self.wrong.append(f"{f.name}: {e!r}")

    def cease(self, floods, over, threads):
        over.set()
        self.end_strangers()
        for f in floods:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f.mark)
            f.cease()
        # Their orders may wait for one of these apps.
        self.stop_apps(floods)
        for t in threads:
            t.join()
        self.stop_apps(floods)

    def stop_apps(self, floods, limit=ORDER_S):
        self.at_once([f"stop {name}" for f in floods for name in f.apps()
                      if name not in LASTING], limit)

    def end_strangers(self):
        for p in self.processes:
            if p.poll() is not None:
                self.wrong.append(f"{' '.join(p.args[3:])}: ended too early, "
                                  f"with {p.returncode}")
            kill(p.pid, signal.SIGTERM)
        for p in self.processes:
            try:
                p.wait(20)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        self.processes.clear()

    def failed_workers(self):
        """Floods that were none, as their workers have said."""
        with open(self.box.path("said"), errors="replace") as f:
            said = f.read()
        if "Traceback" in said:
            i = said.index("Traceback")
            self.wrong.append(f"{said.count('Traceback')} workers failed: "
                              f"{said[i:i + 1000]}")

    def flood(self, name, floods, seconds):
        """The phase ends with the seconds; that all has ceased, and is as it
        was, belongs to none."""
        over, threads = None, []
        try:
            with Phase(self, name) as phase:
                over, threads = self.begin(floods)
                while time.monotonic() < phase.begin + seconds and \
                        self.d.process.poll() is None:
                    time.sleep(0.05)
            if self.args.realtime:
                self.go_first(f"{name} first", seconds)
        finally:
            if over is not None:
                with Phase(self, f"{name}: end"):
                    self.cease(floods, over, threads)
                    self.come_to_rest()

    def go_first(self, name, seconds):
        """The same, with a CPU for clusterd whenever it wants one."""
        pids = (self.d.pid, self.d.keeper, self.asker.process.pid)
        try:
            for pid in pids:
                os.sched_setscheduler(
                    pid, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK,
                    os.sched_param(1))
            with Phase(self, name) as phase:
                while time.monotonic() < phase.begin + seconds and \
                        self.d.process.poll() is None:
                    time.sleep(0.05)
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setscheduler(pid, os.SCHED_OTHER,
                                          os.sched_param(0))

    # the end

    def serve(self):
        """Whoever is to serve does."""
        answer = self.status()
        if answer is None:
            return
        failed = []
        for r in answer.all("listener"):
            if r["app"] not in self.names and \
                    r["app"] not in LASTING:
                continue
            try:
                harness.get(harness.split_address(r["address"]))
            except (OSError, AssertionError) as e:
                failed.append(f"{r['app']} at {r['address']}: {e!r}")
        for path in self.serves:
            if not harness.is_socket(path):
                failed.append(f"{path} is not there")
        self.wrong += failed[:5]
        say(f"serve: {len(failed)} do not")

    def stop(self):
        begun = self.term_at = time.monotonic()
        kill(self.d.keeper, signal.SIGTERM)
        try:
            code = self.d.wait(120)
            if code != 0:
                self.wrong.append(f"exit status {code}")
        except AssertionError:
            self.wrong.append("it does not end within "
                              f"{time.monotonic() - begun:.0f} s of TERM")
        say(f"stop: {time.monotonic() - begun:.1f} s")

    def figures(self):
        return (chaos_look.kinds_of_fds(self.d.pid),
                *chaos_look.memory(self.d.pid))

    def go(self):
        each = self.floods if self.args.mode in ("each", "both") else []
        together = self.args.mode in ("together", "both")
        seconds = self.args.seconds
        # Shares of the time, as the manual above says.
        quiet = min(10, seconds * 0.05)
        one = (seconds * (0.5 if together else 1) - quiet) / len(each) \
            if each else 0
        try:
            self.start()
            if self.wrong:
                return
            # Whatever is made but once is there.
            self.order(f"reload {self.names[-1]}")
            with Phase(self, "nothing"):
                busy, total = chaos_look.busy_seconds()
                time.sleep(quiet)
                more = chaos_look.busy_seconds()
                busy = (more[0] - busy) / (more[1] - total)
                say(f"the machine is busy for {busy * 100:.0f} % of the time")
            self.before = self.figures()
            for f in each:
                if self.d.process.poll() is None:
                    self.flood(f.name, [f], one)
            if together and self.d.process.poll() is None:
                self.flood("together", self.floods,
                           seconds * 0.5 if each else seconds)
            if self.d.process.poll() is not None:
                self.wrong.append("clusterd has ended: "
                                  f"{self.d.process.returncode}")
            else:
                self.states = {r["pid"]: r["state"] for r in
                               self.status().all("instance") if "pid" in r}
                self.serve()
                self.after = self.figures()
        finally:
            self.end()

    def end(self):
        self.end_strangers()
        for watcher in (self.asker, self.turns):
            if watcher is not None:
                watcher.end()
        if self.d is not None and self.d.process.poll() is None:
            self.stop()
        if self.drain is not None:
            try:
                self.drain.wait(10)
            except subprocess.TimeoutExpired:
                self.drain.terminate()
                self.drain.wait()
            self.failed_workers()


# --- what is told

def number(value, form="{:.2f}"):
    return "-" if value is None else form.format(value)


def share(seconds, phase):
    return None if seconds is None else \
        seconds / (phase.end - phase.begin) * 100


def tell_phases(run, log):
    """Prints the table; returns the worst of each target, of the floods."""
    wide = max(len(p.name) for p in run.phases)
    print(f"{'':{wide}}     s  status    p50     p99     max ms   turn "
          f"own   on CPU by clock ms  >{TURN_MS}  CPU %  wait %  log  by",
          flush=True)
    worst = {"turn": [], "status": [], "log": []}
    names = {f.name for f in run.floods} | {"together"}
    for p in run.phases:
        took = run.asker.between(p.begin, p.end)
        p50, p99, longest = (
            None if not took else quantile(took, q) * 1e3
            for q in (0.5, 0.99, 1))
        wall, own, on_cpu = run.turns.between(p.begin, p.end)
        lines, app, kind = log.busiest(p.begin, p.end)
        gone = run.asker.gone_between(p.begin, p.end)
        print(f"{p.name:{wide}} {p.end - p.begin:5.1f}  {len(took):6} "
              f"{number(p50):>6} {number(p99):>7} {number(longest):>8}   "
              f"{number(own):>8} {number(on_cpu):>8} {number(wall):>8}  "
              f"{len(run.turns.long_between(p.begin, p.end)):5} "
              f"{p.cpu / (p.end - p.begin) * 100:6.0f} "
              f"{number(share(p.waited, p), '{:.0f}'):>7} {lines:5}  "
              f"{f'{app}: {kind[:40]}' if lines > LOG_LINES + LOG_SLACK else ''}"
              f"{f' ({gone} connections closed)' if gone else ''}",
              flush=True)
        if p.name in names:
            worst["turn"].append((own, p.name))
            worst["status"].append((p99, p.name))
            worst["log"].append((lines, p.name))
    return worst


def tell_target(words, found, target, form, slack=0):
    found = [(v, name) for v, name in found if v is not None]
    if not found:
        print(f"{words}: not measured")
        return
    missed = sorted((f for f in found if f[0] > target + slack),
                    reverse=True)
    value, name = max(found)
    print(f"{words} {form.format(target)}: "
          + (f"missed by {len(missed)} of {len(found)}, worst "
             if missed else "met, worst ")
          + f"{form.format(value)} ({name})"
          + (": " + ", ".join(f"{n} {form.format(v)}" for v, n in missed)
             if len(missed) > 1 else ""), flush=True)


def phase_at(run, when):
    return next((p.name for p in run.phases if p.begin <= when < p.end),
                "between")


def tell(run):
    log = chaos_look.Log(run.box.path("log"))
    worst = tell_phases(run, log)
    if run.turns.why_not:
        print(f"turns of the loop: not seen: {run.turns.why_not}; the status "
              "is a bound for them")
    elif run.turns.lost:
        print(f"turns of the loop: {run.turns.lost} records were lost")
    for when, wall, own, slept, calls in sorted(
            run.turns.long, key=lambda t: -t[2])[:TOP]:
        print(f"  {phase_at(run, when)}: own {own:.1f} ms of {wall:.1f}, "
              f"slept {slept:.1f} {chaos_look.calls_in_words(calls)}")
    for verb, (done, refused, longest) in sorted(run.orders.items()):
        print(f"order {verb}: {done} done, {refused} refused, longest "
              f"{longest:.2f} s")
    said, lost, longest = chaos_look.lost_readies(
        [(e["pid"], e["at"] / 1e3) for e in run.box.events("ready")],
        log, run.states, run.term_at)
    print(f"READY=1: {said} said, {len(lost)} lost, heard within "
          f"{longest:.2f} s")
    if lost:
        run.wrong.append(f"{len(lost)} lost READY=1, of pids {lost[:5]}")
    for when, figures in (("before", run.before), ("after", run.after)):
        if figures:
            kinds, pss, rss = figures
            print(f"{when}: {sum(kinds.values())} descriptors "
                  f"({', '.join(f'{n} {k}' for k, n in kinds.most_common(6))})"
                  f", PSS {pss} KiB, RSS {rss} KiB")
    tell_target("target: longest turn at most", worst["turn"], TURN_MS,
                "{:.1f} ms")
    tell_target("target: status p99 under", worst["status"], STATUS_MS,
                "{:.1f} ms")
    tell_target("target: lines a second of an app and kind at most",
                worst["log"], LOG_LINES, "{}", LOG_SLACK)
    print(f"target: lost READY=1 none: {'missed' if lost else 'met'}")


def arguments():
    p = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seconds", type=float, default=600)
    p.add_argument("--seed", default="")
    p.add_argument("--apps", type=int, default=300)
    p.add_argument("--instances", type=int, default=10)
    p.add_argument("--floods", default="all", help="names, with commas; "
                   "-name leaves one out")
    p.add_argument("--mode", choices=("each", "together", "both"),
                   default="both")
    p.add_argument("--nice", type=int, default=19, help="of who floods: what "
                   "is measured is clusterd, not who has the CPU (19)")
    p.add_argument("--realtime", action="store_true", help="each flood goes on "
                   "with clusterd and who asks before all others")
    p.add_argument("--syscalls", action="store_true")
    p.add_argument("--keep", help="a directory for the log and what was seen")
    p.add_argument("--list", action="store_true")
    args = p.parse_args()
    if args.realtime and os.geteuid() != 0:
        p.error("--realtime takes root")
    args.seed = args.seed or str(random.SystemRandom().randrange(10 ** 6))
    names = args.floods.split(",")
    without = {n[1:] for n in names if n.startswith("-")}
    wanted = [n for n in names if not n.startswith("-")]
    if wanted in ([], ["all"]):
        wanted = list(FLOODS)
    for name in {*wanted, *without} - set(FLOODS):
        p.error(f"no such flood: {name}; there are {', '.join(FLOODS)}")
    args.floods = [n for n in wanted if n not in without]
    return args


def keep(run, directory):
    os.makedirs(directory, exist_ok=True)
    for name in ("log", "said", "turns", "asked", "app.ini", "events"):
        with contextlib.suppress(FileNotFoundError), \
                open(run.box.path(name), "rb") as f, \
                open(os.path.join(directory, name), "wb") as t:
            t.write(f.read())


def main():
    args = arguments()
    if args.list:
        for f in FLOODS.values():
            print(f"{f.name:14} {f.__doc__}")
        return 0
    say(f"seed {args.seed}, {args.seconds:g} s, {args.apps} apps x "
        f"{args.instances}, {harness.CLUSTERD}"
        f"{', with sanitizers' if SANITIZED else ''}; "
        f"{', '.join(args.floods)}")
    # Nothing of whoever started us reaches clusterd; what was started is ended.
    conftest.pytest_configure(None)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    run = Run(args)
    try:
        run.go()
    except BaseException as e:      # an interrupt, too: what there was is told
        run.wrong.append(repr(e))
        raise
    finally:
        if run.phases and os.path.exists(run.box.path("log")):
            tell(run)
        if args.keep:
            keep(run, args.keep)
        run.wrong += run.box.close()
        for words in run.wrong:
            say("wrong:", words[:2000])
    say("all is well" if not run.wrong else f"{len(run.wrong)} are wrong")
    return 1 if run.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
