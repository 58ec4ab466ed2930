"""What a hostile worker, a tight limit or an odd environment must not do."""

import os
import pwd
import resource
import shutil
import signal
import stat
import time

import pytest

import words
from harness import (CLUSTERD, IS_ROOT, PROBE, SLOW, get, is_alive, probe,
                     stays, status_field, wait_until)

SETPRIV = shutil.which("setpriv")
needs_setpriv = pytest.mark.skipif(
    not (IS_ROOT and SETPRIV), reason="needs root and setpriv(1)")


def nobody():
    return pwd.getpwnam("nobody")


# --- a listener's file

@pytest.mark.valgrind
def test_link_in_place_of_a_socket_file_is_not_followed(box):
    path, secret = box.path("web.sock"), box.write("secret", "x", 0o600)
    owner = {"socket_user": "nobody"} if IS_ROOT else {}
    box.web(listen=f"unix:{path}", socket_mode="0666", **owner)
    d = box.start()
    old = d.wait_ready(2)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o666
    before = os.stat(secret)
    # in one step: a path that is missing comes back at once
    os.symlink(secret, path + ".new")
    os.rename(path + ".new", path)
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_DONE("web", 2))
    d.wait_replaced(old, 2)
    d.stop()
    after = os.stat(secret)
    assert (after.st_mode, after.st_uid, after.st_gid, after.st_ctime_ns) == \
        (before.st_mode, before.st_uid, before.st_gid, before.st_ctime_ns)
    # it is not ours to remove either
    assert os.path.islink(path)


# --- privilege

@needs_setpriv
def test_ambient_capabilities_do_not_reach_another_user(box):
    caps = "+setuid,+setgid,+kill"
    user = pwd.getpwnam("daemon")
    program = box.copy(PROBE)
    box.config(web={"command": probe(program=program), "instances": 1,
                    "user": "nobody", "ready": "alive:50ms"})
    d = box.start(program=box.copy(CLUSTERD), launcher=[
        SETPRIV, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}",
        "--clear-groups", f"--inh-caps={caps}", f"--ambient-caps={caps}"])
    pid, = d.wait_ready(1)
    assert int(status_field(d.pid, "CapAmb"), 16) != 0
    assert status_field(pid, "Uid").split() == [str(nobody().pw_uid)] * 4
    for name in ("CapAmb", "CapEff", "CapPrm"):
        assert int(status_field(pid, name), 16) == 0, name
    d.stop()


@needs_setpriv
def test_user_without_the_right_to_kill_is_refused(box):
    box.config(web={"command": probe(), "user": "nobody"})
    d = box.start(launcher=[SETPRIV, "--bounding-set=-kill",
                            "--inh-caps=-kill"])
    d.wait_end(78)
    assert "CAP_KILL" in d.log()
    assert "app.ini:3" in d.log()


@needs_setpriv
def test_ready_from_a_descendant_of_another_uid_counts(box):
    program = box.copy(PROBE)
    script = (f"{SETPRIV} --reuid={nobody().pw_uid} --clear-groups {program} "
              "& wait")
    box.config(web={"command": f"sh -c '{script}'", "instances": 1,
                    "ready": "notify", "ready_timeout": "60s"})
    d = box.start()
    d.wait_ready(1)
    assert "ignoring a notify message" not in d.log()
    d.stop()


# --- limits

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


def test_limit_of_descriptors_that_is_too_small_is_told(box, unwrapped):
    box.config(web={"command": probe(), "listen": ["127.0.0.1:0"] +
                    [f"unix:{box.path(f'{n}.sock')}" for n in range(8)],
                    "instances": 1, "restart_delay": "10ms",
                    "restart_delay_max": "10ms"})
    d = box.start()
    pid, = d.wait_ready(1)
    limits = resource.prlimit(d.pid, resource.RLIMIT_NOFILE)
    used = max(map(int, os.listdir(f"/proc/{d.pid}/fd")))
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


# --- processes

def test_child_may_finish_after_its_leader_died_of_the_signal(box):
    """As node(1) under npm(1), and clusterd ends right after it."""
    count = 3
    script = box.write("worker.sh", """
        drain() {
            trap '' TERM
            touch "there.$1"
            until test -e "go.$1"; do sleep 0.02; done
            touch "finished.$1"
        }
        drain "$CLUSTERD_INSTANCE" &
        exec sleep 1000
        """)
    box.config(web={"command": f"sh {script}", "instances": count,
                    "directory": box.dir, "stop_timeout": "60s"})
    d = box.start()
    leaders = d.wait_ready(count)
    for n in range(count):
        wait_until(lambda: os.path.exists(box.path(f"there.{n}")), "a child")
    d.send(signal.SIGTERM)
    wait_until(lambda: not any(map(is_alive, leaders)), "the leaders' death")
    for n in range(count):
        stays(lambda: d.process.poll() is None, "clusterd waits", 0.1)
        assert not os.path.exists(box.path(f"finished.{n}"))
        box.touch(f"go.{n}")
        wait_until(lambda: os.path.exists(box.path(f"finished.{n}")),
                   "the child may finish")
    since = time.monotonic()
    d.wait_end(0)
    assert time.monotonic() - since < 2 * SLOW


@pytest.mark.valgrind
def test_escaped_process_is_swept_whatever_the_size_of_the_environment(box):
    large = {f"LARGE_{n:03}": "x" * 1000 for n in range(400)}
    box.web("--escape", 0, instances=1, restart_delay="10ms")
    d = box.start(env=large)
    pid, = d.wait_ready(1)
    escaped = box.wait_events("escaped")[0]["pid"]
    assert is_alive(escaped)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(escaped), "the escaped one is swept")
    d.wait_replaced([pid], 1)
    assert len(get(d.port(), "/dump").env) > 400
    d.stop()
