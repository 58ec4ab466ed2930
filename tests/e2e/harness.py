"""Runs clusterd for the end-to-end tests and looks at what it does.

A test gets a `box` (conftest.py): a directory of its own, from which it writes
configurations and starts clusterd. Every process that the box starts carries
the box's mark in its environment, so that whatever is left of it is found in
/proc, whichever session, process group or parent it went to.

Nothing here sleeps and hopes: every wait is for a condition, with a limit.

From the environment: CLUSTERD, CLUSTERCTL and PROBE (the programs, default
build/…),
CLUSTERD_WRAP (words put before clusterd, such as `valgrind -q`), and
CLUSTERD_TEST_SLOW (a factor for all limits, default 1).
"""

import errno
import functools
import os
import random
import re
import shlex
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import threading
import time

import pytest

import words

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SLOW = float(os.environ.get("CLUSTERD_TEST_SLOW", "1"))
# A Makefile may have broken the line within quotes.
WRAP = shlex.split(os.environ.get("CLUSTERD_WRAP", "").replace("\\\n", " "))
# valgrind knows no process such as the supervisor (clusterd(8), CLUSTERD_KEEPER).
HAS_KEEPER = not WRAP
IS_ROOT = os.geteuid() == 0

MARK = "E2E_BOX"

# What sanitizers and assert(3) print when clusterd has a bug.
BUG = re.compile(r"ERROR: \w+Sanitizer|runtime error:|Assertion")


def _program(variable, default):
    path = os.path.join(ROOT, os.environ.get(variable, default))
    return os.path.abspath(path)


CLUSTERD = _program("CLUSTERD", "build/clusterd")
PROBE = _program("PROBE", os.path.join(
    os.path.dirname(os.environ.get("CLUSTERD", "build/clusterd")), "probe"))
CLUSTERCTL = _program("CLUSTERCTL", os.path.join(
    os.path.dirname(os.environ.get("CLUSTERD", "build/clusterd")),
    "clusterctl"))
SANITIZED = b"__asan_init" in open(CLUSTERD, "rb").read() \
    if os.path.exists(CLUSTERD) else False


def _is_static(path):
    """Whether an ELF file asks for no dynamic linker: `make static`, with musl."""
    with open(path, "rb") as f:
        at, = struct.unpack_from("32xQ", head := f.read(64))
        size, count = struct.unpack_from("54xHH", head)
        f.seek(at)
        return PT_INTERP not in (
            struct.unpack("I", f.read(size)[:4])[0] for _ in range(count))


PT_INTERP = 3
STATIC = os.path.exists(CLUSTERD) and _is_static(CLUSTERD)

# Where musl has other words than glibc.
OF_MUSL = {errno.EADDRINUSE: "Address in use",
           errno.EADDRNOTAVAIL: "Address not available",
           errno.EMFILE: "No file descriptors available"}


def strerror(number):
    """In the words of clusterd's C library, as a pattern matches them too."""
    return OF_MUSL.get(number, os.strerror(number)) if STATIC else \
        os.strerror(number)


# The environment of a clusterd that a SIGSEGV or SIGABRT is to kill: a sanitizer
# would make an exit of it.
PLAIN = {"ASAN_OPTIONS": ":".join(filter(None, [
    os.environ.get("ASAN_OPTIONS"), "handle_segv=0:handle_abort=0"]))}


class TimeLimit(AssertionError):
    """What a test waited for did not come."""


class HalfAnAnswer(ConnectionError):
    """The end of the file before the end of the answer."""


# How a client sees the death of who serves it: by what was under way, a reset,
# the end of the file, or an error when it sends.
CUT = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError,
       HalfAnAnswer)


def wait_until(condition, what, limit=10.0, step=0.005):
    """Poll until condition() is true, every `step` seconds; returns what it
    returned."""
    deadline = time.monotonic() + limit * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeLimit(f"{limit * SLOW:g} s passed without: "
                            f"{what() if callable(what) else what}")
        time.sleep(step)


def stays(condition, what, duration=0.3):
    """The condition holds, and goes on to hold for the duration."""
    deadline = time.monotonic() + duration * SLOW
    while time.monotonic() < deadline:
        assert condition(), what
        time.sleep(0.01)


def probe(*arguments, program=None):
    """The command line of a probe worker."""
    return shlex.join([program or PROBE, *map(str, arguments)])


_to_draw = []
_claims = []


def _claim_ports():
    """A hundred that no other process of tests draws from, which may run beside
    this one: nobody else can have this name, where they have the same ports."""
    blocks = list(range(10000, 32000, 100))
    random.SystemRandom().shuffle(blocks)
    for first in blocks:
        s = socket.socket(socket.AF_UNIX)
        try:
            s.bind(f"\0clusterd-tests-ports-{first}")
        except OSError:
            s.close()
            continue
        _claims.append(s)
        break
    return list(range(first, first + 100))


def _is_free(port, kind):
    with socket.socket(socket.AF_INET6, kind) as s6, \
            socket.socket(socket.AF_INET, kind) as s4:
        try:
            s6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s6.bind(("::", port))
            s4.bind(("0.0.0.0", port))
        except OSError as e:
            if e.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def free_port(kind=socket.SOCK_STREAM):
    """A port that nobody has now, outside the range that port 0 draws from,
    and never one twice: nobody may have bound the first yet."""
    while True:
        if not _to_draw:
            _to_draw.extend(_claim_ports())
            random.SystemRandom().shuffle(_to_draw)
        port = _to_draw.pop()
        if _is_free(port, kind):
            return port


def free_base(n=10):
    """The same of a number that makes a port with each of n digits behind it."""
    while True:
        ports = _claim_ports()
        for first in ports[::10]:
            if all(_is_free(first + i, socket.SOCK_STREAM) for i in range(n)):
                return first // 10


@functools.cache
def _why_not_unshare(options):
    if shutil.which("unshare") is None:
        return "needs unshare(1)"
    done = subprocess.run(["unshare", *options, "true"],
                          stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, errors="replace")
    said = done.stderr.strip().rpartition("unshare: ")[2]
    return None if done.returncode == 0 else \
        f"may not unshare {' '.join(options)} here: {said}"


def unshare(*options):
    """The launcher of a program in namespaces of its own. Skips the test where
    they are not to be had: without the rights, or mounts of one's own in a
    root that is no mount point, as in a plain chroot."""
    why = _why_not_unshare(options)
    if why:
        pytest.skip(why)
    return ["unshare", *options]


@functools.cache
def _why_not_mount():
    done = subprocess.run(
        [*unshare("--mount"), "mount", "-t", "tmpfs", "tmpfs", "/tmp"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
        errors="replace")
    return None if done.returncode == 0 else \
        f"may not mount here: {done.stderr.strip()}"


def with_mounts(script, *arguments):
    """The launcher of a program that has mounts of its own, which the script
    makes; `$@` in it is the program, behind the arguments. Skips, too."""
    launcher = unshare("--mount")
    if _why_not_mount():
        pytest.skip(_why_not_mount())
    return [*launcher, "sh", "-c", script, "sh", *arguments]


# --- processes, seen through /proc

def read_proc(pid, name):
    try:
        with open(f"/proc/{pid}/{name}", "rb") as f:
            return f.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def process_state(pid):
    """R, S, D, T, Z … or None where there is no such process."""
    text = read_proc(pid, "stat").decode(errors="replace")
    return text.rpartition(")")[2].split()[0] if text else None


def is_alive(pid):
    return process_state(pid) not in (None, "Z", "X")


def is_supervisor(pid):
    """The child of the keeper that does all the work; and not what one that was
    killed had just forked."""
    if read_proc(pid, "comm") != b"clusterd-super\n":
        return False
    try:
        return os.getpgid(int(pid)) == int(pid)
    except ProcessLookupError:
        return False


def is_looker(pid):
    """It looks into workers, for a supervisor, whose child it is; by its name too, as
    one that ends has no command line any more."""
    return read_proc(pid, "cmdline").startswith(b"clusterd-look\0") or \
        read_proc(pid, "comm") == b"clusterd-look\n"


def is_for_others(pid):
    """A child of a supervisor that is no worker, neither will be: it looks into
    workers, or has not executed and stays in the supervisor's group. A worker leaves
    that first."""
    if read_proc(pid, "comm") == b"clusterd-super\n":
        try:
            return os.getpgid(int(pid)) != int(pid)
        except ProcessLookupError:
            return True
    return is_looker(pid)


def families(*parents):
    """The pids of the children of each, zombies too, in the order of their birth. To
    look at all processes takes its time: once for all."""
    found = {parent: [] for parent in parents}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        fields = read_proc(entry, "stat").decode(errors="replace")
        fields = fields.rpartition(")")[2].split()
        if len(fields) > 19 and int(fields[1]) in found:
            found[int(fields[1])].append((int(fields[19]), int(entry)))
    return {parent: [child for _, child in sorted(its)]
            for parent, its in found.items()}


def children_of(pid):
    return families(pid)[pid]


def quick_children(pid):
    """The same, without a look at all processes: some may be missed while others
    end (proc(5))."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            return list(map(int, f.read().split()))
    except FileNotFoundError:       # there is no such file, or no such process
        return children_of(pid)


def status_field(pid, name):
    text = read_proc(pid, "status").decode(errors="replace")
    found = re.search(rf"^{name}:\s*(.*)$", text, re.M)
    return found.group(1) if found else None


def marked_processes(mark):
    """Living processes that have the mark in their environment."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and wanted in read_proc(entry, "environ"):
            if is_alive(int(entry)):
                found.append(int(entry))
    return found


def descriptors(pid):
    """What /proc says of each, in the order of their numbers."""
    found = []
    for n in sorted(os.listdir(f"/proc/{pid}/fd"), key=int):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{n}"))
        except FileNotFoundError:
            pass
    return found


def kinds(pid):
    """What its descriptors are, without their numbers."""
    return sorted(target.split(":")[0] for target in descriptors(pid))


def describe(pids):
    return ", ".join(
        f"{pid} ({read_proc(pid, 'cmdline').replace(bytes(1), b' ').decode()}"
        f"state {process_state(pid)})" for pid in pids)


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def cpus_allowed():
    """What `instances = auto` should be: affinity and cgroup quota."""
    limits = [len(os.sched_getaffinity(0))]
    for line in open("/proc/self/cgroup"):
        _, controllers, path = line.rstrip("\n").split(":", 2)
        if controllers == "":
            roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        elif "cpu" in controllers.split(","):
            roots = [f"/sys/fs/cgroup/{controllers}", "/sys/fs/cgroup/cpu"]
        else:
            continue
        while True:
            for root in roots:
                limits += _cgroup_limits(root + path.rstrip("/"))
            if path in ("/", ""):
                break
            path = os.path.dirname(path)
    return max(1, min(limits))


def _cgroup_limits(directory):
    def words_of(name):
        try:
            return open(f"{directory}/{name}").read().split()
        except OSError:
            return []
    v2 = words_of("cpu.max")
    v1 = words_of("cpu.cfs_quota_us") + words_of("cpu.cfs_period_us")
    for pair in (v2, v1):
        if len(pair) == 2 and pair[0] not in ("max", "-1"):
            quota, period = map(int, pair)
            yield max(1, -(-quota // period))


# --- the probe's answers

class Answer:
    """Lines of `name value` that the probe sent."""

    def __init__(self, text):
        self.text = text
        self.lines = []
        for line in text.splitlines():
            name, _, value = line.partition(" ")
            value = re.sub(r"\\x([0-9a-f]{2})",
                           lambda m: chr(int(m.group(1), 16)), value)
            self.lines.append((name, value))

    def all(self, name):
        return [value for key, value in self.lines if key == name]

    def one(self, name):
        values = self.all(name)
        assert len(values) == 1, f"{name}: {values}"
        return values[0]

    @property
    def pid(self):
        return int(self.one("pid"))

    @property
    def instance(self):
        return int(self.one("instance"))

    @property
    def generation(self):
        return int(self.one("generation"))

    @property
    def errno(self):
        return int(self.one("errno"))

    @property
    def env(self):
        found = {}
        for entry in self.all("env"):
            name, _, value = entry.partition("=")
            assert name not in found, f"{name} is twice in the environment"
            found[name] = value
        return found

    @property
    def fds(self):
        """Number → what /proc/self/fd said."""
        pairs = (value.split(" ", 1) for value in self.all("fd"))
        return {int(number): target for number, target in pairs}


def _connect(address, limit, source=None):
    if isinstance(address, str):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(limit)
        try:
            s.connect(address)
        except BaseException:
            s.close()
            raise
        return s
    if isinstance(address, int):
        address = ("127.0.0.1", address)
    return socket.create_connection(address, timeout=limit,
                                    source_address=source and (source, 0))


def ask(address, path="/", limit=10.0, source=None):
    """A connection that has asked; the address is a port, (host, port) or a
    socket's path. `source`: the client's own address."""
    s = _connect(address, limit * SLOW, source)
    try:
        s.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    except BaseException:
        s.close()
        raise
    return s


def read_answer(s):
    """The whole of it; the connection is closed then."""
    reply = b""
    with s:
        while True:
            part = s.recv(65536)
            if not part:
                break
            reply += part
    head, separator, body = reply.partition(b"\r\n\r\n")
    if not separator:
        raise HalfAnAnswer(repr(reply))
    if not head.startswith(b"HTTP/1.0 200"):
        raise ConnectionError(f"no answer: {reply!r}")
    length = int(re.search(rb"Content-Length: (\d+)", head).group(1))
    if length > len(body):
        raise HalfAnAnswer(f"{len(body)} bytes instead of {length}")
    if length < len(body):
        raise ConnectionError(f"{len(body)} bytes instead of {length}")
    return Answer(body.decode(errors="surrogateescape"))


def finish_all(sockets, limit):
    """What becomes of each that has asked, within the limit for all: the
    instance that answers, "cut", or "waits"."""
    deadline = time.monotonic() + limit
    found = []
    for s in sockets:
        s.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            found.append(read_answer(s).instance)
        except CUT:
            found.append("cut")
        except socket.timeout:
            found.append("waits")
    return found


def get(address, path="/", limit=10.0, source=None):
    """One request and its answer; see ask()."""
    return read_answer(ask(address, path, limit, source))


def ask_udp(address, limit=10.0):
    """A datagram there and the answer."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(limit * SLOW)
        s.connect(address)
        s.send(b"hello")
        return Answer(s.recv(65536).decode())


class Stream:
    """Clients that connect, ask and leave all the time, one request each."""

    def __init__(self, address, clients=4, lossy=False):
        self.address = address
        self.lossy = lossy      # connections may be cut (never refused)
        self.answered = 0
        self.failures = []
        self.pids = set()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._ask)
                        for _ in range(clients)]

    def _ask(self):
        while not self.over.wait(0.002):
            try:
                self.pids.add(get(self.address).pid)
                self.answered += 1
            except (OSError, AssertionError) as e:
                self.failures.append(repr(e))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_until(lambda: self.answered > 20, "a stream of answers")
        return self

    def __exit__(self, *exception):
        self.over.set()
        for thread in self.threads:
            thread.join()
        if self.lossy:
            self.failures = [f for f in self.failures
                             if "Refused" in f or "timed out" in f]
        if exception[0] is None:
            assert not self.failures, (
                f"{len(self.failures)} failed, {self.answered} answered; "
                f"{self.failures[:5]}")


def is_refused(address):
    """The kernel refuses the connection (nobody listens)."""
    try:
        _connect(address, 5 * SLOW).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    except (ConnectionResetError, socket.timeout):
        pass
    return False


def split_address(text):
    """`[::1]:80`, `udp:127.0.0.1:80`, `unix:/x` → what get() takes."""
    text = re.sub(r"^(?:tcp|udp|unix):", "", text.rstrip(",;."))
    if text.startswith("/"):
        return text
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    loopback = {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1",
                "::": "127.0.0.1"}
    return (loopback.get(host, host), int(port))


# --- clusterd

class Clusterd:
    """A running clusterd."""

    def __init__(self, box, process, stderr_path):
        self.box = box
        self.process = process
        # What a user has started, and knows the pid of: the keeper.
        self.keeper = process.pid   # unless a launcher forks
        self._supervisor = None
        self._sent = {}             # number → when
        self.stderr_path = stderr_path
        self.log_path = stderr_path

    @property
    def pid(self):
        """Of the supervisor, whose descriptors and children are looked at; the
        present one, or the last one that was seen. Signals go to the keeper."""
        if not HAS_KEEPER:
            return self.keeper
        if self._supervisor is None or not is_alive(self._supervisor):
            found = self.find_supervisor()
            if found is None and self._supervisor is None:
                wait_until(lambda: self.find_supervisor() or
                           not is_alive(self.keeper), "a supervisor")
                found = self.find_supervisor()
            self._supervisor = found or self._supervisor
        return self._supervisor or self.keeper

    def find_supervisor(self):
        """The one that there is now, or None."""
        for pid in children_of(self.keeper):
            if is_supervisor(pid) and is_alive(pid):
                return pid
        return None

    # what it says

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def stderr(self):
        with open(self.stderr_path, errors="replace") as f:
            return f.read()

    def find(self, pattern, start=0):
        return list(re.compile(pattern).finditer(self.log(), start))

    def wait_log(self, pattern, limit=10.0, count=1, start=0):
        """Until the pattern is there `count` times; returns the last match."""
        found = []

        def look():
            found[:] = self.find(pattern, start)
            if len(found) < count and self.process.poll() is not None:
                found[:] = self.find(pattern, start)
                if len(found) < count:
                    raise TimeLimit(
                        f"clusterd ended with {self.process.returncode} "
                        f"without: {pattern}\n{self.log()}")
            return len(found) >= count
        wait_until(look, lambda: f"{pattern} in the log:\n{self.log()}", limit)
        return found[count - 1]

    def mark(self):
        """Where the log ends now; for `start` of the above."""
        return len(self.log())

    # where it listens

    def addresses(self, app="web", count=1):
        """What the app's listeners can be reached at, in order."""
        self.wait_log(words.LISTENING(app), count=count)
        return [split_address(m["address"])
                for m in self.find(words.LISTENING(app))]

    def port(self, app="web"):
        return self.addresses(app)[0][1]

    # its workers

    def children(self):
        """And those that supervisors before have left, which are the keeper's."""
        supervisor = self.pid
        found = families(supervisor, self.keeper)
        own = [pid for pid in found[supervisor] if not is_for_others(pid)]
        if supervisor == self.keeper:
            return own
        return own + [
            pid for pid in found[self.keeper]
            if b"CLUSTERD_WORKER_ID=" in read_proc(pid, "environ")]

    def lookers(self):
        """Living children that look into workers."""
        return [pid for pid in children_of(self.pid)
                if is_looker(pid) and is_alive(pid)]

    def workers(self):
        """Living children."""
        return [pid for pid in self.children() if is_alive(pid)]

    def ready_pids(self, app=None):
        """Living workers that were logged as ready, in order of readiness. Once each:
        a supervisor that is killed right after it has said so has not written it
        down, and the next one says it again (life_ledger_priv.h)."""
        alive = set(self.workers())
        said = [int(m["pid"]) for m in self.find(words.READY(app))]
        return [pid for pid in dict.fromkeys(said) if pid in alive]

    def wait_ready(self, count, app=None, limit=10.0):
        """Until exactly so many living workers (of the app) are ready."""
        def look():
            if self.process.poll() is not None:
                raise TimeLimit(f"clusterd ended with "
                                f"{self.process.returncode}:\n{self.log()}")
            return len(self.ready_pids(app)) == count
        wait_until(look, lambda: f"{count} ready workers, there are "
                   f"{self.ready_pids(app)} in:\n{self.log()}", limit)
        return self.ready_pids(app)

    def wait_workers(self, count, limit=10.0):
        """Until exactly so many living workers have been executed. What the supervisor
        forks for a trial of its own, and a worker before that, is named as it is."""
        found = []

        def look():
            found[:] = [pid for pid in self.workers()
                        if read_proc(pid, "comm") != b"clusterd-super\n"]
            return len(found) == count
        wait_until(look, lambda: f"{count} workers, there are "
                   f"{describe(self.workers())} in:\n{self.log()}", limit)
        return found

    def wait_replaced(self, old, count, app=None, limit=10.0):
        """Until `count` ready workers are there, none of them in `old`."""
        def look():
            now = self.ready_pids(app)
            return len(now) == count and not set(now) & set(old)
        wait_until(look, lambda: f"{count} ready workers other than {old}, "
                   f"there are {self.ready_pids(app)} in:\n{self.log()}",
                   limit)
        return self.ready_pids(app)

    def pids_that_answer(self, address, count, limit=10.0):
        """Ask until `count` different workers have answered."""
        seen = set()

        def ask():
            # Busy workers leave the queue to the others.
            sockets = []
            for _ in range(count * 2):
                s = _connect(address, 10 * SLOW)
                s.sendall(b"GET /busy/15 HTTP/1.0\r\n\r\n")
                sockets.append(s)
            for s in sockets:
                with s:
                    reply = b""
                    while True:
                        part = s.recv(4096)
                        if not part:
                            break
                        reply += part
                    seen.add(int(re.search(rb"^pid (\d+)", reply, re.M)[1]))
            return len(seen) >= count
        wait_until(ask, lambda: f"answers from {count} workers, "
                   f"only {seen} did", limit)
        return seen

    # when it has done what there was to do

    def clients(self):
        """Connections to the Unix sockets on which it listens, lines of
        unix(5). A client that has closed its end is one until clusterd has
        seen to it."""
        lines = [line.split() for line in
                 read_proc(self.pid, "net/unix").decode().splitlines()[1:]]
        lines = [line for line in lines if len(line) == 8]
        own = {f"socket:[{line[6]}]": line[7] for line in lines
               if int(line[3], 16) & 0x10000}       # SO_ACCEPTCON
        places = {own[fd] for fd in descriptors(self.pid) if fd in own}
        return [line for line in lines if line[7] in places and
                not int(line[3], 16) & 0x10000]

    def is_at_rest(self):
        """No death and no client is left to be seen to, and it waits."""
        return (len(self.children()) == len(self.workers()) and
                not self.clients() and process_state(self.pid) == "S")

    def kinds_at_rest(self):
        """What its descriptors are: a measure that can be compared, where one
        in the middle of something has some more."""
        wait_until(lambda: not self.lookers() and self.is_at_rest(), lambda:
                   "rest; who looks, zombies, clients, state: "
                   f"{self.lookers()}, "
                   f"{set(self.children()) - set(self.workers())}, "
                   f"{self.clients()}, {process_state(self.pid)}")
        return kinds(self.pid)

    # its end

    def send(self, number):
        """As a user does: to the keeper. Two stop signals of one kind that come
        at once are one to clusterd: a second one here is a second one, also where
        clusterd took its time to take the first."""
        if number in self._sent and number in (signal.SIGTERM, signal.SIGINT,
                                               signal.SIGQUIT):
            wait_until(lambda: not self._has_pending(number), "it is taken")
            time.sleep(max(0.15, self._sent[number] + 0.25 * SLOW -
                           time.monotonic()))
        self._sent[number] = time.monotonic()
        os.kill(self.keeper, number)

    def _has_pending(self, number):
        return int(status_field(self.keeper, "ShdPnd") or "0", 16) >> \
            (number - 1) & 1

    def kill_all_of_it(self, workers=True):
        """Keeper and supervisor at once, so that neither can clean up; then the
        workers, which nobody else would."""
        left = self.workers()
        # The keeper stands still, not the supervisor: that one would be woken by
        # the keeper's death (an orphaned group, credentials(7)).
        os.kill(self.keeper, signal.SIGSTOP)
        wait_until(lambda: process_state(self.keeper) == "T",
                   "the keeper stands still")
        supervisor = self.pid
        kill(supervisor)
        os.kill(self.keeper, signal.SIGKILL)
        self.wait()
        wait_until(lambda: not is_alive(supervisor), "the supervisor's end")
        for pid in left if workers else []:
            kill(pid)

    def send_and_wait(self, number):
        """Until it is taken: of two that come together there is one."""
        self.send(number)
        wait_until(lambda: int(status_field(self.keeper, "ShdPnd"), 16) == 0 and
                   self._is_woken(), "the signal is taken")

    def _is_woken(self):
        """The supervisor has heard what the keeper had to say."""
        for fd in os.listdir(f"/proc/{self.keeper}/fd"):
            try:
                if os.readlink(f"/proc/{self.keeper}/fd/{fd}") == \
                        "anon_inode:[eventfd]":
                    text = read_proc(self.keeper, f"fdinfo/{fd}").decode()
                    return int(re.search(r"eventfd-count: +(\w+)", text)[1],
                               16) == 0
            except FileNotFoundError:
                pass
        return True

    def wait(self, limit=10.0):
        """Its exit status; negative for a signal."""
        wait_until(lambda: self.process.poll() is not None,
                   lambda: f"the end of clusterd, children are "
                   f"{describe(self.children())}, log:\n{self.log()}", limit)
        return self.process.returncode

    def wait_gone(self, limit=10.0):
        """Of one that is no child of ours: not what it says last, but the end
        of the process. A sanitizer has much to do in between."""
        wait_until(lambda: not is_alive(self.keeper),
                   lambda: f"the end of clusterd, log:\n{self.log()}", limit)

    def wait_end(self, status, limit=10.0):
        """It ends with this status and leaves nobody behind."""
        code = self.wait(limit)
        left = marked_processes(self.box.mark)
        assert code == status, f"exit status {code}, log:\n{self.log()}"
        assert not left, f"left behind: {describe(left)}\n{self.log()}"

    def stop(self, number=signal.SIGTERM, limit=10.0):
        self.send(number)
        self.wait_end(0, limit)


class Box:
    """A directory, what runs in it, and the care that nothing stays."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="cld-")
        os.chmod(self.dir, 0o755)
        self.mark = os.path.basename(self.dir)
        self.running = []
        self.n_logs = 0
        self.events_path = self.path("events")

    # files

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text, mode=None):
        path = self.path(name)
        with open(path, "w") as f:
            f.write(text)
        if mode is not None:
            os.chmod(path, mode)
        return path

    def touch(self, name):
        return self.write(name, "")

    def copy(self, program, name=None):
        """A copy of a program that other users can execute."""
        path = self.path(name or os.path.basename(program))
        with open(program, "rb") as f, open(path, "wb") as t:
            t.write(f.read())
        os.chmod(path, 0o755)
        return path

    def config(self, name="app.ini", **sections):
        """Write an INI; lists become lines of their own."""
        text = []
        for section, keys in sections.items():
            text.append(f"[{section}]")
            for key, value in keys.items():
                if isinstance(value, (list, tuple)):
                    value = "\n\t".join(map(str, value))
                text.append(f"{key} = {value}")
            text.append("")
        return self.write(name, "\n".join(text))

    def web(self, *arguments, name="app.ini", clusterd=None, **keys):
        """The usual one app: two probes on a free loopback port."""
        settings = {"command": probe("--events", self.events_path,
                                     *arguments),
                    "listen": "127.0.0.1:0", "instances": 2}
        settings.update(keys)
        settings = {k: v for k, v in settings.items() if v is not None}
        sections = {"clusterd": clusterd} if clusterd else {}
        return self.config(name, **sections, web=settings)

    # what the probes noted

    def events(self, kind=None):
        """Dicts with what, pid, instance, generation, at (ms)."""
        try:
            with open(self.events_path) as f:
                lines = f.read().splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            m = re.fullmatch(r"(.*) pid=(\d+) instance=(\S+) "
                             r"generation=(\S+) at=(\d+)", line)
            if m and (kind is None or m[1] == kind):
                found.append({"what": m[1], "pid": int(m[2]),
                              "instance": m[3], "generation": m[4],
                              "at": int(m[5])})
        return found

    def wait_events(self, kind, count=1, limit=10.0):
        wait_until(lambda: len(self.events(kind)) >= count,
                   lambda: f"{count} events `{kind}`, there are "
                   f"{self.events()}", limit)
        return self.events(kind)

    # clusterd

    def environment(self, env=None):
        keep = {k: v for k, v in os.environ.items()
                if k in ("PATH", "HOME", "USER", "LANG", "TERM",
                         "CLUSTERD_FORK")
                or k.endswith("SAN_OPTIONS")}
        # The control socket: a test may kill clusterd, which then leaves it.
        keep["RUNTIME_DIRECTORY"] = self.dir
        if not HAS_KEEPER:
            keep["CLUSTERD_KEEPER"] = "no"
        # Workers that are root are nothing to be warned of here.
        keep["container"] = "tests"
        keep.update(env or {})
        keep[MARK] = self.mark
        return keep

    def start(self, *arguments, launcher=(), program=None, env=None,
              stderr=None, **popen):
        """Start clusterd, by default on app.ini; see subprocess.Popen."""
        arguments = arguments or ("-c", self.path("app.ini"))
        self.n_logs += 1
        stderr_path = self.path(f"stderr.{self.n_logs}")
        with open(stderr_path, "ab") as f:
            process = subprocess.Popen(
                [*launcher, *WRAP, program or CLUSTERD,
                 *map(str, arguments)],
                stdin=popen.pop("stdin", subprocess.DEVNULL),
                stdout=popen.pop("stdout", f),
                stderr=stderr if stderr is not None else f,
                env=self.environment(env), start_new_session=True,
                cwd=popen.pop("cwd", self.dir), **popen)
        d = Clusterd(self, process, stderr_path)
        self.running.append(d)
        return d

    def run(self, *arguments, limit=20.0, env=None, cwd=None):
        """Run clusterd to its end: for -t, errors and the like."""
        done = subprocess.run(
            [*WRAP, CLUSTERD, *map(str, arguments)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", env=self.environment(env),
            cwd=cwd or self.dir, timeout=limit * SLOW,
            start_new_session=True)
        assert not BUG.search(done.stderr), done.stderr
        return done

    def ctl_environment(self, env=None):
        """Of clusterctl: sockets are looked for in the box first."""
        return self.environment({"RUNTIME_DIRECTORY": self.path("run"),
                                 **(env or {})})

    def ctl(self, *arguments, limit=20.0, env=None, cwd=None, launcher=(),
            **run):
        """Run clusterctl to its end."""
        done = subprocess.run(
            [*launcher, *WRAP, CLUSTERCTL, *map(str, arguments)],
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
               "stderr": subprocess.PIPE, "text": True, "errors": "replace",
               **run},
            env=self.ctl_environment(env), cwd=cwd or self.dir,
            timeout=limit * SLOW, start_new_session=True)
        if done.stderr:
            said = done.stderr
            said = said if isinstance(said, str) else \
                said.decode(errors="replace")
            assert not BUG.search(said), said
        return done

    def survivors(self):
        return marked_processes(self.mark)

    def close(self):
        """End everything, by pid; returns what was wrong, in words."""
        wrong = []
        for d in self.running:
            if d.process.poll() is None:
                kill(d.keeper, signal.SIGTERM)
                try:
                    wait_until(lambda: d.process.poll() is not None,
                               "the end of clusterd", 3)
                except TimeLimit:
                    # A test may well leave a worker that ignores TERM. The
                    # end of those that it kills takes as long as the machine.
                    kill(d.keeper, signal.SIGTERM)
                    try:
                        wait_until(lambda: d.process.poll() is not None,
                                   "its end", 30)
                    except TimeLimit:
                        wrong.append("clusterd did not end on two TERMs:\n"
                                     + d.log())
                        kill(d.keeper)
                        kill(d.process.pid)
                        d.process.wait()
        left = self.survivors()
        if left:
            wrong.append(f"left behind: {describe(left)}")
            for pid in left:
                kill(pid)
        for d in self.running:
            # Where clusterd died by a signal of its own, or found a bug.
            said = d.stderr()
            if BUG.search(said) or d.process.returncode in (
                    99, -signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS):
                wrong.append(f"clusterd has a bug (status "
                             f"{d.process.returncode}):\n{said}")
        shutil.rmtree(self.dir)
        return wrong


# COUNT NAMES FD... COMMAND...: as systemd hands descriptors over; no NAMES: "".
LAUNCH = """
import os, sys
count = int(sys.argv[1])
fds = [int(fd) for fd in sys.argv[3:3 + count]]
high = [os.dup2(fd, 1000 + i) for i, fd in enumerate(fds)]
for fd in fds:
    os.close(fd)
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i, inheritable=True)
    os.close(fd)
if count:
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["LISTEN_FDS"] = str(count)
    if sys.argv[2]:
        os.environ["LISTEN_FDNAMES"] = sys.argv[2]
os.execvp(sys.argv[3 + count], sys.argv[3 + count:])
"""


def start_with_sockets(box, *sockets):
    """As a supervisor does that has opened them."""
    fds = [s.fileno() for s in sockets]
    return box.start(
        launcher=["/usr/bin/python3", "-ISc", LAUNCH, str(len(fds)), "",
                  *map(str, fds)], pass_fds=fds)


def system_calls(box, d, act, pids=None):
    """What clusterd d calls (its supervisor, or those), as strace writes it, while
    act() runs. None: this machine does not let it be traced, or has no strace."""
    pids = pids or [d.pid]
    if shutil.which("strace") is None:
        return None
    with open(box.path("strace.err"), "w") as err:
        tracer = subprocess.Popen(
            ["strace", "-f", "-ttt", "-o", box.path("strace"),
             *(word for pid in pids for word in ("-p", str(pid)))],
            stderr=err, env=box.environment())
    try:
        wait_until(lambda: all(status_field(pid, "TracerPid") not in
                               ("0", None) for pid in pids) or
                   tracer.poll() is not None, "strace attaches")
        if tracer.poll() is not None:
            return None
        # Attaching interrupts the wait that clusterd is in; it waits again.
        wait_until(lambda: os.path.getsize(box.path("strace")) > 0,
                   "the traced process is in its wait")
        attached = time.time() + 0.3 * SLOW
        time.sleep(0.3 * SLOW)
        act()
        measured = time.time()
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
    calls = []
    for line in open(box.path("strace")).read().splitlines():
        _, when, what = line.split(None, 2)
        if attached < float(when) < measured and "(" in what:
            calls.append(what)
    return calls


def is_socket(path):
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def start_as_pid_1(box, mount_proc=True):
    """In a pid namespace of its own; as root."""
    d = box.start(launcher=unshare("--pid", "--fork", "--kill-child",
                                   *["--mount-proc"] * mount_proc))
    wait_until(lambda: children_of(d.process.pid), "the child of unshare")
    d.keeper = children_of(d.process.pid)[0]
    wait_until(lambda: b"app.ini" in read_proc(d.keeper, "cmdline")
               and b"unshare" not in read_proc(d.keeper, "cmdline"),
               "clusterd as pid 1")
    return d
