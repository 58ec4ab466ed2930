"""What a worker leaves behind on its lane does not outlive it."""

import signal
import socket

import pytest

import harness
import optioned
from harness import free_port, wait_until

JOIN = ("s.setsockopt(0, 35, socket.inet_aton('239.7.7.7') + "
        "socket.inet_aton('127.0.0.1'))")


def crash(d, pid):
    harness.kill(pid)
    return d.wait_replaced([pid], 1)[0]


def pid_of(kind, port):
    return optioned.ask(kind, port)["pid"]


def test_groups_can_be_joined_again_after_a_crash(box):
    port = free_port(socket.SOCK_DGRAM)
    optioned.config(box, "udp", port, "", JOIN)
    d = box.start()
    pid, = d.wait_ready(1)
    for _ in range(3):
        assert pid_of("udp", port) == pid
        pid = crash(d, pid)
    assert not d.find("exited with code 1")
    assert members("239.7.7.7") == 1
    d.stop()
    wait_until(lambda: members("239.7.7.7") == 0, "nobody is in the group")


@pytest.mark.parametrize("host, join", [
    (None, JOIN.replace("239.7.7.7", "224.0.0.1")),
    ("::", "s.setsockopt(41, 20, socket.inet_pton(10, 'ff02::1') + "
             "(1).to_bytes(4, 'little'))")])
def test_groups_that_the_kernel_is_in_itself_can_be_joined_again(box, host,
                                                                 join):
    port = free_port(socket.SOCK_DGRAM)
    optioned.config(box, "udp", port, "", join, host=host)
    d = box.start()
    pid, = d.wait_ready(1)
    for _ in range(2):
        assert pid_of("udp", port) == pid
        pid = crash(d, pid)
    assert not d.find("exited with code 1")
    d.stop()


def test_groups_that_the_kernel_alone_is_in_are_not_left(box):
    port = free_port(socket.SOCK_DGRAM)
    optioned.config(box, "udp", port)
    d = box.start()
    pid, = d.wait_ready(1)
    calls = harness.system_calls(box, d, lambda: crash(d, pid))
    if calls is None:
        pytest.skip("system calls cannot be seen")
    text = "\n".join(map(str, calls))
    assert "setsockopt" in text
    assert '"224.0.0.1"' not in text and '"ff02::1"' not in text
    d.stop()


def members(group):
    number = socket.inet_aton(group)[::-1].hex().upper()
    with open("/proc/net/igmp") as f:
        return sum(int(line.split()[1]) for line in f
                   if line.split()[0] == number)


def test_group_is_left_while_the_worker_is_not_there(box):
    port = free_port(socket.SOCK_DGRAM)
    optioned.config(box, "udp", port, "", JOIN.replace("239.7.7.7",
                                                       "239.7.7.8"),
                    restart="never", success_codes="0-255")
    box.config(web={"command": optioned.command("udp", port, "", JOIN.replace(
        "239.7.7.7", "239.7.7.8")), "listen": f"udp:{port}", "instances": 1,
        "restart_delay": "1h", "restart_delay_max": "1h"})
    d = box.start()
    pid, = d.wait_ready(1)
    assert members("239.7.7.8") == 1
    harness.kill(pid)
    d.wait_log(r"killed by signal 9")
    wait_until(lambda: members("239.7.7.8") == 0, "it is left")
    d.stop()


# Drops all that comes; with a lock, nobody may take it away.
FILTER = ("exec(\"import ctypes\\nb = ctypes.create_string_buffer("
          "struct.pack('HBBI', 6, 0, 0, 0))\\ns.setsockopt(1, 26, "
          "struct.pack('HxxxxxxP', 1, ctypes.addressof(b)))\")")


def once(box, code):
    """For the first process alone: the next ones do nothing."""
    return (f"os.path.exists({box.path('once')!r}) or ("
            f"open({box.path('once')!r}, 'w').close(), {code})")


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("locked", [False, True])
def test_filter_does_not_hold_up_the_next_worker(box, kind, locked):
    port = free_port(socket.SOCK_DGRAM if kind == "udp" else
                     socket.SOCK_STREAM)
    code = once(box, FILTER + (", s.setsockopt(1, 44, 1)" if locked else ""))
    optioned.config(box, kind, port, "", code)
    d = box.start()
    pid, = d.wait_ready(1)
    pid = crash(d, pid)
    assert pid_of(kind, port) == pid
    d.stop()


def test_options_of_the_last_worker_are_gone(box):
    port = free_port()
    code = once(box, "s.setsockopt(1, 20, struct.pack('ll', 5, 0)), "
                "s.setsockopt(1, 8, 9000), s.setsockopt(6, 2, 700), "
                "s.setsockopt(1, 13, struct.pack('ii', 1, 3)), "
                "s.setsockopt(0, 2, 33), s.setsockopt(6, 10, 9999)")
    optioned.config(box, "tcp", port, "", code, handoff="adopt")
    d = box.start()
    pid, = d.wait_ready(1)
    asked = ["opt(s, 0, 2)", "opt(s, 6, 2)", "opt(s, 1, 8)",
             "opt(s, 1, 13, 8)[:8]", "opt(s, 1, 20, 16)"]
    before = optioned.values("tcp", port, *asked)
    assert before[:3] == [33, 700, 18000]
    pid = crash(d, pid)
    with socket.socket() as fresh:
        expected = [fresh.getsockopt(0, 2), fresh.getsockopt(6, 2),
                    fresh.getsockopt(1, 8), "00" * 4, "00" * 16]
    assert optioned.values("tcp", port, *asked) == expected
    d.stop()


def test_nobody_gets_signals_about_the_next_workers_clients(box):
    port = free_port()
    code = once(box, "fcntl.fcntl(s, fcntl.F_SETOWN, os.getpid()), "
                "fcntl.fcntl(s, fcntl.F_SETFL, fcntl.fcntl(s, fcntl.F_GETFL)"
                " | os.O_ASYNC), signal.signal(signal.SIGIO, signal.SIG_IGN)")
    optioned.config(box, "tcp", port, "", code)
    d = box.start()
    pid, = d.wait_ready(1)
    asked = ["fcntl.fcntl(s, fcntl.F_GETOWN)",
             "fcntl.fcntl(s, fcntl.F_GETFL) & os.O_ASYNC"]
    assert optioned.values("tcp", port, *asked)[1] != 0
    crash(d, pid)
    assert optioned.values("tcp", port, *asked) == [0, 0]
    d.stop()


# --- programs of the reuseport group

# SO_ATTACH_REUSEPORT_CBPF: always the first of the group.
FIRST = ("exec(\"import ctypes\\nb = ctypes.create_string_buffer("
         "struct.pack('HBBI', 6, 0, 0, 0))\\ns.setsockopt(1, 51, "
         "struct.pack('HxxxxxxP', 1, ctypes.addressof(b)))\")")
DETACH = "s.setsockopt(1, 68, 0)"


def spread(kind, port, count, tries=200):
    """The pids that answer, until there are so many."""
    found = set()
    for _ in range(tries):
        found.add(pid_of(kind, port))
        if len(found) == count:
            break
    return found


@pytest.mark.parametrize("balance", ["auto", "random"])
@pytest.mark.parametrize("program", [FIRST, DETACH], ids=["own", "none"])
def test_program_of_a_server_does_not_steer_for_good(box, balance, program):
    """Each attaches its own, or detaches ours, when it begins to listen; all
    get connections once they are ready."""
    port = free_port()
    optioned.config(box, "tcp", port, "",
                    "state.update(listening=" + repr(
                        f"try:\n {program}\nexcept OSError: pass").replace(
                            "\n", "\\n") + ")",
                    instances=4, balance=balance)
    d = box.start()
    pids = d.wait_ready(4)
    wait_until(lambda: spread("tcp", port, 4) == set(pids),
               "all of them answer")
    d.stop()


@pytest.mark.parametrize("balance", ["auto", "random"])
def test_nobody_is_lost_at_a_scale_down_after_a_detached_program(box, balance):
    """The kernel would choose among all, those that retire too."""
    port = free_port()
    optioned.config(box, "tcp", port, instances=4, balance=balance,
                    drain_timeout="1s")
    d = box.start()
    d.wait_ready(4)
    said = [optioned.values("tcp", port, DETACH)[0] for _ in range(8)]
    # ENOENT: another one was faster.
    assert None in said and set(said) <= {None, "errno 2"}
    d.send(signal.SIGTTOU)
    d.wait_log("scaling to 3 instances")
    d.send(signal.SIGTTOU)
    d.wait_workers(2)
    left = set(d.workers())
    for _ in range(30):
        assert pid_of("tcp", port) in left
    d.stop()
