"""Servers that bind the port by themselves, in whichever odd way."""

import errno
import os
import socket

import pytest

import words
from binder import (NONBLOCK, all_answer, port_of, returned, settings,
                    standing_still, start, tcp, udp,
                    udp_answer_of_the_living, watched, without_clusterd)
from harness import ask_udp, free_port, get, is_refused, status_field

HAS_MPTCP = True
try:
    socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).close()
except OSError:
    HAS_MPTCP = False


@pytest.fixture
def port():
    return free_port()


def check(d, port, count, binds=(0,)):
    """All workers serve on the lane, and their bind and listen returned."""
    for answer in all_answer(d, port, count):
        assert returned(answer) == list(binds)
        assert returned(answer, "listen") == [0]
        assert answer.one("l.name") == f"0.0.0.0:{port}"
        assert answer.one("c.name") == f"127.0.0.1:{port}"


# --- where

@pytest.mark.parametrize("place", [
    pytest.param([], id="main"),
    pytest.param(["in:thread"], id="thread"),
    pytest.param(["in:fork"], id="child"),
    pytest.param(["in:session"], id="grandchild-with-a-session"),
    pytest.param(["in:fork", "in:vfork"], id="vforked-grandchild"),
    pytest.param(["in:session", "in:vfork", "in:thread"], id="deep"),
])
def test_bind_in_any_thread_or_descendant_is_adopted(box, port, place):
    d = start(box, *place, *tcp(port), "serve:accept", port=port, instances=3)
    check(d, port, 3)
    d.stop()
    assert is_refused(port)


def test_bind_in_another_thread_than_accept_is_adopted(box, port):
    make, reuse, bind, listen = tcp(port)
    d = start(box, make, reuse, f"thread:{bind}", f"thread:{listen}",
              "serve:accept", port=port, instances=3)
    check(d, port, 3)
    d.stop()


def test_socket_that_children_of_the_binder_serve_is_adopted(box, port):
    """As servers do that bind and then fork."""
    d = start(box, *tcp(port), "in:fork", "serve:accept4", port=port,
              instances=3)
    check(d, port, 3)
    d.stop()


def test_dead_worker_and_reload(box, port):
    d = start(box, *tcp(port), "serve:poll", port=port)
    old = d.ready_pids()
    os.kill(old[0], 9)
    new = d.wait_replaced([old[0]], 2)
    check(d, port, 2)
    d.send(1)
    d.wait_replaced(new, 2)
    d.wait_log(words.RELOAD_DONE("web", 2))
    check(d, port, 2)
    d.stop()


# --- descriptors

@pytest.mark.parametrize("bound, served", [("a", "b"), ("b", "a")])
def test_duplicate_of_a_bound_descriptor_is_the_lane_too(box, port, bound,
                                                         served):
    d = start(box, "socket:a:tcp4", "dup:a:b", f"bind:{bound}:0.0.0.0:{port}",
              f"listen:{bound}:5", f"serve:poll:{served}", port=port)
    for answer in all_answer(d, port, 2):
        assert returned(answer, "bind", bound) == [0]
        assert answer.one("socket") == served
        assert answer.one("inode.a") == answer.one("inode.b")
    d.stop()


def test_duplicate_made_after_bind_is_the_lane_too(box, port):
    d = start(box, "socket:a:tcp4", f"bind:a:0.0.0.0:{port}", "dup:a:b",
              "close:a", "listen:b:5", "serve:accept:b", port=port)
    for answer in all_answer(d, port, 2):
        assert returned(answer) == returned(answer, "listen", "b") == [0]
    d.stop()


# The kernel keeps a registration by file and number: the new file under the
# same number is not registered unless somebody does it.
@pytest.mark.parametrize("steps", [
    pytest.param(["epoll:a", "bind:a:{}", "listen:a:5"], id="before-bind"),
    # The entry has to be there when bind(2) returns, not soon after.
    pytest.param(["epoll:a", "bind:a:{}", "epoll-mod:a", "listen:a:5",
                  "epoll-mod:a"], id="changed-right-after-bind"),
    pytest.param(["bind:a:{}", "epoll:a", "listen:a:5"], id="before-listen"),
    pytest.param(["dup:a:b", "epoll:a", "bind:b:{}", "listen:b:5"],
                 id="before-bind-of-a-duplicate"),
])
def test_epoll_registration_survives_the_bind(box, port, steps):
    d = start(box, "socket:a:tcp4,nonblock",
              *[s.format(f"0.0.0.0:{port}") for s in steps], "serve:epoll:a",
              port=port)
    all_answer(d, port, 2)
    answer = get(port, "/epoll")
    assert answer.one("socket") == "a"
    for operation in ("mod", "del", "add"):
        assert answer.one(f"epoll.{operation}") == "0"
    all_answer(d, port, 2)
    d.stop()


def test_flags_of_the_descriptor_are_kept(box, port):
    for flags in ("", ",nonblock", ",cloexec", ",nonblock,cloexec"):
        d = start(box, *tcp(port, flags=flags), "serve:poll", port=port)
        for answer in all_answer(d, port, 2):
            assert answer.one("l.nonblock") == str(int("nonblock" in flags))
            assert answer.one("l.cloexec") == str(int("cloexec" in flags))
        d.stop()


# --- again, and at once

@pytest.mark.parametrize("kind", ["restart", "interrupt"])
def test_binds_under_a_storm_of_signals_are_adopted(box, port, kind):
    d = start(box, f"storm:{kind}", f"rebind:a:50:tcp4:0.0.0.0:{port}", "calm",
              "serve:accept", port=port)
    for answer in all_answer(d, port, 2):
        assert returned(answer) == [0]
        assert answer.one("l.name") == f"0.0.0.0:{port}"
    d.stop()


def test_second_bind_of_a_descriptor_harms_nothing(box, port):
    make, reuse, bind, listen = tcp(port)
    d = start(box, make, reuse, bind, bind, listen, bind, listen,
              "serve:accept", port=port)
    for answer in all_answer(d, port, 2):
        # 0 as for a bind that a signal has interrupted, which comes again.
        assert returned(answer) == [0, 0, 0]
        assert returned(answer, "listen") == [0, 0]
    d.stop()


def test_bind_after_close_gets_the_lane_again(box, port):
    d = start(box, *tcp(port), "close:a", *tcp(port), "close:a", *tcp(port),
              "serve:accept", port=port, instances=3)
    for answer in all_answer(d, port, 3):
        assert returned(answer) == returned(answer, "listen") == [0, 0, 0]
    d.stop()


def test_two_sockets_of_a_worker_on_the_same_port_are_the_lane(box, port):
    """What a server sees that opens the new one before it closes the old."""
    d = start(box, *tcp(port), *tcp(port, slot="b"), "close:a", "serve:poll",
              port=port)
    for answer in all_answer(d, port, 2):
        assert returned(answer, "bind", "b") == [0]
        assert answer.one("l.name") == f"0.0.0.0:{port}"
    d.stop()


def test_binds_of_many_threads_at_once_are_adopted(box, port):
    d = start(box, f"parallel:a:16:tcp4:0.0.0.0:{port}", "serve:accept",
              port=port, instances=3)
    for answer in all_answer(d, port, 3):
        assert returned(answer) == [0] * 16
    d.stop()


def test_bind_after_a_failed_one_is_adopted(box, port):
    """192.0.2.0/24 is for documentation; nobody has it."""
    d = start(box, "socket:a:tcp4", f"bind:a:192.0.2.1:{port}",
              f"bind:a:0.0.0.0:{port}", "listen:a:5", "serve:accept",
              port=port)
    check(d, port, 2, binds=[errno.EADDRNOTAVAIL, 0])
    d.stop()


# --- what is not for us

def test_other_port_is_untouched(box, port):
    other = free_port()
    d = start(box, *tcp(port), *tcp(other, "127.0.0.1", "b", backlog=7),
              "serve:poll", port=port, instances=1)
    answer = get(port)
    assert returned(answer, "bind", "b") == [0]
    assert returned(answer, "listen", "b") == [0]
    beside = get(other)
    assert beside.pid == answer.pid
    assert beside.one("socket") == "b"
    assert beside.one("l.backlog") == "7"
    d.stop()
    assert is_refused(other)


def test_port_0_gives_a_free_port(box, port):
    d = start(box, *tcp(0, "127.0.0.1", "b"), *tcp(port, flags=NONBLOCK),
              "serve:poll", port=port)
    answers = all_answer(d, port, 2)
    ports = {port_of(answer, "b") for answer in answers}
    assert len(ports) == 2 and port not in ports
    for answer in answers:
        assert get(port_of(answer, "b")).pid == answer.pid
    d.stop()


def test_listen_without_bind_gives_a_free_port(box, port):
    d = start(box, "socket:b:tcp4", "listen:b:5",
              *tcp(port, flags=NONBLOCK), "serve:poll", port=port)
    for answer in all_answer(d, port, 2):
        assert returned(answer, "listen", "b") == [0]
        assert port_of(answer, "b") not in (0, port)
        assert get(port_of(answer, "b")).pid == answer.pid
    d.stop()


def test_errors_are_those_of_the_kernel(box, port):
    address = f"0.0.0.0:{port}"
    d = start(box, "socket:a:tcp4", f"bind-short:a:{address}", "bind-fault:a",
              f"bind-fd:0:{address}", f"bind-fd:99:{address}",
              f"bind:a:{address}", "listen:a:5", "serve:accept", port=port)
    for answer in all_answer(d, port, 2):
        assert returned(answer) == [errno.EINVAL, errno.EFAULT, 0]
        assert returned(answer, "bind", "-") == [errno.ENOTSOCK, errno.EBADF]
    d.stop()


def test_address_with_a_generous_length_is_adopted(box, port):
    """Some pass the size of their sockaddr_storage."""
    d = start(box, "socket:a:tcp4", f"bind-long:a:0.0.0.0:{port}",
              "listen:a:5", "serve:accept", port=port)
    check(d, port, 2)
    d.stop()


def test_other_families_and_protocols_are_untouched(box, port):
    name = f"@{box.mark}"
    d = start(box, "bind-netlink", *udp(port, "127.0.0.1", "u"),
              "socket:x:unix", f"bind:x:{name}", "listen:x:5", *tcp(port),
              "serve:poll", port=port, instances=1)
    answer = get(port)
    for slot in "-uxa":
        assert returned(answer, "bind", slot) == [0]
    assert ask_udp(("127.0.0.1", port)).one("socket") == "u"
    assert get("\0" + name[1:]).one("socket") == "x"
    d.stop()


@pytest.mark.skipif(not HAS_MPTCP, reason="no MPTCP here")
@pytest.mark.parametrize("kind, host", [("mptcp4", "0.0.0.0"),
                                        ("mptcp6", "[::]")])
def test_mptcp_is_adopted(box, port, kind, host, request):
    if kind == "mptcp6":
        request.getfixturevalue("has_ipv6")
    d = start(box, f"socket:a:{kind}", f"bind:a:{host}:{port}", "listen:a:5",
              "serve:accept", port=port, instances=3)
    for answer in all_answer(d, port, 3):
        assert returned(answer) == returned(answer, "listen") == [0]
    d.stop()


def test_udp_is_adopted(box, port):
    d = start(box, *udp(port, "127.0.0.1"), "serve:recvfrom",
              listen=f"udp:127.0.0.1:{port}", ready="alive:50ms")
    pids = set(d.ready_pids())
    for pid in pids:
        with standing_still(pids - {pid}):
            answer = udp_answer_of_the_living(("127.0.0.1", port))
            assert answer.pid == pid
            assert returned(answer) == [0]
    d.stop()


# --- what connections inherit

def test_small_backlog_does_not_shrink_the_queue(box, port):
    d = start(box, *tcp(port, backlog=1), "serve:accept", port=port)
    limit = int(open("/proc/sys/net/core/somaxconn").read())
    for answer in all_answer(d, port, 2):
        assert returned(answer, "listen") == [0]
        assert int(answer.one("l.backlog")) == min(4096, limit)
    d.stop()


def inherited(answer):
    """The options of a connection; its send buffer grows as it likes."""
    keep = ("nonblock", "cloexec", "keepalive", "keepidle", "keepintvl",
            "keepcnt", "nodelay", "rcvbuf", "usertimeout", "buflock", "linger")
    found = {name: answer.one(f"c.{name}") for name in keep}
    found.update({f"l.{name}": answer.one(f"l.{name}") for name in (
        "rcvbuf", "sndbuf", "defer", "fastopen", "buflock")})
    return found


@pytest.mark.parametrize("options", [
    pytest.param([], id="none"),
    pytest.param(["nodelay:1"], id="nodelay"),
    pytest.param(["keepalive:1"], id="keepalive"),
    pytest.param(["keepalive:1", "keepidle:77", "keepintvl:11", "keepcnt:5"],
                 id="keepalive-times"),
    pytest.param(["linger:7"], id="linger"),
    pytest.param(["rcvbuf:30000"], id="rcvbuf"),
    pytest.param(["sndbuf:40000"], id="sndbuf"),
    pytest.param(["defer:4"], id="defer-accept"),
    pytest.param(["fastopen:9"], id="fastopen"),
    pytest.param(["usertimeout:12345"], id="user-timeout"),
])
@pytest.mark.parametrize("when", ["before", "after"])
def test_options_are_those_that_the_server_set(box, port, options, when):
    """With clusterd and without it a connection looks the same.

    Without any, the kernel goes on to size the buffers by itself.
    """
    sets = [f"set:a:{option}" for option in options]

    def server(at):
        make, reuse, bind, listen = tcp(at)
        order = [make, reuse, *sets, bind] if when == "before" else \
            [make, reuse, bind, *sets]
        return [*order, listen, "serve:accept"]
    other = free_port()
    with without_clusterd(box, other, *server(other)):
        wanted = inherited(get(other))
    if options:
        with without_clusterd(box, other, *tcp(other), "serve:accept"):
            assert inherited(get(other)) != wanted
    d = start(box, *server(port), port=port)
    for answer in all_answer(d, port, 2):
        assert inherited(answer) == wanted
    d.stop()


# --- handoff

@pytest.mark.valgrind
def test_env_installs_no_filter(box, port):
    d = start(box, *tcp(port)[:3], "close:a", "take:a:0", "serve:poll",
              port=port, handoff="env")
    for pid in d.ready_pids():
        assert status_field(pid, "Seccomp") == "0"
    for answer in all_answer(d, port, 2):
        assert returned(answer) == [errno.EADDRINUSE]
    d.stop()


def test_adopt_passes_no_descriptors(box, port):
    d = start(box, *tcp(port), "serve:poll", port=port, handoff="adopt")
    for pid in d.ready_pids():
        assert status_field(pid, "Seccomp") == "2"
    check(d, port, 2)
    dump = get(port, "/dump")
    assert not {"CLUSTERD_FD", "LISTEN_FDS", "LISTEN_PID"} & set(dump.env)
    assert dump.env["CLUSTERD_APP"] == "web"
    assert sorted(dump.fds) == [0, 1, 2]
    d.stop()


def test_auto_passes_them_as_well(box, port):
    d = start(box, *tcp(port, "127.0.0.1"), "serve:poll",
              listen=f"127.0.0.1:{port}")
    all_answer(d, port, 2)
    dump = get(port, "/dump")
    assert dump.env["CLUSTERD_FD"] == "3"
    assert dump.fds[3] == f"socket:[{dump.one('inode.a')}]"
    assert sorted(dump.fds) == [0, 1, 2, 3]
    # That was at its start. It has bound another, and needs this one no more.
    assert os.readlink(f"/proc/{dump.pid}/fd/3") == "/dev/null"
    d.stop()


def test_auto_leaves_those_that_a_protocol_tells_of(box, port):
    d = start(box, *tcp(port, "127.0.0.1"), "serve:poll",
              listen=f"127.0.0.1:{port}", fd_protocol="systemd")
    dump = get(port, "/dump")
    assert dump.env["LISTEN_FDS"] == "1"
    assert os.readlink(f"/proc/{dump.pid}/fd/3") == \
        f"socket:[{dump.one('inode.a')}]"
    d.stop()


def test_auto_is_the_default(box, port):
    box.config(web=settings(*tcp(port), "serve:poll", port=port))
    assert "handoff = auto\n" in box.run("-T", "-c", "app.ini").stdout


def test_server_may_take_the_descriptor_and_bind_nothing(box, port):
    d = start(box, "take:a:0", "serve:poll", port=port)
    for answer in all_answer(d, port, 2):
        assert answer.all("bind.a") == []
    d.stop()


# --- a port that is not in the file

TAKEN = r"which is taken"


def test_port_that_is_taken_and_not_listed_is_hinted_at(box, port):
    """Once for a worker, however often it tries."""
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        other = stranger.getsockname()[1]
        again = [step.replace(":a:", ":b:") for step in tcp(
            other, "127.0.0.1")[:3]]
        d = start(box, *again * 5, *tcp(port), "serve:poll:a", port=port)
        pids = d.ready_pids()
        for answer in all_answer(d, port, 2):
            assert returned(answer, "bind", "b") == [errno.EADDRINUSE] * 5
        d.wait_log(TAKEN)
        d.stop()
    lines = [line for line in d.log().splitlines() if TAKEN in line]
    assert lines
    for line in lines:
        assert "listen = " in line and str(other) in line
        assert "warn" in line
    for pid in pids:
        assert len([n for n in lines if f"pid {pid}" in n]) <= 1


def test_second_instance_on_an_unlisted_port_is_hinted_at(box, port):
    """The usual way to come by it: the first one has the port."""
    other = free_port()
    box.config(web=settings(
        "socket:b:tcp4", f"bind:b:127.0.0.1:{other}", "listen:b:5", "need:b",
        *tcp(port), "serve:poll:a", port=port))
    d = box.start()
    d.wait_ready(1)
    d.wait_log(rf"{TAKEN}.*listen = .*{other}")
    d.wait_log(words.DEATH("web", how=words.EXITED(1)))
    assert returned(get(port), "bind", "b") == [0]
    d.stop()


def test_unlisted_port_that_is_free_is_no_reason_to_complain(box, port):
    other = free_port()
    d = start(box, *watched(box), *tcp(other, "127.0.0.1", "b"), *tcp(port),
              "serve:poll", port=port, instances=1)
    get(other)
    assert is_refused(("127.0.0.2", other))
    os.kill(d.ready_pids()[0], 9)
    box.wait_events("serve", 2)
    get(other)
    d.stop()
    assert TAKEN not in d.log()
