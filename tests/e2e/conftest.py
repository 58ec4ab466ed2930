import os
import resource
import signal
import socket

import pytest

import harness

LOG_MAX = 20000     # of a report


def _heed(signo):
    """What the tests start has the signal's default again; here it goes on to
    do nothing."""
    signal.signal(signo, signal.SIG_DFL if signo == signal.SIGCHLD
                  else lambda *_: None)


def pytest_configure(config):
    """Nothing of whoever started us is to reach clusterd and its workers: nohup
    and shells that put us in the background ignore signals, for instance."""
    # Python ignores these itself, and not in what it starts.
    of_python = (signal.SIGPIPE, signal.SIGXFSZ)
    for signo in signal.valid_signals():
        if signal.getsignal(signo) is signal.SIG_IGN and \
                signo not in of_python:
            _heed(signo)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o022)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < 1024:        # the kernel's own default
        resource.setrlimit(resource.RLIMIT_NOFILE, (
            1024 if hard == resource.RLIM_INFINITY else min(1024, hard), hard))


def pytest_sessionstart(session):
    for path in (harness.CLUSTERD, harness.CLUSTERCTL, harness.PROBE):
        if not os.access(path, os.X_OK):
            pytest.exit(f"{path}: not there; run make", returncode=2)


def pytest_report_header(config):
    return (f"clusterd: {' '.join([*harness.WRAP, harness.CLUSTERD])}, "
            f"limits x {harness.SLOW:g}, uid {os.geteuid()}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """What clusterd said, beside a failure that may not come again."""
    outcome = yield
    report = outcome.get_result()
    box = getattr(item, "funcargs", {}).get("box")
    if report.when != "call" or not report.failed or box is None:
        return
    for d in box.running:
        try:
            said = d.log()
        except OSError as e:        # a test may move it
            said = str(e)
        report.sections.append((
            f"log of clusterd {d.keeper}", said if len(said) <= LOG_MAX else
            f"{said[:LOG_MAX // 2]}\n[…]\n{said[-LOG_MAX // 2:]}"))


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
