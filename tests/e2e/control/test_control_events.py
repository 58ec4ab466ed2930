"""The control socket: what has happened, and what does."""

import json
import signal
import time

import pytest

from control import Record, client, do, refused, status, two_apps, wait_status
from harness import kill, probe, wait_until


def events(box, request="events"):
    """All of them; each keeps to the manual."""
    found = do(box, request).all("event")
    now = time.time() * 1000
    for e in found:
        assert {"event", "time_ms"} <= set(e), e
        assert now - 600000 < e["time_ms"] <= now
    assert [e["time_ms"] for e in found] == sorted(
        e["time_ms"] for e in found)
    return found


def kinds(found, **fields):
    return [e["event"] for e in found
            if all(e.get(k) == v for k, v in fields.items())]


def next_event(c, **fields):
    c.greet()
    while True:
        line = c.line()
        assert line is not None
        r = Record(line)
        assert (r.kind, r.word) == ("+", "event"), line
        if all(r.get(k) == v for k, v in fields.items()):
            return r


@pytest.mark.valgrind
def test_the_life_of_workers(box):
    box.web(instances=2, restart_delay="20ms")
    d = box.start()
    pids = d.wait_ready(2)
    first = status(box).pids()
    with client(box) as c:
        c.send("watch web")
        assert next_event(c)["event"] == "added"
        # Whoever is executed first.
        starts = [next_event(c, event="start") for _ in range(2)]
        assert {r["instance"]: r["pid"] for r in starts} == \
            dict(enumerate(first))
        kill(first[1])
        death = next_event(c, event="death")
        assert (death["instance"], death["pid"], death["next"]) == \
            (1, first[1], "backoff")
        assert death["restart_in_ms"] > 0
        assert "SIGKILL" in death["text"]
        again = next_event(c, event="ready", instance=1)
        assert again["pid"] not in pids and again["ready_ms"] >= 0
        do(box, "restart web:0")
        assert next_event(c, event="reload")["generation"] == 1
        # Either may be first.
        left = [{"event": "reloaded"}, {"event": "end", "pid": first[0]}]
        while left:
            e = next_event(c)
            left = [w for w in left if not w.items() <= e.items()]
        do(box, "scale web 3")
        assert next_event(c, event="scale")["wanted"] == 3
        next_event(c, event="ready", instance=2)
        d.send(signal.SIGTERM)
        rest = []
        while not rest or rest[-1].startswith("+"):
            rest.append(c.line())
        assert rest.pop() == "ok clusterd has stopped"
        ends = [r for r in map(Record, rest) if r["event"] == "end"]
        assert sorted(r["instance"] for r in ends) == [0, 1, 2]
    d.wait_end(0)


def test_reloads_and_refusals(box):
    box.web(instances=1)
    d = box.start()
    d.wait_ready(1)
    do(box, "reload")
    box.write("app.ini", "[web]\nnonsense = 1\n")
    refused(box, "reload")
    box.web("--fail-if-file", box.touch("flag"), instances=1)
    refused(box, "reload")
    found = events(box)
    assert kinds(found, app="web")[:3] == ["added", "start", "ready"]
    assert [k for k in kinds(found) if k in (
        "applied", "refused", "reload", "reloaded", "aborted")] == [
        "reload", "applied", "reloaded", "refused", "reload", "applied",
        "aborted"]
    applied = [e for e in found if e["event"] == "applied"]
    assert [e["reloaded"] for e in applied] == [1, 1]
    told, = [e for e in found if e["event"] == "refused"]
    assert "has errors: " in told["text"] and "app" not in told
    assert "app.ini:1: command: missing" in told["text"]
    told, = [e for e in found if e["event"] == "aborted"]
    assert told["app"] == "web" and "reload aborted" in told["text"]
    d.stop()


def test_of_an_app_or_of_an_instance(box):
    two_apps(box)
    d = box.start()
    do(box, "wait")
    both = events(box)
    assert {e["app"] for e in both} == {"web", "other"}
    assert {e["app"] for e in events(box, "events web")} == {"web"}
    found = events(box, "events other.1")
    assert {(e["app"], e["instance"]) for e in found} == {("other", 1)}
    assert kinds(found) == ["start", "ready"]
    assert "there is no app" in refused(box, "events wbe", "unknown")
    assert "there is no app" in refused(box, "watch xyz", "unknown")
    # One that was there is known.
    do(box, "stop other")
    box.config(web={"command": probe()})
    do(box, "update")
    assert kinds(events(box, "events other"))[-1] == "removed" or \
        "removed" in kinds(events(box, "events other"))
    d.stop()


# --- clusterctl

def ctl(box, *arguments):
    return box.ctl("-c", "app.ini", *arguments,
                   env={"RUNTIME_DIRECTORY": box.dir})


def test_clusterctl_prints_them(box):
    box.web(instances=1, restart_delay="20ms")
    d = box.start()
    kill(d.wait_ready(1)[0])
    wait_status(box, lambda s: s.seat()["restarts_signal"] == 1 and
                s.seat()["state"] == "ready")
    done = ctl(box, "events", "--json")
    assert done.returncode == 0 and done.stderr == ""
    told = [json.loads(line) for line in done.stdout.splitlines()]
    death, = [e for e in told if e["event"] == "death"]
    assert death["app"] == "web" and death["instance"] == 0
    assert death["text"] == "killed by signal 9 (SIGKILL)"
    assert death["restart_in_ms"] > 0 and death["time"].endswith("Z")
    done = ctl(box, "events", "web:0")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == len(
        [e for e in told if "instance" in e])
    assert f"web[0] pid {death['pid']}: death, generation 1: killed by " \
        "signal 9 (SIGKILL); next: backoff, starts again in " in done.stdout
    done = ctl(box, "events", "wbe")
    assert done.returncode == 1 and "did you mean web?" in done.stderr
    for follow in ([], ["-f"]):
        done = ctl(box, "events", *follow, "web:9")
        assert done.returncode == 1 and done.stdout == ""
        assert "web has instances 0 to 0" in done.stderr
    d.stop()
