"""The program is replaced by the one that stands at its path by now."""

import os
import re
import shutil
import signal
import subprocess

import pytest

import preloads
from control import ask, client, status
from harness import (CLUSTERCTL, CLUSTERD, HAS_KEEPER, PROBE, SLOW, WRAP, get,
                     marked_processes, read_proc, wait_until)
from loads import Load

pytestmark = pytest.mark.skipif(not HAS_KEEPER or bool(WRAP),
                                reason="needs the keeper")
N = 3


@pytest.fixture(name="binary")
def fixture_binary(box):
    """A copy of clusterd, and how another file takes its place."""
    path = box.path("clusterd")
    shutil.copy(CLUSTERD, path)

    class Binary:
        @staticmethod
        def replace(text=None):
            if text is None:
                shutil.copy(CLUSTERD, path + ".new")
            else:
                with open(path + ".new", "wb") as f:
                    f.write(text)
                os.chmod(path + ".new", 0o755)
            os.rename(path + ".new", path)
    Binary.path = path
    return Binary


def exe(pid):
    return os.readlink(f"/proc/{pid}/exe")


def start(box, binary, **more):
    box.web(instances=N, **more)
    d = box.start(program=binary.path)
    workers = d.wait_ready(N)
    d.wait_log("start complete")
    return d, workers


def upgrade(box):
    return box.ctl("upgrade", env={"RUNTIME_DIRECTORY": box.dir}, limit=40)


@pytest.mark.parametrize("how", ["signal", "clusterctl"])
def test_no_request_fails(box, binary, how):
    d, workers = start(box, binary)
    with Load(("127.0.0.1", d.port())) as load:
        for i in range(5):
            old = os.stat(f"/proc/{d.keeper}/exe").st_ino
            binary.replace()
            if how == "signal":
                d.send(signal.SIGUSR2)
            else:
                done = upgrade(box)
                assert done.returncode == 0, done.stderr
                assert done.stdout.startswith("upgraded to clusterd ")
            d.wait_log("upgraded to clusterd", count=i + 1)
            for pid in (d.keeper, d.pid):
                assert exe(pid) == binary.path
                assert os.stat(f"/proc/{pid}/exe").st_ino != old
            d.wait_log("start complete", count=i + 2)
    assert not load.failed, load.failed
    assert load.served and set(load.served) <= set(workers)
    assert sorted(d.wait_ready(N)) == sorted(workers)
    with open(f"/proc/{d.keeper}/comm", encoding="ascii") as f:
        assert f.read() == "clusterd\n"
    record = status(box).one("clusterd")
    assert record["pid"] == d.keeper and record["supervisor_restarts"] == 0
    d.stop()
    wait_until(lambda: not box.survivors(), "nobody is left")


def test_no_descriptor_is_left(box, binary):
    d, workers = start(box, binary, stdout=box.path("out.log"))

    def what():
        return [re.sub(r"notify\.\w+", "notify", x)
                for x in d.kinds_at_rest()]
    before = None
    for i in range(6):
        assert upgrade(box).returncode == 0
        d.wait_log("start complete", count=i + 2)
        if i == 0:
            before = what()
    wait_until(lambda: what() == before,
               lambda: f"as before: {before}, {what()}")
    assert d.wait_ready(N) == workers
    d.stop()


@pytest.mark.parametrize("text, words", [
    (b"garbage", "cannot be executed: Exec format error"),
    (b"", "cannot be executed: Exec format error"),
    (b"#!/bin/sh\nexit 0\n", "is a script, and no clusterd"),
    ("true", "is no clusterd that could take over"),
    ("echo", "is no clusterd that could take over"),
    (None, "No such file or directory"),
])
def test_file_that_cannot_take_over_harms_nothing(box, binary, text, words):
    d, workers = start(box, binary)
    supervisor = d.pid
    if text is None:
        os.unlink(binary.path)
    elif isinstance(text, str):
        with open(shutil.which(text), "rb") as f:
            binary.replace(f.read())
    else:
        binary.replace(text)
    with Load(("127.0.0.1", d.port())) as load:
        for _ in range(3):
            done = upgrade(box)
            assert done.returncode == 1 and words in done.stderr, done.stderr
        d.send(signal.SIGUSR2)
        d.wait_log(f"upgrade: .*{words}; going on as before", count=4)
    assert not load.failed
    assert d.pid == supervisor and d.wait_ready(N) == workers
    binary.replace()
    assert upgrade(box).returncode == 0
    assert d.pid != supervisor
    assert d.wait_ready(N) == workers
    d.stop()


def test_crash_after_an_upgrade_is_survived(box, binary):
    d, workers = start(box, binary)
    for i in range(2):
        binary.replace()
        assert upgrade(box).returncode == 0
        d.wait_log("start complete", count=2 * i + 2)
        os.kill(d.pid, signal.SIGKILL)
        d.wait_log("start complete", count=2 * i + 3)
    assert d.wait_ready(N) == workers
    assert status(box).one("clusterd")["supervisor_restarts"] == 2
    os.kill(workers[0], signal.SIGKILL)
    d.wait_log(rf"web\[\d\] pid {workers[0]}: killed by signal 9")
    now = d.wait_ready(N)
    assert len(set(now) & set(workers)) == N - 1
    get(d.port())
    d.stop()
    wait_until(lambda: not box.survivors(), "nobody is left")


def check_return(box, d, done, why):
    """It is the program of before again."""
    assert done.returncode == 1 and why in done.stderr, done.stderr
    d.wait_log(f"upgrade: {why}; this is the clusterd of before again")


@preloads.needed
def test_one_that_cannot_begin_makes_place_again(box, binary):
    flag = box.touch("exits")
    library = preloads.exits(box, flag)
    box.web(instances=N)
    d = box.start(program=binary.path, env={"LD_PRELOAD": library})
    workers = d.wait_ready(N)
    inode = os.stat(f"/proc/{d.keeper}/exe").st_ino
    binary.replace()
    with Load(("127.0.0.1", d.port())) as load:
        os.rename(library + ".new", library)
        done = upgrade(box)
        check_return(box, d, done, "its supervisor: exited with code 78")
        os.unlink(flag)
        # That one begins as soon as the file is gone, or 10 s later.
        d.wait_log("start complete", count=2, limit=20)
    assert not load.failed
    assert os.stat(f"/proc/{d.keeper}/exe").st_ino == inode
    assert d.wait_ready(N) == workers
    assert upgrade(box).returncode == 0
    assert os.stat(f"/proc/{d.keeper}/exe").st_ino != inode
    d.stop()


@pytest.mark.heavy
@preloads.needed
def test_one_that_does_not_begin_in_time_makes_place_again(box, binary):
    library = preloads.hangs(box)
    box.web(instances=N)
    d = box.start(program=binary.path, env={"LD_PRELOAD": library})
    workers = d.wait_ready(N)
    inode = os.stat(f"/proc/{d.keeper}/exe").st_ino
    binary.replace()
    with Load(("127.0.0.1", d.port())) as load:
        os.rename(library + ".new", library)
        d.send(signal.SIGUSR2)
        wait_until(lambda: b"preload.so" in read_proc(d.keeper, "maps"),
                   "the new one")
        os.unlink(library)
        d.wait_log("upgrade: its supervisor has not begun within 10 s; this "
                   "is the clusterd of before again", limit=20)
        d.wait_log("start complete", count=2)
    assert not load.failed
    assert os.stat(f"/proc/{d.keeper}/exe").st_ino == inode
    assert d.wait_ready(N) == workers
    d.stop()


@pytest.mark.parametrize("word, words", [
    (b"9.%d.%zu\0", r"understands state 9\.\d+\.\d+,"),
    (b"%d.%d.9\0", r"understands state \d+\.\d+\.9,"),
], ids=["version", "size"])
def test_states_that_differ(box, binary, word, words):
    d, workers = start(box, binary)
    with open(CLUSTERD, "rb") as f:
        data = f.read()
    # Of both versions, and how large it is.
    old = b"%d.%d.%zu\0"
    assert data.count(old) == 1
    binary.replace(data.replace(old, word.ljust(len(old), b"\0")))
    done = upgrade(box)
    assert done.returncode == 1 and re.search(words, done.stderr), done.stderr
    assert d.wait_ready(N) == workers
    d.stop()


def test_what_it_understands(binary):
    done = subprocess.run([binary.path, "--check-state", "0.0"],
                          stdout=subprocess.PIPE, check=False, text=True,
                          timeout=20 * SLOW)
    assert done.returncode == 1
    assert re.fullmatch(r"clusterd \S+ understands state \d+\.\d+\.\d+, not "
                        r"that of the one that runs\n", done.stdout)


@pytest.mark.parametrize("how", ["file", "command", "absolute"])
def test_working_directory_that_is_gone(box, binary, how):
    box.web(instances=N)
    here = box.path("here")
    os.mkdir(here)
    words = ["-n", N, "-p", 0, "--", PROBE]
    if how == "file":
        shutil.copy(box.path("app.ini"), here)
        words = ["-c", "app.ini"]
    elif how == "absolute":
        words = ["-c", box.path("app.ini")]
    d = box.start(*words, program=binary.path, cwd=here)
    workers, supervisor = d.wait_ready(N), d.pid
    shutil.rmtree(here)
    binary.replace()
    done = upgrade(box)
    if how == "absolute":
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 1
        assert "working directory: No such file or directory" in done.stderr
        assert d.pid == supervisor
    assert d.wait_ready(N) == workers
    get(d.port("probe" if how == "command" else "web"))
    d.stop()


# Once: the program of before, which has it too, can read it again.
NO_LEDGER = r"""
#define _GNU_SOURCE
#include <sys/mman.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
	void *(*next)(void *, size_t, int, int, int, off_t) =
	    dlsym(RTLD_NEXT, "mmap");

	if ((flags & MAP_SHARED) != 0 && fd >= 0 &&
	    unlink(getenv("TEST_ONCE")) == 0) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return next(at, n, prot, flags, fd, offset);
}
void *mmap64(void *, size_t, int, int, int, off_t)
    __attribute__((alias("mmap")));
"""


@preloads.needed
def test_ledger_that_it_cannot_read_stays_with_the_one_before(box, binary):
    library, once = box.path("ledger.so"), box.path("once")
    box.web(instances=N)
    d = box.start(program=binary.path,
                  env={"LD_PRELOAD": library, "TEST_ONCE": once})
    workers = d.wait_ready(N)
    inode = os.stat(f"/proc/{d.keeper}/exe").st_ino
    preloads.of_source(box, library, NO_LEDGER)
    binary.replace()
    box.touch("once")
    with Load(("127.0.0.1", d.port())) as load:
        check_return(box, d, upgrade(box), "its ledger cannot be read")
        d.wait_log("start complete", count=2)
    assert not os.path.exists(once)
    assert not load.failed, load.failed
    assert os.stat(f"/proc/{d.keeper}/exe").st_ino == inode
    assert d.wait_ready(N) == workers
    os.kill(workers[0], signal.SIGKILL)
    d.wait_log(rf"web\[\d\] pid {workers[0]}: killed by signal 9")
    assert len(set(d.wait_ready(N)) & set(workers)) == N - 1
    d.stop()


def test_client_that_does_not_wait(box, binary):
    d, workers = start(box, binary)
    with client(box) as c:
        c.greet()
        c.send("upgrade")
    d.wait_log("upgraded to clusterd")
    # What is said in the log comes before the next one may ask.
    wait_until(lambda: ask(box, "upgrade").ok, "another one")
    assert d.wait_ready(N) == workers
    d.stop()


def test_stop_comes_first_or_afterwards(box, binary):
    """Right behind one another: the stop drains, and ends with 0."""
    for _ in range(8):
        d, _workers = start(box, binary)
        d.send(signal.SIGUSR2)
        d.send(signal.SIGTERM)
        d.wait_end(0)
        wait_until(lambda: not box.survivors(), "nobody is left")


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a compiler")
def test_stop_ends_a_file_that_is_still_being_asked(box, binary):
    source = box.write("hangs.c", "#include <unistd.h>\n"
                       "int main(void) { return pause(); }\n")
    subprocess.run(["cc", "-o", box.path("hangs"), source], check=True,
                   timeout=60 * SLOW)
    d, _workers = start(box, binary)
    with open(box.path("hangs"), "rb") as f:
        binary.replace(f.read())
    d.send(signal.SIGUSR2)
    wait_until(lambda: any(b"--check-state" in read_proc(pid, "cmdline")
                           for pid in marked_processes(box.mark)),
               "it is asked")
    d.send(signal.SIGTERM)
    d.wait_end(0)
    d.wait_log("upgrade: clusterd is stopping")


def test_reload_under_way_is_rolled_back(box, binary):
    gate = box.touch("gate")
    d, workers = start(
        box, binary, ready_timeout="60s",
        command=f"sh -c 'while ! test -e {gate}; do sleep 0.05; done; "
                f"exec {PROBE}'")
    os.unlink(gate)
    with subprocess.Popen([CLUSTERCTL, "reload"], cwd=box.dir, text=True,
                          env=box.ctl_environment(
                              {"RUNTIME_DIRECTORY": box.dir}),
                          stderr=subprocess.PIPE) as reload:
        d.wait_workers(N + 1)
        assert upgrade(box).returncode == 0
        said = reload.communicate(timeout=60)[1]
    assert reload.returncode == 1
    assert "another supervisor has taken over" in said
    assert "as clusterd was upgraded or" in said
    d.wait_workers(N)
    assert d.wait_ready(N) == workers
    box.touch("gate")
    d.send(signal.SIGHUP)
    d.wait_replaced(workers, N)
    d.stop()
