"""The control socket's file: where it is, who may use it, and how it goes."""

import fcntl
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys

import pytest

import control
import lanes
from control import Client, do, status
from harness import free_port, get, is_socket, kinds, wait_until

ASK = """
import os, socket, sys
path, uid, gid, groups = sys.argv[1], *map(eval, sys.argv[2:])
os.setgroups(groups), os.setresgid(gid, gid, gid), os.setresuid(uid, uid, uid)
s = socket.socket(socket.AF_UNIX)
try:
    s.connect(path)
    s.sendall(b"status\\n")
    s.shutdown(socket.SHUT_WR)
except OSError as e:
    print(e.strerror)
while s and (part := s.recv(65536)):
    sys.stdout.write(part.decode())
"""


def ask_as(path, uid, gid, groups=()):
    """What somebody else gets for a status."""
    return subprocess.run(
        [sys.executable, "-ISc", ASK, path, str(uid), str(gid),
         str(list(groups))], capture_output=True, text=True).stdout


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def named(box, name="app"):
    """The default place, in RUNTIME_DIRECTORY."""
    path = control.place(box)
    assert os.path.basename(path).startswith(name + "-"), path
    return path


# --- who may

def test_socket_is_the_owners_alone(box):
    box.web()
    d = box.start(preexec_fn=lambda: os.umask(0))
    d.wait_ready(2)
    assert mode(control.place(box)) == 0o600
    do(box, "stop")
    d.wait_end(0)


def test_foreign_user_is_refused_by_the_file_and_by_its_credentials(
        box, as_root):
    box.web()
    d = box.start()
    d.wait_ready(2)
    path = control.place(box)
    assert ask_as(path, 65534, 65534).startswith("Permission denied")
    os.chmod(path, 0o666)
    said = ask_as(path, 65534, 65534)
    assert "error denied" in said
    assert "+ " not in said
    d.wait_log("refused pid .* of user 65534")
    # Root's group makes nobody root.
    assert "error denied" in ask_as(path, 65534, 0, [0])
    do(box, "wait")
    d.stop()


def test_members_of_the_control_group_may(box, as_root):
    gid = 54321
    box.web(clusterd={"control_group": gid})
    d = box.start()
    d.wait_ready(2)
    path = control.place(box)
    assert mode(path) == 0o660 and os.lstat(path).st_gid == gid
    for own, groups in ((gid, []), (65534, [gid]), (65534, [1, 2, gid]),
                        (65534, [*range(100, 300), gid])):
        assert ask_as(path, 65534, own, groups).endswith("\nok\n"), own
    assert ask_as(path, 65534, 65534).startswith("Permission denied")
    os.chmod(path, 0o666)
    assert "error denied" in ask_as(path, 65534, 65534, [54320])
    d.stop()


def test_owner_that_is_not_root_may_and_so_may_root(box, as_root):
    box.web(command=lanes.nobodys_probe(box))
    d = box.start(**lanes.as_nobody(box))
    d.wait_ready(2)
    path = control.place(box)
    assert os.lstat(path).st_uid == 65534
    assert ask_as(path, 65534, 65534).endswith("\nok\n")
    assert status(box).one("clusterd")["pid"] == d.keeper
    os.chmod(path, 0o666)
    assert "error denied" in ask_as(path, 65533, 65533)
    d.stop()


def test_workers_get_neither_the_socket_nor_its_clients(box):
    box.web(fd_protocol="clusterd")
    d = box.start()
    d.wait_ready(2)
    with control.client(box) as c:
        c.ask("wait")
        # Born while there is a client.
        c.ask("restart web")
        for pid in status(box).pids():
            found = kinds(pid)
            assert found.count("socket") == 1, found
        assert len(get(d.port(), "/dump").fds) == 4
    d.stop()


# --- where

def test_place_is_named_by_the_files_real_path(box):
    os.mkdir(box.path("a"))
    box.web(name="a/app.ini")
    os.symlink("a", box.path("b"))
    os.symlink("a/app.ini", box.path("other.ini"))
    os.mkdir(box.path("c"))
    box.web(name="c/app.ini")
    d = box.start("-c", "a/app.ini")
    d.wait_ready(2)
    path = named(box)
    for name in ("b/app.ini", "other.ini", "./a/../a/app.ini"):
        done = box.run("-c", name)
        assert done.returncode == 69
        assert f"already running, pid {d.keeper}" in done.stderr
    other = box.start("-c", "c/app.ini")
    other.wait_ready(2)
    found = [n for n in os.listdir(box.dir) if n.endswith(".sock")]
    assert len(found) == 2 and all(n.startswith("app-") for n in found)
    other.send(signal.SIGTERM)
    assert other.wait() == 0
    assert is_socket(path)
    d.stop()
    assert not is_socket(path)


def test_place_of_a_user(box, as_root):
    xdg = box.path("xdg")
    os.mkdir(xdg, 0o700)
    os.chown(xdg, 65534, 65534)
    box.web(command=lanes.nobodys_probe(box))
    d = box.start(env={"RUNTIME_DIRECTORY": "", "XDG_RUNTIME_DIR": xdg},
                  **lanes.as_nobody(box))
    d.wait_ready(2)
    assert mode(f"{xdg}/clusterd") == 0o700
    name, = [n for n in os.listdir(f"{xdg}/clusterd") if n.endswith(".sock")]
    with Client(f"{xdg}/clusterd/{name}") as c:
        assert c.ask("status").ok
    # As at the end of the user's last session.
    shutil.rmtree(f"{xdg}/clusterd")
    d.send(signal.SIGUSR1)
    d.wait_log("is back")
    assert mode(f"{xdg}/clusterd") == 0o700
    with Client(f"{xdg}/clusterd/{name}") as c:
        assert c.ask("status").ok
    d.stop()
    assert os.listdir(f"{xdg}/clusterd") == []


def test_without_any_place_it_goes_on_without_a_socket(box, as_root):
    box.web(command=lanes.nobodys_probe(box))
    d = box.start(env={"RUNTIME_DIRECTORY": ""}, **lanes.as_nobody(box))
    d.wait_ready(2)
    d.wait_log("warning no control socket: .*XDG_RUNTIME_DIR")
    get(d.port())
    d.stop()


def test_explicit_path_and_none(box):
    box.web(clusterd={"control": "here/ctl"})
    os.mkdir(box.path("here"))
    d = box.start()
    d.wait_ready(2)
    with Client(box.path("here/ctl")) as c:
        assert c.ask("status").ok
    # A change has to wait for the next start, and says so.
    box.web(clusterd={"control": "none"})
    with Client(box.path("here/ctl")) as c:
        assert c.ask("reload").ok
    d.wait_log("control: .*next start")
    d.stop()
    d = box.start()
    d.wait_ready(2)
    assert [n for n in os.listdir(box.dir) if n.endswith(".sock")] == []
    assert os.listdir(box.path("here")) == []
    d.stop()


# --- what is there already

def test_file_that_a_killed_clusterd_left_is_taken_over(box):
    box.web(listen=f"127.0.0.1:{free_port()}")
    d = box.start()
    d.wait_ready(2)
    path = control.place(box)
    d.kill_all_of_it()
    wait_until(lambda: not box.survivors(), "its workers die with it")
    assert is_socket(path) and not control.listens(path)
    d = box.start()
    d.wait_ready(2)
    assert control.place(box) == path
    assert status(box).one("clusterd")["pid"] == d.keeper
    d.stop()
    assert not os.path.lexists(path)


def test_second_clusterd_is_told_of_the_first(box):
    box.web()
    d = box.start()
    d.wait_ready(2)
    done = box.run("-c", "app.ini")
    assert done.returncode == 69
    assert f"already running, pid {d.keeper}" in done.stderr
    assert len(box.events("start")) == 2
    do(box, "wait")
    # Even if it is too busy to answer.
    os.kill(d.pid, signal.SIGSTOP)
    done = box.run("-c", "app.ini")
    assert done.returncode == 69 and f"pid {d.keeper}" in done.stderr
    os.kill(d.pid, signal.SIGCONT)
    d.stop()


def test_of_two_that_start_at_the_same_moment_one_lives(box):
    box.web(instances=1, ready="alive:0")
    for turn in range(20):
        if turn % 2:    # with and without a stale file
            with socket.socket(socket.AF_UNIX) as s:
                s.bind(stale)
        both = [box.start(), box.start()]
        wait_until(lambda: any(d.process.poll() is not None for d in both),
                   "the end of one")
        dead = [d for d in both if d.process.poll() is not None]
        alive = [d for d in both if d not in dead]
        assert len(dead) == 1, [d.log() for d in both]
        assert dead[0].process.returncode == 69
        assert f"already running, pid {alive[0].keeper}" in dead[0].log()
        assert status(box).one("clusterd")["pid"] == alive[0].keeper
        stale = control.place(box)
        alive[0].stop()
        assert not os.path.lexists(stale)


@pytest.mark.parametrize("kind", ["file", "directory", "dangling"])
def test_what_is_no_socket_is_left_alone(box, kind):
    path = box.path("ctl")
    if kind == "file":
        box.write("ctl", "precious")
    elif kind == "directory":
        os.mkdir(path)
    else:
        os.symlink("/nowhere", path)
    box.web(clusterd={"control": path})
    done = box.run("-c", "app.ini")
    assert done.returncode == 69 and path in done.stderr
    assert "no socket" in done.stderr
    assert os.path.lexists(path)
    assert not box.events("start")


def test_directory_that_is_not_there(box):
    box.web(clusterd={"control": "nowhere/ctl"})
    done = box.run("-c", "app.ini")
    assert done.returncode == 69
    assert "nowhere/ctl" in done.stderr and "No such file" in done.stderr
    box.web()
    d = box.start(env={"RUNTIME_DIRECTORY": box.path("nowhere")})
    d.wait_log("no control socket")
    d.wait_ready(2)
    d.stop()


def test_directory_that_one_may_not_write_to(box, as_root):
    os.mkdir(box.path("etc"), 0o755)
    box.web(command=lanes.nobodys_probe(box),
            clusterd={"control": box.path("etc/ctl")})
    nobody = lanes.as_nobody(box)
    d = box.start(**nobody)
    d.wait_end(69)
    assert "Permission denied" in d.log() and "etc/ctl" in d.log()
    box.web(command=lanes.nobodys_probe(box))
    d = box.start(env={"RUNTIME_DIRECTORY": box.path("etc")}, **nobody)
    d.wait_log("warning no control socket.*Permission denied")
    d.wait_ready(2)
    d.stop()


def test_directory_that_others_may_write_to_is_not_trusted(box):
    os.mkdir(box.path("tmp"))
    os.chmod(box.path("tmp"), 0o1777)
    box.web()
    d = box.start(env={"RUNTIME_DIRECTORY": box.path("tmp")})
    d.wait_log("no control socket: others may write")
    d.wait_ready(2)
    assert os.listdir(box.path("tmp")) == []
    d.stop()


def test_path_that_is_too_long(box):
    box.web(clusterd={"control": "x" * 120})
    done = box.run("-c", "app.ini")
    assert done.returncode in (69, 78)
    assert "too long" in done.stderr or "107" in done.stderr
    os.mkdir(box.path("y" * 100))
    box.web()
    d = box.start(env={"RUNTIME_DIRECTORY": box.path("y" * 100)})
    d.wait_log("no control socket.*too long")
    d.wait_ready(2)
    d.stop()


def test_file_of_somebody_else_is_not_removed(box):
    box.web()
    d = box.start()
    d.wait_ready(2)
    path = control.place(box)
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        d.stop()
    assert is_socket(path)
    os.unlink(path)
    d = box.start()
    d.wait_ready(2)
    os.unlink(control.place(box))
    d.stop()


def ms_of(line):
    """Of the day, as the log has it."""
    clock, _, ms = line.split()[1].partition(".")
    hours, minutes, seconds = map(int, clock.split(":"))
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + int(ms)


@pytest.mark.parametrize("whose", ["own", "foreign"])
def test_lock_that_somebody_has_does_not_hold_a_running_one_up(
        box, as_root, whose):
    """A start waits for its own kind, for a second at most."""
    box.web()
    d = box.start()
    d.wait_ready(2)
    path = control.place(box)
    lock = os.open(path + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    if whose == "own":
        # As F_OFD_SETLK has it: struct flock of a 64-bit system.
        fcntl.fcntl(lock, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0,
                                          0))
    else:
        os.fchown(lock, 65534, 65534)
    took = []
    for count in range(1, 6):   # of a busy machine, the best
        os.unlink(path)
        d.send(signal.SIGUSR1)
        begun = d.wait_log(r"[^\n]*SIGUSR1: log reopened", count=count)[0]
        ended = d.wait_log(r"[^\n]* is back", count=count)[0]
        took.append(ms_of(ended) - ms_of(begun))
        if took[-1] < 900:
            break
    assert took[-1] < 900, took
    assert os.path.exists(path + ".lock")
    os.close(lock)
    os.unlink(path + ".lock")
    d.stop()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_file_that_was_removed_comes_back(box, number):
    box.web()
    d = box.start()
    d.wait_ready(2)
    path = control.place(box)
    with Client(path) as c:
        os.unlink(path)
        d.send(number)
        wait_until(lambda: is_socket(path), "the file again")
        assert mode(path) == 0o600
        assert status(box).one("clusterd")["pid"] == d.process.pid
        # Whoever was connected still is.
        assert c.ask("status").ok
    do(box, "stop")
    d.wait_end(0)
    assert not os.path.exists(path)


def test_start_that_fails_leaves_no_file(box):
    with socket.create_server(("127.0.0.1", 0)) as s:
        box.web(listen=f"127.0.0.1:{s.getsockname()[1]}")
        assert box.run("-c", "app.ini").returncode == 69
    assert [n for n in os.listdir(box.dir) if n.endswith(".sock")] == []
