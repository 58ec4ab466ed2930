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


NOT_HERE = ("memory_limit not in force, workers run without: "
            "(the controller memory is not in|no cgroup v2|cannot read) .*")


def test_a_start_says_why_not(box):
    without_memory_controller()
    box.config(web=LIMITED)
    d = box.start()
    d.wait_ready(1)
    d.wait_log(NOT_HERE)
    done = subprocess.run([CLUSTERD, "-t", "-c", box.path("app.ini")],
                          capture_output=True, text=True)
    assert done.returncode == 0
    assert re.search("^warning: web: its limits would not be in force if "
                     "clusterd were started here: ", done.stderr, re.M), \
        done.stderr
    # Known already.
    control.do(box, "reload")
    assert len(re.findall(NOT_HERE, d.log())) == 1
    d.stop()


def test_a_reload_says_why_not(box):
    without_memory_controller()
    box.config(web={**LIMITED, "memory_limit": "none"})
    d = box.start()
    d.wait_ready(1)
    box.config(web=LIMITED)
    control.do(box, "reload")
    d.wait_log(NOT_HERE)
    d.stop()
