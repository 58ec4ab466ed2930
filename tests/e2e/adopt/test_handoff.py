"""Servers that read LISTEN_FDS and the like unasked. `command` and `port` alone
must do for them: they bind what they are told to, and serve that, and nobody
tells them of another descriptor. And what becomes of the one that a worker was
started with, once it has bound the port itself.
"""

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess

import pytest

import words
from binder import binder, tcp
from harness import (IS_ROOT, SLOW, ask, free_port, get, is_alive, is_refused,
                     kill, stays, wait_until)
from programs import PYTHON
from test_servers import listening_on, read_all, sockets_of, tree

PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
SYSTEM_PYTHON = "/usr/bin/python3"

V4, OTHER, V6 = "127.0.0.1", "127.0.0.2", "::1"


def needs(*programs):
    for program in programs:
        if shutil.which(program, path=PATH) is None:
            pytest.skip(f"needs {program}; `make test-deps` installs it")


def needs_module(name):
    if subprocess.run([SYSTEM_PYTHON, "-c", f"import {name}"],
                      capture_output=True).returncode:
        pytest.skip(f"needs Python's {name}; `make test-deps` installs it")


def exchange(address, request=b""):
    with socket.create_connection(address, 10 * SLOW) as s:
        s.sendall(request)
        return read_all(s)


def ask_http(address):
    """The body of the answer is the client's address, as the server sees it,
    and who answers."""
    with socket.create_connection(address, 10 * SLOW) as s:
        s.sendall(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        own = s.getsockname()[0]
        head, separator, body = read_all(s).partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1\.[01] 200\b", head) and separator, head
    # On a dual-stack socket that it was told of, IPv4 has that form.
    assert body.decode().split()[0].removeprefix("::ffff:") == own, body


def ask_greeting(greeting):
    def ask(address):
        with socket.create_connection(address, 10 * SLOW) as s:
            assert s.recv(8, socket.MSG_WAITALL) == greeting
    return ask


def ask_pgbouncer(address):
    """SSLRequest, to which a byte is the answer."""
    with socket.create_connection(address, 10 * SLOW) as s:
        s.sendall(bytes([0, 0, 0, 8, 4, 210, 22, 47]))
        assert s.recv(1) in (b"N", b"S")


def ask_stunnel(address):
    """With nobody behind it, it hangs up; who does not accept lets wait."""
    with contextlib.suppress(ConnectionResetError):
        assert exchange(address) == b""


# --- the servers, each with its usual command line

def wsgi(box):
    return box.write("app.py", """
import os
def app(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    return ["{} {}".format(environ["REMOTE_ADDR"], os.getpid()).encode()]
application = app
""")


def rack(box):
    return box.write("config.ru", 'run lambda { |env| [200, '
                     '{"content-type" => "text/plain"}, '
                     '["#{env["REMOTE_ADDR"]} #{$$}"]] }\n')


def uwsgi(box, port):
    needs("uwsgi")
    return ["uwsgi", "--plugins", "python3", "--http-socket", f":{port}",
            "--wsgi-file", wsgi(box), "--die-on-term"]


def unicorn(box, port):
    needs("unicorn")
    return ["unicorn", "-l", f"127.0.0.1:{port}", rack(box)]


def puma(box, port):
    needs("puma")
    return ["puma", "-b", f"tcp://0.0.0.0:{port}", "-b", f"tcp://[::]:{port}",
            rack(box)]


def gunicorn(box, port):
    needs("gunicorn")
    wsgi(box)
    return ["gunicorn", "-b", f"127.0.0.1:{port}", "app:app"]


def nbdkit(box, port):
    needs("nbdkit")
    return ["nbdkit", "-f", "-p", port, "memory", "1M"]


def pgbouncer(box, port):
    needs("pgbouncer")
    box.write("pgbouncer.ini", f"[databases]\n[pgbouncer]\nlisten_port = "
              f"{port}\nlisten_addr = 127.0.0.1\nunix_socket_dir =\n")
    return ["pgbouncer", "pgbouncer.ini"]


def stunnel(box, port):
    needs("stunnel4")
    box.write("stunnel.conf", f"foreground = yes\npid =\n[a]\n"
              f"accept = 127.0.0.1:{port}\nconnect = 127.0.0.1:1\n"
              "client = yes\n")
    return ["stunnel4", "stunnel.conf"]


def cheroot(box, port):
    needs_module("cheroot")
    wsgi(box)
    box.write("server.py", f"""
from cheroot import wsgi
from app import app
wsgi.Server(("127.0.0.1", {port}), app).start()
""")
    return [SYSTEM_PYTHON, "server.py"]


def nginx(box, port):
    needs("nginx")
    box.write("nginx.conf", f"""
daemon off;
pid pid;
events {{
}}
http {{
	access_log off;
	client_body_temp_path temp.body;
	proxy_temp_path temp.proxy;
	fastcgi_temp_path temp.fastcgi;
	uwsgi_temp_path temp.uwsgi;
	scgi_temp_path temp.scgi;
	server {{
		listen {port};
		listen [::]:{port};
		location / {{
			return 200 "$remote_addr $pid";
		}}
	}}
}}
""")
    # Each needs a directory of its own.
    return ["sh", "-c", "d=$(mktemp -d -p .) && cp nginx.conf $d && "
            "exec nginx -p $d -e error.log -c nginx.conf"]


# name: command, how it is asked, where it is served, more keys
SERVERS = {
    "uwsgi": (uwsgi, ask_http, {V4, OTHER}, {}),
    "unicorn": (unicorn, ask_http, {V4}, {}),
    # Its sd_notify, where that is installed, takes no abstract name.
    "puma": (puma, ask_http, {V4, OTHER, V6}, {"fd_protocol": "clusterd"}),
    "gunicorn": (gunicorn, ask_http, {V4}, {}),
    "nbdkit": (nbdkit, ask_greeting(b"NBDMAGIC"), {V4, OTHER, V6}, {}),
    # It refuses to run as root.
    "pgbouncer": (pgbouncer, ask_pgbouncer, {V4},
                  {"user": "nobody"} if IS_ROOT else {}),
    "stunnel": (stunnel, ask_stunnel, {V4}, {}),
    "cheroot": (cheroot, ask_http, {V4}, {}),
    "nginx": (nginx, ask_http, {V4, OTHER, V6}, {}),
    # Who was told of a descriptor and serves that too goes on serving it.
    "nginx-told": (nginx, ask_http, {V4, OTHER, V6},
                   {"fd_protocol": "nginx"}),
    "unicorn-told": (unicorn, ask_http, {V4, OTHER, V6},
                     {"fd_protocol": "systemd"}),
}


def check_served(port, ask, served):
    for host in sorted(served):
        for _ in range(6):
            ask((host, port))
    for host in {V4, OTHER, V6} - served:
        wait_until(lambda: is_refused((host, port)),
                   f"{host} is refused, where nobody listens")


@pytest.mark.parametrize("name", SERVERS)
def test_command_and_port_are_enough(box, name):
    command, ask, served, keys = SERVERS[name]
    port = free_port()
    box.config(web={"command": shlex.join(map(str, command(box, port))),
                    "port": port, "instances": 2, **keys})
    # Not as long as it takes to give one up.
    d = box.start(env={"PATH": PATH})
    d.wait_ready(2, limit=30)
    check_served(port, ask, served)
    for generation in (2, 3):
        old = d.ready_pids()
        d.send(signal.SIGHUP)
        d.wait_log(words.RELOAD_DONE("web", generation), limit=30)
        wait_until(lambda: not any(map(is_alive, old)), "the old ones end", 30)
        check_served(port, ask, served)
    before = d.ready_pids()
    kill(before[-1])
    d.wait_replaced(before[-1:], 2, limit=30)
    check_served(port, ask, served)
    d.stop(limit=20)
    # No loop around a listener that is gone.
    assert os.path.getsize(d.stderr_path) < 1 << 20


# --- what is left of the descriptor

GRACEFUL = """
const server = require('node:http').createServer((request, response) =>
	answer(request, response));
function answer(request, response) {
	if (request.url === '/slow' && !require('node:fs').existsSync('go'))
		setTimeout(answer, 20, request, response);
	else
		response.end(`${process.pid}`);
}
server.listen(%d, '127.0.0.1');
process.on('SIGTERM', () => server.close());
"""


# It stays until the server has ended, whatever it gets, and passes nothing on.
WRAPPED = """sh -c "trap : TERM; node server.js; exit 0" """


@pytest.mark.parametrize("balance", ["auto", "random"])
@pytest.mark.parametrize("command", ["node server.js", WRAPPED],
                         ids=["bare", "wrapped"])
def test_a_server_that_closes_its_listener_refuses_at_once(box, command,
                                                           balance):
    """What it has is finished, and who comes now is refused: not accepted,
    never served, and reset at the end."""
    needs("node")
    port = free_port()
    box.write("server.js", GRACEFUL % port)
    box.config(web={"command": command, "listen": f"127.0.0.1:{port}",
                    "instances": 2, "stop_timeout": "20s", "balance": balance,
                    "stop_to": "group"})
    d = box.start()
    workers = [pid for leader in d.wait_ready(2) for pid in tree(leader)]
    before = {pid: len(sockets_of(pid)) for pid in workers}
    slow = [ask(port, "/slow") for _ in range(4)]
    wait_until(lambda: sum(len(sockets_of(pid)) - n
                           for pid, n in before.items()) == 4,
               "all are accepted")
    d.send(signal.SIGTERM)
    wait_until(lambda: is_refused(port), "new clients are refused")
    assert any(map(is_alive, workers))
    box.touch("go")
    for s in slow:
        assert read_all(s).startswith(b"HTTP/1.1 200")
        s.close()
    d.wait_end(0)


def test_a_wrapper_costs_no_sockets(box):
    """Each start of it needs one more, which is used again."""
    needs("node")
    port = free_port()
    box.write("server.js", GRACEFUL % port)
    box.config(web={"command": WRAPPED, "listen": f"127.0.0.1:{port}",
                    "instances": 2, "restart_delay": "10ms",
                    "restart_delay_max": "10ms", "stop_to": "group"})
    d = box.start()
    d.wait_ready(2)
    most = 0
    for turn in range(6):
        before = d.ready_pids()
        kill(before[turn % 2])
        d.wait_replaced([before[turn % 2]], 2)
        for _ in range(10):
            assert exchange((V4, port), b"GET / HTTP/1.0\r\n\r\n")
        n = len(listening_on(port) & set(sockets_of(d.pid).values()))
        assert n == 2
        d.kinds_at_rest()
        sockets = len(sockets_of(d.pid))
        if turn == 2:
            most = sockets
        assert turn < 3 or sockets <= most
    d.stop(limit=20)


def test_what_was_given_is_nothing_once_it_is_bound(box):
    """In the process that binds; its number may be another thing's by then."""
    port, second = free_port(), free_port()
    box.write("server.py", f"""
import os, socket, time
os.close(3)
assert os.open("app.ini", os.O_RDONLY) == 3     # in the first one's place
s = socket.socket()
s.bind(("127.0.0.1", {port}))
s.listen()
t = socket.socket()
t.bind(("127.0.0.1", {second}))
t.listen()
os.set_blocking(t.fileno(), False)
while True:
    c, _ = s.accept()
    c.sendall("".join("%s %s\\n" % (n, os.readlink("/proc/self/fd/%d" % n))
                      for n in (3, 4)).encode())
    c.close()
""")
    box.config(web={"command": f"{PYTHON} server.py", "instances": 1,
                    "listen": f"127.0.0.1:{port}, 127.0.0.1:{second}"})
    d = box.start()
    d.wait_ready(1)
    reply = exchange((V4, port)).decode()
    assert reply == f"3 {box.path('app.ini')}\n4 /dev/null\n"
    d.stop()


ONE_LOOP = """
while True:
    for x in select.select([s, t], [], [])[0]:
        c, _ = x.accept()
        time.sleep({work})
        c.sendall(b"hello")
        c.close()
"""
A_THREAD_EACH = """
def serve(x):
    while True:
        time.sleep({work} if x is t else 0)
        c, _ = x.accept()
        c.sendall(b"hello")
        c.close()
for x in s, t:
    threading.Thread(target=serve, args=[x]).start()
"""


@pytest.mark.parametrize("loop, work", [(ONE_LOOP, 0), (ONE_LOOP, 1.5),
                                        (A_THREAD_EACH, 1.5)],
                         ids=["", "works", "thread-works"])
def test_who_takes_the_descriptor_keeps_it(box, loop, work):
    """One is bound, and the other one served as it was given, also when nobody
    waits for its clients for a while."""
    bound, given = free_port(), free_port()
    box.write("server.py", f"""
import os, select, socket, threading, time
s = socket.socket()
s.bind(("127.0.0.1", {bound}))
s.listen()
t = socket.socket(fileno=int(os.environ["CLUSTERD_FD"].split(",")[1]))
{loop.format(work=work)}
""")
    box.config(web={"command": f"{PYTHON} server.py", "instances": 1,
                    "listen": f"127.0.0.1:{bound}, 127.0.0.1:{given}"})
    d = box.start()
    d.wait_ready(1)
    for port in (bound, given):
        assert exchange((V4, port)) == b"hello"
    d.stop()


UNSERVED = (r"its program serves other addresses and not 127\.0\.0\.1:{}: "
            r"connections to it are refused")


def test_second_address_is_refused_once_the_first_is_settled(box):
    """The wildcard that `port` is has to be found to be nobody's first: that takes
    seconds, and what is beside it waits for that."""
    bound, given = free_port(), free_port()
    box.write("server.py", f"""
import socket
s = socket.socket()
s.bind(("127.0.0.1", {bound}))
s.listen()
while True:
    c, _ = s.accept()
    c.sendall(b"hello")
    c.close()
""")
    box.config(web={"command": f"{PYTHON} server.py", "instances": 2,
                    "port": bound, "listen": f"127.0.0.1:{given}",
                    "fd_protocol": "systemd"})
    d = box.start()
    d.wait_ready(2)
    d.wait_log(UNSERVED.format(given), limit=30)
    wait_until(lambda: is_refused((V4, given)), "it is refused")
    assert exchange((V4, bound)) == b"hello"
    d.stop()


def test_client_of_a_dead_worker_s_child_is_no_sign_of_others(box):
    """Its address is looked at again when that one has gone."""
    bound, given = free_port(), free_port()
    box.write("server.py", f"""
import os, signal, socket, time
s = socket.socket()
s.bind(("127.0.0.1", {bound}))
s.listen()
if not os.path.exists("first"):
    open("first", "w").close()
    t = socket.socket(fileno=4)
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        s.close()
        c, _ = t.accept()
        t.close()
        c.sendall(b"hello")
        time.sleep(1000)
while True:
    c, _ = s.accept()
    c.close()
""")
    box.config(web={"command": f"{PYTHON} server.py", "instances": 1,
                    "listen": f"127.0.0.1:{bound}, 127.0.0.1:{given}",
                    "fd_protocol": "systemd", "stop_timeout": "4s",
                    "restart_delay": "10ms"})
    d = box.start()
    first, = d.wait_ready(1)
    with socket.create_connection((V4, given), 10 * SLOW) as kept:
        assert kept.recv(10) == b"hello"
        kill(first)
        d.wait_replaced([first], 1)
        d.wait_log(UNSERVED.format(given), limit=40)
        wait_until(lambda: is_refused((V4, given)), "it is refused")
    d.stop()


# --- who looks in vain

HINT = r"it never bound \S+: if it looks for LISTEN_FDS, add handoff = env"
# Most that end with an error have another one.
HINT_FAILED = (r"it never bound \S+: what it writes may say why; if it looks "
               r"for LISTEN_FDS, add handoff = env")
HINT_READY = (r"is ready and has not bound \S+, .* add handoff = env")
LOOKS = """
import os, signal, socket, sys
if os.environ.get("LISTEN_PID") != str(os.getpid()):
    {otherwise}
s = socket.socket(fileno=3)
while True:
    c, _ = s.accept()
    c.sendall(b"hello")
    c.close()
"""
NOTIFY = """address = os.environ["NOTIFY_SOCKET"]
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1",
        "\\0" + address[1:] if address[0] == "@" else address)
    signal.pause()"""


def looks(box, otherwise, **keys):
    port = free_port()
    box.write("server.py", LOOKS.format(otherwise=otherwise))
    box.config(web={"command": f"{PYTHON} server.py", "port": port,
                    "instances": 2, "restart_delay": "10ms", **keys})
    return port, box.start()


def test_a_server_that_ends_for_want_of_a_descriptor_is_told_of_once(box):
    _, d = looks(box, "sys.exit('no socket')")
    d.wait_log(words.DEATH("web"), count=6)
    assert len(d.find(HINT_FAILED)) == 1
    # Nor is it said again because of a reload.
    for generation in (2, 3):
        mark = d.mark()
        d.send(signal.SIGHUP)
        d.wait_log(words.RELOAD_ABORTED("web"), start=mark)
        d.wait_log(words.DEATH("web"), count=4, start=mark)
    assert len(d.find("LISTEN_FDS")) == 1
    d.stop()


def test_new_code_that_fails_where_the_old_one_binds_is_no_case_of_it(box):
    port = free_port()
    good = {"command": binder(*tcp(port), "serve:poll"), "port": port,
            "instances": 2, "restart_delay": "10ms"}
    box.config(web=good)
    d = box.start()
    d.wait_ready(2)
    box.config(web={**good, "command": binder("exit:7")})
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_ABORTED("web"))
    assert not d.find("LISTEN_FDS")
    d.stop()


def test_a_server_that_finds_another_port_taken_is_no_case_of_it(box):
    port = free_port()
    with socket.socket() as other:
        other.bind((V4, 0))
        other.listen()
        taken = other.getsockname()[1]
        box.config(web={"command": binder(*tcp(taken)[:3], "exit:7"),
                        "port": port, "instances": 2,
                        "restart_delay": "10ms"})
        d = box.start()
        d.wait_log(words.DEATH("web"), count=4)
        assert d.find("which is taken")
        assert not d.find("LISTEN_FDS")
        d.stop()


def test_a_server_that_waits_for_a_descriptor_is_told_of_once(box):
    _, d = looks(box, "signal.pause()", ready="accept", ready_timeout="300ms")
    d.wait_log(words.DEATH("web"), count=4)
    assert len(d.find(HINT)) == 1
    d.stop()


def test_a_server_that_says_it_is_ready_without_a_socket_is_told_of_once(box):
    """It is not ready by that, and is taken for ready when its time is up."""
    _, d = looks(box, NOTIFY, ready="notify", ready_timeout="3s")
    d.wait_ready(2)
    assert len(d.find("cannot be seen to wait for connections")) == 2
    d.wait_log(HINT_READY)
    stays(lambda: len(d.find(HINT_READY)) == 1, "it is said once")
    d.stop()


def test_a_server_that_is_ready_by_its_age_without_a_socket_is_told_of_once(box):
    _, d = looks(box, "signal.pause()", ready="alive:100ms")
    d.wait_ready(2)
    d.wait_log(HINT_READY)
    stays(lambda: len(d.find(HINT_READY)) == 1, "it is said once")
    d.stop()


@pytest.mark.parametrize("keys", [{"handoff": "env"},
                                  {"fd_protocol": "systemd"}])
def test_what_the_hint_says_helps(box, keys):
    port, d = looks(box, "sys.exit('no socket')", **keys)
    d.wait_ready(2)
    assert exchange((V4, port)) == b"hello"
    d.stop()
    assert not d.find("LISTEN_FDS")


def test_a_server_that_takes_clusterd_fd_is_no_case_of_it(box):
    box.web(instances=2)
    d = box.start()
    d.wait_ready(2)
    old = d.ready_pids()
    d.send(signal.SIGHUP)
    d.wait_replaced(old, 2)
    get(d.port())
    d.stop()
    assert not d.find("LISTEN_FDS")


@pytest.mark.parametrize("words_, env", [("--fd {fd}", None),
                                         ("", "SERVER_FD={fd}")])
def test_a_server_that_is_told_by_its_words_is_no_case_of_it(box, words_, env):
    box.config(web={"command": f"{PYTHON} -c 'import sys; sys.exit(3)' "
                    f"{words_}", "port": free_port(), "instances": 2,
                    "restart_delay": "10ms", **({"env": env} if env else {})})
    d = box.start()
    d.wait_log(words.DEATH("web"), count=4)
    d.stop()
    assert not d.find("LISTEN_FDS")


# --- who leaves its lane

LEAVES = """
import os, signal, socket
s = socket.socket()
s.bind(("127.0.0.1", {port}))
s.listen(64)
elsewhere = socket.socket()

def leave(*_):
    global s
    s.close()
    elsewhere.bind(("127.0.0.1", int(open("elsewhere").read())))
    elsewhere.listen()
    print("left", flush=True)

def come_back(*_):
    global s
    s = socket.socket()
    s.bind(("127.0.0.1", {port}))
    s.listen(64)
    s.settimeout(0.05)
    print("back", flush=True)

signal.signal(signal.SIGUSR1, leave)
signal.signal(signal.SIGUSR2, come_back)
s.settimeout(0.05)
while True:
    try:
        c, _ = s.accept()
    except OSError:     # closed, or the time is over
        signal.sigtimedwait([], 0.02)
        continue
    c.sendall(str(os.getpid()).encode())
    c.close()
"""

LEFT = r"has left the listener \S+ and serves another address"


@pytest.mark.parametrize("balance", ["random", "source", *(
    ["least-connections", "round-robin"] if IS_ROOT else [])])
def test_nobody_is_steered_to_a_worker_that_has_left(box, balance):
    port = free_port()
    box.write("server.py", LEAVES.format(port=port))
    box.write("elsewhere", str(free_port()))
    box.config(web={"command": f"{PYTHON} server.py", "port": port,
                    "instances": 2, "balance": balance, "ready": "accept"})
    d = box.start()
    gone, stays_on = d.wait_ready(2)
    os.kill(gone, signal.SIGUSR1)
    d.wait_log(LEFT)
    sources = [f"127.0.1.{n}" for n in range(1, 41)]
    for source in sources:
        with socket.create_connection((V4, port), 10 * SLOW,
                                      (source, 0)) as s:
            assert int(read_all(s)) == stays_on
    os.kill(gone, signal.SIGUSR2)
    wait_until(lambda: "back" in open(d.stderr_path).read(), "it is back")

    def answers():
        for source in sources:
            with socket.create_connection((V4, port), 10 * SLOW,
                                          (source, 0)) as s:
                if int(read_all(s)) == gone:
                    return True
    wait_until(answers, "it is served by both again")
    d.stop()
