"""Flows of datagrams at a reload: known ones stay, new ones go to the new
workers."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

import harness
import optioned
from harness import IS_ROOT, free_port, wait_until
from lanes import kill_and_wait, wait_asleep

needs_root = pytest.mark.skipif(not IS_ROOT, reason="needs root")
STAYS = r"flows of datagrams do not stay with their worker"


class Flow:
    def __init__(self, port, host="127.0.0.1"):
        self.s = socket.socket(socket.AF_INET6 if ":" in host
                               else socket.AF_INET, socket.SOCK_DGRAM)
        self.s.settimeout(10 * harness.SLOW)
        self.s.connect((host, port))

    def pid(self):
        self.s.send(b"0")
        return self.answer()

    def answer(self):
        return json.loads(self.s.recv(65536))["pid"]

    def close(self):
        self.s.close()


def start(box, port, host="0.0.0.0", **keys):
    optioned.config(box, "udp", port, host=host, **{
        "drain_timeout": "60s", "drain_idle": "1s", **keys})
    d = box.start()
    d.wait_ready(keys.get("instances", 1))
    # The line comes before the program that knows the flows.
    d.wait_log("start complete")
    wait_asleep(d)
    return d


@needs_root
@pytest.mark.parametrize("host, to", [("0.0.0.0", "127.0.0.1"),
                                      ("127.0.0.1", "127.0.0.1"),
                                      ("::", "::1"), ("::", "127.0.0.1")])
@pytest.mark.parametrize("instances, balance", [
    (1, "auto"), (3, "auto"), (3, "source")])
def test_known_flows_stay_and_new_ones_go_to_the_new(box, host, to, instances,
                                                     balance):
    port = free_port(socket.SOCK_DGRAM)
    listen = port if host != "127.0.0.1" else f"127.0.0.1:{port}"
    d = start(box, port, host, instances=instances, balance=balance,
              listen=f"udp:{listen}", max_surge=4, drain_idle="3s")
    old = d.ready_pids()
    flows = [Flow(port, to) for _ in range(12)]
    before = [f.pid() for f in flows]
    assert set(before) <= set(old)
    assert [f.pid() for f in flows] == before
    d.send(signal.SIGHUP)
    new = set()

    def replaced():
        # All the time, the known ones are where they were.
        assert [f.pid() for f in flows] == before
        new.update(set(d.ready_pids()) - set(old))
        return len(new) == instances
    wait_until(replaced, "the new workers are ready", 30)

    def steered():
        assert [f.pid() for f in flows] == before
        f = Flow(port, to)
        try:
            return f.pid() in new
        finally:
            f.close()
    wait_until(steered, "new flows go to the new ones")
    for n in range(30):
        f = Flow(port, to)
        assert f.pid() in new
        f.close()
        if n % 5 == 4:      # Within drain_idle they are over.
            assert [f.pid() for f in flows] == before
    # … until they are over.
    d.wait_replaced(old, instances, limit=40)
    assert {f.pid() for f in flows} <= new
    d.stop()


FLOOD = """
import socket
s = socket.socket(fileno={})
while True:
    s.send(b"0")
"""


@needs_root
def test_known_flow_stays_while_sockets_join(box):
    """None of its datagrams goes to one that has just been bound."""
    port = free_port(socket.SOCK_DGRAM)
    d = start(box, port, listen=f"udp:0.0.0.0:{port}")
    old, = d.ready_pids()
    flow = Flow(port)
    assert flow.pid() == flow.pid() == old
    answers = set()
    over = threading.Event()

    def read():
        while True:
            try:
                answers.add(flow.answer())
            except TimeoutError:
                # Whoever has got one has answered it in the end.
                if over.is_set():
                    return

    flow.s.settimeout(harness.SLOW)
    reading = threading.Thread(target=read)
    flooding = subprocess.Popen(
        [sys.executable, "-SBc", FLOOD.format(flow.s.fileno())],
        pass_fds=[flow.s.fileno()])
    reading.start()
    try:
        for n in range(2, 17):
            d.send(signal.SIGTTIN)
            d.wait_ready(n)
    finally:
        flooding.kill()
        flooding.wait()
        over.set()
        reading.join()
    assert answers == {old}
    d.stop()


# It hears nobody any more once it has been told to stop, and takes its time.
DEAF = r"""
import os, signal, socket, time

def end(*_):
    open("told", "w").close()
    time.sleep(0.5)
    os._exit(0)

signal.signal(signal.SIGTERM, end)
lane = socket.socket(fileno=int(os.environ["CLUSTERD_FD"]))
lane.setblocking(True)
while True:
    _, peer = lane.recvfrom(100)
    lane.sendto(b'{"pid": %d}' % os.getpid(), peer)
"""


@needs_root
@pytest.mark.parametrize("keys", [
    {"drain_idle": "1s"},
    # It is not drained by then: nobody has waited for its end.
    {"drain_idle": "1h", "drain_timeout": "1500ms"}])
def test_known_flows_of_who_has_been_told_to_stop_go_to_others(box, keys):
    """Nobody would read what comes."""
    port = free_port(socket.SOCK_DGRAM)
    path = box.write("server.py", DEAF, mode=0o644)
    d = start(box, port, command=f"/usr/bin/python3 -B {path}",
              directory=box.dir, handoff="env", **keys)
    old = d.ready_pids()
    flows = [Flow(port) for _ in range(12)]
    assert {f.pid() for f in flows} == {f.pid() for f in flows} == set(old)
    d.send(signal.SIGHUP)
    wait_until(lambda: os.path.exists(box.path("told")), lambda: d.log(), 20)
    new = {f.pid() for f in flows}
    assert len(new) == 1 and not new & set(old)
    d.wait_workers(1)
    assert not d.find("restarting for those who wait")
    d.stop()


@needs_root
def test_flow_of_a_dead_worker_goes_to_another_and_stays_there(box):
    port = free_port(socket.SOCK_DGRAM)
    d = start(box, port, instances=3, restart_delay="1h",
              restart_delay_max="1h")
    pids = set(d.ready_pids())
    flows = [Flow(port) for _ in range(12)]
    before = [f.pid() for f in flows]
    victim = before[0]
    kill_and_wait(d, victim)
    after = [f.pid() for f in flows]
    assert victim not in after and set(after) <= pids
    # Nobody else has moved.
    assert [a for a, b in zip(after, before) if b != victim] == \
        [b for b in before if b != victim]
    assert [f.pid() for f in flows] == after
    d.stop()


@needs_root
def test_drain_of_datagrams_ends_at_drain_timeout(box):
    port = free_port(socket.SOCK_DGRAM)
    d = start(box, port, drain_idle="off", drain_timeout="2s")
    old = d.ready_pids()
    flow = Flow(port)
    assert flow.pid() == flow.pid() == old[0]
    d.send(signal.SIGHUP)
    d.wait_log(r"drain_timeout after (?:[2-9]|\d\d+)(?:\.\d+)?s: datagrams of "
               r"its flows still come", limit=20)
    d.wait_replaced(old, 1, limit=20)
    assert flow.pid() == d.ready_pids()[0]
    d.stop()


@needs_root
def test_single_datagrams_do_not_hold_up_a_drain(box):
    """As with DNS: nothing follows."""
    port = free_port(socket.SOCK_DGRAM)
    d = start(box, port, drain_idle="1h")
    old = d.ready_pids()
    for _ in range(20):
        assert optioned.ask("udp", port)["pid"] == old[0]
    d.send(signal.SIGHUP)
    d.wait_replaced(old, 1, limit=30)
    d.stop()


def test_without_privileges_the_log_says_what_is_missing(box):
    port = free_port(socket.SOCK_DGRAM)
    optioned.config(box, "udp", port, host="0.0.0.0", instances=2)
    d = box.start(launcher=["setpriv", "--bounding-set=-all",
                            "--inh-caps=-all", "--ambient-caps=-all"]
                  if IS_ROOT else ())
    d.wait_ready(2)
    d.wait_log(STAYS)
    assert len(d.find(STAYS)) == 1
    old = d.ready_pids()
    flow = Flow(port)
    assert flow.pid() == flow.pid()
    d.send(signal.SIGHUP)
    d.wait_replaced(old, 2, limit=30)
    assert flow.pid() in d.ready_pids()
    d.stop()


class Strangers:
    """Each datagram is another client's, as with DNS; nobody waits for the
    answer."""

    def __init__(self, port):
        self.port = port
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.wait(0.01):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.sendto(b"0", ("127.0.0.1", self.port))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


@pytest.mark.parametrize("privileged", [
    pytest.param(True, marks=needs_root), False])
@pytest.mark.parametrize("how", ["stop", "moved"])
def test_a_closed_door_keeps_who_is_known_and_nobody_else(box, privileged,
                                                          how):
    """Strangers are not answered any more, and hold nothing up."""
    port, other = (free_port(socket.SOCK_DGRAM) for _ in range(2))
    keys = {"host": "0.0.0.0", "instances": 2, "max_surge": 4,
            "drain_timeout": "60s",
            # Who is known asks all the time: not for so long he is given none.
            "drain_idle": "3s" if privileged else "1s"}
    optioned.config(box, "udp", port, **keys)
    d = box.start(launcher=[] if privileged or not IS_ROOT else [
        "setpriv", "--bounding-set=-all", "--inh-caps=-all",
        "--ambient-caps=-all"])
    d.wait_ready(2)
    old = d.ready_pids()
    flow = Flow(port)
    pid = flow.pid()
    assert flow.pid() == pid
    with Strangers(port):
        if how == "stop":
            d.send(signal.SIGTERM)
        else:
            optioned.config(box, "udp", other, **keys)
            d.send(signal.SIGHUP)
        closed = rf"no longer listening on udp:\S+:{port}, but for those"
        if not privileged:
            d.wait_log(closed)
        else:
            # All the time, it is where it was.
            wait_until(lambda: flow.pid() == pid and d.find(closed),
                       "the door is closed", 20)
            assert [flow.pid() for _ in range(20)] == [pid] * 20
        if how == "stop":
            d.wait_end(0, limit=20)
        else:
            d.wait_replaced(old, 2, limit=20)
            d.stop()
    assert not d.find("drain_timeout")
    flow.close()
