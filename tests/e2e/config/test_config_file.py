"""The configuration's file where it is none, or has gone."""

import os
import signal


def test_configuration_that_is_not_a_file_is_refused_and_does_not_hang(box):
    os.mkfifo(box.path("fifo"))
    for name in (".", "fifo", "/dev/zero"):
        done = box.run("-t", "-c", name, limit=10)
        assert done.returncode == 78, name


def test_binary_rubbish_as_configuration_is_refused(box):
    with open(box.path("app.ini"), "wb") as f:
        f.write(bytes(range(256)) * 64)
    done = box.run("-t", "-c", "app.ini")
    assert done.returncode == 78
    assert "app.ini:" in done.stdout + done.stderr


def test_renamed_configuration_directory_does_no_harm(box):
    os.mkdir(box.path("etc"))
    box.web(name="etc/app.ini", restart_delay="10ms")
    d = box.start("-c", box.path("etc/app.ini"))
    pids = d.wait_ready(2)
    os.rename(box.path("etc"), box.path("gone"))
    d.send(signal.SIGHUP)
    d.wait_log("No such file or directory")
    os.kill(pids[0], signal.SIGKILL)
    # Its working directory, the file's, is another name of the same place.
    d.wait_replaced(pids[:1], 2)
    d.stop()
