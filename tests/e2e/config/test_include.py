"""Configurations of several files."""

import os
import signal

import pytest

from control import do
from harness import (HAS_KEEPER, get, is_alive, kill, probe, wait_until)


def files(box, **apps):
    """conf.d with a file for each app; every one has the same variable."""
    os.makedirs(box.path("conf.d"), exist_ok=True)
    for app, keys in apps.items():
        keys = {"command": probe("--events", box.events_path),
                "listen": "127.0.0.1:0", "instances": 1, **keys}
        box.write(f"conf.d/{app}.ini", f"[{app}]\n" + "".join(
            f"{key} = {value}\n" for key, value in keys.items()))
    box.write("app.ini", "[clusterd]\ninclude = conf.d/*.ini\n")


def test_told_by_file_and_line_and_nothing_is_started(box):
    files(box, web={}, bad={"restart": "perhaps"})
    done = box.run("-t", "-c", "app.ini")
    assert done.returncode == 78
    assert done.stderr.startswith('conf.d/bad.ini:5: restart: "perhaps" is not')
    # What is warned of, too, and relative to what is read there.
    files(box, bad={"stdout": "no/such/log"})
    done = box.run("-t", "-c", box.path("app.ini"), cwd="/")
    assert done.returncode == 0
    assert (f"warning: {box.path('conf.d/bad.ini')}:5: stdout: [bad] "
            in done.stderr)
    assert box.path("conf.d/no/such/log") in done.stderr
    os.rename(box.path("conf.d"), box.path("other"))
    box.web(clusterd={"include": "conf.d/*.ini"})
    done = box.run("-t", "-c", "app.ini")
    assert done.returncode == 0
    assert ("warning: app.ini:2: include: no file matches conf.d/*.ini\n"
            in done.stderr)


def test_pattern_in_what_may_not_be_looked_at(box):
    files(box, web={})
    os.symlink("loop", box.path("loop"))
    box.web(clusterd={"include": "loop/*.ini"})
    done = box.run("-t", "-c", "app.ini")
    assert done.returncode == 78
    assert "app.ini:2: include: cannot look for " in done.stderr
    os.mkfifo(box.path("conf.d/pipe.ini"))
    box.web(clusterd={"include": "conf.d/*.ini"})
    done = box.run("-t", "-c", "app.ini", limit=10)
    assert done.returncode == 78
    assert f"include: cannot read {box.path('conf.d/pipe.ini')}" in done.stderr


def test_reload_reads_them_again(box):
    files(box, web={}, api={})
    d = box.start()
    web, = d.wait_ready(1, app="web")
    api, = d.wait_ready(1, app="api")
    # A bad one is told, and nothing is changed.
    box.write("conf.d/new.ini", "\n[new]\ncommnd = x\n")
    mark = d.mark()
    d.send(signal.SIGHUP)
    d.wait_log(r"conf\.d/new\.ini:3: commnd: unknown key", start=mark)
    assert is_alive(web) and is_alive(api)
    os.unlink(box.path("conf.d/api.ini"))
    files(box, new={}, web={})
    assert do(box, "update").text.startswith("updated: ")
    d.wait_ready(1, app="new")
    wait_until(lambda: not is_alive(api), "the end of what has vanished")
    assert d.ready_pids("web") == [web]
    d.stop()


def test_place_that_is_taken_is_told_by_its_file(box):
    files(box, web={"listen": "unix:web.d/sock"})
    d = box.start()
    d.wait_end(69)
    assert "conf.d/web.ini:3: listen: " in d.log()


@pytest.mark.skipif(not HAS_KEEPER, reason="there is no keeper")
@pytest.mark.parametrize("left", ["gone", "bad", "linked"])
def test_supervisor_that_takes_over_goes_by_what_was_read(box, left):
    files(box, web={"env": "A=1"}, api={})
    d = box.start()
    workers = d.wait_ready(1, app="web") + d.wait_ready(1, app="api")
    if left == "linked":
        os.rename(box.path("conf.d"), box.path("old.d"))
        os.symlink("nowhere", box.path("conf.d"))
    else:
        os.unlink(box.path("conf.d/api.ini"))
        if left == "bad":
            box.write("conf.d/web.ini", "rubbish\n")
            box.write("conf.d/z.ini", "rubbish\n")
    for _ in range(2):
        mark, old = d.mark(), d.pid
        kill(old)
        d.wait_log("start complete", start=mark)
        wait_until(lambda: not is_alive(old), "its end")
        assert (d.wait_ready(1, app="web") + d.wait_ready(1, app="api") ==
                workers)
    kill(workers[0])
    d.wait_replaced(workers[:1], 1, app="web")
    assert get(d.port("web"), "/dump").env["A"] == "1"
    assert not d.find("cannot be had again")
    d.stop()
