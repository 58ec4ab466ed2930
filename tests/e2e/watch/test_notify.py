"""sd_notify, both ways: from workers, and to clusterd's own supervisor."""

import os
import re
import signal
import socket

import pytest

import words
from harness import (PROBE, get, kill, process_state, read_proc, stays,
                     wait_until)
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
    supervisor.wait(f"MAINPID={d.pid}")
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
    wait_until(lambda: supervisor.has("READY=1", before)
               or not supervisor.has("RELOADING=1", before), "READY=1")
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
    assert not supervisor.has("READY=1")
    supervisor.wait("READY=1")
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
    d.send(signal.SIGSTOP)
    wait_until(lambda: process_state(d.pid) == "T", "clusterd stands still")
    assert get(d.port(), f"/forge-dead/{pid['0']}").errno == 0
    d.send(signal.SIGCONT)
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
        assert count_fds(d.pid) <= fds + 2
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
