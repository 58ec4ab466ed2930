"""Where the kernel or a sandbox does not let clusterd adopt, or look."""

import errno
import functools
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess

import pytest

import words
from binder import (BINDER, NONBLOCK, WAITS, all_answer, binder, returned,
                    settings, tcp, udp, unix, warnings)
from harness import (CLUSTERD, IS_ROOT, ask_udp, free_port, status_field,
                     stays, wait_until)

NOBODY = 65534
SETPRIV = shutil.which("setpriv")
CAPSH = shutil.which("capsh")
needs_setpriv = pytest.mark.skipif(
    not (IS_ROOT and SETPRIV), reason="needs root and setpriv(1)")
needs_capsh = pytest.mark.skipif(
    not (IS_ROOT and CAPSH), reason="needs root and capsh(1)")

BUSY = "Device or resource busy"
NOT_PERMITTED = "Operation not permitted"
NO_SUCH_CALL = "Function not implemented"
REFUSALS = [
    pytest.param("notify", BUSY, id="another-listener"),
    pytest.param("eperm=seccomp", NOT_PERMITTED, id="eperm"),
    # as valgrind does
    pytest.param("enosys=seccomp", NO_SUCH_CALL, id="enosys",
                 marks=pytest.mark.valgrind),
]


@pytest.fixture
def port():
    return free_port()


def sandbox(kind):
    return [BINDER, "--sandbox", kind]


# --- no seccomp listener

@pytest.mark.parametrize("kind, why", REFUSALS)
def test_auto_goes_on_with_env_and_says_so_once(box, port, kind, why):
    box.config(web=settings("take:a:0", "serve:poll", port=port))
    d = box.start(launcher=sandbox(kind))
    pids = d.wait_ready(2)
    assert {a.pid for a in all_answer(d, port, 2)} == set(pids)
    # Neither a death nor a reload repeats it.
    os.kill(pids[0], signal.SIGKILL)
    pids = d.wait_replaced(pids[:1], 2)
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_DONE("web", 2))
    d.wait_replaced(pids, 2)
    all_answer(d, port, 2)
    d.stop()
    assert len(warnings(d, why)) == 1, d.log()


@pytest.mark.parametrize("server, hint", [
    ("exit:3", "it never bound"), ("pause", "is ready and has not bound")])
def test_who_looks_for_listen_fds_is_told_what_to_write(box, port, server,
                                                        hint):
    box.config(web=settings(server, port=port, ready="alive:100ms"))
    d = box.start(launcher=sandbox("eperm=seccomp"))
    d.wait_log("cannot be adopted here: .* by CLUSTERD_FD: servers that look "
               "for LISTEN_FDS need handoff = env")
    d.wait_log(rf"{hint} \S+.* if it looks for LISTEN_FDS, add handoff = env")
    d.stop()
    assert len(d.find(hint)) == 1


@pytest.mark.parametrize("kind, why", REFUSALS)
def test_readiness_is_seen_without_adoption(box, port, kind, why):
    box.config(web=settings("take:a:0", "block:a", "serve:accept", port=port))
    d = box.start(launcher=sandbox(kind))
    d.wait_ready(2)
    d.wait_log(WAITS, count=2)
    d.stop()


def test_server_that_binds_by_itself_sees_the_port_taken(box, port):
    """As with `handoff = env`; whoever reads the log knows why."""
    box.config(web=settings("--events", box.events_path, *tcp(port)[:3],
                            "pause", port=port, instances=1,
                            ready="alive:50ms"))
    d = box.start(launcher=sandbox("notify"))
    box.wait_events(f"bind.a {errno.EADDRINUSE}")
    assert warnings(d, BUSY)
    d.stop()


@pytest.mark.parametrize("kind, why", REFUSALS)
def test_adopt_is_an_error_at_the_start(box, port, kind, why):
    box.config(web=settings(*tcp(port), "serve:poll", port=port,
                            handoff="adopt"))
    d = box.start(launcher=sandbox(kind))
    d.wait_end(69)
    errors = [m[2] for m in words.LINE.finditer(d.log()) if m[1] == "error"]
    assert any(why in line and "adopt" in line for line in errors), d.log()
    assert not d.find(words.STARTED("web"))


@pytest.mark.parametrize("kind, why", REFUSALS)
def test_reload_to_adopt_is_refused(box, port, kind, why):
    box.config(web=settings("take:a:0", "serve:poll", port=port))
    d = box.start(launcher=sandbox(kind))
    pids = d.wait_ready(2)
    box.config(web=settings(*tcp(port), "serve:poll", port=port,
                            handoff="adopt"))
    mark = d.mark()
    d.send(signal.SIGHUP)
    d.wait_log(rf"(?s)adopt.*{why}|{why}.*adopt", start=mark)
    stays(lambda: d.ready_pids() == pids, "the old ones run")
    assert {a.pid for a in all_answer(d, port, 2)} == set(pids)
    # A file that is right again is taken.
    box.config(web=settings("take:a:0", "serve:epoll", port=port,
                            handoff="env"))
    d.send(signal.SIGHUP)
    d.wait_replaced(pids, 2)
    all_answer(d, port, 2)
    d.stop()


def test_env_needs_no_filter_and_does_not_warn(box, port):
    box.config(web=settings("take:a:0", "serve:poll", port=port,
                            handoff="env"))
    d = box.start(launcher=sandbox("notify"))
    d.wait_ready(2)
    d.stop()
    assert not warnings(d, "")


# --- calls that look into another process

@pytest.mark.parametrize("denied", [
    "eperm=pidfd_getfd,kcmp",               # Docker's own profile
    "enosys=pidfd_getfd",
    "eperm=process_vm_readv",
    "enosys=process_vm_readv",
    "eperm=pidfd_getfd,process_vm_readv,kcmp",
])
def test_adoption_works_where_workers_cannot_be_looked_into(box, port,
                                                            denied):
    """By another way to the same facts, where there is one."""
    box.config(web=settings(*tcp(port, flags=",nonblock"), "serve:epoll",
                            port=port, ready_timeout="20s"))
    d = box.start(launcher=sandbox(denied))
    d.wait_ready(2)
    for answer in all_answer(d, port, 2):
        assert returned(answer) == [0]
        assert answer.one("l.nonblock") == "1"
    d.stop()


# --- privilege

def as_nobody():
    return [SETPRIV, f"--reuid={NOBODY}", f"--regid={NOBODY}",
            "--clear-groups"]


@needs_setpriv
def test_without_privilege_adoption_sets_no_new_privs(box, port):
    box.config(web=settings(
        *tcp(port, flags=",nonblock"), "set:a:nodelay:1", "serve:poll",
        port=port, command=binder(*tcp(port, flags=",nonblock"),
                                  "serve:poll", program=box.copy(BINDER))))
    d = box.start(program=box.copy(CLUSTERD), launcher=as_nobody())
    pids = d.wait_ready(2)
    d.wait_log(WAITS, count=2)
    for pid in pids:
        assert status_field(pid, "NoNewPrivs") == "1"
        assert status_field(pid, "Seccomp") == "2"
    for answer in all_answer(d, port, 2):
        assert returned(answer) == [0]
        assert answer.one("l.nonblock") == "1"
    # clusterd has none of this for itself.
    assert status_field(d.pid, "NoNewPrivs") == "0"
    assert status_field(d.pid, "Seccomp") == "0"
    d.stop()


def test_clusterd_itself_has_no_filter(box, port):
    box.config(web=settings(*tcp(port), "serve:poll", port=port))
    d = box.start()
    d.wait_ready(2)
    assert status_field(d.pid, "Seccomp") == "0"
    assert status_field(d.pid, "NoNewPrivs") == "0"
    d.stop()


def test_privileged_clusterd_leaves_no_new_privs_alone(box, port, as_root):
    box.config(web=settings(*tcp(port), "serve:poll", port=port))
    d = box.start()
    for pid in d.wait_ready(2):
        assert status_field(pid, "NoNewPrivs") == "0"
        assert status_field(pid, "Seccomp") == "2"
    d.stop()


def test_env_leaves_no_new_privs_alone_without_privilege(box, port):
    box.config(web=settings("take:a:0", "serve:poll", port=port,
                            handoff="env", command=binder(
                                "take:a:0", "serve:poll",
                                program=box.copy(BINDER))))
    launcher = as_nobody() if IS_ROOT and SETPRIV else []
    d = box.start(program=box.copy(CLUSTERD), launcher=launcher)
    for pid in d.wait_ready(2):
        assert status_field(pid, "NoNewPrivs") == "0"
    d.stop()


# --- `user`, and Docker's capabilities

DOCKER = set("""chown dac_override fowner fsetid kill setgid setuid setpcap
    net_bind_service net_raw sys_chroot mknod audit_write setfcap""".split())


@functools.lru_cache
def docker():
    """A launcher: uid 0 with what a container has by default."""
    last = int(open("/proc/sys/kernel/cap_last_cap").read())
    said = subprocess.run([CAPSH, f"--decode={(1 << last + 1) - 1:x}"],
                          capture_output=True, text=True, check=True).stdout
    drop = [name for name in said.strip().partition("=")[2].split(",")
            if name.startswith("cap_") and name[4:] not in DOCKER]
    return [CAPSH, f"--drop={','.join(drop)}", "--", "-c", 'exec "$@"', "sh"]


def of_user(box, *steps, user="nobody", **keys):
    return settings(user=user, command=binder(
        *steps, program=box.copy(BINDER)), **keys)


@pytest.mark.parametrize("flags", ["", ",nonblock"])
@needs_capsh
def test_user_in_a_container_is_adopted(box, port, flags):
    box.config(web=of_user(
        box, *tcp(port, flags=flags)[:2], "set:a:nodelay:1",
        *tcp(port, flags=flags)[2:], "serve:poll", port=port))
    d = box.start(launcher=docker())
    pids = d.wait_ready(2)
    assert status_field(d.pid, "Uid").split()[1] == "0"
    effective = int(status_field(d.pid, "CapEff"), 16)
    assert effective != 0 and not effective & (1 << 21 | 1 << 19)
    d.wait_log(WAITS, count=2)
    for answer in all_answer(d, port, 2):
        assert returned(answer) == [0]
        assert answer.one("l.nonblock") == str(int(bool(flags)))
        # What nobody but CAP_SYS_PTRACE may look at is not copied.
        assert answer.one("c.nodelay") in "01"
    for pid in pids:
        assert status_field(pid, "Uid").split() == \
            [str(pwd.getpwnam("nobody").pw_uid)] * 4
    d.stop()


@pytest.mark.parametrize("way", ["epoll", "poll", "select", "accept"])
@needs_capsh
def test_user_in_a_container_is_seen_to_wait(box, port, way):
    box.config(web=of_user(box, *tcp(port), f"serve:{way}", port=port,
                           ready="accept", ready_timeout="20s"))
    d = box.start(launcher=docker())
    d.wait_ready(2)
    d.wait_log(WAITS, count=2)
    d.stop()


@needs_capsh
def test_user_is_adopted_where_root_has_no_rights_over_files(box, port):
    """CAP_SYS_PTRACE alone does not open the files of another user's
    process."""
    box.config(web=of_user(
        box, *tcp(port)[:2], "set:a:nodelay:1", *tcp(port)[2:],
        "serve:poll", port=port, ready="accept"))
    d = box.start(launcher=[
        CAPSH, "--drop=cap_dac_override,cap_dac_read_search,cap_sys_admin",
        "--", "-c", 'exec "$@"', "sh"])
    d.wait_ready(2)
    for answer in all_answer(d, port, 2):
        assert returned(answer) == [0]
        assert answer.one("c.nodelay") == "1"
    d.stop()


@needs_capsh
def test_epoll_before_bind_of_a_user_in_a_container(box, port):
    """The registration cannot be renewed there; readiness tells that it is
    served all the same, or that it is not."""
    box.config(web=of_user(
        box, *tcp(port, flags=",nonblock")[:2], "epoll:a",
        *tcp(port)[2:], "serve:epoll", port=port, ready_timeout="1s"))
    d = box.start(launcher=docker())
    d.wait_ready(2)
    if d.find(WAITS):
        all_answer(d, port, 2)
    else:
        assert warnings(d, r"web\[\d\] pid \d+: "), d.log()
    d.stop()


@needs_capsh
def test_root_in_a_container_has_its_options_copied(box, port):
    box.config(web=settings(
        *tcp(port)[:2], "set:a:nodelay:1", *tcp(port)[2:], "serve:poll",
        port=port))
    d = box.start(launcher=docker())
    d.wait_ready(2)
    for answer in all_answer(d, port, 2):
        assert answer.one("c.nodelay") == "1"
    d.stop()


def test_user_has_its_options_copied_by_a_privileged_clusterd(box, port,
                                                              as_root):
    box.config(web=of_user(
        box, *tcp(port, flags=",nonblock")[:2], "set:a:nodelay:1", "epoll:a",
        *tcp(port)[2:], "serve:epoll", port=port))
    d = box.start()
    for pid in d.wait_ready(2):
        assert status_field(pid, "NoNewPrivs") == "0"
    for answer in all_answer(d, port, 2):
        assert answer.one("c.nodelay") == "1"
        assert answer.one("l.nonblock") == "1"
    d.stop()


@needs_capsh
def test_udp_and_unix_of_a_user_in_a_container(box, port):
    path = box.path("run/x.sock")
    os.mkdir(box.path("run"))
    os.chmod(box.path("run"), 0o777)
    box.config(web=of_user(
        box, *udp(port, "127.0.0.1", "u", NONBLOCK),
        *unix(path, flags=NONBLOCK), "serve:poll",
        listen=[f"udp:127.0.0.1:{port}", f"unix:{path}"]))
    d = box.start(launcher=docker())
    d.wait_ready(2)
    assert returned(ask_udp(("127.0.0.1", port)), "bind", "u") == [0]
    wait_until(lambda: os.path.exists(path), "the path")
    for answer in all_answer(d, path, 2):
        assert returned(answer) == [0]
    d.stop()


@needs_setpriv
def test_worker_that_changes_its_user_before_it_binds_is_adopted(box, port):
    """As servers do that are started as root."""
    command = binder(*tcp(port), "serve:accept", program=box.copy(BINDER))
    box.config(web={"command": f"{SETPRIV} --reuid={NOBODY} --regid={NOBODY} "
                    f"--clear-groups {command}", "port": port,
                    "instances": 2})
    d = box.start()
    d.wait_ready(2)
    d.wait_log(WAITS, count=2)
    for answer in all_answer(d, port, 2):
        assert returned(answer) == [0]
        assert status_field(answer.pid, "Uid").split()[1] == str(NOBODY)
    d.stop()


@needs_setpriv
def test_server_of_another_user_than_the_port_belongs_to(box, port):
    """Root's clusterd, a user's worker, a port below 1024: no EACCES."""
    numbers = random.SystemRandom().sample(range(600, 1000), 400)
    low = next(n for n in numbers if is_free(n))
    box.config(web=of_user(box, *tcp(low, "127.0.0.1"), "serve:accept",
                           port=low))
    d = box.start()
    d.wait_ready(2)
    for answer in all_answer(d, low, 2):
        assert returned(answer) == [0]
    d.stop()


def is_free(number):
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", number))
        except OSError:
            return False
    return True
