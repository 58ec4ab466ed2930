"""A supervisor that is killed leaves its workers to the next one: they serve on, and
no request fails."""

import os
import signal
import socket
import time

import pytest

import preloads
import words
from binder import NONBLOCK, binder, tcp
from control import status, wait_status
from harness import (HAS_KEEPER, PLAIN, PROBE, SLOW, children_of, free_port,
                     get, is_alive, kill, process_state, read_proc, wait_until)
from lanes import ALL, as_nobody, needs, nobodys_probe, parametrized
from loads import Load

pytestmark = pytest.mark.skipif(not HAS_KEEPER, reason="needs the keeper")

N = 3


def kill_supervisor(d, number=signal.SIGKILL):
    """Once it has come up; returns when the next one has taken over."""
    d.wait_log("start complete")
    mark = d.mark()
    old = wait_until(d.find_supervisor, "a supervisor")
    os.kill(old, number)
    if number == signal.SIGSTOP:
        os.kill(old, signal.SIGKILL)
    d.wait_log("start complete", start=mark)
    wait_until(lambda: not is_alive(old), "its end")


def check_survival(d, address, kills=10, gap=0.2):
    """Killed so often under load; nobody is any the wiser."""
    workers = d.wait_ready(N)
    with Load(address) as load:
        for _ in range(kills):
            kill_supervisor(d)
            time.sleep(gap)
    assert not load.failed, load.failed
    assert len(load.served) > kills
    assert set(load.served) <= set(workers)
    assert all(map(is_alive, workers))
    assert sorted(d.wait_ready(N)) == sorted(workers)
    return load


# --- workers serve on

@parametrized(*ALL)
def test_no_request_fails(box, balance):
    needs(balance)
    box.web(balance=balance, instances=N)
    d = box.start()
    d.wait_ready(N)
    check_survival(d, ("127.0.0.1", d.port()))
    d.stop()
    wait_until(lambda: not box.survivors(), "nobody is left")


@parametrized("random", "source", "shared")
def test_no_request_fails_without_privileges(box, balance):
    start = as_nobody(box)
    box.web(balance=balance, instances=N, command=nobodys_probe(box))
    d = box.start(**start)
    d.wait_ready(N)
    check_survival(d, ("127.0.0.1", d.port()))
    d.stop()


@parametrized("auto", *ALL)
def test_no_request_to_an_adopted_server_fails(box, balance):
    if balance != "auto":
        needs(balance)
    port = free_port()
    box.web(listen=None, port=port, balance=balance, instances=N,
            handoff="adopt", command=binder(
                *tcp(port, flags=NONBLOCK), "serve:poll"))
    d = box.start()
    check_survival(d, ("127.0.0.1", port))
    d.stop()


def test_no_request_at_a_path_fails(box):
    path = box.path("s")
    box.web(listen=f"unix:{path}", instances=N)
    d = box.start()
    check_survival(d, path)
    d.stop()
    assert not os.path.exists(path) and not os.path.exists(path + ".lane")


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT,
                                    signal.SIGSTOP])
def test_however_it_is_killed(box, number):
    box.web(instances=N)
    d = box.start(env=PLAIN)
    workers = d.wait_ready(N)
    kill_supervisor(d, number)
    assert d.wait_ready(N) == workers
    get(d.port())
    d.stop()


# --- deaths

@pytest.mark.parametrize("meanwhile", [False, True])
def test_death_of_one_is_seen_with_its_status(box, meanwhile):
    """Of one that was taken over; and while there is no supervisor."""
    box.web(instances=N, restart_delay="50ms")
    d = box.start()
    workers = d.wait_ready(N)
    if meanwhile:
        os.kill(d.pid, signal.SIGSTOP)
    else:
        kill_supervisor(d)
    mark = d.mark()
    os.kill(workers[1], signal.SIGKILL)
    if meanwhile:
        wait_until(lambda: not is_alive(workers[1]), "its death")
        kill_supervisor(d)
    d.wait_log(rf"web\[\d\] pid {workers[1]}: killed by signal 9 \(SIGKILL\)"
               " after .*, restarting", start=mark)
    now = d.wait_ready(N)
    assert {workers[0], workers[2]} < set(now) and workers[1] not in now
    assert len(d.find(r"web.*killed by signal 9")) == 1
    d.stop()


@preloads.needed
def test_death_is_known_before_its_process_is_gone(box):
    """To a supervisor that begins in that moment."""
    begin, reaped = box.path("begin"), box.path("reaped")
    library = preloads.waits(box, begin, reaped)
    os.rename(library + ".new", library)
    box.web(instances=N)
    d = box.start(env={"LD_PRELOAD": library})
    workers = d.wait_ready(N)
    d.wait_log("start complete")
    box.touch("begin")
    os.kill(d.pid, signal.SIGKILL)
    # What the last one has forked for a moment has its name.
    wait_until(lambda: any(read_proc(pid, "comm") == b"clusterd\n"
                           for pid in children_of(d.keeper)), "the next one")
    box.touch("reaped")
    try:
        os.kill(workers[1], signal.SIGPROF)
        wait_until(lambda: not os.path.exists(f"/proc/{workers[1]}"),
                   "its end")
        os.unlink(begin)
        d.wait_log("of the supervisor before serve on")
    finally:
        os.unlink(reaped)
    d.wait_log(rf"pid {workers[1]}: killed by signal 27 \(SIGPROF\)")
    d.wait_ready(N)
    assert not d.find("nobody saw how")
    d.stop()


def test_those_that_were_taken_over_are_reloaded(box):
    box.web(instances=N)
    d = box.start()
    workers = d.wait_ready(N)
    kill_supervisor(d)
    with Load(("127.0.0.1", d.port())) as load:
        d.send(signal.SIGHUP)
        d.wait_log("reload complete, generation 2")
        kill_supervisor(d)
        d.wait_replaced(workers, N)
        d.send(signal.SIGHUP)
        d.wait_log("reload complete, generation 3")
    assert not load.failed, load.failed
    d.stop()


# --- what was in force is

def test_reload_under_way_is_rolled_back(box):
    box.web(instances=N)
    d = box.start()
    workers = d.wait_ready(N)
    box.web("--ready", "never", instances=N, ready="notify",
            ready_timeout="60s")
    with Load(("127.0.0.1", d.port())) as load:
        d.send(signal.SIGHUP)
        d.wait_log("reloading, generation 2")
        d.wait_workers(N + 1)
        kill_supervisor(d)
        d.wait_workers(N)
    assert not load.failed, load.failed
    assert d.wait_ready(N) == workers
    box.web(instances=N)
    d.send(signal.SIGHUP)
    # A worker that was written down nowhere yet leaves no number behind.
    d.wait_log("reload complete, generation [23]")
    d.wait_replaced(workers, N)
    d.stop()


def test_reload_of_which_some_seats_are_done_is_rolled_back(box):
    gate = box.touch("gate")
    box.web(instances=N)
    d = box.start()
    first = d.wait_ready(N)
    box.config(web={"command": f"sh -c 'test $CLUSTERD_INSTANCE = 0 || "
                    f"test ! -e {gate} || exec sleep 1000; "
                    f"exec {PROBE}'", "listen": "127.0.0.1:0",
                    "instances": N, "ready_timeout": "60s",
                    "drain_timeout": "1s"})
    with Load(("127.0.0.1", d.port())) as load:
        d.send(signal.SIGHUP)
        wait_until(lambda: len([p for p in first if is_alive(p)]) == N - 1,
                   "one has made place")
        d.wait_workers(N + 1)
        kill_supervisor(d)
        d.wait_log(r"web\[0\] pid \d+: ready", count=3)
    assert not load.failed, load.failed
    d.wait_ready(N)
    d.wait_workers(N)
    assert {get(d.port()).generation for _ in range(20)} == {1}
    d.stop()


def test_warnings_of_the_configuration_are_not_told_again(box):
    box.web(env=["A=1 # one"])
    d = box.start()
    workers = d.wait_ready(2)
    kill_supervisor(d)
    assert d.wait_ready(2) == workers
    assert len(d.find(": env: A: ")) == 1
    with open(box.path("app.ini"), "a", encoding="ascii") as f:
        f.write("\tB=\"x\"\n")
    d.send(signal.SIGHUP)
    d.wait_replaced(workers, 2)
    assert len(d.find(": env: A: ")) == 1
    assert len(d.find(": env: B: the quotes")) == 1
    d.stop()


def test_numbers_of_instances_and_apps_that_were_stopped_are_kept(box):
    box.config(web={"command": PROBE, "listen": "127.0.0.1:0",
                    "instances": 2},
               other={"command": "sleep 1000", "instances": 1})
    d = box.start()
    d.wait_log("start complete")
    env = {"RUNTIME_DIRECTORY": box.dir}
    box.ctl("-c", "app.ini", "stop", "other", env=env)
    d.send(signal.SIGTTIN)
    workers = d.wait_ready(3, "web")
    for _ in range(2):
        kill_supervisor(d)
    assert d.wait_ready(3, "web") == workers
    d.wait_workers(3)
    box.ctl("-c", "app.ini", "start", "other", env=env)
    d.wait_workers(4)
    d.stop()


def test_deadline_of_a_backoff_is_kept(box):
    box.config(web={"command": f"sh -c 'test -e {box.path('gate')} || exit 3; "
                    "exec sleep 1000'", "instances": 1, "restart_delay": "3s"},
               other={"command": "sleep 1000"})
    d = box.start()
    death = d.wait_log(rf"({words.TIME}).*exited with code 3 .*, restarting in "
                       r"([\d.]+)s")
    died, after = words.when(death[1]), float(death[2])
    box.touch("gate")
    for _ in range(2):
        kill_supervisor(d)
    asked = time.time()
    left = status(box).seat().get("restart_in_ms")
    # To what the log has of it, and to the answer's way; unless it is over by now.
    assert left is None or asked + left / 1000 - 0.15 < died + after
    ready = d.wait_log(rf"({words.TIME}).*web\[0\] pid \d+: ready")
    assert words.when(ready[1]) > died + after - 0.1
    d.stop()


def test_one_that_starts_is_awaited(box):
    """Its READY=1 comes while there is no supervisor, or later."""
    gate = box.path("gate")
    box.config(web={"command": f"sh -c 'while ! test -e {gate}; do "
                    f"sleep 0.05; done; exec {PROBE}'",
                    "listen": "127.0.0.1:0", "ready": "notify",
                    "instances": 1, "ready_timeout": "60s"})
    d = box.start()
    worker, = d.wait_workers(1)
    wait_until(lambda: b"while" in read_proc(worker, "cmdline"), "its exec")
    # It is known of: one that is not yet ends with its supervisor.
    wait_status(box, lambda s: s.seat().get("pid") == worker)
    old = d.pid
    os.kill(old, signal.SIGSTOP)
    wait_until(lambda: process_state(old) == "T", "it stands still")
    box.touch("gate")
    time.sleep(0.5)
    os.kill(old, signal.SIGKILL)
    d.wait_log("start complete")
    assert d.wait_ready(1) == [worker]
    d.stop()


def test_lines_that_are_written_meanwhile_are_not_lost(box):
    box.config(job={"command": "sh -c 'i=0; while :; do i=$((i+1)); "
                    "echo line $i; sleep 0.01; done'", "instances": 1,
                    "stdout": box.path("out.log")})
    d = box.start()
    worker, = d.wait_workers(1)
    d.wait_log("start complete")

    def lines():
        with open(box.path("out.log"), encoding="ascii") as f:
            return f.read().splitlines()
    wait_until(lambda: os.path.exists(box.path("out.log")), "the file")
    for _ in range(5):
        so_far = len(lines())
        wait_until(lambda: len(lines()) > so_far + 4, "some more")
        # What it had read and not written yet would be lost (clusterd(8)).
        os.kill(worker, signal.SIGSTOP)
        wait_until(lambda: process_state(worker) == "T", "nobody writes")
        wait_until(d.is_at_rest, "rest")
        os.kill(d.pid, signal.SIGSTOP)
        os.kill(worker, signal.SIGCONT)
        kill_supervisor(d)
    d.stop()
    assert lines() == [f"line {i}" for i in range(1, len(lines()) + 1)]


def test_no_descriptor_is_left(box):
    box.web(instances=N, listen=f"127.0.0.1:0, unix:{box.path('s')}",
            stdout=box.path("out.log"))
    d = box.start()
    d.wait_ready(N)
    kill_supervisor(d)
    before = d.kinds_at_rest()
    for _ in range(10):
        kill_supervisor(d)
    wait_until(lambda: d.kinds_at_rest() == before, lambda: "as many as "
               f"before: {before}, {d.kinds_at_rest()}")
    d.stop()


@pytest.mark.parametrize("handoff", ["adopt", "auto"])
def test_starts_in_the_middle_of_kills_come_to_their_end(box, handoff):
    """Their binds are answered, by whoever is there."""
    port = free_port()
    box.web(listen=None, port=port, instances=6, handoff=handoff,
            ready_timeout="20s", stop_timeout="2s", command=binder(
                *tcp(port, flags=NONBLOCK), "serve:poll"))
    d = box.start()
    d.wait_ready(6)
    for _ in range(3):
        for pid in d.workers():
            kill(pid)
        for i in range(4):
            old, mark = d.pid, d.mark()
            time.sleep(0.02 * i)
            # Or a child of the last one's, before its exec: it has that name.
            kill(old)
            wait_until(lambda: d.pid != old and is_alive(d.pid),
                       "the next one")
        d.wait_ready(6, limit=20)
        # Too many that die before that are followed only 10 s later.
        d.wait_log("start complete", start=mark)
    get(port)
    assert not d.find("not ready within ready_timeout")
    d.stop()


@pytest.mark.parametrize("stands", ["supervisor", "keeper"])
def test_ready_said_in_time_counts_though_nobody_heard_it(box, stands):
    """Before the deadline, which is over when the next one begins."""
    go = box.path("go")
    box.web("--ready", "file:" + go, ready="notify", instances=1,
            ready_timeout=f"{2 * SLOW:g}s")
    d = box.start()
    old = wait_until(d.find_supervisor, "a supervisor")
    worker = wait_until(d.workers, "a worker")[0]
    wait_until(lambda: d.find("starting 1 instance"), "its start")
    os.kill(old, signal.SIGSTOP)
    if stands == "keeper":
        os.kill(d.keeper, signal.SIGSTOP)
        os.kill(old, signal.SIGKILL)
    open(go, "w").close()
    time.sleep(2.5 * SLOW)
    if stands == "keeper":
        os.kill(d.keeper, signal.SIGCONT)
    else:
        os.kill(old, signal.SIGKILL)
    d.wait_log(r"web\[0\].*ready after")
    assert d.workers() == [worker]
    assert not d.find("killing it")
    d.stop()
