"""The pid file: one clusterd of a name at a time."""

import fcntl
import os
import signal

import pytest

from harness import wait_until


@pytest.mark.valgrind
def test_pidfile_is_written_and_removed(box):
    box.web(clusterd={"pidfile": "run.pid"})
    d = box.start()
    d.wait_ready(2)
    assert open(box.path("run.pid")).read() == f"{d.keeper}\n"
    assert [n for n in os.listdir(box.dir) if n.startswith("run.pid")] == \
        ["run.pid"]
    d.stop()
    assert not os.path.exists(box.path("run.pid"))


def test_pidfile_of_a_running_clusterd_refuses_a_second(box):
    box.web(clusterd={"pidfile": "run.pid"})
    d = box.start()
    pids = d.wait_ready(2)
    done = box.run("-c", "app.ini")
    assert done.returncode not in (0, 64, 78)
    assert "run.pid" in done.stderr
    assert str(d.keeper) in done.stderr
    assert open(box.path("run.pid")).read() == f"{d.keeper}\n"
    assert len(box.events("start")) == 2
    assert d.ready_pids() == pids
    d.stop()


def test_stale_pidfile_is_replaced(box):
    box.web(clusterd={"pidfile": "run.pid"})
    d = box.start()
    d.wait_ready(2)
    d.kill_all_of_it()
    wait_until(lambda: not box.survivors(), "the end of the workers")
    assert os.path.exists(box.path("run.pid"))
    d = box.start()
    d.wait_ready(2)
    assert open(box.path("run.pid")).read() == f"{d.keeper}\n"
    d.stop()


def test_pidfile_stays_locked_across_a_reload(box):
    box.web(clusterd={"pidfile": "run.pid"})
    d = box.start()
    old = d.wait_ready(2)
    d.send(signal.SIGHUP)
    d.wait_replaced(old, 2)
    assert box.run("-c", "app.ini").returncode not in (0, 64, 78)
    assert open(box.path("run.pid")).read() == f"{d.keeper}\n"
    d.stop()


def test_locks_of_others_do_not_prevent_a_start(box):
    """Of the pid file, which everybody may read, or of the directory."""
    path = box.write("run.pid", "1\n", mode=0o644)
    box.web(clusterd={"pidfile": "run.pid"})
    with open(path) as f, open(path) as g:
        fcntl.flock(f, fcntl.LOCK_EX)
        fcntl.lockf(g, fcntl.LOCK_SH)
        directory = os.open(box.dir, os.O_RDONLY)
        fcntl.flock(directory, fcntl.LOCK_EX)
        d = box.start()
        d.wait_ready(2)
        assert open(path).read() == f"{d.keeper}\n"
        assert os.stat(path).st_mode & 0o777 == 0o644
        assert not [n for n in os.listdir(box.dir) if n.endswith(".lock")]
        d.stop()
        os.close(directory)
