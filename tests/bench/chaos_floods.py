"""The floods of chaos.py, each bounded and harmless to anything but clusterd's
patience. Where the end-to-end tests have the means already, they are theirs.

A flood has any of: `apps`, of workers that begin it when its mark is there and
they are started; `strangers`, processes that are no workers; and `orders`, which
the driver gives meanwhile over the control socket, or as signals.

    python3 chaos_floods.py STRANGER SECONDS SEED ARGUMENT...

is one of the strangers, or a worker: see the bottom.
"""

import contextlib
import os
import random
import resource
import shlex
import signal
import socket
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
E2E = os.path.join(os.path.dirname(HERE), "e2e")
for _place in ("control", "sockets", "adopt", "watch", ""):
    sys.path.insert(0, os.path.join(E2E, _place))
sys.path.insert(0, HERE)

import control                                                  # noqa: E402
import harness                                                  # noqa: E402
import held                                                     # noqa: E402
import lingering                                                # noqa: E402
import test_adopt_log                                           # noqa: E402
import test_listen_held                                         # noqa: E402
import test_notify_hostile                                      # noqa: E402
import test_orphans                                             # noqa: E402
from harness import PROBE, free_port, kill, probe               # noqa: E402

# Sleeps where the mark is not there, so that an app does no harm before.
GATE = """#!/bin/sh
mark=$1; shift
[ -e "$mark" ] || exec sleep 1000000
exec nice -n {nice} "$@"
"""

NOISE = "chaos-noise"   # in every line that workers say by the thousand

# All it can; the driver throws away what comes through clusterd.
TALKS = f"""
import os
while True:
    os.write(1, b"{NOISE} " + b"x" * 80 + b"\\n")
"""

# On its listener, as often as it can, but for a breath.
SHUTS = """
import contextlib, socket, time
lane = socket.socket(fileno=3)
while True:
    with contextlib.suppress(OSError):
        lane.shutdown(socket.SHUT_RDWR)
    time.sleep(0.0005)
"""


# For each event: of three one says without end, one stands still.
HEARS = """#!/bin/sh
[ -e {mark} ] || exit 0
case $(($$ % 3)) in
0) exec nice -n {nice} yes {noise} ;;
1) kill -STOP $$ ;;
esac
"""

# Serves nobody after its first breath, while all say that they wait.
MUTE = """
import socket, time
lane = socket.socket(fileno=3)
while True:
    lane.accept()[0].close()
    time.sleep(5)
"""


class Flood:
    """Of a run of chaos.py. Those that are made: what they need is written."""

    doc = ""

    def __init__(self, run):
        self.run = run
        self.mark = run.box.path(f"go-{self.name}")
        self.make()

    def make(self):
        pass

    def apps(self):
        return {}

    def settings(self):
        """Keys of [clusterd], from the start on."""
        return {}

    def strangers(self):
        """Lists of arguments of the below."""
        return []

    def orders(self, over):
        """What the driver does meanwhile, until `over` is set."""

    def cease(self):
        """When the workers and the strangers have been told to end."""

    def gated(self, *words):
        return shlex.join(["/bin/sh", self.run.gate, self.mark,
                           *map(str, words)])

    def python(self, name, text, *arguments):
        return self.gated(sys.executable, "-B",
                          self.run.box.write(f"{name}.py", text), *arguments)

    def worker(self, kind, *arguments):
        """One of the strangers, as a worker."""
        return self.gated(sys.executable, "-B", os.path.abspath(__file__),
                          kind, self.run.seconds, self.run.seed, *arguments)


def app(command, instances=2, **keys):
    return {"command": command, "instances": instances, "ready": "alive:10ms",
            "restart_delay": "50ms", "restart_delay_max": "100ms",
            "drain_timeout": "200ms", "stop_timeout": "1s", **keys}


class Orphans(Flood):
    """thousands of orphans that live"""
    name = "orphans"
    chains = 0

    def apps(self):
        return {self.name: app(self.python(
            self.name, test_orphans.LEAVES, self.run.many(3000), self.chains,
            self.run.seconds, self.run.box.path(f"left-{self.name}")), 1)}


class Chains(Orphans):
    """orphans, and chains of processes that fork and exit"""
    name = "chains"
    chains = 4


class Stranger(Flood):
    """datagrams to all workers' notify sockets, by one that is none"""
    name = "stranger"

    def strangers(self):
        return [["notify", self.run.d.pid]]


class Siblings(Flood):
    """the same, by workers of another app"""
    name = "siblings"

    def apps(self):
        return {self.name: app(self.worker("siblings"))}


class StrangerFds(Flood):
    """the same with descriptors whose close waits"""
    name = "stranger-fds"

    def strangers(self):
        return [["notify-fds", self.run.d.pid]]


class Notifies(Flood):
    """datagrams of workers, some with 253 descriptors"""
    name = "notifies"

    def apps(self):
        directory = self.run.box.path("notifies-")
        milliseconds = int(self.run.seconds * 1000)
        return {
            "notifies": app(self.python(
                "notifies", held.NOTIFIES, self.run.seconds, directory),
                4, fd_protocol="systemd"),
            "garbage": app(self.gated(PROBE, "--notify-garbage", milliseconds),
                           2, fd_protocol="systemd"),
            "own-fds": app(self.worker("own-fds"), 2, fd_protocol="systemd")}


class Control(Flood):
    """garbage, half requests, connections dropped, urgent bytes"""
    name = "control"

    def strangers(self):
        return [["control", self.run.control],
                ["control-half", self.run.control],
                ["control-drop", self.run.control]]


class ControlHogs(Flood):
    """clients that ask on and on, and those that do not read"""
    name = "control-hogs"

    def strangers(self):
        return [["control-hogs", self.run.control],
                ["control-deaf", self.run.control]]


class ControlFds(Flood):
    """descriptors whose close waits, to the control socket"""
    name = "control-fds"

    def strangers(self):
        return [["control-fds", self.run.control]]


class Binds(Flood):
    """workers that bind again and again, with many descriptors"""
    name = "binds"

    def make(self):
        self.ports = [free_port() for _ in range(2)]

    def apps(self):
        own = held.BINDS.replace("18099", str(self.ports[0]))
        return {
            "binds": app(self.python(
                "binds", own, self.run.seconds, self.run.many(18000),
                self.run.box.path("bound"), "own"),
                4, port=self.ports[0], handoff="adopt"),
            "spins": app(self.gated(
                self.run.binder, f"spin:tcp4:127.0.0.1:{self.ports[1]}"),
                2, listen="127.0.0.1:0")}


class Output(Flood):
    """workers that say all they can"""
    name = "output"

    def apps(self):
        command = self.python("talks", TALKS)
        return {"talks": app(command, stdout="prefix"),
                "writes": app(command, stdout=self.run.box.path("talks.log"),
                              log_keep=1)}


class Log(Flood):
    """workers that make clusterd write its log"""
    name = "log"

    def make(self):
        self.port = free_port()

    def apps(self):
        return {
            "refused": app(self.python(
                "refused", test_adopt_log.BINDS, self.port, 10 ** 9),
                listen=f"[::1]:{self.port}", handoff="adopt"),
            "shuts": app(self.python("shuts", SHUTS), listen="127.0.0.1:0",
                         handoff="env")}


class Path(Flood):
    """a Unix path removed in a loop"""
    name = "path"

    def make(self):
        self.place = self.run.box.path("served.sock")
        self.run.serves.append(self.place)

    def apps(self):
        return {"path": {"command": probe(), "listen": f"unix:{self.place}",
                         "instances": 2, "stop_timeout": "3s",
                         "drain_timeout": "200ms"}}

    def strangers(self):
        return [["removes", self.place]]


class Stops(Flood):
    """workers that stand still"""
    name = "stops"

    def orders(self, over):
        stopped = []
        try:
            while not over.wait(0.05):
                pid = self.run.some_pid()
                kill(pid, signal.SIGSTOP)
                stopped.append(pid)
                if len(stopped) > self.run.many(150):
                    kill(stopped.pop(0), signal.SIGCONT)
        finally:
            for pid in stopped:
                kill(pid, signal.SIGCONT)


class Linger(Flood):
    """lanes that are to linger, and descriptors in the queue of a listener"""
    name = "linger"

    def make(self):
        self.port = self.run.box.path("linger-port")
        self.backlog = self.run.box.path("backlog.sock")

    def apps(self):
        connects = self.run.box.write("connects.py", test_listen_held.CONNECTS)
        return {
            "linger": app(self.gated(
                "/bin/sh", "-c",
                f"until [ -e {self.port} ]; do sleep 0.1; done; "
                f"exec {sys.executable} {connects} $(cat {self.port}) "
                f"{self.run.box.path('connected')}"),
                2, handoff="env", listen="127.0.0.1:0"),
            "backlog": app("sleep 1000000", 2,
                           listen=f"unix:{self.backlog}")}

    def strangers(self):
        return [["linger", self.port, self.backlog]]

    def orders(self, over):
        while not over.wait(1):
            for name in ("linger", "backlog"):
                self.run.order(f"stop {name}")
                self.run.order(f"start {name}")

    def cease(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.port)


class Changes(Flood):
    """reloads, restarts, scales, changed configurations"""
    name = "changes"

    def orders(self, over):
        rnd = random.Random(f"{self.run.seed} changes")
        turn = 0
        while not over.wait(0.1):
            name = self.run.some_app(rnd)
            turn += 1
            self.run.order(rnd.choice([
                f"scale {name} +1", f"scale {name} -1", f"restart {name}:0",
                f"reload {name}"]))
            if turn % 20 == 0:
                self.run.configure(more=turn // 20 % 2)
                self.run.order("update")


class Hup(Flood):
    """all apps reload at once"""
    name = "hup"

    def orders(self, over):
        while not over.wait(0.5):
            self.run.order("reload")


class Crash(Flood):
    """workers that die again and again, and others that are killed"""
    name = "crash"

    def apps(self):
        return {"crash": app(self.gated(
            PROBE, "--exit-after", 30, "--exit-code", 3),
            max(10, self.run.many(30)), restart_delay="1ms",
            restart_delay_max="20ms")}

    def orders(self, over):
        while not over.wait(0.1):
            kill(self.run.some_pid())


class Events(Flood):
    """a command for each event, and clients that do not read them"""
    name = "events"

    def make(self):
        self.hears = self.run.box.write("hears", HEARS.format(
            mark=self.mark, nice=self.run.args.nice, noise=NOISE), 0o755)

    def settings(self):
        return {"on_event": self.hears}

    def apps(self):
        return {"dies": app(self.gated(
            PROBE, "--exit-after", 20, "--exit-code", 3),
            max(5, self.run.many(50)), restart_delay="1ms",
            restart_delay_max="10ms")}

    def strangers(self):
        return [["control-watch", self.run.control]]


class Health(Flood):
    """checks of hundreds of instances, that are well, hang or fail"""
    name = "health"

    def make(self):
        self.hangs = self.run.box.write(
            "hangs", "#!/bin/sh\n[ $(($$ % 2)) = 0 ] || kill -STOP $$\n",
            0o755)

    def apps(self):
        often = {"health_interval": "100ms", "health_timeout": "300ms",
                 "listen": "127.0.0.1:0", "health_failures": 5}
        many = max(2, self.run.many(200))
        few = max(2, many // 10)
        mute = self.python("mute", MUTE)
        return {
            "tcp": app(self.gated(PROBE), many, health="tcp", **often),
            "http": app(self.gated(PROBE), many, health="http:/", **often),
            "exec": app(self.gated(PROBE), few,
                        health=f"exec:{self.hangs}", **often),
            "mute": app(mute, few, health="http:/", **{
                **often, "health_failures": 2}, handoff="env"),
            "queue": app(mute, few, health="queue", **often, handoff="env"),
            "dog": app(self.gated(PROBE), many, health="watchdog", **{
                **often, "health_timeout": "2s"})}


class Scales(Flood):
    """apps whose instances come and go, and are looked at, by themselves"""
    name = "scales"

    def apps(self):
        many = max(2, self.run.many(100))
        keys = {"scale_up_after": "10ms", "scale_down_after": "10ms",
                "max_memory": "1G"}
        return {**{f"idle{n}": app(self.gated("/bin/sleep", 1000000), "8..9",
                                   **keys) for n in range(many)},
                "busy": app(self.gated("/bin/sh", "-c",
                                        "while :; do :; done"),
                             "1..4", **keys)}


FLOODS = {f.name: f for f in (
    Orphans, Chains, Stranger, Siblings, StrangerFds, Notifies, Control,
    ControlHogs, ControlFds, Binds, Output, Log, Path, Stops, Linger,
    Changes, Hup, Crash, Events, Health, Scales)}


# --- strangers

def until(seconds):
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        yield


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return f.read().split()


class Addresses:
    """Of the notify sockets of clusterd's workers, looked up now and then."""

    def __init__(self, pid):
        self.pid = pid
        self.known = {}
        self.due = 0

    def all(self):
        if time.monotonic() >= self.due:
            pids = children(self.pid)
            self.known = {p: self.known.get(p) or
                          test_notify_hostile.address_of(p) for p in pids}
            self.due = time.monotonic() + 3
        return [a for a in self.known.values() if a]


SAYS = [b"READY=1", b"READY=1\nSTATUS=stranger", b"STATUS=x", b"", b"\0",
        b"STOPPING=1", b"RELOADING=1", b"READY=1\nMAINPID=1", b"X=" * 500]


def notify(seconds, rnd, pid):
    addresses = Addresses(pid)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.setblocking(False)
        for _ in until(seconds):
            for address in addresses.all():
                with contextlib.suppress(OSError):
                    s.sendto(rnd.choice(SAYS), address)


def siblings(seconds, rnd):
    """As a worker: clusterd is its parent."""
    notify(seconds, rnd, os.getppid())


def notify_fds(seconds, rnd, pid):
    addresses = Addresses(pid)
    for _ in until(seconds):
        with lingering.Lingering() as l, socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.settimeout(0.2)
            for _ in range(10):
                with contextlib.suppress(OSError):
                    s.connect(rnd.choice(addresses.all()))
                    l.send(s, b"READY=1", count=2)


def own_fds(seconds, rnd):
    """As a worker, to its own socket."""
    name = os.environ["NOTIFY_SOCKET"]
    for _ in until(seconds):
        with lingering.Lingering() as l, socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.settimeout(0.2)
            s.connect("\0" + name[1:] if name.startswith("@") else name)
            for _ in range(10):
                with contextlib.suppress(OSError):
                    l.send(s, b"READY=1", count=2)


@contextlib.contextmanager
def client(path, limit=1.0):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(limit)
        with contextlib.suppress(OSError):
            s.connect(path)
            yield s


def control_garbage(seconds, rnd, path):
    for _ in until(seconds):
        with contextlib.suppress(OSError, RuntimeError), client(path) as c:
            for _ in range(20):
                c.sendall(rnd.choice([
                    rnd.randbytes(rnd.randrange(1, 900)) + b"\n",
                    b"x" * 1023 + b"\n", b"\n" * 500, b"%s%n\0\n",
                    b"scale - ++1\n", b"status " * 200, b"x" * 5000]))
                c.recv(65536)
            c.send(b"x", socket.MSG_OOB)


def control_half(seconds, rnd, path):
    """They stay, so that the places are taken."""
    held_open = []
    for _ in until(seconds):
        with contextlib.suppress(OSError):
            s = socket.socket(socket.AF_UNIX)
            held_open.append(s)
            s.settimeout(0.2)
            s.connect(path)
            s.sendall(rnd.choice([b"stat", b"s", b"wait", b""]))
            if rnd.random() < 0.1:
                s.send(b"x", socket.MSG_OOB)
        if len(held_open) > 300:
            held_open.pop(0).close()


def control_drop(seconds, rnd, path):
    for _ in until(seconds):
        with contextlib.suppress(OSError, RuntimeError), client(path) as c:
            c.sendall(rnd.choice([b"", b"status\n", b"status\n" * 50,
                                  b"logs\n", b"wait\n", b"nonsense\n"]))


def control_hogs(seconds, rnd, path):
    hogs = []
    for _ in until(seconds):
        while len(hogs) < 8:
            with contextlib.suppress(OSError):
                s = socket.socket(socket.AF_UNIX)
                s.settimeout(1)
                s.connect(path)
                hogs.append(s)
        for s in list(hogs):
            try:
                s.sendall(b"status\n")
                if not s.recv(1 << 20):
                    raise ConnectionError
            except OSError:
                s.close()
                hogs.remove(s)


def control_deaf(seconds, rnd, path):
    for _ in until(seconds):
        with contextlib.ExitStack() as stack:
            for _ in range(20):
                s = stack.enter_context(socket.socket(socket.AF_UNIX))
                s.settimeout(0.5)
                with contextlib.suppress(OSError):
                    s.connect(path)
                    s.sendall(b"status\n" * 20 + b"follow\n")
            time.sleep(0.5)


def control_watch(seconds, rnd, path):
    """Some read a little, others nothing."""
    for _ in until(seconds):
        with contextlib.ExitStack() as stack:
            watching = []
            for _ in range(30):
                s = stack.enter_context(socket.socket(socket.AF_UNIX))
                s.settimeout(0.5)
                with contextlib.suppress(OSError):
                    s.connect(path)
                    s.sendall(rnd.choice([b"watch\n", b"follow\n",
                                          b"events\nwatch\n"]))
                    watching.append(s)
            for s in watching[::3]:
                with contextlib.suppress(OSError):
                    s.recv(rnd.choice([1, 100, 65536]))
            time.sleep(1)


def control_fds(seconds, rnd, path):
    for _ in until(seconds):
        with lingering.Lingering() as l:
            for _ in range(10):
                with contextlib.suppress(OSError, AssertionError), \
                        control.Client(path, 1) as c:
                    l.send(c.socket, b"status\n")
                    c.line()


def removes(seconds, rnd, path):
    for _ in until(seconds):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def linger(seconds, rnd, port_file, backlog):
    """Where the lanes connect to; and queues with descriptors."""
    with lingering.Lingering() as l:
        with open(f"{port_file}.new", "w") as f:
            f.write(str(l.listener.getsockname()[1]))
        os.rename(f.name, port_file)
        for _ in until(seconds):
            with contextlib.suppress(OSError), \
                    socket.socket(socket.AF_UNIX) as c:
                c.settimeout(0.5)
                c.connect(backlog)
                l.send(c, b"x")
            # Others of these wait for their end, not for these.
            if len(l.peers) > 100:
                peer = l.peers.pop(0)
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                bytes([1] + [0] * 7))
                peer.close()
            time.sleep(0.05)


STRANGERS = {
    "notify": notify, "siblings": siblings, "notify-fds": notify_fds,
    "own-fds": own_fds, "control": control_garbage,
    "control-half": control_half, "control-drop": control_drop,
    "control-hogs": control_hogs, "control-deaf": control_deaf,
    "control-fds": control_fds, "control-watch": control_watch,
    "removes": removes, "linger": linger}


def main(kind, seconds, seed, *arguments):
    # So that what is to be let go is let go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 10000), hard))
    STRANGERS[kind](seconds, random.Random(f"{seed} {kind}"), *arguments)
    if kind in ("siblings", "own-fds"):     # a worker stays
        signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
