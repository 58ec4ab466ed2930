"""The command line: options, checking, dumping, exit statuses."""

import glob
import os
import re

import pytest

import words
from harness import PROBE, ROOT, free_port, get, probe

SHIPPED = sorted(glob.glob(f"{ROOT}/conf/*.ini") +
                 glob.glob(f"{ROOT}/examples/*.ini"))

# Every key of this stage with a value that is not its default.
ALL_KEYS = """\
[clusterd]
log_level = debug
log_format = json
log = logs/clusterd.log
pidfile = clusterd.pid

[web]
command = "./my server" --flag 'two words' {fd} {port} {instance} {app} {x}
listen = web.http=0.0.0.0:8080, 127.0.0.1:8081, [::1]:8082
\tudp:0.0.0.0:5353
\tudp:127.0.0.1:5354
\tunix:run/web.sock
socket_mode = 0600
backlog = 100
instances = 3
balance = source
fd_protocol = clusterd systemd server-starter einhorn nginx php-fpm
directory = .
umask = 027
env = A=1
\tB=two words; and # more
limit_nofile = 1000
restart = on-failure
restart_delay = 50ms
restart_delay_max = 5m
restart_reset = 1h
restart_limit = 5/60s
success_codes = 0 3 143
ready = alive:500ms
ready_timeout = 90
stop_signal = INT
stop_timeout = 3s
drain_timeout = 20s
drain_idle = off
max_surge = 2
canary = 3s
stdin = open
stdout = null
stderr = logs/web.log
log_max_size = 64M
log_keep = 0
log_time = none

[worker-2]
command = /bin/true
instances = 50%
ready = notify
restart = never
"""


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_goes_to_stdout_and_exits_0(box, option):
    done = box.run(option)
    assert done.returncode == 0
    assert "clusterd" in done.stdout
    for name in ("-c", "-t", "-T", "-p", "-n", "-l", "-V"):
        assert name in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version_goes_to_stdout_and_exits_0(box, option):
    done = box.run(option)
    assert done.returncode == 0
    assert re.search(r"clusterd \d+\.\d+", done.stdout)


@pytest.mark.parametrize("arguments", [
    [],
    ["--no-such-option"],
    ["-c"],
    ["-t"],
    ["-p", "8080"],
    ["-c", "app.ini", "-l", "loud"],
    ["-c", "app.ini", "--", "./server"],
    ["-c", "app.ini", "stray"],
], ids=lambda a: " ".join(a) or "nothing")
def test_usage_error_exits_64(box, arguments):
    box.web()
    done = box.run(*arguments)
    assert done.returncode == 64, done.stderr
    assert done.stderr != ""
    assert done.stdout == ""


@pytest.mark.parametrize("arguments", [
    ["-p", "70000"], ["-p", "http"], ["-p", "-1"], ["-n", "none"],
], ids=" ".join)
def test_bad_number_on_the_command_line_is_told_in_words(box, arguments):
    done = box.run(*arguments, "--", "/bin/true")
    assert done.returncode in (64, 78)
    assert arguments[1] in done.stderr


def test_every_short_option_has_a_long_one(box):
    said = box.run("--help").stdout
    for letter in "cpntTlhV":
        assert re.search(rf"-{letter}\b,? *(\S+ )?--[a-z]", said), letter


def test_check_of_a_good_file_says_ok(box):
    box.web()
    done = box.run("-t", "-c", "app.ini")
    assert done.returncode == 0, done.stderr
    assert "app.ini: configuration ok" in done.stdout + done.stderr


def test_check_starts_nothing_and_binds_nothing(box):
    box.web(listen="127.0.0.1:0\n\tunix:x.sock")
    assert box.run("-t", "-c", "app.ini").returncode == 0
    assert box.events() == []
    assert not os.path.exists(box.path("x.sock"))


BAD = """\
[clusterd]
log_level = loud
[web]
command = ./server
prot = 8080
instances = lots
stop_signal = NOPE
umask = 999
[Bad Name]
command = x
[api]
listen = 127.0.0.1
[web]
command = again
[worker]
command = ./server
command = ./other
balance = randon
"""


def bad_lines(text):
    return sorted({int(n) for n in re.findall(r"app\.ini:(\d+): ", text)})


@pytest.mark.valgrind
def test_check_reports_every_error_in_one_run(box):
    box.write("app.ini", BAD)
    done = box.run("-t", "-c", "app.ini")
    said = done.stdout + done.stderr
    assert done.returncode == 78
    assert re.search(r"^app\.ini:2: log_level: .*loud.*", said, re.M)
    assert re.search(r"^app\.ini:5: prot: .*did you mean.*port", said, re.M)
    assert re.search(r"^app\.ini:6: instances: .+", said, re.M)
    assert re.search(r"^app\.ini:7: stop_signal: .+", said, re.M)
    assert re.search(r"^app\.ini:8: umask: .+", said, re.M)
    assert re.search(r"^app\.ini:9: .+", said, re.M)
    assert re.search(r"^app\.ini:11: .*command", said, re.M)
    assert re.search(r"^app\.ini:12: listen: .+", said, re.M)
    assert re.search(r"^app\.ini:13: .+", said, re.M)
    assert re.search(r"^app\.ini:17: command: .+", said, re.M)
    assert re.search(r"^app\.ini:18: balance: .*did you mean random", said, re.M)
    assert "configuration ok" not in said


def test_start_with_errors_reports_them_all_and_starts_nothing(box):
    text = BAD.replace("./server", probe("--events", box.events_path))
    box.write("app.ini", text)
    done = box.run("-c", "app.ini")
    assert done.returncode == 78
    assert bad_lines(done.stderr) == [2, 5, 6, 7, 8, 9, 11, 12, 13, 17, 18]
    assert box.events() == []


def test_missing_file_is_a_configuration_error(box):
    done = box.run("-c", "nowhere.ini")
    assert done.returncode == 78
    assert "nowhere.ini" in done.stderr
    assert "No such file or directory" in done.stderr


def test_empty_file_is_a_configuration_error(box):
    box.write("app.ini", "")
    done = box.run("-t", "-c", "app.ini")
    assert done.returncode == 78
    assert "app.ini" in done.stdout + done.stderr


def test_missing_user_is_a_configuration_error(box):
    box.web(user="no-such-user-here")
    done = box.run("-t", "-c", "app.ini")
    assert done.returncode == 78
    assert re.search(r"user: .*no-such-user-here", done.stdout + done.stderr)


@pytest.mark.valgrind
def test_dump_parses_back_to_the_same_dump(box):
    box.write("app.ini", ALL_KEYS)
    first = box.run("-T", "-c", "app.ini")
    assert first.returncode == 0, first.stderr
    box.write("again.ini", first.stdout)
    second = box.run("-T", "-c", "again.ini")
    assert second.returncode == 0, second.stderr
    assert second.stdout == first.stdout


def test_dump_names_every_key(box):
    box.write("app.ini", ALL_KEYS)
    dump = box.run("-T", "-c", "app.ini").stdout
    for key in re.findall(r"^(\w+) =", ALL_KEYS, re.M):
        assert re.search(rf"^{key} =", dump, re.M), key


def test_dump_of_the_defaults_names_the_keys_that_have_one(box):
    box.write("app.ini", "[web]\ncommand = /bin/true\nport = 80\n")
    dump = box.run("-T", "-c", "app.ini").stdout
    assert re.search(r"^restart_delay = 100ms$", dump, re.M)
    assert re.search(r"^restart_delay_max = 30s$", dump, re.M)
    assert re.search(r"^stop_timeout = 10s$", dump, re.M)
    assert re.search(r"^ready_timeout = (60s|1m)$", dump, re.M)
    assert re.search(r"^instances = auto$", dump, re.M)
    assert re.search(r"^balance = auto$", dump, re.M)
    assert re.search(r"^backlog = 4096$", dump, re.M)
    assert re.search(r"^# auto is clusterd\nfd_protocol = auto$", dump, re.M)


def test_dump_of_the_command_line_is_a_file_that_does_the_same(box):
    done = box.run("-T", "-p", "8080", "-n", "3", "--", "/bin/my-server",
                   "--name", "two words")
    assert done.returncode == 0, done.stderr
    assert "[my-server]" in done.stdout
    box.write("app.ini", done.stdout)
    assert box.run("-T", "-c", "app.ini").stdout == done.stdout


@pytest.mark.parametrize("path", SHIPPED,
                         ids=[os.path.relpath(p, ROOT) for p in SHIPPED])
def test_shipped_file_passes_the_check(box, path):
    done = box.run("-t", "-c", path)
    assert done.returncode == 0, done.stdout + done.stderr
    dump = box.run("-T", "-c", path)
    assert dump.returncode == 0


def test_there_are_shipped_files():
    names = [os.path.relpath(p, ROOT) for p in SHIPPED]
    assert "conf/app.ini" in names
    assert "conf/hello.ini" in names


@pytest.mark.valgrind
def test_one_app_without_a_file(box):
    port = free_port()
    d = box.start("-p", port, "-n", 2, "--", PROBE)
    pids = d.wait_ready(2, app="probe")
    assert d.pids_that_answer(port, 2) == set(pids)
    assert get(port, "/dump").env["CLUSTERD_APP"] == "probe"
    d.stop()


def test_one_app_without_a_file_takes_port_0_and_passes_arguments_on(box):
    d = box.start("-p", "0", "-n", "1", "--", PROBE, "--note",
                  "two words; and # more")
    d.wait_ready(1)
    dump = get(d.port("probe"), "/dump")
    assert dump.all("arg")[-1] == "two words; and # more"
    d.stop()


def test_one_app_without_a_file_survives_hup(box):
    d = box.start("-p", "0", "-n", "2", "--", PROBE)
    old = d.wait_ready(2)
    d.send(1)
    d.wait_log(words.RELOAD_DONE("probe"))
    d.wait_replaced(old, 2)
    d.stop()


def test_log_level_of_the_command_line_wins(box):
    box.web(clusterd={"log_level": "debug"})
    d = box.start("-c", box.path("app.ini"), "-l", "error")
    box.wait_events("ready", 2)
    d.stop()
    assert d.log() == ""


def test_log_lines_have_time_level_and_subject(box):
    box.web()
    d = box.start()
    d.wait_ready(2)
    d.stop()
    for line in d.log().splitlines():
        assert words.LINE.fullmatch(line), line
