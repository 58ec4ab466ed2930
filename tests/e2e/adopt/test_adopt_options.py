"""What an adopted server sets on its socket reaches the listener, or the log
says what did not."""

import signal
import socket
import struct
import threading

import pytest

import harness
import optioned
from harness import IS_ROOT, SLOW, free_port
from programs import PYTHON

root = pytest.mark.skipif(not IS_ROOT, reason="needs root")

SOL, TCP, IP, UDP = 1, 6, 0, 17

# level, option, value; of the connection: what it then has there, None: that
# is of the listener alone.
TCP_OPTIONS = [
    ("SO_MARK", SOL, 36, 77, 77, True),
    ("SO_PRIORITY", SOL, 12, 3, None, False),
    ("SO_MAX_PACING_RATE", SOL, 47, 1000000, 1000000, False),
    ("SO_INCOMING_CPU", SOL, 49, 0, None, False),
    ("SO_RCVLOWAT", SOL, 18, 2, 2, False),
    ("SO_KEEPALIVE", SOL, 9, 1, 1, False),
    ("SO_BUSY_POLL", SOL, 46, 50, 50, True),
    ("TCP_MAXSEG", TCP, 2, 700, None, False),
    ("TCP_WINDOW_CLAMP", TCP, 10, 20000, None, False),
    ("TCP_SAVE_SYN", TCP, 27, 1, None, False),
    ("TCP_USER_TIMEOUT", TCP, 18, 12345, 12345, False),
    ("TCP_KEEPIDLE", TCP, 4, 123, 123, False),
    ("TCP_LINGER2", TCP, 8, 33, 33, False),
    ("TCP_NOTSENT_LOWAT", TCP, 25, 4321, 4321, False),
    ("TCP_FASTOPEN", TCP, 23, 7, None, False),
    ("TCP_DEFER_ACCEPT", TCP, 9, 3, None, False),
    ("IP_TTL", IP, 2, 55, 55, False),
    ("IP_MINTTL", IP, 21, 1, 1, False),
    ("IP_TRANSPARENT", IP, 19, 1, 1, True),
    ("IP_FREEBIND", IP, 15, 1, 1, False),
]


def setting(level, option, value):
    return f"s.setsockopt({level}, {option}, {value})"


@pytest.mark.parametrize("when", ["before bind", "before listen"])
def test_options_of_tcp_reach_the_lane(box, when):
    port = free_port()
    options = [o for o in TCP_OPTIONS if IS_ROOT or not o[5]]
    code = "; ".join(setting(*o[1:4]) for o in options)
    optioned.config(box, "tcp", port, **{
        "code" if when == "before bind" else "after": code})
    d = box.start()
    d.wait_ready(1)
    asked = [f"opt(s, {o[1]}, {o[2]})" for o in options] + \
        [f"opt(c, {o[1]}, {o[2]})" for o in options]
    found = optioned.values("tcp", port, *asked)
    for o, listener, connection in zip(options, found,
                                       found[len(options):]):
        assert listener == o[3], o[0]
        assert o[4] is None or connection == o[4], o[0]
    assert not d.find("cannot be carried over")
    d.stop()


def test_options_with_other_values_reach_the_lane(box):
    """Times, names, and the priority, which IP_TOS sets too."""
    port = free_port()
    code = ("s.setsockopt(0, 1, 0x10); s.setsockopt(1, 12, 3); "
            "s.setsockopt(1, 20, struct.pack('ll', 0, 250000)); "
            "s.setsockopt(1, 21, struct.pack('ll', 4, 0)); "
            "s.setsockopt(6, 13, b'reno'); "
            "s.setsockopt(1, 13, struct.pack('ii', 1, 5)); "
            "s.setsockopt(1, 26, struct.pack('HxxxxxxP', 1, "
            "state.setdefault('code', "
            "__import__('ctypes').create_string_buffer("
            "struct.pack('HBBI', 6, 0, 0, 0xffffffff))) and "
            "__import__('ctypes').addressof(state['code'])))")
    optioned.config(box, "tcp", port, code)
    d = box.start()
    d.wait_ready(1)
    found = optioned.values(
        "tcp", port, "opt(s, 0, 1)", "opt(s, 1, 12)", "opt(s, 1, 20, 16)",
        "opt(s, 1, 21, 16)", "opt(c, 6, 13, 16)", "opt(c, 1, 13, 8)")
    assert found[:2] == [0x10, 3]
    # In the kernel's ticks.
    seconds, micros = struct.unpack("ll", bytes.fromhex(found[2]))
    assert seconds == 0 and 240000 <= micros <= 260000
    assert struct.unpack("ll", bytes.fromhex(found[3])) == (4, 0)
    assert bytes.fromhex(found[4]).rstrip(b"\0") == b"reno"
    assert struct.unpack("ii", bytes.fromhex(found[5])) == (1, 5)
    d.stop()


@pytest.mark.parametrize("when", ["before bind", "after bind"])
def test_filter_of_a_server_is_still_there_when_it_is_heard(box, when):
    """Nobody is heard at first, until it is known that it is no tryout."""
    port = free_port()
    box.write("server.py", f"""
import ctypes, socket, struct
code = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0xffffffff))
s = socket.socket()
def attach():
    s.setsockopt(1, 26, struct.pack('HxxxxxxP', 1, ctypes.addressof(code)))
{'attach()' if when == 'before bind' else ''}
s.bind(("127.0.0.1", {port}))
{'attach()' if when == 'after bind' else ''}
s.listen()
libc = ctypes.CDLL(None)
while True:
    c, _ = s.accept()
    n = ctypes.c_int(0)
    libc.getsockopt(s.fileno(), 1, 26, None, ctypes.byref(n))
    c.sendall(b"%d" % n.value)
    c.close()
""")
    box.config(web={"command": f"{PYTHON} server.py", "port": port,
                    "instances": 2, "handoff": "adopt"})
    d = box.start()
    d.wait_ready(2)
    for _ in range(4):
        with socket.create_connection(("127.0.0.1", port), 10 * SLOW) as c:
            assert c.recv(8) == b"1"
    d.stop()


def test_options_of_udp_reach_the_lane(box):
    port = free_port(socket.SOCK_DGRAM)
    options = [(IP, 8, 1), (IP, 13, 1), (IP, 20, 1), (IP, 33, 5),
               (IP, 34, 0), (IP, 49, 0), (SOL, 35, 1), (SOL, 6, 1),
               (UDP, 104, 1), (SOL, 40, 1)]
    optioned.config(box, "udp", port,
                    "; ".join(setting(*o) for o in options))
    d = box.start()
    d.wait_ready(1)
    found = optioned.values("udp", port,
                            *[f"opt(s, {o[0]}, {o[1]})" for o in options])
    assert found == [o[2] for o in options]
    d.stop()


def hand_out(path, count, number, value):
    """Whoever connects gets a socket with that option set: by us, who may."""
    door = socket.socket(socket.AF_UNIX)
    door.bind(path)
    door.listen(8)

    def run():
        for _ in range(count):
            c, _ = door.accept()
            with c, socket.socket() as gift:
                gift.setsockopt(SOL, socket.SO_REUSEADDR, 1)
                gift.setsockopt(SOL, number, value)
                socket.send_fds(c, [b"x"], [gift.fileno()])
        door.close()
    threading.Thread(target=run, daemon=True).start()


@root
def test_what_cannot_be_carried_over_is_told_once(box):
    """clusterd has not the privilege that it takes."""
    port = free_port()
    hand_out(box.path("door"), 3, 36, 9)
    optioned.config(
        box, "tcp", port,
        "u = socket.socket(socket.AF_UNIX); u.connect('door'); "
        "os.dup2(socket.recv_fds(u, 1, 1)[1][0], s.fileno())", instances=3)
    d = box.start(launcher=["setpriv", "--bounding-set",
                            "-net_admin,-net_raw", "--inh-caps",
                            "-net_admin,-net_raw"])
    d.wait_ready(3)
    d.wait_log(r"web\[\d\] pid \d+: has set SO_MARK on its socket, and that "
               r"cannot be carried over to the listener: Operation not "
               r"permitted \(said once\)")
    assert len(d.find("cannot be carried over")) == 1
    assert optioned.values("tcp", port, "opt(s, 1, 36)") == [0]
    d.stop()


# --- interfaces

@pytest.mark.parametrize("key", ["port", "listen"])
@pytest.mark.parametrize("when", ["before bind", "before listen"])
def test_private_service_of_an_interface_stays_private(box, key, when):
    """SO_BINDTODEVICE is part of the address: from another interface there is
    nobody."""
    port = free_port()
    keep = "s.setsockopt(1, 25, b'lo\\0')"
    optioned.config(box, "tcp", port, instances=2, **{
        "code" if when == "before bind" else "after": keep,
        **({} if key == "port" else
           {"port": None, "listen": f"0.0.0.0:{port}"})})
    d = box.start()
    d.wait_ready(2)
    for _ in range(8):
        assert bytes.fromhex(optioned.values(
            "tcp", port, "opt(s, 1, 25, 16)")[0]).rstrip(b"\0") == b"lo"
    d.wait_log(rf"listening on 0\.0\.0\.0:{port} interface=lo "
               r"\(as its program asks for\)")
    assert listeners_on(port) == {"lo"}
    # … and after a crash and a reload.
    old = d.ready_pids()
    harness.kill(old[0])
    d.wait_replaced(old[:1], 2)
    old = d.ready_pids()
    d.send(signal.SIGHUP)
    d.wait_replaced(old, 2)
    assert optioned.ask("tcp", port)["pid"] in d.ready_pids()
    assert listeners_on(port) == {"lo"}
    d.stop()


def listeners_on(port):
    """The interfaces of those that listen there, as ss(8) tells; "": any."""
    import re
    import subprocess
    said = subprocess.run(["ss", "-Hltn", f"sport = :{port}"],
                          capture_output=True, text=True, check=True).stdout
    return {re.sub(r".*?(?:%(\w+))?:\d+$", r"\1", line.split()[3])
            for line in said.splitlines()}


@root
@pytest.mark.parametrize("when", ["before bind", "before listen"])
def test_interface_of_the_file_wins(box, when):
    others = [name for _, name in socket.if_nameindex() if name != "lo"]
    if not others:
        pytest.skip("there is no other interface")
    port = free_port()
    optioned.config(box, "tcp", port, port=None,
                    listen=f"0.0.0.0:{port} interface=lo", **{
                        "code" if when == "before bind" else "after":
                        f"s.setsockopt(1, 25, b'{others[0]}\\0')"})
    d = box.start()
    d.wait_ready(1)
    assert optioned.ask("tcp", port)["pid"] in d.ready_pids()
    assert listeners_on(port) == {"lo"}
    d.stop()


def test_interface_that_is_not_there_is_the_servers_own_trouble(box):
    port = free_port()
    optioned.config(box, "tcp", port, "s.setsockopt(1, 25, b'nowhere0\\0')")
    d = box.start()
    d.wait_log(r"exited with code 1")
    d.send(signal.SIGTERM)
    d.wait_end(0)


def test_passed_socket_is_not_given_to_one_that_keeps_to_an_interface(box):
    """It cannot be narrowed: it is another supervisor's."""
    with socket.socket() as s:
        s.bind(("0.0.0.0", 0))
        s.listen(5)
        port = s.getsockname()[1]
        optioned.config(box, "tcp", port, "s.setsockopt(1, 25, b'lo\\0')",
                        port=None, listen=f"0.0.0.0:{port}",
                        handoff="adopt")
        d = harness.start_with_sockets(box, s)
        d.wait_log(r"cannot give it its listener: it keeps to the interface "
                   r"lo, and the socket that LISTEN_FDS passes does not")
        d.wait_log(r"exited with code 1")
        d.send(signal.SIGTERM)
        d.wait_end(0)
