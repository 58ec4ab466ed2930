"""The server that binds its port by itself: binder.c and what it answers.

From the environment: BINDER (the program, by default beside CLUSTERD). Where
it is not there, it is compiled for the session.
"""

import atexit
import contextlib
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import harness
from harness import is_refused, wait_until


def _find():
    beside = os.path.dirname(os.environ.get("CLUSTERD", "build/clusterd"))
    path = os.path.abspath(os.path.join(harness.ROOT, os.environ.get(
        "BINDER", os.path.join(beside, "binder"))))
    if os.access(path, os.X_OK):
        return path
    directory = tempfile.mkdtemp(prefix="cld-binder-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    path = os.path.join(directory, "binder")
    source = os.path.join(harness.HERE, "binder.c")
    subprocess.run([*shlex.split(os.environ.get("CC", "cc")), "-std=gnu11",
                    "-O2", "-Wall", "-Wextra", "-D_GNU_SOURCE", "-pthread",
                    "-o", path, source], check=True)
    return path


BINDER = _find()

WAITS = r"it waits for connections"
UNSEEN = r"cannot be seen to wait for connections"


def binder(*steps, program=None):
    """The command line of a binder."""
    return shlex.join([program or BINDER, *map(str, steps)])


# For servers of several sockets: with a blocking one, whoever comes too late
# for a connection sleeps in accept() and does not serve the others.
NONBLOCK = ",nonblock"


def join(host, port):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def tcp(port, host="0.0.0.0", slot="a", flags="", backlog=5, only=False):
    """The steps of a plain server up to its listen()."""
    kind = "tcp6" if ":" in host else "tcp4"
    return [f"socket:{slot}:{kind}{flags}", f"set:{slot}:reuseaddr:1",
            *[f"set:{slot}:v6only:1"] * only,
            f"bind:{slot}:{join(host, port)}", f"listen:{slot}:{backlog}"]


def udp(port, host="0.0.0.0", slot="a", flags=""):
    kind = "udp6" if ":" in host else "udp4"
    return [f"socket:{slot}:{kind}{flags}", f"bind:{slot}:{join(host, port)}"]


def unix(path, slot="a", unlink=True, flags=""):
    return [*[f"unlink:{path}"] * unlink, f"socket:{slot}:unix{flags}",
            f"bind:{slot}:{path}", f"listen:{slot}:5"]


def settings(*steps, **keys):
    """The section of an app that runs a binder; None leaves a key out."""
    section = {"command": binder(*steps), "instances": 2,
               "restart_delay": "10ms"}
    section.update(keys)
    return {k: v for k, v in section.items() if v is not None}


def start(box, *steps, **keys):
    """One app of binders, which are all ready."""
    box.config(web=settings(*steps, **keys))
    d = box.start()
    d.wait_ready(keys.get("instances", 2))
    return d


def watched(box, *steps):
    """The same steps, noted in box.events()."""
    return ["--events", box.events_path, *steps]


def returned(answer, call="bind", slot="a"):
    """What every such call for this socket returned: 0 or the errno."""
    return [int(value) for value in answer.all(f"{call}.{slot}")]


def port_of(answer, slot):
    return int(answer.one(f"at.{slot}.name").rpartition(":")[2])


def has_stopped(pid):
    """Every thread of it."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return True
    return all(harness.process_state(f"{pid}/task/{t}") in ("T", None)
               for t in threads)


@contextlib.contextmanager
def standing_still(pids):
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        for pid in pids:
            wait_until(lambda: has_stopped(pid), f"{pid} stands still")
        yield
    finally:
        for pid in pids:
            harness.kill(pid, signal.SIGCONT)


def first_answer(s, limit):
    """What the first of these connections that answers says, or None."""
    readable, _, _ = select.select(s, [], [], limit)
    return harness.read_answer(readable[0]) if readable else None


def answer_of_the_living(address, limit=10.0):
    """The answer of the only worker that does not stand still, and the
    connections that wait for the others: they are the caller's.

    Each worker has a queue of its own, so some clients come to those that
    stand still; they stay there until these go on.
    """
    held = []
    deadline = time.monotonic() + limit * harness.SLOW
    try:
        while time.monotonic() < deadline:
            held.append(harness.ask(address))
            answer = first_answer(held, 0.05 * harness.SLOW)
            if answer is not None:
                return answer, held
        raise harness.TimeLimit(f"{len(held)} connections to {address}, "
                                "none of which is answered")
    except BaseException:
        for s in held:
            s.close()
        raise


def udp_answer_of_the_living(address, limit=10.0):
    """The same by datagrams: of flows until one is answered."""
    found = []

    def ask():
        with contextlib.suppress(socket.timeout):
            found.append(harness.ask_udp(address, limit=0.1))
        return found
    wait_until(ask, f"an answer from {address}", limit)
    return found[0]


def all_answer(d, address, count):
    """So many workers answer, each also when the others stand still.

    Those go on afterwards and answer what has come to them meanwhile. Returns
    an answer of each.
    """
    pids = d.pids_that_answer(address, count)
    assert len(pids) == count
    answers = []
    for pid in pids:
        with standing_still(pids - {pid}):
            answer, held = answer_of_the_living(address)
        with contextlib.ExitStack() as stack:
            for s in held:
                stack.enter_context(s)
            for s in held:
                if s.fileno() != -1:
                    assert harness.read_answer(s).pid in pids
        assert answer.pid == pid
        answers.append(answer)
    assert len({answer.one("worker") for answer in answers}) == count
    return answers


@contextlib.contextmanager
def without_clusterd(box, port, *steps):
    """The same server on its own, to compare with."""
    process = subprocess.Popen([BINDER, *map(str, steps)],
                               env=box.environment(), cwd=box.dir)
    try:
        wait_until(lambda: not is_refused(port), "it listens")
        yield process
    finally:
        process.kill()
        process.wait()


def warnings(d, pattern):
    """Lines of warnings that have the pattern."""
    return [line for line in d.log().splitlines()
            if " warn" in line and re.search(pattern, line)]
