"""Standard streams that do not pass through clusterd: whose they are."""

import array
import fcntl
import os
import shlex
import shutil
import signal
import sys
import termios

import pytest

from harness import IS_ROOT, is_alive, probe, stays, wait_until

STAY = "import signal; signal.pause()"
NONBLOCK = ("import fcntl, os; "
            "[fcntl.fcntl(n, fcntl.F_SETFL, fcntl.fcntl(n, fcntl.F_GETFL) | "
            "os.O_NONBLOCK) for n in (1, 2)]; "
            f"open('done', 'w').close(); {STAY}")


def python(source):
    return shlex.join([sys.executable, "-ISc", source])


def shell(source):
    return shlex.join(["sh", "-c", source])


def app(source, **keys):
    return {"command": python(source), "instances": 1, "ready": "alive:10ms",
            **keys}


def flags_of(pid, fd):
    with open(f"/proc/{pid}/fdinfo/{fd}") as f:
        return int(f.read().split("flags:")[1].split()[0], 8)


def beside_each_other(box, stream, **popen):
    """One app sets O_NONBLOCK on its streams; returns the other's flags, ours
    and its own."""
    box.config(clusterd={"log": "log"}, a=app(NONBLOCK), b=app(STAY))
    box.write("log", "")
    d = box.start(**popen)
    d.log_path = box.path("log")
    a, = d.wait_ready(1, app="a")
    b, = d.wait_ready(1, app="b")
    wait_until(lambda: os.path.exists(box.path("done")), "O_NONBLOCK is set")
    return flags_of(b, stream), flags_of(d.pid, stream), flags_of(a, stream)


@pytest.mark.parametrize("stream", [1, 2])
def test_each_worker_has_a_pipe_to_itself(box, stream):
    r, w = os.pipe()
    try:
        other, ours, own = beside_each_other(box, stream, stdout=w, stderr=w)
        assert own & os.O_NONBLOCK
        assert not other & os.O_NONBLOCK and not ours & os.O_NONBLOCK
    finally:
        os.close(r)
        os.close(w)


def test_each_worker_has_a_file_to_itself_that_is_appended_to(box):
    fd = os.open(box.path("out"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        other, ours, own = beside_each_other(box, 1, stdout=fd)
        assert own & os.O_NONBLOCK and own & os.O_APPEND
        assert other & os.O_APPEND and not other & os.O_NONBLOCK
        assert not ours & os.O_NONBLOCK
    finally:
        os.close(fd)


def test_file_that_is_not_appended_to_is_not_written_over(box):
    box.write("out", "")
    fd = os.open(box.path("out"), os.O_WRONLY)
    os.write(fd, b"before\n")
    box.config(web={"command": shell("echo out"), "instances": 3,
                    "restart": "never"})
    d = box.start(stdout=fd)
    os.close(fd)
    d.wait_end(0)
    with open(box.path("out")) as f:
        assert f.read() == "before\n" + 3 * "out\n"


def in_pipe(fd):
    size = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, size)
    return size[0]


NODE = ("process.stdout.write('node\\n', () => { "
        "require('fs').writeFileSync('done', ''); "
        "setInterval(() => {}, 1000) })")
LINES = """
import os, signal, time
while not os.path.exists('done'):
    time.sleep(0.005)
for i in range(40):
    print('x' * 4000, i, flush=True)
open('said', 'w').close()
signal.pause()
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_node_does_not_lose_the_lines_of_a_neighbour(box):
    """Node sets O_NONBLOCK on a pipe; who does not expect that loses what the
    pipe does not take at once."""
    r, w = os.pipe()
    box.config(n={"command": shlex.join(["node", "-e", NODE]),
                  "instances": 1, "ready": "alive:10ms"},
               p={"command": shlex.join([sys.executable, box.write(
                   "lines.py", LINES)]), "instances": 1,
                  "ready": "alive:10ms"})
    d = box.start(stdout=w)
    os.close(w)
    wait_until(lambda: os.path.exists(box.path("done")), "node has written")
    writer, = d.wait_ready(1, app="p")
    # It is full, and nobody reads.
    wait_until(lambda: in_pipe(r) > 60000, "the pipe is full")
    assert is_alive(writer)
    stays(lambda: not os.path.exists(box.path("said")), "it waits", 0.2)
    data = b""
    while data.count(b"\n") < 41:
        part = os.read(r, 65536)
        assert part, data[-100:]
        data += part
    lines = data.decode().splitlines()
    assert sorted(lines) == sorted(
        ["node"] + [f"{'x' * 4000} {i}" for i in range(40)])
    d.stop()
    os.close(r)


@pytest.mark.parametrize("path, place", [
    ("/dev/stdout", "stdout"), ("/dev/fd/2", "stderr"),
    ("/proc/self/fd/1", "stdout"), ("/dev/stderr", "stderr")])
def test_paths_of_descriptors_mean_clusterds_own(box, path, place):
    box.config(web={"command": shell("echo said"), "instances": 1,
                    "restart": "never", "stdout": path, "stderr": "null"})
    with open(box.path("out"), "wb") as out:
        d = box.start(stdout=out)
        d.wait_end(0)
    with open(box.path("out")) as f:
        to_stdout = f.read()
    assert (to_stdout == "said\n") == (place == "stdout")
    assert ("\nsaid\n" in d.stderr()) == (place == "stderr")


@pytest.mark.skipif(not IS_ROOT, reason="needs root")
def test_user_without_rights_writes_where_clusterd_does(box):
    r, w = os.pipe()
    box.config(web={"command": shell("echo out; echo err >&2"),
                    "instances": 1, "restart": "never", "user": "nobody",
                    "stdout": "/dev/stdout", "stderr": "/dev/stdout"})
    d = box.start(stdout=w)
    os.close(w)
    d.wait_end(0)
    assert os.read(r, 100) == b"out\nerr\n"
    os.close(r)


# --- standard input

CAT = "cat; echo ended >>ends"


def test_standard_input_is_at_its_end_by_default(box):
    box.config(web={"command": shell(CAT), "instances": 1,
                    "restart_delay": "10ms"})
    d = box.start()
    d.wait_log(r"web\[0\] pid \d+: exited with code 0 .*; if it ends at the "
               r"end of its standard input, which is /dev/null, add stdin = "
               r"open")
    d.wait_log(r"web\[0\] pid \d+: exited with code 0", count=3)
    assert len(d.find("add stdin = open")) == 1     # said once
    d.stop()


def test_no_hint_where_somebody_has_ended_it(box):
    """A server that served, and ends well on a signal from elsewhere."""
    box.web(instances=2)
    d = box.start()
    pids = d.wait_ready(2)
    os.kill(pids[0], signal.SIGTERM)
    d.wait_log(rf"pid {pids[0]}: exited with code 0 after")
    d.wait_replaced(pids[:1], 2)
    assert not d.find("add stdin")
    d.stop()


def test_no_hint_where_the_end_is_no_surprise(box):
    box.config(once={"command": "true", "instances": 1, "restart": "never"},
               fails={"command": "false", "instances": 1,
                      "restart": "never"})
    d = box.start()
    d.wait_log(r"fails\[0\] pid \d+: exited with code 1")
    d.wait_end(1)
    assert not d.find("add stdin")


@pytest.mark.parametrize("user", ["inherit", pytest.param(
    "nobody", marks=pytest.mark.skipif(not IS_ROOT, reason="needs root"))])
def test_open_standard_input_never_ends(box, user):
    box.config(web={"command": shell("exec cat"), "instances": 2,
                    "stdin": "open", "ready": "alive:10ms", "user": user})
    d = box.start()
    pids = d.wait_ready(2)
    for pid in pids:
        assert os.readlink(f"/proc/{pid}/fd/0").startswith("pipe:")
    # Each has one to itself, whose only writer it is.
    assert len({os.readlink(f"/proc/{pid}/fd/0") for pid in pids}) == 2
    pipe = os.readlink(f"/proc/{pids[0]}/fd/0")
    assert pipe not in [os.readlink(f"/proc/{d.pid}/fd/{n}")
                        for n in os.listdir(f"/proc/{d.pid}/fd")
                        if os.path.lexists(f"/proc/{d.pid}/fd/{n}")]
    assert not flags_of(pids[0], 0) & os.O_NONBLOCK
    stays(lambda: all(map(is_alive, pids)), "they wait", 0.3)
    d.stop()


def test_standard_input_opens_at_a_reload(box):
    box.config(web={"command": probe(), "listen": "127.0.0.1:0",
                    "instances": 1})
    d = box.start()
    old = d.wait_ready(1)
    assert os.readlink(f"/proc/{old[0]}/fd/0") == "/dev/null"
    box.config(web={"command": probe(), "listen": "127.0.0.1:0",
                    "instances": 1, "stdin": "open"})
    d.send(signal.SIGHUP)
    new, = d.wait_replaced(old, 1)
    assert os.readlink(f"/proc/{new}/fd/0").startswith("pipe:")
    d.stop()
