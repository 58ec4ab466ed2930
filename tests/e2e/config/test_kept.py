"""A supervisor that takes over goes by what the configuration in force was read
with, whatever has become of it."""

import os
import signal

import pytest

from harness import (HAS_KEEPER, get, is_alive, kill, status_field, wait_until,
                     with_mounts)

pytestmark = pytest.mark.skipif(not HAS_KEEPER, reason="there is no keeper")


def end(d):
    """Of the supervisor; returns when the next one has come up."""
    mark, old = d.mark(), d.pid
    kill(old)
    d.wait_log("start complete", start=mark)
    wait_until(lambda: not is_alive(old), "its end")


@pytest.mark.parametrize("text", [None, "A=2\n", "not an assignment\n"])
def test_env_file(box, text):
    box.write("env", "A=1\n")
    box.web(instances=2, env_file=box.path("env"))
    d = box.start()
    workers = d.wait_ready(2)
    if text is None:
        os.unlink(box.path("env"))
    else:
        box.write("env", text)
    for _ in range(2):
        end(d)
        assert d.wait_ready(2) == workers
    kill(workers[0])
    d.wait_replaced(workers[:1], 2)
    assert {get(d.port(), "/dump").env["A"] for _ in range(20)} == {"1"}
    assert not d.find("cannot be had again")
    # A reload reads it as it is.
    mark = d.mark()
    d.send(signal.SIGHUP)
    if text == "A=2\n":
        d.wait_log("reload complete", start=mark)
        d.wait_replaced(workers[1:], 2)
        wait_until(lambda: {get(d.port(), "/dump").env["A"] for _ in range(20)} ==
                   {"2"}, "what stands there now")
        end(d)
        assert get(d.port(), "/dump").env["A"] == "2"
    else:
        d.wait_log("env_file", start=mark)
    d.stop()


def test_user_that_is_no_more(box, as_root):
    users = box.path("passwd")
    with open("/etc/passwd", encoding="utf-8") as f:
        before = f.read()
    box.write("passwd", before + "cldkept:x:54321:54321::/:/bin/sh\n")
    os.chmod(users, 0o644)
    os.chmod(box.dir, 0o755)
    box.config(web={"command": "sleep 1000", "instances": 2,
                    "user": "cldkept"})
    d = box.start(launcher=with_mounts(
        'mount --bind "$1" /etc/passwd && shift && exec "$@"', users))
    workers = d.wait_ready(2)
    # The file that is mounted, not another in its place.
    with open(users, "w", encoding="utf-8") as f:
        f.write(before)
    end(d)
    assert d.wait_ready(2) == workers
    kill(workers[0])
    new, = set(d.wait_replaced(workers[:1], 2)) - set(workers)
    assert status_field(new, "Uid").split()[0] == "54321"
    assert not d.find("cannot be had again")
    mark = d.mark()
    d.send(signal.SIGHUP)
    d.wait_log('there is no user "cldkept"', start=mark)
    d.stop()
