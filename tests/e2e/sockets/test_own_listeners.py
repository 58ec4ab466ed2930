"""Instances with listeners of their own, and many of them."""

import os
import signal
import socket

import pytest

import words
from binder import binder, tcp
from harness import (SLOW, free_port, get, is_alive, probe, stays,
                     wait_until)
from lanes import kill_and_wait, needs, seats

# With two listeners each, more than what one worker may have.
COUNT = 150


def start(box):
    listen = [f"127.1.0.{{instance}}:{free_port()}",
              f"127.1.1.{{instance}}:{free_port()}"]
    box.web(listen=listen, instances=COUNT, max_surge=COUNT,
            drain_timeout="60s", ready_timeout="60s")
    d = box.start()
    d.wait_ready(COUNT, limit=60)
    ports = [int(address.rpartition(":")[2]) for address in listen]
    return d, [("127.1.0.{}", ports[0]), ("127.1.1.{}", ports[1])]


def test_one_of_many_drains(box):
    d, (first, _) = start(box)
    d.send(signal.SIGTTOU)
    d.wait_log(rf"web\[{COUNT - 1}\] pid \d+: drained in", limit=30)
    d.wait_workers(COUNT - 1)
    assert get((first[0].format(7), first[1])).instance == 7
    d.stop(limit=60)


def test_the_first_client_of_one_of_many_waits(box):
    """It is looked for among the connections of the new worker."""
    d, (first, _) = start(box)
    mark = d.mark()
    d.send(signal.SIGHUP)
    new = int(d.wait_log(words.READY("web"), start=mark, limit=30)["pid"])
    os.kill(new, signal.SIGSTOP)
    try:
        instance = int(next(m["index"] for m in d.find(words.READY("web"), mark)
                            if int(m["pid"]) == new))
        address = (first[0].format(instance), first[1])
        waiting = [socket.create_connection(address) for _ in range(3)]
        # For longer than `canary`: it is not found to serve meanwhile.
        stays(lambda: not d.find(words.RELOAD_DONE("web", 2)),
              "a reload whose first client waits", 1.5)
        assert is_alive(d.pid)
    finally:
        os.kill(new, signal.SIGCONT)
    for s in waiting:
        s.close()
    d.wait_log(words.RELOAD_DONE("web", 2), limit=60)
    wait_until(lambda: get(address).generation == 2, "the new one serves")
    d.stop(limit=60)


def is_refused(address):
    try:
        with socket.create_connection(address, timeout=10 * SLOW):
            return False
    except ConnectionRefusedError:
        return True


@pytest.mark.parametrize("handoff, balance", [
    ("env", "random"), ("env", "least-connections"), ("adopt", "shared")])
def test_address_of_an_instance_at_its_end_is_closed(box, handoff, balance):
    """Nobody will ever serve those who come there; until it is started again."""
    needs(balance)
    port = free_port()
    listen = [f"127.1.0.{{instance}}:{port}"]
    command = probe("--events", box.events_path) if handoff == "env" else \
        binder("--events", box.events_path,
               *tcp(port, "127.1.0.{instance}", flags=",nonblock"),
               "serve:poll")
    box.web(listen=listen, instances=2, restart="never", balance=balance,
            handoff=handoff, command=command)
    d = box.start()
    d.wait_ready(2)
    first, other = ("127.1.0.0", port), ("127.1.0.1", port)
    pid = seats(d)[0]
    os.kill(pid, signal.SIGSTOP)
    with socket.create_connection(first, timeout=10 * SLOW) as waits:
        kill_and_wait(d, pid)
        with pytest.raises(ConnectionResetError):
            waits.recv(1)
    # Who waits is let go before the address is: by `adopt` that it was left is
    # looked at a moment later.
    wait_until(lambda: is_refused(first), d.log)
    assert not is_refused(other)
    start = d.mark()
    done = box.ctl("-c", "app.ini", "restart", "web.0",
                   env={"RUNTIME_DIRECTORY": box.dir})
    assert done.returncode == 0, done.stderr
    d.wait_log(words.READY("web"), start=start)
    assert not is_refused(first)
    d.stop()
