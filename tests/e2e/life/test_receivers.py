"""Each protocol that tells of descriptors, against a program that reads it:
IPv4, IPv6, both in one socket, and Unix. With `handoff = env` there is no other
way for them to come to the socket.
"""

import glob
import os
import shlex
import shutil
import signal
import socket
import struct
import subprocess

import pytest

import words
from harness import SLOW, free_port, is_alive, wait_until

PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
SYSTEM_PYTHON = "/usr/bin/python3"
V4, V6 = "127.0.0.1", "::1"


def needs(*programs):
    for program in programs:
        if shutil.which(program, path=PATH) is None:
            pytest.skip(f"needs {program}; `make test-deps` installs it")


class Place:
    """What is listened on, and how clients come there."""

    def __init__(self, box):
        self.port = free_port()
        self.path = box.path("x.sock")

    def listen(self, kind):
        return {"ipv4": f"127.0.0.1:{self.port}", "ipv6": f"[::1]:{self.port}",
                "any4": f"0.0.0.0:{self.port}", "dual": f"{self.port}",
                "pair": f"0.0.0.0:{self.port}, [::]:{self.port}",
                "unix": f"unix:{self.path}"}[kind]

    def addresses(self, kind):
        if kind == "unix":
            return [self.path]
        hosts = {"ipv4": [V4], "ipv6": [V6], "any4": [V4],
                 "dual": [V4, V6], "pair": [V4, V6]}[kind]
        return [(host, self.port) for host in hosts]


def connect(address):
    if isinstance(address, str):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(10 * SLOW)
        s.connect(address)
        return s
    return socket.create_connection(address, 10 * SLOW)


def read_all(s):
    reply = b""
    while part := s.recv(65536):
        reply += part
    return reply


def ask_http(address):
    with connect(address) as s:
        s.sendall(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        reply = read_all(s)
    assert reply.startswith(b"HTTP/1.") and b" 200 " in reply[:16], reply
    return reply


def ask_fastcgi(address):
    """FastCGI's three records for a request to /ping, php-fpm's own page."""
    def record(kind, content):
        return struct.pack(">BBHHBB", 1, kind, 1, len(content), 0, 0) + content
    params = b"".join(
        bytes([len(k), len(v)]) + k + v for k, v in {
            b"SCRIPT_NAME": b"/ping", b"SCRIPT_FILENAME": b"/ping",
            b"REQUEST_METHOD": b"GET"}.items())
    with connect(address) as s:
        s.sendall(record(1, struct.pack(">HB5x", 1, 0)) + record(4, params) +
                  record(4, b"") + record(5, b""))
        reply = read_all(s)
    assert b"pong" in reply, reply


def serve(box, command, kind, ask, protocol, place=None, listen=None, **keys):
    """One of it, and after a reload another one, with the same socket."""
    place = place or Place(box)
    keys = {"command": shlex.join(command), "instances": 1,
            "listen": listen or place.listen(kind), "socket_mode": "0666",
            "handoff": "env", "fd_protocol": protocol, **keys}
    box.config(web=keys)
    d = box.start(env={"PATH": PATH})
    for generation in (1, 2):
        if generation == 2:
            old = d.ready_pids()
            d.send(signal.SIGHUP)
            d.wait_log(words.RELOAD_DONE("web", 2), limit=30)
            wait_until(lambda: not any(map(is_alive, old)), "the old one ends",
                       30)
        d.wait_ready(1, limit=30)
        for address in place.addresses(kind):
            for _ in range(3):
                ask(address)
    return d


# --- php-fpm

def fpm(box, *listens):
    """As usual: one pool for each of its own `listen`."""
    found = glob.glob("/usr/sbin/php-fpm*")
    if not found:
        pytest.skip("needs php-fpm; `make test-deps` installs it")
    pools = "".join(f"[pool{i}]\nlisten = {listen}\npm = static\n"
                    f"pm.max_children = 1\nping.path = /ping\nuser = nobody\n"
                    for i, listen in enumerate(listens))
    box.write("fpm.conf", f"[global]\nerror_log = {box.path('fpm.log')}\n"
              f"daemonize = no\n{pools}")
    return [found[0], "-n", "-R", "-y", box.path("fpm.conf")]


@pytest.mark.parametrize("kind", ["ipv4", "ipv6", "dual", "any4", "unix"])
def test_php_fpm(box, kind):
    p = Place(box)
    own = {"unix": p.path}.get(kind, p.listen(kind))
    d = serve(box, fpm(box, own), kind, ask_fastcgi, "php-fpm", p)
    d.stop(limit=20)
    log = open(box.path("fpm.log")).read()
    assert "using inherited socket fd=3" in log
    assert "Address already in use" not in log


def test_php_fpm_with_several_pools(box):
    a, b = Place(box), Place(box)
    command = fpm(box, a.path, f"127.0.0.1:{a.port}", f"[::1]:{b.port}")
    d = serve(box, command, "unix", ask_fastcgi, "php-fpm", a,
              listen=f"127.0.0.1:{a.port}, [::1]:{b.port}, unix:{a.path}")
    ask_fastcgi((V4, a.port))
    ask_fastcgi((V6, b.port))
    d.stop(limit=20)


# --- Server::Starter

PSGI = "sub { [200, [], ['served']] }\n"


@pytest.mark.parametrize("kind", ["ipv4", "any4", "unix"])
def test_starlet(box, kind):
    """Takes any TCP socket for IPv4."""
    needs("plackup", "start_server")
    app = box.write("app.psgi", PSGI)
    serve(box, ["plackup", "-s", "Starlet", app], kind, ask_http,
          "server-starter").stop(limit=20)


@pytest.mark.parametrize("kind", ["ipv4", "any4"])
def test_starman(box, kind):
    """Takes any socket for IPv4."""
    needs("starman", "start_server")
    app = box.write("app.psgi", PSGI)
    serve(box, ["starman", "--workers", "1", app], kind, ask_http,
          "server-starter", stop_signal="QUIT").stop(limit=20)


def h2o_listen(kind, p):
    return {"ipv4": f"{{host: 127.0.0.1, port: {p.port}}}",
            "ipv6": f'{{host: "::1", port: {p.port}}}',
            "pair": f"{p.port}",
            "unix": f"{{type: unix, port: {p.path}}}"}[kind]


@pytest.mark.parametrize("kind", ["ipv4", "ipv6", "pair", "unix"])
def test_h2o(box, kind):
    """Its bare port is two sockets."""
    needs("h2o")
    p = Place(box)
    box.write("index.html", "served\n")
    box.write("h2o.conf", f"listen: {h2o_listen(kind, p)}\n"
              f"hosts: {{default: {{paths: {{/: {{file.dir: {box.dir}}}}}}}}}\n"
              + ("user: root\n" if os.geteuid() == 0 else ""))
    serve(box, ["h2o", "-c", box.path("h2o.conf")], kind, ask_http,
          "server-starter", p).stop(limit=20)


def test_server_starter_has_no_word_for_both_in_one_socket(box):
    box.config(web={"command": "true", "port": 8080, "handoff": "env",
                    "fd_protocol": "server-starter"})
    done = box.run("-t", "-c", "app.ini")
    assert done.returncode == 78
    assert "app.ini:3: port: " in done.stderr
    assert "listen = 0.0.0.0:8080 is allowed" in done.stderr


# --- nginx

@pytest.mark.parametrize("kind", ["ipv4", "ipv6", "any4", "dual", "pair",
                                  "unix"])
def test_nginx(box, kind):
    needs("nginx")
    p = Place(box)
    listens = {"dual": [f"[::]:{p.port} ipv6only=off"],
               "pair": [f"{p.port}", f"[::]:{p.port}"]}.get(
                   kind, [p.listen(kind)])
    box.write("nginx.conf", "daemon off;\npid pid;\nevents {\n}\nhttp {\n"
              "access_log off;\nclient_body_temp_path a;\n"
              "proxy_temp_path b;\nfastcgi_temp_path c;\n"
              "uwsgi_temp_path d;\nscgi_temp_path e;\nserver {\n" +
              "".join(f"listen {x};\n" for x in listens) +
              "location / {\nreturn 200 served;\n}\n}\n}\n")
    command = ["sh", "-c", "d=$(mktemp -d -p .) && cp nginx.conf $d && "
               "exec nginx -p $d -e error.log -c nginx.conf"]
    d = serve(box, command, kind, ask_http, "nginx", p)
    d.stop(limit=20)
    assert "using inherited sockets" in d.log() or any(
        "using inherited sockets" in open(os.path.join(root, "error.log"))
        .read() for root, _, files in os.walk(box.dir)
        if "error.log" in files)


# --- systemd, by its own library

SYSTEMD = """
import selectors
import socket
from systemd.daemon import listen_fds_with_names, notify
s = selectors.DefaultSelector()
for fd, name in listen_fds_with_names().items():
    x = socket.socket(fileno=fd)
    x.setblocking(False)
    s.register(x, selectors.EVENT_READ, name)
notify("READY=1")
while True:
    for key, _ in s.select():
        try:
            c, _ = key.fileobj.accept()
        except BlockingIOError:
            continue
        c.settimeout(10)
        c.recv(65536)
        c.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n%d %s" % (
            key.fd, key.data.encode()))
        c.close()
"""


def needs_systemd():
    if subprocess.run([SYSTEM_PYTHON, "-c", "import systemd.daemon"],
                      capture_output=True).returncode:
        pytest.skip("needs python3-systemd; `make test-deps` installs it")


@pytest.mark.parametrize("kind", ["ipv4", "ipv6", "dual", "unix"])
def test_systemd(box, kind):
    needs_systemd()
    box.write("server.py", SYSTEMD)
    serve(box, [SYSTEM_PYTHON, "server.py"], kind, ask_http, "systemd").stop()


def test_systemd_has_the_names_and_the_order_of_the_file(box):
    needs_systemd()
    a, b = Place(box), Place(box)
    box.write("server.py", SYSTEMD)
    d = serve(box, [SYSTEM_PYTHON, "server.py"], "unix", ask_http, "systemd",
              a, listen=f"https=127.0.0.1:{a.port}, unix:{a.path}, "
              f"admin=[::1]:{b.port}")
    assert ask_http((V4, a.port)).endswith(b"\r\n3 https")
    assert ask_http(a.path).endswith(b"\r\n4 web")
    assert ask_http((V6, b.port)).endswith(b"\r\n5 admin")
    d.stop()


# --- einhorn

EINHORN = """
import os
import socket
# As its clients do, who believe nothing of it otherwise.
assert os.getppid() == int(os.environ["EINHORN_MASTER_PID"])
assert os.environ["EINHORN_CHILD_INDEX"] == os.environ["CLUSTERD_INSTANCE"]
assert int(os.environ["EINHORN_FD_COUNT"]) == 1
family = getattr(socket, os.environ.get("EINHORN_FD_FAMILY_0", "AF_INET"))
s = socket.socket(family, fileno=int(os.environ["EINHORN_FD_0"]))
assert s.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN) == family
while True:
    c, _ = s.accept()
    c.recv(65536)
    c.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\nserved")
    c.close()
"""


@pytest.mark.parametrize("kind", ["ipv4", "ipv6", "dual", "unix"])
def test_einhorn(box, kind):
    box.write("server.py", EINHORN)
    serve(box, [SYSTEM_PYTHON, "server.py"], kind, ask_http, "einhorn").stop()
