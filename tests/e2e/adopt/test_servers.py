"""Servers that know nothing of clusterd, each with its usual command line: it
binds the port by itself, and three of it serve that port nevertheless.

With CLUSTERD_TEST_TABLE, a table of the servers that were tried goes into the
file of that name.
"""

import collections
import concurrent.futures
import contextlib
import glob
import os
import platform
import re
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import time

import pytest

import words
from harness import (CUT, SLOW, HalfAnAnswer, _connect, children_of, free_port,
                     is_alive, is_refused, kill, wait_until)
from programs import HTTP_SERVER, PYTHON, script

INSTANCES = 3

# nginx lies where not every user looks.
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])

SEEN = r"it waits for connections"
KILLED = words.DEATH(how=words.KILLED_9)


# --- what a client asks; each returns the pid that answered, if it is told

def read_all(s):
    reply = b""
    while True:
        part = s.recv(65536)
        if not part:
            return reply
        reply += part


def ask_http(address):
    with _connect(address, 10 * SLOW) as s:
        s.sendall(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        head, separator, body = read_all(s).partition(b"\r\n\r\n")
    if not separator:
        raise HalfAnAnswer(repr(head))
    assert re.match(rb"HTTP/1\.[01] 200\b", head), head
    return int(body) if re.fullmatch(rb"\d+\s*", body) else None


def ask_redis(address):
    with _connect(address, 10 * SLOW) as s:
        s.sendall(b"PING\r\nINFO server\r\nQUIT\r\n")
        reply = read_all(s)
    if not reply.endswith(b"+OK\r\n"):
        raise HalfAnAnswer(repr(reply))
    assert reply.startswith(b"+PONG\r\n"), reply
    return int(re.search(rb"\nprocess_id:(\d+)", reply)[1])


def ask_udp(address):
    """A datagram may be lost with the worker that has read it."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(0.5 * SLOW)
        s.connect(address)
        for attempt in range(10):
            s.send(b"hello")
            with contextlib.suppress(socket.timeout):
                return int(s.recv(65536))
    raise socket.timeout("no datagram was answered")


# --- the servers

class Server:
    """A program and how it is used.

    `version` is the command that prints its version; what is not there fails
    the test, unless it is `optional`. `command` makes the words of the command
    from the box, the port or path, and what was built. `listen` is what the
    configuration says."""

    def __init__(self, name, version, command, *, listen="port = {}",
                 ask=ask_http, says_pid=True, ipv6=False, static=False,
                 breaks_lane=False, optional=False):
        self.name = name
        self.version = version
        self.command = command
        self.listen = listen
        self.ask = ask
        self.says_pid = says_pid    # else only its silence tells who answers
        self.ipv6 = ipv6            # it binds IPv6, too
        self.static = static        # nothing can be preloaded
        # At its start or end it removes its path, or shuts its socket down,
        # which is everybody's.
        self.breaks_lane = breaks_lane
        self.optional = optional

    @property
    def is_udp(self):
        return "udp:" in self.listen

    @property
    def is_unix(self):
        return "unix:" in self.listen


def nginx(box, port, built):
    box.write("nginx.conf", f"""
daemon off;
worker_processes 1;
pid nginx.pid;
events {{
}}
http {{
	access_log access.log;
	client_body_temp_path temp.body;
	proxy_temp_path temp.proxy;
	fastcgi_temp_path temp.fastcgi;
	uwsgi_temp_path temp.uwsgi;
	scgi_temp_path temp.scgi;
	server {{
		listen {port};
		location / {{
			return 200 "$pid";
		}}
	}}
}}
""")
    return ["nginx", "-p", box.dir, "-e", "error.log", "-c", "nginx.conf"]


def busybox(box, port, built):
    box.write("index.html", "hello\n")
    return ["busybox", "httpd", "-f", "-p", port, "-h", box.dir]


TRIED = {
    "node": Server(
        "Node.js `http`", ["node", "--version"], ipv6=True,
        command=lambda box, port, _: ["node", script("http.js"), port]),
    "python": Server(
        "Python `http.server`", [PYTHON, "--version"], says_pid=False,
        command=lambda box, port, _: [*shlex.split(HTTP_SERVER), port]),
    # The shell stays, because it has something to do afterwards.
    "shell": Server(
        "Python `http.server` behind `sh -c`", [PYTHON, "--version"],
        says_pid=False, command=lambda box, port, _: [
            "sh", "-c", f"{HTTP_SERVER} {port}; exit $?"]),
    "go": Server(
        "Go `net/http`, static", ["go", "version"], ipv6=True, static=True,
        command=lambda box, port, built: [built("go"), port]),
    "php": Server(
        "`php -S`", ["php", "--version"],
        command=lambda box, port, _: [
            "php", "-S", f"127.0.0.1:{port}", script("router.php")]),
    "busybox": Server(
        "BusyBox `httpd`, static", ["busybox"], busybox, ipv6=True,
        says_pid=False, static=True),
    "nginx": Server("nginx", ["nginx", "-v"], nginx),
    "redis": Server(
        "Redis", ["redis-server", "--version"], ask=ask_redis, ipv6=True,
        command=lambda box, port, _: [
            "redis-server", "--port", port, "--save", "",
            "--appendonly", "no"]),
    "webrick": Server(
        "Ruby WEBrick", ["ruby", "-rwebrick", "-e", "puts WEBrick::VERSION"],
        says_pid=False, ipv6=True, breaks_lane=True,
        command=lambda box, port, _: [
            "ruby", "-run", "-e", "httpd", box.dir, "-p", port]),
    "rust": Server(
        "Rust `TcpListener`, static", ["rustc", "--version"], static=True,
        optional=True,
        command=lambda box, port, built: [built("rust"), port]),
    "java": Server(
        "Java `HttpServer`", ["java", "-version"], ipv6=True, optional=True,
        command=lambda box, port, _: ["java", script("Http.java"), port]),
    "udp": Server(
        "UDP, in Python", [PYTHON, "--version"],
        listen="listen = udp:{}", ask=ask_udp,
        command=lambda box, port, _: [PYTHON, script("udp.py"), port]),
    "unix": Server(
        "Unix socket, in Python", [PYTHON, "--version"],
        listen="listen = unix:{}", breaks_lane=True,
        command=lambda box, path, _: [PYTHON, script("unix.py"), path]),
    "node-unix": Server(
        "Unix socket, Node.js `http`", ["node", "--version"],
        listen="listen = unix:{}", breaks_lane=True,
        command=lambda box, path, _: [
            "node", script("http-unlinks.js"), path]),
}


def check_there(server):
    program = server.version[0]
    if shutil.which(program, path=PATH):
        return
    if server.optional:
        pytest.skip(f"needs {program}")
    pytest.fail(f"{program} is not installed; `make test` does that")


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Returns the path of a program, built without network and without a
    trace in the home."""
    programs = {}

    def build(what):
        if what in programs:
            return programs[what]
        place = tmp_path_factory.mktemp(what)
        os.chmod(place, 0o755)
        program = programs[what] = str(place / f"http-{what}")
        env = dict(os.environ)
        if what == "go":
            command = ["go", "build", "-o", program, script("http.go")]
            env.update(CGO_ENABLED="0", GO111MODULE="off", GOPROXY="off",
                       GOTOOLCHAIN="local", HOME=str(place),
                       GOCACHE=str(place / "cache"),
                       GOPATH=str(place / "path"))
            env.pop("GOFLAGS", None)
        else:
            command = ["rustc", "-C", "target-feature=+crt-static",
                       "-o", program, script("http.rs")]
        subprocess.run(command, cwd=place, env=env, check=True,
                       timeout=300 * SLOW)
        return program
    return build


def version_of(server):
    """The first number with a point in what the program prints."""
    done = subprocess.run(server.version, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=30 * SLOW,
                          env={**os.environ, "PATH": PATH})
    return re.search(r"\d+\.\d+[.\d]*", done.stdout)[0]


def is_static(program):
    """No interpreter, that is no dynamic linker, is named in it."""
    with open(shutil.which(program, path=PATH), "rb") as f:
        head = f.read(4096)
    return head.startswith(b"\x7fELF") and b"/ld-" not in head


# --- the workers, seen through /proc

def tree(pid):
    """The process and its living descendants."""
    found = [pid]
    for p in found:
        found += filter(is_alive, children_of(p))
    return found


def are_stopped(pids):
    def states(pid):
        for path in glob.glob(f"/proc/{pid}/task/*/stat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                with open(path) as f:
                    yield f.read().rpartition(")")[2].split()[0]
    return all(state in "TZX" for pid in pids for state in states(pid))


@contextlib.contextmanager
def stopped(pids):
    """Whoever is stopped in accept(2) or epoll_wait(2) does not take what
    comes: the kernel has taken it from the queue of those that wait."""
    try:
        for pid in pids:
            kill(pid, signal.SIGSTOP)
        wait_until(lambda: are_stopped(pids), f"{pids} are stopped")
        yield
    finally:
        for pid in pids:
            kill(pid, signal.SIGCONT)


def sockets_of(pid):
    """Number → inode."""
    found = {}
    for path in glob.glob(f"/proc/{pid}/fd/*"):
        with contextlib.suppress(OSError):
            link = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(path))
            if link:
                found[int(os.path.basename(path))] = int(link[1])
    return found


def listening_on(port):
    """The inodes of all TCP sockets that listen there."""
    found = set()
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError):
            with open(f"/proc/net/{name}") as f:
                for fields in map(str.split, f.readlines()[1:]):
                    if (int(fields[1].rpartition(":")[2], 16) == port
                            and fields[3] == "0A"):
                        found.add(int(fields[9]))
    return found


WAITS_IN = {
    "x86_64": {43: "accept", 288: "accept", 7: "poll", 271: "poll",
               23: "select", 270: "select", 45: "recv", 47: "recv"},
    "aarch64": {202: "accept", 242: "accept", 73: "poll", 72: "select",
                207: "recv", 212: "recv"},
}.get(platform.machine(), {})


def waits_in(pids, lanes):
    """The system call in which one of them waits for connections."""
    inodes = {f"{lane:x}" for lane in lanes}
    calls = set()
    for pid in pids:
        for path in glob.glob(f"/proc/{pid}/fdinfo/*"):
            with contextlib.suppress(OSError):
                with open(path) as f:
                    watched = re.findall(r"^tfd:.* ino:([0-9a-f]+)", f.read(),
                                         re.M)
                if inodes & set(watched):
                    return "epoll"
        if not lanes & set(sockets_of(pid).values()):
            continue
        for path in glob.glob(f"/proc/{pid}/task/*/syscall"):
            with contextlib.suppress(OSError):
                with open(path) as f:
                    call = f.read().split()[0]
                if call.isdigit():
                    calls.add(WAITS_IN.get(int(call)))
    if not WAITS_IN:
        return "?"          # an architecture whose numbers are not above
    return next(iter(sorted(calls - {None})), None)


# --- the table

Row = collections.namedtuple("Row", "server version waits adopted ms")


@pytest.fixture(scope="module")
def table():
    rows = []
    yield rows
    path = os.environ.get("CLUSTERD_TEST_TABLE")
    if path:
        with open(path, "w") as f:
            print("| server | version | waits in | adopted | ready after |",
                  "| --- | --- | --- | --- | --- |", sep="\n", file=f)
            for r in rows:
                print(f"| {r.server} | {r.version} | {r.waits} | "
                      f"{'yes' if r.adopted else 'no'} | {r.ms:.0f} ms |",
                      file=f)


# --- the test

class Cluster:
    """clusterd with three of a server."""

    def __init__(self, box, server, built):
        check_there(server)
        self.box = box
        self.server = server
        self.refused_since = None
        self.clients = concurrent.futures.ThreadPoolExecutor(64)
        self.at = box.path("x.sock") if server.is_unix else free_port(
            socket.SOCK_DGRAM if server.is_udp else socket.SOCK_STREAM)
        self.address = self.at if server.is_unix else ("127.0.0.1", self.at)
        command = [*map(str, server.command(box, self.at, built))]
        if server.static:
            assert is_static(command[0]), f"{command[0]} is not static"
        key, _, value = server.listen.format(self.at).partition(" = ")
        box.config(web={"command": shlex.join(command), key: value,
                        "instances": INSTANCES})
        self.d = box.start(env={"PATH": PATH})
        self.wait_ready()

    def wait_ready(self):
        # Long before ready_timeout, whose minute would only be waited for.
        self.d.wait_ready(INSTANCES, limit=25)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.clients.shutdown()
        if kind:
            print(self.d.log())

    def ask(self):
        return self.server.ask(self.address)

    def ask_though_cut(self):
        """A retiring worker may hang up, but there is always somebody: what
        is refused, or waits in vain, is an error."""
        try:
            self.ask()
            self.refused_since = None
        except CUT:
            pass
        except (ConnectionRefusedError, FileNotFoundError):
            # Only for the moment until clusterd has mended it.
            now = time.monotonic()
            self.refused_since = self.refused_since or now
            if (not self.server.breaks_lane
                    or now - self.refused_since > 5 * SLOW):
                raise

    def is_refused(self, address):
        if not self.server.is_udp:
            return is_refused(address)
        try:
            self.server.ask(address)
        except ConnectionRefusedError:
            return True
        except socket.timeout:
            pass        # neither an answer nor a refusal
        return False

    def ask_the_living(self):
        """Clients come until one is answered. Those that came to a worker
        that is stopped have their answers when it goes on: returned."""
        asked = []

        def is_answered():
            asked.append(self.clients.submit(self.ask))
            return concurrent.futures.wait(
                asked, 0.1 * SLOW, concurrent.futures.FIRST_COMPLETED).done
        done = wait_until(is_answered, "an answer", 5)
        return next(iter(done)).result(), asked

    def wait_all_answer(self):
        """Each of the workers, when it is the only one that runs."""
        workers = self.d.ready_pids()
        assert len(workers) == INSTANCES
        for worker in workers:
            others = [pid for other in workers if other != worker
                      for pid in tree(other)]
            with stopped(others):
                pid, asked = self.ask_the_living()
                assert (pid is not None) == self.server.says_pid
                if pid is not None:
                    assert pid in tree(worker), (pid, worker)
            for a in asked:
                a.result(10 * SLOW)

    def lanes(self):
        """The inodes of clusterd's sockets."""
        return set(sockets_of(self.d.pid).values())

    def check_adopted(self):
        """Each worker has clusterd's socket in the place of its own: beside
        the one that it was given as number 3."""
        lanes = self.lanes()
        for worker in self.d.ready_pids():
            held = {(pid, fd) for pid in tree(worker)
                    for fd, inode in sockets_of(pid).items()
                    if fd != 3 and inode in lanes}
            assert held, f"{worker} has no socket of clusterd's"
        if not self.server.is_unix and not self.server.is_udp:
            others = listening_on(self.at) - lanes
            assert not others, f"sockets of others on {self.at}: {others}"

    def waits(self):
        workers = tree(self.d.ready_pids()[0])
        return wait_until(lambda: waits_in(workers, self.lanes()),
                          "a worker waits for connections")

    def check_was_seen(self):
        """Every readiness came from /proc; returns their milliseconds."""
        ready = self.d.find(words.READY("web"))
        found = self.d.find(words.READY("web").pattern +
                            rf" after (?P<age>\S+) \({SEEN}\)")
        assert len(found) == len(ready), self.d.log()
        return [words.seconds(m["age"]) * 1000 for m in found]

    def check_no_port_was_taken(self):
        said = self.d.log()
        for path in glob.glob(self.box.path("*.log")):
            with open(path) as f:
                said += f.read()
        assert not re.search(r"(?i)EADDRINUSE|address (is )?already in use",
                             said), said


def has_ipv6():
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as s:
        s.bind(("::1", 0))
        return True
    return False


def check_families(c):
    """A server that binds IPv4 only is not reached by IPv6: in what it takes
    for an IPv4 address, there would be another one."""
    if c.server.is_unix or not has_ipv6():
        return
    if c.server.ipv6:
        c.server.ask(("::1", c.at))
    else:
        assert c.is_refused(("::1", c.at))


def kill_one(c):
    before = c.d.ready_pids()
    kill(before[-1])
    now = c.d.wait_replaced(before[-1:], INSTANCES, limit=25)
    assert len(set(now) & set(before)) == INSTANCES - 1


def reload(c):
    before = c.d.ready_pids()
    c.d.send(signal.SIGHUP)

    def is_reloaded():
        c.ask_though_cut()
        return c.d.find(words.RELOAD_DONE("web", 2))
    wait_until(is_reloaded, lambda: f"reloaded:\n{c.d.log()}", 60)

    def are_gone():
        c.ask_though_cut()
        return not any(map(is_alive, before))
    wait_until(are_gone, f"the end of {before}", 20)
    c.wait_ready()


def stop(c):
    c.d.stop(limit=20)
    if c.server.is_unix:
        assert not glob.glob(c.address + "*")
    else:
        assert c.is_refused(c.address)


@pytest.mark.parametrize("name", TRIED)
def test_server_is_clustered(box, built, table, name):
    server = TRIED[name]
    with Cluster(box, server, built) as c:
        assert not c.d.find(words.DEATH()), c.d.log()
        waits = c.waits()
        c.check_adopted()
        c.wait_all_answer()
        check_families(c)

        kill_one(c)
        c.check_adopted()
        c.wait_all_answer()

        reload(c)
        c.check_adopted()
        c.wait_all_answer()

        stop(c)
        assert len(c.d.find(KILLED)) == 1, c.d.log()
        c.check_no_port_was_taken()
        table.append(Row(server.name, version_of(server), waits, True,
                         statistics.median(c.check_was_seen())))
