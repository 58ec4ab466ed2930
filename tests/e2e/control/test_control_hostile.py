"""The control socket, and clients that mean no good or are very many."""

import collections
import contextlib
import os
import random
import resource
import selectors
import signal
import socket
import subprocess
import threading
import time

import pytest

import control
import harness
import lingering
import preloads
import words
from control import Answer, Client, client, do, status
from harness import SLOW, kinds, probe, status_field, wait_until


def rss(pid):
    """Of memory of its own: of its files as much is there as it has used of late."""
    return int(status_field(pid, "RssAnon").split()[0])


def ready(box, instances=2, **keys):
    box.web(instances=instances, **keys)
    d = box.start()
    d.wait_ready(instances, limit=60)
    return d


def open_clients(stack, box, count):
    path = control.place(box)
    return [stack.enter_context(Client(path)) for _ in range(count)]


def wait_fds(d, before):
    wait_until(lambda: kinds(d.pid) == before,
               lambda: f"the descriptors of before: {before}, {kinds(d.pid)}")


def read_to_end(s):
    """What the other side still said, however it ended."""
    said = b""
    with contextlib.suppress(ConnectionResetError):
        while part := s.recv(65536):
            said += part
    return said.decode()


# --- bytes

@pytest.mark.valgrind
def test_garbage_gets_an_error_and_does_no_harm(box):
    d = ready(box, balance="shared")
    before = d.kinds_at_rest()
    rng = random.Random(4711)
    for rubbish in (b"\0\n", b"status\0\n", b"\xff\xfe\n", b"%s%n%x\n",
                    b"status\rx\n", b"\x1b[2J\n", b"+ status\n", b"ok\n",
                    b" \n", b"\n\n\n", b"restart web:-1\n",
                    b"restart :0\n", b"scale web +-1\n", b"scale web ++1\n",
                    b"scale web 99999999999999999999\n",
                    b"a b c d e f g h i j k\n", b"x" * 1023 + b"\n",
                    rng.randbytes(900).replace(b"\n", b"") + b"\n"):
        with client(box) as c:
            c.socket.sendall(rubbish)
            answer = c.answer()
            assert answer.why == "usage", (rubbish, answer.lines)
            assert answer.last.isprintable()
            for _ in range(rubbish.count(b"\n") - 1):
                c.answer()
            assert c.ask("wait").ok
    wait_fds(d, before)
    d.stop()


def test_request_without_an_end(box):
    d = ready(box)
    before = d.kinds_at_rest()
    for rubbish in (b"x" * 1024, b"x" * (1 << 20), b"\0" * 5000,
                    b"status " * 200):
        with client(box) as c:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                c.socket.sendall(rubbish)
            assert "error usage a request has 1024 bytes" in \
                read_to_end(c.socket)
    wait_fds(d, before)
    d.stop()


def test_request_in_pieces(box):
    d = ready(box)
    with client(box) as c:
        for byte in b"status\nwai":
            c.socket.sendall(bytes([byte]))
        assert control.check(c.answer()).ok
        c.socket.sendall(b"t\n")
        assert c.answer().ok
    d.stop()


def test_many_requests_at_once_get_their_answers_in_turn(box):
    d = ready(box)
    with client(box) as c:
        c.send(*["status", "wait", "x"] * 300)
        for _ in range(300):
            control.check(c.answer())
            assert c.answer().text == "ready"
            assert c.answer().why == "usage"
    d.stop()


# --- who does not read

def test_client_that_never_reads_its_status(box, unwrapped):
    d = ready(box, 200, balance="shared", stop_timeout="3s")
    before = d.kinds_at_rest()
    with contextlib.ExitStack() as stack:
        memory = rss(d.pid)
        for c in open_clients(stack, box, 20):
            with contextlib.suppress(BlockingIOError):
                c.socket.setblocking(False)
                c.socket.sendall(b"status\n" * 100000)
        now = status(box)
        assert len(now.seats()) == 200
        # 128 KiB for each, as the manual says.
        assert rss(d.pid) < memory + 20 * 160 + 1024
        old = now.pids()
        os.kill(old[0], signal.SIGKILL)
        control.wait_status(box, lambda s: s.app()["ready"] == 200 and
                            s.pids()[0] != old[0])
    wait_fds(d, before)
    d.stop(limit=30)


def test_client_that_never_reads_its_progress(box, unwrapped):
    flag = box.touch("flag")
    box.web("--fail-if-file", flag, instances=20, restart_delay="1ms",
            restart_delay_max="1ms", balance="shared")
    d = box.start()
    with client(box) as c:
        c.greet()
        memory = rss(d.pid)
        c.send("wait")
        # More than the kernel takes, and then some.
        control.wait_status(box, lambda s: sum(
            r["restarts_failure"] for r in s.seats()) > 2000, limit=60)
        assert rss(d.pid) < memory + 1024
        os.unlink(flag)
        do(box, "wait")
        answer = c.answer()
        # Some was left out, the end was not.
        assert answer.ok and 100 < len(answer.notes) < 2000
    d.stop()


def test_clients_that_are_killed_in_mid_answer(box):
    d = ready(box, 50, balance="shared")
    do(box, "restart web:0")        # opens what a restart needs
    d.wait_workers(50)
    before = d.kinds_at_rest()
    path = control.place(box)
    for n in range(40):
        c = Client(path)
        c.send("status", "status", "restart web:1", "status")
        for _ in range(n % 4):
            c.line()
        c.close()
    child = subprocess.Popen(
        ["/usr/bin/python3", "-ISc",
         "import socket, sys, time\n"
         "all = []\n"
         "for i in range(50):\n"
         "    s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
         "    s.sendall(b'status\\n' * 50); all.append(s)\n"
         "print(1, flush=True)\n"
         "time.sleep(100)\n", path], stdout=subprocess.PIPE)
    child.stdout.readline()
    child.kill()
    child.wait()
    child.stdout.close()
    wait_fds(d, before)
    do(box, "wait")
    assert len(status(box).seats()) == 50
    d.stop(limit=30)


# --- too many

def test_stalled_clients_give_way_to_others(box):
    d = ready(box)
    before = d.kinds_at_rest()
    with contextlib.ExitStack() as stack:
        stalled = open_clients(stack, box, 300)
        for c in stalled[::2]:
            c.socket.sendall(b"stat")
        begun = time.monotonic()
        assert len(status(box).seats()) == 2
        assert time.monotonic() - begun < 5 * SLOW
        assert "error slow" in read_to_end(stalled[1].socket)
    wait_fds(d, before)
    d.stop()


def test_clients_keep_their_places_while_nobody_waits_for_one(box):
    d = ready(box)
    with contextlib.ExitStack() as stack:
        # Exactly as many as there are places, and nobody else.
        clients = open_clients(stack, box, 256)
        for c in clients:
            c.greet()
        time.sleep(1.5 * SLOW)      # longer than a stalled one may
        for c in clients:
            assert c.ask("wait").ok
        # One more, and all that had nothing to say give way …
        time.sleep(1.1 * SLOW)
        assert status(box).seats()
        # … and the rest stays once more.
        others = open_clients(stack, box, 3)
        for c in others:
            c.greet()
        time.sleep(1.3 * SLOW)
        for c in others:
            assert c.ask("wait").ok
    d.stop()


def test_client_whose_request_is_carried_out_keeps_its_place(box):
    box.web("--ready", f"file:{box.path('go')}", ready="notify")
    d = box.start()
    box.wait_events("start", 2)
    with contextlib.ExitStack() as stack:
        waits = stack.enter_context(client(box)).send("wait")
        waits.greet()
        open_clients(stack, box, 600)
        assert status(box).seats()
        box.touch("go")
        assert waits.answer().ok
    d.stop()


# Whether anybody waits for a place is looked at once the file is gone.
LOOK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>
int poll(struct pollfd *fds, nfds_t n, int ms)
{
	int (*next)(struct pollfd *, nfds_t, int) = dlsym(RTLD_NEXT, "poll");

	if (n == 1 && ms == 0 && access("%s", F_OK) == 0) {
		close(open("%s", O_WRONLY | O_CREAT, 0600));
		while (access("%s", F_OK) == 0)
			usleep(1000);
	}
	return next(fds, n, ms);
}
"""


@preloads.needed
def test_client_that_clusterd_has_kept_waiting_does_not_give_way(box):
    """It was clusterd that did not get the processor, between two looks."""
    hold, held = box.path("hold"), box.path("held")
    library = preloads.of_source(box, box.path("look.so"),
                                 LOOK % (hold, held, hold))
    box.web("--ready", f"file:{box.path('go')}", ready="notify")
    d = box.start(env={"LD_PRELOAD": library})
    box.wait_events("start", 2)
    with contextlib.ExitStack() as stack:
        others = open_clients(stack, box, 255)
        for c in others:
            c.send("wait").greet()
        c, = open_clients(stack, box, 1)
        c.greet()
        begun = time.monotonic()
        box.touch("hold")
        late, = open_clients(stack, box, 1)     # there is no place left
        wait_until(lambda: os.path.exists(held), "clusterd looks")
        c.send("status")
        wait_until(lambda: time.monotonic() > begun + 1.1,
                   "longer than a stalled one may")
        os.unlink(hold)
        assert c.answer().ok
        box.touch("go")
        assert late.ask("wait").ok
    d.stop()


def ask_all(box, count, request=b"status\n"):
    """So many at once; what each heard, and whether it was whole."""
    path = control.place(box)
    selector = selectors.DefaultSelector()
    said = {}
    with contextlib.ExitStack() as stack:
        for n in range(count):
            s = stack.enter_context(socket.socket(socket.AF_UNIX))
            s.settimeout(20 * SLOW)
            s.connect(path)
            s.setblocking(False)
            s.sendall(request)
            s.shutdown(socket.SHUT_WR)
            said[s] = b""
            selector.register(s, selectors.EVENT_READ)
        yield
        deadline = time.monotonic() + 60 * SLOW
        while selector.get_map():
            assert time.monotonic() < deadline, "answers do not come"
            for key, _ in selector.select(1):
                part = key.fileobj.recv(65536)
                said[key.fileobj] += part
                if not part:
                    selector.unregister(key.fileobj)
        selector.close()
    yield [text.decode().splitlines() for text in said.values()]


def test_thousand_clients_at_once_get_whole_answers(box, unwrapped):
    d = ready(box, 4, restart_delay="10ms")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[0] < 1200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (2000, limits[1]))
    # The first reload needs lanes for old and new workers, which stay open.
    do(box, "reload")
    d.wait_workers(4)
    before = d.kinds_at_rest()
    pids = status(box).pids()
    memory = rss(d.pid)
    asking = ask_all(box, 1000)
    next(asking)
    # Meanwhile, the rest goes on.
    begun = time.monotonic()
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_DONE("web", 3))
    new = d.wait_replaced(pids, 4)
    os.kill(new[0], signal.SIGKILL)
    d.wait_replaced(new[:1], 4)
    assert time.monotonic() - begun < 5 * SLOW
    answers = next(asking)
    assert len(answers) == 1000
    for lines in answers:
        assert lines[0].startswith("clusterd 1 ")
        control.check(Answer(lines[1:]))
    print(f"RSS of clusterd: {memory} KiB, {rss(d.pid)} KiB after")
    assert rss(d.pid) < memory + 4096
    wait_fds(d, before)
    d.stop()


def test_too_few_descriptors_are_survived(box, unwrapped):
    d = ready(box)
    before = d.kinds_at_rest()
    limits = resource.prlimit(d.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE,
                     (len(before) + 3, limits[1]))
    with contextlib.ExitStack() as stack:
        few = open_clients(stack, box, 3)
        for c in few:
            assert c.ask("wait").ok
        # With none left for /proc, what it shows is missing.
        assert control.check(few[0].ask("status")).seats()
        waits, = open_clients(stack, box, 1)
        waits.send("wait")
        ticks = cpu_ticks(d.pid)
        # Those that have said nothing for a second give way.
        waits.greet()
        # It has not turned round and round meanwhile.
        assert cpu_ticks(d.pid) - ticks <= 20
        assert waits.answer().ok
        resource.prlimit(d.pid, resource.RLIMIT_NOFILE, limits)
        control.check(status(box))
    wait_fds(d, before)
    d.stop()


def cpu_ticks(pid):
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_idle_clients_cost_nothing(box, unwrapped):
    d = ready(box)
    with contextlib.ExitStack() as stack:
        for c in open_clients(stack, box, 5):
            assert c.ask("status").ok
        half, = open_clients(stack, box, 1)
        half.greet()
        half.socket.sendall(b"stat")
        closed, = open_clients(stack, box, 1)
        closed.send("wait").socket.shutdown(socket.SHUT_WR)
        assert closed.answer().ok
        # What is measured, not a wait.
        calls = harness.system_calls(box, d, lambda: time.sleep(1))
        if calls is None:
            pytest.skip("needs strace, and to be let trace")
        assert calls == []
    d.stop()


def test_those_that_ask_on_and_on_leave_time_to_others(box):
    box.config(web={"command": probe(), "ready": "notify", "instances": 300})
    d = box.start()
    over = threading.Event()

    heard = collections.Counter()

    def ask_and_read(c):
        with contextlib.suppress(OSError):
            while not over.is_set():
                c.sendall(b"status\n" * 20)
                for _ in range(20):
                    heard[c] += len(c.recv(1 << 20))

    with client(box) as quiet, contextlib.ExitStack() as stack:
        assert quiet.ask("wait").ok
        hogs = [stack.enter_context(client(box)).socket for _ in range(16)]
        threads = [threading.Thread(target=ask_and_read, args=(c,))
                   for c in hogs]
        for thread in threads:
            thread.start()
        try:
            before = heard.copy()
            own = sum(len(line) + 1 for _ in range(5)
                      for line in quiet.ask("status").lines)
            # They have asked for 20 times as much; the socket's buffers, which
            # were full, are read at any time.
            got = [heard[c] - before[c] for c in hogs]
            assert max(got) < 3 * own + (1 << 20), (own, got)
        finally:
            over.set()
            for c in hogs:
                c.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
    d.stop()


def test_urgent_byte_does_not_keep_it_busy(box, unwrapped):
    """A look at what is there does not show such a byte, epoll does."""
    d = ready(box)
    with client(box) as c:
        c.greet()
        c.socket.send(b"x", socket.MSG_OOB)
        ticks = cpu_ticks(d.pid)
        # What is measured, not a wait.
        time.sleep(1)
        assert cpu_ticks(d.pid) - ticks <= 20
    assert status(box).ok
    d.stop()


# --- descriptors

def test_descriptors_that_a_client_sends_hold_nobody_up(box):
    """Refused by the kernel with the sender, or dropped with the client."""
    d = ready(box)
    with lingering.Lingering() as l:
        with client(box) as c:
            c.greet()
            with contextlib.suppress(OSError):
                l.send(c.socket, b"status\n")
                assert c.line() is None
        assert status(box).ok
        d.stop()
