"""The control socket: what its requests do."""

import os
import socket

import pytest

import control
from control import (ask, client, do, refused, status, two_apps,
                     wait_status)
from harness import (PROBE, Stream, free_port, get, is_refused, probe,
                     wait_until)


# --- the conversation

@pytest.mark.valgrind
def test_one_connection_carries_many_requests(box):
    box.web(balance="shared")
    d = box.start()
    d.wait_ready(2)
    with client(box) as c:
        assert f"pid={d.keeper}" in c.greet().split()
        assert c.ask("wait").ok
        c.send("status", "wait", "status")
        for _ in range(3):
            assert c.answer().ok
        for request, word in (
                ("nonsense", "nonsense"), ("", "no command"),
                ("scale web", "missing"), ("status a b", "too many"),
                ("update web", "too many"),
                ("scale web x", "x"), ("scale web 0", "stop APP"),
                ("scale web 5000", "4096"), ("restart web:x", "x"),
                ("restart web:4096", "4095"), ("reload WEB", "WEB"),
                ("status\tx", "printable"), ("caf\u00e9", "printable")):
            answer = c.ask(request)
            assert answer.why == "usage" and word in answer.text, answer.lines
        for request in ("status db", "restart db", "scale db 2", "stop db",
                        "start db", "restart web:2", "status web:2"):
            assert c.ask(request).why == "unknown", request
        assert "status" in c.ask("statsu").text
        c.socket.sendall(b" restart  web:1 \r\n")
        assert c.answer().ok
    d.stop()


def test_end_of_the_clients_requests_is_not_the_end_of_its_answer(box):
    box.web(instances=4)
    d = box.start()
    d.wait_ready(4)
    with client(box) as c:
        c.send("restart web", "status").socket.shutdown(socket.SHUT_WR)
        assert c.answer().ok
        assert len(control.check(c.answer()).seats()) == 4
        assert c.line() is None
    with client(box) as c:
        c.socket.sendall(b"status\nstat")
        c.socket.shutdown(socket.SHUT_WR)
        assert c.answer().ok
        assert "newline" in c.answer().text
        assert c.line() is None
    d.stop()


# --- reload

def test_reload_tells_how_it_goes_and_when_it_is_done(box):
    box.web(instances=3)
    d = box.start()
    old = d.wait_ready(3)
    answer = do(box, "reload")
    assert answer.text == "reloaded"
    now = status(box)
    assert not set(old) & set(now.pids())
    assert {r["generation"] for r in now.seats()} == {2}
    assert now.app()["generation"] == 2
    assert now.app()["reloads_ok"] == 1
    ready = [r for r in answer.progress if r.word == "instance"
             and r["state"] == "ready" and r["generation"] == 2]
    assert sorted(r["instance"] for r in ready) == [0, 1, 2]
    assert {r["pid"] for r in ready} == set(now.pids())
    moved = [r["moved"] for r in answer.progress if "moved" in r]
    assert moved == sorted(moved) and moved[0] == 0
    d.stop()


def test_reload_of_one_app_leaves_the_others_alone(box):
    two_apps(box)
    d = box.start()
    d.wait_ready(4)
    before = status(box)
    with open(box.path("app.ini"), "a") as f:
        f.write("[new]\ncommand = /bin/sleep 1000\ninstances = 1\n")
    answer = do(box, "reload web")
    assert not [r for r in answer.progress if r.get("app") == "other"]
    after = status(box)
    assert after.pids("other") == before.pids("other")
    assert not set(after.pids()) & set(before.pids())
    assert after.app("other")["generation"] == 1
    assert len(after.all("app")) == 2
    do(box, "reload")
    assert status(box).app("new")["ready"] == 1
    d.stop()


def test_reload_of_one_app_and_then_of_all(box):
    """What the first has changed is what the second finds."""
    two_apps(box)
    d = box.start()
    d.wait_ready(4)
    before, = [r["address"] for r in status(box).all("listener", app="web")]
    port = free_port()
    two_apps(box, listen=f"127.0.0.1:{port}", instances=3)
    do(box, "reload web")
    wait_until(lambda: is_refused(int(before.split(":")[1])), "closed")
    with Stream(port):
        do(box, "reload")
    now = status(box)
    assert [r["address"] for r in now.all("listener", app="web")] == \
        [f"127.0.0.1:{port}"]
    assert len(now.pids()) == 3 and now.app()["generation"] == 3
    d.stop()


def test_reload_of_an_app_that_the_file_has_not_got_any_more(box):
    two_apps(box)
    d = box.start()
    d.wait_ready(4)
    box.web()
    assert "no app \"other\"" in refused(box, "reload other")
    assert status(box).one("clusterd")["reloads_refused"] == 1
    do(box, "reload")
    wait_status(box, lambda s: not s.all("app", name="other"))
    assert "other" in refused(box, "reload other")
    assert "other" in refused(box, "restart other", "unknown")
    d.stop()


def test_reload_of_a_bad_file_is_refused_with_its_errors(box):
    box.web()
    d = box.start()
    old = d.wait_ready(2)
    with open(box.path("app.ini"), "a") as f:
        f.write("prot = 80\ninstances = x\nbacklog = -1\n")
    answer = ask(box, "reload")
    assert answer.why == "failed" and "refused" in answer.text
    assert len(answer.notes) == 3
    assert "prot" in answer.notes[0] and "app.ini:" in answer.notes[0]
    now = status(box)
    assert set(now.pids()) == set(old)
    assert now.one("clusterd")["reloads_refused"] == 1
    os.unlink(box.path("app.ini"))
    answer = ask(box, "reload")
    assert not answer.ok and "No such file" in answer.notes[0]
    d.stop()


def test_aborted_reload_says_what_the_new_worker_died_of(box):
    box.web()
    d = box.start()
    old = set(d.wait_ready(2))
    for change, reason in (({"command": "/bin/sh -c 'exit 3'"},
                            "exited with code 3"),
                           ({"command": "/nowhere"}, "cannot execute"),
                           ({"command": probe("--ready", "never"),
                             "ready": "notify", "ready_timeout": "200ms"},
                            "not ready in time")):
        box.web(**change)
        answer = ask(box, "reload")
        assert answer.why == "failed" and "aborted" in answer.text
        assert reason in answer.text, answer.lines
        assert "keeps serving" in answer.text
        assert any(reason in note for note in answer.notes), answer.lines
        now = status(box)
        assert set(now.pids()) == old
        assert now.app()["reload_error"] in answer.text
        assert now.app()["state"] == "running"
    assert now.app()["reloads_aborted"] == 3
    box.web()
    do(box, "reload")
    now = status(box)
    assert "reload_error" not in now.app()
    assert now.app()["reloads_ok"] == 1
    d.stop()


def test_reload_fails_by_an_added_app_that_cannot_become_ready(box):
    box.web()
    d = box.start()
    d.wait_ready(2)
    with open(box.path("app.ini"), "a") as f:
        f.write("\n[bad]\ncommand = /bin/sh -c 'exit 7'\ninstances = 1\n"
                "ready = notify\nrestart_delay = 10ms\n")
    answer = ask(box, "reload")
    assert answer.why == "failed" and "bad[0]" in answer.text
    assert "exited with code 7" in answer.text
    # It goes on trying, and the others are as new.
    now = status(box)
    assert now.app("bad")["ready"] == 0
    wait_status(box, lambda s: s.app()["reloads_ok"] == 1)
    d.stop()


def test_reload_whose_port_is_taken_changes_nothing(box):
    box.web()
    d = box.start()
    old = d.wait_ready(2)
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        box.web(listen=f"127.0.0.1:{port}")
        answer = ask(box, "reload")
        assert answer.why == "failed" and "refused" in answer.text
        assert str(port) in answer.text and "in use" in answer.text
        assert set(status(box).pids()) == set(old)
    do(box, "reload")
    get(port)
    d.stop()


def test_reload_is_answered_by_what_supersedes_it(box):
    box.web()
    d = box.start()
    d.wait_ready(2)
    box.web("--ready", "never", ready="notify", stop_timeout="200ms")
    with client(box) as first:
        first.send("reload")
        first.wait_progress(state="starting", generation=2)
        box.web()
        do(box, "reload")
        assert first.answer().ok
    assert status(box).app()["generation"] == 3
    d.stop()


# --- restart

def test_restart_replaces_every_worker_without_loss(box):
    box.web(instances=3)
    d = box.start()
    old = d.wait_ready(3)
    with Stream(d.port()):
        assert do(box, "restart web").text == "restarted"
    now = status(box)
    assert len(now.pids()) == 3 and not set(now.pids()) & set(old)
    # The file is not read.
    with open(box.path("app.ini"), "a") as f:
        f.write("nonsense\n")
    do(box, "restart web")
    d.stop()


def test_restart_of_one_instance_leaves_the_others_alone(box):
    two_apps(box, instances=3)
    d = box.start()
    d.wait_ready(5)
    before = status(box)
    with Stream(d.port()):
        for n in (1, 2, 0):
            do(box, f"restart web:{n}")
    after = status(box)
    assert not set(before.pids()) & set(after.pids())
    assert before.pids("other") == after.pids("other")
    do(box, "restart web:1")
    last = status(box)
    assert [a == b for a, b in zip(after.pids(), last.pids())] == \
        [True, False, True]
    assert "0 to 2" in refused(box, "restart web:3", "unknown")
    d.stop()


def test_restart_that_fails_keeps_the_old_worker(box):
    flag = box.path("flag")
    box.web("--fail-if-file", flag)
    d = box.start()
    old = d.wait_ready(2)
    box.touch("flag")
    for request in ("restart web", "restart web:1"):
        answer = ask(box, request)
        assert answer.why == "failed"
        assert "exited with code 1" in answer.text
        assert set(status(box).pids()) == set(old)
        assert status(box).app()["state"] == "running"
    os.unlink(flag)
    do(box, "restart web:1")
    d.stop()


def test_restart_revives_an_instance_that_was_parked(box):
    flag = box.touch("flag")
    script = box.write(
        "server", f"#!/bin/sh\n[ $CLUSTERD_INSTANCE = 0 ] && [ -e {flag} ] "
        f"&& exit 1\nexec {PROBE}\n", mode=0o755)
    box.web(command=script, restart_limit="2/60s", restart_delay="10ms")
    d = box.start()
    now = wait_status(box, lambda s: s.seat(0)["state"] == "parked"
                      and s.seat(1)["state"] == "ready", "parked")
    assert "pid" not in now.seat(0)
    assert refused(box, "restart web:0")
    assert status(box).seat(0)["state"] == "parked"
    os.unlink(flag)
    do(box, "restart web:0")
    after = status(box)
    assert after.seat(0)["state"] == "ready"
    assert after.pids()[1] == now.pids()[1]
    d.stop()


def test_restart_revives_an_app_whose_instances_have_all_failed(box):
    flag = box.touch("flag")
    box.config(
        web={"command": probe("--fail-if-file", flag), "instances": 2,
             "listen": f"127.0.0.1:{free_port()}",
             "restart_limit": "2/60s", "restart_delay": "10ms"},
        other={"command": "/bin/sleep 1000"})
    d = box.start()
    wait_status(box, lambda s: s.app()["state"] == "failed", "failed")
    port = d.port()
    wait_until(lambda: is_refused(port), "closed")
    assert "web" in refused(box, "wait")
    assert "restart web" in refused(box, "restart web:0")
    assert "restart web" in refused(box, "scale web 3")
    assert "code 1" in refused(box, "restart web")
    assert status(box).app()["state"] == "failed"
    os.unlink(flag)
    do(box, "restart web")
    now = status(box)
    assert now.app()["state"] == "running"
    assert now.app()["ready"] == 2
    get(port)
    do(box, "wait")
    d.stop()


def test_start_revives_an_app_whose_instances_have_all_failed(box):
    flag = box.touch("flag")
    box.config(
        web={"command": probe("--fail-if-file", flag), "instances": 1,
             "listen": "127.0.0.1:0",
             "restart_limit": "1/60s", "restart_delay": "10ms"},
        other={"command": "/bin/sleep 1000"})
    d = box.start()
    wait_status(box, lambda s: s.app()["state"] == "failed", "failed")
    assert "code 1" in refused(box, "start web")
    os.unlink(flag)
    do(box, "start web")
    assert status(box).app()["ready"] == 1
    d.stop()


def test_restart_is_refused_while_a_reload_is_under_way(box):
    box.web()
    d = box.start()
    d.wait_ready(2)
    box.web("--ready", f"file:{box.path('go')}", ready="notify")
    with client(box) as c:
        c.send("reload")
        c.wait_progress(state="starting", generation=2)
        now = status(box)
        assert now.app()["state"] == "reloading"
        assert now.one("clusterd")["state"] == "reloading"
        assert (now.app()["target"], now.app()["moved"]) == (2, 0)
        new = now.one("instance", role="next")
        assert new["generation"] == 2 and new["state"] == "starting"
        for request in ("restart web", "restart web:1"):
            assert "under way" in refused(box, request)
        box.touch("go")
        assert c.answer().ok
    d.stop()
