"""What stands in the way of a keeper, and of the supervisor that is to take over."""

import contextlib
import os
import signal
import time

import pytest

import harness
import preloads
from binder import BINDER
from harness import (HAS_KEEPER, SLOW, get, is_alive, is_supervisor, kill,
                     process_state, quick_children, read_answer, stays,
                     status_field, wait_until)
from loads import Load

pytestmark = pytest.mark.skipif(not HAS_KEEPER, reason="there is no keeper")

N = 3


def end(d):
    """Of the supervisor, once it has come up; returns when the next one has."""
    d.wait_log("start complete")
    mark, old = d.mark(), d.pid
    kill(old)
    d.wait_log("start complete", start=mark)
    wait_until(lambda: not is_alive(old), "its end")


def alone(d):
    """It is the supervisor itself."""
    d._supervisor = d.keeper


# --- nobody lets us have one

@pytest.mark.parametrize("denied, why", [
    ("eperm=clone", "clone: Operation not permitted"),
    ("enosys=clone", "clone: Function not implemented"),
    ("eperm=eventfd", "Operation not permitted")])
def test_without_what_a_keeper_needs_there_is_none(box, denied, why):
    box.web(instances=N, clusterd={"pidfile": "run.pid"})
    d = box.start(launcher=[BINDER, "--sandbox", denied])
    alone(d)
    workers = d.wait_ready(N)
    assert d.find(f"there is no keeper: {why}")
    assert not d.find_supervisor()
    assert open(box.path("run.pid")).read() == f"{d.keeper}\n"
    get(d.port())
    done = box.ctl("upgrade", env={"RUNTIME_DIRECTORY": box.dir})
    assert done.returncode == 1 and "no keeper" in done.stderr
    d.send(signal.SIGHUP)
    d.wait_replaced(workers, N)
    d.stop()


def test_without_one_workers_die_with_it(box):
    box.web(instances=N)
    d = box.start(launcher=[BINDER, "--sandbox", "eperm=clone"])
    alone(d)
    d.wait_ready(N)
    d.send(signal.SIGKILL)
    assert d.wait() == -signal.SIGKILL
    wait_until(lambda: not box.survivors(), "nobody is left")


def test_without_a_ledger_workers_are_started_anew(box):
    """In those words; and it is done until the supervisor has come up."""
    box.web(instances=N)
    d = box.start(launcher=[BINDER, "--sandbox", "eperm=memfd_create"])
    old = d.wait_ready(N)
    assert d.find("workers and listeners would not outlive a supervisor")
    end(d)
    assert not set(d.wait_ready(N)) & set(old)
    done = box.ctl("upgrade", env={"RUNTIME_DIRECTORY": box.dir})
    assert done.returncode == 1 and "no keeper" in done.stderr
    d.stop()


# --- what has been left

LIMITED = ["bash", "-c", 'ulimit -Sn 64; exec "$@"', "bash"]


def test_more_descriptors_than_the_limit_it_was_started_with(box):
    """The next supervisor, and the keeper, have to open some, too."""
    box.web(instances=40, stdout=box.path("out.log"))
    d = box.start(launcher=LIMITED)
    workers = d.wait_ready(40)
    assert len(harness.kinds(d.pid)) > 64
    for _ in range(2):
        end(d)
        assert d.wait_ready(40) == workers
    env = {"RUNTIME_DIRECTORY": box.dir}
    assert box.ctl("upgrade", env=env, limit=40).returncode == 0
    assert d.wait_ready(40) == workers
    kill(workers[0])
    now = d.wait_replaced(workers[:1], 40)
    for pid in (workers[1], *set(now) - set(workers)):
        limits = harness.read_proc(pid, "limits").decode()
        assert limits.split("Max open files")[1].split()[0] == "64"
    d.stop()


def ledger_of(d):
    for fd in os.listdir(f"/proc/{d.keeper}/fd"):
        path = f"/proc/{d.keeper}/fd/{fd}"
        with contextlib.suppress(FileNotFoundError):
            if "clusterd-ledger" in os.readlink(path):
                return path
    raise AssertionError("no ledger")


@pytest.mark.parametrize("orphans", ["stop", "keep"])
@pytest.mark.parametrize("at, size", [(0, 4096), (12, 4)])
def test_spoilt_ledger(box, at, size, orphans):
    """Nobody knows any more who is whose: all is begun anew, and the port is."""
    port = harness.free_port()
    box.web(instances=N, listen=f"127.0.0.1:{port}", orphans=orphans)
    d = box.start()
    old = d.wait_ready(N)
    end(d)
    with open(ledger_of(d), "r+b", buffering=0) as f:
        f.seek(at)
        f.write(b"\xff" * size)
    end(d)
    assert d.find("the ledger is spoilt: killing what is left")
    now = d.wait_ready(N)
    assert not set(now) & set(old) and not any(map(is_alive, old))
    assert get(port).pid in now
    # From now on it is as good as new.
    end(d)
    assert d.wait_ready(N) == now
    d.stop()


def test_spoilt_records(box):
    """Of the workers that were there nobody stays, and nobody is doubled."""
    port = harness.free_port()
    box.web(instances=N, listen=f"127.0.0.1:{port}")
    d = box.start()
    d.wait_ready(N)
    with open(ledger_of(d), "r+b", buffering=0) as f:
        # From the first record on; holes stay holes.
        size, at = os.fstat(f.fileno()).st_size, 4096
        while at < size:
            try:
                at = os.lseek(f.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            os.pwrite(f.fileno(), b"\xa5" * 4096, at)
            at += 4096
    end(d)
    wait_until(lambda: len(d.wait_workers(N)) == N and
               set(d.workers()) == set(d.ready_pids()), "the new ones")
    assert get(port).pid in d.workers()
    d.stop()


# --- nobody is there for a while

@pytest.fixture(name="slow")
def fixture_slow(box):
    """Supervisors have died too often, and the next one comes only later."""
    box.web(instances=N, stop_timeout="20s")
    d = box.start()
    d.wait_ready(N)
    d.wait_log("start complete")
    mark = d.mark()

    def looks():
        """None of them has got up: that takes them some 10 ms."""
        for pid in quick_children(d.keeper):
            if is_supervisor(pid):
                kill(pid)
        return d.find("trying again every 10 s", mark)
    wait_until(looks, "it gives up for a while", 30, step=0.0005)
    yield d
    if d.process.poll() is None:
        d.stop()


def test_stop_meanwhile_finishes_requests(box, slow):
    s = harness.ask(slow.port(), "/slow/500")
    box.wait_events("slow")
    began = time.monotonic()
    slow.send(signal.SIGTERM)
    assert read_answer(s).pid
    slow.wait_end(0)
    assert time.monotonic() - began < 8 * SLOW
    assert len(box.events("signal 15")) == N


def test_reload_meanwhile(slow):
    workers = slow.ready_pids()
    with Load(("127.0.0.1", slow.port())) as load:
        slow.send(signal.SIGHUP)
        slow.wait_log("SIGHUP: reloading", limit=8)
        slow.wait_replaced(workers, N)
    assert not load.failed, load.failed


@preloads.needed
def test_stop_meanwhile_of_one_that_cannot_begin(box):
    """The last attempt: what is left is killed."""
    library = preloads.exits(box, box.path("exits"))
    os.rename(library + ".new", library)
    box.web(instances=N)
    d = box.start(env={"LD_PRELOAD": library})
    workers = d.wait_ready(N)
    d.wait_log("start complete")
    box.touch("exits")
    kill(d.pid)
    d.wait_log("trying again every 10 s")
    stays(lambda: all(map(is_alive, workers)), "they serve on")
    get(d.port())
    d.send(signal.SIGTERM)
    d.wait_end(1)
    assert d.find("killing what is left")


@preloads.needed
def test_one_that_is_killed_as_it_has_come_up(box):
    """The keeper hears of the death first, and yet it is no start that has failed."""
    library = preloads.exits(box, box.path("exits"))
    os.rename(library + ".new", library)
    box.web("--ready", f"file:{box.path('go')}", ready="notify", instances=1,
            ready_timeout="60s")
    d = box.start(env={"LD_PRELOAD": library})
    worker, = d.wait_workers(1)
    d.send(signal.SIGSTOP)
    wait_until(lambda: process_state(d.keeper) == "T", "it stands still")
    box.touch("go")
    d.wait_log("start complete")
    box.touch("exits")
    supervisor = d.pid
    kill(supervisor)
    wait_until(lambda: not is_alive(supervisor), "its death")
    d.send(signal.SIGCONT)
    d.wait_log("exited with code 78 after .*, starting another")
    os.unlink(box.path("exits"))
    d.wait_log("start complete", count=2, limit=20)
    assert d.wait_ready(1) == [worker]
    d.stop()


def test_no_process_for_the_next_one(box, as_root):
    """As where a limit of a control group is met: the workers serve on."""
    directory = pids_group(box)
    box.web(instances=N)
    d = box.start(launcher=["sh", "-c", f"echo $$ > {directory}/cgroup.procs; "
                            'exec "$@"', "sh"])
    try:
        workers = d.wait_ready(N)
        d.wait_log("start complete")
        limit(directory, 1)
        kill(d.pid)
        d.wait_log("cannot start the supervisor: Resource temporarily", count=2)
        get(d.port())
        limit(directory, "max")
        d.wait_log("start complete", count=2)
        assert d.wait_ready(N) == workers
        limit(directory, 1)
        kill(d.pid)
        d.wait_log("cannot start the supervisor", count=3)
        d.send(signal.SIGTERM)
        d.wait_end(1)
    finally:
        if d.process.poll() is None:
            d.process.kill()
        for pid in box.survivors():
            kill(pid)
        wait_until(lambda: not open(f"{directory}/cgroup.procs").read(),
                   "nobody is in it")
        os.rmdir(directory)


def limit(directory, n):
    with open(f"{directory}/pids.max", "w", encoding="ascii") as f:
        f.write(str(n))


def pids_group(box):
    """A control group of its own with the controller of pids, of either version."""
    for root in ("/sys/fs/cgroup/pids", "/sys/fs/cgroup"):
        directory = f"{root}/clusterd-test-{os.path.basename(box.dir)}"
        try:
            os.mkdir(directory)
        except OSError:
            continue
        if os.path.exists(f"{directory}/pids.max"):
            return directory
        os.rmdir(directory)
    pytest.skip("needs a control group for pids")
