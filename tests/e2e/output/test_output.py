"""Workers' output through clusterd: `prefix` and files."""

import array
import datetime
import errno
import fcntl
import json
import os
import pty
import re
import select
import shlex
import signal
import stat
import sys
import termios
import threading
import time

import pytest

import harness
from harness import SLOW, is_alive, stays, wait_until, with_mounts

LINE_MAX = 16384
LOST = (r"web: (\d+) lines? of output (?:was|were) lost: "
        r"standard output takes nothing")


def python(source):
    return shlex.join([sys.executable, "-ISc", source])


def shell(source):
    return shlex.join(["sh", "-c", source])


def once(box, command, **keys):
    """One worker, which runs once; clusterd ends with it."""
    settings = {"command": command, "instances": 1, "restart": "never",
                "success_codes": "0-255", **keys}
    return box.config(web=settings)


def staying(box, command, **keys):
    return box.config(web={"command": command, "instances": 1, **keys})


def text_of(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except FileNotFoundError:
        return b""


class Reader:
    """Reads a pipe to its end in a thread, when it is told to."""

    def __init__(self):
        self.fd, self.end = os.pipe()
        self.data = b""
        self.thread = None
        self.taken, self.longest = time.monotonic(), 0

    def close_end(self):
        os.close(self.end)

    def take(self, n=65536):
        part = os.read(self.fd, n)
        self.data += part
        now = time.monotonic()
        self.longest = max(self.longest, now - self.taken)
        self.taken = now
        return part

    def was_stuck(self):
        """It took nothing for about as long as what counts as stuck, since nobody
        let it run, or nothing came: then lines may be lost."""
        return self.longest > 0.8

    def _run(self):
        while self.take(self.piece):
            time.sleep(self.pause)

    def start(self, pause=0, piece=65536):
        """Both may be changed meanwhile."""
        self.pause, self.piece = pause, piece
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def all(self, limit=20):
        if self.thread is None:
            self.start()
        self.thread.join(limit * SLOW)
        assert not self.thread.is_alive(), "the pipe has not ended"
        os.close(self.fd)
        return self.data


def wait_taken(d):
    """clusterd has read all that its worker has written so far: what it finds once
    there is room again comes behind what was lost."""
    worker, = d.workers()
    fd = os.open(f"/proc/{worker}/fd/1", os.O_WRONLY)
    try:
        left = array.array("i", [1])

        def none_is_left():
            fcntl.ioctl(fd, termios.FIONREAD, left)
            return left[0] == 0
        wait_until(none_is_left, "the worker's pipe is empty")
    finally:
        os.close(fd)


def start(box, reader, **keys):
    d = box.start(stdout=reader.end, **keys)
    reader.close_end()
    return d


def output_of(box, **keys):
    """Standard output, and what of standard error has a worker's tag."""
    reader = Reader()
    d = start(box, reader, **keys)
    data = reader.all()
    d.wait_end(0)
    tagged = [line for line in d.stderr().splitlines(True)
              if re.match(r"\w+\.\d+ \| ", line)]
    return data.decode(), "".join(tagged)


# --- prefix

@pytest.mark.valgrind
def test_each_line_has_its_workers_name(box):
    once(box, shell("echo out; echo err >&2; echo; echo 2; printf end"),
         instances=2, stdout="prefix", stderr="prefix")
    out, err = output_of(box)
    for i in (0, 1):
        mine = [s for s in out.splitlines() if s.startswith(f"web.{i} ")]
        assert mine == [f"web.{i} | {s}" for s in ("out", "", "2", "end")]
    assert sorted(err.splitlines()) == ["web.0 | err", "web.1 | err"]
    assert out.endswith("\n")


def test_what_is_inherited_is_passed_as_it_is(box):
    once(box, shell("echo out; echo err >&2"), stdout="prefix")
    out, err = output_of(box)
    assert out == "web.0 | out\n"
    assert err == ""
    assert "\nerr\n" in box.running[-1].stderr()


def on_terminal(box, **env):
    master, slave = pty.openpty()
    d = box.start(stdout=slave, stderr=slave, env=env)
    os.close(slave)
    data = b""
    try:
        while True:
            ready, _, _ = select.select([master], [], [], 10 * SLOW)
            assert ready, f"the terminal has not ended: {data}"
            part = os.read(master, 4096)
            if not part:
                break
            data += part
    except OSError as e:
        assert e.errno == errno.EIO     # the last one has closed it
    os.close(master)
    d.wait_end(0)
    return data.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("env, coloured", [
    ({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False)])
def test_names_have_colours_on_a_terminal(box, env, coloured):
    once(box, shell("echo out; echo err >&2"), instances=2, stdout="prefix",
         stderr="prefix")
    said = on_terminal(box, **env)
    tags = re.findall(r"^(\x1b\[\d+m)?web\.([01]) \|(\x1b\[0m)? "
                      r"(?:out|err)$", said, re.M)
    assert len(tags) == 4, said
    assert all(bool(a) == bool(c) == coloured for a, _, c in tags)
    # One for each instance.
    assert len(set(tags)) == 2


def test_no_colour_in_a_pipe(box):
    once(box, shell("echo out"), stdout="prefix")
    assert output_of(box)[0] == "web.0 | out\n"


@pytest.mark.parametrize("length", [LINE_MAX - 1, LINE_MAX, LINE_MAX + 1,
                                    5 * LINE_MAX + 7])
def test_long_line_is_split_and_not_lost(box, length):
    once(box, python(f"import os; os.write(1, b'x' * {length} + b'\\nend')"),
         stdout="prefix", stderr="prefix")
    lines = output_of(box)[0].splitlines()
    texts = [s.removeprefix("web.0 | ") for s in lines]
    assert [len(s) for s in texts[:-1]] == \
        [LINE_MAX] * (length // LINE_MAX) + \
        ([length % LINE_MAX] if length % LINE_MAX else [])
    assert texts[-1] == "end"


def objects(text):
    return [json.loads(line) for line in text.splitlines()]


def test_lines_as_objects(box):
    """With log_format = json, those of workers too, in one stream with those of
    the log."""
    source = ("import os; os.write(1, b'caf\\xc3\\xa9 \\x1b \\xff\\n' + "
              f"b'x' * {LINE_MAX - 1} + b'\\xc3\\xa9' * 9000 + b'\\n')")
    box.config(clusterd={"log_format": "json"}, web={
        "command": python(source), "instances": 1, "restart": "never",
        "stdout": "prefix", "stderr": "prefix"})
    out, err = output_of(box)
    told = objects(out)
    assert all(list(o)[:5] == ["time", "app", "instance", "stream", "line"]
               and (o["app"], o["instance"], o["stream"]) ==
               ("web", 0, "stdout") for o in told), told
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
                            o["time"]) for o in told)
    assert told[0]["line"] == "caf\u00e9 \x1b \ufffd"
    # No character is cut, and what goes on says so.
    assert [o.get("cont", False) for o in told] == [False, True, True, False] \
        or [o.get("cont", False) for o in told] == [False, True, False]
    assert "".join(o["line"] for o in told[1:]) == \
        "x" * (LINE_MAX - 1) + "\u00e9" * 9000
    assert all(o.get("cont") is not False for o in told)
    assert all("level" in o for o in objects(err))


def test_lines_have_their_time(box):
    once(box, shell("echo out; echo err >&2"), stdout="prefix", stderr="e.log",
         log_time="iso")
    before = time.time()
    out = output_of(box)[0]
    found = re.fullmatch(r"(\S+) web\.0 \| out\n", out)
    when = datetime.datetime.fromisoformat(
        found.group(1).replace("Z", "+00:00")).timestamp()
    assert before - 0.001 <= when <= time.time()
    assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z err\n",
                        text_of(box.path("e.log")))


def test_full_file_of_lines_with_their_time_is_rotated(box):
    once(box, python("import os; " + numbers(0, 20000)), stdout="web.log",
         log_max_size="64K", log_keep=100, log_time="iso")
    box.start().wait_end(0)
    sizes = [os.path.getsize(box.path(n)) for n in rotated(box)]
    assert len(sizes) > 5
    assert all(size <= 65536 and size % 32 == 0 for size in sizes)
    kept = numbers_in(b"".join(text_of(box.path(n)) for n in rotated(box)))
    assert kept == list(range(20000))


def test_format_of_lines_changes_with_a_reload(box):
    def config(form):
        box.config(clusterd={"log_format": form}, web={
            "command": shell(f"while :; do test -e {box.path('go')} && "
                             f"rm {box.path('go')} && echo line; "
                             "sleep 0.05; done"),
            "instances": 1, "stdout": "prefix"})
    config("text")
    d = box.start()
    d.wait_ready(1)

    def lines():
        return [s for s in d.log().splitlines() if re.search(r"\bline\b", s)]

    def say():
        before = len(lines())
        box.touch("go")
        wait_until(lambda: len(lines()) > before, "the line")
    say()
    config("json")
    done = box.ctl("-c", "app.ini", "update",
                   env={"RUNTIME_DIRECTORY": box.dir})
    assert done.returncode == 0, done.stderr
    say()
    d.stop()
    assert lines()[0] == "web.0 | line"
    assert json.loads(lines()[-1])["line"] == "line", lines()


def test_bytes_are_passed_as_they_are(box):
    once(box, python("import os; os.write(1, bytes(range(1, 256)))"),
         stdout="out.log")
    box.start().wait_end(0)
    assert text_of(box.path("out.log")) == bytes(range(1, 256)) + b"\n"


def numbers(first, last):
    """Python that writes these numbers, each a line, at once."""
    return ("os.write(1, b''.join(b'%06d\\n' % i "
            f"for i in range({first}, {last})))")


def numbers_in(text):
    if isinstance(text, bytes):
        text = text.decode()
    return [int(s[-6:]) for s in text.splitlines()]


@pytest.mark.parametrize("how", ["prefix", "web.log"])
def test_output_of_a_killed_worker_is_complete(box, how):
    # All that a pipe holds, and then a death that writes nothing more.
    once(box, python("import os, signal; " + numbers(0, 9000) +
                     "; os.kill(os.getpid(), signal.SIGKILL)"), stdout=how)
    reader = Reader()
    d = start(box, reader)
    out = reader.all()
    d.wait_end(1)
    if how != "prefix":
        out = text_of(box.path(how))
    assert numbers_in(out) == list(range(9000))


def test_what_a_worker_said_comes_before_its_death(box):
    staying(box, shell("echo last words >&2; exit 3"), stderr="prefix",
            restart_delay="1h", restart_delay_max="1h")
    d = box.start()
    d.wait_log(r"web\[0\] pid \d+: .*\b3\b.*restarting in")
    assert d.log().index("web.0 | last words") < \
        d.log().index("restarting in")
    d.stop()


def test_output_of_a_descendant_that_outlives_its_worker(box):
    staying(box, shell(
        # Ignored before it is there: it may not run before it is told.
        "trap '' TERM; "
        "(while ! [ -e go ]; do sleep 0.02; done; "
        "echo late; printf later) & trap 'exit 0' TERM; echo up; wait"),
        stdout="prefix",
        directory=box.dir)
    reader = Reader()
    d = start(box, reader)
    reader.start()
    wait_until(lambda: b"up" in reader.data, "the worker's first line")
    worker = d.workers()[0]
    d.send(signal.SIGTERM)
    wait_until(lambda: not is_alive(worker), "the worker's end")
    box.touch("go")
    assert reader.all() == b"web.0 | up\nweb.0 | late\nweb.0 | later\n"
    d.wait_end(0)


def test_lines_of_the_log_stay_whole_beside_those_of_workers(box):
    staying(box, python("import os; exec('while 1: os.write(2, bytes([97]) * "
                        "3000 + bytes([10]))')"), stderr="prefix",
            instances=2)
    reader = Reader()
    d = box.start(stderr=reader.end)
    reader.close_end()
    reader.start(pause=0.002, piece=5000)
    wait_until(lambda: b"aaa" in reader.data, "output")
    for _ in range(30):
        d.send(signal.SIGUSR1)
        seen = len(reader.data)
        wait_until(lambda: len(reader.data) > seen + 20000, "more output")
    d.send(signal.SIGTERM)
    data = reader.all().decode()
    d.wait_end(0)
    own = 0
    for line in data.splitlines():
        if re.fullmatch(r"web\.[01] \| a{3000}", line):
            continue
        assert re.match(r"\d{4}-\d\d-\d\d [\d:.]+ (info|warning|error) ",
                        line), line[:200]
        assert "aaa" not in line, line[:200]
        own += "log reopened" in line
    assert own > 10
    assert "lost" not in data and "dropped" not in data or reader.was_stuck()


# --- slow, stuck and broken readers

def pump(fd, data, until):
    """Read from a FIFO that may have no writer, until that is true."""
    def look():
        try:
            data.extend(os.read(fd, 65536))
        except BlockingIOError:
            pass
        return until()
    wait_until(look, lambda: f"more of {bytes(data[-300:])}", 20)


class Fifo:
    """Both ends, the reading one not blocking."""

    def __init__(self, box):
        self.path = box.path("fifo")
        os.mkfifo(self.path)
        self.fd = None
        self.open()
        self.end = os.open(self.path, os.O_WRONLY)

    def open(self):
        self.fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    def close(self):
        os.close(self.fd)


def test_losses_are_counted_where_they_belong(box):
    """Lines that look like tags, one of them cut, and a reader that goes."""
    total = 5000
    line = "www.example.com.%06.0f." + "x" * 80
    staying(box, shell(
        f"seq -f {line} 1 {total}; : >done; "
        "while ! [ -e go ]; do sleep 0.02; done; "
        "echo again; sleep 1000"), stdout="prefix", directory=box.dir)
    fifo = Fifo(box)
    d = box.start(stdout=fifo.end)
    os.close(fifo.end)
    data = bytearray()
    wait_until(lambda: select.select([fifo.fd], [], [], 0)[0], "a line")
    # Not to the end of a line.
    pump(fifo.fd, data, lambda: len(data) > 20000)
    fifo.close()
    d.wait_log("standard output cannot be written: Broken pipe")
    fifo.open()
    wait_until(lambda: os.path.exists(box.path("done")), "the worker's lines")
    time.sleep(1.1)     # what is broken is tried once a second
    box.touch("go")
    pump(fifo.fd, data, lambda: data.endswith(b"| again\n"))
    lost = d.wait_log(r"(\S+): (\d+) lines of output were lost")
    d.stop()
    fifo.close()
    whole = re.findall(r"^web\.0 \| www\.example\.com\.\d{6}\.x{80}$",
                       data.decode(), re.M)
    assert lost[1] == "web"
    assert len(whole) + int(lost[2]) == total
    assert len(d.find("lines? of output w")) == 1


def test_lines_of_the_log_that_are_lost_are_no_apps(box):
    box.config(clusterd={"log_format": "json"}, web={
        "command": shell("yes | head -100000; : >done; "
                         "while ! [ -e go ]; do sleep 0.02; done; "
                         "echo again; exec sleep 1000"),
        "instances": 1, "stdout": "prefix", "stderr": "prefix",
        "directory": box.dir})
    fifo = Fifo(box)
    d = box.start(stdout=fifo.end, stderr=fifo.end)
    os.close(fifo.end)
    wait_until(lambda: os.path.exists(box.path("done")), "the worker's lines")
    for _ in range(3):
        d.send_and_wait(signal.SIGUSR1)
    fifo.close()
    data = bytearray()
    time.sleep(0.1)
    fifo.open()
    time.sleep(1.1)
    box.touch("go")
    pump(fifo.fd, data, lambda: b'"line":"again"}\n' in data and
         b"of output were lost" in data)
    d.send(signal.SIGTERM)
    pump(fifo.fd, data, lambda: b"stopped" in data)
    d.wait_end(0)
    fifo.close()
    # Of clusterd; the others are the worker's, and the first one was cut.
    said = [json.loads(s) for s in data.decode().splitlines()
            if '"level":' in s]
    lost = [m for m in said if "of output" in m["message"]]
    assert [m["app"] for m in lost] == ["web"]
    dropped = [m for m in said if "log lines were dropped" in m["message"]]
    assert len(dropped) == 1
    assert int(dropped[0]["message"].split()[0]) >= 3

def test_slow_reader_loses_nothing(box):
    once(box, python("import os; " + numbers(0, 200000)), stdout="prefix")
    reader = Reader()
    d = start(box, reader)
    # Under what counts as stuck, then in small pieces; but the end is bounded.
    time.sleep(0.3)
    reader.start(pause=0.001, piece=7001)
    wait_until(lambda: len(reader.data) > 1500000 or d.process.poll() is not
               None, "half of it", 60)
    reader.pause, reader.piece = 0, 65536
    data = reader.all(60)
    d.wait_end(0)
    if "lost" in d.stderr():
        assert reader.was_stuck(), (reader.longest, d.log())
    else:
        assert numbers_in(data) == list(range(200000))


def test_reader_that_is_too_slow_at_the_end_is_left(box):
    """It takes something all the time, and the log does not say otherwise."""
    staying(box, shell("seq -f %06.0f 0 99999; : >done; exec sleep 1000"),
            stdout="prefix", directory=box.dir)
    reader = Reader()
    d = start(box, reader)
    wait_until(lambda: os.path.exists(box.path("done")), "the worker's loop")
    # A page at least, so that there is room for more; of what is kept, the most
    # is more than is read in the seconds that the end may take.
    reader.start(pause=0.2, piece=4096)
    # One that takes nothing at all is not waited for.
    wait_until(lambda: len(reader.data) >= 3 * 4096, "it takes something")
    d.stop(limit=30)
    reader.pause, reader.piece = 0, 65536
    found = d.find(r"web: (\d+) lines of output were lost: standard output "
                   r"is too slow")
    came = numbers_in(reader.all().rpartition(b"\n")[0])
    # Some may have been lost before the end, and one have come in part.
    lost = sum(int(m[1]) for m in [*found, *d.find(LOST)])
    assert found, d.log()
    assert len(came) + lost in (99999, 100000)
    assert came == list(range(len(came)))


def test_stuck_reader_holds_up_nobody_and_the_loss_is_told(box):
    total = 300000
    staying(box, python(
        "import os, time; " + numbers(0, total) +
        "; open('done', 'w'); time.sleep(1000)"), stdout="prefix",
        directory=box.dir)
    reader = Reader()
    d = start(box, reader)
    wait_until(lambda: os.path.exists(box.path("done")),
               "the worker writes on")
    # Meanwhile signals are answered.
    d.send(signal.SIGUSR1)
    d.wait_log("log reopened")
    assert not d.find(LOST)
    wait_taken(d)
    reader.start()
    lost = int(d.wait_log(LOST)[1])
    d.stop()
    came = numbers_in(reader.all())
    assert lost > 0
    assert len(came) + lost == total
    # What was kept came first, whole and in order, and nothing after it.
    assert came == list(range(len(came)))
    assert len(d.find(LOST)) == 1


def test_after_a_stuck_reader_output_goes_on(box):
    staying(box, shell(
        "seq -f %06.0f 0 99999; : >done; "
        "while ! [ -e go ]; do sleep 0.02; done; "
        "seq -f %06.0f 100000 100099; exec sleep 1000"), stdout="prefix",
        directory=box.dir)
    reader = Reader()
    d = start(box, reader)
    wait_until(lambda: os.path.exists(box.path("done")), "the worker's loop")
    wait_taken(d)
    reader.start()
    lost = int(d.wait_log(LOST)[1])
    box.touch("go")
    wait_until(lambda: b"100099\n" in reader.data, "the last line")
    d.stop()
    first = 100000 - lost
    assert numbers_in(reader.all()) == [*range(first),
                                        *range(100000, 100100)]


def test_reader_that_is_stuck_at_the_end_is_left(box):
    staying(box, shell("seq -f %06.0f 0 99999; : >done; exec sleep 1000"),
            stdout="prefix", directory=box.dir)
    reader = Reader()
    d = start(box, reader)
    wait_until(lambda: os.path.exists(box.path("done")), "the worker's loop")
    d.stop()
    lost = int(d.find(LOST)[0][1])
    came = numbers_in(reader.all().rpartition(b"\n")[0])
    # One may have come in part.
    assert len(came) + lost in (99999, 100000)
    assert came == list(range(len(came)))


def test_what_is_left_at_a_stop_is_written(box):
    # What the pipes and clusterd hold together.
    staying(box, shell("seq -f %06.0f 0 24999; : >done; exec sleep 1000"),
            stdout="prefix", directory=box.dir)
    reader = Reader()
    d = start(box, reader)
    wait_until(lambda: os.path.exists(box.path("done")), "the worker's lines")
    # It takes something before the end, which does not wait for one that does not.
    reader.start(pause=0.02, piece=4096)
    d.send(signal.SIGTERM)
    wait_until(lambda: len(reader.data) > 20000, "it goes on")
    reader.piece = 20000
    data = reader.all()
    d.wait_end(0)
    if "lost" in d.stderr():
        assert reader.was_stuck(), (reader.longest, d.log())
    else:
        assert numbers_in(data) == list(range(25000))


def test_reader_that_is_gone_ends_nobody(box):
    staying(box, shell("while :; do echo x; echo x >>alive; sleep 0.02; "
                       "done"), stdout="prefix", directory=box.dir)
    reader = Reader()
    d = start(box, reader)
    os.close(reader.fd)
    d.wait_log("standard output cannot be written: Broken pipe; output is "
               "lost until it can")
    size = len(text_of(box.path("alive")))
    wait_until(lambda: len(text_of(box.path("alive"))) > size + 20,
               "the worker lives on")
    d.stop()
    assert d.find(r"web: \d+ lines of output were lost: standard output: "
                  "Broken pipe")


# --- files

@pytest.mark.valgrind
def test_file_gets_lines_as_they_are(box):
    os.mkdir(box.path("logs"))
    once(box, shell("echo out; echo err >&2; printf end"), stdout="logs/o",
         stderr="logs/e")
    before = os.umask(0o022)
    try:
        box.start().wait_end(0)
    finally:
        os.umask(before)
    assert text_of(box.path("logs/o")) == b"out\nend\n"
    assert text_of(box.path("logs/e")) == b"err\n"
    assert stat.S_IMODE(os.stat(box.path("logs/o")).st_mode) == 0o640


def test_file_is_appended_to(box):
    box.write("o", "before\n")
    once(box, shell("echo out"), stdout="o")
    box.start().wait_end(0)
    assert text_of(box.path("o")) == b"before\nout\n"


def test_apps_share_a_file_and_lines_stay_whole(box):
    def app(letter):
        line = f"b'{letter}' * {2000 + ord(letter)} + bytes([10])"
        return {"command": python(
            f"import os; [os.write(1, {line}) for i in range(300)]"),
            "instances": 2, "restart": "never", "stdout": "all",
            "stderr": "all", "log_keep": 1000, "log_max_size": "64K"}
    box.config(a=app("a"), b=app("b"))
    box.start().wait_end(0)
    lines = [s for name in os.listdir(box.dir) if name.startswith("all")
             for s in text_of(box.path(name)).decode().splitlines()]
    assert sorted(set(lines)) == ["a" * 2097, "b" * 2098]
    assert lines.count("a" * 2097) == lines.count("b" * 2098) == 600


def rotated(box, name="web.log"):
    """The files in the order of their age, the oldest first."""
    found = [n for n in os.listdir(box.dir) if n.startswith(name)]
    return sorted(found, key=lambda n: -int(n[len(name) + 1:] or 0))


def test_full_file_is_rotated(box):
    once(box, python("import os; " + numbers(0, 60000)), stdout="web.log",
         log_max_size="64K", log_keep=2)
    box.start().wait_end(0)
    assert rotated(box) == ["web.log.2", "web.log.1", "web.log"]
    sizes = [os.path.getsize(box.path(n)) for n in rotated(box)]
    # No line is cut, and none more would have had room.
    assert sizes[0] == sizes[1] == 65536 // 7 * 7 and sizes[2] <= 65536
    kept = numbers_in(b"".join(text_of(box.path(n)) for n in rotated(box)))
    assert kept == list(range(60000 - len(kept), 60000))


def test_full_file_of_which_none_is_kept_begins_anew(box):
    once(box, python("import os; " + numbers(0, 60000)), stdout="web.log",
         log_max_size="64K", log_keep=0)
    box.start().wait_end(0)
    assert rotated(box) == ["web.log"]
    kept = numbers_in(text_of(box.path("web.log")))
    assert 0 < len(kept) <= 65536 // 7
    assert kept == list(range(60000 - len(kept), 60000))


def test_full_file_that_was_put_away_is_not_emptied(box):
    staying(box, shell("echo first; while ! [ -e go ]; do sleep 0.02; done; "
                       "seq -f %06.0f 0 29999; exec sleep 1000"),
            stdout="web.log", log_max_size="64K", log_keep=0,
            directory=box.dir)
    d = box.start()
    wait_until(lambda: text_of(box.path("web.log")), "a line")
    os.rename(box.path("web.log"), box.path("saved"))
    box.touch("go")
    wait_until(lambda: text_of(box.path("web.log")).endswith(b"029999\n"),
               "a new file")
    d.stop()
    saved = text_of(box.path("saved"))
    assert saved.startswith(b"first\n000000\n")
    assert len(saved) > 65536 - 7


def test_file_without_a_size_is_not_rotated(box):
    once(box, python("import os; " + numbers(0, 60000)), stdout="web.log",
         log_max_size="none")
    box.start().wait_end(0)
    assert rotated(box) == ["web.log"]
    assert os.path.getsize(box.path("web.log")) == 60000 * 7


def ticking(box, **keys):
    """A worker that counts slowly, in lines of six digits."""
    keys.setdefault("stdout", "web.log")
    staying(box, shell("i=0; while :; do i=$((i+1)); printf '%06d\\n' $i; "
                       "sleep 0.01; done"), directory=box.dir,
            ready="alive:50ms", **keys)


def test_file_is_opened_anew_on_usr1(box):
    ticking(box)
    d = box.start()
    wait_until(lambda: text_of(box.path("web.log")), "a line")
    os.rename(box.path("web.log"), box.path("old"))
    size = os.path.getsize(box.path("old"))
    wait_until(lambda: os.path.getsize(box.path("old")) > size,
               "more lines in the old file")
    d.send(signal.SIGUSR1)
    wait_until(lambda: text_of(box.path("web.log")), "a line in the new file")
    d.stop()
    came = numbers_in(text_of(box.path("old")) + text_of(box.path("web.log")))
    assert came == list(range(1, len(came) + 1))


def test_file_that_cannot_be_opened_anew_stays(box):
    os.mkdir(box.path("logs"))
    ticking(box, stdout="logs/web.log")
    d = box.start()
    wait_until(lambda: text_of(box.path("logs/web.log")), "a line")
    os.rename(box.path("logs"), box.path("moved"))
    d.send(signal.SIGUSR1)
    d.wait_log("cannot open .*/logs/web.log: No such file or directory; "
               "going on with the old one")
    size = os.path.getsize(box.path("moved/web.log"))
    wait_until(lambda: os.path.getsize(box.path("moved/web.log")) > size,
               "more lines in the old file")
    d.stop()


def test_file_that_cannot_be_rotated_is_written_further(box):
    os.makedirs(box.path("logs/web.log.1/x"))
    once(box, python("import os; " + numbers(0, 60000)),
         stdout="logs/web.log", log_max_size="64K", log_keep=1)
    d = box.start()
    d.wait_end(0)
    assert numbers_in(text_of(box.path("logs/web.log"))) == \
        list(range(60000))
    assert len(d.find("cannot rotate .*/logs/web.log: .*; going on with the "
                      "full file")) == 1


def test_full_disk_loses_lines_and_tells_how_many(box):
    ticking(box, stdout="/dev/full")
    d = box.start()
    d.wait_log("/dev/full cannot be written: No space left on device; output "
               "is lost until it can")
    stays(lambda: len(d.workers()) == 1, "the worker lives on")
    d.stop()
    assert len(d.find("cannot be written")) == 1
    assert d.find(r"web: \d+ lines of output were lost: /dev/full: No space "
                  "left on device")


def test_disk_that_has_room_again(box, as_root):
    os.mkdir(box.path("disk"))
    staying(box, shell("i=0; while :; do i=$((i+1)); "
                       "printf '%06d %0993d\\n' $i 0; sleep 0.005; done"),
            stdout="disk/web.log")
    d = box.start(launcher=with_mounts(
        # Room then for more than is written until the file has been read.
        "mount -t tmpfs -o size=16m tmpfs disk && "
        "head -c 16328k /dev/zero >disk/filler && exec \"$@\""))
    d.wait_log("disk/web.log cannot be written: No space left on device")
    disk = f"/proc/{d.pid}/root{box.path('disk')}"
    os.unlink(f"{disk}/filler")
    lost = int(d.wait_log(r"web: (\d+) lines? of output (?:was|were) lost: "
                          r".*disk/web.log: No space left")[1])
    text = text_of(f"{disk}/web.log").decode()
    d.stop()
    came, cut = [], 0
    for line in text.splitlines():
        if re.fullmatch(r"\d{6} 0{993}", line):
            came.append(int(line[:6]))
        else:
            cut += 1
    # At most the one line that had no room is there in part.
    assert cut <= 1
    gaps = [b - a - 1 for a, b in zip(came, came[1:]) if b != a + 1]
    assert gaps == [lost]


def test_lines_of_the_log_stay_whole_on_a_full_disk(box, as_root):
    """Where a line of either is cut, the next one begins on a new line."""
    os.mkdir(box.path("disk"))
    staying(box, shell("while :; do printf '%0300d\\n' 7; sleep 0.003; done"),
            stdout="prefix", stderr="prefix", instances=2, ready="alive:1ms")
    d = box.start(launcher=with_mounts(
        "mount -t tmpfs -o size=8m tmpfs disk && "
        "head -c 8156k /dev/zero >disk/filler && "
        "exec \"$@\" >>disk/log 2>>disk/log"))
    disk = f"/proc/{d.pid}/root{box.path('disk')}"

    def log():
        return text_of(f"{disk}/log").decode()

    def is_full():
        st = os.statvfs(disk)
        return os.path.exists(f"{disk}/filler") and st.f_bavail == 0
    wait_until(is_full, "the full disk")

    def is_dropped():
        # The file's last page may have room yet.
        size = os.stat(f"{disk}/log").st_size
        d.send_and_wait(signal.SIGUSR1)
        time.sleep(0.05)        # it is tried meanwhile, and dropped
        return os.stat(f"{disk}/log").st_size == size
    for _ in range(5):
        wait_until(is_dropped, "a line that has no room")
    os.unlink(f"{disk}/filler")
    wait_until(lambda: "of output were lost" in log() and
               "log lines were dropped" in log(), lambda: re.sub(
                   "web.*0007\n", "", log())[-2000:])
    d.send(signal.SIGUSR1)
    wait_until(lambda: "log reopened" in log(), "one more")
    text = log()
    d.stop()
    cut = 0
    for line in text.splitlines():
        if re.fullmatch(r"web\.[01] \| 0{299}7", line):
            continue
        if re.fullmatch(r"2\d{3}-\d\d-\d\d [\d:.]+ (?:info|warning|error) "
                        r"[^|]*", line) and "000" not in line[24:]:
            continue
        assert re.match(r"(web\.[01] \| 0*|2[-\d:. ]*\w*)$", line), line
        cut += 1
    assert cut <= 2


def open_files(pid):
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            pass
    return found


def test_reload_changes_the_paths(box):
    ticking(box, stdout="one")
    d = box.start()
    wait_until(lambda: text_of(box.path("one")), "a line")
    ticking(box, stdout="two")
    d.send(signal.SIGHUP)
    wait_until(lambda: text_of(box.path("two")), "a line in the other file")
    wait_until(lambda: box.path("one") not in open_files(d.pid).values(),
               "the first one is closed")
    ticking(box, stdout="prefix")
    d.send(signal.SIGHUP)
    wait_until(lambda: "web.0 | 0" in d.stderr(), "a line with a name")
    d.stop()


def test_reload_changes_the_size(box):
    ticking(box)
    box.write("web.log", "x" * 99999 + "\n")
    d = box.start()
    d.wait_ready(1)
    wait_until(lambda: os.path.getsize(box.path("web.log")) > 100000,
               "a line")
    ticking(box, log_max_size="64K")
    d.send(signal.SIGHUP)
    wait_until(lambda: os.path.exists(box.path("web.log.1")), "the rotation")
    d.stop()


def test_aborted_reload_leaves_the_size(box):
    def app(command, **keys):
        staying(box, shell(command), stdout="web.log", directory=box.dir,
                **keys)
    app("while ! [ -e go ]; do sleep 0.02; done; seq -f %06.0f 0 29999; "
        ": >done; exec sleep 1000", ready="alive:50ms")
    d = box.start()
    d.wait_ready(1)
    # It is never ready, however long it takes to end.
    app("exit 1", ready="notify", log_max_size="64K", log_keep=0)
    d.send(signal.SIGHUP)
    d.wait_log("reload aborted")
    box.touch("go")
    wait_until(lambda: os.path.exists(box.path("done")), "the lines")
    d.stop()
    assert numbers_in(text_of(box.path("web.log"))) == list(range(30000))


# --- files that are refused

def make_link(box):
    box.touch("target")
    os.symlink("target", box.path("web.log"))


def make_fifo(box):
    os.mkfifo(box.path("web.log"))


def make_directory(box):
    os.mkdir(box.path("web.log"))


REFUSED = [(make_link, "it is a symbolic link"),
           (make_fifo, "it is a FIFO that nobody reads"),
           (make_directory, "Is a directory")]


@pytest.mark.parametrize("make, why", REFUSED,
                         ids=[m.__name__ for m, _ in REFUSED])
def test_what_is_no_file_is_refused_at_the_start(box, make, why):
    make(box)
    once(box, shell("touch ran"), stdout="web.log", directory=box.dir)
    d = box.start()
    assert d.wait() == 69
    assert re.search(rf"cannot open .*/web.log: {why}", d.log())
    assert not os.path.exists(box.path("ran"))


def test_reload_to_a_bad_file_changes_nothing(box):
    ticking(box)
    d = box.start()
    d.wait_ready(1)
    worker = d.workers()
    ticking(box, stdout="nowhere/web.log")
    d.send(signal.SIGHUP)
    d.wait_log(r"reload refused, nothing was changed: \S*app.ini:\d+: stdout: "
               r"\[web\] cannot open .*/nowhere/web.log: "
               "No such file or directory")
    assert d.workers() == worker
    d.stop()


def test_fifo_with_a_reader_is_written_to(box):
    make_fifo(box)
    fifo = os.open(box.path("web.log"), os.O_RDONLY | os.O_NONBLOCK)
    once(box, shell("seq 1 50000"), stdout="web.log")
    d = box.start()
    data = b""
    while not data.endswith(b"\n50000\n"):
        ready, _, _ = select.select([fifo], [], [], 10 * SLOW)
        assert ready, d.log()
        part = os.read(fifo, 65536)
        # Nothing: nobody has opened it, yet or any more.
        assert part or d.process.poll() is None, d.log()
        data += part
    d.wait_end(0)
    os.close(fifo)
    assert data == b"".join(b"%d\n" % i for i in range(1, 50001))


def test_fifo_whose_reader_goes_and_whose_next_one_is_stuck(box):
    make_fifo(box)
    first = os.open(box.path("web.log"), os.O_RDONLY | os.O_NONBLOCK)
    staying(box, shell(
        "while ! [ -e go ]; do echo tick; sleep 0.02; done; "
        "seq -f %06.0f 0 99999; : >done; exec sleep 1000"),
        stdout="web.log", directory=box.dir)
    d = box.start()
    wait_until(lambda: select.select([first], [], [], 0)[0], "a line")
    os.close(first)
    d.wait_log("web.log cannot be written: Broken pipe; output is lost")
    second = os.open(box.path("web.log"), os.O_RDONLY)
    # It is tried once a second.
    d.wait_log(r"web: \d+ lines? of output (?:was|were) lost: .*Broken pipe")
    box.touch("go")
    wait_until(lambda: os.path.exists(box.path("done")), "the worker goes on")
    calls = harness.system_calls(box, d, lambda: time.sleep(0.5))
    assert calls is None or len(calls) < 20, calls[:20]
    # It may be said before all is read, or after: one does not bring the other.
    os.set_blocking(second, False)

    def said():
        while select.select([second], [], [], 0)[0] and \
                os.read(second, 65536):
            pass
        return d.find("lines of output were lost: .*web.log takes nothing")
    wait_until(said, lambda: "what was lost is told\n" + d.log())
    os.close(second)
    d.stop()


def test_file_is_the_workers(box, as_root):
    os.mkdir(box.path("logs"))
    os.chown(box.path("logs"), 65534, 65534)
    once(box, shell("seq -f %06.0f 0 29999; id -u >&2"), user="nobody",
         stdout="logs/web.log", stderr="prefix", log_max_size="64K")
    d = box.start()
    d.wait_end(0)
    assert "web.0 | 65534" in d.stderr()
    for name in ("web.log", "web.log.1", "web.log.2"):
        assert os.stat(box.path(f"logs/{name}")).st_uid == 65534


# Starts what is named as a child that is to end with it, and stays.
MORTAL = """
import ctypes, os, signal, sys
if os.fork() == 0:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    os.execvp(sys.argv[1], sys.argv[1:])
signal.pause()
"""


def test_clusterd_still_dies_with_its_parent(box, as_root):
    os.mkdir(box.path("logs"))
    os.chown(box.path("logs"), 65534, 65534)
    staying(box, "sleep 1000", user="nobody", stdout="logs/web.log",
            ready="alive:1ms")
    d = box.start(launcher=[sys.executable, "-ISc", MORTAL])
    d.wait_log("start complete")
    d.keeper, = harness.children_of(d.process.pid)
    d.process.kill()
    d.wait_gone()
    assert d.find("SIGTERM: stopping[^$]*stopped")


def test_file_that_the_worker_may_not_write_is_refused(box, as_root):
    os.mkdir(box.path("logs"))
    os.chmod(box.path("logs"), 0o755)
    once(box, shell("touch ran"), user="nobody", stdout="logs/web.log")
    d = box.start()
    assert d.wait() == 69
    assert "logs/web.log as nobody: Permission denied" in d.log()
    assert os.listdir(box.path("logs")) == []


def test_worker_of_another_user_can_open_its_own_streams(box, as_root):
    once(box, shell("echo a >/dev/stdout; echo b >/dev/stderr"),
         user="nobody", stdout="prefix", stderr="prefix")
    assert output_of(box) == ("web.0 | a\n", "web.0 | b\n")


# --- care

def test_worker_whose_output_is_not_the_journals_is_not_told_of_it(box):
    worker = shell("echo JOURNAL=$JOURNAL_STREAM >&2")
    box.config(
        both={"command": worker, "restart": "never", "instances": 1,
              "stdout": "x.log", "stderr": "prefix"},
        one={"command": worker, "restart": "never", "instances": 1,
             "stdout": "prefix"})
    d = box.start(env={"JOURNAL_STREAM": "1:2"})
    d.wait_end(0)
    assert "both.0 | JOURNAL=\n" in d.stderr()
    assert "\nJOURNAL=1:2\n" in d.stderr()


@pytest.mark.heavy
def test_many_workers(box, unwrapped):
    staying(box, shell("echo $CLUSTERD_INSTANCE; exec sleep 1000"),
            instances=200, stdout="prefix", ready="alive:1ms")
    reader = Reader()
    d = start(box, reader)
    reader.start()
    wait_until(lambda: reader.data.count(b"\n") == 200, "200 lines", 30)
    d.stop()
    assert sorted(reader.all().decode().splitlines()) == \
        sorted(f"web.{i} | {i}" for i in range(200))


@pytest.mark.heavy
def test_lines_of_many_apps_are_merged_quickly(box, unwrapped):
    n = 400
    box.config(clusterd={"control": box.path("ctl")}, **{
        f"a{i}": {"command": shell("seq 10; exec sleep 1000"),
                  "instances": 1, "stdout": "a.log", "ready": "alive:1ms"}
        for i in range(n)})
    d = box.start()
    wait_until(lambda: text_of(box.path("a.log")).count(b"\n") == 10 * n,
               "the lines", 30)
    before = cpu_of(d.pid)
    said = box.ctl("-s", box.path("ctl"), "logs").stdout.splitlines()
    assert sorted(said) == sorted(f"a{i}.0 | {k}" for i in range(n)
                                  for k in range(1, 11))
    # Not a look at every app for every line.
    assert cpu_of(d.pid) - before < 0.5 * SLOW
    d.stop()


def cpu_of(pid):
    """Seconds."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_noisy_worker_does_not_starve_the_others(box):
    box.config(
        noisy={"command": shell("exec yes xxxxxxxxxxxxxxxxxxxxxxxxxx"),
               "instances": 2, "stdout": "prefix"},
        quiet={"command": shell("while :; do echo here; sleep 0.05; done"),
               "instances": 1, "stdout": "prefix"})
    reader = Reader()
    d = start(box, reader)
    count = [0]

    def run():
        while (part := reader.take()):
            reader.data = b""
            count[0] += part.count(b"quiet.0 | here\n")
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    wait_until(lambda: count[0] >= 20, "the quiet one's lines")
    d.send(signal.SIGUSR1)
    d.wait_log("log reopened")
    d.stop()
    thread.join()
    os.close(reader.fd)
    assert "lost" not in d.stderr() or reader.was_stuck()


def test_restarts_leak_no_descriptor(box):
    staying(box, shell("echo x; echo y >&2; exit 1"), stdout="prefix",
            stderr="y.log", restart_delay="1ms", restart_delay_max="2ms")
    reader = Reader()
    d = start(box, reader)
    reader.start()
    wait_until(lambda: reader.data.count(b"\n") > 120, "120 restarts", 30)
    # One worker's, at the most, and its dead predecessor's.
    assert len(open_files(d.pid)) < 32, open_files(d.pid)
    d.stop()
    reader.all()


def test_idle_it_makes_no_system_call(box, unwrapped):
    staying(box, shell("echo up; printf half; exec sleep 1000"), instances=3,
            stdout="prefix", stderr="web.log", ready="alive:50ms")
    reader = Reader()
    d = start(box, reader)
    reader.start()
    d.wait_ready(3)
    wait_until(lambda: reader.data.count(b"up\n") == 3, "the lines")
    # What is measured, not a wait.
    calls = harness.system_calls(box, d, lambda: time.sleep(0.8))
    if calls is None:
        pytest.skip("may not trace")
    assert calls == []
    d.stop()
    assert reader.all().count(b"half\n") == 3
