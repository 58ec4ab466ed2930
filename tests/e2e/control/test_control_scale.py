"""The control socket: more and fewer instances, and apps stopped and started."""

import os
import resource
import signal
import socket

import words
from control import (ask, client, do, refused, status, two_apps,
                     wait_status)
from harness import (Stream, ask as ask_http, free_port, get,
                     is_refused, probe, read_answer)


# --- scale

def test_scale_goes_to_a_number_up_and_down(box):
    box.web()
    d = box.start()
    pids = d.wait_ready(2)
    with Stream(d.port()):
        for request, count in (("4", 4), ("+2", 6), ("-3", 3), ("3", 3),
                               ("1", 1), ("2", 2)):
            answer = do(box, f"scale web {request}")
            assert answer.text.startswith(f"{count} instance")
            now = status(box)
            assert len(now.pids()) == count
            assert now.app()["wanted"] == now.app()["ready"] == count
            assert not now.all("instance", role="retiring")
            assert len(d.workers()) == count
    assert now.pids()[0] in pids
    d.stop()


def test_scale_has_bounds(box):
    box.web()
    d = box.start()
    old = d.wait_ready(2)
    for request in ("-2", "-3", "-4096"):
        assert "stop web" in refused(box, f"scale web {request}")
    for request in ("+4095", "+4096"):
        assert "4096" in refused(box, f"scale web {request}")
    assert set(status(box).pids()) == set(old)
    d.stop()


def test_scale_fails_by_a_new_instance_that_crashes(box):
    script = box.write("server", "#!/bin/sh\n"
                       "[ $CLUSTERD_INSTANCE -ge 2 ] && exit 4\n"
                       f"exec {probe()}\n", mode=0o755)
    box.web(command=script, restart_delay="50ms")
    d = box.start()
    old = d.wait_ready(2)
    answer = ask(box, "scale web 4")
    assert answer.why == "failed" and "exited with code 4" in answer.text
    assert answer.text.endswith("; web goes on with 4 instances wanted: "
                                '"scale web 2" takes that back')
    now = status(box)
    assert now.pids()[:2] == [pid for pid in now.pids()[:2] if pid in old]
    assert now.app()["wanted"] == 4
    do(box, "scale web 2")
    # The same of those that are not restarted.
    box.web(command=script, restart="never")
    do(box, "update")
    text = refused(box, "scale web +1")
    assert "web[2]" in text and text.endswith(
        "; web goes on with 3 instances wanted: "
        '"scale web 2" takes that back')
    d.stop()


def test_scale_during_a_reload(box):
    box.web("--ready", f"file:{box.path('go')}", ready="notify")
    box.touch("go")
    d = box.start()
    d.wait_ready(2)
    os.unlink(box.path("go"))
    with client(box) as reload, client(box) as scale:
        reload.send("reload")
        reload.wait_progress(state="starting", generation=2)
        scale.send("scale web 3")
        scale.wait_progress(word="app", wanted=3)
        box.touch("go")
        assert reload.answer().ok
        assert scale.answer().ok
    now = status(box)
    assert {r["generation"] for r in now.seats()} == {2}
    assert len(now.pids()) == 3
    d.stop()


def test_scale_of_instances_that_drain_waits_for_them(box):
    box.web()
    d = box.start()
    d.wait_ready(2)
    busy = [ask_http(d.port(), "/slow/600") for _ in range(8)]
    box.wait_events("slow", 8)
    do(box, "scale web 1")
    assert len(d.workers()) == 1
    assert len({read_answer(s).pid for s in busy}) >= 1
    d.stop()


def test_second_scale_decides(box):
    box.web("--ready", f"file:{box.path('go')}", ready="notify")
    box.touch("go")
    d = box.start()
    d.wait_ready(2)
    os.unlink(box.path("go"))
    with client(box) as first:
        first.send("scale web 5")
        first.wait_progress(state="starting", instance=4)
        do(box, "scale web 2")
        assert first.answer().text == "2 instances ready"
    d.stop()


def test_instance_that_has_failed_is_waited_for_by_nobody(box):
    script = box.write("server", "#!/bin/sh\n"
                       "[ $CLUSTERD_INSTANCE = 0 ] && exit 5\n"
                       f"exec {probe()}\n", mode=0o755)
    box.web(command=script, restart_limit="2/60s", restart_delay="10ms")
    d = box.start()
    with client(box) as waits:
        waits.send("wait")
        wait_status(box, lambda s: s.seat()["state"] == "parked" and
                    s.app()["ready"] == 1)
        answer = waits.answer()
    assert answer.why == "failed"
    assert "web[0]" in answer.text and "code 5" in answer.text
    for request in ("wait", "start web"):
        assert "web[0]" in refused(box, request)
    # It is not the concern of who wants one more, or less.
    for count in (3, 2):
        do(box, f"scale web {count}")
    assert status(box).app()["ready"] == 1
    d.stop()


# --- stop and start

def held(box, port, count):
    """Requests that the workers have taken, and answer once the file `go` is
    there."""
    asked = [ask_http(port, f"/until{box.path('go')}") for _ in range(count)]
    box.wait_events("until", count)
    return asked


def test_stop_drains_and_start_starts_again(box):
    two_apps(box)
    d = box.start()
    d.wait_ready(4)
    port = d.port("web")
    busy = held(box, port, 4)
    before = status(box)
    with client(box) as c:
        c.send("stop web")
        now = wait_status(box, lambda s: s.app()["state"] == "stopping")
        assert {r["role"] for r in now.all("instance", app="web")} == \
            {"retiring"}
        box.touch("go")
        assert c.answer().text == "stopped"
    for s in busy:
        read_answer(s)
    assert is_refused(port)
    now = status(box)
    assert now.app()["state"] == "stopped"
    assert (now.app()["wanted"], now.app()["ready"]) == (0, 0)
    assert not now.all("instance", app="web")
    assert not now.all("listener", app="web")
    assert now.pids("other") == before.pids("other")
    # Once more is no error; and the rest says what to do.
    do(box, "stop web")
    for request in ("reload web", "restart web", "scale web 3"):
        assert "start web" in refused(box, request)
    do(box, "wait")
    assert do(box, "start web").text == "2 instances ready"
    now = status(box)
    assert now.app()["state"] == "running"
    assert [a["name"] for a in now.all("app")].count("web") == 1
    do(box, "start web")
    assert status(box).pids() == now.pids()
    d.stop()


def test_stop_loses_no_request(box):
    """Of clients that it has taken; those after it are refused."""
    box.web(instances=3)
    d = box.start()
    d.wait_ready(3)
    with Stream(d.port()) as stream:
        do(box, "stop web")
        stream.over.set()
        for thread in stream.threads:
            thread.join()
        stream.failures = [f for f in stream.failures if "Refused" not in f]
    assert d.process.poll() is None
    d.stop()


def test_stopped_app_stays_stopped_over_a_reload(box):
    two_apps(box)
    d = box.start()
    d.wait_ready(4)
    do(box, "stop web")
    d.send(signal.SIGHUP)
    d.wait_log(words.RELOAD_DONE("other", 2))
    do(box, "reload")
    assert status(box).app()["state"] == "stopped"
    # What starts is what the file says now.
    two_apps(box, instances=3)
    do(box, "reload")
    do(box, "start web")
    assert len(status(box).pids()) == 3
    d.stop()


def test_app_that_is_removed_while_it_is_stopped_is_gone(box):
    two_apps(box)
    d = box.start()
    d.wait_ready(4)
    do(box, "stop other")
    box.web()
    do(box, "reload")
    assert not status(box).all("app", name="other")
    refused(box, "start other", "unknown")
    d.stop()


def test_start_while_the_stopped_ones_workers_finish(box):
    box.web(listen=f"127.0.0.1:{free_port()}")
    d = box.start()
    d.wait_ready(2)
    busy, = held(box, d.port(), 1)
    with client(box) as c:
        c.send("stop web")
        wait_status(box, lambda s: s.all("app", state="stopping"))
        do(box, "start web")
        assert sorted(a["state"] for a in status(box).all("app")) == \
            ["running", "stopping"]
        get(d.port())
        box.touch("go")
        read_answer(busy)
        assert c.answer().ok
    assert status(box).app()["ready"] == 2
    d.stop()


def test_start_fails_where_a_stranger_has_the_port(box):
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}")
    d = box.start()
    d.wait_ready(2)
    do(box, "stop web")
    with socket.create_server(("127.0.0.1", port)):
        text = refused(box, "start web")
        assert str(port) in text and "in use" in text
        assert status(box).app()["state"] == "stopped"
    do(box, "start web")
    get(port)
    d.stop()


def test_start_fails_by_a_program_that_crashes(box):
    flag = box.path("flag")
    box.web("--fail-if-file", flag, restart_delay="20ms",
            restart_delay_max="40ms")
    d = box.start()
    d.wait_ready(2)
    do(box, "stop web")
    box.touch("flag")
    assert "exited with code 1" in refused(box, "start web")
    # As at the start of clusterd, it goes on trying.
    os.unlink(flag)
    do(box, "wait")
    d.stop()


def test_start_fails_by_a_worker_that_cannot_be_spawned(box, unwrapped):
    box.config(web={"command": probe(), "instances": 2, "ready": "notify",
                    "restart_delay": "20ms", "restart_delay_max": "40ms"})
    d = box.start()
    with client(box) as c:
        assert c.ask("wait").ok
        assert c.ask("stop web").ok
        limits = resource.prlimit(d.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        answer = c.ask("start web")
        assert answer.why == "failed" and "web[0]" in answer.text
        resource.prlimit(d.pid, resource.RLIMIT_NOFILE, limits)
        assert c.ask("wait").ok
        assert len(status(box).pids()) == 2
    d.stop()


def test_stop_of_an_app_that_crashes_and_of_one_that_has_failed(box):
    box.config(web={"command": "/bin/sh -c 'exit 1'",
                    "restart_delay": "1h", "restart_delay_max": "1h"},
               other={"command": "/bin/sh -c 'exit 1'", "restart": "never"},
               last={"command": "/bin/sleep 1000"})
    d = box.start()
    wait_status(box, lambda s: s.app("other")["state"] == "failed" and
                s.seat()["state"] == "backoff")
    do(box, "stop web")
    do(box, "stop other")
    do(box, "wait")
    do(box, "stop last")
    d.wait_workers(0)
    assert d.process.poll() is None
    do(box, "stop")
    d.wait_end(0)


def test_start_of_an_app_whose_work_is_done_at_once(box):
    """It ends well: that is what was asked for."""
    box.config(job={"command": "/bin/true", "restart": "never",
                    "instances": 2, "ready": "alive:10s"},
               last={"command": "/bin/sleep 1000"})
    d = box.start()
    wait_status(box, lambda s: s.app("job")["state"] == "ended")
    do(box, "wait")
    do(box, "stop job")
    do(box, "start job")
    assert status(box).app("job")["state"] == "ended"
    do(box, "start job")
    d.stop()


def test_who_waits_for_an_app_is_told_that_it_was_stopped(box):
    flag = box.touch("go")
    box.web("--ready", f"file:{flag}", ready="notify")
    d = box.start()
    d.wait_ready(2)
    for request in ("restart web", "restart web:1", "reload web",
                    "scale web 3", "start web"):
        if request == "start web":
            do(box, "stop web")
        os.unlink(flag)
        with client(box) as c:
            c.send(request)
            c.wait_progress(state="starting")
            do(box, "stop web")
            assert "stopped meanwhile" in c.answer().last, request
        box.touch("go")
        do(box, "start web")
    d.stop()
