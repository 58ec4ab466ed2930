"""Workers of another user, and what clusterd must be allowed for them."""

import pwd
import shutil

import pytest

from harness import CLUSTERD, IS_ROOT, PROBE, probe, status_field

SETPRIV = shutil.which("setpriv")
needs_setpriv = pytest.mark.skipif(
    not (IS_ROOT and SETPRIV), reason="needs root and setpriv(1)")


def nobody():
    return pwd.getpwnam("nobody")


@needs_setpriv
def test_ambient_capabilities_do_not_reach_another_user(box):
    caps = "+setuid,+setgid,+kill"
    user = pwd.getpwnam("daemon")
    program = box.copy(PROBE)
    box.config(web={"command": probe(program=program), "instances": 1,
                    "user": "nobody", "ready": "alive:50ms"})
    d = box.start(program=box.copy(CLUSTERD), launcher=[
        SETPRIV, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}",
        "--clear-groups", f"--inh-caps={caps}", f"--ambient-caps={caps}"])
    pid, = d.wait_ready(1)
    assert int(status_field(d.pid, "CapAmb"), 16) != 0
    assert status_field(pid, "Uid").split() == [str(nobody().pw_uid)] * 4
    for name in ("CapAmb", "CapEff", "CapPrm"):
        assert int(status_field(pid, name), 16) == 0, name
    d.stop()


@needs_setpriv
def test_user_without_the_right_to_kill_is_refused(box):
    box.config(web={"command": probe(), "user": "nobody"})
    d = box.start(launcher=[SETPRIV, "--bounding-set=-kill",
                            "--inh-caps=-kill"])
    d.wait_end(78)
    assert "CAP_KILL" in d.log()
    assert "app.ini:3" in d.log()


@needs_setpriv
def test_ready_from_a_descendant_of_another_uid_counts(box):
    program = box.copy(PROBE)
    script = (f"{SETPRIV} --reuid={nobody().pw_uid} --clear-groups {program} "
              "& wait")
    box.config(web={"command": f"sh -c '{script}'", "instances": 1,
                    "ready": "notify", "ready_timeout": "60s"})
    d = box.start()
    d.wait_ready(1)
    assert "ignoring a notify message" not in d.log()
    d.stop()


def test_worker_of_another_user_cannot_kill_clusterd(box, as_root):
    program = box.copy(PROBE)
    box.web(command=f"/bin/sh -c 'kill -9 $PPID; exec {program}'",
            user="nobody", instances=1)
    d = box.start()
    d.wait_ready(1)
    d.stop()
