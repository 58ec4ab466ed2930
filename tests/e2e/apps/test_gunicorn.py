"""gunicorn says READY=1 before its first worker exists, let alone before that has
loaded the application: neither stalls clients, nor breaks the service."""

import os
import shutil
import signal

import pytest

import words
from harness import ask, free_port, wait_until

GOOD = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%s"]
"""

NOTE = """
import os
open("%s-%%d" %% os.getpid(), "w").close()
"""

SLOW_IMPORT = """
import os, time
open(%r, "w").close()
while not os.path.exists(%r):
    time.sleep(0.01)
"""


@pytest.fixture
def gunicorn(box):
    """clusterd, and what its workers load."""
    program = shutil.which("gunicorn", path="/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("needs gunicorn")
    port = free_port()
    box.write("app.py", NOTE % box.path("loaded") + GOOD % "one")
    box.config(web={
        "command": f"{program} --workers 2 --chdir {box.dir} app",
        "listen": f"127.0.0.1:{port}", "instances": 2, "handoff": "env",
        "fd_protocol": "systemd", "stop_timeout": "5s",
        "env": "PYTHONDONTWRITEBYTECODE=1"})
    d = box.start()
    d.wait_ready(2, limit=20)
    # gunicorn starts its second worker up to 0.1 s after the first one, which
    # waits for connections by then: it is to load this application, too
    wait_until(lambda: sum(name.startswith("loaded-")
                           for name in os.listdir(box.dir)) == 4,
               "the application in every process of gunicorn", 20)
    d.gunicorn_port = port
    return d


def fetch(d):
    with ask(d.gunicorn_port) as s:
        reply = b""
        while True:
            part = s.recv(4096)
            if not part:
                return reply.rpartition(b"\r\n")[2].decode()
            reply += part


def ctl(box, *arguments):
    return box.ctl("-c", "app.ini", *arguments, limit=40,
                   env={"RUNTIME_DIRECTORY": box.dir})


def test_release_that_cannot_be_imported_is_found_out(box, gunicorn):
    d = gunicorn
    old = d.ready_pids()
    box.write("app.py", "import no_such_module\n")
    done = ctl(box, "reload")
    assert done.returncode == 1
    assert "reload aborted" in done.stderr
    assert d.ready_pids() == old
    assert {fetch(d) for _ in range(8)} == {"one"}
    box.write("app.py", GOOD % "two")
    assert ctl(box, "reload").returncode == 0
    assert {fetch(d) for _ in range(8)} == {"two"}
    d.stop()


def test_slow_import_stalls_nobody(box, gunicorn):
    d = gunicorn
    imports, go = box.path("imports"), box.path("go")
    box.write("app.py", SLOW_IMPORT % (imports, go) + GOOD % "two")
    d.send(signal.SIGHUP)
    wait_until(lambda: os.path.exists(imports), "the import", 20)
    # it has said READY=1 before that
    for _ in range(20):
        assert fetch(d) == "one"
    assert not d.find(words.RELOAD_DONE("web"))
    box.touch("go")
    d.wait_log(words.RELOAD_DONE("web", 2), limit=30)
    assert {fetch(d) for _ in range(8)} == {"two"}
    d.stop()
