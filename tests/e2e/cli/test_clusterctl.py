"""clusterctl against a server that answers as a test wants it to."""

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

import controls
import harness
from harness import CLUSTERCTL, HERE, IS_ROOT, ROOT, SLOW, WRAP, wait_until

UTF8 = {"LC_ALL": "C.UTF-8"}


@pytest.fixture
def serve(box):
    """Start a server; the default path is the only one in the box."""
    servers = []

    def start(answers=None, path=None, **more):
        s = controls.Server(path or box.path("run/web-1.sock"), answers,
                            **more)
        servers.append(s)
        return s
    yield start
    for s in servers:
        s.close()


# Words before a program that is not to see the system's own clusterds.
HIDE = ["unshare", "--mount", "sh", "-c",
        'mount -t tmpfs tmpfs /run && exec "$@"', "sh"]


@pytest.fixture
def alone():
    """For those who look for any clusterd: a launcher that lets them find none
    but the test's."""
    if IS_ROOT and subprocess.run([*HIDE, "true"],
                                  capture_output=True).returncode == 0:
        return HIDE
    directory = "/run/clusterd"
    if os.path.isdir(directory) and os.listdir(directory):
        pytest.skip(f"{directory} is in use, and cannot be hidden")
    return []


def start_ctl(box, *arguments, env=None, launcher=(), **popen):
    return subprocess.Popen(
        [*launcher, *WRAP, CLUSTERCTL, *arguments], env=box.ctl_environment(env),
        cwd=box.dir, start_new_session=True, text=True,
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
           "stderr": subprocess.PIPE, **popen})


def terminal(box, *arguments, env=None, launcher=(), **more):
    settings = {"TERM": "xterm", **UTF8, **(env or {})}
    environment = box.ctl_environment(
        {k: v for k, v in settings.items() if v is not None})
    if settings.get("TERM") is None:
        environment.pop("TERM", None)
    return controls.Terminal([*launcher, CLUSTERCTL, *arguments],
                             environment, **more)


# --- the command line

@pytest.mark.parametrize("arguments, words", [
    ([], "no command"),
    (["foo"], '"foo" is not a command'),
    (["reloda"], "did you mean reload?"),
    (["metrcs"], "did you mean metrics?"),
    (["follow"], "is not a command"),
    (["status", "web", "db"], "too many arguments, usage: status [APP[:N]]"),
    (["update", "web"], "too many arguments, usage: update"),
    (["status", "web[x]"], "not the number of an instance"),
    (["metrics", "web"], "too many arguments"),
    (["restart"], "an argument is missing, usage: restart APP[:N]"),
    (["restart", "web:x"], "not the number of an instance"),
    (["scale", "web"], "usage: scale APP N|+N|-N"),
    (["scale", "web", "0"], "stop APP"),
    (["scale", "web", "1", "2"], "too many arguments"),
    (["start", "We b"], "is not the name of an app"),
    (["reload", "--json"], "--json is for status, logs, events and check"),
    (["reload", "-w"], "--watch is for status"),
    (["status", "-f"], "--follow is for logs and events"),
    (["status", "-n", "3"], "--lines is for logs"),
    (["status", "-t", "3"], "--timeout is for wait"),
    (["status", "--label", "a=b"], "--label is for metrics"),
    (["status", "--min", "1"], "--min is for wait"),
    (["wait", "--min", "0"], "--min takes a number of instances"),
    (["wait", "--min", "4097"], "--min takes a number of instances"),
    (["wait", "web.1"], "wait takes a whole app: wait web"),
    (["signal", "web"], "an argument is missing, usage: signal"),
    (["signal", "web", "FOO"], '"FOO" is not a signal'),
    (["check"], "an argument is missing, usage: check"),
    (["check", "web", "health"], '"health" is not a path'),
    (["check", "web", "/a b"], '"/a b" is not a path'),
    (["check", "web", "/a", "/b"], "too many arguments, usage: check"),
    (["status", "--openmetrics"], "--openmetrics is for metrics"),
    (["events", "-n", "3"], "--lines is for logs"),
    (["events", "a", "b"], "too many arguments, usage: events [APP[:N]]"),
    (["watch"], "is not a command"),
    (["metrics", "--label"], "requires an argument"),
    (["metrics", "--label", "web"], "a label is NAME=VALUE"),
    (["metrics", "--label", "a-b=c"], "is not the name of a label"),
    (["metrics", "--label", "app=c"], "that metrics have already"),
    (["metrics", "--label=a=1", "--label=a=2"], "is given twice"),
    (["metrics", *(f"--label=a{n}=x" for n in range(17))], "16 labels"),
    (["wait", "-t", "soon"], "--timeout takes a duration"),
    (["logs", "-n", "x"], "--lines takes a number"),
    (["-c", "a", "-s", "b", "status"], "-c and -s"),
    (["status", "--jsn"], "unrecognized option"),
    (["-z", "status"], "invalid option"),
    (["status", "-c"], "requires an argument"),
])
def test_usage_errors(box, arguments, words):
    done = box.ctl(*arguments)
    assert done.returncode == 64
    assert words in done.stderr
    assert "clusterctl --help" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("word, ours", [
    ("list", "status"), ("ls", "status"), ("ps", "status"),
    ("monit", "status -w"), ("tail", "logs -f"), ("statsu", "status")])
def test_command_of_another_tool(box, word, ours):
    done = box.ctl(word)
    assert done.returncode == 64 and done.stdout == ""
    assert f'"{word}" is not a command, did you mean {ours}?' in done.stderr


def test_help_and_version_as_words(box):
    whole = box.ctl("--help").stdout
    done = box.ctl("help")
    assert (done.returncode, done.stdout, done.stderr) == (0, whole, "")
    assert box.ctl("help", "nothing").stdout == whole
    assert box.ctl("version").stdout == box.ctl("--version").stdout
    assert box.ctl("version").returncode == 0
    for words in (["version", "x"], ["help", "x", "y"]):
        assert box.ctl(*words).returncode == 64


def test_help_of_each_command(box):
    """All of it is in the summary, and in that of no other one."""
    whole = box.ctl("--help").stdout.splitlines()
    first = whole.index("  -c, --config FILE        the clusterd that runs this "
                        "configuration")
    commands = [line.split()[0] for line in whole[:first]
                if line.startswith("  ") and line[2] != " "]
    assert len(commands) == 15
    told = []
    for command in commands:
        done = box.ctl(command, "--help")
        assert done.returncode == 0 and done.stderr == ""
        assert done.stdout == box.ctl("help", command).stdout
        head, block, tail = done.stdout.split("\n\n")
        assert head.startswith("usage: clusterctl ")
        assert block.startswith(f"  {command} ")
        assert '"clusterctl --help" has all commands' in tail
        told += block.splitlines()
    assert told == [line for line in whole[:first] if line.startswith("  ")]


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help(box, option):
    done = box.ctl(option)
    assert done.returncode == 0 and done.stderr == ""
    for command in ("status", "reload", "restart", "scale", "stop", "start",
                    "logs", "events", "metrics", "wait", "signal", "check"):
        assert re.search(rf"^  {command}\b", done.stdout, re.M)


def test_version(box):
    done = box.ctl("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"clusterctl \d+\.\d+\.\d+\n", done.stdout)


@pytest.mark.parametrize("arguments, request_line", [
    (["reload"], "reload"),
    (["reload", "web"], "reload web"),
    (["restart", "web:3"], "restart web:3"),
    (["scale", "web", "4"], "scale web 4"),
    (["scale", "web", "+2"], "scale web +2"),
    (["scale", "web", "-2"], "scale web -2"),
    (["scale", "--", "web", "-2"], "scale web -2"),
    (["stop", "web"], "stop web"),
    (["start", "web"], "start web"),
    (["wait"], "wait"),
    (["wait", "web"], "wait web"),
    (["wait", "--min", "2"], "wait min=2"),
    (["wait", "web", "--min=2"], "wait web min=2"),
    (["signal", "web", "SIGUSR1"], "signal web USR1"),
    (["signal", "web[1]", "15"], "signal web:1 TERM"),
    (["logs", "web:1"], "logs web:1"),
    (["-s", "run/web-1.sock", "start", "web"], "start web"),
    (["start", "web", "--socket=run/web-1.sock"], "start web"),
])
def test_what_is_asked(box, serve, alone, arguments, request_line):
    server = serve({request_line: "ok done as asked\n"})
    done = box.ctl(*arguments, launcher=alone)
    assert server.requests == [request_line]
    assert done.returncode == 0 and done.stderr == ""
    if arguments[0] != "logs":
        assert done.stdout == "done as asked\n"


@pytest.mark.parametrize("why, status", [
    ("failed", 1), ("unknown", 1), ("denied", 1), ("slow", 1), ("usage", 64),
])
def test_what_the_server_refuses(box, serve, why, status):
    server = serve({"reload": f"error {why} web: it would not\n"})
    done = box.ctl("-s", server.path, "reload")
    assert done.returncode == status
    assert done.stderr == "clusterctl: web: it would not\n"
    assert done.stdout == ""


# --- which clusterd

def test_nobody_is_there(box, alone):
    done = box.ctl("status", launcher=alone)
    assert done.returncode == 69
    assert "no clusterd is running (looked in" in done.stderr
    assert box.path("run") in done.stderr
    assert "; one of another user, or without a control socket, is not " \
        "found)" in done.stderr


@pytest.mark.parametrize("make, words", [
    (lambda path: None, "there is no such file"),
    (controls.stale, "clusterd is not running"),
])
def test_socket_that_does_not_answer(box, make, words):
    path = box.path("run/x.sock")
    make(path)
    done = box.ctl("-s", path, "status")
    assert done.returncode == 69
    assert done.stderr.startswith(f"clusterctl: {path}: ")
    assert words in done.stderr


def test_socket_that_is_none(box):
    path = box.write("file", "text")
    done = box.ctl("-s", path, "status")
    assert done.returncode == 69


def test_socket_with_too_long_a_path(box):
    done = box.ctl("-s", "/" + "x" * 200, "status")
    assert done.returncode == 69
    assert "too long" in done.stderr


def test_the_stale_one_is_passed_over(box, serve, alone):
    controls.stale(box.path("run/a.sock"))
    serve({"reload": "ok\n"})
    assert box.ctl("reload", launcher=alone).returncode == 0


def test_only_stale_ones(box, alone):
    controls.stale(box.path("run/a.sock"))
    done = box.ctl("reload", launcher=alone)
    assert done.returncode == 69
    assert "clusterd is not running" in done.stderr


def test_several(box, serve, alone):
    serve()
    serve({"status": controls.STATUS.replace(
        "/etc/app.ini", "/etc/my%20apps/other.ini")},
        path=box.path("run/b.sock"))
    serve({"status": re.sub(r" config=\S+", "", controls.STATUS)},
          path=box.path("run/c.sock"))
    done = box.ctl("stop", launcher=alone)
    assert done.returncode == 64
    assert done.stderr.splitlines() == [
        "clusterctl: 3 clusterds are running, say which one is meant:",
        "  clusterctl -c '/etc/my apps/other.ini'",
        f"  clusterctl -s {box.path('run/c.sock')}",
        "  clusterctl -c /etc/app.ini",
    ]


def test_asking_several_who_they_are_has_an_end(box, serve, alone):
    """Each is given two seconds, but no longer than there is."""
    for n in range(4):
        serve({"status": lambda server, connection: server.over.wait(60)},
              path=box.path(f"run/{n}.sock"))
    begun = time.monotonic()
    done = box.ctl("wait", "-t", "500ms", launcher=alone)
    assert time.monotonic() - begun < 6
    assert done.returncode == 64
    assert "4 clusterds are running" in done.stderr


def test_a_silent_one_is_counted(box, serve, alone):
    serve()
    serve(path=box.path("run/b.sock"), greeting=None)
    done = box.ctl("stop", launcher=alone)
    assert done.returncode == 64
    assert "(it does not answer)" in done.stderr


def test_by_configuration(box, serve, alone):
    """The name of the socket follows from the real path of the file."""
    config = box.web()
    name = place_name(config)
    serve({"reload": "ok right\n"}, path=box.path(f"run/{name}"))
    serve({"reload": "ok wrong\n"}, path=box.path("run/b.sock"))
    os.symlink(config, box.path("link.ini"))
    for file in (config, "app.ini", "link.ini", "./app.ini"):
        done = box.ctl("-c", file, "reload", launcher=alone)
        assert (done.returncode, done.stdout) == (0, "right\n")


def place_name(path):
    h = 0xcbf29ce484222325
    for byte in os.path.realpath(path).encode():
        h = (h ^ byte) * 0x100000001b3 % 2**64
    stem = os.path.splitext(os.path.basename(path))[0]
    return f"{stem}-{h:016x}.sock"


def test_by_configuration_in_the_next_directory(box, serve):
    name = place_name(box.web())
    serve({"reload": "ok\n"}, path=box.path(f"xdg/clusterd/{name}"))
    controls.stale(box.path(f"run/{name}"))
    done = box.ctl("-c", "app.ini", "reload",
                   env={"XDG_RUNTIME_DIR": box.path("xdg")})
    assert done.returncode == 0


def test_configuration_without_a_clusterd(box):
    box.web()
    done = box.ctl("-c", "app.ini", "reload")
    assert done.returncode == 69
    assert "no clusterd runs app.ini (looked for app-" in done.stderr


@pytest.mark.parametrize("value", ["my.sock", "./my.sock", "{dir}/my.sock"])
def test_configuration_that_names_its_socket(box, serve, value):
    """Whatever else is wrong with the file."""
    os.mkdir(box.path("etc"))
    box.write("etc/app.ini", "[clusterd]\nnonsense = 1\ncontrol = " +
              value.format(dir=box.path("etc")) + "\n[web\n= 3\n")
    serve({"reload": "ok\n"}, path=box.path("etc/my.sock"))
    assert box.ctl("-c", "etc/app.ini", "reload").returncode == 0
    assert box.ctl("-c", "app.ini", "reload",
                   cwd=box.path("etc")).returncode == 0


def test_configuration_that_names_a_socket_of_nobody(box):
    box.web(clusterd={"control": "my.sock"})
    done = box.ctl("-c", "app.ini", "reload")
    assert done.returncode == 69
    assert box.path("my.sock") in done.stderr


def test_configuration_without_control(box):
    box.web(clusterd={"control": "none"})
    done = box.ctl("-c", "app.ini", "wait", "-t", "60")
    assert done.returncode == 69
    assert "control = none" in done.stderr


def test_configuration_that_is_not_there(box):
    done = box.ctl("-c", "no.ini", "reload")
    assert done.returncode == 1
    assert "no.ini: No such file" in done.stderr


@pytest.mark.skipif(not IS_ROOT, reason="needs root")
def test_permission(box, serve):
    server = serve()
    os.chmod(box.dir, 0o755)
    os.chmod(server.path, 0o600)
    done = box.ctl("-s", server.path, "status", launcher=[
        "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    assert done.returncode == 69
    assert "permission denied" in done.stderr
    assert "control_group" in done.stderr


def test_newer_protocol(box, serve):
    server = serve(greeting="clusterd 2 pid=1 version=3.0\n")
    done = box.ctl("-s", server.path, "wait", "-t", "60")
    assert done.returncode == 69
    assert "3.0 speaks version 2" in done.stderr


@pytest.mark.parametrize("greeting", [
    "SSH-2.0-OpenSSH_9.2\r\n", "\n", b"\x00\xff\n", "clusterd x\n",
    "ok\n", "x" * 70000,
])
def test_somebody_else(box, serve, greeting):
    server = serve(greeting=greeting)
    done = box.ctl("-s", server.path, "status")
    assert done.returncode == 69
    assert "no clusterd" in done.stderr


def test_silence(box, serve):
    server = serve(greeting=None)
    begun = time.monotonic()
    done = box.ctl("-s", server.path, "status")
    assert done.returncode == 69
    assert "does not answer" in done.stderr
    assert 4 < time.monotonic() - begun < 10 * harness.SLOW


def test_full_queue(box):
    """As many wait to be heard as can."""
    path = box.path("x.sock")
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(path)
        listener.listen(1)
        while True:
            c = stack.enter_context(socket.socket(socket.AF_UNIX))
            c.setblocking(False)
            if c.connect_ex(path) == errno.EAGAIN:
                break
        done = box.ctl("-s", path, "status")
    assert done.returncode == 69
    assert "does not answer" in done.stderr


def test_denied_at_once(box, serve):
    server = serve(greeting="error denied you are nobody\n")
    done = box.ctl("-s", server.path, "status")
    assert done.returncode == 69
    assert "control_group" in done.stderr


# --- answers that are none

@pytest.mark.parametrize("answer", [
    "?\n", b"\x00\n", "+ app x\n", "clusterd 1 pid=3\n", "+ app =\n",
    "y" * 70000 + "\n",
])
def test_garbage(box, serve, answer):
    server = serve({"status": answer, "reload": answer})
    for command in ("status", "reload", "metrics"):
        done = box.ctl("-s", server.path, command)
        assert done.returncode == 1
        assert "cannot be understood" in done.stderr


@pytest.mark.parametrize("answer", ["", "* app app=web wanted=1", "+ a"])
def test_early_end(box, serve, answer):
    def leave(_, connection):
        connection.sendall(answer.encode())
        return "close"
    server = serve({"reload": leave})
    done = box.ctl("-s", server.path, "reload")
    assert done.returncode == 1
    assert "closed the connection" in done.stderr


def test_hostile_bytes_are_shown_harmless(box, serve):
    evil = "%1B]0;owned%07%1B[2J%C2%9B31m%0Anew%0D"
    server = serve({
        "reload": "* instance app=w%1B[31m instance=%1B[0m pid=%07 "
                  f"state={evil} why={evil}\n* note text={evil}\n"
                  "error failed \x1b[2J\x9b\n".encode("latin-1"),
        "status": controls.STATUS.replace("generation=2",
                                          f"reload_error={evil}")
                  .replace("/etc/app.ini", evil),
    })
    for command in ("reload", "status", "--list-apps"):
        done = box.ctl("-s", server.path, command, env=UTF8, text=False,
                       errors=None)
        said = done.stdout + done.stderr
        assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]",
                             said), said


# --- progress

def events(_, connection):
    for line in RELOAD.splitlines(True):
        connection.sendall(line.encode())


RELOAD = """\
* app app=web wanted=3 ready=3 target=2 moved=0
* instance app=web instance=0 role=next pid=101 state=starting generation=2
* instance app=web instance=0 role=next pid=101 state=ready generation=2 \
why=it%20waits%20for%20connections
* app app=web wanted=3 ready=3 target=2 moved=1
* note text=web[1]%20pid%2077:%20killed%20by%20signal%209
* instance app=web instance=1 role=next pid=102 state=ready generation=2
* app app=web wanted=3 ready=3 target=2 moved=3
* later app=web nothing=known
ok web: generation 2
"""


def test_progress_as_lines(box, serve):
    server = serve({"reload": events})
    done = box.ctl("-s", server.path, "reload")
    assert done.returncode == 0
    assert done.stdout == "web: generation 2\n"
    assert done.stderr.splitlines() == [
        "web[0] pid 101 starting",
        "web[0] pid 101 ready (it waits for connections)",
        "web[1] pid 77: killed by signal 9",
        "web[1] pid 102 ready",
    ]


def test_progress_on_a_terminal(box, serve):
    server = serve({"reload": events})
    with terminal(box, "-s", server.path, "reload", columns=60) as t:
        assert t.finish() == 0
        shown = [line for line in controls.screen(t.text, columns=60) if line]
        assert shown == [
            "web[1] pid 77: killed by signal 9",
            "web  [###] 3/3 on generation 2",
            "web: generation 2",
        ]


def test_progress_turns_seat_by_seat(box, serve):
    steps = [f"* app app=web wanted=6 ready={n}\n" for n in range(7)]
    go = controls.threading.Event()

    def slowly(_, connection):
        for step in steps:
            connection.sendall(step.encode())
            assert go.wait(20 * SLOW)
            go.clear()
        connection.sendall(b"ok ready\n")
    server = serve({"start web": slowly})
    with terminal(box, "-s", server.path, "start", "web") as t:
        for n in range(7):
            bar = "#" * n + "·" * (6 - n)
            t.wait_for(re.escape(f"[{bar}] {n}/6 ready".encode()))
            go.set()
        assert t.finish() == 0
        shown = [line for line in controls.screen(t.text) if line]
        assert shown == ["web  [######] 6/6 ready", "ready"]


def test_progress_is_cut_to_the_width(box, serve):
    server = serve({"start web":
        "* app app=web wanted=4000000000 ready=99999999999999999999\n"
        "* instance app=web instance=1 state=" + "long" * 100 + "\nok\n"})
    with terminal(box, "-s", server.path, "start", "web", columns=40) as t:
        assert t.finish() == 0
        shown = controls.screen(t.text, columns=200)
        assert max(map(len, shown)) < 40


@pytest.mark.parametrize("env", [
    {"TERM": "dumb"}, {"TERM": None}])
def test_no_drawing_on_a_dumb_terminal(box, serve, env):
    server = serve({"reload": events})
    with terminal(box, "-s", server.path, "reload", env=env) as t:
        assert t.finish() == 0
        assert b"\x1b" not in t.text
        assert b"web[0] pid 101 starting\r\n" in t.text


def test_ascii_where_the_locale_is(box, serve):
    server = serve({"start web": "* app app=web wanted=2 ready=1\nok\n"})
    with terminal(box, "-s", server.path, "start", "web",
                  env={"LC_ALL": "C"}) as t:
        assert t.finish() == 0
        assert b"[#.] 1/2 ready" in t.text


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(box, serve, signo):
    server = serve({"reload": lambda s, c: s.over.wait(60) and None})
    p = start_ctl(box, "-s", server.path, "reload")
    wait_until(lambda: server.requests, "the request")
    p.send_signal(signo)
    _, stderr = p.communicate(timeout=20 * SLOW)
    assert p.returncode == -signo
    assert stderr == ("clusterctl: interrupted; clusterd goes on with the "
                      "reload\n")


def test_stop_waits_for_the_end(box):
    """Of the process, whatever its connection does."""
    code = ("import sys, time, controls; s = controls.Server(sys.argv[1], "
            "{'stop': 'ok stopping\\n'}); "
            "[time.sleep(0.01) for _ in iter(lambda: 'stop' in s.requests, "
            "True)]; time.sleep(0.5); import os; os.unlink(s.path); "
            "os._exit(0)")
    path = box.path("run/x.sock")
    p = subprocess.Popen([sys.executable, "-B", "-c", code, path],
                         cwd=HERE, env=box.environment())
    wait_until(lambda: harness.is_socket(path), "the server", 30)
    done = box.ctl("-s", path, "stop")
    assert (done.returncode, done.stdout) == (0, "stopping\n")
    wait_until(lambda: p.poll() is not None, "its end", 1)
    assert not os.path.exists(path)


# --- wait

def test_wait(box, serve):
    server = serve({"wait": "* instance app=web instance=0 state=ready\n"
                            "ok all are ready\n"})
    done = box.ctl("-s", server.path, "wait")
    assert (done.returncode, done.stdout) == (0, "all are ready\n")
    assert done.stderr == "web[0] ready\n"


def test_wait_without_time_does_not_wait_for_a_clusterd(box, alone):
    done = box.ctl("wait", launcher=alone)
    assert done.returncode == 69


def test_wait_has_an_end(box, serve):
    server = serve({"wait": lambda s, c: s.over.wait(60) and None})
    done = box.ctl("-s", server.path, "wait", "--timeout", "2s")
    assert done.returncode == 1
    assert done.stderr == ("clusterctl: not ready after 2.0s: web[1] "
                           "starting (pid 4713)\n")


def test_wait_has_an_end_although_something_happens_all_the_time(box, serve):
    def flood(server, connection):
        while not server.over.is_set():
            connection.sendall(b"* app app=web wanted=2 ready=1\n" * 100)
    server = serve({"wait": flood})
    done = box.ctl("-s", server.path, "wait", "--timeout", "2s")
    assert done.returncode == 1
    assert "not ready after 2.0s" in done.stderr


def test_wait_for_the_start(box, serve, alone):
    p = start_ctl(box, "wait", "--timeout", "60", launcher=alone)
    time.sleep(0.3)
    assert p.poll() is None
    serve({"wait": "ok ready\n"})
    stdout, _ = p.communicate(timeout=20 * SLOW)
    assert (p.returncode, stdout) == (0, "ready\n")


def test_wait_in_vain_for_the_start(box, alone):
    done = box.ctl("wait", "-t", "300ms", launcher=alone)
    assert done.returncode == 69
    assert "no clusterd is running" in done.stderr


def test_wait_goes_on_when_clusterd_is_started_again(box, serve):
    first = serve({"wait": lambda s, c: s.over.wait(60) and None})
    p = start_ctl(box, "-s", first.path, "wait", "-t", "60")
    wait_until(lambda: first.requests, "the request")
    first.close()
    serve({"wait": "ok ready\n"})
    stdout, stderr = p.communicate(timeout=20 * SLOW)
    assert (p.returncode, stdout) == (0, "ready\n"), stderr


# --- status, metrics

def test_status(box, serve):
    server = serve()
    done = box.ctl("-s", server.path, "status")
    # web.1 is not ready.
    assert done.returncode == 3 and done.stderr == ""
    assert server.requests == ["status", "status"]
    assert re.search(r"^web\.0\s+4712\s+ready", done.stdout, re.M)
    assert "\x1b" not in done.stdout


def test_status_as_json(box, serve):
    server = serve()
    done = box.ctl("-s", server.path, "status", "--json")
    assert done.returncode == 3
    told = json.loads(done.stdout)
    assert told["clusterd"]["pid"] == 4711
    assert [app["name"] for app in told["apps"]] == ["web", "jobs"]


def test_metrics(box, serve):
    server = serve()
    done = box.ctl("-s", server.path, "metrics")
    assert done.returncode == 0
    assert "# TYPE clusterd_cpu_seconds_total counter\n" in done.stdout
    assert "EOF" not in done.stdout
    other = box.ctl("-s", server.path, "metrics", "--openmetrics")
    assert other.returncode == 0
    assert "# TYPE clusterd_cpu_seconds counter\n" in other.stdout
    assert other.stdout.endswith("\n# EOF\n")
    labelled = box.ctl("-s", server.path, "metrics", "--label", "clusterd=one",
                       "--label=rack=4 \"b\"")
    assert labelled.returncode == 0 and labelled.stderr == ""
    samples = [line for line in labelled.stdout.splitlines()
               if not line.startswith("#")]
    added = r'clusterd="one",rack="4 \"b\""'
    assert samples and all(added + "}" in line for line in samples), samples
    # and but for those, nothing has changed
    assert labelled.stdout.replace("{" + added + "}", "").replace(
        "," + added, "") == done.stdout


def test_status_that_stalls(box, serve):
    """Of a clusterd that is stopped or worse."""
    server = serve({"status": lambda s, c: s.over.wait(60) and None})
    done = box.ctl("-s", server.path, "status", limit=40)
    assert done.returncode == 1
    assert "does not answer" in done.stderr


@pytest.mark.parametrize("command", ["status", "reload", "logs", "--help"])
def test_output_that_fails(box, serve, command):
    server = serve({"reload": "ok done\n",
                    "logs": "+ line app=web instance=0 text=x\nok\n"})
    with open("/dev/full", "w") as full:
        done = box.ctl("-s", server.path, command, stdout=full)
    assert done.returncode == 1
    assert "standard output: No space left" in done.stderr
    read, write = os.pipe()
    os.close(read)
    done = box.ctl("-s", server.path, command, stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")
    done = box.ctl("-s", server.path, command, launcher=[
        "sh", "-c", 'exec "$0" "$@" >&-'])
    assert done.returncode == 1
    assert "standard output: Bad file descriptor" in done.stderr


# --- status --watch

ENTER, LEAVE = rb"\x1b\[\?1049h", rb"\x1b\[\?1049l"


def shown(t, rows=24, columns=80):
    return controls.screen(t.text, rows, columns)


def assert_restored(t):
    assert t.text.count(b"\x1b[?1049h") == t.text.count(b"\x1b[?1049l")
    assert t.text.rindex(b"\x1b[?25h") > t.text.rindex(b"\x1b[?25l")
    assert t.settings_are_back()


def test_watch(box, serve):
    server = serve()
    with terminal(box, "-s", server.path, "status", "--watch") as t:
        t.wait_for(ENTER)
        t.wait_for(rb"web\.0")
        wait_until(lambda: t.read() and len(server.requests) >= 3 or
                   len(server.requests) >= 3, "three samples")
        assert any(line.startswith("web.0") for line in shown(t))
        assert t.process.poll() is None
        t.key(b"q")
        assert t.finish() == 0
        assert_restored(t)


@pytest.mark.parametrize("signo, status", [
    (signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM),
    (signal.SIGHUP, -signal.SIGHUP)])
def test_watch_and_signals(box, serve, signo, status):
    server = serve()
    with terminal(box, "-s", server.path, "status", "-w") as t:
        t.wait_for(rb"web\.0")
        t.process.send_signal(signo)
        assert t.finish() == status
        assert_restored(t)


def test_watch_and_the_keyboard(box, serve):
    server = serve()
    with terminal(box, "-s", server.path, "status", "-w") as t:
        t.wait_for(rb"web\.0")
        t.key(b"\x03")
        assert t.finish() == 0
        assert_restored(t)


def test_watch_while_the_server_is_silent(box, serve):
    silent = controls.threading.Event()

    def answer(server, connection):
        if silent.is_set():
            server.over.wait(60)
        else:
            connection.sendall(controls.STATUS.encode())
    server = serve({"status": answer})
    with terminal(box, "-s", server.path, "status", "-w") as t:
        t.wait_for(rb"web\.0")
        silent.set()
        n = len(server.requests)
        wait_until(lambda: len(server.requests) > n, "a sample")
        t.key(b"q")
        assert t.finish(5) == 0
        assert_restored(t)


def test_watch_is_suspended(box, serve):
    server = serve()
    with terminal(box, "-s", server.path, "status", "-w") as t:
        t.wait_for(rb"web\.0")
        t.process.send_signal(signal.SIGTSTP)
        t.wait_for(LEAVE)
        wait_until(lambda: harness.process_state(t.process.pid) == "T",
                   "the stop")
        assert t.settings_are_back()
        mark = len(t.text)
        t.process.send_signal(signal.SIGCONT)
        t.wait_for(ENTER + rb".*web\.0", start=mark)
        t.key(b"q")
        assert t.finish() == 0
        assert_restored(t)


def test_watch_and_another_size(box, serve):
    server = serve()
    with terminal(box, "-s", server.path, "status", "-w", rows=24,
                  columns=80) as t:
        t.wait_for(rb"web\.0")
        while t.read(0.2):
            pass
        mark = len(t.text)
        t.resize(8, 60)
        # At once, not at the next sample.
        found = []

        def fits():
            """One of the old size may have been under way."""
            t.read()
            found[:] = [lines for lines in (
                controls.screen(b"\x1b[H" + frame, rows=30, columns=200)
                for frame in t.text[mark:].split(b"\x1b[H")[1:]
                if b"web.0" in frame) if max(map(len, lines)) <= 60]
            return found
        lines = wait_until(fits, lambda: f"its width: {t.text[mark:]}")[0]
        assert len([n for n, line in enumerate(lines) if line]) <= 8
        t.key(b"q")
        assert t.finish() == 0


def test_watch_finds_clusterd_again(box, serve):
    first = serve()
    with terminal(box, "-s", first.path, "status", "-w") as t:
        t.wait_for(rb"web\.0")
        first.close()
        t.wait_for(rb"trying again")
        mark = len(t.text)
        serve({"status": controls.STATUS.replace("4712", "6666")})
        t.wait_for(rb"6666", start=mark)
        assert not any("trying again" in line for line in shown(t))
        t.key(b"q")
        assert t.finish() == 0
        assert_restored(t)


def test_watch_stays_with_the_one_that_it_has_found(box, serve, alone):
    first = serve()
    with terminal(box, "status", "-w", launcher=alone) as t:
        t.wait_for(rb"web\.0")
        second = serve({"status": controls.STATUS.replace("4712", "6666")},
                       path=box.path("run/other.sock"))
        first.close()
        t.wait_for(rb"trying again")
        mark = len(t.text)
        serve({"status": controls.STATUS.replace("4712", "7777")},
              path=first.path)
        t.wait_for(rb"7777", start=mark)
        t.key(b"q")
        assert t.finish() == 0
    assert second.requests == [] and b"6666" not in t.text


@pytest.mark.parametrize("state", ["stopping", "going%20down"])
def test_watch_ends_with_clusterd(box, serve, state):
    server = serve({"status": controls.STATUS.replace(
        "state=running uptime", f"state={state} uptime")})
    with terminal(box, "-s", server.path, "status", "-w") as t:
        t.wait_for(rb"web\.0")
        server.close()
        assert t.finish() == 0
        assert_restored(t)
        assert t.text.endswith(b"clusterctl: clusterd has stopped\r\n")


@pytest.mark.parametrize("json_option", [[], ["--json"]])
def test_watch_into_a_pipe(box, serve, json_option):
    server = serve()
    p = start_ctl(box, "-s", server.path, "status", "-w", *json_option)
    for _ in range(3):
        line = p.stdout.readline()
        if json_option:
            assert json.loads(line)["clusterd"]["pid"] == 4711
        assert "\x1b" not in line
    p.send_signal(signal.SIGTERM)
    p.communicate(timeout=20 * SLOW)
    assert p.returncode == -signal.SIGTERM


def test_watch_into_a_pipe_that_closes(box, serve):
    server = serve()
    p = start_ctl(box, "-s", server.path, "status", "-w", "--json")
    p.stdout.readline()
    p.stdout.close()
    assert p.wait(20 * SLOW) == 1
    assert p.stderr.read() == ""
    p.stderr.close()


# --- logs

def line(text, app="web", instance=0, stream="stdout", ms=1700000000123):
    return (f"+ line app={app} instance={instance} stream={stream} "
            f"time_ms={ms} text={text}\n")


LOGS = line("hello%20there") + line("100%25", instance=12, stream="stderr")


def test_logs(box, serve):
    server = serve({"logs": LOGS + "ok\n"})
    done = box.ctl("-s", server.path, "logs")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == "web.0 | hello there\nweb.12 | 100%\n"


def test_logs_as_json(box, serve):
    server = serve({"logs": LOGS + line("%FF%1B\"") + "ok\n"})
    done = box.ctl("-s", server.path, "logs", "--json")
    told = [json.loads(text) for text in done.stdout.splitlines()]
    assert told[1] == {"time": "2023-11-14T22:13:20.123Z", "app": "web",
                       "instance": 12, "stream": "stderr", "line": "100%"}
    assert told[2]["line"] == "\ufffd\x1b\""


def test_logs_as_json_tell_what_goes_on(box, serve):
    server = serve({"logs": line("one").replace(" text=", " cont=1 text=") +
                    line("two") + "ok\n"})
    done = box.ctl("-s", server.path, "logs", "--json")
    assert [(o["line"], o.get("cont")) for o in
            map(json.loads, done.stdout.splitlines())] == [
        ("one", True), ("two", None)]


def test_logs_into_a_pipe_are_verbatim(box, serve):
    server = serve({"logs": line("%00%01%1B[31mred%FF") + "ok\n"})
    done = box.ctl("-s", server.path, "logs", text=False, errors=None)
    assert done.stdout == b"web.0 | \x00\x01\x1b[31mred\xff\n"


def test_logs_on_a_terminal(box, serve):
    """Colours stay, whatever else would steer it does not."""
    server = serve({"logs": line(
        "%1B[1;31mred%1B[0m%09%1B[2J%1B]0;title%07%00%0D") + "ok\n"})
    with terminal(box, "-s", server.path, "logs") as t:
        assert t.finish() == 0
        assert re.fullmatch(
            rb"\x1b\[\d+mweb\.0 \|\x1b\[0m "
            rb"\x1b\[1;31mred\x1b\[0m\t\?\[2J\?\]0;title\?\?"
            rb"\x1b\[0m\r\n", t.text), t.text
    with terminal(box, "-s", server.path, "logs", env={"NO_COLOR": "1"}) as t:
        assert t.finish() == 0
        assert t.text == b"web.0 | red\t?[2J?]0;title??\r\n"


@pytest.mark.parametrize("n, expected", [
    (0, []), (1, [299]), (70, range(230, 300)), (1000, range(300))])
def test_last_lines(box, serve, n, expected):
    server = serve({"logs": "".join(map(line, range(300))) + "ok\n"})
    done = box.ctl("-s", server.path, "logs", "-n", n)
    assert done.stdout.splitlines() == [f"web.0 | {i}" for i in expected]


def test_lost_lines_are_told(box, serve):
    server = serve({"logs": line("a") + "+ lost app=web count=17\n" +
                    line("b") + "ok\n"})
    done = box.ctl("-s", server.path, "logs")
    assert done.returncode == 0
    assert "web: 17 lines are missing" in done.stderr
    assert done.stdout == "web.0 | a\nweb.0 | b\n"


ELSEWHERE = "+ elsewhere app={} stdout=inherit stderr=null\n"


def test_output_that_is_elsewhere(box, serve):
    server = serve({"logs jobs": ELSEWHERE.format("jobs") + "ok\n",
                    "logs": ELSEWHERE.format("jobs") + line("x") + "ok\n"})
    done = box.ctl("-s", server.path, "logs", "jobs")
    assert done.returncode == 1
    assert "does not pass through clusterd" in done.stderr
    assert "standard error is thrown away" in done.stderr
    done = box.ctl("-s", server.path, "logs")
    assert done.returncode == 0
    assert done.stdout == "web.0 | x\n"


def test_half_of_the_output_is_elsewhere(box, serve):
    """A note to who asks for this app, and nothing that has failed."""
    note = "+ elsewhere app=jobs stdout=/var/log/jobs stderr=inherit\n"
    server = serve({"logs jobs": note + "ok\n", "logs": note + "ok\n",
                    "status": "+ app name=jobs\nok\n"})
    done = box.ctl("-s", server.path, "logs", "jobs")
    assert done.returncode == 0
    assert done.stdout == ""
    assert "jobs: not all of the output passes through clusterd: standard " \
        "error goes where that of clusterd goes" in done.stderr
    done = box.ctl("-s", server.path, "logs")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("output, status", [
    ("", 0), ("stdout=prefix stderr=null", 0),
    ("stdout=null stderr=inherit", 1)])
def test_all_output_is_elsewhere(box, serve, output, status):
    """An app that has not written yet is no reason to fail."""
    server = serve({
        "status": f"+ app name=jobs stdout=inherit stderr=inherit\n"
                  f"+ app name=web {output}\nok\n",
        "logs": ELSEWHERE.format("jobs") + "ok\n"})
    assert box.ctl("-s", server.path, "logs").returncode == status


def test_follow(box, serve):
    more = controls.threading.Event()

    def follow(_, connection):
        connection.sendall(LOGS.encode())
        assert more.wait(20 * SLOW)
        connection.sendall(line("more").encode())
        return "close"
    server = serve({"follow web:0": follow})
    p = start_ctl(box, "-s", server.path, "logs", "-f", "web:0")
    assert p.stdout.readline() == "web.0 | hello there\n"
    assert p.stdout.readline() == "web.12 | 100%\n"
    more.set()
    stdout, stderr = p.communicate(timeout=20 * SLOW)
    assert stdout == "web.0 | more\n"
    # It is there, and does not go on.
    assert p.returncode == 1
    assert "no other one answers: ask again" in stderr


def test_follow_until_the_reader_goes(box, serve):
    """At once, not with the next line."""
    server = serve({"follow": lambda s, c: (
        c.sendall(LOGS.encode()), s.over.wait(60))[0]})
    p = start_ctl(box, "-s", server.path, "logs", "-f")
    p.stdout.readline()
    p.stdout.close()
    assert p.wait(20 * SLOW) == 1
    assert p.stderr.read() == ""
    p.stderr.close()


def test_follow_the_last_lines(box, serve):
    def follow(server, connection):
        connection.sendall("".join(map(line, range(300))).encode())
        server.over.wait(20)
    server = serve({"follow": follow})
    p = start_ctl(box, "-s", server.path, "logs", "-f", "-n", "2")
    assert p.stdout.readline() == "web.0 | 298\n"
    assert p.stdout.readline() == "web.0 | 299\n"
    p.send_signal(signal.SIGINT)
    p.communicate(timeout=20 * SLOW)
    assert p.returncode == -signal.SIGINT


def test_follow_what_is_elsewhere(box, serve):
    server = serve({"follow jobs": lambda s, c: (
        c.sendall(ELSEWHERE.format("jobs").encode()), s.over.wait(60))[0]})
    done = box.ctl("-s", server.path, "logs", "-f", "jobs")
    assert done.returncode == 1


# --- events

EVENT = ("+ event app=web instance=1 event=death time_ms=1700000000123 pid=7 "
         "text=killed%20%1B[31m%0A next=7 later=x%22\n")


def test_events_are_harmless(box, serve):
    server = serve({"events": EVENT + "+ other a=b\n+ lost count=7\nok\n"})
    done = box.ctl("-s", server.path, "events")
    assert done.returncode == 0
    assert done.stdout == ("2023-11-14T22:13:20.123Z web[1] pid 7: death: "
                           "killed ?[31m?; next: 7\n")
    assert "7 events are missing here" in done.stderr
    done = box.ctl("-s", server.path, "events", "--json")
    assert json.loads(done.stdout) == {
        "time": "2023-11-14T22:13:20.123Z", "app": "web", "instance": 1,
        "event": "death", "pid": 7, "text": "killed \x1b[31m\n", "next": "7",
        "later": 'x"'}
    assert "\x1b" not in done.stdout


def test_events_to_come(box, serve):
    told = threading.Event()

    def watch(_, connection):
        connection.sendall(EVENT.encode())
        told.wait(60)
        connection.sendall(b"ok clusterd has stopped\n")
    server = serve({"watch web": watch})
    p = start_ctl(box, "-s", server.path, "events", "-f", "web")
    # At once, although more is to come.
    assert "death" in p.stdout.readline()
    told.set()
    assert p.communicate(timeout=20 * SLOW) == ("", "")
    assert p.returncode == 0


# --- completion

BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_clusterctl clusterctl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def complete_bash(box, launcher, *words):
    done = subprocess.run(
        [*launcher, "bash", "--norc", "-c", BASH, "bash",
         f"{ROOT}/completions/clusterctl.bash", CLUSTERCTL, *words],
        env=box.ctl_environment(), cwd=box.dir, capture_output=True,
        text=True, timeout=60 * SLOW)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return sorted(done.stdout.split())


def test_completion_expands_nothing(box, serve, alone):
    serve({"status": "+ app name=$(touch%20evil)\n+ app name=`id`\n"
                     "+ app name=web\nok\n"})
    box.write("a b.ini", "")
    assert complete_bash(box, alone, "reload", "") == ["web"]
    assert complete_bash(box, alone, "-c", "a") == ["a", "b.ini"]
    assert not os.path.exists(box.path("evil"))


def test_completion_in_bash(box, serve, alone):
    assert complete_bash(box, alone, "st") == ["start", "status", "stop"]
    assert complete_bash(box, alone, "reload", "") == []
    server = serve()
    assert complete_bash(box, alone, "reload", "") == ["jobs", "web"]
    assert complete_bash(box, alone, "scale", "w") == ["web"]
    assert complete_bash(box, alone, "-s", server.path, "restart", "") == [
        "jobs", "web"]
    assert complete_bash(box, alone, "logs", "--f") == ["--follow"]
    assert complete_bash(box, alone, "status", "--") == ["--json", "--watch"]
    assert complete_bash(box, alone, "wait", "--") == ["--min", "--timeout"]
    assert complete_bash(box, alone, "wait", "--min", "1", "w") == ["web"]
    assert complete_bash(box, alone, "signal", "w") == ["web"]
    assert complete_bash(box, alone, "signal", "web", "US") == ["USR1", "USR2"]
    assert complete_bash(box, alone, "events", "w") == ["web"]
    assert complete_bash(box, alone, "events", "--") == ["--follow", "--json"]
    assert complete_bash(box, alone, "metrics", "") == []
    assert complete_bash(box, alone, "metrics", "--") == [
        "--label", "--openmetrics"]
    assert complete_bash(box, alone, "metrics", "--label", "") == []
    assert complete_bash(box, alone, "metrics", "--label", "a", "=", "b",
                         "--l") == ["--label"]
    box.web()
    assert complete_bash(box, alone, "-c", "ap") == ["app.ini"]
    assert complete_bash(box, alone, "import", "ap") == ["app.ini"]
    assert complete_bash(box, alone, "import", "-o", "ap") == ["app.ini"]
    assert complete_bash(box, alone, "import", "--") == ["--output"]
    assert complete_bash(box, alone, "-s", server.path, "scale", "web", "") == []


ESCAPES = re.compile(r"\x1b(\[[?0-9;]*[A-Za-z]|[=>])|\x07")


@pytest.fixture
def zsh(box, alone):
    """An interactive zsh; a function that types, and tells what the line has
    become when it shows the pattern."""
    if not shutil.which("zsh"):
        pytest.skip("no zsh here")
    env = box.ctl_environment({"TERM": "xterm", **UTF8, "PATH":
        f"{os.path.dirname(CLUSTERCTL)}:{os.environ['PATH']}"})
    box.write(".zshrc", f"""
fpath=({ROOT}/completions $fpath)
autoload -Uz compinit
compinit -u -D
PS1='READY>'
unsetopt zle_bracketed_paste auto_list
setopt auto_menu
""")
    env["ZDOTDIR"] = box.dir
    with controls.Terminal([*alone, "zsh", "-i"], env, cwd=box.dir,
                           columns=160) as t:
        t.wait_for(b"READY>")

        def type_and_see(keys, pattern):
            t.key(b"\x15")          # an empty line
            mark = len(t.text)
            t.key(keys.encode())
            wait_until(lambda: t.read() and False or pattern in
                       ESCAPES.sub("", t.text[mark:].decode()),
                       lambda: f"{pattern}: {t.text[mark:]}")
        yield type_and_see
        t.key(b"\x15exit\n")
        t.finish()


def test_completion_in_zsh(serve, zsh):
    server = serve()
    zsh("clusterctl relo\t", "reload ")
    zsh("clusterctl scale w\t", "scale web ")
    zsh(f"clusterctl -s {server.path} restart j\t", "restart jobs ")
    zsh("clusterctl status --w\t", "--watch ")
    zsh("clusterctl wait --t\t", "--timeout ")
    zsh("clusterctl wait --m\t", "--min ")
    zsh("clusterctl import --o\t", "--output ")
    zsh("clusterctl events --f\t", "--follow ")
    zsh("clusterctl wait w\t", "wait web ")
    zsh("clusterctl signal w\t", "signal web ")
    zsh("clusterctl signal web H\t", "web HUP ")
    zsh("clusterctl metrics --la\t", "--label ")
    zsh("clusterctl logs --fo\t", "--follow ")
    zsh("clusterctl logs -f w\t", "logs -f web ")
    zsh("clusterctl --soc\t", "--socket ")
