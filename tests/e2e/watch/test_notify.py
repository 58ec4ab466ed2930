"""sd_notify, both ways: from workers, and to clusterd's own supervisor."""

import errno
import glob
import os
import pwd
import resource
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import urllib.request

import pytest

import words
from harness import (PROBE, ask, free_port, get, is_alive, is_socket, kill,
                     process_state, read_proc, stays, strerror, wait_until)
from supervisors import Supervisor


@pytest.fixture
def supervisor(box):
    with Supervisor(box.path("supervisor")) as s:
        s.env = {"NOTIFY_SOCKET": box.path("supervisor")}
        yield s


@pytest.mark.valgrind
def test_supervisor_is_told_of_start_reload_and_stop(box, supervisor):
    box.web()
    d = box.start(env=supervisor.env)
    supervisor.wait("READY=1")
    supervisor.wait(f"MAINPID={d.keeper}")
    supervisor.wait("STATUS=.+")
    old = d.wait_ready(2)
    get(d.port())

    before = len(supervisor.look())
    d.send(signal.SIGHUP)
    message = supervisor.wait("RELOADING=1", before)
    usec = [line for line in message if line.startswith("MONOTONIC_USEC=")]
    assert len(usec) == 1 and re.fullmatch(r"MONOTONIC_USEC=\d{6,}", usec[0])
    position = supervisor.messages.index(message, before)
    d.wait_replaced(old, 2)
    supervisor.wait("READY=1", position)

    before = len(supervisor.look())
    d.stop()
    supervisor.wait("STOPPING=1", before)


def test_supervisor_that_was_told_of_the_stop_hears_nothing_else(
        box, supervisor):
    """During stop_delay all goes on as before, but for reloads."""
    box.web(clusterd={"stop_delay": "60s"}, restart_delay="10ms")
    d = box.start(env=supervisor.env)
    old = d.wait_ready(2)
    supervisor.wait("READY=1")
    before = len(supervisor.look())
    d.send(signal.SIGTERM)
    supervisor.wait("STOPPING=1", before)
    supervisor.wait("STATUS=going down", before)
    before = len(supervisor.look())
    kill(old[0])
    d.wait_replaced(old[:1], 2)
    d.send(signal.SIGHUP)
    d.wait_log("SIGHUP: going down, no reload")
    for verb in "reload", "update":
        done = box.ctl("-c", box.path("app.ini"), verb,
                       env={"RUNTIME_DIRECTORY": box.dir})
        assert done.returncode == 1
        assert "clusterd is going down" in done.stderr
    assert supervisor.look()[before:] == []
    d.stop()
    assert not supervisor.has("READY=1", before)
    assert not supervisor.has("RELOADING=1", before)


def test_supervisor_is_told_of_a_reload_when_the_new_ones_serve(box,
                                                                supervisor):
    """The old one may have an hour to finish: clusterctl waits for it, the
    supervisor does not."""
    box.web(instances=1, drain_timeout="60s", canary="0")
    d = box.start(env=supervisor.env)
    old, = d.wait_ready(1)
    supervisor.wait("READY=1")
    before = len(supervisor.look())
    with ask(d.port(), "/slow/60000"):
        assert get(d.port()).pid == old
        d.send(signal.SIGHUP)
        supervisor.wait("RELOADING=1", before)
        supervisor.wait("READY=1", before)
        assert is_alive(old)
        kill(old)
    d.stop()


def test_worker_that_reloads_itself_goes_on_to_serve(box):
    box.web(instances=1, ready="notify")
    d = box.start()
    pid, = d.wait_ready(1)
    get(d.port(), "/notify/RELOADING=1")
    stays(lambda: get(d.port()).pid == pid, "it answers", 0.2)
    get(d.port(), "/notify/READY=1")
    assert get(d.port()).pid == pid
    assert len(d.find(words.READY("web"))) == 1
    d.stop()


def test_supervisor_is_told_on_an_abstract_socket_too(box):
    name = f"clusterd-e2e-{box.mark}"
    with Supervisor("\0" + name) as supervisor:
        box.web()
        d = box.start(env={"NOTIFY_SOCKET": "@" + name})
        supervisor.wait("READY=1")
        d.stop()
        supervisor.wait("STOPPING=1")


def test_ready_is_told_when_the_workers_are(box, supervisor):
    box.web("--ready", "file:" + box.path("go"), ready="notify")
    d = box.start(env=supervisor.env)
    box.wait_events("start", 2)
    get(d.port())
    assert not supervisor.has("READY=1")
    box.touch("go")
    supervisor.wait("READY=1")
    d.stop()


def test_ready_is_told_again_after_a_reload_that_was_refused(box, supervisor):
    box.web()
    d = box.start(env=supervisor.env)
    d.wait_ready(2)
    supervisor.wait("READY=1")
    box.write("app.ini", "[web]\nprot = 1\n")
    before = len(supervisor.look())
    d.send(signal.SIGHUP)
    # systemd waits for READY=1 after whatever RELOADING=1 it was sent
    d.wait_log(r"app\.ini:2: prot")
    message = supervisor.wait("RELOADING=1", before)
    message = supervisor.wait(
        "READY=1", supervisor.messages.index(message, before))
    # It is the only place where the outcome of HUP can be seen there.
    assert f"ERRNO={errno.EINVAL}" in message
    supervisor.wait(r"STATUS=2 of 2 instances ready; reload refused: "
                    r"\S*app\.ini:1: command: missing .*", before)
    # … also after whatever happens then, until it is mended.
    before = len(supervisor.look())
    kill(d.ready_pids()[0])
    supervisor.wait(r"STATUS=1 of 2 instances ready; reload refused.*", before)
    d.wait_ready(2)
    box.web()
    before = len(supervisor.look())
    d.send(signal.SIGHUP)
    assert "ERRNO=0" in supervisor.wait("READY=1", before)
    supervisor.wait("STATUS=2 of 2 instances ready", before)
    d.stop()


def test_ready_is_told_again_after_a_reload_that_was_aborted(box, supervisor):
    box.web()
    d = box.start(env=supervisor.env)
    d.wait_ready(2)
    supervisor.wait("READY=1")
    box.web("--exit-after", 0, "--exit-code", 3)
    before = len(supervisor.look())
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_ABORTED("web"))
    message = supervisor.wait("RELOADING=1", before)
    supervisor.wait("READY=1", supervisor.messages.index(message, before))
    d.stop()


def test_workers_do_not_see_the_supervisors_socket(box, supervisor):
    for protocol in ("clusterd", "clusterd systemd"):
        box.web(fd_protocol=protocol, instances=1, ready="alive:50ms")
        d = box.start(env=supervisor.env)
        supervisor.wait("READY=1")
        env = get(d.port(), "/dump").env
        assert env.get("NOTIFY_SOCKET") != supervisor.env["NOTIFY_SOCKET"]
        get(d.port(), "/notify/STATUS=from-a-worker")
        d.stop()
    assert not supervisor.has("STATUS=from-a-worker")


def test_supervisor_that_does_not_read_blocks_nothing(box, supervisor):
    box.web(restart_delay="10ms", restart_delay_max="10ms")
    fill(supervisor.env["NOTIFY_SOCKET"])
    d = box.start(env=supervisor.env)
    old = d.wait_ready(2)
    d.send(signal.SIGHUP)
    d.wait_replaced(old, 2)
    d.stop()


def fill(address):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
        filler.setblocking(False)
        try:
            while True:
                filler.sendto(b"X=1", address)
        except BlockingIOError:
            pass


def test_messages_wait_for_a_supervisor_whose_queue_is_full(box, supervisor):
    box.web()
    address = supervisor.env["NOTIFY_SOCKET"]
    fill(address)
    d = box.start(env=supervisor.env)
    old = d.wait_ready(2)
    d.wait_log("start complete")
    # To look for it makes room for it.
    supervisor.wait("READY=1")
    assert supervisor.messages[0] == ["X=1"]
    supervisor.wait("STATUS=2 of 2 instances ready")
    before = len(supervisor.look())
    fill(address)
    d.send(signal.SIGHUP)
    d.wait_replaced(old, 2)
    d.wait_log(r"web: reload")
    wait_until(lambda: supervisor.has("READY=1", before), "READY=1")
    told = [line for message in supervisor.messages[before:]
            for line in message if line.endswith("G=1") or line == "READY=1"]
    assert told == ["RELOADING=1", "READY=1"]
    before = len(supervisor.look())
    d.stop()
    supervisor.wait("STOPPING=1", before)


def test_status_is_told_when_it_has_changed(box, supervisor):
    box.web(restart_delay="10ms", instances=1)
    d = box.start(env=supervisor.env)
    pid, = d.wait_ready(1)
    supervisor.wait("STATUS=1 of 1 instances ready")
    for _ in range(5):
        os.kill(pid, signal.SIGKILL)
        pid, = d.wait_replaced([pid], 1)
    d.stop()
    told = [line for message in supervisor.look() for line in message
            if line.startswith("STATUS=")]
    assert all(a != b for a, b in zip(told, told[1:])), told


def test_supervisor_that_is_not_there_is_no_reason_to_fail(box):
    box.web()
    d = box.start(env={"NOTIFY_SOCKET": box.path("nobody-home")})
    d.wait_ready(2)
    d.stop()


# --- from workers

def notify_socket_of(pid):
    for entry in read_proc(pid, "environ").split(b"\0"):
        if entry.startswith(b"NOTIFY_SOCKET="):
            return entry.partition(b"=")[2].decode()
    return None


def abstract(name):
    return "\0" + name[1:] if name.startswith("@") else name


def test_ready_of_a_descendant_of_the_worker_counts(box):
    """A shell script says READY=1 through a helper, systemd-notify for one."""
    script = box.write("server", f"#!/bin/sh\n{PROBE} & wait\n", mode=0o755)
    box.web(command=script, ready="notify", instances=1)
    d = box.start()
    d.wait_ready(1)
    d.stop()


def test_worker_cannot_report_ready_for_another_worker(box):
    box.web("--ready", "never", "--only-instance", 0, ready="notify",
            ready_timeout="60s", stop_timeout="200ms")
    d = box.start()
    d.wait_ready(1)
    pid = {e["instance"]: e["pid"] for e in box.wait_events("start", 2)}
    assert d.ready_pids() == [pid["1"]]
    # Stand still, lest it be asked and says READY=1 for itself.
    os.kill(pid["0"], signal.SIGSTOP)
    assert get(d.port(), f"/forge/{pid['0']}").errno == 0
    # Something that is handled after it: the loop takes readiness first.
    os.kill(pid["1"], signal.SIGKILL)
    d.wait_replaced([pid["1"]], 1)
    assert pid["0"] not in d.ready_pids()
    d.stop()


def test_worker_cannot_report_ready_for_another_through_a_dead_child(box):
    """By the time clusterd looks, the sender is not there any more."""
    box.web("--ready", "never", "--only-instance", 0, ready="notify",
            ready_timeout="60s", stop_timeout="200ms")
    d = box.start()
    d.wait_ready(1)
    pid = {e["instance"]: e["pid"] for e in box.wait_events("start", 2)}
    os.kill(pid["0"], signal.SIGSTOP)
    os.kill(d.pid, signal.SIGSTOP)
    wait_until(lambda: process_state(d.pid) == "T", "clusterd stands still")
    assert get(d.port(), f"/forge-dead/{pid['0']}").errno == 0
    os.kill(d.pid, signal.SIGCONT)
    os.kill(pid["1"], signal.SIGKILL)
    d.wait_replaced([pid["1"]], 1)
    assert pid["0"] not in d.ready_pids()
    d.stop()


def test_stranger_cannot_report_ready_for_a_worker(box):
    box.web("--ready", "never", ready="notify", ready_timeout="60s",
            instances=1)
    d = box.start()
    pid = box.wait_events("start")[0]["pid"]
    name = notify_socket_of(pid)
    assert name
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        try:
            s.sendto(b"READY=1", abstract(name))
        except OSError:
            pass                # refused is as good as ignored
    stays(lambda: d.ready_pids() == [], "it is not ready")
    d.stop()


@pytest.mark.parametrize("text", ["READY=0", "READY", "XREADY=1", "READY=1x",
                                  "READY=", "STATUS=READY=1"])
def test_message_that_is_not_ready_1_is_not_readiness(box, text):
    box.web("--ready", "never", ready="notify", ready_timeout="60s",
            instances=1)
    d = box.start()
    box.wait_events("start")
    assert get(d.port(), f"/notify/{text}").errno == 0
    stays(lambda: d.ready_pids() == [], "it is not ready", 0.15)
    get(d.port(), "/notify/READY=1")
    d.wait_ready(1)
    d.stop()


def test_barrier_is_answered(box):
    box.web(instances=1)
    d = box.start()
    d.wait_ready(1)
    assert get(d.port(), "/barrier").errno == 0
    d.stop()


def test_ready_twice_is_logged_once(box):
    box.web(instances=1)
    d = box.start()
    d.wait_ready(1)
    for _ in range(5):
        get(d.port(), "/notify/READY=1")
    d.stop()
    assert len(d.find(words.READY("web"))) == 1


def count_fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.valgrind
def test_flood_of_garbage_with_descriptors_harms_nobody(box):
    box.web("--notify-garbage", 1000, "--only-instance", 0, instances=2,
            restart_delay="10ms", stop_timeout="5s")
    d = box.start()
    d.wait_ready(2)
    victim = [e["pid"] for e in box.events("start")
              if e["instance"] == "1"][0]
    fds = count_fds(d.pid)
    for _ in range(3):
        os.kill(victim, signal.SIGKILL)
        d.wait_replaced([victim], 2, limit=5)
        victim = [e["pid"] for e in box.events("start")
                  if e["instance"] == "1"][-1]
    for _ in range(20):
        get(d.port())
        # What has come with a message is there until it is closed.
        wait_until(lambda: count_fds(d.pid) <= fds + 2,
                   lambda: f"as few as before: {fds}, {count_fds(d.pid)}")
    assert len(d.log()) < 200_000
    d.stop(limit=5)


def test_flood_of_garbage_does_not_hold_up_the_flooder_itself(box):
    box.web("--notify-garbage", 1000, instances=1, restart_delay="10ms")
    d = box.start()
    pid, = d.wait_ready(1)
    kill(pid, signal.SIGKILL)
    d.wait_replaced([pid], 1)
    d.stop(limit=5)


def test_garbage_alone_makes_nobody_ready(box):
    box.web("--ready", "never", "--notify-garbage", 300, ready="notify",
            ready_timeout="60s", instances=1)
    d = box.start()
    box.wait_events("start")
    stays(lambda: d.ready_pids() == [], "it is not ready", 0.5)
    # The queue may still be full of it; sd_notify(3) would wait, too.
    wait_until(lambda: get(d.port(), "/notify/READY=1").errno == 0, "room")
    d.wait_ready(1)
    d.stop()


# --- the file of the socket

# Of the protocol it knows what most who write it by hand do: a path.
PATHS_ONLY = """#!/usr/bin/python3 -IS
import os, signal, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
def end(*_):
    s.sendto(b"STOPPING=1", os.environ["NOTIFY_SOCKET"])
    sys.exit()
signal.signal(signal.SIGTERM, end)
s.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while True:
    signal.pause()
"""


def paths_only(box, **keys):
    box.config(web={"command": box.write("paths-only", PATHS_ONLY, 0o755),
                    "ready": "notify", "instances": 2, **keys},
               clusterd={"log_level": "debug"})


def notify_dirs(box, pattern="notify.*"):
    return glob.glob(box.path(pattern))


def files_of(box):
    return sorted(glob.glob(box.path("notify.*/*")))


@pytest.mark.valgrind
def test_socket_is_a_file_as_long_as_its_worker_lives(box):
    paths_only(box)
    d = box.start()
    pids = d.wait_ready(2)
    names = [notify_socket_of(pid) for pid in pids]
    assert sorted(names) == files_of(box) and all(map(is_socket, names))
    directory, = notify_dirs(box)
    assert stat.S_IMODE(os.lstat(directory).st_mode) == 0o711
    for name in names:
        mode = stat.S_IMODE(os.lstat(name).st_mode)
        # root may become anybody
        assert mode == (0o666 if os.geteuid() == 0 else 0o600)
    os.kill(pids[0], signal.SIGKILL)
    new, = set(d.wait_replaced(pids[:1], 2)) - {pids[1]}
    assert files_of(box) == sorted([names[1], notify_socket_of(new)])
    # Up to the end: what it says while it stops is heard.
    mark = d.mark()
    os.kill(d.keeper, signal.SIGHUP)
    d.wait_log(words.RELOAD_DONE("web", 2))
    d.wait_log("says it is stopping", count=2, start=mark)
    wait_until(lambda: len(files_of(box)) == 2, "those of the new ones")
    d.stop()
    assert notify_dirs(box) == []


def test_socket_of_a_worker_with_a_user(box, as_root):
    paths_only(box, user="nobody", instances=1)
    os.chmod(box.dir, 0o755)
    d = box.start()
    pid, = d.wait_ready(1)
    name = notify_socket_of(pid)
    st = os.lstat(name)
    assert st.st_uid == pwd.getpwnam("nobody").pw_uid
    assert stat.S_IMODE(st.st_mode) == 0o600
    # Nobody else may even try.
    said = subprocess.run(
        [sys.executable, "-ISc", "import os, socket, sys; os.setgroups([]); "
         "os.setresgid(1, 1, 1); os.setresuid(1, 1, 1); socket.socket("
         "socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'READY=1', sys.argv[1])",
         name], capture_output=True, text=True)
    assert "PermissionError" in said.stderr
    d.stop()


def test_want_of_a_descriptor_is_no_want_of_a_directory(
        box, as_root, unwrapped):
    paths_only(box, user="nobody", instances=1, restart_delay="2s",
               restart_delay_max="2s")
    os.chmod(box.dir, 0o755)
    d = box.start()
    pid, = d.wait_ready(1)
    d.kinds_at_rest()
    mark = d.mark()
    kill(pid)
    d.wait_log("restarting in", start=mark)
    d.kinds_at_rest()
    # One is left: for the socket, not for the look whether nobody reaches it.
    limits = resource.prlimit(d.pid, resource.RLIMIT_NOFILE)
    used = {int(n) for n in os.listdir(f"/proc/{d.pid}/fd")}
    free = sorted(set(range(len(used) + 2)) - used)
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (free[1], limits[1]))
    d.wait_log(r"its NOTIFY_SOCKET is an abstract name until its next start: " +
               strerror(errno.EMFILE), start=mark)
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, limits)
    pid, = d.wait_ready(1, limit=20)
    assert not d.find("there is no directory")
    d.send(signal.SIGHUP)
    pid, = d.wait_replaced([pid], 1)
    assert is_socket(notify_socket_of(pid))
    d.stop()


def test_directory_that_others_cannot_reach_is_not_used(box, as_root):
    """Workers that are root may become anybody, and say READY=1 then."""
    for name, mode in (("closed", 0o700), ("temporary", 0o755)):
        os.mkdir(box.path(name), mode)
    box.web("--ready", "now", user="nobody", ready="notify", instances=1,
            command=f"{box.copy(PROBE)}")
    os.chmod(box.dir, 0o755)
    d = box.start(env={"RUNTIME_DIRECTORY": box.path("closed"),
                       "TMPDIR": box.path("temporary")})
    pid, = d.wait_ready(1)
    assert notify_socket_of(pid).startswith(
        box.path("temporary/clusterd-notify."))
    assert glob.glob(box.path("closed/notify.*")) == []
    d.stop()
    assert os.listdir(box.path("temporary")) == []


def test_user_who_cannot_reach_any_directory(box, as_root):
    for name in ("closed", "temporary"):
        os.mkdir(box.path(name), 0o700)
    box.web("--ready", "now", user="nobody", ready="notify", instances=1,
            command=f"{box.copy(PROBE)}")
    os.chmod(box.dir, 0o755)
    d = box.start(env={"RUNTIME_DIRECTORY": box.path("closed"),
                       "TMPDIR": box.path("temporary")})
    pid, = d.wait_ready(1)
    assert notify_socket_of(pid).startswith("@clusterd/")
    d.wait_log("a worker's user may not reach it")
    assert glob.glob(box.path("temporary/clusterd-notify.*/*")) == []
    d.stop()


def test_what_a_killed_clusterd_left_is_removed_by_the_next(box):
    paths_only(box)
    d = box.start()
    d.wait_ready(2)
    left, = notify_dirs(box)
    d.kill_all_of_it()
    wait_until(lambda: not box.survivors(), "its workers die with it")
    assert len(files_of(box)) == 2
    # Others' things are left alone, and so is what a link leads to.
    os.mkdir(box.path("precious"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(box.path("precious/1"))
    os.symlink("precious", box.path("notify.abcdef"))
    box.write("notify.ghijkl", "a file")
    os.mkdir(box.path("notify.mnopqr"))
    box.write("notify.mnopqr/file", "not a socket")
    os.mkdir(box.path("notify.longer-name"))
    d = box.start()
    d.wait_ready(2)
    assert not os.path.exists(left)
    assert is_socket(box.path("precious/1"))
    for name in ("notify.abcdef", "notify.ghijkl", "notify.mnopqr/file",
                 "notify.longer-name"):
        assert os.path.lexists(box.path(name)), name
    # One beside it is alive.
    before = files_of(box)
    paths_only(box)
    os.rename(box.path("app.ini"), box.path("other.ini"))
    other = box.start("-c", "other.ini")
    other.wait_ready(2)
    assert set(before) < set(files_of(box))
    other.send(signal.SIGTERM)
    assert other.wait() == 0
    assert files_of(box) == before
    d.stop()


def test_directory_in_tmp_where_there_is_no_other(box):
    """A container, cron, a user without a session."""
    as_user = []
    if os.geteuid() == 0:
        as_user = ["setpriv", "--reuid", "nobody", "--regid", "nogroup",
                   "--clear-groups"]
        os.chmod(box.dir, 0o777)
    os.mkdir(box.path("tmp"), 0o777)
    os.chmod(box.path("tmp"), 0o1777)
    paths_only(box)
    where = {"RUNTIME_DIRECTORY": "", "TMPDIR": box.path("tmp")}
    d = box.start(env=where, launcher=as_user)
    pids = d.wait_ready(2)
    assert all(notify_socket_of(pid).startswith(
        box.path("tmp/clusterd-notify.")) for pid in pids)
    d.stop()
    assert os.listdir(box.path("tmp")) == []
    # Where others could put theirs in its place, there is none.
    os.chmod(box.path("tmp"), 0o777)
    box.web(ready="notify", instances=1)
    d = box.start(env=where, launcher=as_user)
    pid, = d.wait_ready(1)
    assert notify_socket_of(pid).startswith("@clusterd/")
    line = d.wait_log("abstract name.*")
    assert "others may replace files in" in line[0]
    assert len(d.find("abstract name")) == 1
    # It is not looked for at each start.
    os.chmod(box.path("tmp"), 0o1777)
    kill(pid)
    pid, = d.wait_replaced([pid], 1)
    assert notify_socket_of(pid).startswith("@clusterd/")
    d.stop()


def test_directory_whose_name_is_too_long(box):
    long = box.path("x" * 90)
    os.mkdir(long)
    os.mkdir(box.path("tmp"))
    paths_only(box, instances=1)
    d = box.start(env={"RUNTIME_DIRECTORY": long, "TMPDIR": box.path("tmp")})
    pid, = d.wait_ready(1)
    assert notify_socket_of(pid).startswith(box.path("tmp/"))
    d.stop()


def test_file_that_somebody_removes(box):
    """It is its worker's loss; the next one has another."""
    paths_only(box)
    d = box.start()
    pids = d.wait_ready(2)
    directory, = notify_dirs(box)
    shutil.rmtree(directory)
    mark = d.mark()
    os.kill(pids[0], signal.SIGKILL)
    d.wait_replaced(pids[:1], 2)
    assert len(files_of(box)) == 1 and notify_dirs(box) != [directory]
    assert not d.find("abstract", mark)
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_DONE("web", 2))
    d.stop()
    assert notify_dirs(box) == []


# --- real clients of the protocol

def heard(box, d, count=1):
    return d.wait_log(r"ready after \S+ \(it said READY=1[^)]*\)", count=count,
                      limit=60)


@pytest.mark.skipif(not shutil.which("puma"), reason="needs puma")
def test_puma_says_that_it_is_ready(box):
    """Its sd_notify gem dies of an abstract name."""
    if subprocess.run(["ruby", "-e", "require 'sd_notify'"],
                      capture_output=True).returncode != 0:
        pytest.skip("needs ruby-sd-notify")
    box.write("config.ru", "run ->(env) { [200, {}, ['hello']] }\n")
    port = free_port()
    box.config(web={"command": f"puma -b tcp://127.0.0.1:{port} -t 1:1 "
                    + box.path("config.ru"), "port": port, "instances": 1,
                    "handoff": "adopt", "ready": "notify", "env": "HOME=/"},
               clusterd={"log_level": "debug"})
    d = box.start()
    heard(box, d)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        assert answer.read() == b"hello"
    mark = d.mark()
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_DONE("web", 2), limit=60)
    d.wait_log("says it is stopping", start=mark, limit=30)
    d.stop(limit=30)


@pytest.mark.skipif(not shutil.which("tarantool"), reason="needs tarantool")
def test_tarantool_says_that_it_is_ready(box):
    script = box.write("init.lua", "box.cfg{work_dir=os.getenv('WHERE'), "
                       "log_level=3, memtx_memory=32*1024*1024}\n")
    os.mkdir(box.path("data"))
    box.config(db={"command": f"tarantool {script}", "instances": 1,
                   "ready": "notify", "ready_timeout": "30s",
                   "env": f"WHERE={box.path('data')}"})
    d = box.start()
    heard(box, d)
    d.stop(limit=30)


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_systemd_daemon_of_npm_says_that_it_is_ready(box):
    if subprocess.run(["node", "-e", "require('unix-dgram'), "
                       "require('systemd-daemon')"],
                      capture_output=True).returncode != 0:
        pytest.skip("needs systemd-daemon of npm, in NODE_PATH")
    script = box.write("server.js", "require('systemd-daemon')"
                       ".notify('READY=1'); setInterval(() => {}, 1000)\n")
    box.config(web={"command": f"node {script}", "instances": 1,
                    "ready": "notify", "ready_timeout": "30s"})
    d = box.start(env={"NODE_PATH": os.environ.get("NODE_PATH", "")})
    heard(box, d)
    d.stop(limit=30)


def test_hand_written_client_of_paths_alone(box):
    paths_only(box, ready_timeout="30s")
    d = box.start()
    heard(box, d, 2)
    d.stop()
