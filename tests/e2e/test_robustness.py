"""Things that go wrong around clusterd, and do not bring it down."""

import fcntl
import os
import resource
import signal
import socket
import subprocess

import pytest

import words
from harness import (CLUSTERD, PROBE, free_port, get, is_alive, probe,
                     process_state, status_field, wait_until)

# --- workers that stand still


def test_stopped_worker_blocks_nothing_and_is_killed_in_the_end(box):
    box.web(instances=3, restart_delay="10ms", stop_timeout="300ms")
    d = box.start()
    pids = d.wait_ready(3)
    os.kill(pids[0], signal.SIGSTOP)
    os.kill(pids[1], signal.SIGKILL)
    d.wait_replaced(pids[1:2], 3)
    d.stop()
    assert not is_alive(pids[0])


def test_worker_that_stops_itself_again_and_again_is_killed(box):
    box.web("--ignore-term", instances=1, stop_timeout="300ms")
    d = box.start()
    pid, = d.wait_ready(1)
    d.send(signal.SIGTERM)
    box.wait_events("signal 15")
    os.kill(pid, signal.SIGSTOP)
    d.wait_end(0)


def test_stopped_worker_can_end_in_good_order(box):
    """It is continued to hear the signal, as systemd does."""
    box.web(stop_timeout="60s")
    d = box.start()
    for pid in d.wait_ready(2):
        os.kill(pid, signal.SIGSTOP)
    d.stop()
    assert len(box.events("signal 15")) == 2


def test_stopped_worker_does_not_hold_up_a_reload(box):
    box.web(stop_timeout="300ms")
    d = box.start()
    old = d.wait_ready(2)
    for pid in old:
        os.kill(pid, signal.SIGSTOP)
    d.send(signal.SIGHUP)
    d.wait_replaced(old, 2)
    d.wait_workers(2)
    d.stop()


def test_stopped_new_worker_aborts_the_reload(box):
    box.web()
    d = box.start()
    old = d.wait_ready(2)
    box.web("--ready", "never", ready="notify", ready_timeout="500ms",
            stop_timeout="200ms")
    d.send(signal.SIGHUP)
    canary = box.wait_events("start", 3)[2]["pid"]
    os.kill(canary, signal.SIGSTOP)
    d.wait_log(words.RELOAD_ABORTED("web"))
    assert d.wait_workers(2) == sorted(old, key=d.workers().index)
    d.stop()


def test_stop_of_a_stopped_clusterds_workers_works_after_cont(box):
    """A supervisor that slept (SIGSTOP, a suspended machine) catches up."""
    box.web(restart_delay="10ms")
    d = box.start()
    pids = d.wait_ready(2)
    d.send(signal.SIGSTOP)
    wait_until(lambda: process_state(d.pid) == "T", "clusterd stands still")
    get(d.port())               # never in the data path
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    d.send(signal.SIGCONT)
    d.wait_replaced(pids, 2)
    d.stop()


# --- the log

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


def test_log_that_cannot_be_opened_at_the_start_is_told(box):
    box.web(clusterd={"log": "nowhere/clusterd.log"})
    done = box.run("-c", "app.ini")
    assert done.returncode in (1, 78)
    assert "nowhere/clusterd.log" in done.stderr
    assert "No such file or directory" in done.stderr
    assert box.events() == []


# --- resources

def limited(uid):
    """Become this user, with room for three processes."""
    def become():
        resource.setrlimit(resource.RLIMIT_NPROC, (3, 100))
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    return become


def raise_nproc(d, uid):
    """As that user: root may not, where it lacks CAP_SYS_RESOURCE."""
    subprocess.run(
        ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups",
         "prlimit", f"--pid={d.pid}", "--nproc=100:100"], check=True)


def test_full_process_table_is_survived(box, as_root, unwrapped):
    """As a user of its own, since root is exempt from RLIMIT_NPROC."""
    uid = 1_000_000 + os.getpid()
    program = box.copy(CLUSTERD)
    box.copy(PROBE)
    box.write("events", "", mode=0o666)
    box.web(command=probe("--events", box.events_path,
                          program=box.path("probe")),
            instances=4, restart_delay="20ms", restart_delay_max="50ms")
    d = box.start(program=program, preexec_fn=limited(uid))
    d.wait_log("Resource temporarily unavailable", count=2)
    d.wait_ready(2)
    assert d.pids_that_answer(d.port(), 2) == set(d.ready_pids())
    raise_nproc(d, uid)
    d.wait_ready(4)
    assert d.pids_that_answer(d.port(), 4) == set(d.ready_pids())
    d.stop()


def test_full_process_table_does_not_stop_a_reload_from_aborting(
        box, as_root, unwrapped):
    uid = 2_000_000 + os.getpid()
    program = box.copy(CLUSTERD)
    box.copy(PROBE)
    box.write("events", "", mode=0o666)
    box.web(command=probe("--events", box.events_path,
                          program=box.path("probe")))
    d = box.start(program=program, preexec_fn=limited(uid))
    old = d.wait_ready(2)
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_ABORTED("web"))
    assert d.ready_pids() == old
    raise_nproc(d, uid)
    d.send(signal.SIGHUP)
    d.wait_replaced(old, 2)
    d.stop()


def test_too_few_descriptors_are_survived(box, unwrapped):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < 1000:
        pytest.skip("needs RLIMIT_NOFILE of 1000")
    box.web(instances=40, restart_delay="20ms", restart_delay_max="50ms")
    d = box.start(preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_NOFILE, (30, 30)))
    d.wait_log("Too many open files", count=2)
    wait_until(lambda: d.ready_pids(), "a worker")
    get(d.port())
    assert d.process.poll() is None
    try:
        resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (1000, 1000))
    except PermissionError:     # no CAP_SYS_RESOURCE
        pass
    else:
        d.wait_ready(40, limit=20)
    d.stop()


def test_too_few_descriptors_do_not_break_stop_and_reload(box, unwrapped):
    """With none left at all, made while it runs."""
    box.web(restart_delay="20ms", restart_delay_max="50ms")
    d = box.start()
    old = d.wait_ready(2)
    used = len(os.listdir(f"/proc/{d.pid}/fd"))
    limits = resource.prlimit(d.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (used, limits[1]))
    start = d.mark()
    d.send(signal.SIGHUP)
    d.wait_log("Too many open files", start=start)
    assert d.process.poll() is None
    get(d.port())
    os.kill(old[0], signal.SIGKILL)
    d.wait_log(words.DEATH("web", how=words.KILLED_9))
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, limits)
    d.wait_ready(2)
    d.stop()


def test_descriptors_do_not_leak_over_restarts_and_reloads(box):
    box.web(restart_delay="5ms", restart_delay_max="5ms")
    d = box.start()
    pids = d.wait_ready(2)

    def fds():
        return sorted(os.readlink(f"/proc/{d.pid}/fd/{fd}").split(":")[0]
                      for fd in os.listdir(f"/proc/{d.pid}/fd"))
    # The first reload needs lanes for old and new workers, which stay open for
    # the next ones.
    for generation in range(2, 7):
        if generation == 3:
            d.wait_workers(2)
            before = fds()
        os.kill(pids[0], signal.SIGKILL)
        pids = d.wait_replaced(pids[:1], 2)
        d.send(signal.SIGHUP)
        d.wait_log(words.RELOAD_DONE("web", generation))
        pids = d.wait_replaced(pids, 2)
    d.wait_workers(2)
    wait_until(lambda: fds() == before,
               lambda: f"as many descriptors as before: {before}, {fds()}")
    d.stop()


def test_memory_does_not_grow_over_restarts_and_reloads(box, unwrapped):
    box.web(restart_delay="2ms", restart_delay_max="2ms", restart_reset="1h")
    d = box.start()
    pids = d.wait_ready(2)

    def work(rounds):
        nonlocal pids
        for _ in range(rounds):
            d.send(signal.SIGHUP)
            pids = d.wait_replaced(pids, 2)
        d.wait_workers(2)
        return int(status_field(d.pid, "VmData").split()[0])
    warm = work(10)
    assert work(20) <= warm + 64    # KiB; allocators round up
    d.stop()


# --- more hostility

@pytest.mark.valgrind
def test_storm_of_deaths_is_survived(box):
    box.web(instances=20, restart_delay="5ms", restart_delay_max="20ms")
    d = box.start()
    for _ in range(5):
        pids = d.wait_ready(20)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        d.wait_replaced(pids, 20)
    get(d.port())
    d.stop()


@pytest.mark.valgrind
def test_storm_of_signals_is_survived(box):
    box.web(restart_delay="5ms", restart_delay_max="20ms")
    d = box.start()
    d.wait_ready(2)
    for _ in range(30):
        for name in ("HUP", "USR1", "USR2", "TTIN", "TTOU", "CHLD", "WINCH"):
            d.send(getattr(signal, f"SIG{name}"))
    wait_until(lambda: int(status_field(d.pid, "ShdPnd"), 16) == 0,
               "the signals are taken")
    get(d.port())
    d.stop()


def test_worker_that_forks_children_that_die_at_once_costs_nothing(box):
    script = box.write(
        "server", "#!/bin/sh\ni=0\nwhile [ $i -lt 300 ]; do\n"
        f"(true &)\ni=$((i + 1))\ndone\nexec {PROBE}\n", mode=0o755)
    box.web(command=script, instances=2)
    d = box.start()
    pids = d.wait_ready(2, limit=20)
    wait_until(lambda: sorted(d.children()) == sorted(pids),
               "all orphans are reaped")
    d.stop()


def test_worker_of_another_user_cannot_kill_clusterd(box, as_root):
    program = box.copy(PROBE)
    box.web(command=f"/bin/sh -c 'kill -9 $PPID; exec {program}'",
            user="nobody", instances=1)
    d = box.start()
    d.wait_ready(1)
    d.stop()


def test_renamed_configuration_directory_does_no_harm(box):
    os.mkdir(box.path("etc"))
    box.web(name="etc/app.ini", restart_delay="10ms")
    d = box.start("-c", box.path("etc/app.ini"))
    pids = d.wait_ready(2)
    os.rename(box.path("etc"), box.path("gone"))
    d.send(signal.SIGHUP)
    d.wait_log("No such file or directory")
    os.kill(pids[0], signal.SIGKILL)
    # Its working directory, the file's, is another name of the same place.
    d.wait_replaced(pids[:1], 2)
    d.stop()


def test_configuration_that_is_not_a_file_is_refused_and_does_not_hang(box):
    os.mkfifo(box.path("fifo"))
    for name in (".", "fifo", "/dev/zero"):
        done = box.run("-t", "-c", name, limit=10)
        assert done.returncode == 78, name


def test_binary_rubbish_as_configuration_is_refused(box):
    with open(box.path("app.ini"), "wb") as f:
        f.write(bytes(range(256)) * 64)
    done = box.run("-t", "-c", "app.ini")
    assert done.returncode == 78
    assert "app.ini:" in done.stdout + done.stderr


def test_accept_queue_survives_the_death_of_all_workers(box):
    """The listener is clusterd's: clients wait for the replacement."""
    box.web(restart_delay="200ms", restart_delay_max="200ms", instances=1)
    d = box.start()
    pid, = d.wait_ready(1)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), "its end")
    with socket.create_connection(("127.0.0.1", d.port()), timeout=10) as s:
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"200 OK" in s.recv(65536)
    d.stop()


def test_clusterd_ends_when_told_although_it_could_not_tell_anybody(box):
    """No supervisor, no terminal, no reader, no parent that waits."""
    box.web(clusterd={"log": "/dev/full"}, stdout="null", stderr="null",
            listen=f"127.0.0.1:{free_port()}")
    d = box.start(env={"NOTIFY_SOCKET": "/nowhere"})
    box.wait_events("ready", 2)
    d.stop()


def test_sigalrm_does_nothing(box):
    box.web()
    d = box.start()
    pids = d.wait_ready(2)
    for _ in range(3):
        d.send(signal.SIGALRM)
    d.send(signal.SIGUSR1)
    d.wait_log("reopened")
    assert d.ready_pids() == pids
    d.stop()
