"""What a bind tells: where a program listens, and what is done about it."""

import errno
import os
import shlex
import shutil
import signal
import socket
import urllib.request

import pytest

from binder import NONBLOCK, binder, settings, tcp, udp, unix, warnings
from harness import (ask_udp, free_base, free_port, get, is_refused, stays,
                     strerror, wait_until)

ELSEWHERE = r"listens on 127\.0\.0\.1:{}, which is none of this app's " \
            r"listeners \({}\)"


@pytest.fixture
def port():
    return free_port()


def node(box, text):
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    return f"node {box.write('server.js', text)}"


def fetch(port):
    url = f"http://127.0.0.1:{port}/"
    with urllib.request.urlopen(url, timeout=10) as reply:
        return reply.read().decode().strip()


# ---- a server that listens elsewhere ----

def test_server_that_listens_elsewhere_is_named(box, port):
    other = free_port()
    box.config(web=settings(*tcp(other, "127.0.0.1"), "serve:epoll",
                            port=port, instances=1, ready_timeout="3s"))
    d = box.start()
    d.wait_log(ELSEWHERE.format(other, port) +
               rf"; if it is to serve {port}, tell it: {{port}} in its "
               r"command, or PORT, which its environment has"
               rf"; if clients are to come there: port = {other}; .*handoff "
               "= adopt")
    d.wait_log(rf"listens on port {other}, which is none of this app's")
    d.wait_ready(1)
    # Once for a generation.
    first, = d.ready_pids()
    os.kill(first, signal.SIGKILL)
    d.wait_replaced([first], 1, limit=20)
    assert len(d.find(ELSEWHERE.format(other, port))) == 1
    d.stop()


def test_port_that_env_sets_is_not_what_it_is_to_be_told(box, port):
    """PORT is the file's then, and not the listener's."""
    other = free_port()
    box.config(web=settings(*tcp(other, "127.0.0.1"), "serve:epoll",
                            port=port, instances=1, ready_timeout="3s",
                            env=f"PORT={other}"))
    d = box.start()
    words = rf"PORT is {other} there, and the app listens on {port}: without " \
        rf"that entry its workers would be told PORT={port}"
    d.wait_log("app.ini:[0-9]+: env: " + words)
    d.wait_log(ELSEWHERE.format(other, port) +
               rf"; if it is to serve {port}, tell it: {{port}} in its "
               rf"command, or PORT, which env or env_file sets to \"{other}\"")
    d.stop()


def test_several_that_listen_elsewhere_are_told_of_their_own_port(box, port):
    """All but one find it taken. Who was told of the port is not told again."""
    other = free_port()
    keys = settings(*tcp(other, "127.0.0.1"), "need:a", "serve:epoll",
                    port=port, instances=2, ready_timeout="3s")
    told = rf"asks for 127\.0\.0\.1:{other}, which is taken and is none of " \
        r"this app's listeners"
    box.config(web=keys)
    d = box.start()
    d.wait_log(rf"{told}; if it is to serve {port}, tell it: {{port}} in its "
               r"command, or PORT, which its environment has; if its instances "
               "may share it")
    d.stop()
    box.config(web={**keys, "env": "HTTP_PORT={port}"})
    d = box.start()
    d.wait_log(rf"{told}; if its instances may share it")
    d.stop()


def test_who_has_it_after_another_instance_is_not_told_that_it_is_taken(box, port):
    """That one's bind may be under way still: it has failed, or is undone here."""
    other = free_port()
    main = tcp(port, "127.0.0.1", flags=NONBLOCK)
    gone = box.path("gone")
    app = settings(port=port, instances=2)
    app["command"] = only_first(
        box, binder("socket:t:tcp4", f"bind:t:127.0.0.1:{other}", "close:t",
                    f"touch:{gone}", *main, "serve:epoll"),
        binder(*main, f"until:{gone}", *tcp(other, "127.0.0.1", "b"),
               "need:b", "serve:epoll:a"))
    box.config(web=app)
    d = box.start()
    d.wait_ready(2)
    d.wait_log(rf"listens on 127\.0\.0\.1:{other}, which is none of")
    assert not d.find("which is taken")
    d.stop()


def test_server_that_listens_elsewhere_without_a_trap(box, port):
    other = free_port()
    box.config(web=settings(*tcp(other, "127.0.0.1"), "serve:epoll",
                            port=port, instances=1, handoff="env",
                            ready_timeout="60s"))
    d = box.start()
    d.wait_log(rf"listens on port {other}, which is none of this app's "
               "listeners")
    d.stop()


def test_who_has_no_file_is_told_of_options(box, port):
    other = free_port()
    d = box.start("-p", port, "-n", 1, "--", *shlex.split(binder(
        *tcp(other, "127.0.0.1"), "serve:epoll")))
    d.wait_log(ELSEWHERE.format(other, port) + rf".*: -p {other};")
    d.stop()


def test_second_port_is_told_without_alarm(box, port):
    other = free_port()
    box.config(web=settings(
        *tcp(port, "127.0.0.1", flags=NONBLOCK),
        *tcp(other, "127.0.0.1", "b", flags=NONBLOCK), "serve:epoll",
        port=port, instances=1))
    d = box.start()
    d.wait_log(ELSEWHERE.format(other, port))
    assert not warnings(d, ".")
    d.stop()


def test_what_does_not_last_is_not_told(box, port):
    other, third = free_port(), free_port()
    bound = [s for s in tcp(third, "127.0.0.1", "c") if "listen" not in s]
    box.config(web=settings(*tcp(other, "127.0.0.1", "b"), "close:b", *bound,
                            *tcp(port, "127.0.0.1"), "serve:epoll:a",
                            port=port, instances=1))
    d = box.start()
    d.wait_ready(1)
    stays(lambda: not d.find("none of this app's"), d.log, duration=0.8)
    d.stop()


def test_port_and_host_are_set(box, port):
    box.config(web={"command": node(box, """
        require('http').createServer((q, r) => r.end('host ' + process.env.HOST + '\\n'))
            .listen(process.env.PORT, process.env.HOST)"""),
        "listen": f"127.0.0.1:{port}", "instances": 2})
    d = box.start(env={"PORT": "1"})
    d.wait_ready(2)
    assert fetch(port) == "host 127.0.0.1"
    d.stop()


LOOKS_FIRST = """
const net = require('net'), port = +process.env.PORT;
function serve(p) {
    require('http').createServer((q, r) => r.end('pid ' + process.pid + '\\n'))
        .listen(p, '127.0.0.1');
}
const s = net.connect(port, '127.0.0.1');
s.on('connect', () => { s.destroy(); serve(0); });
s.on('error', () => serve(port));
"""


def test_server_that_looks_whether_its_port_is_free(box, port):
    # The look itself waits in the queue, and a stop for that.
    app = {"command": node(box, LOOKS_FIRST), "port": port, "instances": 1,
           "ready_timeout": "3s", "drain_timeout": "100ms"}
    box.config(web=app)
    d = box.start()
    d.wait_log(rf"listens on 127\.0\.0\.1:\d+, which is none of this app's "
               rf"listeners \({port}\).*: handoff = adopt")
    d.stop()
    # Which is the cure.
    box.config(web={**app, "handoff": "adopt"})
    d = box.start()
    d.wait_ready(1)
    assert fetch(port) == f"pid {d.ready_pids()[0]}"
    assert not d.find("none of this app's")
    d.stop()


def test_java_s_second_port_is_written_as_a_file_takes_it(box, port):
    other = free_port()
    box.config(web=settings(
        *tcp(port, flags=NONBLOCK), f"socket:b:tcp6{NONBLOCK}",
        f"bind:b:[::ffff:127.0.0.1]:{other}", "listen:b:5", "serve:epoll:a",
        port=port))
    d = box.start()
    d.wait_log(rf"asks for 127\.0\.0\.1:{other}, which is taken .*listen = "
               rf"127\.0\.0\.1:{other}")
    d.stop()


# ---- a private service that is public ----

def test_private_address_of_a_command_that_is_served_to_all(box, port):
    run = box.write("run.sh", f"exec {binder('take:a:0', 'serve:epoll')}\n")
    app = settings(port=port, handoff="env")
    app["command"] = f"sh {run} -b 127.0.0.1:{{port}}"
    box.config(web=app)
    d = box.start()
    d.wait_log(rf"its command says 127\.0\.0\.1:{port}, and its workers "
               rf"serve \[::\]:{port}.*listen = 127\.0\.0\.1:{port}")
    d.stop()
    assert len(d.find("its command says")) == 1
    app.update(listen=f"127.0.0.1:{port}")
    del app["port"]
    box.config(web=app)
    d = box.start()
    d.wait_ready(2)
    stays(lambda: not d.find("its command says"), d.log)
    d.stop()


def test_private_address_that_is_bound_late_is_private(box, port):
    """When it counts as ready nobody serves what it was given."""
    go = box.path("go")
    run = box.write("run.sh", "exec " + binder(
        f"until:{go}", *tcp(port, "127.0.0.1"), "serve:epoll") + "\n")
    app = settings(port=port, ready="alive:100ms")
    app["command"] = f"sh {run} -b 127.0.0.1:{port}"
    box.config(web=app)
    d = box.start()
    d.wait_ready(2)
    d.wait_log("is ready and has not bound")     # it has been looked
    box.touch("go")
    d.wait_log(rf"listening on 127\.0\.0\.1:{port} \(as its program")
    stays(lambda: not d.find("its command says"), d.log)
    d.stop()


def test_private_address_that_is_adopted_is_private(box, port):
    run = box.write("run.sh", "exec " + binder(*tcp(port, "127.0.0.1"),
                                               "serve:epoll") + "\n")
    app = settings(port=port)
    app["command"] = f"sh {run} -b 127.0.0.1:{port}"
    box.config(web=app)
    d = box.start()
    d.wait_ready(2)
    stays(lambda: not d.find("its command says"), d.log)
    d.stop()


# ---- each instance its own ----

def test_each_instance_has_its_own_port(box, port):
    base = free_base(4)
    own = f"127.0.0.1:{base}{{instance}}"
    box.config(web=settings(
        *tcp(port, flags=NONBLOCK), f"socket:b:tcp4{NONBLOCK}",
        f"bind:b:{own}", "listen:b:5", "need:a", "need:b", "serve:epoll",
        listen=[port, own], instances=3))
    d = box.start()
    d.wait_ready(3)

    def each_answers(pids):
        for i in range(3):
            answers = [get(("127.0.0.1", base * 10 + i)) for _ in range(4)]
            assert {a.instance for a in answers} == {i}
            assert {a.pid for a in answers} <= set(pids)

    each_answers(d.ready_pids())
    assert is_refused(("127.0.0.1", base * 10 + 3))
    # From the old one to the new one.
    old = d.ready_pids()
    d.send(signal.SIGHUP)
    d.wait_log("reload complete, generation 2")
    wait_until(lambda: not set(d.workers()) & set(old), d.log)
    each_answers(d.ready_pids())
    # One that dies comes back to it.
    first = get(("127.0.0.1", base * 10)).pid
    os.kill(first, signal.SIGKILL)
    d.wait_replaced([first], 3)
    each_answers(d.ready_pids())
    # One more, and one less.
    d.send(signal.SIGTTIN)
    d.wait_log("SIGTTIN: one instance more of each app")
    wait_until(lambda: not is_refused(("127.0.0.1", base * 10 + 3)) and
               get(("127.0.0.1", base * 10 + 3)).instance == 3, d.log)
    d.send(signal.SIGTTOU)
    d.wait_log(rf"no longer listening on 127\.0\.0\.1:{base}3")
    assert not d.find(strerror(errno.EADDRINUSE))
    d.stop()


def test_each_instance_has_its_own_path(box, port):
    path = box.path("app.{instance}.sock")
    box.config(web=settings(
        *tcp(port, flags=NONBLOCK), *unix(path, "b", flags=NONBLOCK),
        "need:b", "serve:epoll", listen=[port, f"unix:{path}"]))
    d = box.start()
    d.wait_ready(2)
    for _ in range(2):
        for i in range(2):
            answer = get(path.replace("{instance}", str(i)))
            assert answer.instance == i
        old = d.ready_pids()
        d.send(signal.SIGHUP)
        d.wait_log("reload complete, generation 2")
        wait_until(lambda: not set(d.workers()) & set(old), d.log)
    d.stop()


def test_own_addresses_are_checked_for_all_instances(box):
    ini = box.path("app.ini")
    box.config(web={"command": "true", "listen": "924{instance}",
                    "instances": 3},
               admin={"command": "true", "listen": "9242"})
    done = box.run("-t", "-c", ini)
    assert done.returncode != 0
    assert "9242 is served already" in done.stderr
    box.config(web={"command": "true", "listen": "924{instance}",
                    "instances": 11})
    done = box.run("-t", "-c", ini)
    assert done.returncode != 0
    assert 'for instance 10: "92410" is not a port' in done.stderr
    box.config(web={"command": "true", "listen": "{worker_id}"})
    assert "{instance} is allowed" in box.run("-t", "-c", ini).stderr
    box.config(web={"command": "true", "listen": "unix:/run/{nonsense}"})
    assert "{nonsense} stands for nothing" in box.run("-t", "-c", ini).stderr
    # What is known is there in the dump, and reads back.
    box.config(web={"command": "true", "port": 80, "listen":
                    "unix:/run/{app}.{env:X}, udp:{port}, 924{instance}"})
    done = box.run("-T", "-c", ini, env={"X": "y"})
    assert "listen = unix:/run/web.y, udp:80, 924{instance}" in done.stdout


def only_first(box, first, others):
    run = box.write("run.sh", f"[ $CLUSTERD_INSTANCE = 0 ] && exec {first}\n"
                    f"exec {others}\n")
    return f"sh {run}"


def test_port_that_the_first_instance_alone_binds(box, port):
    admin = free_port()
    main = tcp(port, flags=NONBLOCK)
    app = settings(listen=[port, admin], instances=3)
    app["command"] = only_first(
        box, binder(*main, *tcp(admin, slot="b", flags=NONBLOCK),
                    "serve:epoll"), binder(*main, "serve:epoll"))
    box.config(web=app)
    d = box.start()
    d.wait_ready(3)
    for _ in range(2):
        wait_until(lambda: not is_refused(admin), d.log)
        for _ in range(20):
            assert get(admin).instance == 0
        first = get(admin).pid
        # Who comes meanwhile waits for the next one.
        os.kill(first, signal.SIGKILL)
        assert get(admin).instance == 0
        d.wait_replaced([first], 3)
        d.send(signal.SIGHUP)
        d.wait_log("reload complete, generation 2")
    d.stop()


# ---- handoff = adopt ----

def reuses(port):
    """Whether a stranger with SO_REUSEADDR gets the port."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def test_adopt_listens_when_a_worker_does(box, port):
    box.config(web=settings(f"until:{box.path('go')}",
                            *tcp(port, "127.0.0.1"), "serve:epoll", port=port,
                            handoff="adopt"))
    d = box.start()
    d.wait_workers(2)
    assert is_refused(port)
    assert not reuses(port)
    assert not d.find("listening on")
    box.touch("go")
    d.wait_ready(2)
    assert get(("127.0.0.1", port)).pid in d.ready_pids()
    # From now on it stays, whoever dies.
    os.unlink(box.path("go"))
    pids = d.ready_pids()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    d.wait_log("killed by signal 9", count=2)
    assert not is_refused(("127.0.0.1", port))
    box.touch("go")
    d.wait_replaced(pids, 2)
    d.send(signal.SIGHUP)
    d.wait_log("reload complete, generation 2")
    assert get(("127.0.0.1", port)).pid
    d.stop()


def test_adopt_holds_a_path_that_refuses(box):
    path = box.path("s")
    box.config(web=settings(f"until:{box.path('go')}", *unix(path),
                            "serve:epoll", listen=f"unix:{path}",
                            handoff="adopt"))
    d = box.start()
    d.wait_workers(2)
    assert os.path.exists(path)
    assert is_refused(path)
    box.touch("go")
    d.wait_ready(2)
    assert get(path).pid in d.ready_pids()
    d.send(signal.SIGHUP)
    d.wait_log("reload complete, generation 2")
    assert get(path).pid
    d.stop()


# ---- UDP ----

def test_port_is_clustered_by_udp_too(box, port):
    box.config(web=settings(
        *tcp(port, "127.0.0.1", flags=NONBLOCK),
        *udp(port, "127.0.0.1", "b", flags=NONBLOCK), "need:b", "serve:epoll",
        port=port))
    d = box.start()
    d.wait_ready(2)
    d.wait_log(rf"listening on udp:127\.0\.0\.1:{port} \(as its program")
    for _ in range(2):
        pids = set()
        wait_until(lambda: pids.add(ask_udp(("127.0.0.1", port)).pid) or
                   len(pids) == 2, d.log)
        assert pids == set(d.ready_pids())
        old = d.ready_pids()
        d.send(signal.SIGHUP)
        d.wait_log("reload complete, generation 2")
        wait_until(lambda: not set(d.workers()) & set(old), d.log)
    assert not d.find(rf"no longer listening on udp:.*{port}")
    d.stop()


def test_who_binds_udp_alone_keeps_what_it_was_given(box, port):
    """As HTTP/3 servers do that take the TCP listener by its number."""
    go = box.path("go")
    box.config(web=settings(
        "take:a:0", "nonblock:a", *udp(port, "127.0.0.1", "b", flags=NONBLOCK),
        "need:b", f"until:{go}", "serve:epoll",
        port=port, ready="alive:100ms"))
    d = box.start()
    d.wait_ready(2)
    d.wait_log(rf"listening on udp:127\.0\.0\.1:{port} \(as its program")
    # Nobody waits on it yet, and it has been looked whether somebody does.
    stays(lambda: not is_refused(port), "it is open")
    box.touch("go")
    assert get(port).pid in d.ready_pids()
    assert ask_udp(("127.0.0.1", port)).pid in d.ready_pids()
    assert not d.find("serves other addresses")
    d.stop()


def test_log_says_what_udp_is_bound_to(box, port):
    box.config(web=settings(*udp(port, "127.0.0.1"), "serve:poll",
                            listen=f"udp:{port}"))
    d = box.start()
    d.wait_log(rf"listening on udp:0\.0\.0\.0:{port} \(for its program's "
               "IPv4 sockets\\)")
    d.wait_log(rf"no longer listening on udp:\[::\]:{port}")
    d.stop()


# ---- what only one may have ----

def test_what_only_one_may_have(box, port):
    lock = box.path("lock")
    run = box.write("run.sh", "mkdir $1 2>/dev/null || { echo already "
                    "running; exit 1; }\nexec " +
                    binder(*tcp(port), "serve:epoll") + "\n")
    app = settings(port=port)
    app["command"] = f"sh {run} {lock}"
    box.config(web=app)
    d = box.start()
    d.wait_log(r"exited with code 1 .*; instance \d lives, and others end at "
               r"once.*\{worker_id\}.*instances = 1 and max_surge = 0")
    assert len(d.find("lives, and others end at once")) == 1
    d.stop()
    app["command"] = f"sh {run} {lock}.{{worker_id}}"
    app["stdout"] = box.path("out.{instance}")
    box.config(web=app)
    d = box.start()
    d.wait_ready(2)
    d.send(signal.SIGHUP)
    d.wait_log("reload complete, generation 2")
    assert os.path.exists(box.path("out.0"))
    assert os.path.exists(box.path("out.1"))
    d.stop()


LOCKS = {
    "flock": "fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)",
    # F_OFD_SETLK: of no process, but of who has the file open.
    "ofd": "fcntl.fcntl(f, 37, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, "
           "0))",
}


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("command", ["python3 {}", 'sh -c "python3 {}; exit 1"'],
                         ids=["bare", "wrapped"])
def test_nobody_is_advised_to_share_what_is_locked(box, port, command, lock):
    other = free_port()
    db = box.write("db.py", f"""
import fcntl, os, socket, struct, time
f = open({box.path('data')!r}, "w")
s = socket.socket()
try:
    s.bind(("127.0.0.1", {other}))
except OSError:
    open({box.path('asked')!r}, "w").close()
    raise
# The lock may come after the bind.
while not os.path.exists({box.path('asked')!r}):
    time.sleep(0.001)
{LOCKS[lock]}
s.listen()
time.sleep(1000)
""")
    # On a busy machine it takes its time until it binds.
    box.config(db={"command": command.format(db), "port": port, "instances": 2,
                   "restart_delay": "10ms", "ready": "alive:2s"})
    d = box.start()
    d.wait_log(rf"asks for 127\.0\.0\.1:{other}, which is taken.*a lock on a "
               "file.*instances = 1")
    assert not d.find(rf"listen = 127\.0\.0\.1:{other}")
    d.stop()


# ---- port finders ----

def finder(port):
    """Tries the port on all addresses, as they do, and serves one of them."""
    steps = []
    for kind, host in (("tcp4", "0.0.0.0"), ("tcp6", "::")):
        steps += [f"socket:t:{kind}",
                  f"bind:t:{'[::]' if ':' in host else host}:{port}",
                  "listen:t:5", "close:t"]
    return steps + tcp(port, "127.0.0.1") + ["serve:epoll:a"]


def test_port_finder_opens_nothing_wider(box, port):
    box.config(web=settings(*finder(port), port=port, handoff="adopt"))
    d = box.start()
    d.wait_ready(2)
    d.wait_log(rf"listening on 127\.0\.0\.1:{port} \(as its program")
    d.send(signal.SIGHUP)
    d.wait_log("reload complete, generation 2")
    first = d.ready_pids()[0]
    os.kill(first, signal.SIGKILL)
    d.wait_replaced([first], 2)
    assert get(("127.0.0.1", port)).pid in d.ready_pids()
    lines = d.find(r"listening on")
    assert len(lines) == 1, lines
    d.stop()
