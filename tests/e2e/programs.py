"""The servers that are tests' workers, where it is not the probe.

HELLO names another build of hello-server, for instance with sanitizers.
"""

import os
import shlex
import sys

from harness import HERE, _program

HELLO = _program("HELLO", "examples/hello-server")
SERVERS = os.path.join(HERE, "servers")

# A python3 in the PATH may be a launcher of yet another one.
PYTHON = sys.executable
HTTP_SERVER = shlex.join([PYTHON, "-m", "http.server"])


def script(name):
    return os.path.join(SERVERS, name)
