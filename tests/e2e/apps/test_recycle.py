"""max_memory, max_age, max_connections: a worker that is due makes place for
another, and nobody loses a request."""

import datetime
import http.client
import sys
import time

import pytest

from harness import IS_ROOT, Stream, free_port, get, stays, wait_until

# Grows by 40 MiB when asked to.
GROWS = r"""
import http.server, os, socket
kept = []
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/grow":
            kept.append(bytearray(os.urandom(1)) * (40 << 20))
        text = b"pid %d\n" % os.getpid()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *a):
        pass
class S(http.server.ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), H, bind_and_activate=False)
        self.socket = socket.socket(fileno=int(os.environ["CLUSTERD_FD"]))
        self.server_address = self.socket.getsockname()
S().serve_forever()
"""


def test_worker_that_has_grown_is_replaced(box):
    port = free_port()
    script = box.write("grows.py", GROWS)
    box.web(command=f"{sys.executable} {script}", instances=2,
            listen=f"127.0.0.1:{port}", handoff="env", canary="0",
            max_memory="60M", drain_timeout="30s")
    d = box.start()
    old = set(d.wait_ready(2))
    with Stream(("127.0.0.1", port)):
        for _ in range(4):
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            c.request("GET", "/grow")
            c.getresponse().read()
            c.close()
        d.wait_log(r"web\[\d\] pid \d+: uses \d+[MK], "
                   r"more than max_memory = 60M")
        d.wait_log(r"instance \d is restarted", limit=30)
    assert set(d.ready_pids()) != old
    d.stop()


def test_age(box):
    """Not both at the same time."""
    box.web(canary="0", max_age="2s", instances=2)
    d = box.start()
    old = set(d.wait_ready(2))
    with Stream(d.addresses()[0]):
        d.wait_log(r"has lived for [1-9]s, max_age = 2s")
        wait_until(lambda: len(set(d.ready_pids()) & old) == 1, "one is new",
                   20)
        # They are young: it would be so for ever.
        d.wait_log(r"the next worker that is due is replaced in 10s at the "
                   "earliest")
    d.stop()


@pytest.mark.skipif(not IS_ROOT, reason="needs root, for eBPF")
def test_connections(box):
    box.web(canary="0", max_connections=20, instances=1)
    d = box.start()
    (old,) = d.wait_ready(1)
    if not d.find("balance = auto is least-connections"):
        pytest.skip("there is no eBPF here")
    address = d.addresses()[0]
    for _ in range(19):
        assert get(address).pid == old
    stays(lambda: d.ready_pids() == [old], "it stays", 1.5)
    get(address)
    d.wait_log(rf"pid {old}: has taken \d+ connections, max_connections = 20")
    d.wait_log("instance 0 is restarted")
    # New connections go to the next one as soon as that is said.
    wait_until(lambda: get(address).pid != old, "the next one")
    d.stop()


def test_connections_that_nobody_counts(box):
    box.web(balance="shared", max_connections=1)
    d = box.start()
    d.wait_ready(2)
    d.wait_log("max_connections has no effect")
    stays(lambda: d.log().count("has no effect") == 1, "said once", 1.5)
    d.stop()


def test_replacement_that_fails_is_not_tried_at_once(box):
    box.web("--fail-if-file", box.path("fail"), canary="0", instances=1,
            max_age="1s", restart_delay="10ms")
    d = box.start()
    d.wait_ready(1)
    box.touch("fail")
    mark = d.mark()
    # If the machine took longer than a second to put it there, in 10 seconds.
    d.wait_log(r"restart aborted", start=mark, limit=25)
    d.wait_log(r"the next worker that is due is replaced in 10s", start=mark)
    (old,) = d.ready_pids()
    time.sleep(2.5)
    assert d.ready_pids() == [old]
    # Before the file was there, some may have been replaced.
    tries = [datetime.datetime.fromisoformat(line[:23])
             for line in d.log()[mark:].splitlines()
             if "has lived for" in line]
    pauses = [(b - a).total_seconds() for a, b in zip(tries, tries[1:])]
    assert all(pause >= 9.9 for pause in pauses), d.log()
    d.stop()


def test_change_takes_effect_without_new_workers(box):
    box.web(instances=1, canary="0")
    d = box.start()
    (old,) = d.wait_ready(1)
    box.web(instances=1, canary="0", max_age="1s")
    done = box.ctl("-c", "app.ini", "update",
                   env={"RUNTIME_DIRECTORY": box.dir})
    assert done.returncode == 0, done.stderr
    d.wait_log(rf"pid {old}: has lived for")
    d.stop()
