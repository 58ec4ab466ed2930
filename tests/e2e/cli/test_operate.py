"""clusterctl and clusterd together, as their users have them."""

import json
import os
import re
import signal
import subprocess

import pytest

import controls
from harness import CLUSTERCTL, SLOW, WRAP, is_alive, kill, probe, wait_until


def ctl(box, *arguments, **run):
    """Finds clusterd by the file's name alone."""
    env = {"RUNTIME_DIRECTORY": box.dir, **run.pop("env", {})}
    return box.ctl("-c", "app.ini", *arguments, env=env, **run)


def done(box, *arguments, **run):
    ended = ctl(box, *arguments, **run)
    assert ended.returncode == 0, ended.stderr
    return ended


def failed(box, *arguments, status=1, **run):
    ended = ctl(box, *arguments, **run)
    assert ended.returncode == status, (ended.stdout, ended.stderr)
    return ended.stderr


def status(box):
    ended = ctl(box, "status", "--json")
    assert ended.returncode in (0, 3), ended.stderr
    return json.loads(ended.stdout)


def app(box, name="web"):
    return next(a for a in status(box)["apps"] if a["name"] == name)


def pids(box, name="web"):
    return [i["pid"] for i in app(box, name)["instances"]
            if i["role"] == "seat" and "pid" in i]


@pytest.mark.valgrind
def test_the_life_of_an_app(box):
    box.web(instances=2)
    d = box.start()
    assert done(box, "wait", "--timeout", "20s").stdout == "ready\n"
    first = pids(box)
    assert set(first) == set(d.ready_pids())

    done(box, "reload")
    second = pids(box)
    assert not set(first) & set(second)
    assert app(box)["generation"] == 2

    done(box, "restart", "web:1")
    third = pids(box)
    assert third[0] == second[0] and third[1] != second[1]

    done(box, "restart", "web")
    assert not set(third) & set(pids(box))

    assert "4 instances ready" in done(box, "scale", "web", "+2").stdout
    assert len(pids(box)) == 4
    done(box, "scale", "web", "-3")
    done(box, "scale", "web", "2")
    assert len(pids(box)) == 2

    kept = pids(box)
    done(box, "stop", "web")
    assert app(box)["state"] == "stopped"
    assert not any(is_alive(pid) for pid in kept)
    done(box, "start", "web")
    assert app(box)["state"] == "running" and len(pids(box)) == 2

    assert "stopped" in done(box, "stop").stdout
    d.wait_end(0)
    assert "no clusterd" in failed(box, "status", status=69) or \
        "not running" in failed(box, "status", status=69)


def test_what_fails_says_why_on_stderr(box):
    box.web(instances=2)
    d = box.start()
    d.wait_ready(2)
    assert "no app \"wbe\"" in failed(box, "reload", "wbe")
    assert "web" in failed(box, "restart", "web:7")
    assert "one is the least" in failed(box, "scale", "web", "-2")
    with open(box.path("app.ini"), "a") as f:
        f.write("instanecs = 3\n")
    text = failed(box, "reload")
    assert "did you mean instances?" in text and "refused" in text
    box.web(command="/bin/sh -c 'exit 7'", instances=2)
    text = failed(box, "reload")
    assert "aborted" in text and "exited with code 7" in text
    assert len(d.ready_pids()) == 2 and app(box)["reloads_aborted"] == 1
    d.stop()


def test_wait_waits_for_the_socket_too_and_tells_who_is_not_ready(box):
    box.web("--ready", "never", ready="notify", instances=2)
    waiting = subprocess.Popen(
        [*WRAP, CLUSTERCTL, "-c", "app.ini", "wait", "--timeout", "60s"],
        cwd=box.dir, env=box.ctl_environment({"RUNTIME_DIRECTORY": box.dir}),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    d = box.start()
    d.wait_log("starting 2 instances")
    assert waiting.poll() is None
    text = failed(box, "wait", "--timeout", "2s")
    assert "web" in text
    box.web(instances=2)
    done(box, "reload")
    out, err = waiting.communicate(timeout=60 * SLOW)
    assert waiting.returncode == 0, err
    d.stop()


def test_exit_status_of_status(box):
    box.config(web={"command": probe(), "instances": 2,
                    "restart_delay": "60s", "restart_delay_max": "60s"},
               api={"command": probe()})
    d = box.start()
    done(box, "wait", "-t", "20s")
    done(box, "status")
    kill(pids(box)[1])
    wait_until(lambda: ctl(box, "status").returncode == 3, "status 3")
    told = ctl(box, "status")
    assert "backoff" in told.stdout and told.stderr == ""
    assert ctl(box, "status", "--json").returncode == 3
    assert ctl(box, "status", "web:1").returncode == 3
    # Of what was asked for.
    done(box, "status", "web:0")
    done(box, "status", "api")
    done(box, "stop", "web")
    done(box, "status")
    d.stop()


def test_wait_tells_of_the_app_that_was_asked_for(box):
    box.config(web={"command": probe("--ready", "never"), "ready": "notify",
                    "instances": 2}, api={"command": probe("--ready", "never"),
                                          "ready": "notify"})
    d = box.start()
    d.wait_log("starting", count=2)
    words = failed(box, "wait", "--min", "1", "-t", "1s", "web")
    assert "web[1] starting" in words and "api" not in words
    d.stop()


def test_the_only_clusterd_needs_no_option(box):
    box.web()
    d = box.start()
    d.wait_ready(2)
    env = {"RUNTIME_DIRECTORY": box.dir}
    # Others of this machine may run as well: then they are listed.
    ended = box.ctl("status", env=env)
    assert ended.returncode == 0 or "app.ini" in ended.stderr
    socket = next(f for f in os.listdir(box.dir) if f.endswith(".sock"))
    assert box.ctl("-s", box.path(socket), "status", env=env).returncode == 0
    d.stop()


def test_control_at_a_path_of_the_file(box):
    box.web(clusterd={"control": "ctl.sock"})
    d = box.start()
    d.wait_ready(2)
    assert done(box, "status").returncode == 0
    assert os.path.exists(box.path("ctl.sock"))
    # Whatever is wrong elsewhere in the file.
    with open(box.path("app.ini"), "a") as f:
        f.write("nonsense = 1\n")
    assert done(box, "status").returncode == 0
    d.stop()
    assert not os.path.exists(box.path("ctl.sock"))


def test_an_app_of_the_command_line(box):
    d = box.start("-p", "0", "-n", "2", "--", *probe().split())
    d.wait_ready(2, app="probe")
    ended = box.ctl("status", "-s", next(
        box.path(f) for f in os.listdir(box.dir)
        if re.fullmatch(rf"probe-{d.process.pid}\.sock", f)))
    assert ended.returncode == 0 and "probe.1" in ended.stdout, ended
    d.stop()


def test_status_tells_of_deaths(box):
    box.web(instances=2, restart_delay="50ms")
    d = box.start()
    d.wait_ready(2)
    kill(pids(box)[0])
    wait_until(lambda: app(box)["instances"][0]
               ["restarts"]["signal"] == 1,
               "a restart")
    done(box, "wait", "--timeout", "20s")
    text = done(box, "status").stdout
    assert "SIGKILL" in text
    # A terminal's lines are not wider than it is.
    with controls.Terminal(
            [CLUSTERCTL, "-c", box.path("app.ini"), "status"],
            box.ctl_environment({"RUNTIME_DIRECTORY": box.dir,
                                 "NO_COLOR": "1"})) as t:
        assert t.finish() == 0
        shown = t.text.decode().splitlines()
        assert any("SIGKILL" in line for line in shown)
        assert max(len(line) for line in shown) <= 80
        assert "\x1b" not in t.text.decode()
    d.stop()


def test_metrics_pass_promtool(box):
    box.web(instances=3, restart_delay="50ms")
    d = box.start()
    kill(d.wait_ready(3)[0])
    done(box, "reload")
    text = done(box, "metrics").stdout
    assert "# EOF" not in text
    assert done(box, "metrics", "--openmetrics").stdout.endswith("\n# EOF\n")
    assert 'clusterd_app_reloads_ok_total{app="web"} 1' in text or \
        re.search(r'clusterd_app_reloads_total\{.*app="web".*\} 1', text)
    checked = subprocess.run(["promtool", "check", "metrics"], input=text,
                             text=True, capture_output=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert not checked.stderr.strip(), checked.stderr
    d.stop()


SAYS = "/bin/sh -c 'echo one; echo two >&2; exec %s'"


def test_logs_of_what_passes_through_clusterd(box):
    box.write("app.ini", f"""
[web]
command = {SAYS % probe()}
port = 0
instances = 2
stdout = prefix
stderr = {box.path("err.log")}
[quiet]
command = sleep 1000
""")
    d = box.start()
    done(box, "wait", "--timeout", "20s")
    lines = wait_until(lambda: (
        lambda out: len(out) >= 4 and out)(
            done(box, "logs", "web").stdout.splitlines()), "four lines")
    assert sorted(lines) == ["web.0 | one", "web.0 | two", "web.1 | one",
                             "web.1 | two"]
    only = done(box, "logs", "web:1").stdout.splitlines()
    assert sorted(only) == ["web.1 | one", "web.1 | two"]
    as_json = [json.loads(line) for line in
               done(box, "logs", "--json", "web").stdout.splitlines()]
    assert {(e["stream"], e["line"]) for e in as_json} == \
        {("stdout", "one"), ("stderr", "two")}
    assert "quiet" in failed(box, "logs", "quiet")
    assert "quiet" in ctl(box, "logs").stderr

    # As status and restart say it; of one that has gone there are lines.
    for more in (["web:2"], ["-f", "web:9"]):
        assert "web has instances 0 to 1" in failed(box, "logs", *more)
    done(box, "scale", "web", "1")
    assert sorted(done(box, "logs", "web:1").stdout.splitlines()) == \
        ["web.1 | one", "web.1 | two"]
    assert "web has instances 0 to 0" in failed(box, "logs", "web:2")

    following = subprocess.Popen(
        [*WRAP, CLUSTERCTL, "-c", "app.ini", "logs", "-f", "web:0"],
        cwd=box.dir, env=box.ctl_environment({"RUNTIME_DIRECTORY": box.dir}),
        stdout=subprocess.PIPE, text=True)
    assert [following.stdout.readline() for _ in range(2)]
    done(box, "restart", "web:0")
    more = [following.stdout.readline() for _ in range(2)]
    assert sorted(more) == ["web.0 | one\n", "web.0 | two\n"]
    # The end of clusterd is the end of its lines.
    done(box, "stop")
    assert following.wait(20 * SLOW) == 0
    d.wait_end(0)


def test_a_reload_on_a_terminal_shows_the_seats(box):
    box.web(instances=4)
    d = box.start()
    d.wait_ready(4)
    with controls.Terminal(
            [CLUSTERCTL, "-c", box.path("app.ini"), "reload"],
            box.ctl_environment({"RUNTIME_DIRECTORY": box.dir,
                                 "TERM": "xterm"})) as t:
        t.wait_for(rb"\d/4 on generation 2")
        t.wait_for(b"reloaded")
        assert t.finish() == 0
    d.stop()


def test_watch_of_a_living_clusterd(box):
    box.web(instances=2)
    d = box.start()
    d.wait_ready(2)
    with controls.Terminal(
            [CLUSTERCTL, "-c", box.path("app.ini"), "status", "--watch"],
            box.ctl_environment({"RUNTIME_DIRECTORY": box.dir,
                                 "TERM": "xterm"})) as t:
        t.wait_for(rb"web\.1")
        old = pids(box)[0]
        kill(old)
        new = wait_until(lambda: old not in pids(box) and
                         len(pids(box)) == 2 and pids(box)[0], "a new worker")
        t.wait_for(str(new).encode())
        t.key(b"q")
        assert t.finish() == 0
        assert t.settings_are_back()
    d.stop()


def test_interrupted_reload_goes_on(box):
    box.web(instances=2)
    d = box.start()
    old = d.wait_ready(2)
    box.web("--ready", "500", ready="notify", instances=2)
    asking = subprocess.Popen(
        [*WRAP, CLUSTERCTL, "-c", "app.ini", "reload"], cwd=box.dir,
        env=box.ctl_environment({"RUNTIME_DIRECTORY": box.dir}),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True)
    d.wait_log("reloading, generation 2")
    asking.send_signal(signal.SIGINT)
    asking.wait(20 * SLOW)
    d.wait_log("reload complete, generation 2", limit=20)
    assert not set(old) & set(pids(box))
    d.stop()
