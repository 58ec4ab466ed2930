"""Options behind an address in `listen`."""

import re
import signal
import socket
import subprocess

import pytest

from harness import (IS_ROOT, free_port, get, is_refused, probe,
                     start_with_sockets, wait_until)

root = pytest.mark.skipif(not IS_ROOT, reason="needs root")
SOL, TCP, IP = 1, 6, 0


def start(box, listen, **keys):
    box.config(web={"command": probe(), "listen": listen, "instances": 2,
                    **keys})
    d = box.start()
    d.wait_ready(2)
    return d


def socket_of(d):
    """A duplicate of a lane, from clusterd's own descriptors."""
    import os
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(d.pid)
    try:
        for name in os.listdir(f"/proc/{d.pid}/fd"):
            fd = libc.syscall(438, pidfd, int(name), 0)
            if fd < 0:
                continue
            try:
                s = socket.socket(fileno=fd)
            except OSError:
                os.close(fd)
                continue
            if s.family in (socket.AF_INET, socket.AF_INET6) and \
                    s.getsockname()[1] != 0:
                return s
            s.close()
    finally:
        os.close(pidfd)
    raise AssertionError("no lane")


def option(d, level, number):
    with socket_of(d) as s:
        return s.getsockopt(level, number)


@root
def test_socket_options_are_set(box):
    port = free_port()
    d = start(box, f"127.0.0.1:{port} mark=77 defer_accept=3 fastopen=9 "
              "freebind transparent interface=lo")
    assert option(d, SOL, 36) == 77
    assert option(d, TCP, 9) == 3
    assert option(d, TCP, 23) == 9
    assert option(d, IP, 15) == 1
    assert option(d, IP, 19) == 1
    with socket_of(d) as s:
        assert s.getsockopt(SOL, 25, 16).rstrip(b"\0") == b"lo"
    d.wait_log(rf"listening on 127\.0\.0\.1:{port} interface=lo$".replace(
        "$", r"\n"))
    assert get(port).instance in (0, 1)
    d.stop()


@root
def test_a_reload_changes_what_can_be_changed(box):
    port = free_port()
    d = start(box, f"127.0.0.1:{port} mark=1 defer_accept=3")
    old = d.ready_pids()
    box.config(web={"command": probe(), "instances": 2,
                    "listen": f"127.0.0.1:{port} mark=2 fastopen=5"})
    d.send(signal.SIGHUP)
    d.wait_replaced(old, 2)
    wait_until(lambda: option(d, SOL, 36) == 2, "the new mark")
    assert option(d, TCP, 9) == 0 and option(d, TCP, 23) == 5
    assert get(port).generation == 2
    d.stop()


def test_one_interface_alone(box):
    """From another one there is nobody: here by an address of it."""
    port = free_port()
    other = [a for a in addresses() if a != "127.0.0.1"]
    d = start(box, f"0.0.0.0:{port} interface=lo")
    assert get(port).instance in (0, 1)
    with socket_of(d) as s:
        assert s.getsockopt(SOL, 25, 16).rstrip(b"\0") == b"lo"
    old = d.ready_pids()
    # … and then on all.
    box.config(web={"command": probe(), "instances": 2,
                    "listen": f"0.0.0.0:{port}"})
    d.send(signal.SIGHUP)
    d.wait_replaced(old, 2)
    for address in ["127.0.0.1", *other[:1]]:
        assert get((address, port)).generation == 2
    d.stop()


def addresses():
    said = subprocess.run(["hostname", "-I"], capture_output=True,
                          text=True).stdout.split()
    return [a for a in said if ":" not in a]


def test_freebind_takes_an_address_that_is_not_there(box):
    port = free_port()
    d = start(box, f"192.0.2.77:{port} freebind")
    d.wait_log(rf"listening on 192\.0\.2\.77:{port}")
    d.stop()


@pytest.mark.parametrize("listen", ["{} v6only", "[::]:{} v6only",
                                    "udp:{} v6only"])
def test_v6only_is_for_ipv6_alone(box, listen):
    port = free_port()
    box.config(web={"command": probe(), "listen": listen.format(port),
                    "instances": 1})
    dump = box.run("-T", "-c", "app.ini").stdout
    assert re.search(rf"^listen = (udp:)?\[::\]:{port}$", dump, re.M)
    if listen.startswith("udp"):
        return
    d = box.start()
    d.wait_ready(1)
    assert get(("::1", port)).instance == 0
    assert is_refused(("127.0.0.1", port))
    d.stop()


def test_dump_has_the_options(box):
    box.config(web={"command": probe(), "listen":
                    "8080 fastopen=3 interface=lo, udp:53 mark=9"})
    dump = box.run("-T", "-c", "app.ini").stdout
    assert re.search(r"^listen = 8080 interface=lo fastopen=3, udp:53 mark=9$",
                     dump, re.M)


@pytest.mark.parametrize("options, words", [
    ("interface=nowhere0", r"its interface: No such device"),
    ("mark=7", r"mark \(which takes CAP_NET_ADMIN or CAP_NET_RAW\): "
     r"Operation not permitted"),
    ("transparent", r"transparent \(which takes CAP_NET_ADMIN or "
     r"CAP_NET_RAW\): Operation not permitted"),
])
def test_what_is_not_to_be_had_is_an_error_at_the_start(box, options, words):
    box.config(web={"command": probe(), "listen": f"127.0.0.1:0 {options}"})
    d = box.start(launcher=["setpriv", "--bounding-set=-all",
                            "--inh-caps=-all", "--ambient-caps=-all"]
                  if IS_ROOT else ())
    d.wait_end(69)
    assert re.search(rf"cannot listen on 127\.0\.0\.1:0.*: {words}", d.log())


def passed(interface, listen):
    s = socket.socket()
    if interface:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE,
                     interface.encode())
    s.bind(("127.0.0.1", 0))
    s.listen(5)
    port = s.getsockname()[1]
    return s, listen.replace("PORT", str(port))


def test_passed_socket_that_does_not_keep_to_the_interface_is_refused(box):
    """It would serve all of them."""
    s, listen = passed("", "127.0.0.1:PORT interface=lo")
    with s:
        box.config(web={"command": probe(), "listen": listen,
                        "instances": 1})
        d = start_with_sockets(box, s)
        d.wait_end(69)
        assert re.search(r"the socket passed in LISTEN_FDS for \S+ keeps to no "
                         r"interface, not to interface=lo", d.log())


def test_passed_socket_gets_what_can_be_set(box):
    s, listen = passed("lo", "127.0.0.1:PORT interface=lo defer_accept=7 "
                       "transparent")
    with s:
        box.config(web={"command": probe(), "listen": listen,
                        "instances": 1})
        d = start_with_sockets(box, s)
        d.wait_ready(1)
        d.wait_log(r"passed by the supervisor above, which would have to set "
                   r"transparent")
        assert s.getsockopt(TCP, socket.TCP_DEFER_ACCEPT) > 0
        d.stop()
