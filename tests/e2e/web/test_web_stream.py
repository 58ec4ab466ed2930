"""clusterd-web: what pages are told."""

import contextlib
import errno
import os
import resource
import signal
import time

import pytest

from harness import (HAS_KEEPER, SLOW, is_alive, kill, probe, stays,
                     system_calls, wait_until)
from webs import Stream, needs_web

pytestmark = needs_web


def rows(data, kind="instance"):
    return [r for r in data["set"] if kind in r]


def is_state(whole):
    return lambda name, data: name == "state" and data["whole"] == whole


@pytest.fixture
def served(box, webs):
    box.web("--stdout", "hello <b>page</b>", stdout="prefix",
            stderr="prefix")
    d = box.start()
    d.wait_ready(2)
    return d, webs()


def test_beginning(box, served):
    d, web = served
    s = Stream(web)
    assert b" 200 " in s.head
    assert b"Content-Type: text/event-stream; charset=utf-8\r\n" in s.head
    version = box.ctl("-V").stdout.split()[-1]
    assert s.next() == ("hello", {"version": version, "actions": False})
    name, state = s.next()
    assert name == "state" and state["whole"] and not state["gone"]
    assert state["clusterd"]["pid"] == d.keeper
    (app,) = rows(state, "app")
    assert (app["id"], app["ready"], app["wanted"]) == ("web", 2, 2)
    assert sorted(r["id"] for r in rows(state)) == ["web:0", "web:1"]
    assert {r["pid"] for r in rows(state)} == set(d.ready_pids())
    # What is known of what has been; it may be asked for at this moment.
    ready = set()

    def all_were(name, data):
        if name == "events":
            ready.update(e["pid"] for e in data["list"]
                         if e["event"] == "ready")
        return len(ready) == 2
    s.until(all_were)
    assert ready == set(d.ready_pids())
    s.close()


def test_crash_within_a_second(served):
    d, web = served
    s = Stream(web)
    s.until(is_state(True))
    for _ in range(5):      # of a busy machine, the best
        old = d.wait_ready(2)
        seen, began = {}, time.monotonic()
        kill(old[0])

        def told(name, data):
            for e in data["list"] if name == "events" else ():
                if (e["event"], e.get("pid")) == ("death", old[0]):
                    seen.update(death=e, took=time.monotonic() - began)
            if name == "state" and any(
                    "death" in r and r["state"] == "ready" and
                    r["pid"] not in old for r in rows(data)):
                seen["state"] = data
            return {"death", "state"} <= seen.keys()
        s.until(told)
        assert "killed by signal 9" in seen["death"]["text"]
        # What has changed, and no more.
        assert not seen["state"]["whole"]
        assert all(r["id"] != "web" or r["ready"] == 2
                   for r in rows(seen["state"], "app"))
        if seen["took"] < 1.0:
            break
    assert seen["took"] < 1.0, seen
    s.close()


def test_reload_and_apps(box, served):
    """Generations as they walk over the seats; an app that comes and goes."""
    _, web = served
    s = Stream(web)
    s.until(is_state(True))
    env = {"RUNTIME_DIRECTORY": box.dir}
    box.config(web={"command": probe("--note", "2"),
                    "listen": "127.0.0.1:0", "instances": 2},
               other={"command": probe(), "listen": "127.0.0.1:0",
                      "instances": 1})
    assert box.ctl("reload", "-c", box.path("app.ini"),
                   env=env).returncode == 0
    seen = {}

    def both(name, data):
        if name == "state":
            for r in rows(data):
                seen[r["id"]] = r["generation"]
        return {seen.get("web:0"), seen.get("web:1")} == {2} and \
            "other:0" in seen
    s.until(both)
    box.config(web={"command": probe("--note", "2"),
                    "listen": "127.0.0.1:0", "instances": 2})
    assert box.ctl("update", "-c", box.path("app.ini"),
                   env=env).returncode == 0
    gone = set()

    def left(name, data):
        if name == "state":
            gone.update(data["gone"])
        return {"other", "other:0"} <= gone
    s.until(left)
    s.close()


def test_output(served):
    """The last lines, and what comes; as data, whatever is in it."""
    d, web = served
    s = Stream(web, "/events?output=1")
    s.until(is_state(True))
    out = s.until(lambda name, data: name == "output" and data["list"])
    assert {line["text"] for line in out["list"]} == {"hello <b>page</b>"}
    assert {line["app"] for line in out["list"]} == {"web"}
    kill(d.ready_pids()[0])
    s.until(lambda name, data: name == "output" and data["list"])
    other = Stream(web)
    other.until(is_state(True))
    kill(d.ready_pids()[0])
    other.until(lambda name, data: name == "events" and any(
        e["event"] == "ready" for e in data["list"]))
    s.close()
    other.close()


@pytest.mark.skipif(not HAS_KEEPER, reason="no keeper here")
def test_supervisor_killed(served):
    """The stream goes on with the next one, and tells of it."""
    d, web = served
    s = Stream(web)
    s.until(is_state(True))
    os.kill(d.find_supervisor(), signal.SIGKILL)
    s.until(lambda name, data: name == "state" and
            data["clusterd"]["supervisor_restarts"] == 1)
    victim = d.ready_pids()[0]
    kill(victim)
    s.until(lambda name, data: name == "events" and any(
        e["event"] == "death" and e["pid"] == victim for e in data["list"]))
    s.close()


def test_lost_and_back(box, served):
    """Without a clusterd the page is told why, and hears of the next one."""
    d, web = served
    s = Stream(web)
    s.until(is_state(True))
    d.send(signal.SIGTERM)
    assert d.wait() == 0
    lost = s.until(lambda name, data: name == "lost")
    assert "clusterd" in lost["words"]
    d = box.start()
    d.wait_ready(2)
    state = s.until(lambda name, data: name == "state")
    assert state["whole"] and state["clusterd"]["pid"] == d.keeper
    s.close()


@pytest.mark.skipif(not HAS_KEEPER, reason="streams do not end by themselves")
def test_no_descriptors(served, webs):
    """Where none are to be had, pages are told; and events come again later."""
    d, _ = served
    web = webs("--user", "root")
    s = Stream(web)
    s.until(is_state(True))
    pid = web.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
    kill(d.pid)
    # One that was being asked just then has ended otherwise.
    s.until(lambda name, data: name == "lost" and
            data["words"] == os.strerror(errno.EMFILE))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    s.until(is_state(True))
    victim = d.ready_pids()[0]
    kill(victim)
    s.until(lambda name, data: name == "events" and any(
        e["event"] == "death" and e.get("pid") == victim
        for e in data["list"]))
    s.close()


def test_stop_ends_streams(served):
    """So that pages come to who serves next; nobody else is held up."""
    d, web = served
    streams = [Stream(web) for _ in range(3)]
    for s in streams:
        s.until(is_state(True))
    web.process.send_signal(signal.SIGUSR1)     # it begins to drain
    for s in streams:
        while s.next() is not None:
            pass
        s.close()
    assert web.get("/livez")[0] == 200
    began = time.monotonic()
    web.stop()
    assert time.monotonic() - began < 3 * SLOW


def test_no_page_no_wakeups(box, served, as_root, unwrapped):
    """Neither it nor clusterd makes a system call when no page is open."""
    d, web = served
    s = Stream(web)
    s.until(is_state(True))
    both = [f"0100007F:{port:04X}" for _, port in
            (s.socket.getpeername(), s.socket.getsockname())]
    with open("/proc/net/tcp", encoding="ascii") as f:
        inode, = [line.split()[9] for line in f if line.split()[1:3] == both]

    def is_held():
        """By the half that serves."""
        fds = f"/proc/{web.process.pid}/fd"
        for fd in os.listdir(fds):
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(f"{fds}/{fd}") == f"socket:[{inode}]":
                    return True
        return False
    assert is_held()
    # It is seen when something is sent, which may take up to 10 s.
    s.close()
    wait_until(lambda: not is_held(), "the page is gone", 30)
    wait_until(lambda: _sleeps(web.pids(), 0.2), "it is at rest")
    assert system_calls(box, d, lambda: time.sleep(1.5), web.pids()) == []
    assert web.get("/livez")[0] == 200
    assert all(map(is_alive, web.pids()))
    stays(lambda: web.process.poll() is None, "it runs", 0.05)


def _sleeps(pids, duration):
    """Nobody of these has run for so long."""
    def switches():
        found = []
        for pid in pids:
            with open(f"/proc/{pid}/status") as f:
                found += [line for line in f if "ctxt_switches" in line]
        return found
    before = switches()
    time.sleep(duration)
    return switches() == before


def test_many_pages(served):
    """There is a limit; a page that comes later is told, and one that goes makes
    room."""
    _, web = served
    streams = [Stream(web) for _ in range(64)]
    for s in streams:
        s.until(is_state(True))
    late = Stream(web)
    assert b" 503 " in late.head
    late.close()
    streams.pop().close()

    def there_is_room():
        s = Stream(web)
        try:
            return b" 200 " in s.head
        finally:
            s.close()
    wait_until(there_is_room, "a place")
    for s in streams:
        s.close()
