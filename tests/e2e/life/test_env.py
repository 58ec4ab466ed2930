"""What a worker is given: descriptors, environment, credentials, limits."""

import grp
import os
import pwd
import resource

import pytest

from harness import PROBE, WRAP, get, probe, wait_until, with_mounts

STALE = {
    "CLUSTERD_FD": "99", "CLUSTERD_APP": "stale", "CLUSTERD_INSTANCE": "99",
    "LISTEN_FDS": "5", "LISTEN_PID": "1", "LISTEN_FDNAMES": "stale",
    "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1",
    "SERVER_STARTER_PORT": "80=99", "SERVER_STARTER_GENERATION": "99",
    "EINHORN_FD_COUNT": "9", "EINHORN_FD_0": "99", "EINHORN_FD_8": "99",
    "NGINX": "99;", "FPM_SOCKETS": "/stale=99",
    "NODE_CHANNEL_FD": "3", "NODE_UNIQUE_ID": "1",
}


def dump_of(box, env=None, launcher=(), program=None, port=None, **popen):
    """Start, ask for everything, stop."""
    d = box.start(env=env, launcher=launcher, program=program, **popen)
    d.wait_ready(1)
    dump = get(port or d.addresses()[0], "/dump")
    d.stop()
    return dump


# --- descriptors

def test_worker_has_the_standard_ones_and_its_listener_and_no_other(box):
    box.web(instances=1)
    fds = dump_of(box).fds
    assert sorted(fds) == [0, 1, 2, 3]
    assert fds[0] == "/dev/null"
    assert fds[3].startswith("socket:")


def test_worker_has_three_listeners_in_the_order_of_listen(box):
    box.web(instances=1, listen=["127.0.0.1:0", "udp:127.0.0.1:0",
                                 "unix:" + box.path("x.sock")])
    dump = dump_of(box)
    assert sorted(dump.fds) == [0, 1, 2, 3, 4, 5]
    assert dump.env["CLUSTERD_FD"] == "3,4,5"


def test_every_worker_of_several_apps_has_only_its_own(box):
    box.config(**{name: {"command": probe(), "instances": 3,
                         "listen": "127.0.0.1:0, 127.0.0.1:0"}
                  for name in ("first", "second")})
    d = box.start()
    d.wait_ready(6)
    for name in ("first", "second"):
        for address in d.addresses(name, 2):
            for _ in range(5):
                assert sorted(get(address, "/dump").fds) == [0, 1, 2, 3, 4]
    d.stop()


def test_replacement_has_no_more_descriptors_than_the_first(box):
    box.web(restart_delay="10ms", instances=3)
    d = box.start()
    pids = d.wait_ready(3)
    for pid in pids:
        os.kill(pid, 9)
        d.wait_replaced([pid], 3)
    for _ in range(6):
        assert sorted(get(d.port(), "/dump").fds) == [0, 1, 2, 3]
    d.stop()


def test_descriptors_that_clusterd_inherits_do_not_reach_the_worker(box):
    box.web(instances=1)
    extra = [os.open("/etc/passwd", os.O_RDONLY) for _ in range(3)]
    high = os.dup2(extra[0], 200)
    r, w = os.pipe()
    try:
        dump = dump_of(box, pass_fds=[*extra, high, r, w])
    finally:
        for fd in (*extra, high, r, w):
            os.close(fd)
    assert sorted(dump.fds) == [0, 1, 2, 3]


@pytest.mark.skipif(bool(WRAP), reason="CLUSTERD_WRAP needs its stderr")
def test_closed_standard_descriptors_of_clusterd_do_no_harm(box):
    """Else what is opened first would become one of them, and be stdout to somebody."""
    box.web(clusterd={"log": "log"}, instances=1)

    def close_all():
        for fd in (0, 1, 2):
            os.close(fd)
    d = box.start(preexec_fn=close_all)
    d.log_path = box.path("log")
    box.wait_events("ready")
    dump = get(d.port(), "/dump")
    assert sorted(dump.fds) == [0, 1, 2, 3]
    assert dump.fds[0] == "/dev/null"
    assert dump.fds[3].startswith("socket:")
    for fd in (1, 2):
        assert dump.fds[fd] == "/dev/null"
    d.stop()


def test_stdin_is_dev_null_whatever_clusterd_has(box):
    box.web(instances=1)
    with open("/etc/passwd") as f:
        assert dump_of(box, stdin=f).fds[0] == "/dev/null"


def test_output_is_inherited_by_default(box):
    box.web("--stdout", "hello out", "--stderr", "hello err", instances=1)
    with open(box.path("out"), "w") as out:
        d = box.start(stdout=out)
        d.wait_ready(1)
        fds = get(d.port(), "/dump").fds
        d.stop()
    assert fds[1] == box.path("out")
    assert fds[2] == d.stderr_path
    assert open(box.path("out")).read() == "hello out\n"
    assert "hello err\n" in d.stderr()


def test_output_to_null_goes_nowhere(box):
    box.web("--stdout", "hello out", "--stderr", "hello err", instances=1,
            stdout="null", stderr="null")
    with open(box.path("out"), "w") as out:
        d = box.start(stdout=out)
        d.wait_ready(1)
        fds = get(d.port(), "/dump").fds
        d.stop()
    assert fds[1] == fds[2] == "/dev/null"
    assert open(box.path("out")).read() == ""
    assert "hello err" not in d.stderr()


# --- the protocols

def two_listeners(box, protocol):
    path = box.path("x.sock")
    box.web(instances=1, fd_protocol=protocol, ready="alive:50ms",
            listen=f"127.0.0.1:0, unix:{path}")
    d = box.start(env=STALE)
    d.wait_ready(1)
    port = d.addresses(count=2)[0][1]
    dump = get(port, "/dump")
    d.stop()
    return dump, port, path


OTHERS = set(STALE) - {"CLUSTERD_FD", "CLUSTERD_APP", "CLUSTERD_INSTANCE"}


def variables(env, *prefixes):
    return {k: v for k, v in env.items() if k.startswith(prefixes)}


def test_protocol_clusterd(box):
    dump, _, _ = two_listeners(box, "clusterd")
    found = variables(dump.env, "CLUSTERD_")
    found.pop("CLUSTERD_WORKER_ID", None)   # clusterd's own mark
    assert found == {
        "CLUSTERD_FD": "3,4", "CLUSTERD_APP": "web", "CLUSTERD_INSTANCE": "0",
        "CLUSTERD_INSTANCES": "1", "CLUSTERD_GENERATION": "1"}
    # and nothing of anybody else, stale or not
    assert not OTHERS & set(dump.env)


@pytest.mark.valgrind
def test_protocol_systemd(box):
    dump, _, _ = two_listeners(box, "systemd")
    assert variables(dump.env, "LISTEN_") == {
        "LISTEN_FDS": "2", "LISTEN_PID": str(dump.pid),
        "LISTEN_FDNAMES": "web:web"}
    assert dump.env["CLUSTERD_FD"] == "3,4"     # always set
    assert dump.env.get("NOTIFY_SOCKET")
    assert not (OTHERS - {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}) & \
        set(dump.env)


def test_protocol_server_starter(box):
    dump, port, path = two_listeners(box, "server-starter")
    assert variables(dump.env, "SERVER_STARTER_") == {
        "SERVER_STARTER_PORT": f"127.0.0.1:{port}=3;{path}=4",
        "SERVER_STARTER_GENERATION": "1"}
    assert "LISTEN_FDS" not in dump.env


def test_protocol_einhorn(box):
    dump, _, _ = two_listeners(box, "einhorn")
    assert variables(dump.env, "EINHORN_") == {
        "EINHORN_MASTER_PID": dump.one("ppid"), "EINHORN_CHILD_INDEX": "0",
        "EINHORN_FD_COUNT": "2",
        "EINHORN_FD_0": "3", "EINHORN_FD_FAMILY_0": "AF_INET",
        "EINHORN_FD_1": "4", "EINHORN_FD_FAMILY_1": "AF_UNIX"}


def test_protocol_nginx(box):
    dump, _, _ = two_listeners(box, "nginx")
    assert dump.env["NGINX"] == "3;4;"


def test_protocol_php_fpm(box):
    dump, port, path = two_listeners(box, "php-fpm")
    assert dump.env["FPM_SOCKETS"] == f"127.0.0.1:{port}=3,{path}=4"


@pytest.mark.valgrind
def test_all_protocols_together(box):
    dump, port, path = two_listeners(
        box, "clusterd systemd server-starter einhorn nginx php-fpm")
    env = dump.env
    assert env["CLUSTERD_FD"] == "3,4"
    assert env["LISTEN_FDS"] == env["EINHORN_FD_COUNT"] == "2"
    assert env["NGINX"] == "3;4;"
    assert env["FPM_SOCKETS"] and env["SERVER_STARTER_PORT"]


READ_UNASKED = {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NGINX",
                "FPM_SOCKETS", "EINHORN_FD_COUNT", "EINHORN_MASTER_PID",
                "SERVER_STARTER_PORT", "NODE_CHANNEL_FD"}


def test_by_default_no_server_is_told_of_descriptors_that_did_not_ask(box):
    box.web(instances=1)
    dump = dump_of(box, env=STALE)
    assert dump.env["CLUSTERD_FD"] == "3"
    assert dump.env["NOTIFY_SOCKET"]
    assert not READ_UNASKED & set(dump.env)


def test_default_protocols_of_env_are_clusterd_and_systemd(box):
    box.web(instances=1, handoff="env")
    dump = dump_of(box, env=STALE)
    assert dump.env["CLUSTERD_FD"] == "3"
    assert dump.env["LISTEN_FDS"] == "1"
    assert dump.env["LISTEN_PID"] == str(dump.pid)
    assert dump.env["NOTIFY_SOCKET"]
    assert not (READ_UNASKED - {"LISTEN_FDS", "LISTEN_PID",
                                "LISTEN_FDNAMES"}) & set(dump.env)


def test_listeners_have_names(box):
    path = box.path("a=b.sock")
    box.web(instances=1, fd_protocol="systemd", ready="alive:50ms", port=0,
            listen=f"https=127.0.0.1:0, unix:{path}, admin=udp:0")
    d = box.start()
    d.wait_ready(1)
    dump = get(d.addresses(count=2)[1][1], "/dump")
    assert dump.env["LISTEN_FDNAMES"] == "web:https:web:admin"
    d.stop()


def test_listen_pid_is_each_workers_own(box):
    box.web(instances=4, handoff="env")
    d = box.start()
    d.wait_ready(4)
    for _ in range(8):
        dump = get(d.port(), "/dump")
        assert dump.env["LISTEN_PID"] == str(dump.pid)
        get(d.port(), "/busy/5")
    d.stop()


def test_server_starter_generation_counts_reloads(box):
    box.web(instances=1, fd_protocol="server-starter", ready="alive:50ms",
            listen="127.0.0.1:0")
    d = box.start()
    old = d.wait_ready(1)
    d.send(1)
    d.wait_replaced(old, 1)
    env = get(d.port(), "/dump").env
    assert env["SERVER_STARTER_GENERATION"] == "2"
    assert env["CLUSTERD_GENERATION"] == "2"
    d.stop()


def test_notify_sockets_of_workers_differ(box):
    box.web(instances=3)
    d = box.start(env={"NOTIFY_SOCKET": "/run/somebody-else"})
    d.wait_ready(3)
    seen = {}
    while len(seen) < 3:
        dump = get(d.port(), "/dump")
        seen[dump.pid] = dump.env["NOTIFY_SOCKET"]
        get(d.port(), "/busy/5")
    assert len(set(seen.values())) == 3
    assert "/run/somebody-else" not in seen.values()
    d.stop()


def test_app_without_listeners_has_no_listening_variables(box):
    box.web("--escape", 0, listen=None, instances=1, stop_timeout="300ms",
            fd_protocol="clusterd systemd nginx")
    d = box.start(env=STALE)
    pid, = d.wait_ready(1)
    env = dict(entry.split(b"=", 1) for entry in
               open(f"/proc/{pid}/environ", "rb").read().split(b"\0")
               if entry)
    assert not {b"CLUSTERD_FD", b"LISTEN_FDS", b"LISTEN_PID",
                b"NGINX"} & set(env)
    assert env[b"CLUSTERD_APP"] == b"web"
    d.stop()


# --- the environment

def test_environment_is_inherited_and_env_adds_and_replaces(box):
    box.web(instances=1, env=["NEW=1", "OLD=2",
                              "ODD=a=b; c # d \"e\" 'f' $g \\h",
                              "EMPTY="])
    env = dump_of(box, env={"OLD": "1", "KEPT": "with space"}).env
    assert env["KEPT"] == "with space"
    assert env["NEW"] == "1"
    assert env["OLD"] == "2"
    assert env["ODD"] == "a=b; c # d \"e\" 'f' $g \\h"
    assert env["EMPTY"] == ""


def test_env_file_is_read(box):
    box.write("web.env", "# a comment\n\nA=1\nB=two words\n")
    box.web(instances=1, env_file="web.env", env="C=3")
    env = dump_of(box).env
    assert (env["A"], env["B"], env["C"]) == ("1", "two words", "3")


@pytest.mark.valgrind
def test_env_file_is_read_again_on_hup(box):
    box.write("web.env", "A=1\n")
    box.web(instances=1, env_file="web.env")
    d = box.start()
    old = d.wait_ready(1)
    box.write("web.env", "A=2\n")
    d.send(1)
    d.wait_replaced(old, 1)
    assert get(d.port(), "/dump").env["A"] == "2"
    d.stop()


def test_missing_env_file_is_a_configuration_error(box):
    box.web(env_file="nowhere.env")
    done = box.run("-c", "app.ini")
    assert done.returncode == 78
    assert "nowhere.env" in done.stderr


@pytest.mark.parametrize("name", ["fifo", ".", "/dev/zero"])
def test_env_file_that_is_no_file_does_not_hang(box, name):
    os.mkfifo(box.path("fifo"))
    box.web(env_file=name)
    done = box.run("-t", "-c", "app.ini", limit=10)
    # a pipe that nobody writes to is as good as an empty file
    assert done.returncode == 78 or name == "fifo"


# --- limits, directory, umask

@pytest.mark.skipif(bool(WRAP), reason="valgrind changes the limit")
def test_directory_umask_and_limit(box):
    os.mkdir(box.path("place"))
    box.web(instances=1, directory="place", umask="037", limit_nofile=321)
    dump = dump_of(box)
    assert dump.one("cwd") == box.path("place")
    assert dump.one("umask") == "0037"
    assert dump.one("nofile").split()[0] == "321"


@pytest.mark.skipif(bool(WRAP), reason="valgrind changes the limit")
def test_directory_umask_and_limit_are_inherited_by_default(box):
    box.web(instances=1)

    def change():
        os.umask(0o026)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (777, hard))
    dump = dump_of(box, preexec_fn=change)
    assert dump.one("cwd") == box.dir
    assert dump.one("umask") == "0026"
    assert dump.one("nofile").split()[0] == "777"


def test_worker_is_a_child_with_a_group_of_its_own(box):
    box.web()
    d = box.start()
    pids = d.wait_ready(2)
    for _ in range(4):
        dump = get(d.port(), "/dump")
        assert dump.one("ppid") == str(d.pid)
        assert dump.one("pgid") == str(dump.pid)
        assert dump.pid in pids
    d.stop()


# --- credentials

def open_to_all(box):
    """The events file of workers that are somebody else."""
    box.write("events", "", mode=0o666)
    return box.copy(PROBE)


def test_user_gives_uid_gid_groups_and_home(box, as_root):
    program = open_to_all(box)
    nobody = pwd.getpwnam("nobody")
    box.web(command=probe(program=program), instances=1, user="nobody")
    dump = dump_of(box, env={"HOME": "/root", "USER": "root",
                             "LOGNAME": "root"})
    assert dump.one("uid") == " ".join([str(nobody.pw_uid)] * 3)
    assert dump.one("gid") == " ".join([str(nobody.pw_gid)] * 3)
    assert set(map(int, dump.all("group"))) == \
        set(os.getgrouplist("nobody", nobody.pw_gid))
    assert dump.env["HOME"] == nobody.pw_dir
    assert dump.env["USER"] == dump.env["LOGNAME"] == "nobody"


def other_accounts(box, passwd, group):
    """A launcher that shows clusterd other account files."""
    return with_mounts(
        'mount --bind "$1" /etc/passwd && mount --bind "$2" /etc/group '
        '&& shift 2 && exec "$@"',
        box.write("passwd", passwd), box.write("group", group))


ACCOUNTS = (
    "root:x:0:0:root:/root:/bin/sh\n"
    "web:x:4321:4322:Web:/srv/web-home:/bin/sh\n",
    "root:x:0:\nweb:x:4322:\none:x:5001:root,web\ntwo:x:5002:web\n"
    "three:x:5003:root\n")


@pytest.mark.valgrind
def test_user_gives_supplementary_groups(box, as_root):
    program = open_to_all(box)
    box.web(command=probe(program=program), instances=1, user="web",
            directory="/")
    dump = dump_of(box, launcher=other_accounts(box, *ACCOUNTS))
    assert dump.one("uid") == "4321 4321 4321"
    assert dump.one("gid") == "4322 4322 4322"
    assert set(map(int, dump.all("group"))) == {4322, 5001, 5002}
    assert dump.env["HOME"] == "/srv/web-home"
    assert dump.env["USER"] == dump.env["LOGNAME"] == "web"


def test_group_with_user_replaces_the_primary_group(box, as_root):
    program = open_to_all(box)
    box.web(command=probe(program=program), instances=1, user="web",
            group="three", directory="/")
    dump = dump_of(box, launcher=other_accounts(box, *ACCOUNTS))
    assert dump.one("uid") == "4321 4321 4321"
    assert dump.one("gid") == "5003 5003 5003"
    assert {5001, 5002} <= set(map(int, dump.all("group")))


def test_env_wins_over_the_users_home(box, as_root):
    program = open_to_all(box)
    box.web(command=probe(program=program), instances=1, user="nobody",
            env="HOME=/elsewhere")
    assert dump_of(box).env["HOME"] == "/elsewhere"


def test_users_workers_are_stopped_and_die_with_clusterd(box, as_root):
    program = open_to_all(box)
    box.web(command=probe("--fork-child", "--events", box.events_path,
                          program=program), user="nobody",
            stop_timeout="200ms")
    d = box.start()
    d.wait_ready(2)
    box.wait_events("child", 2)
    d.stop()
    box.web(command=probe("--ignore-term", program=program), user="nobody")
    d = box.start()
    d.wait_ready(2)
    d.kill_all_of_it()
    wait_until(lambda: not box.survivors(), "the workers die with clusterd")


def test_program_that_the_user_may_not_execute_is_told_in_words(box, as_root):
    program = box.copy(PROBE)
    os.chmod(program, 0o700)
    box.web(command=program, user="nobody", instances=1)
    done = box.run("-c", "app.ini")
    assert done.returncode == 1
    assert "Permission denied" in done.stderr


def test_group_alone_changes_the_group_only(box, as_root):
    program = open_to_all(box)
    nogroup = grp.getgrgid(pwd.getpwnam("nobody").pw_gid)
    box.web(command=probe(program=program), instances=1,
            group=nogroup.gr_name)
    dump = dump_of(box)
    assert dump.one("uid") == "0 0 0"
    assert dump.one("gid") == " ".join([str(nogroup.gr_gid)] * 3)
