"""clusterd -d"""

import os
import signal
import subprocess
import time

import pytest

import harness
from binder import BINDER
from control import status
from harness import (CLUSTERD, HAS_KEEPER, SLOW, children_of, descriptors,
                     free_port, get, is_alive, kill, process_state, read_proc,
                     wait_until)

pytestmark = pytest.mark.skipif(not HAS_KEEPER, reason="there is no keeper")

LOG = {"log": "log", "pidfile": "run.pid"}


def pid_of(box):
    return int(open(box.path("run.pid")).read())


def ctl(box, *arguments):
    return box.ctl("-c", "app.ini", *arguments,
                   env={"RUNTIME_DIRECTORY": box.dir})


def end(box, pid):
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not box.survivors(), "its end")


def test_returns_when_all_is_ready(box):
    port = free_port()
    box.web("--ready", 300, listen=f"127.0.0.1:{port}", ready="notify",
            clusterd=LOG)
    done = box.run("-d", "-c", "app.ini")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid = pid_of(box)
    assert get(port)
    assert all(r["state"] == "ready" for r in status(box).seats())
    assert status(box).one("clusterd")["pid"] == pid
    assert descriptors(pid)[:3] == ["/dev/null"] + [box.path("log")] * 2
    assert os.getsid(pid) == pid
    assert os.readlink(f"/proc/{pid}/cwd") == box.dir
    worker = status(box).seats()[0]["pid"]
    assert os.readlink(f"/proc/{worker}/fd/0") in ("/dev/null",) or \
        "pipe" in os.readlink(f"/proc/{worker}/fd/0")
    end(box, pid)
    assert "stopped" in open(box.path("log")).read()


def test_nothing_keeps_the_terminal(box):
    """Whoever waits for the end of what it says, as ssh(1), gets it."""
    box.web(clusterd=LOG, stdout="inherit", stderr="inherit")
    reader, writer = os.pipe()
    p = subprocess.Popen([CLUSTERD, "-d", "-c", "app.ini"], cwd=box.dir,
                         stdin=subprocess.DEVNULL, stdout=writer,
                         stderr=writer, env=box.environment())
    os.close(writer)
    assert p.wait(20 * SLOW) == 0
    with open(reader) as f:
        assert f.read() == ""
    end(box, pid_of(box))


TALKS = "sh -c 'echo out; echo err >&2; " \
    "while :; do sleep 0.1; echo on; done'"


@pytest.mark.parametrize("out, err", [
    (None, None), ("/dev/stdout", "/dev/stderr"), ("/dev/stderr", "inherit"),
])
def test_output_goes_to_the_log(box, out, err):
    """Its standard streams are the log, also when that was put away; what workers
    write there is not lost, and is what `clusterctl logs` has."""
    keys = {"stdout": out, "stderr": err}
    box.write("app.ini", "[clusterd]\nlog = log\npidfile = run.pid\n"
              f"[web]\ncommand = {TALKS}\ninstances = 1\n" +
              "".join(f"{k} = {v}\n" for k, v in keys.items() if v))
    done = box.run("-d", "-c", "app.ini")
    assert (done.returncode, done.stderr) == (0, "")
    pid = pid_of(box)

    def has(name, *lines):
        if not os.path.exists(box.path(name)):
            return False
        with open(box.path(name)) as f:
            text = f.read().splitlines()
        return all(line in text for line in lines)

    wait_until(lambda: has("log", "web.0 | out", "web.0 | err", "web.0 | on"),
               "its output")
    logs = ctl(box, "logs", "web")
    assert logs.returncode == 0 and logs.stderr == ""
    assert {"web.0 | out", "web.0 | err"} <= set(logs.stdout.splitlines())
    os.rename(box.path("log"), box.path("old"))
    os.kill(pid, signal.SIGUSR1)
    wait_until(lambda: has("log", "web.0 | on"), "output in the new one")
    assert descriptors(pid)[:3] == ["/dev/null"] + [box.path("log")] * 2
    supervisor = children_of(pid)
    kill(next(p for p in supervisor
              if p != status(box).seats()[0]["pid"]))
    wait_until(lambda: "killed by signal 9" in open(box.path("log")).read(),
               "a word of it")
    os.rename(box.path("log"), box.path("old2"))
    os.kill(pid, signal.SIGUSR1)
    wait_until(lambda: has("log", "web.0 | on"), "output after that")
    end(box, pid)


def test_reload_that_changes_the_log(box):
    text = "[clusterd]\nlog = {}\npidfile = run.pid\n" \
        f"[web]\ncommand = {TALKS}\ninstances = 1\n"
    box.write("app.ini", text.format("log"))
    assert box.run("-d", "-c", "app.ini").returncode == 0
    pid = pid_of(box)
    box.write("app.ini", text.format("other"))
    assert ctl(box, "reload").returncode == 0
    wait_until(lambda: "web.0 | on" in open(box.path("other")).read(),
               "output in the new one")
    box.write("app.ini", text.format("other").replace("log =", "#log ="))
    assert ctl(box, "reload").returncode == 0
    # It has none any more: what there is stays.
    assert descriptors(pid)[:3] == ["/dev/null"] + [box.path("other")] * 2
    end(box, pid)
    assert "stopped" in open(box.path("other")).read()


def test_app_that_has_failed(box):
    box.write("app.ini", "[clusterd]\nlog = log\npidfile = run.pid\n"
              "[web]\ncommand = sleep 1000\n[bad]\ncommand = false\n"
              "[worse]\ncommand = false\n")
    done = box.run("-d", "-c", "app.ini")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "clusterd: start complete, but for what has failed " \
        f"so far: bad, worse; its log says why: {box.path('log')}\n"
    end(box, pid_of(box))


@pytest.mark.parametrize("what, code, words", [
    ({"log": None}, 78, "-d needs a log"),
    ({"log": "/nonexistent/log"}, 78, "cannot open log file"),
])
def test_wrong_configuration(box, what, code, words):
    box.web(clusterd={k: v for k, v in {**LOG, **what}.items() if v})
    done = box.run("-d", "-c", "app.ini")
    assert done.returncode == code and words in done.stderr
    assert not box.survivors()


def test_nobody_lets_us_have_a_supervisor(box):
    box.web(clusterd=LOG)
    done = subprocess.run(
        [BINDER, "--sandbox", "eperm=clone", CLUSTERD, "-d", "-c", "app.ini"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
        env=box.environment(), cwd=box.dir, timeout=20 * SLOW, check=False)
    assert done.returncode == 1
    assert "cannot start the supervisor: Operation not perm" in done.stderr
    assert not box.survivors()


def test_error_of_the_file(box):
    box.write("app.ini", "[web]\nno = thing\n")
    done = box.run("-d", "-c", "app.ini")
    assert done.returncode == 78 and "app.ini:2" in done.stderr


def test_port_that_is_taken(box):
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        box.web(listen=f"127.0.0.1:{s.getsockname()[1]}", clusterd=LOG)
        done = box.run("-d", "-c", "app.ini")
    assert done.returncode == 69
    assert done.stderr == "clusterd: it did not come up (exit status 69), " \
        f"its log says why: {box.path('log')}\n"
    assert "address" in open(box.path("log")).read().lower()
    assert not box.survivors()


def test_usage(box):
    for arguments in (["-d", "--", "true"], ["-d", "-t", "-c", "app.ini"]):
        assert box.run(*arguments).returncode == 64


def test_interrupted_while_it_waits(box):
    box.web("--ready", "never", ready="notify", ready_timeout="60s",
            clusterd=LOG)
    d = box.start("-d", "-c", "app.ini")
    d.log_path = box.path("log")
    wait_until(lambda: os.path.exists(d.log_path), "the log")
    d.wait_log("starting 2 instances")
    d.process.send_signal(signal.SIGINT)
    assert d.wait() == 0
    wait_until(lambda: not box.survivors(), "its end")
    assert d.find("SIGINT: stopping")


def test_killed_supervisor_while_it_waits(box):
    box.web("--ready", 500, ready="notify", clusterd=LOG)
    d = box.start("-d", "-c", "app.ini")
    d.log_path = box.path("log")
    wait_until(lambda: os.path.exists(box.path("run.pid")), "the pid file")
    keeper = wait_until(lambda: open(box.path("run.pid")).read().strip(),
                        "the pid")
    d.keeper = int(keeper)
    kill(d.pid)
    assert d.wait() == 0
    wait_until(lambda: d.find("killed by signal 9"), "a word of it")
    end(box, int(keeper))


def test_says_ready_to_who_asked(box):
    from supervisors import Supervisor
    with Supervisor(box.path("notify")) as above:
        box.web(clusterd=LOG)
        done = box.run("-d", "-c", "app.ini",
                       env={"NOTIFY_SOCKET": box.path("notify")})
        assert done.returncode == 0
        assert above.wait("READY=1")
        above.wait(f"MAINPID={pid_of(box)}")
        end(box, pid_of(box))
        above.wait("STOPPING=1")
