"""Looks into workers, which a child makes: whoever holds it up costs one app a look."""

import os
import signal
import time

from harness import (CLUSTERD, SLOW, get, is_alive, is_looker, kill, probe,
                     process_state, wait_until)

NO_END = r"a look at it does not come to an end"


def with_starter(box):
    """`slow` is looked at all the time, and `web` is ready."""
    box.config(clusterd={"control": box.path("ctl.sock")},
               web={"command": probe(), "listen": "127.0.0.1:0",
                    "ready": "accept", "instances": 1},
               slow={"command": "sleep 600", "listen": "127.0.0.1:0",
                     "ready": "accept", "ready_timeout": "600s",
                     "instances": 1, "stop_timeout": "100ms"})
    d = box.start()
    d.wait_ready(1, app="web")
    return d


def the_looker(d, but=()):
    found = []

    def look():
        found[:] = [pid for pid in d.lookers() if pid not in but]
        return found
    wait_until(look, "who looks at workers")
    return found[0]


def test_who_looks_has_nothing_of_ours(box):
    d = with_starter(box)
    look = the_looker(d)
    wait_until(lambda: len(os.listdir(f"/proc/{look}/fd")) == 1,
               "one descriptor: that by which it is asked")
    assert d.lookers() == [look]
    d.stop()
    wait_until(lambda: not is_alive(look), "its end")


def test_a_look_without_an_end_holds_up_nobody(box):
    """Stopped, it is as one that sleeps in the kernel."""
    d = with_starter(box)
    look = the_looker(d)
    kill(look, signal.SIGSTOP)
    wait_until(lambda: process_state(look) == "T", "its stop")
    old = d.ready_pids("web")
    since = time.monotonic()
    assert box.ctl("-c", box.path("app.ini"), "status").returncode in (0, 3)
    assert box.ctl("-c", box.path("app.ini"), "reload", "web").returncode == 0
    assert time.monotonic() - since < 10 * SLOW
    d.wait_log(NO_END)
    assert not set(d.ready_pids("web")) & set(old)
    wait_until(lambda: not is_alive(look), "its end")
    assert is_looker(the_looker(d, but=[look]))
    get(d.port("web"))
    d.stop()


def test_of_a_look_without_an_end_it_is_told_once(box):
    d = with_starter(box)
    looks = []
    for count in range(2):
        looks.append(the_looker(d, but=looks))
        kill(looks[-1], signal.SIGSTOP)
        wait_until(lambda: not is_alive(looks[-1]), "its end", limit=20)
    the_looker(d, but=looks)
    assert len(d.find(NO_END)) == 1
    d.stop()


def test_who_looks_ends_with_a_killed_supervisor(box):
    d = with_starter(box)
    look = the_looker(d)
    kill(look, signal.SIGSTOP)
    supervisor = d.pid
    kill(supervisor)
    wait_until(lambda: not is_alive(look), "its end")
    wait_until(lambda: d.find_supervisor() not in (None, supervisor),
               "the next supervisor")
    assert the_looker(d) != look
    d.stop()


def test_where_none_can_be_executed_we_look(box):
    program = box.path("clusterd")
    with open(CLUSTERD, "rb") as f, open(program, "wb") as to:
        to.write(f.read())
    os.chmod(program, 0o755)
    box.web(ready="accept", clusterd={"control": box.path("ctl.sock")})
    d = box.start(program=program)
    d.wait_ready(2)
    wait_until(lambda: not d.lookers(), "nobody who looks at workers")
    os.chmod(program, 0o644)
    assert box.ctl("-c", box.path("app.ini"), "scale", "web",
                   "4").returncode == 0
    d.wait_ready(4)
    d.stop()
