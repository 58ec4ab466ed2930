"""Which of an app's addresses its program really serves, and the rest."""

import errno
import os
import signal
import socket

import pytest

import words
from binder import NONBLOCK, all_answer, settings, start, tcp, warnings
from harness import (SLOW, free_port, get, is_refused, stays, strerror,
                     wait_until)
from programs import PYTHON
from test_adopt_address import BOTH, EACH, served


@pytest.fixture
def port(has_ipv6):
    return free_port()


def closed(steps, slot):
    return [*steps, f"close:{slot}"]


def test_server_that_tries_the_port_first_is_followed(box, port):
    """As detect-port and its like do: listen, close, and listen for good."""
    d = start(box, *closed(tcp(port, "127.0.0.1"), "a"),
              *tcp(port, "::", slot="b"), "serve:poll:b", port=port)
    served(d, port, BOTH)
    # It does so again with every start.
    first, _ = d.ready_pids()
    os.kill(first, signal.SIGKILL)
    d.wait_replaced([first], 2)
    served(d, port, BOTH)
    d.stop()


def test_server_that_only_binds_to_try_is_followed(box, port):
    probing = [s for s in tcp(port, "127.0.0.1") if "listen" not in s]
    d = start(box, *closed(probing, "a"), *tcp(port, "::", slot="b"),
              "serve:poll:b", port=port)
    served(d, port, BOTH)
    assert not d.find(rf"listening on 127\.0\.0\.1:{port}")
    d.stop()


def test_address_that_the_program_does_not_serve_refuses(box, port):
    other = free_port()
    d = start(box, *tcp(port), "serve:epoll", listen=[port, other])
    wait_until(lambda: is_refused(other), "nobody there")
    said = rf"not \[::\]:{other}: .*refused"
    d.wait_log(said)
    all_answer(d, port, 2)
    assert len(warnings(d, said)) == 1
    # A reload to a program that serves both by their numbers.
    box.config(web=settings("take:a:0", "take:b:1", "serve:poll",
                            listen=[port, other]))
    d.send(signal.SIGHUP)
    d.wait_log("reload complete, generation 2")
    for address in (port, other):
        all_answer(d, address, 2)
    d.stop()


def test_address_that_the_program_serves_later_is_open_then(box, port):
    other, go = free_port(), box.path("go")
    d = start(box, *tcp(port, flags=NONBLOCK), "epoll:a", f"until:{go}",
              *tcp(other, slot="b", flags=NONBLOCK), "epoll:b", "serve:epoll",
              listen=[port, other])
    wait_until(lambda: is_refused(other), "nobody there yet")
    box.write("go", "")
    wait_until(lambda: not is_refused(other), d.log)
    assert get(other).pid in d.ready_pids()
    assert get(port).pid in d.ready_pids()
    d.stop()


def test_one_dual_stack_server_for_two_written_addresses(box, port):
    d = start(box, *tcp(port, "::"), "serve:epoll",
              listen=[f"0.0.0.0:{port}", f"[::]:{port}"])
    served(d, port, BOTH)
    assert not warnings(d, "")
    d.stop()


def test_two_sockets_for_two_written_addresses(box, port):
    d = start(box, *tcp(port, flags=NONBLOCK),
              *tcp(port, "::", slot="b", flags=NONBLOCK, only=True),
              "serve:epoll", listen=[f"0.0.0.0:{port}", f"[::]:{port}"])
    served(d, port, EACH)
    assert not warnings(d, "")
    d.stop()


def test_listener_that_a_worker_shuts_down_listens_again(box, port):
    d = start(box, "take:a:0", "serve:epoll", port=port)
    pid = d.ready_pids()[0]
    # The lane is everybody's: shut it down in the place of a worker.
    pidfd = os.pidfd_open(pid)
    try:
        lane = _take_fd(pidfd, 3)
    finally:
        os.close(pidfd)
    with lane:
        lane.shutdown(2)
    d.wait_log(rf"shut down the listener \[::\]:{port}.*listens again")
    all_answer(d, port, 2)
    d.stop()


def _take_fd(pidfd, number):
    """pidfd_getfd(2), which Python does not have."""
    import ctypes
    import platform
    import socket

    call = {"x86_64": 438, "aarch64": 438}[platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(call, pidfd, number, 0)
    if fd < 0:
        pytest.skip(f"pidfd_getfd: {os.strerror(ctypes.get_errno())}")
    return socket.socket(fileno=fd)


def test_reload_from_port_to_one_address_of_it(box, port):
    d = start(box, "take:a:0", "serve:poll", port=port, handoff="env")
    pids = d.ready_pids()
    box.config(web=settings("take:a:0", "serve:poll", handoff="env",
                            listen=f"127.0.0.1:{port}"))
    d.send(signal.SIGHUP)
    d.wait_replaced(pids, 2)
    d.wait_log(rf"no longer listening on \[::\]:{port}")
    all_answer(d, port, 2)
    assert is_refused(("::1", port)) and is_refused(("127.0.0.2", port))
    d.stop()


# --- what an attack and a review have found

def test_numbers_that_were_given_are_used_again(box, port):
    """A server that closes all, and so gets its own sockets as 3 and 4."""
    steps = ["take:x:0", "close:x", *tcp(port, "127.0.0.1", flags=NONBLOCK),
             *tcp(port, "::1", slot="b", flags=NONBLOCK), "serve:epoll"]
    d = start(box, *steps, port=port)
    stays(lambda: not is_refused(port) and not is_refused(("::1", port)),
          d.log)
    all_answer(d, port, 2)
    all_answer(d, ("::1", port), 2)
    d.stop()


def test_address_that_the_next_program_does_not_serve_refuses(box, port):
    other = free_port()
    d = start(box, *tcp(port, flags=NONBLOCK),
              *tcp(other, slot="b", flags=NONBLOCK), "serve:epoll",
              listen=[port, other])
    all_answer(d, other, 2)
    box.config(web=settings(*tcp(port), "serve:epoll", listen=[port, other]))
    d.send(signal.SIGHUP)
    d.wait_log("reload complete, generation 2")
    wait_until(lambda: is_refused(other), "nobody there any more")
    all_answer(d, port, 2)
    d.stop()


def test_refused_reload_leaves_a_refusing_address_so(box, port):
    other, taken = free_port(), socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    section = settings(*tcp(port), "serve:epoll", listen=[port, other])
    box.config(web=section)
    with taken:
        d = box.start()
        d.wait_ready(2)
        wait_until(lambda: is_refused(other), "nobody there")
        host, number = taken.getsockname()
        box.config(web=section, more=settings(
            "take:a:0", "serve:poll", listen=f"{host}:{number}"))
        d.send(signal.SIGHUP)
        d.wait_log("reload refused")
        assert is_refused(other)
        all_answer(d, port, 2)
        d.stop()


def test_app_that_ends_after_an_aborted_reload_refuses(box, port):
    go = box.path("go")
    d = start(box, *tcp(port), f"at-term:{go}", "serve:epoll", port=port,
              restart="never")
    box.config(web=settings(*tcp(port, "127.0.0.1"), "exit:1", port=port,
                            restart="never"))
    d.send(signal.SIGHUP)
    d.wait_log("reload aborted")
    all_answer(d, port, 2)
    for pid in d.ready_pids():
        os.kill(pid, signal.SIGKILL)
    d.wait_end(1)
    assert d.find(rf"no longer listening on 0\.0\.0\.0:{port}")


def test_two_apps_do_not_share_an_address(box, port):
    box.config(one=settings(*tcp(port, "127.0.0.1"), "serve:poll", port=port),
               two=settings(*tcp(port, "127.0.0.1"), "serve:poll",
                            listen=f"127.0.0.1:{port}"))
    d = box.start()
    d.wait_end(69)
    assert d.find(f"127.0.0.1:{port}: {strerror(errno.EADDRINUSE)}")


def test_app_does_not_take_over_what_another_serves(box, port):
    one = settings(*tcp(port, "127.0.0.1"), "serve:poll", port=port)
    box.config(one=one)
    d = box.start()
    pids = d.wait_ready(2)
    box.config(one=one, two=settings("take:a:0", "serve:poll",
                                     listen=f"127.0.0.1:{port}"))
    d.send(signal.SIGHUP)
    d.wait_log("reload refused")
    assert {a.pid for a in all_answer(d, port, 2)} == set(pids)
    d.stop()


def test_app_without_a_listener_is_told_which_port_to_add(box, port):
    box.config(web=settings(*tcp(port, flags=NONBLOCK), "need:a",
                            "serve:poll", ready="alive:200ms"))
    d = box.start()
    d.wait_log(rf"another instance listens on port {port}: .*: port = {port}")
    assert len(d.find(r": port = ")) == 1
    d.stop()


# --- who has it

@pytest.mark.parametrize("environment", ["os.environ", "{}"])
def test_daemon_behind_a_wrapper_is_no_tryout(box, port, environment):
    """Its parent is gone, and with a title over its environment it cannot even
    be told whose it was."""
    box.write("daemon.py", f"""
import os, socket, sys
if len(sys.argv) == 1:
    if os.fork():
        os._exit(0)
    os.setsid()
    os.execve(sys.executable, [sys.executable, __file__, "serve"],
              {environment})
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", {port}))
s.listen()
while True:
    c, _ = s.accept()
    c.sendall(b"hello")
    c.close()
""")
    box.config(web={"command": f'sh -c "{PYTHON} daemon.py; exec sleep 1000"',
                    "port": port, "instances": 1, "ready": "alive:500ms"})
    d = box.start()
    d.wait_log(rf"listening on 127\.0\.0\.1:{port} \(as its program")
    d.wait_ready(1)
    # It has been looked who serves what.
    stays(lambda: not is_refused(port), "it is open")
    with socket.create_connection(("127.0.0.1", port), 10 * SLOW) as s:
        assert s.recv(5, socket.MSG_WAITALL) == b"hello"
    d.stop()


def test_listener_by_a_low_number_is_no_tryout(box, port):
    """As servers of the UCSPI family have it, whose clients' programs get 0."""
    box.write("server.py", f"""
import os, socket
os.close(0)
s = socket.socket()
assert s.fileno() == 0
s.bind(("127.0.0.1", {port}))
s.listen()
while True:
    c, _ = s.accept()
    c.sendall(b"hello")
    c.close()
""")
    box.config(web={"command": f"{PYTHON} server.py", "port": port,
                    "instances": 2})
    d = box.start()
    d.wait_log(rf"listening on 127\.0\.0\.1:{port} \(as its program")
    d.wait_ready(2)
    for _ in range(4):
        with socket.create_connection(("127.0.0.1", port), 10 * SLOW) as s:
            assert s.recv(5, socket.MSG_WAITALL) == b"hello"
    d.stop()


@pytest.mark.parametrize("handoff", ["adopt", "auto"])
def test_who_dies_at_its_listen_keeps_nobody_waiting(box, port, handoff):
    """It is not heard until it is known to be meant; with its end that is
    over."""
    box.config(web=settings(*tcp(port, "127.0.0.1"), "exit:1", port=port,
                            instances=1, handoff=handoff,
                            restart_delay="60s", restart_delay_max="60s"))
    d = box.start()
    d.wait_log(words.DEATH("web"))
    if handoff == "adopt":
        wait_until(lambda: is_refused(("127.0.0.1", port)), d.log)
    else:
        # It waits for the next one, as with the port that was given.
        socket.create_connection(("127.0.0.1", port), 10 * SLOW).close()
    d.stop()


GIVEN = """
import os, select, socket, time
instance = os.environ["CLUSTERD_INSTANCE"]
def until(path):
    while not os.path.exists(path):
        time.sleep(0.01)
if instance == "0":
    until("go")
    s = socket.socket()
    s.bind(("127.0.0.1", {port}))
    s.listen()
    s.setblocking(False)
else:
    s = socket.socket(fileno=int(os.environ["CLUSTERD_FD"]))
while True:
    select.select([s], [], [])
    try:
        c, _ = s.accept()
    except BlockingIOError:
        continue
    if c.recv(4) == b"work":
        open("works", "w").close()
        until("done")
    c.sendall(instance.encode())
    c.close()
"""


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_who_is_at_work_is_not_told_to_bind_what_it_was_given(box, kind):
    """It waits for nobody just then, when it becomes ready."""
    port = free_port()
    path = box.path("s")
    # Nobody binds it by itself.
    box.write("server.py", GIVEN.format(port=port).replace('"0"', '"none"'))
    box.config(web={"command": f"{PYTHON} -S server.py", "instances": 1,
                    "ready": "alive:1s",
                    "listen": f"127.0.0.1:{port}" if kind == "tcp" else
                    f"unix:{path}"})
    d = box.start()
    with socket.socket(socket.AF_INET if kind == "tcp" else
                       socket.AF_UNIX) as s:
        at = ("127.0.0.1", port) if kind == "tcp" else path
        s.settimeout(10 * SLOW)
        wait_until(lambda: s.connect_ex(at) == 0, d.log)
        s.sendall(b"work")
        wait_until(lambda: os.path.exists(box.path("works")), "it is at work")
        d.wait_ready(1)
        stays(lambda: not d.find("has not bound"), d.log)
        box.touch("done")
        assert s.recv(1) == b"0"
    d.stop()


def test_who_serves_what_it_was_given_does_so_when_another_binds_it(box):
    """Also when it is at work just then, and waits for nobody."""
    port = free_port()
    box.write("server.py", GIVEN.format(port=port))
    box.config(web={"command": f"{PYTHON} -S server.py", "instances": 2,
                    "listen": f"127.0.0.1:{port}", "balance": "random"})
    d = box.start()
    d.wait_ready(1)

    def ask(text):
        s = socket.create_connection(("127.0.0.1", port), 10 * SLOW)
        s.sendall(text)
        return s
    waiting = [ask(b"work")]
    wait_until(lambda: os.path.exists(box.path("works")), "it is at work")
    waiting += [ask(b"else") for _ in range(5)]
    box.touch("go")
    d.wait_ready(2)
    box.touch("done")
    for s in waiting:
        with s:
            assert s.recv(1) == b"1"
    found = set()
    for _ in range(40):
        with ask(b"else") as s:
            found.add(s.recv(1))
    assert found == {b"0", b"1"}
    d.stop()
