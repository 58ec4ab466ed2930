"""A supervisor that dies by a signal is started again."""

import json
import os
import re
import signal
import socket
import time

import pytest

import harness
from control import status
from harness import (HAS_KEEPER, PLAIN, children_of, free_port, get, is_alive,
                     kinds, kill, process_state, read_proc, stays,
                     status_field, wait_until)
from lanes import needs

pytestmark = pytest.mark.skipif(not HAS_KEEPER, reason="there is no keeper")


def died(how, what="starting another"):
    return rf"supervisor pid \d+: killed by signal {how}.* after .*, {what}"


def end(d, number):
    """Of the supervisor, once it has come up; returns when the next one has."""
    d.wait_log("start complete")
    old, mark = d.pid, d.mark()
    kill(old, number)
    d.wait_log("start complete", start=mark)
    wait_until(lambda: not is_alive(old), "its end")
    return old


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV,
                                    signal.SIGABRT, signal.SIGILL])
def test_next_one_serves(box, number):
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}", clusterd={"pidfile": "run.pid"})
    d = box.start(env=PLAIN)
    old = d.wait_ready(2)
    end(d, number)
    d.wait_log(died(rf"{int(number)} \({number.name}\)"))
    new = d.wait_ready(2)
    assert old == new
    assert get(port).pid in new
    assert open(box.path("run.pid")).read() == f"{d.keeper}\n"
    record = status(box).one("clusterd")
    assert record["pid"] == d.keeper
    assert record["supervisor_restarts"] == 1
    assert record["supervisor_death"].startswith(
        f"killed by signal {int(number)} ({number.name})")
    d.stop()
    assert not os.path.exists(box.path("run.pid"))


def test_stopped_one_that_is_killed(box):
    box.web()
    d = box.start()
    d.wait_ready(2)
    os.kill(d.pid, signal.SIGSTOP)
    wait_until(lambda: process_state(d.pid) == "T", "it stands still")
    end(d, signal.SIGKILL)
    d.wait_ready(2)
    d.stop()


def open_things(d):
    """But for the names that each one makes up."""
    return [re.sub(r"notify\.\w+", "notify", x) for x in d.kinds_at_rest()]


@pytest.mark.parametrize("balance", ["auto", "shared"])
def test_many_deaths_leave_no_descriptor(box, balance):
    port = free_port()
    box.web(listen=[f"127.0.0.1:{port}", f"unix:{box.path('x')}"],
            balance=balance, stdout="out.log",
            clusterd={"log": "log", "pidfile": "run.pid"})
    d = box.start()
    wait_until(lambda: os.path.exists(box.path("log")), "the log")
    d.log_path = box.path("log")
    d.wait_log("start complete")
    end(d, signal.SIGKILL)
    before = open_things(d)
    for _ in range(15):
        end(d, signal.SIGKILL)
    wait_until(lambda: open_things(d) == before,
               lambda: f"as before: {before}, {open_things(d)}")
    wait_until(lambda: len(kinds(d.keeper)) == len(before), "they share them")
    get(port)
    assert status(box).one("clusterd")["supervisor_restarts"] == 16
    wait_until(lambda: set(children_of(d.keeper)) ==
               {d.pid, *d.wait_ready(2)}, "nobody else is left")
    d.stop()


def test_clusterctl_tells(box):
    box.web()
    d = box.start()
    d.wait_ready(2)
    assert "restarted" not in box.ctl("status", env={
        "RUNTIME_DIRECTORY": box.dir}).stdout
    end(d, signal.SIGKILL)
    end(d, signal.SIGTRAP)
    env = {"RUNTIME_DIRECTORY": box.dir}
    assert re.search(r"^  supervisor restarted 2 times, last: killed by "
                     r"signal 5 \(SIGTRAP\)", box.ctl("status", env=env).stdout,
                     re.M)
    record = json.loads(box.ctl("status", "--json", env=env).stdout)
    assert record["clusterd"]["supervisor_restarts"] == 2
    assert "clusterd_supervisor_restarts_total 2\n" in \
        box.ctl("metrics", env=env).stdout
    d.stop()


@pytest.mark.parametrize("log", [None, "log"])
def test_death_in_json(box, log):
    box.web(clusterd={"log_format": "json", **({"log": log} if log else {})})
    d = box.start()
    if log:
        wait_until(lambda: os.path.exists(box.path(log)), "the log")
        d.log_path = box.path(log)
    d.wait_log("start complete")
    end(d, signal.SIGKILL)
    lines = [json.loads(line) for line in d.log().splitlines()]
    death, = [x for x in lines if x["message"].startswith("supervisor pid")]
    assert death["level"] == "error" and set(death) == {
        "time", "level", "message"}
    d.stop()


def burn(box):
    """A worker's CPU time that it leaves behind."""
    box.config(burner={"command": "sh -c 'i=0; while [ $i -lt 300000 ]; do "
                       "i=$((i+1)); done'", "restart": "never"},
               web={"command": harness.probe("--events", box.events_path),
                    "listen": "127.0.0.1:0"})


def test_cpu_time_is_clusterds_own(box):
    """Not that of workers that it has reaped; and it goes on under the next one, as the
    time since the start does."""
    burn(box)
    d = box.start()
    d.wait_ready(2, app="web")
    d.wait_log("burner.*exited with code 0", limit=30)
    before = status(box).one("clusterd")
    assert int(before["cpu_ns"]) < 200e6 * harness.SLOW
    took = sum(own_cpu(pid) for pid in (d.keeper, d.pid))
    assert int(before["cpu_ns"]) <= took + 20e6
    end(d, signal.SIGKILL)
    after = status(box).one("clusterd")
    assert int(after["cpu_ns"]) >= int(before["cpu_ns"])
    assert int(after["uptime_ms"]) >= int(before["uptime_ms"])
    d.stop()


def own_cpu(pid):
    """CPU time of a process, without its children."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as f:
        return int(f.read().split()[0])


def programs(pid):
    """The kernel's numbers of the eBPF programs that it has open."""
    return sorted(int(line.split()[1])
                  for fd in os.listdir(f"/proc/{pid}/fdinfo")
                  for line in read_proc(pid, f"fdinfo/{fd}").decode()
                  .splitlines() if line.startswith("prog_id:"))


def faults_of_children(pid):
    """Minor faults of those it has waited for: none, if there was no child."""
    return int(read_proc(pid, "stat").decode().rsplit(")", 1)[1].split()[8])


@pytest.mark.parametrize("balance", ["least-connections", "round-robin"])
def test_what_has_worked_is_not_tried_out_again(box, balance):
    needs(balance)
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}", balance=balance, handoff="auto")
    d = box.start()
    workers = d.wait_ready(2)
    assert faults_of_children(d.pid) > 0
    before = programs(d.keeper)
    assert before
    # Before Linux 6.16 a child closes the socket by which one that looks was asked.
    wait_until(lambda: not d.lookers(), "nobody who looks at workers")
    for _ in range(3):
        end(d, signal.SIGKILL)
        assert programs(d.keeper) == before
        assert faults_of_children(d.pid) == 0
    assert {get(port).pid for _ in range(4)} == set(workers)
    assert status(box).one("listener")["balance"] == balance
    d.stop()


# --- those that do not come up

def test_deaths_before_it_has_come_up_are_a_failed_start(box):
    box.web("--ready", "never", ready="notify", ready_timeout="60s")
    d = box.start()
    for n in range(1, 6):
        wait_until(d.find_supervisor, "a supervisor")
        kill(d.find_supervisor())
        d.wait_log(r"supervisor pid \d+: killed", count=n)
    assert d.wait() == 1
    assert len(d.find(r"starting another\n")) == 1
    assert d.find(r"starting another in 0\.1s") and \
        d.find(r"starting another in 0\.4s")
    assert d.find("giving up: none has come up")
    wait_until(lambda: not box.survivors(), "nobody is left")


def test_deaths_of_those_that_do_not_come_up_again_are_survived(box):
    gate = box.touch("gate")
    box.web(command=f"sh -c 'until test -e {gate}; do sleep 0.1; done; "
            f"exec {harness.PROBE}'", ready_timeout="60s")
    d = box.start()
    d.wait_log("start complete")
    os.unlink(gate)
    # Whoever is ready would be taken over as such, which is to have come up.
    old = d.wait_ready(2)
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not set(old) & set(d.wait_workers(2)),
               "others, which are not ready")
    for n in range(1, 7):
        wait_until(d.find_supervisor, "a supervisor")
        if n == 6:
            # Killed in quick succession, it is tried on, slowly.
            break
        kill(d.find_supervisor())
        d.wait_log(r"supervisor pid \d+: killed", count=n)
        if n == 1:
            mark = d.mark()
    kill(d.find_supervisor())
    d.wait_log("5 supervisors have died in 10 s without coming up: trying "
               "again every 10 s", start=mark)
    d.wait_log(r"starting another in 10\.0s")
    stays(lambda: d.find_supervisor() is None, "nobody yet", 1)
    open(gate, "w").close()
    d.wait_log("start complete", start=mark, limit=15)
    # From now on, at once again.
    end(d, signal.SIGKILL)
    d.stop()


def test_stop_while_there_is_none(box):
    box.web("--ready", "never", ready="notify", ready_timeout="60s")
    d = box.start()
    for n in range(1, 5):
        wait_until(d.find_supervisor, "a supervisor")
        kill(d.find_supervisor())
        d.wait_log(r"supervisor pid \d+: killed", count=n)
    d.send(signal.SIGTERM)
    code = d.wait()
    # Unless its pause was over: the next one stops all as usual.
    assert code == (0 if d.find(r"info +stopped\n") else 1), d.log()
    wait_until(lambda: not box.survivors(), "nobody is left")


@pytest.mark.parametrize("text", ["[web]\nno = thing\n",
                                  "[other]\ncommand = false\n"])
def test_what_the_file_says_meanwhile_is_for_a_reload(box, text):
    box.web()
    d = box.start()
    workers = d.wait_ready(2)
    box.write("app.ini", text)
    for _ in range(2):
        end(d, signal.SIGKILL)
    assert d.wait_ready(2) == workers
    d.stop()


class Talker:
    """An app that writes to its standard output what it is told to."""

    def __init__(self, box, out, **clusterd):
        self.fifo, self.out = box.path("fifo"), out
        os.mkfifo(self.fifo)
        box.write("talk.sh", "exec 3<>" + self.fifo + "\n"
                  "while IFS= read -r line <&3; do printf %b \"$line\"; done\n")
        box.config(clusterd=clusterd, web={
            "command": f"sh {box.path('talk.sh')}", "stdout": out,
            "instances": 1})

    def say(self, text):
        with open(self.fifo, "w") as f:
            f.write(text.replace("\n", "\\n") + "\n")

    def said(self):
        with open(self.out) as f:
            return f.read()

    def wait_said(self, text):
        wait_until(lambda: self.said() == text, lambda: f"{text!r}: "
                   f"{self.said()!r}")


def test_half_a_line_is_not_lost(box):
    t = Talker(box, box.path("out"))
    d = box.start()
    worker, = d.wait_ready(1)
    t.say("one\nhalf of ")
    t.wait_said("one\n")
    wait_until(lambda: "half of" in held(d), "it is held")
    end(d, signal.SIGKILL)
    t.say("two ")
    wait_until(lambda: "two" in held(d), "it is held")
    end(d, signal.SIGKILL)
    end(d, signal.SIGKILL)
    t.say("lines\n")
    t.wait_said("one\nhalf of two lines\n")
    end(d, signal.SIGKILL)
    t.say("three\nat the end")
    t.wait_said("one\nhalf of two lines\nthree\n")
    wait_until(lambda: "at the end" in held(d), "it is held")
    end(d, signal.SIGKILL)
    assert d.ready_pids() == [worker]
    d.stop()
    assert t.said() == "one\nhalf of two lines\nthree\nat the end\n"


def held(d):
    """What there is in the memory of beginnings of lines."""
    for fd in os.listdir(f"/proc/{d.keeper}/fd"):
        path = f"/proc/{d.keeper}/fd/{fd}"
        try:
            if "clusterd-lines" in os.readlink(path):
                with open(path, "rb") as f:
                    return f.read(1 << 16).decode(errors="replace")
        except OSError:
            pass
    return ""


def test_files_that_cannot_be_opened_again(box):
    """It goes on with those that are open, and says so; also where they lie in a
    directory that was moved."""
    os.mkdir(box.path("logs"))
    t = Talker(box, box.path("logs/out"), log=box.path("logs/log"),
               pidfile=box.path("logs/pid"))
    d = box.start()
    wait_until(lambda: os.path.exists(box.path("logs/log")), "the log")
    d.log_path = box.path("logs/log")
    workers = d.wait_ready(1)
    os.rename(box.path("logs"), box.path("moved"))
    d.log_path = box.path("moved/log")
    for _ in range(3):
        mark = d.mark()
        end(d, signal.SIGKILL)
        text = d.log()[mark:]
        for name in ("log", "pid", "out"):
            assert re.search(rf"cannot \w+ (\w+ )?(file )?.*/logs/{name}: .*; "
                             "going on with the old one", text), (name, text)
        assert d.wait_ready(1) == workers
        assert status(box).one("clusterd")["pid"] == d.keeper
    t.out = box.path("moved/out")
    t.say("hello\n")
    t.wait_said("hello\n")
    os.rename(box.path("moved"), box.path("logs"))
    d.log_path = box.path("logs/log")
    mark = d.mark()
    end(d, signal.SIGKILL)
    assert "going on with the old one" not in d.log()[mark:]
    d.stop()
    assert not os.path.exists(box.path("logs/pid"))


def test_exit_of_the_supervisor_is_the_keepers(box):
    box.config(job={"command": "sh -c 'exit 3'", "restart": "never"})
    d = box.start()
    d.wait_end(1)
    box.config(job={"command": "true", "restart": "never"})
    d = box.start()
    d.wait_end(0)


# --- in the middle of something

def send_to_keeper(d, number):
    """Whose supervisor stands still."""
    d.send(number)
    wait_until(lambda: int(status_field(d.keeper, "ShdPnd"), 16) == 0 and
               process_state(d.keeper) == "S", "it is taken")


def test_no_signal_is_lost(box):
    """One that has come to the keeper, and that the supervisor did not take."""
    box.web(instances=1)
    d = box.start()
    d.wait_ready(1)
    os.kill(d.pid, signal.SIGSTOP)
    wait_until(lambda: process_state(d.pid) == "T", "it stands still")
    for _ in range(3):
        send_to_keeper(d, signal.SIGTTIN)
    end(d, signal.SIGKILL)
    d.wait_ready(4)
    assert len(d.find("SIGTTIN: one instance more")) == 3
    d.stop()


def test_signals_keep_their_order(box):
    box.web(instances=1)
    d = box.start()
    d.wait_ready(1)
    os.kill(d.pid, signal.SIGSTOP)
    wait_until(lambda: process_state(d.pid) == "T", "it stands still")
    order = ["TTOU", "TTIN", "USR1", "TTIN", "USR2", "TTOU", "USR1"]
    for name in order:
        send_to_keeper(d, getattr(signal, f"SIG{name}"))
    os.kill(d.pid, signal.SIGCONT)
    d.wait_log("SIGUSR1", count=2)
    assert [m[1] for m in d.find(r" SIG(\w+): ")] == order
    d.stop()


def test_what_a_worker_leaves_is_stopped_later_too(box):
    """Also who has a session of its own and ignores all signals: when its worker
    dies, which another supervisor had started."""
    box.web("--escape", 0, instances=1, stop_timeout="300ms")
    d = box.start()
    worker, = d.wait_ready(1)
    escaped = box.wait_events("escaped")[0]["pid"]
    end(d, signal.SIGKILL)
    assert is_alive(escaped)
    kill(worker)
    wait_until(lambda: not is_alive(escaped), "its end")
    d.stop()


def test_kept_orphans_are_left_alone(box):
    box.web("--escape", 0, instances=1, stop_timeout="300ms", orphans="keep")
    d = box.start()
    d.wait_ready(1)
    escaped = box.wait_events("escaped")[0]["pid"]
    try:
        end(d, signal.SIGKILL)
        assert is_alive(escaped)
        d.send(signal.SIGTERM)
        assert d.wait() == 0
        assert is_alive(escaped)
    finally:
        for event in box.events("escaped"):
            kill(event["pid"])
    wait_until(lambda: not box.survivors(), "nobody is left")


def test_sockets_from_above_are_served_again(box):
    with socket.socket() as s, socket.socket() as unused:
        for x in (s, unused):
            x.bind(("127.0.0.1", 0))
            x.listen()
        port = s.getsockname()[1]
        box.web(listen=f"127.0.0.1:{port}")
        d = harness.start_with_sockets(box, s, unused)
        d.wait_ready(2)
        assert d.find("which LISTEN_FDS passes: closed")
        for _ in range(3):
            end(d, signal.SIGKILL)
            assert get(port).pid in d.wait_ready(2)
        assert len(d.find("which LISTEN_FDS passes: closed")) == 1
        d.stop()


def test_descriptor_of_whoever_started_it_stays_open(box):
    """A lock that a script holds for as long as clusterd lives."""
    reader, writer = os.pipe()
    box.web()
    d = box.start(pass_fds=[writer])
    os.close(writer)
    d.wait_ready(2)
    end(d, signal.SIGKILL)
    end(d, signal.SIGKILL)
    os.set_blocking(reader, False)
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    d.stop()
    assert os.read(reader, 1) == b""
    os.close(reader)


@pytest.mark.heavy
def test_killed_all_the_time(box):
    """Every 200 ms for a while; then it serves."""
    port = free_port()
    box.web(listen=f"127.0.0.1:{port}")
    d = box.start()
    d.wait_ready(2)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if d.find_supervisor():
            kill(d.find_supervisor())
        time.sleep(0.2)

    def answers():
        try:
            return get(port)
        except OSError:
            return False
    wait_until(answers, "it serves", 20)
    wait_until(lambda: len(children_of(d.keeper)) == 3,
               "a supervisor, and no more than two workers", 20)
    d.stop()
