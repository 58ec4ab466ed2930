"""One instance is asked, behind the address of all: clusterctl check."""

import json
import os
import shlex
import socket

import pytest

import control
import lanes
from harness import free_port, get
from programs import PYTHON, script


def moody(box, python=PYTHON):
    return shlex.join([python, script("moody.py"), box.dir])


def ctl(box, *arguments):
    return box.ctl("-s", control.place(box), *arguments)


def checked(box, *arguments):
    done = ctl(box, "check", "--json", *arguments)
    return done, [json.loads(line) for line in done.stdout.splitlines()]


def asked(box):
    try:
        with open(box.path("asked")) as f:
            return [tuple(map(int, line.split())) for line in f]
    except FileNotFoundError:
        return []


def all_reached(box, d, count, rounds=6):
    """Each check reaches the very process that it is told to be of."""
    for _ in range(rounds):
        done, found = checked(box, "web", "/who")
        assert done.returncode == 0, done.stderr
        assert [f["instance"] for f in found] == list(range(count))
        assert {f["verdict"] for f in found} == {"good"}
        assert {f["status"] for f in found} == {200}
        pids = {f["instance"]: f["pid"] for f in found}
        assert len(set(pids.values())) == count
        assert sorted(asked(box)) == sorted(pids.items())
        os.unlink(box.path("asked"))


def start(box, port, count, **how):
    d = box.start(**how)
    d.wait_ready(count, limit=20)
    return d


@pytest.mark.parametrize("handoff", ["env", "adopt"])
@lanes.parametrized("least-connections", "round-robin", "random", "source")
def test_each_is_reached(box, balance, handoff):
    port = free_port()
    keys = {"handoff": handoff, "fd_protocol": None}
    if handoff == "env":
        keys["command"] = "sh -c 'FD=$CLUSTERD_FD exec \"$@\"' - " + moody(box)
    else:
        keys["command"] = moody(box)
    box.web(listen=f"127.0.0.1:{port}", instances=4, balance=balance, **keys)
    d = start(box, port, 4)
    all_reached(box, d, 4)
    d.stop()


@pytest.mark.parametrize("balance", ["random", "source"])
def test_each_is_reached_without_privileges(box, balance):
    port = free_port()
    how = lanes.as_nobody(box)
    box.copy(script("moody.py"), "moody.py")
    box.web(command=shlex.join(["python3", box.path("moody.py"), box.dir]),
            listen=f"127.0.0.1:{port}", instances=4, balance=balance)
    d = start(box, port, 4, **how)
    for _ in range(6):
        done, found = checked(box, "web", "/who")
        assert done.returncode == 0, done.stderr
        pids = {f["instance"]: f["pid"] for f in found}
        assert len(set(pids.values())) == 4
        assert sorted(asked(box)) == sorted(pids.items())
        os.unlink(box.path("asked"))
    d.stop()


@lanes.parametrized("least-connections", "random")
@pytest.mark.parametrize("listen", ["[::1]:0", "[::]:0", "0.0.0.0:0", "*:0"])
def test_families(box, balance, listen):
    box.web(listen=listen, instances=4, balance=balance)
    d = box.start()
    d.wait_ready(4)
    for path in ((), ("/",)):
        done, found = checked(box, "web", *path)
        assert done.returncode == 0, done.stderr
        assert [f["verdict"] for f in found] == ["good"] * 4
    # Who listens and is not meant is left in peace, and clients still come.
    assert get(("::1" if ":" in listen.rsplit(":", 1)[0] else "127.0.0.1",
                d.port())).pid in d.workers()
    d.stop()


@pytest.mark.parametrize("mood, words", [
    ("500", "status 500"), ("404", "status 404"),
    ("garbage", "the answer is not HTTP/1"),
    ("endless", "more than 64 KiB of headers"),
    ("reset", "reset"), ("close", "closed without an answer"),
])
def test_who_is_not_well_is_named(box, mood, words):
    port = free_port()
    box.web(command=moody(box), listen=f"127.0.0.1:{port}", instances=2)
    d = start(box, port, 2)
    box.write("mood.1", mood)
    done, found = checked(box, "web", "/x")
    assert done.returncode == 1
    assert "1 of 2 instances is not well" in done.stderr
    assert [f["verdict"] for f in found] == ["good", "bad"]
    assert found[1]["text"] == words
    # … and not any more, when it is well again.
    os.unlink(box.path("mood.1"))
    done, found = checked(box, "web:1", "/x")
    assert done.returncode == 0 and [f["instance"] for f in found] == [1]
    d.stop()


def test_one_queue_for_all(box):
    box.web(listen=["unix:" + box.path("s"), "127.0.0.1:0"], instances=2,
            balance="shared")
    d = box.start()
    d.wait_ready(2)
    done, found = checked(box, "web", "/")
    assert done.returncode == 1
    assert {f["verdict"] for f in found} == {"unknown"}
    assert "one queue" in found[0]["text"]
    ctl(box, "scale", "web", "1")
    done, found = checked(box, "web", "/")
    assert done.returncode == 0 and len(found) == 1
    d.stop()


def test_one_behind_a_unix_socket(box):
    box.web(listen="unix:" + box.path("s"), instances=1)
    d = box.start()
    d.wait_ready(1)
    for path in ((), ("/",)):
        done, found = checked(box, "web", *path)
        assert done.returncode == 0, (done.stderr, found)
    d.stop()


def test_no_such(box):
    box.web(listen="127.0.0.1:0", instances=2)
    d = box.start()
    d.wait_ready(2)
    done, _ = checked(box, "web:7")
    assert done.returncode == 1 and "instances 0 to 1" in done.stderr
    done, _ = checked(box, "wbe")
    assert done.returncode == 1 and "web" in done.stderr
    d.stop()


def test_words(box):
    box.web(listen="127.0.0.1:0", instances=1)
    d = box.start()
    d.wait_ready(1)
    done = ctl(box, "check", "web", "/")
    words = done.stdout.split()
    assert words[0] == "web.0" and words[1] == "200" and words[3] == "ms"
    done = ctl(box, "check", "web")
    assert done.stdout.split()[1] == "accepted"
    d.stop()
