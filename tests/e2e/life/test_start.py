"""Starting: who runs, how many, with which arguments, and what if not."""

import os
import resource

import pytest

import words
from harness import (CLUSTERD, IS_ROOT, PROBE, WRAP, children_of, cpus_allowed,
                     free_port, get, is_alive, is_looker, is_refused,
                     is_supervisor, kill, probe, split_address, wait_until)


def test_starts_as_many_workers_as_told_and_all_of_them_answer(box):
    box.web(instances=4)
    d = box.start()
    pids = d.wait_ready(4)
    assert d.pids_that_answer(d.port(), 4) == set(pids) == set(d.children())
    assert sorted(e["instance"] for e in box.events("start")) == list("0123")
    d.stop()


def test_instances_auto_is_one_on_one_cpu(box):
    cpu = {min(os.sched_getaffinity(0))}
    box.web(instances="auto")
    d = box.start(preexec_fn=lambda: os.sched_setaffinity(0, cpu))
    d.wait_ready(1)
    assert get(d.port(), "/dump").env["CLUSTERD_INSTANCES"] == "1"
    d.stop()
    assert len(box.events("start")) == 1


def test_instances_auto_is_the_default_and_means_the_cpus_it_may_use(box):
    box.web(instances=None)
    d = box.start()
    d.wait_ready(cpus_allowed())
    d.stop()
    assert len(box.events("start")) == cpus_allowed()


def test_instances_as_a_percentage_of_auto(box):
    cpu = {min(os.sched_getaffinity(0))}
    box.web(instances="300%")
    d = box.start(preexec_fn=lambda: os.sched_setaffinity(0, cpu))
    d.wait_ready(3)
    d.stop()


def test_a_small_percentage_is_at_least_one(box):
    box.web(instances="1%")
    d = box.start()
    d.wait_ready(1)
    d.stop()
    assert len(box.events("start")) == 1


def test_braces_in_the_command_are_replaced_and_others_left_alone(box):
    box.web(command=probe("--note") +
            " '{fd}/{port}/{instance}/{app}/{other}/{/{}'", instances=1)
    d = box.start()
    d.wait_ready(1)
    port = d.port()
    assert get(port, "/dump").all("arg")[-1] == \
        f"3/{port}/0/web/{{other}}/{{/{{}}"
    d.stop()


def test_command_is_split_like_a_shell_does_and_no_shell_runs_it(box):
    box.web(command=f"{PROBE} --note \"a ; b\" --note 'it''s \"x\"' "
            r"--note a\ b\;c --note $HOME --note # --note *", instances=1)
    d = box.start()
    d.wait_ready(1)
    assert get(d.port(), "/dump").all("arg")[2::2] == [
        "a ; b", 'its "x"', "a b;c", "$HOME", "#", "*"]
    d.stop()


def test_indented_lines_go_on_with_the_command_one_word_each(box):
    box.web(command=[PROBE, "--note", "two words ; and more",
                     "--note", "a\\b 'c' #"], instances=1)
    d = box.start()
    d.wait_ready(1)
    assert get(d.port(), "/dump").all("arg")[1:] == [
        "--note", "two words ; and more", "--note", "a\\b 'c' #"]
    d.stop()


def test_a_very_long_value_reaches_the_worker_whole(box):
    value = ("x" * 199 + ";" + "port = 80 # ") * 200
    box.web(env=f"LONG={value.strip()}", instances=1)
    d = box.start()
    d.wait_ready(1)
    assert get(d.port(), "/dump").env["LONG"] == value.strip()
    d.stop()


def test_several_apps_in_one_file(box):
    box.config(
        first={"command": probe(), "listen": "127.0.0.1:0", "instances": 2},
        second={"command": probe(), "listen": "127.0.0.1:0", "instances": 1})
    d = box.start()
    first = d.wait_ready(2, app="first")
    second = d.wait_ready(1, app="second")
    assert d.pids_that_answer(d.port("first"), 2) == set(first)
    assert d.pids_that_answer(d.port("second"), 1) == set(second)
    d.stop()


def test_app_without_listeners_is_supervised(box):
    box.web(listen=None, instances=1)
    d = box.start()
    pid, = d.wait_ready(1)
    os.kill(pid, 9)
    d.wait_replaced([pid], 1)
    d.stop()


def test_program_is_found_in_path(box):
    box.copy(PROBE, "my-probe")
    box.web(command="my-probe", instances=1)
    d = box.start(env={"PATH": box.dir + ":/usr/bin:/bin"})
    d.wait_ready(1)
    d.stop()


def test_relative_program_is_relative_to_the_files_directory(box):
    box.copy(PROBE, "my-probe")
    box.web(command="./my-probe", instances=1)
    d = box.start("-c", box.path("app.ini"), cwd="/")
    d.wait_ready(1)
    d.stop()


def test_alive_makes_a_worker_ready_that_says_nothing(box):
    box.web("--ready", "never", ready="alive:300ms", instances=1)
    d = box.start()
    d.wait_ready(1)
    box.wait_events("start")    # it may not have come to it in this time
    m = d.wait_log(r"ready after (?P<age>\d+(?:\.\d+)?m?s)")
    assert 0.25 <= words.seconds(m["age"]) < 5
    d.stop()


def test_without_listeners_a_silent_worker_is_ready_after_a_second(box):
    box.web("--ready", "never", instances=1, listen=None)
    d = box.start()
    d.wait_ready(1)
    m = d.wait_log(r"ready after (?P<age>\d+(?:\.\d+)?m?s)")
    assert 0.9 <= words.seconds(m["age"]) < 5
    d.stop()


def test_with_ready_notify_a_silent_worker_is_not_ready(box):
    box.web("--ready", "file:" + box.path("go"), ready="notify", instances=1)
    d = box.start()
    box.wait_events("start")
    get(d.port())
    assert d.ready_pids() == []
    box.touch("go")
    d.wait_ready(1)
    d.stop()


# --- programs that cannot be executed

def check_one_line_in_words(done, why):
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stderr.splitlines()
             if words.CANNOT_EXECUTE(why).search(line)]
    assert len(lines) == 1, done.stderr
    # The end of it all is no end of an app.
    assert "every instance" not in done.stderr, done.stderr


@pytest.mark.valgrind
def test_missing_program_at_the_first_start_ends_with_1_and_one_line(box):
    box.web(command="/nowhere/server --flag", instances=3)
    done = box.run("-c", "app.ini")
    check_one_line_in_words(done, "No such file or directory")
    assert "/nowhere/server" in done.stderr


def test_missing_program_in_path_is_told_in_words(box):
    box.web(command="no-such-program-here", instances=1)
    done = box.run("-c", "app.ini", env={"PATH": "/usr/bin:/bin"})
    check_one_line_in_words(done, "No such file or directory")


def test_program_without_the_right_to_execute_is_told_in_words(box):
    box.write("server", "#!/bin/sh\n", mode=0o644)
    box.web(command=box.path("server"), instances=2)
    check_one_line_in_words(box.run("-c", "app.ini"), "Permission denied")


def test_file_that_is_no_program_is_told_in_words(box):
    box.write("server", "\x01\x02 no program\n", mode=0o755)
    box.web(command=box.path("server"), instances=1)
    check_one_line_in_words(box.run("-c", "app.ini"), "Exec format error")


@pytest.mark.skipif(bool(WRAP), reason="valgrind ends the child by itself")
def test_missing_interpreter_is_told_in_words(box):
    box.write("server", "#!/nowhere/interpreter\n", mode=0o755)
    box.web(command=box.path("server"), instances=1)
    check_one_line_in_words(box.run("-c", "app.ini"),
                            "No such file or directory")


def test_missing_directory_is_told_in_words(box):
    box.web(directory="/nowhere/at/all")
    done = box.run("-c", "app.ini")
    assert done.returncode in (1, 78)
    assert "/nowhere/at/all" in done.stderr
    assert "No such file or directory" in done.stderr


def test_limit_that_may_not_be_set_is_told_in_words(box):
    box.web(limit_nofile=1 << 30)
    done = box.run("-c", "app.ini")
    assert done.returncode == 1
    assert "limit_nofile: Operation not permitted" in done.stderr


def test_user_that_one_may_not_become_is_told_in_words(box):
    box.copy(PROBE)
    box.web(command=box.path("probe"), user="daemon")
    become = ()
    if IS_ROOT:
        become = ("setpriv", "--reuid=65534", "--regid=65534",
                  "--clear-groups")
    d = box.start(launcher=become, program=box.copy(CLUSTERD))
    d.wait_end(78)
    assert ":5: user: " in d.log()


def test_missing_program_of_one_app_ends_the_others_too(box):
    box.config(
        good={"command": probe("--events", box.events_path),
              "listen": "127.0.0.1:0", "instances": 2},
        bad={"command": "/nowhere/server", "instances": 1})
    d = box.start()
    d.wait_end(1)
    assert len(d.find(words.CANNOT_EXECUTE())) == 1


def test_program_that_is_being_written_is_tried_again(box):
    """What passes ends nobody, at the first start either."""
    late = box.copy(PROBE, "late")
    keys = {"listen": "127.0.0.1:0", "instances": 1, "restart_delay": "20ms",
            "restart_delay_max": "20ms"}
    with open(late, "r+b"):
        box.config(web={"command": probe(), **keys},
                   late={"command": probe(program=late), **keys})
        d = box.start()
        d.wait_log(r"late\[0\] pid \d+: cannot execute .*: Text file busy")
        d.wait_log(words.READY("web"))
    d.wait_log(words.READY("late"))
    d.stop()


def test_program_that_daemonizes_gets_a_hint(box):
    box.web("--daemonize", instances=1, restart_delay="60s",
            restart_delay_max="60s")
    d = box.start()
    d.wait_log(words.FOREGROUND_HINT)
    d.stop()


# --- under another clusterd

def test_clusterd_under_clusterd(box):
    """The inner one takes its socket from the outer, and reports to it."""
    port = free_port()
    inner = box.web(name="inner.ini", listen=f"127.0.0.1:{port}")
    box.config(outer={"command": f"{CLUSTERD} -c {inner}", "instances": 1,
                      "listen": f"127.0.0.1:{port}", "ready": "notify",
                      "handoff": "env", "restart_delay": "10ms"})
    d = box.start()
    inner_pid, = d.wait_ready(1, app="outer")
    workers = [e["pid"] for e in box.wait_events("ready", 2)]
    supervisor, = filter(is_supervisor, children_of(inner_pid))
    assert sorted(pid for pid in children_of(supervisor)
                  if not is_looker(pid)) == sorted(workers)
    assert get(port).pid in workers
    # its death takes its workers along, and the next one serves again
    os.kill(inner_pid, 9)
    d.wait_replaced([inner_pid], 1)
    wait_until(lambda: not any(is_alive(pid) for pid in workers),
               "the end of the workers")
    get(port)
    d.stop()


def test_children_that_were_there_before_are_left_alone(box):
    """A shell that starts jobs and then executes clusterd."""
    note = box.path("stranger")
    box.web()
    d = box.start(launcher=[
        "/bin/sh", "-c", f"sleep 600 & echo $! > {note}; exec \"$@\"", "sh"])
    pids = d.wait_ready(2)
    stranger = int(open(note).read())
    try:
        assert stranger in children_of(d.keeper)
        os.kill(pids[0], 9)
        wait_until(lambda: pids[0] not in d.workers(), "its death")
        d.wait_replaced(pids[:1], 2)
        d.send(15)
        assert d.wait() == 0
        assert is_alive(stranger)
        assert [pid for pid in box.survivors() if pid != stranger] == []
    finally:
        kill(stranger)
        wait_until(lambda: not is_alive(stranger), "its end")


# --- many

@pytest.mark.heavy
def test_two_hundred_workers_start_and_stop_without_a_zombie(box):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip("needs RLIMIT_NOFILE of 2000")
    box.web(instances=200, stop_timeout="60s")
    d = box.start(preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_NOFILE, (2000, hard)))
    pids = d.wait_ready(200, limit=30)
    assert sorted(d.children()) == sorted(pids)
    d.stop(limit=30)
    assert not any(is_alive(pid) for pid in pids)
    assert is_refused(split_address(
        d.find(words.LISTENING("web"))[0]["address"]))


@pytest.mark.skipif(bool(WRAP), reason="valgrind changes the limit")
def test_clusterd_raises_its_own_limit_and_not_that_of_the_workers(box):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip("needs a hard RLIMIT_NOFILE of 4096")
    box.web(instances=20)
    d = box.start(preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_NOFILE, (32, hard)))
    d.wait_ready(20)
    assert get(d.port(), "/dump").one("nofile").split()[0] == "32"
    d.stop()


def test_children_are_reaped_whenever_they_die(box):
    box.web(instances=8, restart_delay="10ms", restart_delay_max="20ms")
    d = box.start()
    for _ in range(5):
        pids = d.wait_ready(8)
        for pid in pids[:4]:
            os.kill(pid, 9)
        wait_until(lambda: not set(pids[:4]) & set(d.children()),
                   "the dead are reaped")
    d.wait_ready(8)
    d.stop()
