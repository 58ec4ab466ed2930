"""Where clusterd's own log goes, and when it cannot."""

import fcntl
import os
import re
import resource
import signal
import socket

import pytest

import words
from harness import free_port, get, probe, wait_until


@pytest.mark.valgrind
def test_usr1_reopens_the_log(box):
    log = box.path("clusterd.log")
    # Shared, because valgrind complains of eBPF on stderr.
    box.web(clusterd={"log": "clusterd.log"}, restart_delay="10ms",
            balance="shared")
    d = box.start()
    d.log_path = log
    wait_until(lambda: os.path.exists(log), "the log")
    pids = d.wait_ready(2)
    os.rename(log, log + ".1")
    d.send(signal.SIGUSR1)
    wait_until(lambda: os.path.exists(log), "the new log")
    os.kill(pids[0], signal.SIGKILL)
    d.wait_log(words.DEATH("web", how=words.KILLED_9))
    d.wait_replaced(pids[:1], 1)
    assert not re.search(words.KILLED_9, open(log + ".1").read())
    d.stop()
    assert d.stderr() == ""


def test_usr1_with_a_log_that_cannot_be_reopened_goes_on(box):
    os.mkdir(box.path("logs"))
    box.web(clusterd={"log": "logs/clusterd.log"})
    d = box.start()
    d.log_path = box.path("logs/clusterd.log")
    wait_until(lambda: os.path.exists(d.log_path), "the log")
    pids = d.wait_ready(2)
    d.log_path = box.path("gone/clusterd.log")
    os.rename(box.path("logs"), box.path("gone"))
    d.send(signal.SIGUSR1)
    os.kill(pids[0], signal.SIGKILL)
    d.wait_replaced(pids[:1], 2)
    d.stop()


def test_usr1_without_a_log_file_is_harmless(box):
    box.web()
    d = box.start()
    pids = d.wait_ready(2)
    d.send(signal.SIGUSR1)
    os.kill(pids[0], signal.SIGKILL)
    d.wait_replaced(pids[:1], 2)
    d.stop()


def test_log_that_cannot_be_opened_at_the_start_is_told(box):
    box.web(clusterd={"log": "nowhere/clusterd.log"})
    done = box.run("-c", "app.ini")
    assert done.returncode in (1, 78)
    assert "nowhere/clusterd.log" in done.stderr
    assert "No such file or directory" in done.stderr
    assert box.events() == []


def test_log_on_a_full_disk_harms_nothing(box):
    box.web(clusterd={"log": "/dev/full"}, restart_delay="10ms",
            listen=f"127.0.0.1:{free_port()}")
    d = box.start()
    old = [e["pid"] for e in box.wait_events("ready", 2)]
    os.kill(old[0], signal.SIGKILL)
    box.wait_events("ready", 3)
    d.send(signal.SIGUSR1)
    d.send(signal.SIGHUP)
    wait_until(lambda: [e["generation"] for e in box.events("ready")]
               .count("2") == 2, "the reload")
    d.stop()


def serving_pid(address, other_than=None):
    """Who answers, once it is not that one."""
    def ask():
        try:
            pid = get(address).pid
        except (OSError, AssertionError):
            return None     # it died with our request
        return pid if pid != other_than else None
    return wait_until(ask, f"an answer of another than {other_than}")


def test_log_beyond_the_limit_of_file_sizes_does_no_harm(box):
    # No --events: the workers have the limit too, and the signal's default.
    box.config(web={"command": probe(), "listen": "127.0.0.1:0",
                    "instances": 1, "restart_delay": "10ms",
                    "restart_delay_max": "10ms"})
    d = box.start()
    d.wait_ready(1)
    port = d.port()
    pid = serving_pid(port)
    limit = os.path.getsize(d.stderr_path) + 100
    resource.prlimit(d.pid, resource.RLIMIT_FSIZE, (limit, limit))
    for _ in range(5):
        os.kill(pid, signal.SIGKILL)
        pid = serving_pid(port, pid)
    assert os.path.getsize(d.stderr_path) <= limit
    d.stop()


def full_pipe():
    r, w = os.pipe()
    fcntl.fcntl(w, fcntl.F_SETFL, os.O_NONBLOCK)
    try:
        while True:
            os.write(w, b"x" * 4096)
    except BlockingIOError:
        pass
    try:
        while True:
            os.write(w, b"x")
    except BlockingIOError:
        pass
    fcntl.fcntl(w, fcntl.F_SETFL, 0)
    return r, w


def test_full_stderr_pipe_blocks_nothing(box):
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}", restart_delay="10ms")
    r, w = full_pipe()
    try:
        d = box.start("-c", box.path("app.ini"), "-l", "debug", stderr=w)
        pids = [e["pid"] for e in box.wait_events("ready", 2)]
        for _ in range(3):
            os.kill(pids[-1], signal.SIGKILL)
            count = len(pids)
            wait_until(lambda: len(box.events("ready")) > count, "a new one")
            pids = [e["pid"] for e in box.events("ready")]
        d.send(signal.SIGHUP)
        wait_until(lambda: [e["generation"] for e in box.events("ready")]
                   .count("2") == 2, "the reload")
        get(port)
        # Nobody may change the description that others share.
        assert not fcntl.fcntl(w, fcntl.F_GETFL) & os.O_NONBLOCK
        d.stop()
    finally:
        os.close(r)
        os.close(w)


def test_stderr_that_nobody_holds_any_more_does_no_harm(box):
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}", restart_delay="10ms")
    r, w = os.pipe()
    d = box.start("-c", box.path("app.ini"), "-l", "debug", stderr=w)
    os.close(w)
    box.wait_events("ready", 2)
    os.close(r)                 # from now on EPIPE, or SIGPIPE
    old = [e["pid"] for e in box.events("ready")]
    os.kill(old[0], signal.SIGKILL)
    box.wait_events("ready", 3)
    d.send(signal.SIGHUP)
    wait_until(lambda: [e["generation"] for e in box.events("ready")]
               .count("2") == 2, "the reload")
    d.stop()


def test_socket_as_stderr_that_nobody_reads_blocks_nothing(box):
    """As under systemd, whose journal socket may be slow."""
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}", restart_delay="10ms")
    a, b = socket.socketpair()
    with a, b:
        b.setblocking(False)
        try:
            while True:
                b.send(b"x" * 4096)
        except BlockingIOError:
            pass
        b.setblocking(True)
        d = box.start("-c", box.path("app.ini"), "-l", "debug",
                      stderr=b.fileno())
        first = box.wait_events("ready", 2)[0]["pid"]
        os.kill(first, signal.SIGKILL)
        box.wait_events("ready", 3)
        assert not fcntl.fcntl(b.fileno(), fcntl.F_GETFL) & os.O_NONBLOCK
        d.stop()


@pytest.mark.valgrind
def test_reader_of_the_log_gets_whole_lines_and_what_was_lost(box):
    # Shared, because valgrind would wait to complain of eBPF.
    box.web(restart_delay="10ms", restart_delay_max="10ms", balance="shared")
    r, w = full_pipe()
    d = box.start("-c", box.path("app.ini"), "-l", "debug", stderr=w)
    os.close(w)
    try:
        box.wait_events("ready", 2)
        fcntl.fcntl(r, fcntl.F_SETFL, os.O_NONBLOCK)
        said = b""

        def read_all():
            nonlocal said
            try:
                while part := os.read(r, 65536):
                    said += part
            except BlockingIOError:
                pass
        read_all()
        os.kill(box.events("ready")[0]["pid"], signal.SIGKILL)
        box.wait_events("ready", 3)
        d.stop()
        read_all()
    finally:
        os.close(r)
    lines = said.lstrip(b"x").decode().splitlines()
    assert lines
    for line in lines:
        assert words.LINE.fullmatch(line), line
    assert any("lost" in line or "dropped" in line for line in lines[:2])


def test_clusterd_ends_when_told_although_it_could_not_tell_anybody(box):
    """No supervisor, no terminal, no reader, no parent that waits."""
    box.web(clusterd={"log": "/dev/full"}, stdout="null", stderr="null",
            listen=f"127.0.0.1:{free_port()}")
    d = box.start(env={"NOTIFY_SOCKET": "/nowhere"})
    box.wait_events("ready", 2)
    d.stop()


@pytest.mark.parametrize("where", ["file", "directory"])
def test_log_does_not_follow_a_strangers_link(box, as_root, where):
    """Who owns the directory could have root write to any file."""
    os.mkdir(box.path("logs"))
    os.mkdir(box.path("elsewhere"))
    box.web(instances=1, clusterd={"log": box.path("logs/clusterd.log")})
    d = box.start()
    d.log_path = box.path("logs/clusterd.log")
    wait_until(lambda: os.path.exists(d.log_path), "the log")
    d.wait_ready(1)
    if where == "file":
        os.rename(d.log_path, box.path("old"))
        link, target = d.log_path, box.touch("elsewhere/secret")
        d.log_path = box.path("old")
    else:
        os.rename(box.path("logs"), box.path("old"))
        link, target = box.path("logs"), box.path("elsewhere")
        d.log_path = box.path("old/clusterd.log")
    os.symlink(target, link)
    os.lchown(link, 65534, 65534)
    d.send(signal.SIGUSR1)
    d.wait_log("cannot open log file [^\n]*; going on with the old one")
    assert all(os.path.getsize(box.path(f"elsewhere/{n}")) == 0
               for n in os.listdir(box.path("elsewhere")))
    # One of root's own is fine.
    os.lchown(link, 0, 0)
    d.send(signal.SIGUSR1)
    wait_until(lambda: any("log reopened" in open(box.path(f"elsewhere/{n}"))
                           .read() for n in
                           os.listdir(box.path("elsewhere"))), "the log there")
    d.stop()


def test_env_file_is_no_strangers_link(box, as_root):
    secret = box.write("secret", "A=1\n")
    os.symlink(secret, box.path("env"))
    box.web(instances=1, env_file=box.path("env"))
    os.lchown(box.path("env"), 65534, 65534)
    done = box.run("-t", "-c", "app.ini")
    assert done.returncode == 78 and "env_file" in done.stderr
    assert f"{box.path('env')} belongs to user 65534" in done.stderr
    os.lchown(box.path("env"), 0, 0)
    assert box.run("-t", "-c", "app.ini").returncode == 0


@pytest.mark.parametrize("config", ["current/app.ini", "./current//app.ini"])
def test_directory_that_was_named_may_be_behind_a_strangers_link(
        box, as_root, config):
    """Who owns the link has the configuration in his hands anyway."""
    os.mkdir(box.path("1"))
    box.write("1/env", "A=1\n")
    box.config("1/app.ini", clusterd={"log": "own.log"}, web={
        "command": probe(), "env_file": "env", "instances": 1})
    os.symlink("1", box.path("current"))
    os.lchown(box.path("current"), 65534, 65534)
    d = box.start("-c", config)
    d.log_path = box.path("1/own.log")
    wait_until(lambda: os.path.exists(d.log_path), "the log")
    d.wait_ready(1)
    d.send(signal.SIGUSR1)
    d.wait_log("log reopened")
    # A link in it that is a stranger's is none of what was named.
    os.rename(d.log_path, box.path("1/secret"))
    os.symlink("secret", d.log_path)
    os.lchown(d.log_path, 65534, 65534)
    d.send(signal.SIGUSR1)
    d.wait_log(r"own\.log: the symbolic link \S+/own\.log belongs to user 65534")
    d.stop()
