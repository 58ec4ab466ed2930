"""Servers that bind a Unix socket's path by themselves."""

import os
import re
import signal

import pytest

import words
from binder import (NONBLOCK, all_answer, returned, start, tcp, unix,
                    warnings)
from harness import free_port, get, is_socket, wait_until


@pytest.fixture
def run(box):
    """A directory for the socket alone."""
    os.mkdir(box.path("run"))
    return box.path("run")


def stop(d, run):
    d.stop()
    assert os.listdir(run) == []


def leads_to_the_lane(d, path, count):
    """The path is there, or soon again; all workers answer on it."""
    def look():
        try:
            return get(path)
        except OSError:
            return None
    wait_until(look, lambda: f"a server behind the path:\n{d.log()}", 3)
    assert is_socket(path)
    return all_answer(d, path, count)


@pytest.mark.parametrize("unlink", [True, False])
def test_path_is_adopted(box, run, unlink):
    path = os.path.join(run, "x.sock")
    d = start(box, *unix(path, unlink=unlink), "serve:poll",
              listen=f"unix:{path}", instances=3)
    for answer in leads_to_the_lane(d, path, 3):
        assert returned(answer) == returned(answer, "listen") == [0]
        assert answer.one("peer.family") == "unix"
        assert answer.one("l.name") == path
    stop(d, run)


def test_path_leads_to_the_lane_after_a_death_and_a_reload(box, run):
    path = os.path.join(run, "x.sock")
    d = start(box, *unix(path), "serve:accept", listen=f"unix:{path}",
              instances=3)
    first = d.ready_pids()[0]
    os.kill(first, signal.SIGKILL)
    pids = d.wait_replaced([first], 3)
    leads_to_the_lane(d, path, 3)
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_DONE("web", 2))
    d.wait_replaced(pids, 3)
    leads_to_the_lane(d, path, 3)
    stop(d, run)


def test_path_that_a_worker_unlinks_at_its_end_comes_back(box, run):
    path = os.path.join(run, "x.sock")
    d = start(box, f"at-term:{path}", *unix(path), "serve:poll",
              listen=f"unix:{path}", instances=3)
    d.send(signal.SIGTTOU)
    d.wait_workers(2)
    leads_to_the_lane(d, path, 2)
    old = d.ready_pids()
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_DONE("web", 2))
    d.wait_replaced(old, 2)
    d.wait_workers(2)
    leads_to_the_lane(d, path, 2)
    stop(d, run)


def test_path_that_is_removed_by_hand_comes_back(box, run):
    path = os.path.join(run, "x.sock")
    d = start(box, *unix(path), "serve:poll", listen=f"unix:{path}")
    for _ in range(3):
        os.unlink(path)
        leads_to_the_lane(d, path, 2)
    stop(d, run)


def test_path_keeps_its_mode_and_comes_back_with_it(box, run):
    path = os.path.join(run, "x.sock")
    d = start(box, *unix(path), "serve:poll", listen=f"unix:{path}",
              socket_mode="0600")
    assert os.stat(path).st_mode & 0o777 == 0o600
    os.unlink(path)
    leads_to_the_lane(d, path, 2)
    assert os.stat(path).st_mode & 0o777 == 0o600
    stop(d, run)


def test_relative_path_is_that_of_the_workers_directory(box, run):
    path = os.path.join(run, "x.sock")
    d = start(box, *unix("x.sock"), "serve:poll", directory="run",
              listen="unix:run/x.sock", instances=3)
    for answer in leads_to_the_lane(d, path, 3):
        assert returned(answer) == [0]
    stop(d, run)


@pytest.mark.parametrize("way", ["run/../run/x.sock", "run//x.sock",
                                 "./run/x.sock", "link/x.sock"])
def test_other_way_to_the_same_path_is_adopted(box, run, way):
    os.symlink("run", box.path("link"))
    path = os.path.join(run, "x.sock")
    d = start(box, *unix(way), "serve:poll", directory=box.dir,
              listen=f"unix:{path}")
    for answer in leads_to_the_lane(d, path, 2):
        assert returned(answer) == [0]
    stop(d, run)


def test_other_path_is_untouched(box, run):
    path, other = (os.path.join(run, n) for n in ("x.sock", "other.sock"))
    d = start(box, *unix(other, "b"), *unix(path), "serve:poll",
              listen=f"unix:{path}", instances=1)
    answer, = leads_to_the_lane(d, path, 1)
    assert returned(answer, "bind", "b") == [0]
    beside = get(other)
    assert beside.one("socket") == "b" and beside.pid == answer.pid
    d.stop()
    assert os.listdir(run) == ["other.sock"]    # the server's own affair


def test_same_path_below_another_directory_is_another_path(box, run):
    os.mkdir(box.path("other"))
    path = os.path.join(run, "x.sock")
    d = start(box, *unix("x.sock", "b"), *unix(path), "serve:poll",
              directory="other", listen=f"unix:{path}", instances=1)
    answer, = leads_to_the_lane(d, path, 1)
    assert returned(answer, "bind", "b") == [0]
    assert get(box.path("other/x.sock")).one("socket") == "b"
    stop(d, run)


def test_unix_and_tcp_in_one_server(box, run):
    port, path = free_port(), os.path.join(run, "x.sock")
    d = start(box, *tcp(port, "127.0.0.1", "b", NONBLOCK),
              *unix(path, flags=NONBLOCK), "serve:poll",
              listen=[f"127.0.0.1:{port}", f"unix:{path}"])
    leads_to_the_lane(d, path, 2)
    for answer in all_answer(d, port, 2):
        assert answer.one("socket") == "b"
    stop(d, run)


def test_directory_that_vanishes_harms_nothing_else(box):
    """The path cannot come back; the log says so, and all live on."""
    os.mkdir(box.path("run"))
    path = box.path("run/x.sock")
    d = start(box, *unix(path), "serve:poll", listen=f"unix:{path}")
    pids = d.ready_pids()
    os.rename(box.path("run"), box.path("away"))
    os.mkdir(box.path("run"))
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_DONE("web", 2))
    pids = d.wait_replaced(pids, 2)
    assert warnings(d, re.escape(path))
    os.kill(pids[0], signal.SIGKILL)
    d.wait_replaced(pids[:1], 2)
    d.stop()
