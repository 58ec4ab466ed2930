"""The log lines that the tests look for, loosely, in one place.

Tests prefer behaviour (answers, pids, exit codes); where they need the log,
for instance to wait for something, they use a pattern from here. Each takes
keyword arguments, so that `DEATH(app="web", index=2)` is one seat's death.
"""

import re
import time

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}"
LINE = re.compile(rf"^{TIME} +(error|warn(?:ing)?|info|debug) +(.*)$", re.M)

DURATION = r"\d+(?:\.\d+)?(?:ms|s|m|h)"


def when(stamp):
    """Seconds of time.time(), of what matches TIME."""
    return time.mktime(time.strptime(stamp[:19], "%Y-%m-%d %H:%M:%S")) + \
        float(stamp[19:])


def _app(app):
    # Not the end of a longer name: "web" is none of clusterd-web.
    return r"(?<![\w-])" + (re.escape(app) if app else
                            r"[a-z0-9][a-z0-9_-]*")


def _seat(app=None, index=None):
    number = r"\d+" if index is None else index
    return rf"(?P<app>{_app(app)})\[(?P<index>{number})\]"


def LISTENING(app=None):
    return re.compile(
        rf"(?P<app>{_app(app)}): listening on (?P<address>\S+)")


def STARTED(app=None, index=None):
    return re.compile(rf"{_seat(app, index)} pid (?P<pid>\d+): .*start")


def READY(app=None, index=None):
    return re.compile(rf"{_seat(app, index)} pid (?P<pid>\d+): ready\b")


# A death in one line: what happened, how long it lived, what comes next.
def DEATH(app=None, index=None, how=r"(?:killed by|exited with)[^\n]*?"):
    return re.compile(
        rf"{_seat(app, index)} pid (?P<pid>\d+): (?P<how>{how}) "
        rf"after (?P<age>{DURATION})(?P<next>[^\n]*)")


KILLED_9 = r"killed by signal 9 \(SIGKILL\)"
RESTARTING_NOW = re.compile(r"restarting now")
RESTARTING_IN = re.compile(rf"restarting in (?P<delay>{DURATION})")


def EXITED(code):
    return rf"exited with code {code}"


def CANNOT_EXECUTE(why=r"No such file or directory"):
    return re.compile(rf"cannot execute [^\n]*{why}")


def RELOAD_DONE(app=None, generation=None):
    number = r"\d+" if generation is None else generation
    return re.compile(
        rf"(?P<app>{_app(app)}): reload complete, generation {number}\b")


def RELOAD_ABORTED(app=None):
    return re.compile(
        rf"(?P<app>{_app(app)}): reload aborted: (?P<why>[^\n]+)")


FOREGROUND_HINT = re.compile(r"run it in the foreground")
IN_USE = re.compile(r"[Aa]ddress already in use|in use")


def seconds(text):
    """The seconds of a logged duration such as `150ms` or `3.2s`."""
    number, unit = re.fullmatch(r"([\d.]+)(ms|s|m|h)", text).groups()
    return float(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]
