"""What clusterd's own log looks like: text, JSON, and on a journal stream."""

import json
import os
import re
import signal
import socket

import pytest

import words
from control import wait_status
from harness import get, wait_until

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
FIELDS = ["time", "level", "app", "instance", "pid", "message"]
PRIORITIES = {"error": "3", "warning": "4", "info": "6", "debug": "7"}


def check(event):
    """The names are these, in this order, and mean what they should."""
    assert list(event) == [name for name in FIELDS if name in event]
    assert TIME.fullmatch(event["time"])
    assert event["level"] in PRIORITIES
    assert isinstance(event["message"], str) and event["message"]
    if "instance" in event:
        assert "app" in event and isinstance(event["instance"], int)
    if "pid" in event:
        assert "instance" in event and event["pid"] > 0
    if "app" in event:
        assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", event["app"])
        assert not event["message"].startswith(event["app"])
    return event


def parse(text):
    """The events of whole lines; the last one may be under way."""
    return [check(json.loads(line)) for line in text.split("\n")[:-1]]


def wait_event(read, pattern, **fields):
    """Until there is one with that message and these fields."""
    found = []

    def look():
        found[:] = [e for e in parse(read())
                    if re.search(pattern, e["message"])
                    and all(e.get(k) == v for k, v in fields.items())]
        return found
    wait_until(look, lambda: f"{pattern} {fields} in {read()}")
    return found[-1]


def reader(path):
    def read():
        try:
            with open(path) as f:
                return f.read()
        except FileNotFoundError:
            return ""
    return read


# --- json


def test_a_life_in_json(box):
    box.web(clusterd={"log": "log", "log_format": "json",
                      "log_level": "debug"}, restart_delay="10ms")
    d = box.start()
    log = reader(box.path("log"))
    pids = {e["instance"]: e["pid"] for e in box.wait_events("ready", 2)}
    ready = wait_event(log, r"^ready after ", app="web", instance=1)
    assert ready["pid"] == pids["1"] and ready["level"] == "info"
    started = wait_event(log, r"^starting 2 instances$", app="web")
    assert "instance" not in started and "pid" not in started
    assert "app" not in wait_event(log, r"^start complete$")

    os.kill(pids["0"], signal.SIGKILL)
    death = wait_event(log, "^" + words.KILLED_9, instance=0)
    assert death["pid"] == pids["0"] and death["level"] == "warning"
    box.wait_events("ready", 3)

    d.send(signal.SIGHUP)
    wait_event(log, r"^reload complete, generation 2$", app="web")
    d.stop()
    last = parse(log())[-1]
    assert list(last) == ["time", "level", "message"]
    assert last["message"] == "stopped"
    assert d.stderr() == ""


def test_json_whatever_the_bytes_are(box):
    box.web(clusterd={"log_format": "json"},
            command="$'no\\xff\"\\x1b\\\\n\u20ac'")
    d = box.start()
    d.wait_end(1)
    error = wait_event(d.stderr, r"^cannot execute ", app="web")
    assert "no\ufffd\"\x1b\\n\u20ac: No such file" in error["message"]
    assert error["level"] == "error"


def test_a_long_message_is_cut_and_still_json(box):
    box.web(clusterd={"log_format": "json"}, command="\u20ac" * 3000)
    d = box.start()
    d.wait_end(1)
    wait_event(d.stderr, r"^cannot execute \u20ac+\.\.\.$", app="web")
    assert max(map(len, d.stderr().encode().split(b"\n"))) <= 4095


def test_what_is_wrong_before_the_log_is_plain(box):
    box.web(clusterd={"log_format": "json"}, balance="fair")
    done = box.run("-c", "app.ini")
    assert done.returncode == 78
    assert re.match(r"app\.ini:\d+: balance: ", done.stderr)


def test_text_is_the_default(box):
    box.web(clusterd={"log": "log"}, instances=1)
    d = box.start()
    d.log_path = box.path("log")
    pid = box.wait_events("ready")[0]["pid"]
    d.wait_log(words.READY("web", 0))
    d.stop()
    for line in d.log().splitlines():
        assert words.LINE.fullmatch(line), line
    assert len(d.find(rf"info    web\[0\] pid {pid}: ready after ")) == 1
    assert d.find(r"info    web: starting 1 instance\n")
    assert d.log().endswith("info    stopped\n")


def test_reload_changes_the_format(box):
    keys = {"log": "log"}
    box.web(clusterd=keys, instances=1)
    d = box.start()
    d.log_path = box.path("log")
    box.wait_events("ready")
    box.web(clusterd={**keys, "log_format": "json"}, instances=1)
    d.send(signal.SIGHUP)
    d.wait_log(r'"app":"web","message":"reload complete, generation 2"}\n')
    lines = d.log().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("{"))
    for line in lines[:first]:
        assert words.LINE.fullmatch(line), line
    for line in lines[first:]:
        check(json.loads(line))

    start = d.mark()
    box.web(clusterd=keys, instances=1)
    d.send(signal.SIGHUP)
    d.wait_log(r"info +web: reload complete, generation 3\n", start=start)
    d.stop()


def test_usr1_reopens_a_log_in_json(box):
    box.web(clusterd={"log": "log", "log_format": "json"})
    d = box.start()
    box.wait_events("ready", 2)
    old, new = reader(box.path("log.1")), reader(box.path("log"))
    wait_event(new, r"^start complete$")
    os.rename(box.path("log"), box.path("log.1"))
    d.send(signal.SIGUSR1)
    wait_event(new, r"^SIGUSR1: log reopened$")
    d.stop()
    assert parse(old())[-1]["message"] == "start complete"
    assert parse(new())[0]["message"] == "SIGUSR1: log reopened"
    assert parse(new())[-1]["message"] == "stopped"


def test_what_a_full_disk_took_is_counted_in_json(box):
    os.symlink("/dev/full", box.path("log"))
    box.web(clusterd={"log": "log", "log_format": "json"})
    d = box.start()
    # Its words of that are gone before the log is opened again.
    wait_status(box, lambda s: s.app()["ready"] == 2 and
                s.one("clusterd")["state"] == "running")
    os.unlink(box.path("log"))
    d.send(signal.SIGUSR1)
    log = reader(box.path("log"))
    dropped = wait_event(log, r"^\d+ log lines were dropped: ")
    assert dropped["level"] == "warning"
    assert int(dropped["message"].split()[0]) >= 4
    assert parse(log())[0] == dropped
    d.stop()


# --- the journal


def stream_of(fd):
    st = os.fstat(fd)
    return f"{st.st_dev}:{st.st_ino}"


class Journal:
    """A stream that stderr can be, with the variable that tells of it."""

    def __init__(self, kind):
        if kind == "socket":
            self.reader, self.writer = socket.socketpair()
            self.reader.shutdown(socket.SHUT_WR)
        else:
            r, w = os.pipe()
            self.reader, self.writer = os.fdopen(r, "rb"), os.fdopen(w, "wb")
        os.set_blocking(self.reader.fileno(), False)
        self.said = b""
        self.env = {"JOURNAL_STREAM": stream_of(self.writer.fileno())}

    def read(self):
        try:
            while part := os.read(self.reader.fileno(), 65536):
                self.said += part
        except BlockingIOError:
            pass
        return self.said.decode()

    def wait(self, text):
        wait_until(lambda: text in self.read(), self.read)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.reader.close()
        self.writer.close()


@pytest.mark.parametrize("kind", ["socket", "pipe"])
def test_lines_for_the_journal_have_priorities(box, kind):
    box.web(restart_delay="10ms", instances=1)
    with Journal(kind) as journal:
        d = box.start("-c", "app.ini", "-l", "debug", env=journal.env,
                      stderr=journal.writer)
        pid = box.wait_events("ready")[0]["pid"]
        # What the worker says of itself comes before clusterd has seen it.
        journal.wait(f"<6>web[0] pid {pid}: ready after ")
        os.kill(pid, signal.SIGKILL)
        box.wait_events("ready", 2)
        d.send(signal.SIGUSR1)
        journal.wait("<6>SIGUSR1: log reopened\n")
        d.stop()
        said = journal.read()
    for line in said.splitlines():
        assert re.match(r"<[3467]>\D", line), line
        assert not re.search(words.TIME, line), line
    assert f"<7>web[0] pid {pid}: started\n" in said
    assert f"<4>web[0] pid {pid}: killed by signal 9 " in said
    assert said.endswith("<6>stopped\n")


def test_an_error_for_the_journal(box):
    box.web(command="./nothing")
    with Journal("socket") as journal:
        d = box.start(env=journal.env, stderr=journal.writer)
        d.wait_end(1)
        assert "\n<3>web: cannot execute " in journal.read()


def test_json_for_the_journal(box):
    box.web(clusterd={"log_format": "json"})
    with Journal("socket") as journal:
        d = box.start(env=journal.env, stderr=journal.writer)
        box.wait_events("ready", 2)
        d.stop()
        said = journal.read()
    for line in said.splitlines():
        event = check(json.loads(line[3:]))
        assert line[:3] == f"<{PRIORITIES[event['level']]}>"


def test_another_standard_error_is_no_journal(box):
    """The variable is inherited from a service whose stderr it was."""
    box.web()
    with Journal("socket") as journal:
        d = box.start(env=journal.env)
        d.wait_ready(2)
        d.stop()
        assert journal.read() == ""
    for line in d.stderr().splitlines():
        assert words.LINE.fullmatch(line), line


def test_a_file_is_no_journal(box):
    box.web(clusterd={"log": "log"})
    with Journal("socket") as journal:
        d = box.start(env=journal.env, stderr=journal.writer)
        d.log_path = box.path("log")
        box.wait_events("ready", 2)
        d.stop()
        assert journal.read() == ""
    for line in d.log().splitlines():
        assert words.LINE.fullmatch(line), line


@pytest.mark.parametrize("stderr", ["inherit", "null"])
def test_a_worker_hears_of_the_journal_if_its_stderr_is_it(box, stderr):
    box.web(instances=1, stderr=stderr, clusterd={"log": "log"})
    with Journal("socket") as journal:
        d = box.start(env=journal.env, stderr=journal.writer)
        d.log_path = box.path("log")
        box.wait_events("ready")
        env = get(d.port(), "/dump").env
        d.stop()
        assert env.get("JOURNAL_STREAM") == (
            journal.env["JOURNAL_STREAM"] if stderr == "inherit" else None)
