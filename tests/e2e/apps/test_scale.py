"""TTIN and TTOU: an instance more or less of every app."""

import signal

import pytest

from harness import Stream, get, probe


@pytest.mark.valgrind
def test_ttin_and_ttou_scale_by_one(box):
    box.web(instances=2)
    d = box.start()
    two = d.wait_ready(2)
    with Stream(d.port(), clients=2):
        d.send(signal.SIGTTIN)
        three = d.wait_ready(3)
        assert set(two) < set(three)
        assert box.events("start")[-1]["instance"] == "2"
        d.send(signal.SIGTTOU)
        d.wait_workers(2)
        d.send(signal.SIGTTOU)
        d.wait_workers(1)
        assert d.ready_pids() == [e["pid"] for e in box.events("start")
                                  if e["instance"] == "0"]
        d.send(signal.SIGTTIN)
        d.wait_ready(2)
    assert d.pids_that_answer(d.port(), 2) == set(d.workers())
    d.stop()


def test_ttin_scales_every_app(box):
    box.config(first={"command": probe(), "instances": 1},
               second={"command": probe(), "instances": 2})
    d = box.start()
    d.wait_ready(3)
    d.send(signal.SIGTTIN)
    d.wait_ready(2, app="first")
    d.wait_ready(3, app="second")
    d.stop()


def test_ttou_never_goes_under_one(box):
    box.web(instances=2)
    d = box.start()
    d.wait_ready(2)
    for _ in range(4):
        d.send_and_wait(signal.SIGTTOU)
    d.wait_workers(1)
    assert get(d.port()).instance == 0
    d.send(signal.SIGTTIN)
    d.wait_ready(2)
    d.stop()
