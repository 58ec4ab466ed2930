"""A HUP that a terminal sends when it goes is no reload."""

import os
import pty
import signal
import socket

import words
from harness import SLOW, children_of, wait_until

# A session with the terminal as its own; then what it is to be.
SESSION = """
import fcntl, os, signal, sys, termios
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.ioctl(fd, termios.TIOCSCTTY, 0)
os.close(fd)
"""
ALONE = SESSION + "os.execv(sys.argv[2], sys.argv[2:])"
NOHUP = SESSION + """
signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.execv(sys.argv[2], sys.argv[2:])
"""
# A shell tells its jobs, and ends.
SHELL = SESSION + """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
    os.execv(sys.argv[2], sys.argv[2:])
signal.sigwait([signal.SIGHUP])
os.kill(child, signal.SIGHUP)
os.waitpid(child, 0)
"""


def start(box, how):
    box.web(instances=1)
    master, slave = pty.openpty()
    d = box.start(launcher=["/usr/bin/python3", "-ISc", how,
                            os.ttyname(slave)])
    os.close(slave)
    if how == SHELL:
        wait_until(lambda: children_of(d.process.pid), "the shell's child")
        d.keeper = children_of(d.process.pid)[0]
    d.wait_ready(1)
    return d, master


def test_hangup_of_the_terminal_is_a_stop(box):
    d, master = start(box, ALONE)
    os.close(master)
    d.wait_end(0)
    assert "the terminal is gone" in d.log()


def test_signal_after_the_hangup_kills_nobody(box):
    d, master = start(box, ALONE)
    with socket.create_connection(("127.0.0.1", d.port())) as s:
        s.settimeout(15 * SLOW)
        s.sendall(b"GET /slow/800 HTTP/1.0\r\n\r\n")
        box.wait_events("slow")
        os.close(master)
        d.wait_log("the terminal is gone")
        d.send(signal.SIGTERM)
        assert s.recv(1)
    d.wait_end(0)


def test_hangup_that_a_shell_passes_on_is_a_stop(box):
    d, master = start(box, SHELL)
    os.close(master)
    d.wait_end(0)
    assert "the terminal is gone" in d.log()


def test_under_nohup_it_lives_on_and_reloads(box):
    d, master = start(box, NOHUP)
    os.close(master)
    old = d.ready_pids()
    mark = d.mark()
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_DONE("web"), start=mark)
    d.wait_replaced(old, 1)
    d.stop()


def test_hup_by_hand_is_a_reload(box):
    d, master = start(box, ALONE)
    old = d.ready_pids()
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_DONE("web"))
    d.wait_replaced(old, 1)
    d.stop()
    os.close(master)
