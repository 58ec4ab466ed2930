"""Looks into workers, which a child makes: whoever holds it up costs one app a look."""

import contextlib
import os
import re
import signal
import time

import pytest

from binder import NONBLOCK, binder, tcp
from harness import (CLUSTERD, IS_ROOT, SLOW, free_port, get, is_alive, is_looker, kill,
                     probe, process_state, read_proc, wait_until)
from lanes import NOBODY, SETPRIV

NO_END = r"a look at it does not come to an end"
CALM = {"ready": "accept", "ready_timeout": "600s", "stop_timeout": "100ms"}


def with_starter(box, instances=1, **more):
    """`slow` is looked at all the time, and `web` is ready."""
    box.config(clusterd={"control": box.path("ctl.sock")},
               web={"command": probe(), "listen": "127.0.0.1:0",
                    "ready": "accept", "instances": 1},
               slow={"command": "sleep 600", "listen": "127.0.0.1:0",
                     "instances": instances, **CALM}, **more)
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


def has_begun(pid):
    """It waits for a question, with the one descriptor by which it is asked."""
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/fd")) == 1 and \
            process_state(pid) == "S"
    return False


def hold(d, but=()):
    """Who looks, stopped: as one that sleeps in the kernel. One that nobody has asked
    for a while ends, and another one comes."""
    held = []

    def look():
        if held and is_alive(held[0]):
            return process_state(held[0]) == "T"
        held[:] = [pid for pid in d.lookers()
                   if pid not in but and has_begun(pid)][:1]
        for pid in held:
            kill(pid, signal.SIGSTOP)
        return False
    wait_until(look, "who looks at workers, stopped")
    return held[0]


def test_who_looks_ends_with_us(box):
    d = with_starter(box)
    look = hold(d)
    d.stop()
    assert not is_alive(look)


def test_a_stop_does_not_wait_for_looks(box):
    """At two instances of one app."""
    d = with_starter(box, instances=2)
    look = hold(d)
    d.wait_log(NO_END)
    look = hold(d, but=[look])
    d.stop()
    assert not is_alive(look)


def test_an_app_is_removed_while_it_listens_and_is_looked_at(box):
    """What the look comes to is nobody's any more."""
    go, port = box.path("go"), free_port()
    server = binder(*tcp(port, flags=NONBLOCK), "serve:poll")
    d = with_starter(box, late={
        "command": f"sh -c 'until [ -e {go} ]; do sleep 0.02; done; "
                   f"exec {server}'", "port": port, "instances": 1, **CALM})
    d.wait_workers(3)
    look = hold(d)
    open(go, "w").close()
    wait_until(lambda: any(read_proc(pid, "comm") == b"binder\n"
                           for pid in d.workers()), "the server")
    conf = open(box.path("app.ini")).read()
    box.write("app.ini", conf[:conf.index("[late]")])
    assert box.ctl("-c", box.path("app.ini"), "update").returncode == 0
    kill(look, signal.SIGCONT)
    assert "late" not in box.ctl("-c", box.path("app.ini"), "status").stdout
    get(d.port("web"))
    d.stop()


def test_a_look_without_an_end_holds_up_nobody(box):
    """Stopped, it is as one that sleeps in the kernel."""
    d = with_starter(box)
    look = hold(d)
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
        looks.append(hold(d, but=looks))
        wait_until(lambda: not is_alive(looks[-1]), "its end", limit=20)
    the_looker(d, but=looks)
    assert len(d.find(NO_END)) == 1
    d.stop()


def test_of_a_look_without_an_end_only_who_holds_it_up_is_told(box):
    """The others of the app have only asked for one."""
    d = with_starter(box, instances=3)
    d.wait_workers(4)
    look = hold(d)
    d.wait_log(NO_END)
    assert is_looker(the_looker(d, but=[look]))
    assert len(d.find(NO_END)) == 1
    d.stop()


def test_who_looks_ends_with_a_killed_supervisor(box):
    d = with_starter(box)
    look = hold(d)
    supervisor = d.pid
    kill(supervisor)
    wait_until(lambda: not is_alive(look), "its end")
    wait_until(lambda: d.find_supervisor() not in (None, supervisor),
               "the next supervisor")
    assert the_looker(d) != look
    d.stop()


def looks_as(pid):
    """As which user it looks at files: the file system uid."""
    found = re.search(rb"Uid:\t\d+\t\d+\t\d+\t(\d+)", read_proc(pid, "status"))
    return int(found[1]) if found else None


def hold_as(d, uid):
    """… stopped at the look itself, of a supervisor that has to be that user for it:
    it is nearly all the time at the look, where there are many processes."""
    held = []

    def look():
        if held:
            kill(held.pop(), signal.SIGCONT)
        for pid in d.lookers():
            kill(pid, signal.SIGSTOP)
            held.append(pid)
            wait_until(lambda: process_state(pid) in (None, "T", "Z"), "its stop")
            return looks_as(pid) == uid
        return False
    wait_until(look, "who looks as the worker's user, stopped")
    return held[0]


@pytest.mark.skipif(not IS_ROOT or not SETPRIV, reason="needs root and setpriv(1)")
def test_who_looks_as_another_user_ends_with_a_killed_supervisor(box):
    """To change the user makes the kernel forget that it is to end."""
    sleeps = "sh -c 'for i in $(seq 100); do sleep 600 & done; wait'"
    box.config(web={"command": sleeps, "listen": "127.0.0.1:0", "user": "nobody",
                    "instances": 1, **CALM})
    d = box.start(launcher=[SETPRIV, "--bounding-set=-sys_ptrace",
                            "--inh-caps=-sys_ptrace"])
    look = hold_as(d, NOBODY)
    supervisor = d.pid
    kill(supervisor)
    wait_until(lambda: not is_alive(look), "its end")
    wait_until(lambda: d.find_supervisor() not in (None, supervisor),
               "the next supervisor")
    d.stop()
    assert not d.find("of which nobody knows whose it was")


FREEZER = "/sys/fs/cgroup/freezer"


@contextlib.contextmanager
def frozen(pid):
    """As one that sleeps in the kernel where not even SIGKILL ends it."""
    group = f"{FREEZER}/clusterd-test-{os.getpid()}"

    def put(name, text):
        with open(f"{group}/{name}", "w") as f:
            f.write(text)
    os.mkdir(group)
    try:
        put("cgroup.procs", str(pid))
        put("freezer.state", "FROZEN")
        wait_until(lambda: process_state(pid) == "D", "its sleep")
        yield
    finally:
        put("freezer.state", "THAWED")
        wait_until(lambda: not is_alive(pid), "its end")
        os.rmdir(group)


needs_freezer = pytest.mark.skipif(
    not IS_ROOT or not os.path.exists(FREEZER + "/cgroup.procs"),
    reason="needs the freezer of cgroup v1")


@needs_freezer
def test_a_stop_gives_up_who_looked_for_a_killed_supervisor(box):
    """Though nothing ends it; but for a moment, by the supervisor and the keeper."""
    d = with_starter(box)
    look = hold(d)
    with frozen(look):
        supervisor = d.pid
        kill(supervisor)
        wait_until(lambda: d.find_supervisor() not in (None, supervisor),
                   "the next supervisor")
        d.wait_ready(1, app="web")
        the_looker(d, but=[look])
        d.send(signal.SIGTERM)
        assert d.wait() == 0
        assert not d.find("of which nobody knows whose it was")
        assert not d.find("some processes do not die")


def test_whoever_looks_is_killed_and_workers_get_ready(box):
    """At whatever it is, its birth too; and nothing is left of it."""
    go, killed = box.touch("go"), set()
    box.config(clusterd={"control": box.path("ctl.sock")},
               web={"command": f"sh -c 'until [ -e {go} ]; do sleep 0.02; done; "
                               f"exec {probe()}'",
                    "listen": "127.0.0.1:0", "instances": 4,
                    "restart_delay": "5ms", **CALM})
    d = box.start()
    old = d.wait_ready(4)
    d.wait_log("start complete")
    before = d.kinds_at_rest()
    os.unlink(go)
    for pid in old:
        kill(pid)

    def kill_lookers():
        for pid in d.lookers():
            killed.add(pid)
            kill(pid)
        return len(killed) > 1
    wait_until(kill_lookers, "the death of two")
    box.touch("go")
    wait_until(lambda: kill_lookers() and len(d.ready_pids("web")) == 4, "others")
    wait_until(lambda: d.kinds_at_rest() == before, lambda: "as many as "
               f"before: {before}, {d.kinds_at_rest()}")
    assert sorted(d.children()) == sorted(d.ready_pids("web"))
    d.stop()


def test_started_by_the_dynamic_linker_we_look_without_a_word(box):
    """What it executes once more is the linker."""
    with open(CLUSTERD, "rb") as f:
        linker = re.search(rb"/[\w/.-]*/ld[\w.-]*\.so[\w.]*(?=\0)", f.read(65536))
    if linker is None:
        pytest.skip("a static program")
    box.web(ready="accept", clusterd={"control": box.path("ctl.sock")})
    d = box.start(launcher=[linker[0].decode()])
    d.wait_ready(2)
    d.stop()
    assert "loading shared" not in d.stderr()


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
