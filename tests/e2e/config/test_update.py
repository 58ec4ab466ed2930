"""clusterctl update, and the reload of an app that is new in the file: nobody
is replaced whose section is as it was."""

import os
import pwd
import re
import signal

import pytest

from control import ask, client, do, refused, status, two_apps, wait_status
from harness import (Stream, free_port, get, is_alive, is_refused, probe,
                     wait_until)


def config(box, **sections):
    """Sections of the given keys, each a probe on a port of its own."""
    common = {"command": probe("--events", box.events_path),
              "instances": 2}
    box.config(**{name: {**common, **keys}
                  for name, keys in sections.items()})


def generations(box):
    return {r["name"]: r["generation"] for r in status(box).all("app")}


@pytest.mark.valgrind
def test_update_replaces_those_whose_section_has_changed(box):
    a, b = free_port(), free_port()
    same = {"listen": f"127.0.0.1:{a}"}
    config(box, web=same, other={"listen": f"127.0.0.1:{b}"})
    d = box.start()
    d.wait_ready(4)
    before = status(box)
    config(box, web=same, other={"listen": f"127.0.0.1:{b}",
                                 "env": "COLOUR=green"})
    with Stream(a), Stream(b):
        answer = do(box, "update")
    assert answer.text == "updated: 1 reloaded"
    assert {r["app"] for r in answer.progress} == {"other"}
    after = status(box)
    assert after.pids("web") == before.pids("web")
    assert not set(after.pids("other")) & set(before.pids("other"))
    assert generations(box) == {"web": 1, "other": 2}
    wait_until(lambda: get(b, "/dump").env.get("COLOUR") == "green",
               "the new one")
    d.stop()


def test_update_of_the_same_file_touches_nobody_and_says_so(box):
    two_apps(box)
    d = box.start()
    d.wait_ready(4)
    before = status(box)
    mark = d.mark()
    answer = do(box, "update")
    assert answer.text == "nothing has changed" and not answer.progress
    with open(box.path("app.ini"), "a") as f:
        f.write("\n# a comment, and a value that is the default\n"
                "backlog = 4096\n")
    done = box.ctl("-c", "app.ini", "update",
                   env={"RUNTIME_DIRECTORY": box.dir})
    assert done.returncode == 0, done
    assert done.stdout == "nothing has changed\n" and done.stderr == ""
    now = status(box)
    assert now.pids("web") == before.pids("web")
    assert now.pids("other") == before.pids("other")
    assert not d.find("starting|stopping", mark)
    # A reload means everybody, as before.
    do(box, "reload")
    assert not set(status(box).pids()) & set(before.pids())
    d.stop()


def test_update_in_force_is_no_failure_of_the_reload_before_it(box):
    same = {"listen": f"127.0.0.1:{free_port()}"}
    config(box, web=same)
    d = box.start()
    d.wait_ready(2)
    before = status(box)
    config(box, web={**same, "command": "/bin/false"})
    assert not ask(box, "reload").ok
    config(box, web={**same, "stop_timeout": "3s"})
    answer = do(box, "update")
    assert answer.text == "updated: 1 changed without new workers"
    assert status(box).pids("web") == before.pids("web")
    d.stop()


def test_update_adds_and_removes_apps(box):
    a, b, c = free_port(), free_port(), free_port()
    config(box, web={"listen": f"127.0.0.1:{a}"},
           gone={"listen": f"127.0.0.1:{b}"})
    d = box.start()
    d.wait_ready(4)
    before = status(box)
    config(box, web={"listen": f"127.0.0.1:{a}"},
           new={"listen": f"127.0.0.1:{c}", "env": "NAME=new"})
    with Stream(a):
        answer = do(box, "update")
        assert answer.text == "updated: 1 added, 1 removed"
        assert get(c, "/dump").env["NAME"] == "new"
        wait_until(lambda: is_refused(b), "gone is gone")
    assert status(box).pids("web") == before.pids("web")
    wait_status(box, lambda s: not s.all("app", name="gone"))
    assert generations(box) == {"web": 1, "new": 1}
    d.stop()


def test_update_puts_in_force_what_needs_no_new_workers(box):
    """Among them the number of instances."""
    port = free_port()
    web = {"listen": f"127.0.0.1:{port}", "stop_timeout": "30s"}
    config(box, web=web)
    d = box.start()
    d.wait_ready(2)
    before = status(box).pids()
    config(box, web={**web, "instances": 3, "stop_timeout": "100ms",
                     "backlog": 7})
    with Stream(port):
        assert do(box, "update").text == "updated: 1 scaled"
        assert len(status(box).pids()) == status(box).app()["ready"] == 3
        assert status(box).pids()[:2] == before
        listener = status(box).one("listener")
        assert listener.get("backlog", 21) in (7, 14, 21)
        config(box, web={**web, "instances": 1})
        assert do(box, "update").text == "updated: 1 scaled"
        assert status(box).pids() == before[:1]
        assert not status(box).all("instance", role="retiring")
    d.stop()


def later(box, gate, then, **keys):
    """The instances from number 1 on do so when the file is there."""
    script = box.write("server", "#!/bin/sh\n"
                       "if [ $CLUSTERD_INSTANCE -ge 1 ]; then\n"
                       f"while ! test -e {gate}; do sleep 0.05; done\n"
                       f"{then}\nfi\nexec {probe()}\n", mode=0o755)
    box.web(command=script, ready_timeout="60s", **keys)


def test_update_of_the_number_waits_for_the_new_instances(box):
    gate = box.path("gate")
    later(box, gate, "true", instances=1)
    d = box.start()
    d.wait_ready(1)
    later(box, gate, "true", instances=2)
    with client(box) as one:
        one.greet()
        one.send("update")
        d.wait_workers(2)
        assert status(box).app()["ready"] == 1
        one.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            one.answer()
        one.socket.settimeout(30)
        box.touch("gate")
        assert one.answer().text == "updated: 1 scaled"
    assert status(box).app()["ready"] == 2
    d.stop()


def test_update_of_the_number_fails_as_a_scale_does(box):
    gate = box.path("gate")
    box.touch("gate")
    later(box, gate, "exit 4", instances=1, restart_delay="50ms")
    d = box.start()
    old = d.wait_ready(1)
    later(box, gate, "exit 4", instances=3, restart_delay="50ms")
    answer = ask(box, "update")
    assert answer.why == "failed"
    assert "did not become ready: exited with code 4" in answer.text
    assert answer.text.endswith("; web goes on with 3 instances wanted: "
                                '"scale web 1" takes that back')
    assert d.ready_pids() == old
    assert do(box, "scale web 1").ok
    # The number in the file is as it was, and counts no more.
    assert do(box, "update").text == "nothing has changed"
    d.stop()


def test_the_new_stop_timeout_holds_for_workers_that_stay(box):
    box.web("--ignore-term", stop_timeout="60s", instances=1)
    d = box.start()
    pid, = d.wait_ready(1)
    box.web("--ignore-term", stop_timeout="100ms", instances=1)
    assert "without new workers" in do(box, "update").text
    assert status(box).pids() == [pid]
    d.send(15)
    d.wait_log(r"killed by signal 9", limit=30)
    d.wait()


def test_what_a_scale_has_set_stays(box):
    two_apps(box)
    d = box.start()
    d.wait_ready(4)
    do(box, "scale web 3")
    d.wait_ready(5)
    assert do(box, "update").text == "nothing has changed"
    assert len(status(box).pids()) == 3
    two_apps(box, env="A=1")
    assert do(box, "update").text == "updated: 1 reloaded"
    assert len(status(box).pids()) == 3
    d.stop()


def test_update_that_fails_says_so_and_is_tried_again(box):
    """What was not put in force differs from the file, whatever the file was
    the last time."""
    two_apps(box)
    d = box.start()
    d.wait_ready(4)
    before = status(box)
    two_apps(box, command="/bin/sh -c 'exit 7'")
    for _ in range(2):
        text = refused(box, "update")
        assert "aborted" in text and "exited with code 7" in text
    assert status(box).pids() == before.pids()
    two_apps(box)
    assert do(box, "update").text == "nothing has changed"
    # Of an abort before nothing is said, where it is none of this one's.
    two_apps(box, command="/bin/sh -c 'exit 7'")
    assert "aborted" in refused(box, "update")
    with open(box.path("app.ini"), "a") as f:
        f.write("umask = 027\n")
    two = status(box)
    assert "aborted" in refused(box, "update")
    assert status(box).pids("other") != two.pids("other")
    assert status(box).pids("web") == before.pids("web")
    with open(box.path("app.ini"), "a") as f:
        f.write("instanecs = 3\n")
    assert "did you mean instances?" in ask(box, "update").notes[0]
    d.stop()


def test_update_of_clusterds_own_settings(box):
    two_apps(box)
    d = box.start()
    d.wait_ready(4)
    before = status(box)
    with open(box.path("app.ini")) as f:
        text = f.read()
    for setting in ("log_level = debug", "stop_delay = 1ms"):
        box.write("app.ini", f"[clusterd]\n{setting}\n{text}")
        assert do(box, "update").text == "updated: [clusterd]"
        assert do(box, "update").text == "nothing has changed"
    assert status(box).pids() == before.pids()
    d.stop()


@pytest.mark.parametrize("first", ["reload web", "update", "reload"])
def test_a_bad_name_is_refused_to_who_has_given_it(box, first):
    """Both wait for one look-up of a user's name."""
    config(box, web={"user": pwd.getpwuid(os.getuid()).pw_name,
                     "env": "A=1"})
    d = box.start()
    old = d.wait_ready(2)
    config(box, web={"user": pwd.getpwuid(os.getuid()).pw_name,
                     "env": "A=2"})
    with client(box) as a, client(box) as b, client(box) as c:
        for one in (a, b, c):
            one.greet()
        os.kill(d.pid, signal.SIGSTOP)
        a.send(first)
        b.send("reload typo")
        c.send("reload typos")
        os.kill(d.pid, signal.SIGCONT)
        for one, name in ((b, "typo"), (c, "typos")):
            answer = one.answer()
            assert not answer.ok
            assert f"the file has no app \"{name}\"" in answer.text
        assert a.answer().ok
    d.wait_replaced(old, 2)
    assert status(box).one("clusterd")["reloads_refused"] == 2
    d.stop()


def test_names_that_are_all_bad_are_refused_each_in_its_words(box):
    config(box, web={"user": pwd.getpwuid(os.getuid()).pw_name})
    d = box.start()
    old = d.wait_ready(2)
    with client(box) as a, client(box) as b:
        a.greet()
        b.greet()
        os.kill(d.pid, signal.SIGSTOP)
        a.send("reload typo")
        b.send("reload typos")
        os.kill(d.pid, signal.SIGCONT)
        assert "\"typo\"" in a.answer().text
        assert "\"typos\"" in b.answer().text
    assert d.ready_pids() == old
    d.stop()


def test_a_stopped_app_stays_so_and_gets_its_new_section(box):
    two_apps(box)
    d = box.start()
    d.wait_ready(4)
    do(box, "stop web")
    two_apps(box, env="A=1")
    assert do(box, "update").text == \
        "updated: 1 changed without new workers"
    assert do(box, "update").text == "nothing has changed"
    assert "stopped" in refused(box, "reload web")
    do(box, "start web")
    address, = [r["address"] for r in status(box).all("listener", app="web")]
    port = int(address.rpartition(":")[2])
    assert get(port, "/dump").env["A"] == "1"
    d.stop()


def test_a_reload_of_an_app_that_is_new_in_the_file_adds_it(box):
    a, b = free_port(), free_port()
    config(box, web={"listen": f"127.0.0.1:{a}"})
    d = box.start()
    d.wait_ready(2)
    before = status(box)
    assert "the file has no app \"new\"" in refused(box, "reload new")
    config(box, web={"listen": f"127.0.0.1:{a}", "env": "A=1"},
           new={"listen": f"127.0.0.1:{b}", "env": "NAME=new"})
    with Stream(a):
        assert do(box, "reload new").text == "added"
        assert get(b, "/dump").env["NAME"] == "new"
    assert status(box).pids() == before.pids()
    assert do(box, "reload new").text == "reloaded"
    # It is there once, whoever asks next, and goes as others do.
    assert do(box, "update").text == "updated: 1 reloaded"
    do(box, "reload")
    assert len(status(box).all("app")) == 2
    assert generations(box) == {"web": 3, "new": 3}
    config(box, web={"listen": f"127.0.0.1:{a}", "env": "A=1"})
    assert do(box, "update").text == "updated: 1 removed"
    wait_status(box, lambda s: not s.all("app", name="new"))
    d.stop()


def test_a_new_app_that_cannot_be_had(box):
    a = free_port()
    config(box, web={"listen": f"127.0.0.1:{a}"})
    d = box.start()
    d.wait_ready(2)
    config(box, web={"listen": "127.0.0.1:0"},
           new={"listen": f"127.0.0.1:{a}"})
    # web has the address as long as web is not reloaded.
    assert "is served by web" in refused(box, "reload new")
    assert len(status(box).all("app")) == 1
    config(box, web={"listen": f"127.0.0.1:{a}"},
           new={"listen": "127.0.0.1:0", "command": "/bin/sh -c 'exit 7'"})
    assert "did not become ready" in refused(box, "reload new")
    assert all(is_alive(pid) for pid in status(box).pids())
    d.stop()


# --- several that fail

def exiting(code):
    return {"command": f"/bin/sh -c 'exit {code}'"}


@pytest.mark.parametrize("command", ["reload", "update"])
def test_each_app_that_fails_is_named_with_its_reason(box, command):
    config(box, web={}, other={}, third={})
    d = box.start()
    old = d.wait_ready(6)
    config(box, web=exiting(3), other=exiting(4), third=exiting(5),
           new=exiting(6))
    text = refused(box, command)
    assert text.startswith("4 apps have failed: ")
    for name, code in (("web", 3), ("other", 4), ("third", 5)):
        assert re.search(fr"{name}: reload aborted: [^|]*exited with code "
                         f"{code}", text), text
    assert re.search(r"new\[\d\] did not become ready: exited with code 6",
                     text), text
    assert sorted(d.ready_pids()) == sorted(old)
    d.stop()


def test_so_many_failures_are_told_and_how_many_more(box):
    names = [f"app{i}" for i in range(6)]
    config(box, **{name: {"instances": 1} for name in names})
    d = box.start()
    d.wait_ready(6)
    config(box, **{name: {"instances": 1, **exiting(7)} for name in names})
    text = refused(box, "reload")
    assert text.startswith("6 apps have failed: ")
    assert text.count("reload aborted") == 4
    assert text.endswith(" | and 2 more")
    d.stop()


def test_who_comes_after_one_that_fails_is_waited_for(box):
    """It begins when the other one has failed."""
    config(box, web={})
    d = box.start()
    d.wait_ready(2)
    config(box, web={}, second={"after": "first"},
           first={"restart_delay": "60s", "restart_delay_max": "60s",
                  **exiting(4)})
    text = refused(box, "update")
    assert re.match(r"first\[\d\] did not become ready", text), text
    assert "second" not in text
    now = status(box).one("app", name="second")
    assert now["ready"] == now["wanted"] == 2
    d.stop()


@pytest.mark.parametrize("command", ["reload new", "update"])
def test_a_new_app_that_fails_is_told_to_stay(box, command):
    config(box, web={})
    d = box.start()
    old = d.wait_ready(2)
    config(box, web={}, new={"restart_delay": "100ms", **exiting(4)})
    text = refused(box, command)
    assert re.match(r"new\[\d\] did not become ready: exited with code 4",
                    text), text
    assert text.endswith("; new stays added and is tried again: "
                         "\"stop new\" ends that")
    do(box, "stop new")
    assert status(box).one("app", name="new")["state"] == "stopped"
    assert d.ready_pids() == old
    d.stop()
