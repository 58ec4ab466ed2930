"""The examples of running clusterd as a service: the units of systemd, checked
by it and applied without it, the container, and the scraping of metrics."""

import ctypes
import glob
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import urllib.request

import pytest

import binder
import lanes
import words
from binder import BINDER
from harness import (CLUSTERCTL, CLUSTERD, HERE, ROOT, SLOW, children_of,
                     free_port, is_alive, read_proc, status_field, unshare,
                     wait_until)
from programs import script
from supervisors import Supervisor

EXAMPLES = os.path.join(ROOT, "examples")
UNITS = sorted(os.path.basename(path) for kind in ("service", "timer")
               for path in glob.glob(f"{EXAMPLES}/*.{kind}"))
UNIT = f"{EXAMPLES}/clusterd.service"
DOCKER = f"{EXAMPLES}/docker"
SANDBOX = os.path.join(HERE, "unit_sandbox.py")
HTTP_JS = script("http.js")
INSTALLED = {"/usr/local/sbin/clusterd": CLUSTERD,
             "/usr/local/bin/clusterctl": CLUSTERCTL}

needs_analyze = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="needs systemd-analyze(1)")
needs_node = pytest.mark.skipif(
    not shutil.which("node"), reason="needs node")


def text_of(path):
    with open(path) as f:
        return f.read()


def built(text):
    """With the programs that were built, for those that are not installed."""
    for installed, program in INSTALLED.items():
        assert os.path.basename(installed) == os.path.basename(program)
        text = text.replace(installed, program)
    return text


def run(*command, limit=30, **how):
    return subprocess.run(command, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=limit * SLOW,
                          **how)


def setting(name, unit=UNIT):
    """What a unit says last; continued lines are one."""
    text = text_of(unit).replace("\\\n", " ")
    found = re.findall(rf"(?m)^{name}=(.*)$", text)
    return found[-1] if found else None


# --- units

@needs_analyze
def test_units_are_clean(box):
    paths = []
    for name in UNITS:
        text = text_of(f"{EXAMPLES}/{name}")
        for installed, program in INSTALLED.items():
            text = text.replace(installed, program)
        paths.append(box.write(name, text))
        if name == "clusterd.service":
            # as its comment has it, for several
            paths.append(box.write("clusterd@x.service",
                                   text.replace("app.ini", "%i.ini")))
        elif name.startswith("clusterd-metrics."):
            paths.append(box.write(
                name.replace(".", "@x."), text.replace("n=app;", "n=%i;")
                .replace("=clusterd.service", "=clusterd@%i.service")))
    assert len(paths) == 6
    assert complaints(paths) == []


def complaints(paths):
    """What systemd says about these units, and not about others of the machine
    that they have to do with."""
    analyze = ["systemd-analyze", "verify", "--man=no"]
    done = run(*analyze, "--recursive-errors=no", *paths)
    is_ours = "recursive-errors" not in done.stderr
    if not is_ours:             # before version 250
        done = run(*analyze, *paths)
    ours = re.compile(r"(?<![\w-])(?:%s)" % "|".join(
        re.escape(os.path.basename(path)) for path in paths))
    found = [line for line in (done.stdout + done.stderr).splitlines()
             if ours.search(line)]
    if done.returncode != 0 and is_ours:
        found.append(f"exit status {done.returncode}: {done.stderr}")
    return found


@needs_analyze
def test_complaints_about_units_are_heard(box):
    """About ours, that is, in each of the ways that systemd has."""
    text = text_of(UNIT)
    for name, old, new in (("a", "Type=", "Typo="),
                           ("b", "ExecStart=/usr", "ExecStart=/nowhere"),
                           ("c", "[Service]", "[Servic]")):
        assert old in text
        # The second one's program is not there, wherever it is built.
        path = box.write(f"{name}.service", built(text.replace(old, new, 1)))
        assert complaints([path]), new
    box.write("other.service",
              "[Service]\nTypo=x\nExecStart=/nowhere\n")
    path = box.write("d.service", built(text).replace(
        "[Unit]", "[Unit]\nWants=other.service", 1))
    assert complaints([path]) == []


@needs_analyze
@pytest.mark.parametrize("name", [u for u in UNITS if "service" in u])
def test_services_are_hardened(box, name):
    """systemd's own measure: from 5 on it calls a service exposed."""
    done = run("systemd-analyze", "security", "--offline=yes", "--no-pager",
               "--threshold=45", box.write(name, built(text_of(
                   f"{EXAMPLES}/{name}"))))
    if "offline" in done.stderr:
        pytest.skip("systemd-analyze cannot do that offline")
    assert done.returncode == 0, done.stdout[-200:] + done.stderr


def test_unit_agrees_with_clusterd():
    # Its workers must be stopped by then: the default, and ten seconds.
    assert words.seconds(setting("TimeoutStopSec")) >= 20
    # The manual's list: what no restart mends.
    assert setting("RestartPreventExitStatus") == "64 78"
    # clusterd sends no WATCHDOG=1, and is where clusterctl looks.
    assert setting("WatchdogSec") is None
    assert setting("RuntimeDirectory") == "clusterd"
    config = setting("ExecStart").split()[-1]
    assert setting("ExecReload").split()[1:] == ["-c", config, "reload"]


# --- the unit, applied

@pytest.fixture
def as_unit(box, as_root, unwrapped):
    """Starts clusterd on app.ini as the unit would."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs the filter sets of systemd-analyze(1)")
    unshare("--mount")          # as the sandbox does
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("needs libseccomp")
    os.mkdir(box.path("run"))

    def start(**how):
        return box.start(launcher=["/usr/bin/python3", "-B", SANDBOX, UNIT,
                                   box.path("run")], **how)
    return start


def node_app(box, **keys):
    """An unmodified Node server of another user."""
    shutil.copy(HTTP_JS, box.path("http.js"))
    port = free_port()
    # clusterd itself has no rights over others' files there
    os.chmod(box.dir, 0o755)
    box.config(web={"command": f"node http.js {port}", "directory": ".",
                    "user": "nobody", "port": port, "instances": 2,
                    "ready": "accept", "ready_timeout": "20s", **keys})
    return port


def fetch(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/",
                                timeout=10 * SLOW) as answer:
        return answer.read().decode()


def plain(port):
    """The pid that answers."""
    return int(fetch(port))


def reload(box):
    """ExecReload, with what systemd gives it."""
    command = shlex.split(setting("ExecReload"))
    command = [INSTALLED[command[0]], *command[1:]]
    command[2] = box.path("app.ini")
    return run(*command, env={"RUNTIME_DIRECTORY": box.path("run")})


@needs_node
def test_node_is_clustered_as_the_unit_has_it(box, as_unit):
    port = node_app(box)
    with Supervisor(box.path("supervisor")) as systemd:
        d = as_unit(env={"NOTIFY_SOCKET": box.path("supervisor")})
        pids = d.wait_ready(2, limit=25)
        systemd.wait("READY=1")
        assert status_field(d.pid, "NoNewPrivs") == "1"
        assert status_field(d.pid, "Seccomp") == "2"
        for pid in pids:
            assert status_field(pid, "CapEff") == "0" * 16
        assert glob.glob(box.path("run/app-*.sock"))
        answers = {plain(port) for _ in range(20)}
        assert answers <= set(pids)

        os.kill(pids[0], signal.SIGKILL)
        d.wait_replaced([pids[0]], 2, limit=25)
        pids = d.ready_pids()
        d.send(signal.SIGHUP)
        systemd.wait("RELOADING=1")
        d.wait_log(words.RELOAD_DONE("web", 2), limit=40)
        wait_until(lambda: not any(map(is_alive, pids)), "the old ones end")
        assert plain(port) in d.ready_pids()
        # Its limits have not kept it from anything.
        others = re.findall(r"(?m)^\S+ \S+ (?:warning|error) +(.*)$", d.log())
        assert [o for o in others if not words.DEATH().search(o)
                and "balance" not in o and "backlog" not in o] == []
        d.stop()
        systemd.wait("STOPPING=1")
    assert glob.glob(box.path("run/*")) == []


@needs_node
def test_best_balance_is_there_as_the_unit_has_it(box, as_unit):
    lanes.needs("least-connections")
    port = node_app(box, balance="least-connections")
    d = as_unit()
    pids = d.wait_ready(2, limit=25)
    assert {plain(port) for _ in range(8)} == set(pids)
    d.stop()


@needs_node
def test_systemctl_reload_tells_how_it_ended(box, as_unit):
    port = node_app(box)
    d = as_unit()
    pids = d.wait_ready(2, limit=25)
    done = reload(box)
    assert done.returncode == 0, done.stderr
    assert d.find(words.RELOAD_DONE("web", 2)), d.log()
    wait_until(lambda: not any(map(is_alive, pids)), "the old ones end")
    pids = d.ready_pids()
    box.write("app.ini", "[web]\nprot = 1\n")
    done = reload(box)
    assert done.returncode == 1 and done.stderr
    assert plain(port) in pids
    d.stop()


def test_socket_options_are_copied_as_the_unit_has_it(box, as_unit):
    """What SYS_PTRACE and pidfd_getfd are there for."""
    port = free_port()
    os.chmod(box.dir, 0o755)
    box.config(web=binder.settings(
        user="nobody", port=port, command=binder.binder(
            *binder.tcp(port)[:2], "set:a:nodelay:1", *binder.tcp(port)[2:],
            "serve:poll", program=box.copy(BINDER))))
    d = as_unit()
    d.wait_ready(2)
    for answer in binder.all_answer(d, port, 2):
        assert answer.one("c.nodelay") == "1"
    d.stop()


def test_unix_listener_in_the_runtime_directory(box, as_unit):
    """What CHOWN and FOWNER are there for."""
    path = box.path("run/web.sock")
    box.web(listen=f"unix:{path}", socket_user="nobody", socket_group="daemon",
            socket_mode="0660", handoff="env")
    d = as_unit()
    d.wait_ready(2)
    there = os.stat(path)
    assert (there.st_uid, there.st_mode & 0o777) == (65534, 0o660)
    d.stop()


# --- metrics for node_exporter

def textfile(box, name="app"):
    """The ExecStart of the unit, in a directory of the box, for a clusterd of
    that name."""
    unit = f"{EXAMPLES}/clusterd-metrics.service"
    command = shlex.split(built(setting("ExecStart", unit)).replace(
        "/etc/clusterd/", box.path("")).replace("$$", "$").replace(
        "n=app;", f"n={name};"))
    return run(*command, cwd=box.path("textfile"),
               env={"PATH": os.environ["PATH"],
                    "RUNTIME_DIRECTORY": box.dir})


def test_metrics_are_written_for_the_textfile_collector(box):
    os.mkdir(box.path("textfile"))
    box.web()
    d = box.start()
    d.wait_ready(2)
    done = textfile(box)
    assert done.returncode == 0, done.stderr
    assert os.listdir(box.path("textfile")) == ["clusterd-app.prom"]
    text = text_of(box.path("textfile/clusterd-app.prom"))
    assert re.search(
        r'(?m)^clusterd_uptime_seconds\{clusterd="app"\} [\d.]+$', text)
    if shutil.which("promtool"):
        done = subprocess.run(
            ["promtool", "check", "metrics"], input=text,
            capture_output=True, text=True, timeout=30 * SLOW)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
    d.stop()
    # nobody takes old figures for new ones
    done = textfile(box)
    assert done.returncode == 1 and done.stderr
    assert os.listdir(box.path("textfile")) == []


def test_metrics_of_two_clusterds_have_no_series_in_common(box):
    """Of a series that is in two files node_exporter passes on one; the apps
    of these have the same name."""
    os.mkdir(box.path("textfile"))
    both = []
    for name in ("one", "two"):
        both.append(box.start("-c", box.web(name=f"{name}.ini")))
        both[-1].wait_ready(2)
    series = []
    for name in ("one", "two"):
        done = textfile(box, name)
        assert done.returncode == 0, done.stderr
        text = text_of(box.path(f"textfile/clusterd-{name}.prom"))
        series.append({line.rpartition(" ")[0] for line in text.splitlines()
                       if not line.startswith("#")})
    assert len(series[0]) > 30 and len(series[1]) > 30
    assert 'clusterd_app_generation{app="web",clusterd="one"}' in series[0]
    assert not series[0] & series[1]
    both[0].send(signal.SIGTERM)
    assert both[0].wait() == 0
    both[1].stop()


# --- the container

def instructions():
    """Of the Dockerfile: pairs of word and the rest, continued lines joined."""
    lines = [line for line in text_of(f"{DOCKER}/Dockerfile").splitlines()
             if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in joined.splitlines()
            if line.strip()]


def instruction(word):
    found = [rest for w, rest in instructions() if w == word]
    assert found, word
    return found[-1]


def test_dockerfile_is_well_formed():
    found = instructions()
    assert {w for w, _ in found} <= {
        "FROM", "RUN", "WORKDIR", "COPY", "USER", "ENV", "EXPOSE",
        "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT"}
    assert found[0][0] == "FROM"
    for word, rest in found:
        if word == "COPY" and not rest.startswith("--from"):
            source, target = rest.split()
            assert os.path.exists(os.path.join(ROOT, source)), source
            if target != ".":
                assert target.startswith("/")
        if word == "RUN":
            assert run("sh", "-nc", rest).returncode == 0, rest
    assert instruction("STOPSIGNAL") == "SIGTERM"
    program, *arguments = json.loads(instruction("ENTRYPOINT"))
    assert program in INSTALLED
    # what it is started with is what has been copied
    copied = dict(rest.split() for word, rest in found
                  if word == "COPY" and "--from" not in rest)
    assert copied["examples/docker/app.ini"] == arguments[-1]
    ini = text_of(f"{DOCKER}/app.ini")
    assert re.search(r"(?m)^port = (\d+)$", ini)[1] == instruction("EXPOSE")
    directory = re.search(r"(?m)^directory = (.*)$", ini)[1]
    assert copied["examples/docker/server.js"] == f"{directory}/server.js"


@pytest.fixture
def container(box, as_root):
    """The image's app, as `docker run` in the Dockerfile has it: process 1 of
    its namespace, an ordinary user without any capability, everything but the
    directory of the control socket read-only."""
    namespaces = unshare("--mount", "--pid", "--fork", "--kill-child",
                         "--mount-proc")
    uid = re.search(r"useradd --uid (\d+)", text_of(f"{DOCKER}/Dockerfile"))[1]
    port = free_port()
    shutil.copy(f"{DOCKER}/server.js", box.path("server.js"))
    os.mkdir(box.path("run"))
    os.chmod(box.dir, 0o755)
    text = text_of(f"{DOCKER}/app.ini")
    for key, value in (("port", port), ("directory", box.dir),
                       ("instances", 2),
                       ("env", f"NODE_ENV=production\n\tPORT={port}")):
        text, n = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
        assert n == 1, key
    box.write("app.ini", text, 0o644)
    become = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups",
              "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    script = f"""mount -t tmpfs -o uid={uid},gid={uid},mode=0700 tmpfs "$1" &&
        mount -o remount,bind,ro / && shift && exec "$@" """
    d = box.start(
        program=box.copy(CLUSTERD),
        launcher=[*namespaces, "sh", "-c", script, "sh", box.path("run"),
                  *become],
        env={"RUNTIME_DIRECTORY": box.path("run")})
    wait_until(lambda: children_of(d.process.pid), "the child of unshare")
    d.keeper = children_of(d.process.pid)[0]
    wait_until(lambda: read_proc(d.keeper, "cmdline").startswith(
        box.path("clusterd").encode()), lambda: f"process 1; {d.log()}")
    d.become, d.address, d.uid = become, port, uid
    return d


@needs_node
def test_container_serves_and_stops(box, container):
    d = container
    d.wait_log(words.READY("web"), count=2, limit=25)
    assert status_field(d.keeper, "NSpid").split()[-1] == "1"
    assert status_field(d.pid, "CapEff") == "0" * 16
    pids = d.workers()
    for pid in pids:
        assert status_field(pid, "Uid").split() == [d.uid] * 4
    assert fetch(d.address).startswith("hello from pid ")
    os.kill(pids[0], signal.SIGKILL)
    d.wait_log(words.READY("web"), count=3, limit=25)
    d.send(getattr(signal, instruction("STOPSIGNAL")))
    d.wait_end(0)
    assert not any(map(is_alive, pids))


@needs_node
def test_container_tells_its_health(box, container):
    d = container
    command = instruction("HEALTHCHECK").partition("CMD ")[2]
    os.symlink(box.copy(CLUSTERCTL, "ctl"), box.path("clusterctl"))

    def health():
        # the way of docker exec
        return run("nsenter", f"--target={d.pid}", "--mount", "--pid",
                   *d.become, "sh", "-c", command,
                   env={"PATH": f"{box.dir}:{os.environ['PATH']}",
                        "RUNTIME_DIRECTORY": box.path("run")})
    d.wait_log(words.READY("web"), count=2, limit=25)
    done = health()
    assert done.returncode == 0, done.stderr
    # a server that cannot start any more
    os.unlink(box.path("server.js"))
    for pid in d.workers():
        os.kill(pid, signal.SIGKILL)
    d.wait_log(words.DEATH("web"), count=3)
    done = health()
    assert done.returncode == 1 and done.stderr
    d.send(signal.SIGTERM)
    d.wait_end(0)
