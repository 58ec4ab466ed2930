"""Listeners: TCP, UDP, Unix, IPv4 and IPv6, and who else has the port."""

import errno
import grp
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess

import pytest

import words
from control import do
from harness import (IS_ROOT, SLOW, ask_udp, descriptors, free_port, get,
                     is_alive, is_refused, is_socket, kill, probe,
                     start_with_sockets, strerror, unshare, wait_until)


def test_port_serves_ipv4_and_ipv6(box, has_ipv6):
    box.web(listen=None, port=0)
    d = box.start()
    d.wait_ready(2)
    port = d.port()
    get(("127.0.0.1", port))
    get(("::1", port))
    assert get(port, "/dump").env["CLUSTERD_FD"] == "3"
    d.stop()
    assert is_refused(("127.0.0.1", port)) and is_refused(("::1", port))


def test_port_serves_ipv4_where_ipv6_is_switched_off(box, as_root):
    """In a network namespace of its own."""
    if shutil.which("ip") is None:
        pytest.skip("needs ip")
    box.web(listen=None, port=0)
    off = "/proc/sys/net/ipv6/conf/all/disable_ipv6"
    d = box.start(launcher=[
        *unshare("--net"), "sh", "-c", "ip link set lo up; "
        f'test ! -e {off} || echo 1 > {off}; exec "$@"', "sh"])
    d.wait_ready(2)
    said = subprocess.run(
        ["nsenter", "-t", str(d.pid), "-n", "bash", "-c",
         f"exec 3<>/dev/tcp/127.0.0.1/{d.port()} && "
         r"printf 'GET / HTTP/1.0\r\n\r\n' >&3 && cat <&3"],
        capture_output=True, text=True, timeout=20 * SLOW)
    assert "200 OK" in said.stdout, said.stderr
    d.stop()


def test_port_is_the_one_that_is_configured(box):
    port = free_port()
    box.web(listen=None, port=port)
    d = box.start()
    d.wait_ready(2)
    assert d.port() == port
    get(port)
    d.stop()


@pytest.mark.parametrize("listen, reached, refused", [
    ("127.0.0.1:{}", "127.0.0.1", "127.0.0.2"),
    ("127.0.0.2:{}", "127.0.0.2", "127.0.0.1"),
    ("{}", "127.0.0.1", None),
])
def test_listen_serves_the_address_as_written(box, listen, reached, refused):
    port = free_port()
    box.web(listen=listen.format(port))
    d = box.start()
    d.wait_ready(2)
    get((reached, port))
    if refused:
        assert is_refused((refused, port))
    d.stop()


def test_listen_on_ipv6_serves_ipv6_only(box, has_ipv6):
    port = free_port()
    box.web(listen=f"[::1]:{port}")
    d = box.start()
    d.wait_ready(2)
    get(("::1", port))
    assert is_refused(("127.0.0.1", port))
    d.stop()


def test_listen_on_all_of_ipv6_leaves_ipv4_to_others(box, has_ipv6):
    port = free_port()
    box.config(six={"command": probe(), "listen": f"[::]:{port}"},
               four={"command": probe(), "listen": f"0.0.0.0:{port}"})
    d = box.start()
    d.wait_log(words.READY("six"))
    d.wait_log(words.READY("four"))
    assert get(("::1", port), "/dump").env["CLUSTERD_APP"] == "six"
    assert get(("127.0.0.1", port), "/dump").env["CLUSTERD_APP"] == "four"
    d.stop()


def test_same_port_on_two_families(box, has_ipv6):
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}, [::1]:{port}")
    d = box.start()
    d.wait_ready(2)
    get(("127.0.0.1", port))
    get(("::1", port))
    d.stop()


def test_port_can_be_bound_again_at_once(box):
    """Connections in TIME_WAIT do not keep it."""
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}")
    for _ in range(3):
        d = box.start()
        d.wait_ready(2)
        for _ in range(10):
            get(port)
        d.stop()


def test_backlog_is_the_configured_one(box):
    box.web(listen=["127.0.0.1:0", "unix:x.sock"], backlog=17)
    d = box.start()
    d.wait_ready(2)
    port = d.addresses(count=2)[0][1]
    if os.system("command -v ss >/dev/null") != 0:
        pytest.skip("needs ss")
    said = os.popen(f"ss -Hltn 'sport = :{port}'").read().split()
    assert said[2] == "17"
    d.stop()


def test_backlog_that_the_kernel_cuts_is_warned_about(box):
    limit = int(open("/proc/sys/net/core/somaxconn").read())
    if limit >= 65535:
        pytest.skip("nothing is cut here")
    box.web(backlog=limit + 1)
    d = box.start()
    d.wait_ready(2)
    d.wait_log("somaxconn")
    d.stop()


def test_accept_queue_survives_the_death_of_all_workers(box):
    """The listener is clusterd's: clients wait for the replacement."""
    box.web(restart_delay="200ms", restart_delay_max="200ms", instances=1)
    d = box.start()
    pid, = d.wait_ready(1)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), "its end")
    with socket.create_connection(("127.0.0.1", d.port()),
                                  timeout=10 * SLOW) as s:
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"200 OK" in s.recv(65536)
    d.stop()


# --- a port that somebody has

@pytest.mark.valgrind
def test_second_clusterd_on_the_port_ends_with_69(box):
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}")
    d = box.start()
    pids = d.wait_ready(2)
    # The same file once more would be told by the control socket.
    done = box.run("-c", box.copy(box.path("app.ini"), "again.ini"))
    assert done.returncode == 69
    assert f"127.0.0.1:{port}" in done.stderr
    assert strerror(errno.EADDRINUSE) in done.stderr
    assert len(box.events("start")) == 2
    assert d.pids_that_answer(port, 2) == set(pids)
    d.stop()


def test_second_clusterd_on_a_port_of_all_addresses_ends_with_69(box):
    port = free_port()
    box.web(listen=None, port=port)
    d = box.start()
    d.wait_ready(2)
    done = box.run("-p", port, "--", "/bin/true")
    assert done.returncode == 69
    assert str(port) in done.stderr
    assert strerror(errno.EADDRINUSE) in done.stderr
    get(port)
    d.stop()


def test_second_clusterd_on_a_udp_port_ends_with_69(box):
    port = free_port(socket.SOCK_DGRAM)
    box.web(listen=f"udp:127.0.0.1:{port}")
    d = box.start()
    d.wait_ready(2)
    assert box.run("-c", "app.ini").returncode == 69
    ask_udp(("127.0.0.1", port))
    d.stop()


def test_one_port_in_use_starts_nothing(box):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        taken = s.getsockname()[1]
        box.config(
            first={"command": probe("--events", box.events_path),
                   "listen": f"127.0.0.1:0, unix:{box.path('x.sock')}"},
            second={"command": probe("--events", box.events_path),
                    "listen": f"127.0.0.1:{taken}"})
        done = box.run("-c", "app.ini")
    assert done.returncode == 69
    assert f"127.0.0.1:{taken}" in done.stderr
    assert box.events() == []
    assert not os.path.exists(box.path("x.sock"))


def test_address_that_is_not_here_ends_with_69(box):
    box.web(listen="192.0.2.1:8080")
    done = box.run("-c", "app.ini")
    assert done.returncode == 69
    assert "192.0.2.1:8080" in done.stderr
    assert strerror(errno.EADDRNOTAVAIL) in done.stderr


def test_same_address_twice_in_the_file_is_refused(box):
    port = free_port()
    box.config(first={"command": probe(), "listen": f"127.0.0.1:{port}"},
               second={"command": probe(), "listen": f"127.0.0.1:{port}"})
    done = box.run("-c", "app.ini")
    assert done.returncode in (69, 78)
    assert f"127.0.0.1:{port}" in done.stderr


# --- Unix

@pytest.mark.valgrind
def test_unix_listener_serves_and_is_removed_at_the_end(box):
    path = box.path("x.sock")
    box.web(listen=f"unix:{path}")
    d = box.start()
    pids = d.wait_ready(2)
    assert d.pids_that_answer(path, 2) == set(pids)
    d.stop()
    assert not os.path.exists(path)
    # nor anything beside it, such as a lock or a temporary name
    assert not [n for n in os.listdir(box.dir) if n.startswith("x.sock")]


def test_unix_listener_with_a_relative_path_lies_beside_the_file(box):
    os.mkdir(box.path("run"))
    box.web(listen="unix:run/x.sock")
    d = box.start("-c", box.path("app.ini"), cwd="/")
    d.wait_ready(2)
    get(box.path("run/x.sock"))
    d.stop()


@pytest.mark.parametrize("mode", [None, "0600", "0666", "777"])
def test_unix_listener_has_its_mode(box, mode):
    path = box.path("x.sock")
    box.web(listen=f"unix:{path}", socket_mode=mode)
    d = box.start(preexec_fn=lambda: os.umask(0o077))
    d.wait_ready(2)
    assert stat.S_IMODE(os.stat(path).st_mode) == int(mode or "0660", 8)
    # and the umask of the workers is not touched by that
    assert get(path, "/dump").one("umask") == "0077"
    d.stop()


def test_unix_listener_has_its_owner(box, as_root):
    path = box.path("x.sock")
    box.web(listen=f"unix:{path}", socket_user="nobody", socket_group="daemon")
    d = box.start()
    d.wait_ready(2)
    st = os.stat(path)
    assert st.st_uid == pwd.getpwnam("nobody").pw_uid
    assert st.st_gid == grp.getgrnam("daemon").gr_gid
    d.stop()


def test_stale_socket_file_is_replaced(box):
    path = box.path("x.sock")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        s.listen()
    assert is_socket(path)
    box.web(listen=f"unix:{path}")
    d = box.start()
    d.wait_ready(2)
    get(path)
    d.stop()


def test_live_socket_file_is_refused_with_69(box):
    path = box.path("x.sock")
    box.web(listen=f"unix:{path}")
    d = box.start()
    pids = d.wait_ready(2)
    # The same file once more would be told by the control socket.
    done = box.run("-c", box.copy(box.path("app.ini"), "again.ini"))
    assert done.returncode == 69
    assert path in done.stderr
    assert words.IN_USE.search(done.stderr)
    assert d.pids_that_answer(path, 2) == set(pids)
    d.stop()
    assert not os.path.exists(path)


def test_live_socket_with_a_full_queue_is_refused_too(box):
    path = box.path("x.sock")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        s.listen(0)
        clients = []
        while True:
            c = socket.socket(socket.AF_UNIX)
            c.setblocking(False)
            clients.append(c)
            try:
                c.connect(path)
            except BlockingIOError:
                break
        box.web(listen=f"unix:{path}")
        done = box.run("-c", "app.ini")
        for c in clients:
            c.close()
    assert done.returncode == 69
    assert is_socket(path)


def test_file_that_is_no_socket_is_not_removed(box):
    path = box.write("x.sock", "precious")
    box.web(listen=f"unix:{path}")
    done = box.run("-c", "app.ini")
    assert done.returncode == 69
    assert path in done.stderr
    assert open(path).read() == "precious"


def test_unix_path_that_is_too_long_is_told(box):
    box.web(listen="unix:" + "x" * 120)
    done = box.run("-c", "app.ini")
    assert done.returncode in (69, 78)
    assert "xxx" in done.stderr


def test_unix_path_of_every_length_that_passes_the_check_can_be_used(box):
    longest = None
    for length in range(80, 112):
        name = "x" * (length - len(box.dir) - 1)
        box.web(listen=f"unix:{box.path(name)}")
        if box.run("-t", "-c", "app.ini").returncode == 0:
            longest = name
    assert longest and len(box.path(longest)) >= 90
    box.web(listen=f"unix:{box.path(longest)}")
    d = box.start()
    d.wait_ready(2)
    get(box.path(longest))
    d.stop()


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_mode_that_a_server_sets_stays(box):
    """Whatever brings new workers; only what the file says anew is put in
    force."""
    path = box.path("web.unix")
    box.web(listen=f"unix:{path}")
    d = box.start()
    pids = d.wait_ready(2)
    assert mode_of(path) == 0o660
    os.chmod(path, 0o606)
    for request in ("reload", "restart web", "update", "scale web 3",
                    "scale web 2"):
        do(box, request)
        assert mode_of(path) == 0o606, request
    pids = d.ready_pids()
    kill(pids[0])
    d.wait_replaced(pids[:1], 2)
    assert mode_of(path) == 0o606
    box.web(listen=f"unix:{path}", socket_mode="0640")
    do(box, "update")
    assert mode_of(path) == 0o640
    os.chmod(path, 0o606)
    do(box, "reload")
    assert mode_of(path) == 0o606
    box.web(listen=f"unix:{path}")
    do(box, "reload")
    assert mode_of(path) == 0o660
    d.stop()


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
    box.web(listen=f"unix:{path}", socket_mode="0640", **owner)
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_DONE("web", 2))
    d.wait_replaced(old, 2)
    d.stop()
    after = os.stat(secret)
    assert (after.st_mode, after.st_uid, after.st_gid, after.st_ctime_ns) == \
        (before.st_mode, before.st_uid, before.st_gid, before.st_ctime_ns)
    # it is not ours to remove either
    assert os.path.islink(path)


# --- UDP

@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.valgrind
def test_udp_listener_answers(box, host, request):
    if host == "::1":
        request.getfixturevalue("has_ipv6")
    text = f"[{host}]" if ":" in host else host
    box.web(listen=f"udp:{text}:0")
    d = box.start()
    pids = d.wait_ready(2)
    assert ask_udp((host, d.port())).pid in pids
    d.stop()


def test_udp_and_tcp_on_the_same_port(box):
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}, udp:127.0.0.1:{port}")
    d = box.start()
    d.wait_ready(2)
    get(port)
    ask_udp(("127.0.0.1", port))
    d.stop()


# --- sockets that clusterd's own supervisor has opened

def socket_link(s):
    return os.readlink(f"/proc/self/fd/{s.fileno()}")


@pytest.mark.valgrind
def test_sockets_from_the_parent_are_matched_by_address(box):
    path = box.path("x.sock")
    with socket.socket() as a, socket.socket() as b, \
            socket.socket(socket.AF_UNIX) as c:
        for s in (a, b):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("127.0.0.1", 0))
            s.listen()
        c.bind(path)
        c.listen()
        ports = [s.getsockname()[1] for s in (a, b)]
        # not in the order of the configuration, and one more from us
        box.web(listen=f"127.0.0.1:{ports[1]}, 127.0.0.1:0, unix:{path}, "
                f"127.0.0.1:{ports[0]}", instances=1,
                fd_protocol="clusterd systemd")
        d = start_with_sockets(box, a, b, c)
        d.wait_ready(1)
        dump = get(ports[0], "/dump")
        assert dump.fds[3] == socket_link(b)
        assert dump.fds[5] == socket_link(c)
        assert dump.fds[6] == socket_link(a)
        assert sorted(dump.fds) == [0, 1, 2, 3, 4, 5, 6]
        assert dump.env["LISTEN_FDS"] == "4"
        assert dump.env["LISTEN_PID"] == str(dump.pid)
        get(ports[1])
        get(path)
        # They stay ours across a reload.
        old = d.ready_pids()
        d.send(1)
        d.wait_replaced(old, 1)
        assert get(ports[0], "/dump").fds[3] == socket_link(b)
        d.stop()
        # The file belongs to whoever made the socket.
        assert os.path.exists(path)


def test_socket_from_the_parent_that_no_app_serves_is_closed(box):
    with socket.socket() as a:
        a.bind(("127.0.0.1", 0))
        a.listen()
        port = a.getsockname()[1]
        box.web(instances=1)
        d = start_with_sockets(box, a)
        d.wait_ready(1)
        assert sorted(get(d.port(), "/dump").fds) == [0, 1, 2, 3]
        d.wait_log(str(port))   # said so
        assert socket_link(a) not in descriptors(d.pid)
        d.stop()


def test_listen_fds_for_another_pid_is_not_believed(box):
    """As it is inherited by a shell, say: the fds are not ours."""
    with socket.socket() as a:
        a.bind(("127.0.0.1", 0))
        a.listen()
        port = a.getsockname()[1]
        box.web(listen=f"127.0.0.1:{port}")
        d = box.start(env={"LISTEN_FDS": "1", "LISTEN_PID": "1"})
        assert d.wait() == 69
