"""Readiness of servers that do not tell: they are seen to wait."""

import os
import re
import shutil
import signal
import socket
import time

import pytest

import words
from binder import (UNSEEN, WAITS, all_answer, binder, returned, settings,
                    start, tcp, udp, unix, warnings, watched)
from harness import (SLOW, ask_udp, free_port, get, is_alive, probe,
                     process_state, status_field, stays, wait_until)

SEEN = re.compile(words.READY("web").pattern +
                  rf" after {words.DURATION} \({WAITS}\)")
WAYS = ["epoll", "epoll_pwait", "poll", "ppoll", "select", "pselect",
        "accept", "accept4"]
UDP_WAYS = ["recvfrom", "recvmsg", "poll", "epoll", "select"]


@pytest.fixture
def port():
    return free_port()


def is_seen(box, *steps, count=1, **keys):
    """Ready because it waits, and it serves."""
    d = start(box, *steps, instances=count, ready="accept",
              ready_timeout="20s", **keys)
    d.wait_log(SEEN, count=count)
    return d


# --- however it waits

@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_waiting_is_seen(box, port, way):
    d = is_seen(box, *tcp(port), f"serve:{way}", port=port, count=2)
    all_answer(d, port, 2)
    d.stop()


@pytest.mark.parametrize("way", ["epoll", "poll", "select", "accept"])
@pytest.mark.parametrize("place", ["thread", "fork", "session", "vfork"])
def test_waiting_in_any_thread_or_descendant_is_seen(box, port, way, place):
    before, after = [f"in:{place}"], []
    if place == "fork":         # the parent binds, its child waits
        before, after = after, before
    d = is_seen(box, *before, *tcp(port), *after, f"serve:{way}", port=port)
    assert returned(get(port)) == [0]
    d.stop()


def test_epoll_that_waits_in_a_thread_of_a_descendant_is_seen(box, port):
    d = is_seen(box, "in:session", *tcp(port, flags=",nonblock"), "epoll:a",
                "in:thread", "serve:epoll", port=port)
    get(port)
    d.stop()


# valgrind(1) knows no seccomp(2): under it, only `env` can be tested.
@pytest.mark.parametrize("way", [
    pytest.param(way, marks=[pytest.mark.valgrind] * (way in (
        "epoll", "accept", "poll", "select"))) for way in WAYS])
def test_waiting_on_the_descriptor_from_the_environment_is_seen(box, port,
                                                                way):
    d = is_seen(box, "take:a:0", "block:a", f"serve:{way}", port=port,
                handoff="env", count=2)
    all_answer(d, port, 2)
    d.stop()


@pytest.mark.parametrize("way", UDP_WAYS)
@pytest.mark.parametrize("handoff", ["adopt", "env"])
def test_waiting_for_datagrams_is_seen(box, port, way, handoff):
    steps = udp(port, "127.0.0.1") if handoff == "adopt" else \
        ["take:a:0", "block:a"]
    d = is_seen(box, *steps, f"serve:{way}", listen=f"udp:127.0.0.1:{port}",
                handoff=handoff)
    ask_udp(("127.0.0.1", port))
    d.stop()


@pytest.mark.parametrize("way", ["epoll", "poll", "accept"])
@pytest.mark.parametrize("handoff", ["adopt", "env"])
def test_waiting_on_a_unix_socket_is_seen(box, way, handoff):
    path = box.path("x.sock")
    steps = unix(path) if handoff == "adopt" else ["take:a:0", "block:a"]
    d = is_seen(box, *steps, f"serve:{way}", listen=f"unix:{path}",
                handoff=handoff)
    get(path)
    d.stop()


def test_poll_of_many_descriptors_is_seen(box, port):
    """The lane is the last of them."""
    others = [step for slot in "bcdefghijklmnopqrstuvwxy"
              for step in tcp(0, "127.0.0.1", slot)]
    for way in ("poll", "select", "epoll"):
        d = is_seen(box, *others, *tcp(port, slot="z"), f"serve:{way}",
                    port=port)
        assert get(port).one("socket") == "z"
        d.stop()


# --- not before it waits

@pytest.mark.parametrize("way", ["epoll", "poll", "accept"])
@pytest.mark.parametrize("handoff", ["adopt", "env", "auto"])
def test_not_ready_before_it_waits(box, port, way, handoff):
    steps = tcp(port) if handoff != "env" else ["take:a:0", "block:a"]
    box.config(web=settings(
        *watched(box, *steps, f"touch:{box.path('listens')}",
                 f"until:{box.path('go')}", f"serve:{way}"),
        port=port, instances=1, ready="accept", ready_timeout="60s",
        handoff=handoff))
    d = box.start()
    wait_until(lambda: os.path.exists(box.path("listens")), "it listens")
    stays(lambda: not d.ready_pids(), "it is not ready", 0.4)
    box.touch("go")
    d.wait_ready(1)
    d.wait_log(SEEN)
    d.stop()


def test_epoll_set_that_nobody_waits_on_may_not_be_enough_to_serve(box, port):
    """Registered at once, served later: at the latest then it is ready."""
    box.config(web=settings(
        *watched(box, *tcp(port, flags=",nonblock"), "epoll:a",
                 f"until:{box.path('go')}", "serve:epoll"),
        port=port, instances=1, ready="accept", ready_timeout="60s"))
    d = box.start()
    box.wait_events("listen.a 0")
    box.touch("go")
    d.wait_ready(1)
    get(port)
    d.stop()


def test_waiting_on_another_socket_is_not_readiness(box, port):
    box.config(web=settings(
        "take:b:0", *tcp(0, "127.0.0.1"), "serve:poll:a", port=port,
        instances=1, ready="accept", ready_timeout="400ms",
        restart_limit="1/60s", handoff="env"))
    d = box.start()
    d.wait_log("not ready within ready_timeout")
    assert not d.find(words.READY("web"))
    d.wait_end(1)


def test_server_that_never_waits_is_killed_at_ready_timeout(box, port):
    box.config(web=settings(
        *tcp(port), "pause", port=port, instances=1, ready="accept",
        ready_timeout="400ms", stop_timeout="500ms"))
    d = box.start()
    since = time.monotonic()
    found = d.wait_log(r"web\[0\] pid (\d+): [^\n]*not ready within "
                       "ready_timeout")
    assert time.monotonic() - since < 5 * SLOW
    wait_until(lambda: not is_alive(int(found[1])), "its end")
    assert not d.find(words.READY("web"))
    d.stop()


# --- auto

def test_auto_sees_it_wait(box, port):
    d = start(box, *tcp(port), "serve:poll", port=port)
    d.wait_log(SEEN, count=2)
    assert not warnings(d, UNSEEN)
    d.stop()


def test_auto_counts_a_living_worker_as_ready_at_ready_timeout(box, port):
    box.config(web=settings(*tcp(port), "pause", port=port, instances=1,
                            ready_timeout="400ms"))
    d = box.start()
    pid, = d.wait_ready(1)
    assert warnings(d, rf"web\[0\] pid {pid}: .*{UNSEEN}"), d.log()
    assert not d.find(WAITS + r"\)")
    stays(lambda: d.ready_pids() == [pid], "it lives on", 0.6)
    d.stop()


SAID = re.compile(words.READY("web").pattern +
                  rf" after {words.DURATION} \(it said READY=1( and {WAITS[3:]})?\)")


@pytest.mark.parametrize("ready", ["auto", "notify", "alive:50s"])
def test_word_alone_is_not_enough(box, port, ready):
    """Many say it before anybody serves."""
    box.config(web=settings(
        *watched(box, *tcp(port), "notify:READY=1", "touch:" + box.path("said"),
                 f"until:{box.path('go')}", "serve:poll"),
        port=port, instances=1, ready=ready, ready_timeout="60s"))
    d = box.start()
    wait_until(lambda: os.path.exists(box.path("said")), "it says so")
    stays(lambda: not d.ready_pids(), "it is not ready", 0.5)
    box.touch("go")
    d.wait_ready(1)
    d.wait_log(SEEN if ready == "auto" else SAID)
    assert not warnings(d, UNSEEN)
    get(port)
    d.stop()


def test_word_of_a_master_without_a_child_is_not_enough(box, port):
    """The child comes later, and waits."""
    box.config(web=settings(
        *watched(box, *tcp(port), "notify:READY=1",
                 f"until:{box.path('go')}", "in:fork", "serve:accept"),
        port=port, instances=1, ready="notify", ready_timeout="60s"))
    d = box.start()
    box.wait_events("listen.a 0")
    stays(lambda: not d.ready_pids(), "it is not ready", 0.3)
    box.touch("go")
    d.wait_ready(1)
    assert SAID.search(d.log())[1]
    get(port)
    d.stop()


def test_word_counts_at_ready_timeout(box, port):
    """Nobody of its kind was ever seen, so that it may serve all the same."""
    box.config(web=settings(*tcp(port), "notify:READY=1", "pause", port=port,
                            instances=1, ready="notify",
                            ready_timeout="400ms"))
    d = box.start()
    pid, = d.wait_ready(1)
    assert warnings(d, rf"web\[0\] pid {pid}: .*{UNSEEN}"), d.log()
    d.stop()


IO_URING = """
import ctypes, os, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
params = ctypes.create_string_buffer(120)
if libc.syscall(425, 4, params) < 0:
    sys.exit(77)
name = os.environ["NOTIFY_SOCKET"]
name = chr(0) + name[1:] if name[0] == "@" else name
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.sendto(b"READY=1", name)
time.sleep(60)
"""


@pytest.mark.parametrize("ready", ["auto", "notify"])
def test_word_is_enough_of_one_that_cannot_be_seen(box, port, ready):
    """A wait through an io_uring shows nowhere."""
    script = box.write("uring.py", IO_URING)
    box.config(web={"command": f"/usr/bin/python3 {script}", "port": port,
                    "instances": 1, "ready": ready, "ready_timeout": "60s",
                    "fd_protocol": "systemd", "success_codes": "0 77"})
    d = box.start()
    wait_until(lambda: d.ready_pids() or d.find("exited with code 77"),
               "it is ready")
    if not d.ready_pids():
        pytest.skip("may not make an io_uring here")
    assert SAID.search(d.log())
    d.stop()


@pytest.mark.parametrize("ready", ["auto", "notify"])
def test_reload_to_a_word_without_a_wait_is_aborted(box, port, ready):
    d = start(box, *tcp(port), "notify:READY=1", "serve:poll", port=port,
              ready=ready)
    old = d.ready_pids()
    box.config(web=settings(*tcp(port), "notify:READY=1", "pause", port=port,
                            ready=ready, ready_timeout="2s"))
    d.send(signal.SIGHUP)
    why = d.wait_log(words.RELOAD_ABORTED("web"))["why"]
    assert "not seen to wait" in why
    assert d.ready_pids() == old
    assert {a.pid for a in all_answer(d, port, 2)} == set(old)
    d.stop()


def test_auto_is_logged_as_ready_once_where_both_come(box, port):
    d = start(box, *watched(box, *tcp(port), "notify:READY=1", "serve:poll"),
              port=port, instances=1)
    get(port)
    d.stop()
    assert len(d.find(words.READY("web"))) == 1


def test_accept_does_not_take_notify(box, port):
    box.config(web=settings(
        *watched(box, *tcp(port), "notify:READY=1",
                 f"until:{box.path('go')}", "serve:poll"), port=port,
        instances=1, ready="accept", ready_timeout="60s"))
    d = box.start()
    box.wait_events("listen.a 0")
    stays(lambda: not d.ready_pids(), "it is not ready")
    box.touch("go")
    d.wait_ready(1)
    d.stop()


def test_notify_does_not_take_accept(box, port):
    box.config(web=settings(
        *watched(box, *tcp(port), "serve:poll"), port=port, instances=1,
        ready="notify", ready_timeout="60s"))
    d = box.start()
    box.wait_events("serve")
    get(port)
    stays(lambda: not d.ready_pids(), "it is not ready")
    d.stop()


def test_auto_of_an_app_without_listeners_is_a_second_of_life(box):
    box.config(web=settings(*watched(box, "pause"), instances=1))
    d = box.start()
    since = time.monotonic()
    box.wait_events("pause")
    d.wait_ready(1)
    assert 0.7 < time.monotonic() - since < 8 * SLOW
    assert not d.find(WAITS)
    d.stop()


def test_accept_without_listeners_is_told_by_the_check(box):
    box.config(web={"command": probe(), "ready": "accept"})
    done = box.run("-t", "-c", "app.ini")
    assert done.returncode == 78
    assert "ready" in done.stderr


# --- in a reload

def test_reload_waits_until_the_new_worker_waits(box, port):
    d = start(box, *tcp(port), "serve:poll", port=port, ready="accept")
    old = d.ready_pids()
    box.config(web=settings(
        *watched(box, *tcp(port), f"until:{box.path('go')}", "serve:poll"),
        port=port, ready="accept"))
    d.send(signal.SIGHUP)
    box.wait_events("listen.a 0")
    stays(lambda: d.ready_pids() == old, "the old ones serve")
    box.touch("go")
    d.wait_log(words.RELOAD_DONE("web", 2))
    d.wait_replaced(old, 2)
    all_answer(d, port, 2)
    d.stop()


def test_reload_to_a_server_that_never_waits_is_aborted(box, port):
    d = start(box, *tcp(port), "serve:poll", port=port, ready="accept")
    old = d.ready_pids()
    box.config(web=settings(*tcp(port), "pause", port=port, ready="accept",
                            ready_timeout="400ms"))
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_ABORTED("web"))
    assert d.ready_pids() == old
    assert {a.pid for a in all_answer(d, port, 2)} == set(old)
    d.stop()


# --- what it costs

def switches(pid):
    return tuple(int(status_field(pid, name)) for name in
                 ("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"))


def rests(d, duration=1.2):
    """Clusterd does not run at all for a while."""
    seen = []

    def still():
        now, count = time.monotonic(), switches(d.pid)
        if not seen or seen[0][1] != count:
            seen[:] = [(now, count)]
        return now - seen[0][0] > duration
    wait_until(still, "rest")


@pytest.mark.parametrize("ready", ["auto", "accept"])
def test_nothing_is_polled_once_all_are_ready(box, port, unwrapped, ready):
    d = start(box, *tcp(port), "serve:poll", port=port, ready=ready)
    rests(d)
    get(port)
    rests(d, 0.5)
    d.stop()


def test_nothing_is_polled_after_a_worker_that_cannot_be_seen(box, port,
                                                              unwrapped):
    d = start(box, *tcp(port), "pause", port=port, instances=1,
              ready_timeout="300ms")
    rests(d)
    d.stop()


def test_slow_starter_is_not_looked_at_all_the_time(box, port, unwrapped):
    """While it starts, clusterd takes a small part of a CPU."""
    box.config(web=settings(
        *watched(box, *tcp(port), "pause"), port=port, instances=4,
        ready="accept", ready_timeout="60s"))
    d = box.start()
    box.wait_events("pause", 4)

    def cpu():
        fields = open(f"/proc/{d.pid}/stat").read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    before, since = cpu(), time.monotonic()
    stays(lambda: not d.ready_pids(), "it is not ready", 1.0)
    assert cpu() - before < 0.25 * (time.monotonic() - since)
    d.stop()


# --- what must not confuse it

def test_stopped_worker_is_ready_once_it_goes_on(box, port):
    box.config(web=settings(
        *watched(box, f"until:{box.path('go')}", *tcp(port), "serve:accept"),
        port=port, instances=1, ready="accept", ready_timeout="60s"))
    d = box.start()
    pid = box.wait_events("start")[0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: process_state(pid) == "T", "it stands still")
    box.touch("go")
    stays(lambda: not d.ready_pids(), "it is not ready", 0.2)
    os.kill(pid, signal.SIGCONT)
    d.wait_ready(1)
    d.stop()


def test_client_before_readiness_is_served_after_it(box, port):
    """The lane is open from the beginning."""
    box.config(web=settings(
        *watched(box, f"until:{box.path('go')}", *tcp(port, "127.0.0.1"),
                 "serve:accept"), listen=f"127.0.0.1:{port}", instances=1,
        ready="accept"))
    d = box.start()
    box.wait_events("start")
    with socket.create_connection(("127.0.0.1", port), timeout=10 * SLOW) as s:
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        box.touch("go")
        s.settimeout(10 * SLOW)
        assert s.recv(100).startswith(b"HTTP/1.0 200")
    d.stop()


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_server_behind_a_shell_is_seen(box, port, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    script = box.write("run.sh", binder(*tcp(port), "serve:accept")
                       + "\nexit $?\n")
    box.config(web={"command": f"{shell} {script}", "port": port,
                    "instances": 3, "ready": "accept"})
    d = box.start()
    d.wait_ready(3)
    d.wait_log(SEEN, count=3)
    assert d.pids_that_answer(port, 3)
    d.stop()
