"""Too few processes or descriptors to start a worker."""

import errno
import os
import resource
import signal
import subprocess
import time

import pytest

import control
import words
from harness import (CLUSTERD, PROBE, TimeLimit, get, is_alive, probe,
                     strerror, wait_until)

TOO_MANY = strerror(errno.EMFILE)


def limited(uid):
    """Become this user, with room for the keeper and three processes."""
    def become():
        resource.setrlimit(resource.RLIMIT_NPROC, (4, 100))
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    return become


def raise_nproc(d, uid):
    """As that user: root may not, where it lacks CAP_SYS_RESOURCE."""
    subprocess.run(
        ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups",
         "prlimit", f"--pid={d.pid}", "--nproc=100:100"], check=True)


def n_open(d):
    """How many descriptors it has at rest: the least of some looks, where one in the
    middle of something has one more. Between them numbers may be free, such as those of
    who looked at the start: the highest one tells nothing of how many there may be."""
    found = []
    for _ in range(5):
        d.kinds_at_rest()
        found.append(len(os.listdir(f"/proc/{d.pid}/fd")))
        time.sleep(0.02)
    return min(found)


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
        resource.RLIMIT_NOFILE, (32, 32)))
    d.wait_log(TOO_MANY, count=2)
    wait_until(lambda: d.ready_pids(), "a worker")
    get(d.port())
    assert d.process.poll() is None
    try:
        resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (1000, 1000))
    except PermissionError:     # no CAP_SYS_RESOURCE
        pass
    else:
        control.wait_ready(box, 40, limit=20)
    d.stop()


def test_too_few_descriptors_to_begin_are_told(box, unwrapped):
    """Whatever of its own clusterd has no descriptor for."""
    box.web(instances=1, restart_delay="20ms", restart_delay_max="50ms")
    failed = 0
    # With fewer than 5 the program itself is not loaded.
    for limit in range(5, 17):
        d = box.start(preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, (limit, limit)))
        wait_until(lambda: d.process.poll() is not None or
                   d.find("starting 1 instance"), lambda: d.log())
        if d.process.poll() is None:
            d.stop()
            continue
        failed += 1
        assert d.process.returncode > 0, (limit, d.log())
        assert d.find(rf"(?:error|cannot read) .*{TOO_MANY}"), \
            (limit, d.log())
    assert failed > 0


def test_too_few_descriptors_for_the_first_worker_are_survived(box, unwrapped):
    """Others may give some back: it is no program that cannot be executed."""
    failed = f"web.*cannot place its file descriptors: {TOO_MANY}"
    box.web(listen=["127.0.0.1:0"] + [f"unix:{box.path(f'{n}.sock')}"
                                      for n in range(24)],
            instances=1, restart_delay="20ms", restart_delay_max="50ms")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    # Enough for clusterd to fork, but not for the child, which has to move so
    # many listeners out of the way: somewhere there.
    for limit in range(36, 76):
        d = box.start(preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, (limit, limit)))
        try:
            d.wait_log(rf"{failed}|cannot start a process|web.*: ready\b")
        except TimeLimit:
            assert d.process.poll() is not None
            assert not d.find(failed), d.log()
            continue
        if d.find(failed):
            break
        d.stop()
    d.wait_log(failed, count=2)
    try:
        resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (hard, hard))
    except PermissionError:     # no CAP_SYS_RESOURCE
        pass
    else:
        d.wait_ready(1)
    d.stop()


def test_starts_that_fail_leave_descriptors_to_those_that_served(
        box, unwrapped):
    """Else a worker that dies has no room to come back, and nobody serves."""
    box.web(instances=1, restart_delay="20ms", restart_delay_max="200ms")
    d = box.start()
    pid, = d.wait_ready(1)
    used = n_open(d)
    limits = resource.prlimit(d.pid, resource.RLIMIT_NOFILE)
    # A start needs six: lane, messages, two streams, two ends of the report.
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (used + 5, limits[1]))
    for n in range(8):
        d.send(signal.SIGTTIN)
        # Until one that cannot be started is told, often and of each.
        d.wait_log(rf"web\[{n + 1}\].*{TOO_MANY}", count=4)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid) and d.ready_pids(), "a worker", 20)
    get(d.port())
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, limits)
    d.wait_ready(9, limit=20)
    d.stop()


def test_too_few_descriptors_do_not_break_stop_and_reload(box, unwrapped):
    """With none left at all, made while it runs."""
    box.web(restart_delay="20ms", restart_delay_max="50ms")
    d = box.start()
    old = d.wait_ready(2)
    used = len(d.kinds_at_rest())
    limits = resource.prlimit(d.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (used, limits[1]))
    start = d.mark()
    d.send(signal.SIGHUP)
    d.wait_log(TOO_MANY, start=start)
    assert d.process.poll() is None
    get(d.port())
    os.kill(old[0], signal.SIGKILL)
    d.wait_log(words.DEATH("web", how=words.KILLED_9))
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, limits)
    d.wait_ready(2)
    d.stop()


def test_limit_of_descriptors_that_is_too_small_is_told(box, unwrapped):
    box.config(web={"command": probe(), "listen": ["127.0.0.1:0"] +
                    [f"unix:{box.path(f'{n}.sock')}" for n in range(24)],
                    "instances": 1, "restart_delay": "10ms",
                    "restart_delay_max": "10ms"})
    d = box.start()
    pid, = d.wait_ready(1)
    limits = resource.prlimit(d.pid, resource.RLIMIT_NOFILE)
    used = n_open(d) - 1
    failed = r"cannot start a process|cannot place its file descriptors"
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (used, limits[1]))
    os.kill(pid, signal.SIGKILL)
    # Enough for clusterd to fork, but not for the child.
    for more in range(1, 9):
        d.wait_log(failed, start=d.mark())
        if d.find("cannot place its file descriptors: "):
            break
        resource.prlimit(d.pid, resource.RLIMIT_NOFILE,
                         (used + more, limits[1]))
    d.wait_log("cannot place its file descriptors: ", limit=2)
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, limits)
    d.wait_ready(1)
    get(d.port())
    d.stop()
