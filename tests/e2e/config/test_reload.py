"""HUP: the new configuration and new workers, or nothing at all."""

import os
import pwd
import signal
import socket
import time

import pytest

import words
from harness import (PROBE, Stream, ask, free_port, get, is_alive,
                     is_refused, probe, read_answer, read_proc, stays,
                     wait_until)


def hup(d):
    """Returns where the log was, to look behind."""
    start = d.mark()
    d.send(signal.SIGHUP)
    return start


def notes(d, address, count):
    """The --note of `count` different workers."""
    found = {}

    def look():
        # At a time, so that they come to different ones.
        for s in [ask(address, "/dump") for _ in range(count)]:
            answer = read_answer(s)
            arguments = answer.all("arg")
            found[answer.pid] = arguments[arguments.index("--note") + 1]
        return len(found) >= count
    wait_until(look, lambda: f"{count} workers, only {found} answered")
    return sorted(found.values())


def test_hup_replaces_every_worker_and_raises_the_generation(box):
    box.web(instances=3)
    d = box.start()
    old = d.wait_ready(3)
    hup(d)
    d.wait_log(words.RELOAD_DONE("web", 2))
    new = d.wait_replaced(old, 3)
    d.wait_workers(3)
    assert d.pids_that_answer(d.port(), 3) == set(new)
    assert get(d.port(), "/dump").env["CLUSTERD_GENERATION"] == "2"
    assert [e["generation"] for e in box.events("start")] == list("111222")
    assert sorted(e["instance"] for e in box.events("start")[3:]) == \
        ["0", "1", "2"]
    assert not any(is_alive(pid) for pid in old)
    d.stop()


@pytest.mark.valgrind
def test_no_request_fails_during_reloads(box):
    box.web(instances=3)
    d = box.start()
    pids = d.wait_ready(3)
    with Stream(d.port()) as stream:
        for generation in (2, 3, 4):
            hup(d)
            d.wait_log(words.RELOAD_DONE("web", generation))
            pids = d.wait_replaced(pids, 3)
            before = stream.answered
            wait_until(lambda: stream.answered > before + 30, "answers")
    assert len(stream.pids) >= 6
    d.stop()


def test_open_request_is_finished_by_the_old_worker(box):
    box.web(instances=1)
    d = box.start()
    old = d.wait_ready(1)
    with socket.create_connection(("127.0.0.1", d.port())) as s:
        s.sendall(b"GET /slow/400 HTTP/1.0\r\n\r\n")
        box.wait_events("slow")
        hup(d)
        new = d.wait_replaced(old, 1)
        reply = b""
        while part := s.recv(4096):
            reply += part
    assert f"pid {old[0]}".encode() in reply
    assert get(d.port()).pid == new[0]
    d.stop()


def test_never_more_than_one_extra_worker_during_a_reload(box):
    box.web("--term-delay", 30, instances=3)
    d = box.start()
    old = d.wait_ready(3)
    hup(d)
    most = 0
    while not d.find(words.RELOAD_DONE("web", 2)):
        # Without what the supervisor forks for itself.
        most = max(most, sum(read_proc(pid, "comm") == b"probe\n"
                             for pid in d.workers()))
        assert d.process.poll() is None
    assert most <= 4
    d.wait_replaced(old, 3)
    d.stop()


def test_never_fewer_ready_workers_than_configured_during_a_reload(box):
    box.web("--ready", 60, instances=2, ready="notify")
    d = box.start()
    old = d.wait_ready(2)
    hup(d)
    d.wait_replaced(old, 2)
    # A worker is told to stop only after its successor said READY=1.
    told = [e["at"] for e in box.events("signal 15")]
    ready = [e["at"] for e in box.events("ready")]
    assert len(told) == 2
    assert told[0] >= ready[2] and told[1] >= ready[3]
    d.stop()


def test_new_settings_reach_the_new_workers(box):
    box.web("--note", "old", env="A=1")
    d = box.start()
    old = d.wait_ready(2)
    box.web("--note", "new", env="A=2\n\tB=3")
    hup(d)
    d.wait_replaced(old, 2)
    dump = get(d.port(), "/dump")
    assert dump.all("arg")[-1] == "new"
    assert (dump.env["A"], dump.env["B"]) == ("2", "3")
    d.stop()


def test_listening_socket_stays_the_same_socket(box):
    box.web(listen=f"127.0.0.1:0\n\tunix:{box.path('x.sock')}",
            balance="shared")
    d = box.start()
    old = d.wait_ready(2)
    before = get(d.port(), "/dump").fds
    inode = os.stat(box.path("x.sock")).st_ino
    hup(d)
    d.wait_replaced(old, 2)
    after = get(d.port(), "/dump").fds
    assert (after[3], after[4]) == (before[3], before[4])
    assert os.stat(box.path("x.sock")).st_ino == inode
    get(box.path("x.sock"))
    d.stop()


# --- errors in the file

@pytest.mark.parametrize("text, complaints", [
    ("[web]\ncommand = ./x\nprot = 1\ninstances = lots\n",
     [r"app\.ini:3: prot: ", r"app\.ini:4: instances: "]),
    ("", [r"app\.ini"]),
    (None, [r"app\.ini.*No such file or directory"]),
], ids=["two errors", "empty", "missing"])
@pytest.mark.valgrind
def test_bad_file_changes_nothing_and_is_told(box, text, complaints):
    path = box.web()
    d = box.start()
    old = d.wait_ready(2)
    os.unlink(path)
    if text is not None:
        box.write("app.ini", text)
    start = hup(d)
    for complaint in complaints:
        d.wait_log(complaint, start=start)
    assert d.workers() == sorted(old, key=d.workers().index)
    assert d.pids_that_answer(d.port(), 2) == set(old)
    assert len(box.events("start")) == 2
    # and the next one works again
    box.web()
    hup(d)
    d.wait_replaced(old, 2)
    d.stop()


@pytest.mark.valgrind
def test_new_address_in_use_changes_nothing_and_is_told(box):
    box.web()
    d = box.start()
    old = d.wait_ready(2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        free = free_port()
        box.web(listen=f"127.0.0.1:0, 127.0.0.1:{free}, 127.0.0.1:{port}")
        start = hup(d)
        d.wait_log(words.IN_USE, start=start)
        d.wait_log(rf"127\.0\.0\.1:{port}", start=start)
        get(d.port())
        assert d.pids_that_answer(d.port(), 2) == set(old)
        # what was opened before the failure is closed again
        wait_until(lambda: is_refused(free), "the other port is closed")
    assert len(box.events("start")) == 2
    hup(d)
    d.wait_replaced(old, 2)
    get(port)
    get(free)
    d.stop()


# --- new workers that do not come up

ABORTS = {
    "crash": (["--crash-after", 0], {}),
    "exit": (["--exit-after", 0, "--exit-code", 3], {}),
    "exit well": (["--exit-after", 0], {}),
    "hang": (["--hang"], {}),
    "are never ready": (["--ready", "never"], {}),
    "hang and ignore TERM": (["--ready", "never", "--ignore-term"],
                             {"stop_timeout": "200ms"}),
    "cannot be executed": ([], {"command": "/nowhere/server"}),
}


@pytest.mark.parametrize("how", ABORTS)
def test_reload_is_aborted_when_new_workers(box, how):
    arguments, keys = ABORTS[how]
    good = {"ready": "notify", "ready_timeout": "60s", "instances": 3}
    box.web("--note", "old", **good)
    d = box.start()
    old = d.wait_ready(3)
    box.web("--note", "new", *arguments,
            **{**good, "ready_timeout": "300ms", **keys})
    # A new worker that serves before it is ready takes what it has accepted
    # along when it is killed; the others accept nothing.
    with Stream(d.port(), clients=2,
                lossy="never" in arguments) as stream:
        start = hup(d)
        d.wait_log(words.RELOAD_ABORTED("web"), start=start)
        d.wait_workers(3)
        assert d.ready_pids() == old
        before = stream.answered
        wait_until(lambda: stream.answered > before + 20, "answers")
    assert d.pids_that_answer(d.port(), 3) == set(old)
    assert len(box.events("start")) <= 4
    # the old workers are cared for as before
    os.kill(old[0], signal.SIGKILL)
    d.wait_replaced(old[:1], 3)
    assert notes(d, d.port(), 3) == ["old"] * 3
    # and a file that works is taken
    box.web("--note", "newer", **good)
    pids = d.ready_pids()
    hup(d)
    d.wait_replaced(pids, 3)
    assert notes(d, d.port(), 3) == ["newer"] * 3
    d.stop()


@pytest.mark.valgrind
def test_abort_closes_the_listeners_that_were_new(box):
    free = free_port()
    box.web()
    d = box.start()
    old = d.wait_ready(2)
    box.web("--exit-after", 0, "--exit-code", 3,
            listen=f"127.0.0.1:0, 127.0.0.1:{free}")
    hup(d)
    d.wait_log(words.RELOAD_ABORTED("web"))
    wait_until(lambda: is_refused(free), "the new port is closed")
    assert d.pids_that_answer(d.port(), 2) == set(old)
    d.stop()


@pytest.mark.valgrind
def test_abort_in_the_middle_brings_the_old_configuration_back(box):
    box.web("--note", "old", instances=3)
    d = box.start()
    d.wait_ready(3)
    box.web("--note", "new", "--exit-after", 0, "--exit-code", 3,
            "--only-instance", 2, instances=3)
    with Stream(d.port(), clients=2):
        hup(d)
        d.wait_log(words.RELOAD_ABORTED("web"))
        wait_until(lambda: notes(d, d.port(), 3) == ["old"] * 3,
                   "all workers have the old configuration")
        d.wait_ready(3)
    d.wait_workers(3)
    d.stop()


@pytest.mark.valgrind
def test_abort_goes_on_with_a_seat_that_was_crash_looping(box):
    """The old worker's restart was put off for the new one's sake."""
    box.web("--fail-if-file", box.touch("broken"), "--only-instance", 0,
            restart_delay="50ms", restart_delay_max="100ms")
    d = box.start()
    d.wait_log(words.DEATH("web", 0), count=2)
    box.web("--exit-after", 0, "--exit-code", 3)
    for count in (1, 2):
        hup(d)
        d.wait_log(words.RELOAD_ABORTED("web"), count=count)
    os.unlink(box.path("broken"))
    d.wait_ready(2)
    assert all(e["generation"] == "1" for e in box.events("ready"))
    d.stop()


def test_worker_that_fails_later_is_no_abort(box):
    box.web()
    d = box.start()
    old = d.wait_ready(2)
    box.web(restart_delay="10ms")
    hup(d)
    new = d.wait_replaced(old, 2)
    d.wait_log(words.RELOAD_DONE("web"))
    os.kill(new[0], signal.SIGKILL)
    d.wait_replaced(old + new[:1], 2)
    assert not d.find(words.RELOAD_ABORTED())
    d.stop()


# --- what may change

def test_listener_is_added(box):
    port = free_port()
    box.web()
    d = box.start()
    old = d.wait_ready(2)
    box.web(listen=f"127.0.0.1:0, 127.0.0.1:{port}")
    assert is_refused(port)
    hup(d)
    d.wait_replaced(old, 2)
    get(port)
    get(d.port())
    assert get(port, "/dump").env["CLUSTERD_FD"] == "3,4"
    d.stop()


def test_listener_is_removed(box):
    port, kept = free_port(), free_port()
    path = box.path("x.sock")
    box.web(listen=f"127.0.0.1:{port}, 127.0.0.1:{kept}, unix:{path}")
    d = box.start()
    old = d.wait_ready(2)
    get(port)
    get(path)
    box.web(listen=f"127.0.0.1:{kept}")
    with Stream(kept):
        hup(d)
        d.wait_replaced(old, 2)
        wait_until(lambda: is_refused(port), "the removed port is closed")
        wait_until(lambda: not os.path.exists(path), "the socket file goes")
    assert get(kept, "/dump").env["CLUSTERD_FD"] == "3"
    d.stop()


def test_port_is_moved(box):
    one, other = free_port(), free_port()
    box.web(listen=f"127.0.0.1:{one}")
    d = box.start()
    old = d.wait_ready(2)
    box.web(listen=f"127.0.0.1:{other}")
    hup(d)
    new = d.wait_replaced(old, 2)
    assert d.pids_that_answer(other, 2) == set(new)
    wait_until(lambda: is_refused(one), "the old port is closed")
    d.stop()


@pytest.mark.parametrize("before, after", [(1, 4), (4, 1)])
def test_number_of_instances_changes(box, before, after):
    box.web(instances=before)
    d = box.start()
    old = d.wait_ready(before)
    box.web(instances=after)
    with Stream(d.port(), clients=2):
        hup(d)
        d.wait_log(words.RELOAD_DONE("web"))
        new = d.wait_replaced(old, after)
    d.wait_workers(after)
    assert d.pids_that_answer(d.port(), after) == set(new)
    assert get(d.port(), "/dump").env["CLUSTERD_INSTANCES"] == str(after)
    d.stop()


def app(**keys):
    return {"command": probe(), "listen": "127.0.0.1:0", "instances": 2,
            **keys}


def test_app_is_added(box):
    box.config(first=app())
    d = box.start()
    d.wait_ready(2)
    box.config(first=app(), second=app())
    hup(d)
    second = d.wait_ready(2, app="second")
    d.wait_ready(2, app="first")
    d.wait_workers(4)
    assert d.pids_that_answer(d.port("second"), 2) == set(second)
    get(d.port("first"))
    d.stop()


def test_app_is_removed(box):
    box.config(first=app(), second=app())
    d = box.start()
    d.wait_ready(2, app="first")
    second = d.wait_ready(2, app="second")
    port = d.port("second")
    box.config(first=app())
    hup(d)
    wait_until(lambda: is_refused(port), "the removed app's port is closed")
    d.wait_workers(2)
    assert not any(is_alive(pid) for pid in second)
    get(d.port("first"))
    d.stop()


@pytest.mark.valgrind
def test_user_is_looked_up_again(box, as_root):
    """Names are resolved outside the loop, so this is a path of its own."""
    program = box.copy(PROBE)
    path = box.config(web=app(command=probe(program=program)))
    d = box.start()
    old = d.wait_ready(2)
    box.config(web=app(command=probe(program=program),
                       user="no-such-user-here"))
    start = hup(d)
    d.wait_log("no-such-user-here", start=start)
    assert d.ready_pids() == old
    box.config(web=app(command=probe(program=program), user="nobody"))
    hup(d)
    d.wait_replaced(old, 2)
    uid = pwd.getpwnam("nobody").pw_uid
    assert get(d.port(), "/dump").one("uid") == f"{uid} {uid} {uid}"
    d.wait_workers(2)
    # and many at once, with a stop in the middle
    for _ in range(5):
        hup(d)
    assert os.path.exists(path)
    d.stop()


@pytest.mark.valgrind
def test_app_is_replaced_by_one_of_another_name_on_the_same_port(box):
    port = free_port()
    box.config(first=app(listen=f"127.0.0.1:{port}"))
    d = box.start()
    d.wait_ready(2, app="first")
    box.config(second=app(listen=f"127.0.0.1:{port}"))
    with Stream(port, clients=2):
        hup(d)
        second = d.wait_ready(2, app="second")
        d.wait_workers(2)
    assert d.pids_that_answer(port, 2) == set(second)
    assert get(port, "/dump").env["CLUSTERD_APP"] == "second"
    d.stop()


def test_added_app_that_cannot_start_does_not_hurt_the_others(box):
    box.config(first=app())
    d = box.start()
    old = d.wait_ready(2)
    box.config(first=app(), second=app(command="/nowhere/server"))
    hup(d)
    d.wait_log(words.CANNOT_EXECUTE())
    get(d.port("first"))
    assert d.process.poll() is None
    box.config(first=app())
    hup(d)
    d.wait_replaced(old, 2, app="first")
    d.wait_workers(2)
    d.stop()


def test_reload_brings_a_crash_looping_app_back(box):
    box.web("--fail-if-file", box.touch("broken"), restart_delay="60s",
            restart_delay_max="60s")
    d = box.start()
    d.wait_log(words.DEATH("web", how=words.EXITED(1)), count=2)
    os.unlink(box.path("broken"))
    hup(d)
    d.wait_ready(2)
    get(d.port())
    d.stop()


@pytest.mark.valgrind
def test_reload_brings_a_parked_app_back(box):
    port = free_port()
    bad = app(command=probe("--fail-if-file", box.touch("broken")),
              listen=f"127.0.0.1:{port}", restart_limit="1/60s")
    box.config(first=app(), second=bad)
    d = box.start()
    d.wait_ready(2, app="first")
    wait_until(lambda: is_refused(port), "the parked app refuses")
    os.unlink(box.path("broken"))
    hup(d)
    second = d.wait_ready(2, app="second")
    assert d.pids_that_answer(port, 2) == set(second)
    d.stop()


# --- during a reload

def start_stuck_reload(box, **keys):
    """A reload whose canary waits for the file `go`."""
    keys = {"ready": "notify", "ready_timeout": "60s", **keys}
    box.web("--note", "old", **keys)
    d = box.start()
    old = d.wait_ready(2)
    box.web("--note", "new", "--ready", "file:" + box.path("go"), **keys)
    hup(d)
    box.wait_events("start", 3)
    return d, old


@pytest.mark.valgrind
def test_second_hup_during_a_reload_takes_the_newest_file(box):
    d, old = start_stuck_reload(box)
    box.web("--note", "newest", ready="notify")
    hup(d)
    d.wait_replaced(old, 2)
    d.wait_workers(2)
    assert notes(d, d.port(), 2) == ["newest"] * 2
    d.stop()


def test_bad_file_during_a_reload_does_not_stop_it(box):
    d, old = start_stuck_reload(box)
    box.write("app.ini", "[web]\nprot = 1\n")
    start = hup(d)
    d.wait_log(r"app\.ini:2: prot: ", start=start)
    box.touch("go")
    d.wait_replaced(old, 2)
    assert notes(d, d.port(), 2) == ["new"] * 2
    d.stop()


@pytest.mark.valgrind
def test_many_hups_end_in_one_clean_state(box):
    box.web("--note", "first", instances=2)
    d = box.start()
    old = d.wait_ready(2)
    with Stream(d.port(), clients=2):
        for n in range(20):
            box.web("--note", n, instances=2)
            hup(d)
            time.sleep(0.01)    # not a wait: only to spread the signals
        wait_until(lambda: notes(d, d.port(), 2) == ["19"] * 2,
                   "the newest configuration")
        d.wait_workers(2)
        d.wait_replaced(old, 2)
    assert notes(d, d.port(), 2) == ["19"] * 2
    d.stop()


@pytest.mark.valgrind
def test_term_during_a_reload_stops_everything(box):
    d, _ = start_stuck_reload(box)
    assert len(d.workers()) == 3
    d.stop(limit=5)


def test_scaling_during_a_reload_ends_in_the_sum_of_both(box):
    d, old = start_stuck_reload(box)
    d.send(signal.SIGTTIN)
    box.touch("go")
    d.wait_replaced(old, 3)
    d.wait_workers(3)
    assert notes(d, d.port(), 3) == ["new"] * 3
    d.send(signal.SIGTTOU)
    d.wait_workers(2)
    d.stop()


def test_death_of_an_old_worker_during_a_reload_is_healed(box):
    d, old = start_stuck_reload(box, restart_delay="10ms")
    os.kill(old[1], signal.SIGKILL)
    wait_until(lambda: len(d.workers()) >= 3, "a replacement")
    get(d.port())
    start = d.mark()
    box.touch("go")
    d.wait_log(words.RELOAD_DONE("web", 2), start=start)
    d.wait_workers(2)
    assert notes(d, d.port(), 2) == ["new"] * 2
    d.stop()


def test_death_of_all_old_workers_during_a_reload_is_healed(box):
    d, old = start_stuck_reload(box, restart_delay="10ms")
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    get(d.port())
    box.touch("go")
    d.wait_log(words.RELOAD_DONE("web", 2))
    d.wait_workers(2)
    assert notes(d, d.port(), 2) == ["new"] * 2
    d.stop()


def test_death_of_the_canary_aborts_at_once(box):
    d, old = start_stuck_reload(box)
    canary = box.events("start")[2]["pid"]
    os.kill(canary, signal.SIGKILL)
    d.wait_log(words.RELOAD_ABORTED("web"))
    stays(lambda: d.ready_pids() == old and len(d.workers()) == 2,
          "the old workers stay", 0.2)
    d.stop()


def test_old_worker_that_ignores_term_is_killed_and_the_reload_goes_on(box):
    box.web("--ignore-term", stop_timeout="200ms")
    d = box.start()
    old = d.wait_ready(2)
    box.web()
    hup(d)
    d.wait_replaced(old, 2)
    d.wait_workers(2)
    d.stop()
