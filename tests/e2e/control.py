"""A client of the control socket, as clusterd-control(7) has it, and what the
tests of it share."""

import glob
import re
import socket

from harness import SLOW, probe, wait_until

# The fields of status: (always there, there when they apply).
FIELDS = {
    "clusterd": ("pid version state uptime_ms cpu_ns memory_bytes "
                 "reloads_refused supervisor_restarts",
                 "config supervisor_death on_event_runs on_event_failures "
                 "on_event_dropped"),
    "app": ("name state wanted ready",
            "generation reloads_ok reloads_aborted target moved reload_error "
            "stdout stderr least most scalings_waiting scalings_busy "
            "scalings_idle"),
    "listener": ("app address balance lanes state", "waiting backlog dropped"),
    "instance": ("app instance role state generation",
                 "pid uptime_ms ready_ms restart_in_ms cpu_ns memory_bytes "
                 "waiting connections connections_total restarts_exit "
                 "restarts_failure restarts_signal restarts_oom restarts_timeout "
                 "restarts_start death death_ago_ms healthy check_ns "
                 "unhealthy recycles_unhealthy recycles_memory recycles_age "
                 "recycles_connections"),
}

STATES = {
    "clusterd": "starting running reloading stopping",
    "app": "running waiting reloading stopping stopped ended failed",
    "listener": "open closing",
    "instance": "starting ready draining stopping killed backoff parked "
                "ended failed",
}


class Record(dict):
    """One line of an answer: its word, and fields as text or numbers."""

    def __init__(self, line):
        kind, self.word, *fields = line.split(" ")
        self.kind = kind
        for field in fields:
            key, equals, value = field.partition("=")
            assert equals and key not in self, line
            value = re.sub("%([0-9A-F]{2})",
                           lambda m: chr(int(m.group(1), 16)), value)
            number = value.isdecimal() and key not in ("name", "app")
            self[key] = int(value) if number else value


class Answer:
    def __init__(self, lines):
        self.lines = lines
        *others, self.last = lines
        self.ok = self.last == "ok" or self.last.startswith("ok ")
        self.why = None if self.ok else self.last.split(" ")[1]
        self.text = self.last.split(" ", 1 if self.ok else 2)[-1] \
            if " " in self.last else ""
        parsed = [Record(line) for line in others]
        assert all(r.kind in "+*" for r in parsed), lines
        self.records = [r for r in parsed if r.kind == "+"]
        self.progress = [r for r in parsed if r.kind == "*"]

    def all(self, word, **fields):
        return [r for r in self.records if r.word == word and
                all(r.get(k) == v for k, v in fields.items())]

    def one(self, word, **fields):
        found = self.all(word, **fields)
        assert len(found) == 1, self.lines
        return found[0]

    def app(self, name="web"):
        return self.one("app", name=name)

    def seat(self, instance=0, app="web"):
        return self.one("instance", app=app, instance=instance, role="seat")

    def seats(self, app="web"):
        return self.all("instance", app=app, role="seat")

    def pids(self, app="web"):
        return [r.get("pid") for r in self.seats(app)]

    @property
    def notes(self):
        return [r["text"] for r in self.progress if r.word == "note"]


class Client:
    def __init__(self, path, limit=20.0):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(limit * SLOW)
        try:
            self.socket.connect(path)
        except BaseException:
            self.socket.close()
            raise
        self.rest = b""
        self.greeting = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def fileno(self):
        return self.socket.fileno()

    def line(self):
        """The next one, without its newline; None: the end."""
        while b"\n" not in self.rest:
            part = self.socket.recv(65536)
            if not part:
                assert not self.rest, self.rest
                return None
            self.rest += part
        line, _, self.rest = self.rest.partition(b"\n")
        assert len(line) < 65536
        return line.decode(errors="surrogateescape")

    def greet(self):
        if self.greeting is None:
            self.greeting = self.line()
            assert self.greeting and self.greeting.startswith("clusterd 1 "), \
                self.greeting
        return self.greeting

    def send(self, *requests):
        self.socket.sendall(
            "".join(r + "\n" for r in requests).encode())
        return self

    def answer(self):
        self.greet()
        lines = []
        while not lines or lines[-1].split(" ")[0] not in ("ok", "error"):
            line = self.line()
            assert line is not None, f"half an answer: {lines}"
            lines.append(line)
        return Answer(lines)

    def ask(self, request):
        return self.send(request).answer()

    def wait_progress(self, word="instance", **fields):
        """Read up to that line of progress."""
        self.greet()
        while True:
            line = self.line()
            assert line is not None and line.startswith("* "), line
            r = Record(line)
            if r.word == word and \
                    all(r.get(k) == v for k, v in fields.items()):
                return r


def two_apps(box, **web):
    keys = {"command": probe("--events", box.events_path),
            "listen": "127.0.0.1:0", "instances": 2}
    box.config(web={**keys, **web}, other=keys)


def place(box):
    """Where the one clusterd of the box has its socket, once it is there."""
    def look():
        return glob.glob(glob.escape(box.dir) + "/*.sock")
    wait_until(look, "a control socket")
    found, = look()
    return found


def client(box, limit=20.0):
    path = place(box)
    wait_until(lambda: listens(path), "somebody listens")
    return Client(path, limit)


def listens(path):
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(path) == 0


def ask(box, request, limit=20.0):
    with client(box, limit) as c:
        return c.ask(request)


def do(box, request, limit=20.0):
    """Carried out, or the test has failed."""
    answer = ask(box, request, limit)
    assert answer.ok, answer.lines
    return answer


def refused(box, request, why="failed"):
    """The words of the error."""
    answer = ask(box, request)
    assert answer.why == why, answer.lines
    return answer.text


def status(box):
    """A status that keeps to the manual."""
    return check(do(box, "status"))


def check(answer):
    assert answer.records[0].word == "clusterd"
    assert not answer.progress
    for r in answer.records:
        always, sometimes = (set(f.split()) for f in FIELDS[r.word])
        assert always <= set(r) <= always | sometimes, r
        assert r["state"] in STATES[r.word].split(), r
        for key, value in r.items():
            if key.endswith(("_ms", "_ns", "_bytes")):
                assert isinstance(value, int), r
    # Each app, its listeners, its instances by number; then the next. One that
    # was started again while workers of before finish is there twice.
    latest = None
    for r in answer.records[1:]:
        rank = ["app", "listener", "instance"].index(r.word)
        if r.word == "app":
            latest = r["name"]
        else:
            assert r["app"] == latest and rank >= rank_before, answer.lines
        rank_before = rank
    for name in {r["name"] for r in answer.all("app")}:
        numbers = [r["instance"] for r in answer.seats(name)]
        assert numbers == sorted(set(numbers)), answer.lines
    return answer


def wait_ready(box, count, other_than=(), limit=10.0):
    """Until so many workers are ready, none of them in `other_than`; their pids. The log
    tells of no more than some of those that are restarted in a second."""
    def pids(answer):
        return [r["pid"] for r in answer.seats() if r["state"] == "ready" and
                r["pid"] not in other_than]
    return pids(wait_status(box, lambda answer: len(pids(answer)) == count,
                            f"{count} are ready", limit))


def wait_status(box, condition, what="that status", limit=10.0):
    """Until it holds; the status of then."""
    last = []

    def look():
        last[:] = [status(box)]
        return condition(last[0])
    wait_until(look, lambda: f"{what}: {last[0].lines}", limit)
    return last[0]
