"""`after`: what begins before what, and ends behind it."""

import os
import signal

import pytest

from control import status
from harness import (HAS_KEEPER, ask, free_port, get, is_alive, kill, probe,
                     read_answer, stays, wait_until)

KEYS = {"restart_delay": "10ms", "instances": 1, "drain_timeout": "20s"}


def app(box, name, *arguments, **keys):
    return {"command": probe("--events", box.path(name), *arguments), **KEYS,
            **keys}


def gated(box, name, **keys):
    """Its workers are ready when `name`.go is there."""
    return app(box, name, "--ready", f"file:{box.path(name)}.go", ready="notify",
               fd_protocol="systemd", **keys)


def pids(d, name):
    return set(d.ready_pids(name))


def state(box, name):
    return next(r["state"] for r in status(box).all("app")
                if r["name"] == name)


def test_app_starts_when_those_before_it_are_ready(box):
    port = free_port()
    box.config(web=app(box, "web", listen=f"127.0.0.1:{port}",
                       after="cache, db"),
               cache=app(box, "cache", after="db"),
               db=gated(box, "db"))
    d = box.start()
    d.wait_log("web: waits for cache")
    d.wait_log("cache: waits for db")
    assert state(box, "web") == "waiting"
    # Who comes meanwhile waits, and is not refused.
    with ask(port) as s:
        stays(lambda: not d.ready_pids(), "nobody is ready")
        assert not d.find("start complete")
        box.touch("db.go")
        d.wait_log("start complete\n")
        assert read_answer(s).pid in pids(d, "web")
    said = [d.find(rf"{name}\[0\] pid \d+: ready")[0].start()
            for name in ("db", "cache", "web")]
    assert said == sorted(said)
    assert state(box, "web") == "running"
    d.stop()


def test_app_that_fails_holds_up_nobody(box):
    port = free_port()
    box.config(clusterd={"log_level": "info"},
               web=app(box, "web", listen=f"127.0.0.1:{port}", after="db"),
               db=app(box, "db", "--exit-after", "0", "--exit-code", "3",
                      restart_delay="1h", restart_delay_max="1h"))
    d = box.start()
    d.wait_ready(1, "web")
    d.wait_log(r"start complete, but for what has failed so far: db\n")
    assert get(port).pid in pids(d, "web")
    d.stop()


def test_start_is_over_although_one_fails(box):
    box.config(good=app(box, "good"),
               bad=app(box, "bad", "--exit-after", "0", "--exit-code", "3",
                       restart_delay="1h", restart_delay_max="1h"))
    d = box.start()
    d.wait_log("start complete, but for what has failed so far: bad\n")
    assert status(box).one("clusterd")["state"] == "running"
    d.stop()


def test_a_reload_goes_in_that_order(box):
    box.touch("db.go")
    box.config(web=app(box, "web", after="db"), db=gated(box, "db"))
    d = box.start()
    d.wait_log("start complete\n")
    web, db = pids(d, "web"), pids(d, "db")
    os.unlink(box.path("db.go"))
    mark = d.mark()
    d.send(signal.SIGHUP)
    d.wait_log("web: waits for db", start=mark)
    stays(lambda: pids(d, "web") == web and pids(d, "db") == db, "both stay")
    box.touch("db.go")
    d.wait_log("web: reload complete", start=mark)
    assert d.find("db: reload complete", mark)[0].start() < \
        d.find("web: reload complete", mark)[0].start()
    wait_until(lambda: not pids(d, "web") & web and not pids(d, "db") & db,
               "the old ones have gone")
    d.stop()


def held(box, port):
    """A request that web has taken, and answers when the file `go` is there."""
    s = ask(port, f"/until{box.path('go')}", limit=20)

    def is_taken():
        with open(box.path("web")) as f:
            return "until " in f.read()
    wait_until(is_taken, "the request is taken")
    return s


def test_a_stop_goes_the_other_way(box):
    """What web has in work may need db, new connections too."""
    ports = {name: free_port() for name in ("web", "db")}
    box.config(db=app(box, "db", listen=f"127.0.0.1:{ports['db']}"),
               web=app(box, "web", listen=f"127.0.0.1:{ports['web']}",
                       after="db"))
    d = box.start()
    d.wait_ready(2)
    (web,), (db,) = pids(d, "web"), pids(d, "db")
    with held(box, ports["web"]) as s:
        d.send(signal.SIGTERM)
        d.wait_log("SIGTERM: stopping")
        assert get(ports["db"]).pid == db
        assert is_alive(web)
        box.touch("go")
        assert read_answer(s).pid == web
    d.wait_end(0)
    ended = [d.find(rf"{name}\[0\] pid {pid}: exited with code 0")[0].start()
             for name, pid in (("web", web), ("db", db))]
    assert ended == sorted(ended)


def test_an_interrupt_waits_for_nobody(box):
    box.config(db=app(box, "db"),
               web=app(box, "web", "--ignore-term", after="db",
                       stop_timeout="1h"))
    d = box.start()
    d.wait_ready(2)
    (db,) = pids(d, "db")
    d.send(signal.SIGINT)
    wait_until(lambda: not is_alive(db), "the end of db")
    d.send(signal.SIGTERM)
    d.wait_end(0)


def test_what_does_not_end_is_killed_and_the_rest_follows(box):
    box.config(db=app(box, "db"),
               web=app(box, "web", "--ignore-term", after="db",
                       stop_timeout="300ms"))
    d = box.start()
    d.wait_ready(2)
    (web,) = pids(d, "web")
    d.stop()
    # One that has been killed holds nobody up any more: it may take its time.
    killing = d.find(rf"web\[0\] pid {web}: killing it")[0].start()
    assert killing < d.find(r"db\[0\] pid \d+: exited")[0].start()
    assert d.find(rf"web\[0\] pid {web}: killed by signal 9")


@pytest.mark.skipif(not HAS_KEEPER, reason="there is no keeper")
def test_next_supervisor_has_it_wait_as_well(box):
    box.config(web=app(box, "web", after="db"), db=gated(box, "db"))
    d = box.start()
    d.wait_log("web: waits for db")
    mark = d.mark()
    kill(d.pid)
    d.wait_log("web: waits for db", start=mark)
    stays(lambda: not d.ready_pids(), "nobody is ready")
    box.touch("db.go")
    d.wait_log("start complete\n")
    d.wait_ready(2)
    d.stop()


@pytest.mark.skipif(not HAS_KEEPER, reason="there is no keeper")
def test_next_supervisor_keeps_to_the_order_of_a_stop(box):
    ports = {name: free_port() for name in ("web", "db")}
    box.config(db=app(box, "db", listen=f"127.0.0.1:{ports['db']}"),
               web=app(box, "web", listen=f"127.0.0.1:{ports['web']}",
                       after="db"))
    d = box.start()
    d.wait_ready(2)
    (web,), (db,) = pids(d, "web"), pids(d, "db")
    with held(box, ports["web"]) as s:
        d.send(signal.SIGTERM)
        d.wait_log("SIGTERM: stopping")
        kill(d.find_supervisor())
        d.wait_log("starting another")
        assert get(ports["db"]).pid == db
        box.touch("go")
        assert read_answer(s).pid == web
    d.wait_end(0)
    ended = [d.find(rf"{name}\[0\] pid {pid}: exited with code 0")[0].start()
             for name, pid in (("web", web), ("db", db))]
    assert ended == sorted(ended)


def test_stopped_and_started_by_request(box):
    box.config(web=app(box, "web", after="db"), db=gated(box, "db"))
    d = box.start()
    d.wait_log("web: waits for db")
    ctl = ("-c", "app.ini")
    env = {"RUNTIME_DIRECTORY": box.dir}
    # Nobody waits for what is not there.
    assert box.ctl(*ctl, "stop", "db", env=env).returncode == 0
    d.wait_ready(1, "web")
    mark = d.mark()
    assert box.ctl(*ctl, "stop", "web", env=env).returncode == 0
    box.touch("db.go")
    assert box.ctl(*ctl, "start", "db", env=env).returncode == 0
    assert box.ctl(*ctl, "start", "web", env=env).returncode == 0
    assert not d.find("waits for", mark)
    d.stop()


@pytest.mark.parametrize("text, why", [
    ("[a]\ncommand = x\nafter = b\n[b]\ncommand = x\nafter = a\n",
     "app.ini:3: after: a waits for b, b for a: none of them could begin"),
    ("[a]\ncommand = x\nafter = a\n",
     "app.ini:3: after: a waits for a: none of them could begin"),
    ("[a]\ncommand = x\nafter = webb\n[web]\ncommand = x\n",
     'app.ini:3: after: there is no app "webb", did you mean web?'),
])
def test_what_cannot_be_is_refused(box, text, why):
    box.write("app.ini", text)
    done = box.run("-t", "-c", "app.ini")
    assert done.returncode == 78 and why in done.stderr, done.stderr
