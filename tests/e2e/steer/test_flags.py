"""The flags of a socket that several workers share, which are everybody's."""

import contextlib
import os
import shlex
import signal
import socket
import sys
import threading

import pytest

import words
from binder import BINDER, binder, tcp, unix
from harness import HERE, SLOW, free_port, wait_until
from lanes import as_nobody, kill_and_wait, nobodys, take_fd, wait_asleep

N = 3
LIMIT = 5.0
NAME = "loop.py"


class Client:
    """A connection that is kept, and each line of which is answered."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port),
                                               LIMIT * SLOW)
        self.lines = self.socket.makefile("rb")

    def ask(self):
        """The pid of who answers."""
        self.socket.sendall(b"?\n")
        line = self.lines.readline()
        assert line, "the end"
        return int(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.socket.close()


def program(box, port, *arguments):
    """asyncio, where another user may read it."""
    path = box.path(NAME)
    if not os.path.exists(path):
        with open(os.path.join(HERE, "servers", NAME)) as f:
            box.write(NAME, f.read(), mode=0o644)
    return shlex.join([sys.executable, "-B", path, str(port),
                       *map(str, arguments)])


def configure(box, port, *arguments, **keys):
    box.config(web={"command": program(box, port, *arguments),
                    "listen": f"127.0.0.1:{port}", "instances": N,
                    "restart_delay": "10ms", **keys})


def start(box, port, **keys):
    configure(box, port, **keys)
    d = box.start(**as_nobody(box))
    d.wait_ready(N, limit=30)
    wait_asleep(d)
    return d


def keep_one_of_each(stack, port, count):
    """A connection to each of the workers, by pid."""
    kept = {}

    def more():
        client = Client(port)
        kept.setdefault(client.ask(), stack.enter_context(client))
        return len(kept) == count
    wait_until(more, "one of each", 30)
    return kept


def check_all_answer(kept, port):
    """Those that are kept, and many at the same time that are new."""
    for pid, client in kept.items():
        assert client.ask() == pid
    with contextlib.ExitStack() as stack:
        new = [stack.enter_context(Client(port)) for _ in range(30)]
        for client in new:
            client.socket.sendall(b"?\n")
        for client in new:
            assert client.lines.readline()
    for pid, client in kept.items():
        assert client.ask() == pid


class Stream:
    """Clients one after another, until the end of the block."""

    def __init__(self, port):
        self.port = port
        self.over = threading.Event()
        self.served = 0
        self.failures = []
        self.threads = [threading.Thread(target=self._run) for _ in range(4)]

    def _run(self):
        while not self.over.wait(0.002) and len(self.failures) < 5:
            try:
                with Client(self.port) as client:
                    client.ask()
                    self.served += 1
            except (OSError, AssertionError) as e:
                self.failures.append(e)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


def check_stream(stream):
    """Workers that are stopped may cut who was speaking to them: asyncio ends
    at once."""
    hung = [e for e in stream.failures if isinstance(e, TimeoutError)]
    assert not hung, f"{len(hung)} waited in vain, {stream.served} did not"
    assert stream.served


def test_event_loops_go_on_when_one_of_them_dies(box):
    port = free_port()
    d = start(box, port)
    for turn in range(3):
        with contextlib.ExitStack() as stack:
            kept = keep_one_of_each(stack, port, N)
            victim = sorted(kept)[turn % N]
            kill_and_wait(d, victim)
            del kept[victim]
            check_all_answer(kept, port)
            d.wait_replaced([victim], N)
            check_all_answer(kept, port)
    assert not d.find(r"balance = auto is shared")
    d.stop()


@pytest.mark.parametrize("handoff", ["auto", "env"])
def test_event_loops_go_on_after_an_aborted_reload_to_shared(box, handoff):
    port = free_port()
    d = start(box, port)
    with Stream(port) as stream, contextlib.ExitStack() as stack:
        kept = keep_one_of_each(stack, port, N)
        configure(box, port, 60, balance="shared", handoff=handoff,
                  ready="notify", ready_timeout="1s")
        d.send(signal.SIGHUP)
        d.wait_log(r"web: reloading, generation 2")
        check_all_answer(kept, port)
        d.wait_log(words.RELOAD_ABORTED("web"), limit=30)
        check_all_answer(kept, port)
    check_stream(stream)
    d.stop()


def test_event_loops_go_on_during_a_slow_reload_to_shared(box):
    port = free_port()
    d = start(box, port)
    with Stream(port) as stream, contextlib.ExitStack() as stack:
        kept = keep_one_of_each(stack, port, N)
        configure(box, port, 1.5, balance="shared")
        d.send(signal.SIGHUP)
        d.wait_log(r"web: reloading, generation 2")
        check_all_answer(kept, port)
        d.wait_log(words.RELOAD_DONE("web", 2), limit=60)
        check_all_answer({}, port)
    check_stream(stream)
    d.stop()


def socket_number(pid):
    """The first number that a process has for a socket, from 3."""
    for fd in sorted(map(int, os.listdir(f"/proc/{pid}/fd"))):
        if fd > 2 and os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket"):
            return fd
    raise AssertionError("no socket")


def nonblocking(lane):
    return not os.get_blocking(lane.fileno())


@pytest.mark.parametrize("how", ["auto", "shared"])
def test_flags_that_a_worker_sets_later_stay(box, how):
    """It binds and listens while its socket blocks; a second later that does
    not any more. The next ones come by one and one."""
    port = free_port()
    box.config(web={
        "command": binder("socket:a:tcp4", "set:a:reuseaddr:1",
                          f"bind:a:127.0.0.1:{port}", "listen:a:5",
                          "sleep:300", "nonblock:a", "serve:epoll",
                          program=nobodys(box, BINDER)),
        "listen": f"127.0.0.1:{port}", "instances": N, "balance": how,
        "restart_delay": "10ms"})
    d = box.start(**as_nobody(box))
    d.wait_ready(N)
    wait_asleep(d)
    for _ in range(N):
        old = d.ready_pids()
        with take_fd(old[0], 4) as lane:     # its own; 3 was what it was given
            wait_until(lambda: nonblocking(lane), "it does not block")
            os.kill(old[1], signal.SIGKILL)

            def replaced():
                assert nonblocking(lane), "it blocks, and others have it"
                return old[1] not in d.ready_pids() and \
                    len(d.ready_pids()) == N
            wait_until(replaced, "the next one is there", 30)
            wait_asleep(d)
            assert nonblocking(lane)
    d.stop()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_what_a_reload_sets_comes_when_nobody_minds(box, kind):
    """From a program whose socket blocks to one whose does not. It gets the
    same lane, but nothing of it changes under the old ones."""
    port = free_port()
    path = box.path("a.sock")

    def write(flags, *steps):
        first, *bind = tcp(port, "127.0.0.1", flags=flags) \
            if kind == "tcp" else unix(path, unlink=False, flags=flags)
        box.config(web={
            "command": binder(first, *steps, *bind, "serve:epoll",
                              program=nobodys(box, BINDER)),
            "listen": f"127.0.0.1:{port}" if kind == "tcp" else
                      f"unix:{path}",
            "instances": N, "balance": "shared", "restart_delay": "10ms"})
    write("")
    d = box.start(**as_nobody(box))
    d.wait_ready(N)
    old = d.ready_pids()
    number = socket_number(old[0])
    with take_fd(old[0], number) as lane:
        assert not nonblocking(lane)
        write(",nonblock", "set:a:keepalive:1")
        d.send(signal.SIGHUP)

        def changed():
            if nonblocking(lane) or lane.getsockopt(socket.SOL_SOCKET,
                                                    socket.SO_KEEPALIVE):
                assert not set(old) & set(d.workers()), "too early"
            return nonblocking(lane) and lane.getsockopt(
                socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        wait_until(changed, "it does not block", 30)
    d.wait_log(words.RELOAD_DONE("web", 2))
    d.stop()
