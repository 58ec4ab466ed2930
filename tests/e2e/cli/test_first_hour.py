"""What a new user writes first, and what is said about it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys

import pytest

import lanes
from harness import (CLUSTERCTL, CLUSTERD, IS_ROOT, SLOW, free_port, probe,
                     with_mounts)


@pytest.fixture(autouse=True)
def path_without_secrets(monkeypatch):
    """What is in a directory that may not be searched, -t does not guess."""
    monkeypatch.setenv("PATH", os.pathsep.join(
        d for d in os.environ["PATH"].split(os.pathsep)
        if os.path.isdir(d) and os.access(d, os.X_OK)))


def check(box, command, cwd=None, **keys):
    """The warnings of -t, without which the file is good all the same."""
    box.config(web={"command": command, **keys})
    done = box.run("-t", "-c", box.path("app.ini"), cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(": configuration ok\n")
    lines = done.stderr.splitlines()
    assert all(line.startswith("warning: ") for line in lines), lines
    return lines


# --- a configuration, and not a program

@pytest.mark.parametrize("arguments", [
    ["app.ini"], ["./app.ini"], ["-t", "app.ini"],
    ["-p", "80", "./app.ini"], ["--", "./app.ini"], ["gone.conf"]])
def test_configuration_without_its_option(box, arguments):
    box.web()
    done = box.run(*arguments)
    assert done.returncode == 64
    assert f"for a configuration: -c {arguments[-1]}\n" in done.stderr


def test_program_with_such_a_name(box):
    box.write("app.ini", "#!/bin/sh\nexit 0\n", mode=0o755)
    assert box.run("-t", "./app.ini").returncode == 0
    assert box.run("-t", "echo", "app.ini").returncode == 0
    # Whoever says that it is a command may have it in PATH.
    for arguments in (["-p", "80"], ["-n", "1"], ["--"], ["-p", "80", "--"]):
        assert box.run("-t", *arguments, "my.conf").returncode == 0


# --- what is there, and what is not

def test_bare_name_of_a_file_that_is_there(box):
    box.write("app.js", "")
    warning, = check(box, "app.js")
    assert "looked up in PATH" in warning
    assert "./app.js is the file beside this one" in warning
    d = box.start("-c", "app.ini")
    d.wait_end(1)
    words = f"looked up in PATH; for the file in {box.dir}: ./app.js"
    assert words + ", which is not executable)" in d.log()
    assert "interpreter" not in d.log()
    os.chmod(box.path("app.js"), 0o755)
    d = box.start("-c", "app.ini")
    d.wait_end(1)
    assert words + ")" in d.log()
    os.unlink(box.path("app.js"))
    os.mkdir(box.path("app.js"))
    d = box.start("-c", "app.ini")
    d.wait_end(1)
    assert "(not found in PATH)" in d.log()


def test_bare_name_behind_a_directory_that_may_not_be_searched(box):
    box.write("app.js", "")
    os.mkdir(box.path("secret"), 0o000)
    box.config(web={"command": "app.js",
                    "env": f"PATH={box.path('secret')}:/usr/bin"})
    d = box.start(**lanes.as_nobody(box))
    d.wait_end(1)
    assert f"Permission denied (a name without a / is looked up in PATH; " \
        f"for the file in {box.dir}: ./app.js, which is not executable)" in \
        d.log()
    os.chmod(box.path("secret"), 0o700)


def test_bare_name_of_a_file_elsewhere(box):
    """Beside the configuration counts, not clusterd's own directory."""
    os.mkdir(box.path("other"))
    box.write("other/app.js", "")
    box.config(web={"command": "app.js"})
    d = box.start("-c", box.path("app.ini"), cwd=box.path("other"))
    d.wait_end(1)
    assert "(not found in PATH)" in d.log()


def test_script_that_is_nowhere(box):
    """Not told by the interpreter alone, which would do it once a second."""
    warning, = check(box, f"{sys.executable} gone.py", directory=".")
    assert f":2: command: there is no gone.py in {box.dir}" in warning
    warning, = check(box, f"{sys.executable} gone.py")
    assert "gone.py in %s, where clusterd is started now" % box.dir in warning


def test_command_in_quotes(box):
    warning, = check(box, f'"{sys.executable} app.js"')
    assert "without the quotes" in warning
    d = box.start()
    d.wait_end(1)
    assert "without the quotes" in d.log()
    box.copy("/bin/true", "with blank")
    assert check(box, '"./with blank"') == []


@pytest.mark.parametrize("command, words", [
    ("cd /srv && ./run", "directory = DIR"),
    ("A=1 ./run", "a variable goes into env"),
])
def test_command_for_a_shell(box, command, words):
    warning, = check(box, command)
    assert ":2: command: " in warning and words in warning
    d = box.start()
    d.wait_end(1)
    log = d.log()
    assert words in log.split("cannot execute")[1]
    assert log.count(":2: command: ") == 1


def test_missing_directory_and_program(box):
    one, two = check(box, "./gone", directory="/nowhere/at/all")
    assert f"there is no {box.dir}/gone" in one
    assert ":3: directory: there is no /nowhere/at/all" in two


def test_script_of_another_directory(box):
    """Looked at from where clusterd would start it."""
    box.write("app.py", "import time\ntime.sleep(99)\n")
    command = f"{sys.executable} app.py"
    assert check(box, command) == []
    warning, = check(box, command, cwd="/")
    assert "started in, now /, and is not there: directory = ." in warning
    assert check(box, command, cwd="/", directory=".") == []
    box.config(web={"command": command, "restart": "never"})
    d = box.start(cwd="/")
    d.wait_log("directory = . is that of this file, where it is")
    d.wait_end(1)


# --- warnings at the start, and at reloads

def warnings(d, pattern):
    return [line for line in d.log().splitlines()
            if " warning " in line and pattern in line]


def test_warnings_are_told_once(box):
    box.web(env=["A=1 # one"])
    d = box.start()
    d.wait_ready(2)
    assert len(warnings(d, ": env: A: ")) == 1
    # The same on another line, and a new one.
    with open(box.path("app.ini"), "r+") as f:
        text = f.read()
        f.seek(0)
        f.write("# moved\n" + text + "\tB=\"x\"\n")
    old = d.workers()
    d.send(signal.SIGHUP)
    d.wait_replaced(old, 2)
    assert len(warnings(d, ": env: A: ")) == 1
    assert len(warnings(d, ": env: B: the quotes")) == 1
    d.stop()


def test_dump_is_silent_about_them(box):
    box.web(env=["A=1 # one"])
    done = box.run("-T", "-c", "app.ini")
    assert done.returncode == 0 and done.stderr == ""


# --- the port of a debugger

DEBUGGED = """\
require("http").createServer((q, r) => r.end("x"))
    .listen(process.env.PORT, "127.0.0.1");
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_nobody_is_advised_to_share_a_debugger(box):
    """Of two instances one goes on without, or ends, as its Node.js does it."""
    debugger, port = free_port(), free_port()
    box.write("s.js", DEBUGGED)
    command = f"node --inspect=127.0.0.1:{debugger} s.js"
    warning, = check(box, command, directory=".", instances=2, port=port)
    assert f"debugger's port, {debugger}, which only one of 2" in warning
    d = box.start()
    d.wait_log("asks for 127.0.0.1:%d, a debugger's port by its --inspect"
               % debugger)
    d.stop()
    for advice in (f"listen = 127.0.0.1:{debugger}", f"port = {debugger}",
                   f"-p {debugger}"):
        assert advice not in d.log()
    assert check(box, "node --inspect=0 s.js", directory=".", instances=2,
                 port=port) == []


# --- root

# All of / but for the files that containers have there.
NEW_ROOT = ('r=$1; shift; mount -t tmpfs tmpfs $r; for d in /*; do '
            'if [ -L "$d" ]; then cp -P "$d" $r/; '
            'elif [ -d "$d" ]; then mkdir $r/"$d"; '
            'mount --rbind "$d" $r/"$d"; fi; done; exec chroot $r "$@"')


@pytest.mark.skipif(not IS_ROOT, reason="needs root")
@pytest.mark.skipif(os.path.exists("/run/.containerenv") or
                    "KUBERNETES_SERVICE_HOST" in os.environ or
                    not open("/proc/self/uid_map").read().split() ==
                    ["0", "0", "4294967295"], reason="in a container")
@pytest.mark.parametrize("user, contained", [
    (None, False), (None, True), ("root", False)])
def test_workers_that_are_root(box, user, contained):
    os.mkdir(box.path("r"))
    box.web(user=user)
    how = {"launcher": with_mounts(NEW_ROOT, box.path("r")), "cwd": box.dir,
           "env": {"container": "oci" if contained else ""}}
    d = box.start(**how)
    d.wait_ready(2)
    told = warnings(d, "web: workers run as root: user = NAME")
    assert len(told) == (user is None and not contained)
    d.stop()
    # The same without a start.
    d = box.start("-t", "-c", box.path("app.ini"), **how)
    assert d.wait() == 0
    assert ("app.ini:1: web: workers run as root" in d.log()) == \
        (user is None and not contained)


# --- a place for output that the user may not write to

@pytest.mark.skipif(not IS_ROOT, reason="needs root")
def test_place_that_the_user_may_not_write_to(box):
    os.mkdir(box.path("logs"), 0o755)
    warning, = check(box, "/bin/true", user="nobody", stdout="logs/web.log")
    words = (f"app.ini:4: stdout: [web] cannot open {box.dir}/logs/web.log "
             "as nobody: Permission denied")
    assert words in warning
    d = box.start()
    d.wait_end(69)
    assert words in d.log()
    os.mkdir(box.path("dir"))
    warning, = check(box, "/bin/true", stderr="./dir")
    assert f"cannot open {box.dir}/dir as you: Is a directory" in warning
    os.chown(box.path("logs"), 65534, 65534)
    assert check(box, "/bin/true", user="nobody",
                 stdout="logs/web.log") == []
    assert os.listdir(box.path("logs")) == []


@pytest.mark.skipif(not IS_ROOT, reason="needs root")
def test_directory_and_program_that_the_user_may_not_reach(box):
    closed = box.path("closed")
    os.makedirs(box.path("closed/in"))
    box.write("closed/in/run", "#!/bin/sh\nexec sleep 1000\n", mode=0o755)
    box.write("open.sh", "#!/bin/sh\nexit 3\n", mode=0o700)
    os.chmod(closed, 0o700)
    user = {"user": "nobody"}

    warning, = check(box, "/bin/true", **user, directory="closed")
    assert warning.endswith(f"app.ini:4: directory: cannot enter {closed} as "
                            "nobody: Permission denied")
    warning, = check(box, "/bin/true", **user, directory="closed/in")
    assert f"cannot enter {closed}/in as nobody: {closed} may not be entered" \
        in warning
    warning, = check(box, "./closed/in/run", **user)
    assert f"command: cannot execute {closed}/in/run as nobody: {closed} may " \
        "not be entered: Permission denied" in warning
    warning, = check(box, "./open.sh", **user)
    assert f"cannot execute {box.path('open.sh')} as nobody: Permission" in \
        warning
    # A bare name: what is behind it in PATH may be executed, or there is none.
    path = {"env": f"PATH={closed}/in:{box.dir}"}
    warning, = check(box, "run", **user, **path)
    assert f"cannot execute {closed}/in/run as nobody" in warning
    box.write("run", "#!/bin/sh\nexec sleep 1000\n", mode=0o755)
    assert check(box, "run", **user, **path) == []
    # As whom it is started it may.
    assert check(box, "./closed/in/run", directory="closed") == []
    warning, = check(box, "/bin/true", **user,
                     health="exec:./closed/in/run", port=8080)
    assert f"health: cannot execute {closed}/in/run as nobody" in warning
    box.config(web={"command": "./closed/in/run", **user})
    d = box.start()
    d.wait_log(r"cannot execute \S+: Permission denied \(a directory on the "
               r"way to it may not be entered by its user: clusterd -t names "
               r"that\)")
    d.wait_end(1)


@pytest.mark.parametrize("what", ["file", "directory"])
def test_socket_where_something_else_is(box, what):
    path = box.path("web.sock")
    if what == "file":
        box.write("web.sock", "", mode=0o755)
    else:
        os.mkdir(path)
    words = f"the {what} {path} is there, and is no socket"
    warning, = check(box, "/bin/true", listen="unix:web.sock")
    assert f"app.ini:3: listen: {words}" in warning
    box.config(clusterd={"control": "web.sock"}, web={"command": "/bin/true"})
    done = box.run("-t", "-c", box.path("app.ini"))
    assert f"app.ini:2: control: {words}" in done.stderr
    os.rmdir(path) if what == "directory" else os.unlink(path)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    assert check(box, "/bin/true", listen="unix:web.sock") == []


def test_places_of_its_own_that_are_not_there(box):
    """Of the log and the pidfile, by -t and by the start, with file and line."""
    for key in ("log", "pidfile"):
        path = box.path("gone/" + key)
        box.config(clusterd={key: "gone/" + key}, web={"command": "/bin/true"})
        done = box.run("-t", "-c", box.path("app.ini"))
        assert done.returncode == 0
        assert f"app.ini:2: {key}: cannot open {path} as you: No such" in \
            done.stderr
        d = box.start()
        d.wait_end(78 if key == "log" else 69)
        assert re.search(rf"app\.ini:2: {key}: cannot [a-z ]+ {path}: No such",
                         d.log())


def test_pidfile_that_is_a_directory(box):
    path = box.path("run.pid")
    os.mkdir(path)
    box.config(clusterd={"pidfile": "run.pid"}, web={"command": "/bin/true"})
    done = box.run("-t", "-c", box.path("app.ini"))
    assert done.returncode == 0
    assert f"app.ini:2: pidfile: {path} is a directory\n" in done.stderr
    d = box.start()
    d.wait_end(69)
    assert f"cannot write pidfile {path}: Is a directory" in d.log()


def test_pidfile_that_is_there_and_cannot_be_replaced(box, as_root):
    """Everybody may write to it, but not to the directory."""
    path = box.write("run.pid", "4711\n")
    os.chmod(path, 0o666)
    os.chmod(box.dir, 0o755)
    box.config(clusterd={"pidfile": "run.pid"}, web={"command": "/bin/true"})
    done = subprocess.run(
        [*lanes.become_nobody(), box.copy(CLUSTERD), "-t", "-c", "app.ini"],
        cwd=box.dir, capture_output=True, text=True, timeout=20 * SLOW)
    assert done.returncode == 0
    assert f"app.ini:2: pidfile: cannot replace {path} as you: no file can " \
        "be made beside it\n" in done.stderr


# --- who may talk to it

def test_another_user_is_told_that_he_may_not(box, as_root):
    os.chmod(box.dir, 0o755)
    box.web(clusterd={"control": "ctl.sock"})
    d = box.start()
    d.wait_ready(2)
    done = subprocess.run(
        [*lanes.become_nobody(), box.copy(CLUSTERCTL), "-c", "app.ini",
         "status"], cwd=box.dir, env=box.ctl_environment(),
        capture_output=True, text=True, timeout=20 * SLOW)
    assert done.returncode == 69
    assert "cannot talk to the clusterd of app.ini" in done.stderr
    assert "permission denied" in done.stderr
    assert "no clusterd" not in done.stderr
    d.stop()


def test_no_place_for_a_control_socket(box, as_root):
    os.chmod(box.dir, 0o755)

    def told(control, **env):
        box.config(web={"command": "/bin/true"}, clusterd={"control": control})
        done = subprocess.run(
            [*lanes.become_nobody(), box.copy(CLUSTERD), "-t", "-c",
             "app.ini"], cwd=box.dir, capture_output=True, text=True,
            env=box.environment({"RUNTIME_DIRECTORY": "", **env}),
            timeout=20 * SLOW)
        assert done.returncode == 0, done.stderr
        return done.stderr
    assert told("auto").startswith(
        "warning: started from here there is no control socket: neither ")
    assert told("none") == told("ctl.sock") == ""
    assert told("auto", XDG_RUNTIME_DIR="/run/user/1") == ""
    assert told("auto", RUNTIME_DIRECTORY="/run/x") == ""


def test_what_is_not_found_may_be_of_another_user(box):
    box.web()
    for which in (["-c", "app.ini"], []):
        done = box.ctl(*which, "status")
        assert done.returncode == 69
        assert "one of another user, or without a control socket" in \
            done.stderr


@pytest.mark.parametrize("word, meant", [
    ("stat", "status"), ("sta", "status or start"), ("relo", "reload")])
def test_beginnings_of_commands(box, word, meant):
    done = box.ctl(word)
    assert done.returncode == 64
    assert f"did you mean {meant}?" in done.stderr


# --- names of apps and instances

def test_apps_that_are_not_there(box):
    box.config(web={"command": probe()}, api={"command": probe()})
    d = box.start()
    d.wait_log("start complete")
    for verb in ("status", "restart", "stop", "start", "logs"):
        done = box.ctl("-c", "app.ini", verb, "wbe",
                       env={"RUNTIME_DIRECTORY": box.dir})
        assert done.returncode == 1
        assert 'there is no app "wbe", did you mean web? ' \
            'there are web and api\n' in done.stderr
    done = box.ctl("-c", "app.ini", "status", "xyz",
                   env={"RUNTIME_DIRECTORY": box.dir})
    assert 'there is no app "xyz": there are web and api' in done.stderr
    done = box.ctl("-c", "app.ini", "reload", "wbe",
                   env={"RUNTIME_DIRECTORY": box.dir})
    assert 'the file has no app "wbe", did you mean web? ' \
        'there are web and api\n' in done.stderr
    d.stop()


@pytest.mark.parametrize("name", ["web.1", "web:1", "web[1]"])
def test_spellings_of_an_instance(box, name):
    box.web(stdout="prefix")
    d = box.start()
    d.wait_ready(2)
    for arguments in (["status", name], ["status", "--json", name],
                      ["logs", name], ["restart", name]):
        done = box.ctl("-c", "app.ini", *arguments,
                       env={"RUNTIME_DIRECTORY": box.dir})
        assert done.returncode == 0, done.stderr
    for arguments in (["stop", name], ["reload", name], ["scale", name, "1"],
                      ["start", name]):
        done = box.ctl("-c", "app.ini", *arguments,
                       env={"RUNTIME_DIRECTORY": box.dir})
        assert done.returncode == 64
        assert f"{arguments[0]} takes a whole app: {arguments[0]} web" in \
            done.stderr
    assert len(box.events("start")) <= 3
    d.stop()
