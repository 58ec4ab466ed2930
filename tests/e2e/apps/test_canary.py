"""A reload that breaks the service is found out, and costs nobody anything."""

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess

import pytest

import harness
import words
from binder import binder, tcp
from harness import (SLOW, Stream, ask, free_port, get, is_alive, kill, probe,
                     process_state, read_answer, stays, wait_until)

KEYS = {"restart_delay": "10ms", "stop_timeout": "5s"}


@pytest.fixture
def port():
    return free_port()


def hup(d):
    start = d.mark()
    d.send(signal.SIGHUP)
    return start


def ctl(box, *arguments):
    return box.ctl("-c", "app.ini", *arguments,
                   env={"RUNTIME_DIRECTORY": box.dir})


def reload_fails(box, why):
    """clusterctl says so too, with the reason."""
    done = ctl(box, "reload")
    assert done.returncode == 1, done.stderr
    assert "reload aborted" in done.stderr and why in done.stderr, done.stderr
    return done.stderr


def beside(box, *arguments):
    """clusterctl, while other things are done."""
    return subprocess.Popen(
        [*harness.WRAP, harness.CLUSTERCTL, "-c", "app.ini", *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, cwd=box.dir,
        env=box.ctl_environment({"RUNTIME_DIRECTORY": box.dir}),
        start_new_session=True)


def ends(process, status):
    said, _ = process.communicate(timeout=20 * SLOW)
    assert process.returncode == status, said
    return said


# --- the new code never listens

NODE = """
require("http").createServer((q, s) => s.end("hello"))
    .listen(%d, "127.0.0.1");
"""


def fetch(port):
    with ask(port) as s:
        reply = b""
        while True:
            part = s.recv(4096)
            if not part:
                return reply
            reply += part


def test_node_that_never_listens_is_found_out(box, port):
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    script = box.write("server.js", NODE % port)
    box.config(web={"command": f"{node} {script}", "instances": 2,
                    "port": port, "ready_timeout": "3s", **KEYS})
    d = box.start()
    old = d.wait_ready(2)
    box.write("server.js", "setInterval(() => {}, 1000);\n")
    said = reload_fails(box, "not seen to wait for connections")
    assert "keeps serving" in said
    assert d.ready_pids() == old
    for _ in range(8):
        assert fetch(port).endswith(b"hello")
    # a good one is taken after that
    box.write("server.js", NODE % port)
    assert ctl(box, "reload").returncode == 0
    d.wait_replaced(old, 2)
    d.stop()


def test_what_could_not_be_seen_may_be_replaced_by_the_same(box, port):
    """The way it always was: nobody of its kind is seen."""
    box.config(web={"command": binder("pause"), "instances": 1,
                    "port": port, "ready_timeout": "300ms", **KEYS})
    d = box.start()
    old = d.wait_ready(1)
    assert ctl(box, "reload").returncode == 0
    d.wait_replaced(old, 1)
    d.stop()


# --- it dies soon after it was ready

def test_new_code_that_dies_while_it_is_tried_is_found_out(box):
    box.web(instances=4, **KEYS)
    d = box.start()
    old = d.wait_ready(4)
    port = d.port()
    box.web(instances=4, canary="60s", **KEYS)
    start = d.mark()
    # what the dying one had accepted is lost with it, and nothing else
    with Stream(port, lossy=True):
        process = beside(box, "reload")
        kill(int(d.wait_log(words.READY("web"), start=start)["pid"]))
        said = ends(process, 1)
    assert "reload aborted" in said
    assert "became ready and then died, on trial (killed by signal 9 " \
        "(SIGKILL))" in said
    assert "generation 1 keeps serving" in said
    # its death in the log, and in what clusterctl shows meanwhile
    assert d.find(words.KILLED_9 + r" after \S+, died on trial\n")
    assert not d.find("before it was ready")
    assert "before it was ready" not in said
    assert d.ready_pids() == old
    assert d.pids_that_answer(port, 4) == set(old)
    starts = [e for e in box.events("start") if e["generation"] == "2"]
    assert len(starts) == 1
    d.stop()


def test_others_follow_when_the_first_has_lived(box):
    box.web(instances=3, **KEYS)
    d = box.start()
    old = d.wait_ready(3)
    with Stream(d.port()):
        assert ctl(box, "reload").returncode == 0
    d.wait_replaced(old, 3)
    starts = sorted(e["at"] for e in box.events("start")
                    if e["generation"] == "2")
    assert starts[1] - starts[0] >= 990, starts
    # they do not have to live as long: they are of the same code
    d.stop()


def test_canary_of_another_length(box):
    box.web(instances=2, canary="2s", **KEYS)
    d = box.start()
    old = d.wait_ready(2)
    hup(d)
    d.wait_log(words.RELOAD_DONE("web", 2))
    d.wait_replaced(old, 2)
    starts = sorted(e["at"] for e in box.events("start")
                    if e["generation"] == "2")
    assert starts[1] - starts[0] >= 1990, starts
    d.stop()


def test_canary_has_the_connections_of_its_instance(box):
    """It is tried by those who come, and the old one waits beside it."""
    box.web(instances=1, canary="60s", **KEYS)
    d = box.start()
    old, = d.wait_ready(1)
    hup(d)
    new = wait_until(lambda: get(d.port()).pid != old and get(d.port()).pid,
                     "answers of the new one")
    assert is_alive(old)
    stays(lambda: get(d.port()).pid == new, "the new one answers")
    # its death is nobody's loss: the old one is back
    kill(new)
    why = d.wait_log(words.RELOAD_ABORTED("web"))["why"]
    assert "on trial" in why
    assert get(d.port()).pid == old
    d.stop()


@pytest.mark.parametrize("instance", [None, 0])
def test_restart_has_a_canary_too(box, instance):
    box.web(instances=2, canary="60s", **KEYS)
    d = box.start()
    old = d.wait_ready(2)
    what = "web" if instance is None else f"web:{instance}"
    process = beside(box, "restart", what)
    d.wait_log(words.READY("web", 0), count=2)
    assert all(is_alive(pid) for pid in old)
    new, = set(d.ready_pids()) - set(old)
    kill(new)
    # of all of them it is a reload to the same configuration
    assert ("reload aborted" if instance is None else "restart aborted") in \
        ends(process, 1)
    assert d.wait_ready(2) == old
    d.stop()


def test_second_death_of_another_instance_leads_back(box):
    keys = {"canary": "0", "instances": 3, "ready": "notify", **KEYS}
    box.web(**keys)
    d = box.start()
    old = d.wait_ready(3)
    box.web("--ready", "never", "--only-instance", 2, **keys)
    start = hup(d)

    def new(instance):
        return [e["pid"] for e in box.events("start")
                if (e["generation"], e["instance"]) == ("2", str(instance))]
    wait_until(lambda: new(2), "the last one is started")
    kill(new(0)[-1])
    wait_until(lambda: len(new(0)) == 2 and new(0)[1] in d.ready_pids(),
               "the first one is back")
    assert not d.find(words.RELOAD_ABORTED("web"), start)
    kill(new(1)[-1])
    why = d.wait_log(words.RELOAD_ABORTED("web"), start=start)["why"]
    assert "second death" in why
    d.wait_log(r"web: rolled back to generation 1\b", start=start)
    wait_until(lambda: {get(d.port()).generation for _ in range(9)} == {1},
               "generation 1 everywhere")
    assert set(d.wait_workers(3)) & set(old)
    d.stop()


# --- it waits for connections, and takes none

def listening_only(box, port, *then):
    """As Go's runtime does: among epoll's targets, before anybody accepts."""
    return binder("--events", box.events_path,
                  *tcp(port, "127.0.0.1", flags=",nonblock"), "epoll:a",
                  "touch:" + box.path("listens"), *then)


def first_who_waits(port, old=()):
    """A client whom the new worker keeps waiting, and none of those does, which
    sleep when they have nobody to answer."""
    def look():
        s = ask(port)
        s.settimeout(0.4 * SLOW)
        try:
            s.recv(1, socket.MSG_PEEK)
        except socket.timeout:
            wait_until(lambda: all(process_state(pid) == "S" for pid in old),
                       "the old ones sleep")
            s.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                s.recv(1, socket.MSG_PEEK)
                s.close()
                return None
            s.settimeout(10 * SLOW)
            return s
        s.close()
        return None
    return wait_until(look, "a client who waits", 20)


@pytest.mark.parametrize("instances", [1, 3])
def test_seen_is_not_served(box, port, instances):
    keys = {"listen": f"127.0.0.1:{port}", "instances": instances, **KEYS}
    box.config(web={"command": probe("--events", box.events_path), **keys,
                    "handoff": "env"})
    d = box.start()
    old = set(d.wait_ready(instances))
    box.config(web={**keys, "command": listening_only(
        box, port, "until:" + box.path("go"), "serve:epoll"),
        "balance": "round-robin" if harness.IS_ROOT else "random"})
    process = beside(box, "reload")
    wait_until(lambda: os.path.exists(box.path("listens")), "it listens")
    with first_who_waits(port, old) as waits:
        # the others are served, as long as it takes
        for _ in range(20):
            assert get(port).pid in old
        assert all(is_alive(pid) for pid in old)
        assert not d.find(words.RELOAD_DONE("web"))
        box.touch("go")
        assert read_answer(waits).pid not in old
    ends(process, 0)
    d.wait_replaced(old, instances)
    get(port)
    d.stop()


def keep_busy(box, d, old):
    """The first client of another than the old one, who goes on to have
    connections for a moment after that one is ready."""
    for count in range(1, 10):
        s = ask(d.port(), "/busy/4000", limit=20)
        pid = box.wait_events("busy", count)[-1]["pid"]
        if pid != old:
            return s, pid
        s.close()
    raise AssertionError("the old one goes on to have all connections")


def test_server_that_has_one_client_for_long_takes_connections(box):
    """No look has seen him wait, and the next one does so for longer than
    ready_timeout."""
    keys = {"instances": 1, "balance": "random", "ready_timeout": "2s",
            "drain_timeout": "20s", **KEYS}
    box.web(**keys)
    d = box.start()
    old, = d.wait_ready(1)
    start = d.mark()
    process = beside(box, "reload")
    d.wait_log(r"ready after", start=start)
    first, pid = keep_busy(box, d, old)
    with first, ask(d.port(), limit=20) as second:
        ends(process, 0)
        assert read_answer(first).pid == read_answer(second).pid == pid
    d.stop()


def test_server_that_takes_nobody_is_given_up(box, port):
    keys = {"listen": f"127.0.0.1:{port}", "instances": 2, **KEYS,
            "ready_timeout": "2s"}
    box.config(web={"command": probe(), **keys, "handoff": "env"})
    d = box.start()
    old = d.wait_ready(2)
    box.config(web={**keys, "command": listening_only(box, port, "pause")})
    process = beside(box, "reload")
    wait_until(lambda: os.path.exists(box.path("listens")), "it listens")
    with first_who_waits(port) as waits:
        assert "takes no connections" in ends(process, 1)
        # who waited for it has another one, or is told so
        waits.settimeout(20 * SLOW)
        try:
            assert read_answer(waits).pid in old
        except harness.CUT:
            pass
    assert d.ready_pids() == old
    assert d.pids_that_answer(port, 2) == set(old)
    d.stop()


def test_trial_that_an_update_ends_keeps_nobody_from_connections(box, port):
    """One that keeps its first client waiting gets no others, until it is known
    that it serves; which is nobody's question any more."""
    keys = {"listen": f"127.0.0.1:{port}", "instances": 3, **KEYS,
            "balance": "random"}
    box.config(web={"command": probe("--events", box.events_path), **keys,
                    "handoff": "env"})
    d = box.start()
    d.wait_ready(3)
    keys["command"] = binder(
        "--events", box.events_path, "until:" + box.path("start.{instance}"),
        *tcp(port, "127.0.0.1", flags=",nonblock"), "epoll:a",
        "until:" + box.path("go.{instance}"), "serve:epoll")
    box.config(web=keys)
    for name in "start.0", "go.0", "start.1":
        box.touch(name)
    start = d.mark()
    process = beside(box, "reload")
    d.wait_log(r"web\[1\] .*ready after", start=start)
    with first_who_waits(port) as waits:
        box.config(web={**keys, "canary": "0s"})
        update = beside(box, "update")
        d.wait_log("its new settings are in force", start=start)
        box.touch("start.2")
        box.touch("go.2")
        ends(update, 0)
        ends(process, 0)
        box.touch("go.1")
        read_answer(waits)
    d.pids_that_answer(port, 3)
    d.stop()


# --- a lock, a fixed port

def locked(box, *arguments):
    """The probe, if it gets its instance's lock."""
    return shlex.join([
        "sh", "-c", f"exec 9>{box.path('lock')}.$CLUSTERD_INSTANCE; "
        "flock -n 9 || { echo already running >&2; exit 1; }; exec "
        + probe("--events", box.events_path, *arguments)])


def test_no_lock_is_blamed_where_none_is_held(box):
    keys = {"listen": "127.0.0.1:0", "instances": 2, **KEYS}
    box.config(web={"command": probe(), **keys})
    d = box.start()
    old = d.wait_ready(2)
    box.config(web={"command": "/bin/sh -c 'exit 4'", **keys})
    assert "lock" not in reload_fails(box, "exited with code 4")
    assert d.ready_pids() == old
    d.stop()


@pytest.mark.parametrize("instances", [1, 2])
def test_lock_of_an_instance(box, instances):
    if shutil.which("flock") is None:
        pytest.skip("needs flock(1)")
    keys = {"listen": "127.0.0.1:0", "instances": instances, **KEYS}
    box.config(web={"command": locked(box), **keys})
    d = box.start()
    old = d.wait_ready(instances)
    said = reload_fails(box, "max_surge = 0")
    assert "if it takes a lock or a fixed port" in said
    assert d.ready_pids() == old
    box.config(web={"command": locked(box), **keys, "max_surge": 0})
    with Stream(d.port()):      # they wait in the queue meanwhile
        assert ctl(box, "reload").returncode == 0
        assert not set(d.ready_pids()) & set(old)
        d.wait_ready(instances)
    # never two at a time
    assert not d.find("already running",
                      d.find("reloading, generation 3")[0].end())
    # and so for one instance alone
    old = d.wait_ready(instances)
    with Stream(d.port()):
        assert ctl(box, "restart", "web:0").returncode == 0
    assert len(set(d.wait_ready(instances)) & set(old)) == instances - 1
    d.stop()


def test_old_one_comes_back_if_its_successor_fails(box):
    box.web(instances=1, max_surge=0, **KEYS)
    d = box.start()
    d.wait_ready(1)
    box.web("--exit-after", 0, "--exit-code", 3, instances=1, max_surge=0,
            **KEYS)
    with Stream(d.port()):
        said = reload_fails(box, "did not become ready")
        assert "max_surge" not in said
        d.wait_ready(1)
    assert get(d.port()).generation == 1
    d.stop()


def test_instance_that_is_missing_after_an_abort_is_counted(box):
    """The program itself is broken, so that the old one does not come back."""
    keys = {"instances": 2, "max_surge": 0, **KEYS}
    box.web("--fail-if-file", box.path("bad"), **keys)
    d = box.start()
    d.wait_ready(2)
    box.touch("bad")
    said = reload_fails(box, "did not become ready")
    assert "generation 1 keeps serving with 1 of 2 instances" in said
    d.wait_log("reload aborted: .*; generation 1 keeps serving with 1 of 2 "
               "instances")
    d.stop()


# --- reloads come faster than they can be carried out

def test_every_instance_is_replaced_by_hasty_reloads(box):
    box.web(canary="0", instances=3, drain_timeout="60s", **KEYS)
    d = box.start()
    old = {e["instance"]: e["pid"] for e in box.wait_events("start", 3)}
    d.wait_ready(3)
    port = d.port()
    # each has something to finish, so that one is replaced at a time
    held = [ask(port, "/slow/60000") for _ in range(30)]

    def first(generation):
        return [e for e in box.events("start")
                if e["generation"] == str(generation)][:1]
    order, drains = [], None
    for generation in range(2, 5):
        start = hup(d)
        d.wait_log(rf"web: reloading, generation {generation}\b", start=start)
        if drains:
            kill(drains)
        new, = wait_until(lambda: first(generation), "one is started")
        wait_until(lambda: new["pid"] in d.ready_pids(), "it is ready")
        drains = old[new["instance"]]
        order.append(new["instance"])
    assert sorted(order) == ["0", "1", "2"], f"{order}\n{d.log()}"
    kill(drains)
    for s in held:
        s.close()
    d.wait_log(words.RELOAD_DONE("web", 4))
    assert d.pids_that_answer(port, 3)
    d.stop()


# --- the end of a reload

def test_reload_ends_when_the_last_old_worker_has_gone(box):
    box.web(instances=1, drain_timeout="60s", canary="0", **KEYS)
    d = box.start()
    old, = d.wait_ready(1)
    with ask(d.port(), "/slow/60000"):
        # its request is in the worker
        assert get(d.port()).pid == old
        process = beside(box, "reload")
        d.wait_log(words.RELOAD_DONE("web", 2))
        stays(lambda: process.poll() is None and is_alive(old), "it waits",
              0.5)
        kill(old)
        said = ends(process, 0)
    assert "draining" in said
    assert not is_alive(old)
    d.stop()
