"""Datagram servers that have a socket for each client."""

import os
import shlex
import shutil
import socket
import sys
import time

import pytest

import harness
import preloads
import words
from harness import free_port

CONNECTS = """
import os, socket, sys
host, port = sys.argv[1], int(sys.argv[2])
while True:
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET,
                      socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((host, port))
    _, peer = s.recvfrom(65536, socket.MSG_PEEK)
    s.connect(peer)
    if os.fork() == 0:
        while True:
            s.send(b"%d %d " % (os.getppid(), os.getpid()) + s.recv(65536))
    s.close()
"""

# One that keeps its first socket for newcomers.
BESIDE = """
import os, socket, sys, threading
host, port = sys.argv[1], int(sys.argv[2])
def bound():
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET,
                      socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((host, port))
    return s
def serve(s, first):
    while True:
        s.send(b"%d %d " % (os.getpid(), s.fileno()) + first)
        first = s.recv(65536)
door = bound()
while True:
    data, peer = door.recvfrom(65536)
    s = bound()
    s.connect(peer)
    threading.Thread(target=serve, args=(s, data), daemon=True).start()
"""


class Client:
    def __init__(self, port, host="127.0.0.1"):
        self.s = socket.socket(socket.AF_INET6 if ":" in host
                               else socket.AF_INET, socket.SOCK_DGRAM)
        self.s.settimeout(10 * harness.SLOW)
        self.s.connect((host, port))
        self.n = 0

    def ask(self):
        """Who answers: the worker, and its socket or child."""
        self.n += 1
        worker, part, n = self.insist(b"%d" % self.n).split()
        assert int(n) == self.n
        return int(worker), int(part)

    def insist(self, data):
        """Between its connect and its next bind nobody is there, with clusterd
        or without."""
        deadline = time.monotonic() + 10 * harness.SLOW
        while True:
            try:
                self.s.send(data)
                return self.s.recv(65536)
            except ConnectionRefusedError:
                assert time.monotonic() < deadline and self.n == 1
                time.sleep(0.005)


def start(box, source, port, host, env=None, **keys):
    box.write("server.py", source)
    box.config(web={"command": shlex.join([sys.executable, "-S", "server.py",
                                           host, str(port)]),
                    "listen": f"udp:{harness_join(host, port)}"
                    if host not in ("0.0.0.0", "::") else f"udp:{port}",
                    "instances": 1, **keys})
    return box.start(env=env)


def harness_join(host, port):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# What one has connected, others cannot share.
@pytest.mark.parametrize("source, instances, balance", [
    *(pytest.param(source, instances, balance,
                   id=f"{name}-{instances}-{balance}")
      for name, source in (("connects", CONNECTS), ("beside", BESIDE))
      for instances, balance in ((1, "auto"), (3, "auto"), (3, "source"))),
    pytest.param(BESIDE, 3, "shared", id="beside-3-shared")])
@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "::"])
def test_every_client_is_served(box, source, host, instances, balance):
    port = free_port(socket.SOCK_DGRAM)
    d = start(box, source, port, host, instances=instances, balance=balance)
    pids = set(d.wait_ready(instances))
    to = "127.0.0.1" if host != "::" else "::1"
    clients = [Client(port, to) for _ in range(12)]
    who = [c.ask() for c in clients]
    # Each has a child, or a socket, to itself, and keeps it.
    assert len(set(who)) == 12
    assert {worker for worker, _ in who} <= pids
    for _ in range(3):
        assert [c.ask() for c in clients] == who
    d.stop()


# Very much to look at, once it has bound its first socket.
MANY = CONNECTS.replace("    s.bind((host, port))\n", """    s.bind((host, port))
    if many is None:
        many = [os.open("/dev/null", os.O_RDONLY) for _ in range(most - 100)]
""").replace("while True:\n    s =", """import resource
most = min(40000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
many = None
while True:
    s =""")


IOCTL = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>
int ioctl(int fd, unsigned long what, ...)
{
	int (*next)(int, unsigned long, void *) = dlsym(RTLD_NEXT, "ioctl");
	int code = 0;
	va_list ap;
	void *arg;

	va_start(ap, what);
	arg = va_arg(ap, void *);
	va_end(ap);
	%s
	return code == 0 ? next(fd, what, arg) : code;
}
"""

# As if the worker got no time to take a socket.
LATE = IOCTL % """
	if (what == SECCOMP_IOCTL_NOTIF_ADDFD && access("%s", F_OK) == 0) {
		errno = EINTR;
		return -1;
	}
"""

# The supervisor has no time to say that it has placed one.
KILLED = IOCTL % """
	if (what == SECCOMP_IOCTL_NOTIF_ADDFD && access("%s", F_OK) == 0) {
		code = next(fd, what, arg);
		unlink("%s");
		kill(getpid(), SIGKILL);
	}
"""


@preloads.needed
def test_worker_without_time_to_take_its_socket_takes_it_later(box):
    """And none else: somebody may wait in that one."""
    port = free_port(socket.SOCK_DGRAM)
    hold = box.path("hold")
    d = start(box, MANY, port, "127.0.0.1", env={
        "LD_PRELOAD": preloads.of_source(box, box.path("late.so"),
                                         LATE % hold)})
    worker, = d.wait_ready(1)
    first, second = Client(port), Client(port)
    box.touch("hold")
    assert first.ask()[0] == worker
    # Until the next socket is there; and then that cannot be placed.
    second.s.settimeout(0.3)
    second.n = 1
    with pytest.raises(TimeoutError):
        second.insist(b"1")
    os.unlink(hold)
    second.s.settimeout(10 * harness.SLOW)
    assert int(second.s.recv(100).split()[0]) == worker
    d.stop()


# Its second socket is its own, and is bound once more, as after a signal.
BINDS_AGAIN = BESIDE.replace("door = bound()\n", """door = bound()
open("kill", "w").close()
s = bound()
s.bind((host, port))
s.close()
""")


@preloads.needed
def test_own_socket_is_bound_though_the_supervisor_was_killed(box):
    """Between its place and the answer: to the next one it is bound already."""
    port = free_port(socket.SOCK_DGRAM)
    path = box.path("kill")
    d = start(box, BINDS_AGAIN, port, "127.0.0.1", env={
        "LD_PRELOAD": preloads.of_source(box, box.path("kills.so"),
                                         KILLED % (path, path))})
    worker, = d.wait_ready(1)
    d.wait_log(r"supervisor pid \d+: killed by signal 9")
    assert [Client(port).ask()[0] for _ in range(2)] == [worker, worker]
    assert not d.find(words.DEATH("web"))
    d.stop()


def test_who_connects_what_all_share_is_told_so(box):
    """The others have the connected socket too: all is answered, by any."""
    port = free_port(socket.SOCK_DGRAM)
    d = start(box, CONNECTS, port, "127.0.0.1", instances=3, balance="shared")
    d.wait_ready(3)
    clients = [Client(port) for _ in range(12)]
    for _ in range(3):
        for c in clients:
            c.ask()
    d.wait_log("has connected the socket that all workers share")
    assert len(d.find("has connected the socket")) == 1
    d.stop()


@pytest.mark.skipif(shutil.which("socat") is None, reason="needs socat")
@pytest.mark.parametrize("instances", [1, 2])
def test_socat_serves_every_client(box, instances):
    port = free_port(socket.SOCK_DGRAM)
    box.write("echo.sh", "while read x; do echo $$ $x; done\n")
    box.config(web={
        "command": f"socat -t 5 UDP4-LISTEN:{port},fork,reuseaddr "
        "'EXEC:sh echo.sh'",
        "listen": f"udp:{port}", "instances": instances})
    d = box.start()
    d.wait_ready(instances)
    clients = [Client(port) for _ in range(8)]
    for c in clients:
        c.n = 1
    answers = []
    for turn in range(2):
        for i, c in enumerate(clients):
            child, said = c.insist(b"%d-%d\n" % (i, turn)).split()
            c.n += 1
            assert said == b"%d-%d" % (i, turn)
            answers.append(int(child))
    assert answers[:8] == answers[8:] and len(set(answers)) == 8
    d.stop()
