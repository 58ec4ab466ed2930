"""`web =`: clusterd runs clusterd-web by itself."""

import http.client
import os
import pwd
import re
import shutil
import signal
import subprocess
import threading

import pytest

import words
from harness import (CLUSTERD, HAS_KEEPER, IS_ROOT, SLOW, free_port,
                     is_refused, kill, probe, wait_until)
from lanes import as_nobody, nobodys, nobodys_probe
from webs import CLUSTERD_WEB, needs_web

pytestmark = needs_web


def ask(port, path):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=15 * SLOW)
    try:
        c.request("GET", path)
        r = c.getresponse()
        return r.status, r.read().decode()
    finally:
        c.close()


@pytest.fixture
def port(box):
    return free_port()


def config(box, port, **more):
    box.config(clusterd={"web": f"127.0.0.1:{port}", **more},
               web={"command": probe(), "listen": "127.0.0.1:0",
                    "instances": 2})


def test_it_runs(box, port):
    config(box, port)
    d = box.start()
    d.wait_ready(2, app="web")
    (pid,) = d.wait_ready(1, app="clusterd-web")
    assert ask(port, "/readyz") == (200, "ready\n")
    assert ask(port, "/status.json")[0] == 200
    if IS_ROOT and "-asan" not in os.environ.get("CLUSTERD", ""):
        assert os.stat(f"/proc/{pid}").st_uid in (
            0, pwd.getpwnam("nobody").pw_uid)
        with open(f"/proc/{pid}/status") as f:
            assert f"Uid:\t{pwd.getpwnam('nobody').pw_uid}\t" in f.read()
    # The root that runs it is nothing to be warned of.
    assert not d.find("warning.*root")
    # It is restarted when it dies.
    kill(pid)
    wait_until(lambda: d.ready_pids("clusterd-web") not in ([], [pid]),
               "the next one")
    assert ask(port, "/livez")[0] == 200
    d.stop()


def test_it_runs_without_root(box, port):
    """As whoever runs clusterd, with on_event as he, too."""
    as_user = as_nobody(box)
    nobodys(box, CLUSTERD_WEB)
    told = box.path("told")
    box.write("hook.sh", f"#!/bin/sh\nid -u >>{told}\n", 0o755)
    box.config(clusterd={"web": f"127.0.0.1:{port}",
                         "on_event": box.path("hook.sh")},
               web={"command": nobodys_probe(box), "listen": "127.0.0.1:0",
                    "instances": 2})
    d = box.start(**as_user)
    d.wait_ready(2, app="web")
    (pid,) = d.wait_ready(1, app="clusterd-web")
    uid = os.stat(f"/proc/{d.pid}").st_uid
    assert uid != 0 and os.stat(f"/proc/{pid}").st_uid == uid
    assert ask(port, "/readyz") == (200, "ready\n")
    assert '"app":"web"' in ask(port, "/status.json")[1] or \
        '"name":"web"' in ask(port, "/status.json")[1]
    kill(d.ready_pids("web")[0])
    d.wait_ready(2, app="web")
    wait_until(lambda: os.path.exists(told) and os.path.getsize(told),
               "an event")
    with open(told) as f:       # of each event
        assert set(map(int, f.read().split())) == {uid}
    d.stop()
    box.config(clusterd={"on_event": "/bin/true", "on_event_user": "root"},
               web={"command": nobodys_probe(box), "listen": "127.0.0.1:0"})
    refused = box.start(**as_user)
    assert refused.wait() != 0
    assert refused.find('on_event_user: "root": running workers as somebody')


def test_reload_loses_nothing(box, port):
    """A page that is open does not hold it up; no request fails meanwhile."""
    config(box, port)
    d = box.start()
    d.wait_ready(3)
    page = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    page.request("GET", "/events")
    stream = page.getresponse()
    assert stream.status == 200
    failures, answered, over = [], [], threading.Event()

    def client():
        while not over.is_set():
            try:
                answered.append(ask(port, "/livez")[0])
            except (OSError, http.client.HTTPException) as e:
                failures.append(repr(e))
    threads = [threading.Thread(target=client) for _ in range(2)]
    for t in threads:
        t.start()
    old = d.ready_pids("clusterd-web")
    env = {"RUNTIME_DIRECTORY": box.dir}
    done = box.ctl("-c", box.path("app.ini"), "restart", "clusterd-web",
                   env=env)
    over.set()
    for t in threads:
        t.join()
    assert done.returncode == 0, done.stderr
    assert not failures and set(answered) == {200}
    d.wait_replaced(old, 1, app="clusterd-web")
    assert b"event: state" in stream.read()     # to its end
    page.close()
    d.stop()


def without_web(box):
    box.config(web={"command": probe(), "listen": "127.0.0.1:0",
                    "instances": 2})


def test_it_comes_and_goes(box, port):
    config(box, port)
    d = box.start()
    d.wait_ready(3)
    without_web(box)
    d.send(signal.SIGHUP)
    d.wait_ready(0, app="clusterd-web")
    d.wait_log(words.RELOAD_DONE("web"))
    # Its listener is closed once its death was seen.
    wait_until(lambda: is_refused(port), "nobody listens")
    config(box, port, web_host="www.example.org other")
    d.send(signal.SIGHUP)
    d.wait_ready(1, app="clusterd-web")
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    c.request("GET", "/livez", headers={"Host": "www.example.org"})
    assert c.getresponse().status == 200
    c.close()
    d.stop()


LEFT_OUT = r"app\.ini:\d+: web: left out: clusterd-web is not installed"


@pytest.fixture
def bare(box):
    """The path of a clusterd that has no clusterd-web beside it."""
    os.mkdir(box.path("bin"))
    shutil.copy(CLUSTERD, box.path("bin/clusterd"))
    return box.path("bin/clusterd")


def test_not_installed(box, port, bare):
    """Whoever asks for a page is not to go without what it would show."""
    config(box, port)
    done = subprocess.run([bare, "-t", "-c", box.path("app.ini")],
                          capture_output=True, text=True,
                          env=box.environment(None))
    assert done.returncode == 0
    assert re.search("warning: .*" + LEFT_OUT, done.stderr), done.stderr
    d = box.start(program=bare)
    d.wait_ready(2)
    d.wait_log("warning.*" + LEFT_OUT)
    # Once it is there it is served.
    shutil.copy(CLUSTERD_WEB, box.path("bin/clusterd-web"))
    d.send(signal.SIGHUP)
    d.wait_ready(1, app="clusterd-web")
    assert ask(port, "/livez")[0] == 200
    d.stop()


@pytest.mark.skipif(not HAS_KEEPER, reason="there is no next supervisor")
def test_removed_meanwhile(box, port, bare):
    """The program, as by a package's removal: what is in force stays in force,
    also for the next supervisor."""
    shutil.copy(CLUSTERD_WEB, box.path("bin/clusterd-web"))
    config(box, port)
    d = box.start(program=bare)
    d.wait_ready(3)
    before = d.ready_pids()
    os.remove(box.path("bin/clusterd-web"))
    mark = d.mark()
    kill(d.pid)
    d.wait_log("3 workers of the supervisor before serve on")
    d.wait_log("start complete", start=mark)
    assert d.wait_ready(3) == before
    assert ask(port, "/readyz") == (200, "ready\n")
    # A reload says what is missing, and lets go of it.
    d.send(signal.SIGHUP)
    d.wait_log("warning.*" + LEFT_OUT)
    d.wait_log(words.RELOAD_DONE("web"))
    d.wait_ready(0, app="clusterd-web")
    d.wait_ready(2, app="web")
    d.stop()


def test_dump_and_errors(box, port):
    config(box, port, web_user="www-data", web_host="a.example")
    dump = box.run("-T", "-c", box.path("app.ini"))
    assert dump.returncode == 0
    assert f"web = 127.0.0.1:{port}\n" in dump.stdout
    assert "web_user = www-data\nweb_token_file = none\n" \
        "web_host = a.example\n" in dump.stdout
    # A dump parses back to the same dump.
    assert "[clusterd-web]" not in dump.stdout
    again = box.write("again.ini", dump.stdout)
    assert box.run("-T", "-c", again).stdout == dump.stdout
    for keys, said in (
            ({"web": "x:y"}, r'web: .*x:y'),
            ({"web": "udp:127.0.0.1:9"}, "UDP"),
            ({"web": ""}, "web: "),
            ({"web": "9080", "control": "none"}, 'control is "none"'),
            ({"web": "9080", "web_host": "a/b"}, 'web_host: "a/b"'),
            ({"web": "9080", "web_user": "a b"}, "web_user: "),
            *([({"web": "9080", "web_user": "no-such-user"},
                'web_user: there is no user "no-such-user"')]
              if IS_ROOT else [])):
        box.config(clusterd=keys, web={"command": probe(), "port": 0})
        done = box.run("-t", "-c", box.path("app.ini"))
        assert done.returncode == 78 or done.returncode == 1, done
        assert re.search(said, done.stderr), done.stderr
    box.config(clusterd={"web": "127.0.0.1:9080"},
               **{"clusterd-web": {"command": probe(), "port": 0}})
    assert "cannot be called clusterd-web" in \
        box.run("-t", "-c", box.path("app.ini")).stderr
