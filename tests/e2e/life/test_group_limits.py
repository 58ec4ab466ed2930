"""Limits by control group, where there are none: tests/vm/ has the rest."""

import os
import re
import subprocess

import pytest

import control
from harness import CLUSTERD, probe

LIMITED = {"command": probe(), "instances": 1, "memory_limit": "64M"}


def without_memory_controller():
    """The tests of the words for that; with one, they would move the group."""
    for place in "/sys/fs/cgroup", "/sys/fs/cgroup/unified":
        try:
            with open(os.path.join(place, "cgroup.controllers")) as f:
                if "memory" in f.read().split():
                    pytest.skip("there is a controller for memory here")
        except OSError:
            pass


def test_a_start_says_why_not(box):
    without_memory_controller()
    box.config(web=LIMITED)
    d = box.start()
    assert d.wait() == 69
    d.wait_log("memory_limit, cpu_limit and tasks_limit are not possible "
               "here: .*")
    done = subprocess.run([CLUSTERD, "-t", "-c", box.path("app.ini")],
                          capture_output=True, text=True)
    assert done.returncode == 0
    assert re.search("^warning: web: its limits are not possible here: ",
                     done.stderr, re.M), done.stderr


def test_a_reload_says_why_not(box):
    without_memory_controller()
    box.config(web={**LIMITED, "memory_limit": "none"})
    d = box.start()
    pids = d.wait_ready(1)
    box.config(web=LIMITED)
    assert "are not possible here" in control.refused(box, "reload")
    assert set(control.status(box).pids()) == set(pids)
    d.stop()
