"""A supervisor that is killed in the midst of something: what was begun goes on, or is
rolled back, and no request fails."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

import control
import harness
import preloads
from harness import (HAS_KEEPER, SLOW, ask, children_of, free_port, get,
                     is_alive, kill, process_state, read_answer, read_proc,
                     status_field, wait_until)
from loads import Load
from programs import script
from test_survive import kill_supervisor

pytestmark = pytest.mark.skipif(not HAS_KEEPER, reason="needs the keeper")

N = 3


class Killer:
    """As long as it lasts, one supervisor after the other is killed when it has
    been up for a moment."""

    def __init__(self, d, gap=0.05):
        self.d, self.gap, self.count = d, gap, 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.is_set():
            mark = self.d.mark()
            pid = self.d.find_supervisor()
            if pid is None:
                time.sleep(0.002)
                continue
            kill(pid)
            self.count += 1
            while not self.d.find("start complete", mark) and \
                    not self.over.wait(0.005):
                pass
            self.over.wait(self.gap)

    def wait(self, count):
        wait_until(lambda: self.count >= count,
                   lambda: f"{count} deaths, there were {self.count}", 30)

    def __enter__(self):
        self.d.wait_log("start complete")
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def ctl(box, *words):
    return box.ctl(*words, env={"RUNTIME_DIRECTORY": box.dir}, limit=40)


# --- a server of another kind

@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
@pytest.mark.parametrize("handoff", ["adopt", "auto"])
def test_no_request_to_node_fails(box, handoff):
    port = free_port()
    box.config(web={"command": f"node {box.copy(script('http.js'))} {port}",
                    "port": port, "instances": N, "handoff": handoff})
    d = box.start()
    workers = d.wait_ready(N, limit=30)
    failed, served = [], set()
    over = threading.Event()

    def come():
        while not over.is_set():
            try:
                with socket.create_connection(("127.0.0.1", port),
                                              timeout=20 * SLOW) as s:
                    s.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    text = b""
                    while part := s.recv(4096):
                        text += part
                    served.add(int(text.split()[-1]))
            except (OSError, ValueError, IndexError) as e:
                failed.append(e)
            time.sleep(0.002)
    threads = [threading.Thread(target=come) for _ in range(4)]
    for t in threads:
        t.start()
    for _ in range(5):
        kill_supervisor(d)
        time.sleep(0.2)
    over.set()
    for t in threads:
        t.join()
    assert not failed, failed
    assert served and served <= set(workers)
    assert sorted(d.wait_ready(N)) == sorted(workers)
    d.stop()


# --- in the midst of …

def test_who_drains_goes_on_to(box):
    """A request that takes its time is answered, and then its worker goes."""
    box.web(instances=N, drain_timeout="20s", stop_timeout="20s")
    d = box.start()
    old = d.wait_ready(N)
    with Load(("127.0.0.1", d.port())) as load:
        slow = [ask(d.port(), "/slow/1500") for _ in range(2 * N)]
        box.wait_events("slow", 2 * N)
        d.send(signal.SIGHUP)
        d.wait_log(r"web\[0\] pid \d+: ready", count=2)
        with Killer(d) as killer:
            pids = [read_answer(s).pid for s in slow]
            killer.wait(3)
        d.wait_workers(N, limit=20)
    assert set(pids) <= set(old)
    assert not load.failed, load.failed
    get(d.port())
    d.stop()


@pytest.mark.parametrize("start, end", [(5, 2), (2, 5)])
def test_scale_goes_on(box, start, end):
    box.web(instances=start, drain_timeout="20s")
    d = box.start()
    old = d.wait_ready(start)
    with Load(("127.0.0.1", d.port())) as load:
        slow = [ask(d.port(), "/slow/1000") for _ in range(start)]
        box.wait_events("slow", start)
        with Killer(d) as killer:
            # A request that was being carried out is not asked again; whether it
            # was, tells the status.
            wait_until(lambda: ctl(box, "scale", "web", str(end)).returncode
                       == 0, "it is heard", 20)
            assert {read_answer(s).pid for s in slow} <= set(old)
            killer.wait(3)
        d.wait_workers(end, limit=20)
        d.wait_ready(end)
    assert not load.failed, load.failed
    assert len(set(d.ready_pids()) & set(old)) == min(start, end)
    d.stop()


def test_reloads_come_to_their_end(box):
    """Or are rolled back; in any case one generation is in force, and serves."""
    box.web(instances=N)
    d = box.start()
    d.wait_ready(N)
    with Load(("127.0.0.1", d.port())) as load:
        with Killer(d, gap=0.03) as killer:
            for _ in range(15):
                d.send(signal.SIGHUP)
                time.sleep(0.1)
            killer.wait(5)
        mark = d.mark()
        kill_supervisor(d)
        d.wait_log("start complete", start=mark)
        wait_until(lambda: len(d.ready_pids()) == N == len(d.workers()),
                   "as many as there are to be", 20)
        d.send(signal.SIGHUP)
        d.wait_log(r"reload complete, generation \d+", start=mark, limit=20)
        wait_until(lambda: len(d.ready_pids()) == N == len(d.workers()),
                   "as many as there are to be", 20)
    assert not load.failed, load.failed
    # A reload that was asked for before may go on.
    wait_until(lambda: len({get(d.port()).generation for _ in range(30)}) == 1,
               "one is in force", 20)
    d.stop()


def test_deaths_and_restarts_go_on(box):
    """Each death is seen, and nobody is started twice."""
    box.web(instances=N, restart_delay="10ms", restart_limit="none")
    d = box.start()
    d.wait_ready(N)
    with Killer(d, gap=0.02) as killer:
        for _ in range(20):
            workers = d.workers()
            if workers:
                kill(workers[0])
            time.sleep(0.06)
        killer.wait(5)
    wait_until(lambda: len(d.ready_pids()) == N == len(d.workers()),
               lambda: f"{N} workers: {harness.describe(d.workers())}", 20)
    assert len(d.pids_that_answer(d.port(), N)) == N
    d.stop()
    wait_until(lambda: not box.survivors(), "nobody is left")


@preloads.needed
@pytest.mark.parametrize("said", ["web: reload complete, generation 2",
                                  "web: stopping, as asked"])
def test_what_was_said_is_not_rolled_back(box, said):
    """A supervisor that is killed right after it has said it."""
    box.config(clusterd={"log": "log"},
               web={"command": harness.PROBE, "instances": 1,
                    "listen": "127.0.0.1:0"},
               other={"command": "sleep 1000", "ready": "alive:1ms"})
    box.write("log", "")
    d = box.start(env={"LD_PRELOAD": preloads.hangs_behind(box, said)})
    d.log_path = box.path("log")
    d.wait_log("start complete")
    old = d.wait_ready(1, "web")
    if "reload" in said:
        d.send(signal.SIGHUP)
    else:
        asker = control.client(box).send("stop web")
    d.wait_log(said)
    kill_supervisor(d)
    if "reload" in said:
        d.wait_replaced(old, 1, "web")
        assert get(d.port()).generation == 2
    else:
        asker.close()
        wait_until(lambda: control.status(box).app()["state"] == "stopped",
                   "it has stopped")
        assert not is_alive(old[0])
    d.stop()


def tracer(d, *inject):
    """Holds clusterd, and whom it gives birth to, up at these system calls."""
    t = subprocess.Popen(
        ["strace", "-f", "-q", "-o", "/dev/null",
         *(word for i in inject for word in ("-e", f"inject={i}")),
         "-p", str(d.pid)], env=d.box.environment())
    wait_until(lambda: status_field(d.pid, "TracerPid") != "0" or
               t.poll() is not None, "strace attaches")
    return t


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("where", ["execve:delay_enter",
                                   "clone,clone3:delay_exit"])
def test_between_birth_and_exec(box, where):
    """Or before it is known that there is a process: it ends, and the next one is
    started, neither lost nor two."""
    box.web(instances=N, restart_delay="10ms")
    d = box.start()
    old, supervisor = d.wait_ready(N), d.pid

    d.wait_log("start complete")
    wait_until(d.is_at_rest, "rest")

    def new():
        return set(children_of(supervisor)) - set(old)
    t = tracer(d, f"{where}=20000000")
    try:
        kill(old[0])
        child, = wait_until(new, "a child")
        if "exec" in where:
            wait_until(lambda: process_state(supervisor) == "S", "it is noted")
        mark = d.mark()
        kill(supervisor)
        t.kill()
        d.wait_log("start complete", start=mark)
        wait_until(lambda: not is_alive(child), "its end")
        wait_until(lambda: len(d.ready_pids()) == N == len(d.workers()),
                   lambda: f"{N} workers: {harness.describe(d.workers())}")
        assert set(old[1:]) < set(d.workers())
    finally:
        t.kill()
        t.wait()
    d.stop()
    wait_until(lambda: not box.survivors(), "nobody is left")


# --- often

@pytest.mark.heavy
def test_two_hundred_kills(box):
    """Nothing leaks, neither of descriptors nor of processes nor of memory."""
    box.web(instances=N, stdout=box.path("out.log"),
            listen=f"127.0.0.1:0, unix:{box.path('s')}")
    d = box.start()
    workers = d.wait_ready(N)
    kill_supervisor(d)
    before = d.kinds_at_rest()
    own = int(status_field(d.keeper, "RssAnon").split()[0])
    with Load(("127.0.0.1", d.port())) as load:
        for _ in range(200):
            kill_supervisor(d)
    assert not load.failed, load.failed
    assert d.wait_ready(N) == workers
    wait_until(lambda: d.kinds_at_rest() == before, lambda: "as many as "
               f"before: {before}, {d.kinds_at_rest()}")
    # Not of its files, of which as much is there as was to be had at the time.
    assert int(status_field(d.keeper, "RssAnon").split()[0]) <= own + 64
    wait_until(lambda: len(children_of(d.keeper)) == N + 1, "nobody else is left")
    d.stop()


def most_memory_of(pid):
    """But for the ledger, of which more has been written to since."""
    most, shared = (int(status_field(pid, field).split()[0])
                    for field in ("VmHWM", "RssShmem"))
    return most - shared


@pytest.mark.heavy
@pytest.mark.skipif(harness.SANITIZED, reason="it has a malloc() of its own")
def test_a_take_over_takes_the_memory_of_those_that_are_there(box):
    """Not of as many as there ever were: so much may not be to be had by then."""
    box.web(instances=N)
    d = box.start()
    d.wait_ready(N)
    kill_supervisor(d)
    d.wait_ready(N)
    wait_until(d.is_at_rest, "rest")
    before = most_memory_of(d.pid)
    assert ctl(box, "scale", "web", "300").returncode == 0
    d.wait_ready(300, limit=60)
    assert ctl(box, "scale", "web", str(N)).returncode == 0
    d.wait_workers(N, limit=60)
    kill_supervisor(d)
    d.wait_ready(N)
    wait_until(d.is_at_rest, "rest")
    assert most_memory_of(d.pid) < before + 450     # 900 for 300
    d.stop()


@pytest.mark.heavy
def test_fifty_upgrades(box):
    program = box.path("clusterd")
    shutil.copy(harness.CLUSTERD, program)
    box.web(instances=N)
    d = box.start(program=program)
    workers = d.wait_ready(N)
    with Load(("127.0.0.1", d.port())) as load:
        for i in range(50):
            shutil.copy(harness.CLUSTERD, program + ".new")
            os.rename(program + ".new", program)
            done = ctl(box, "upgrade")
            assert done.returncode == 0, done.stderr
            if i == 0:
                before = d.kinds_at_rest()
    assert not load.failed, load.failed
    assert sorted(d.wait_ready(N)) == sorted(workers)
    wait_until(lambda: d.kinds_at_rest() == before, lambda: "as many as "
               f"before: {before}, {d.kinds_at_rest()}")
    os.kill(workers[0], signal.SIGKILL)
    new, = set(d.wait_replaced(workers[:1], N)) - set(workers)
    assert b"CLUSTERD_STATE" not in read_proc(new, "environ")
    d.stop()


# --- process 1

def test_no_request_fails_where_it_is_process_1(box, as_root):
    box.web(instances=N)
    d = harness.start_as_pid_1(box)
    d.wait_log("start complete")
    workers = d.wait_workers(N)
    with Load(("127.0.0.1", d.port())) as load:
        for _ in range(5):
            kill_supervisor(d)
    assert not load.failed, load.failed
    assert sorted(d.wait_workers(N)) == sorted(workers)
    kill(workers[0])
    wait_until(lambda: not is_alive(workers[0]), "its death")
    assert len(d.wait_workers(N)) == N
    d.stop()
