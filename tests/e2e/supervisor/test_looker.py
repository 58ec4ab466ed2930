"""The child that looks at other processes (clusterd-look in ps): whose it is, when it
ends, and what it leaves."""

import os
import signal
import sys
import time

import pytest

from harness import (HAS_KEEPER, SLOW, children_of, free_port, is_alive,
                     is_looker, process_state, status_field, wait_until)
from holding import PAGE, said, userfaultfd     # noqa: F401

# Its epoll instance cannot be looked at until it lets go.
HOLDS = PAGE + """
import select
epoll = select.epoll()
a, b = socket.socketpair()
b.send(b"x")
epoll.register(a, select.EPOLLIN)
sleep_in(libc.epoll_wait, epoll.fileno(), ctypes.c_void_p(page), 1, -1)
say("held")
wait_and_let_go()
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    s.accept()[0].close()
"""


def lookers_of(pid):
    return [child for child in children_of(pid) if is_looker(child) and
            process_state(child) not in ("Z", "X", None)]


def the_looker(d):
    """Which is the supervisor's, and the only one of all."""
    def look():
        supervisor = d.find_supervisor()
        if supervisor is None:
            return None
        own = lookers_of(supervisor)
        others = [] if d.keeper == supervisor else lookers_of(d.keeper)
        return own[0] if len(own) == 1 and not others else None
    return wait_until(look, "one child that looks")


def test_one_that_is_killed_is_replaced_without_a_word(box):
    box.web()
    d = box.start()
    workers = d.wait_ready(2)
    for _ in range(5):
        old, mark = the_looker(d), d.mark()
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: the_looker(d) != old, "another one")
        assert d.log()[mark:] == ""
    assert d.wait_ready(2) == workers
    # It looks.
    d.send(signal.SIGHUP)
    d.wait_replaced(workers, 2)
    d.stop()


@pytest.mark.skipif(not HAS_KEEPER, reason="needs the keeper")
def test_it_ends_with_its_supervisor(box):
    box.web()
    d = box.start()
    workers = d.wait_ready(2)
    for _ in range(5):
        old, supervisor = the_looker(d), d.find_supervisor()
        os.kill(supervisor, signal.SIGKILL)
        wait_until(lambda: not is_alive(old), "its end")
        wait_until(lambda: d.find_supervisor() not in (None, supervisor),
                   "another supervisor")
        assert the_looker(d) != old
    assert sorted(d.wait_ready(2)) == sorted(workers)
    looker = the_looker(d)
    d.stop()
    assert not is_alive(looker)


def test_it_ends_with_a_supervisor_without_a_keeper(box, unwrapped):
    box.web()
    d = box.start(env={"CLUSTERD_KEEPER": "no"})
    d.wait_log("start complete")
    assert len(lookers_of(d.keeper)) == 1
    children = children_of(d.keeper)
    os.kill(d.keeper, signal.SIGKILL)
    d.wait()
    wait_until(lambda: not any(map(is_alive, children)), "their end")


@pytest.mark.skipif(not HAS_KEEPER, reason="needs the keeper")
def test_one_that_nothing_ends_is_no_worker_of_the_next_supervisor(
        box, userfaultfd):      # noqa: F811
    port = free_port()
    script = box.write("holds.py", HOLDS)
    box.config(web={"command": f"{sys.executable} {script} {port} "
                    f"{box.path('let')} {box.path('said')}",
                    "listen": f"127.0.0.1:{port}", "instances": 1,
                    "handoff": "adopt", "ready": "accept",
                    "ready_timeout": "60s", "stop_timeout": "500ms"})
    d = box.start()
    said(box, "held")
    d.wait_log(r"web\[0\] pid \d+: cannot be looked at for now")
    web, = d.workers()
    for _ in range(2):
        mark, old = d.mark(), d.find_supervisor()
        stuck = [pid for pid in lookers_of(old)
                 if process_state(pid) == "D"]
        assert stuck
        os.kill(old, signal.SIGKILL)
        d.wait_log(r"web\[0\] pid \d+: cannot be looked at for now",
                   start=mark)
        assert d.workers() == [web]
        assert all(process_state(pid) == "D" for pid in stuck)
    box.touch("let")
    d.wait_ready(1)
    wait_until(lambda: not lookers_of(d.keeper), "the ends of both")
    the_looker(d)
    since = time.monotonic()
    d.stop()
    assert time.monotonic() - since < 5 * SLOW


def test_its_memory_is_mostly_shared(box, unwrapped):
    box.web()
    d = box.start()
    d.wait_ready(2)
    with open(f"/proc/{the_looker(d)}/smaps_rollup") as f:
        own = sum(int(line.split()[1]) for line in f
                  if line.startswith("Private_"))
    assert own < int(status_field(d.pid, "VmRSS").split()[0]) / 2
    d.stop()
