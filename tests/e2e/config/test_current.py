"""Releases behind a link that is switched, as deployment tools and Kubernetes do
it: a path is what the user wrote, and leads where its links point now."""

import glob
import os
import shutil
import signal
import subprocess

import pytest

import words
from control import status
from harness import (CLUSTERCTL, PROBE, get, is_alive, kill, wait_until)


def release(box, name, **more):
    """A directory with a program, a configuration and an environment of its
    own."""
    os.makedirs(box.path(f"releases/{name}"))
    box.copy(PROBE, f"releases/{name}/server")
    box.write(f"releases/{name}/vars", f"RELEASE={name}\n")
    keys = {"command": f"./server --events {box.events_path}",
            "listen": f"unix:{box.path('web')}", "instances": 2,
            "env_file": "vars", **more}
    box.config(f"releases/{name}/app.ini", web={
        key: value for key, value in keys.items() if value is not None})


def point(box, to, link="current"):
    """As `ln -sfn` and `mv -T` do it: in one step."""
    os.symlink(to, box.path(link + ".new"))
    os.rename(box.path(link + ".new"), box.path(link))


def ctl(box, *arguments, **how):
    return box.ctl(*arguments, env={"RUNTIME_DIRECTORY": box.dir, **how.pop(
        "env", {})}, **how)


def done(box, *arguments, **how):
    said = ctl(box, *arguments, **how)
    assert said.returncode == 0, (said.stdout, said.stderr)
    return said


def answer(box):
    return get(box.path("web"), "/dump")


def served_by(box, name):
    """By program, environment and directory; who is leaving may answer first."""
    place = box.path(f"releases/{name}")

    def look():
        dump = answer(box)
        found = (dump.env.get("RELEASE", name),
                 os.path.dirname(os.readlink(f"/proc/{dump.pid}/exe")),
                 os.readlink(f"/proc/{dump.pid}/cwd"))
        return found == (name, place, place)
    wait_until(look, f"release {name} answers")
    return True


def sockets(box):
    return glob.glob(box.path("app-*.sock"))


@pytest.mark.valgrind
def test_file_below_a_link_that_is_switched(box):
    release(box, "1", directory=".")
    release(box, "2", directory=".")
    point(box, "releases/1")
    d = box.start("-c", "current/app.ini")
    old = d.wait_ready(2)
    assert served_by(box, "1")
    point(box, "releases/2")
    # What a crash brings back is what the link says now.
    said = done(box, "-c", "current/app.ini", "reload")
    assert said.stdout == "reloaded\n"
    wait_until(lambda: not any(map(is_alive, old)), "the old ones end")
    assert served_by(box, "2")
    assert "no clusterd runs" in ctl(
        box, "-c", "releases/1/app.ini", "status").stderr
    # The old one may go.
    shutil.rmtree(box.path("releases/1"))
    kill(d.ready_pids()[0])
    d.wait_log(words.DEATH())
    d.wait_ready(2)
    done(box, "-c", "current/app.ini", "update")
    d.stop()
    assert sockets(box) == []


def test_old_release_is_pruned_before_the_reload(box):
    release(box, "1", directory=".")
    release(box, "2", directory=".")
    point(box, "releases/1")
    d = box.start("-c", box.path("current/app.ini"), cwd="/")
    pids = d.wait_ready(2)
    point(box, "releases/2")
    shutil.rmtree(box.path("releases/1"))
    kill(pids[0])
    d.wait_replaced(pids[:1], 2)
    # As the unit's ExecReload= has it.
    pids = d.ready_pids()
    done(box, "-c", box.path("current/app.ini"), "reload", cwd="/")
    wait_until(lambda: not any(map(is_alive, pids)), "the old ones end")
    assert served_by(box, "2")
    d.stop()


def test_started_in_the_directory_behind_the_link(box):
    """`cd current && clusterd -c app.ini`: the shell knows how it got there."""
    release(box, "1")
    release(box, "2")
    point(box, "releases/1")
    d = box.start("-c", "app.ini", cwd=box.path("current"),
                  env={"PWD": box.path("current")})
    pids = d.wait_ready(2)
    assert served_by(box, "1")
    point(box, "releases/2")
    shutil.rmtree(box.path("releases/1"))
    kill(pids[0])
    d.wait_replaced(pids[:1], 2)
    # By hand from anywhere, and as one stands in the directory.
    done(box, "-c", "app.ini", "reload", cwd=box.path("current"),
         env={"PWD": box.path("current")})
    assert served_by(box, "2")
    release(box, "3")
    point(box, "releases/3")
    done(box, "-c", "current/app.ini", "reload")
    assert served_by(box, "3")
    d.stop()


@pytest.mark.parametrize("pwd", ["elsewhere", "dots", "none", "relative"])
def test_a_wrong_pwd_is_not_believed(box, pwd):
    release(box, "1")
    release(box, "2")
    point(box, "releases/1")
    env = {"elsewhere": {"PWD": box.path("releases/2")},
           "dots": {"PWD": box.path("releases/../current")},
           "none": {}, "relative": {"PWD": "current"}}[pwd]
    d = box.start("-c", "app.ini", cwd=box.path("current"), env=env)
    d.wait_ready(2)
    assert served_by(box, "1")
    record = status(box).one("clusterd")
    assert record["config"] == box.path("releases/1/app.ini")
    point(box, "releases/2")
    done(box, "-c", "releases/1/app.ini", "reload")
    assert served_by(box, "1")
    d.stop()


def test_directory_that_has_gone_altogether(box):
    """Without a link there is no other: its workers stay where clusterd is."""
    release(box, "1", command=f"{PROBE} --events {box.events_path}",
            env_file=None, env="RELEASE=1")
    d = box.start("-c", "app.ini", cwd=box.path("releases/1"),
                  env={"PWD": box.path("releases/1")})
    pids = d.wait_ready(2)
    shutil.rmtree(box.path("releases/1"))
    kill(pids[0])
    d.wait_replaced(pids[:1], 2)
    d.stop()


def test_config_map_of_kubernetes(box):
    """app.ini is a link to ..data/app.ini, and ..data the one that is switched."""
    for name in ("1", "2"):
        os.mkdir(box.path(f"..{name}"))
        box.config(f"..{name}/app.ini", web={
            "command": f"{PROBE} --events {box.events_path}",
            "listen": f"unix:{box.path('web')}", "instances": 2,
            "env": f"RELEASE={name}"})
    os.symlink("..1", box.path("..data"))
    os.symlink("..data/app.ini", box.path("app.ini"))
    d = box.start("-c", "app.ini")
    d.wait_ready(2)
    point(box, "..2", "..data")
    shutil.rmtree(box.path("..1"))
    assert done(box, "-c", "app.ini", "update").stdout == \
        "updated: 1 reloaded\n"
    # Who is leaving may answer first.
    wait_until(lambda: answer(box).env["RELEASE"] == "2", "the new one")
    assert done(box, "-c", box.path("app.ini"), "update").stdout == \
        "nothing has changed\n"
    d.stop()
    assert sockets(box) == []


@pytest.mark.parametrize("first", ["current/app.ini", "releases/1/app.ini"])
def test_every_spelling_finds_it_and_is_the_same_file(box, first):
    for name in ("1", "2"):
        release(box, name, env_file=None, directory=box.path("current"))
    point(box, "releases/1")
    os.symlink("current", box.path("other"))
    os.symlink(box.path("releases/1/app.ini"), box.path("x.ini"))
    d = box.start("-c", first)
    d.wait_ready(2)
    spellings = ("current/app.ini", "releases/1/app.ini", "other/app.ini",
                 "x.ini", ".//releases/./1/../1/app.ini",
                 box.path("current/app.ini"), "other/../1/app.ini")
    for name in spellings:
        assert done(box, "-c", name, "status").stdout
        run = box.run("-c", name)
        assert run.returncode == 69
        assert f"already running, pid {d.keeper}" in run.stderr
    # With no option it is one, and not as many as it has names; others may run
    # on this machine.
    said = ctl(box, "status")
    assert said.returncode == 0 or \
        said.stderr.count(f"clusterctl -c {box.dir}/") == 1, said.stderr
    # Another release is another file, until somebody points to it.
    assert "no clusterd runs" in ctl(
        box, "-c", "releases/2/app.ini", "status").stderr
    d.stop()
    assert sockets(box) == []


def test_who_names_it_otherwise_after_the_switch(box):
    release(box, "1", directory=".")
    release(box, "2", directory=".")
    point(box, "releases/1")
    os.symlink("current", box.path("other"))
    d = box.start("-c", "current/app.ini")
    d.wait_ready(2)
    point(box, "releases/2")
    for name in ("releases/2/app.ini", "other/app.ini", "current/app.ini"):
        done(box, "-c", name, "status")
    done(box, "-c", "other/app.ini", "reload")
    assert served_by(box, "2")
    run = box.run("-c", "releases/2/app.ini")
    assert run.returncode == 69 and "already running" in run.stderr
    # The file of before is free.
    other = box.start("-c", "releases/1/app.ini")
    other.wait(20)
    assert "already running" not in other.log()
    d.stop()


def test_second_name_of_a_killed_clusterd_is_taken_over(box):
    release(box, "1", directory=".")
    point(box, "releases/1")
    d = box.start("-c", "current/app.ini")
    d.wait_ready(2)
    d.kill_all_of_it()
    wait_until(lambda: not box.survivors(), "its workers die with it")
    names = sorted(sockets(box))
    assert len(names) == 2
    assert sorted(map(os.path.islink, names)) == [False, True]
    d = box.start("-c", "releases/1/app.ini")
    d.wait_ready(2)
    done(box, "-c", "current/app.ini", "status")
    d.stop()
    d = box.start("-c", "current/app.ini")
    d.wait_ready(2)
    assert sorted(sockets(box)) == names
    # It comes back, as the first one does.
    for name in names:
        os.unlink(name)
    d.send(signal.SIGUSR1)
    d.wait_log("is back")
    wait_until(lambda: sorted(sockets(box)) == names, "both names")
    d.stop()
    assert sockets(box) == []


def test_shell_and_link_together(box):
    """As one types it, with a real shell."""
    release(box, "1")
    release(box, "2")
    point(box, "releases/1")
    d = box.start("-c", "app.ini", launcher=[
        "sh", "-c", 'cd current && exec "$@"', "sh"])
    d.wait_ready(2)
    point(box, "releases/2")
    subprocess.run(["sh", "-c", f"cd current && {CLUSTERCTL} -c app.ini "
                    "reload"], cwd=box.dir, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   env=box.ctl_environment({"RUNTIME_DIRECTORY": box.dir}))
    assert served_by(box, "2")
    d.stop()
