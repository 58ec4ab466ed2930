import os
import socket

import pytest

import harness


def pytest_sessionstart(session):
    for path in (harness.CLUSTERD, harness.CLUSTERCTL, harness.PROBE):
        if not os.access(path, os.X_OK):
            pytest.exit(f"{path}: not there; run make", returncode=2)


def pytest_report_header(config):
    return (f"clusterd: {' '.join([*harness.WRAP, harness.CLUSTERD])}, "
            f"limits x {harness.SLOW:g}, uid {os.geteuid()}")


@pytest.fixture
def box():
    """A directory to run clusterd in; afterwards nothing may be left."""
    b = harness.Box()
    yield b
    wrong = b.close()
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def as_root():
    if not harness.IS_ROOT:
        pytest.skip("needs root")


@pytest.fixture
def unwrapped():
    """For tests of resource limits and system calls of clusterd alone."""
    if harness.WRAP or harness.SANITIZED:
        pytest.skip("a sanitizer or CLUSTERD_WRAP needs resources itself")


@pytest.fixture
def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
