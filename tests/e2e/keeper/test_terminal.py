"""A user at a terminal."""

import os
import pty
import signal
import termios

import pytest

from harness import (HAS_KEEPER, children_of, get, kill, process_state,
                     wait_until)

pytestmark = pytest.mark.skipif(not HAS_KEEPER, reason="there is no keeper")

# A shell with job control: clusterd in the foreground, then this goes on.
SHELL = """
import fcntl, os, signal, sys, termios
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.ioctl(fd, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(fd, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    for n in range(3):
        os.dup2(fd, n)
    os.close(fd)
    os.execv(sys.argv[2], sys.argv[2:])
status = os.waitpid(child, 0)[1]
sys.exit(status if os.WIFEXITED(status) else 99)
"""


@pytest.fixture
def terminal(box):
    master, slave = pty.openpty()
    attributes = termios.tcgetattr(slave)
    attributes[3] |= termios.TOSTOP
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    box.web(instances=1, clusterd={"log": "log"},
            **{"stdout": box.path("out"), "stderr": box.path("out")})
    d = box.start(launcher=["/usr/bin/python3", "-ISc", SHELL,
                            os.ttyname(slave)])
    os.close(slave)
    wait_until(lambda: os.path.exists(box.path("log")), "the log")
    d.log_path = box.path("log")
    d.keeper = children_of(d.process.pid)[0]
    d.wait_ready(1)
    yield d, master
    os.close(master)


def test_interrupt_comes_once(box, terminal):
    d, master = terminal
    os.write(master, b"\x03")
    d.wait_end(0)
    assert len(d.find("SIGINT")) == 1


def test_quit_comes_once(box, terminal):
    d, master = terminal
    os.write(master, b"\x1c")
    d.wait_end(0)
    assert len(d.find("SIGQUIT")) == 1


def test_suspended_it_serves_on(box, terminal):
    """The shell has its prompt; clusterd goes on, and takes signals later."""
    d, master = terminal
    pid, = d.ready_pids()
    os.write(master, b"\x1a")
    wait_until(lambda: process_state(d.keeper) == "T", "it is suspended")
    get(d.port())
    kill(pid)
    d.wait_replaced([pid], 1)
    d.send(signal.SIGCONT)
    d.send(signal.SIGTERM)
    d.wait_end(0)


def test_log_on_a_terminal_that_stops_who_writes(box):
    """stty tostop: the supervisor is no process of the foreground."""
    master, slave = pty.openpty()
    attributes = termios.tcgetattr(slave)
    attributes[3] |= termios.TOSTOP
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    box.web(instances=1, stdout=box.path("out"), stderr=box.path("out"))
    d = box.start(launcher=["/usr/bin/python3", "-ISc", SHELL,
                            os.ttyname(slave)])
    said = b""
    while b"start complete" not in said:
        said += os.read(master, 4096)
    d.keeper = children_of(d.process.pid)[0]
    kill(d.pid)
    said = b""
    while b"start complete" not in said:
        said += os.read(master, 4096)
    assert b"killed by signal 9 (SIGKILL)" in said
    wait_until(lambda: process_state(d.pid) == "S", "it is not stopped")
    os.write(master, b"\x03")
    d.wait_end(0)
    os.close(slave)
    os.close(master)
