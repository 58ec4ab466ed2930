"""Drives tests/e2e/servers/optioned.py."""

import json
import os
import shlex
import socket
import sys

import harness

SERVER = os.path.join(harness.HERE, "servers", "optioned.py")


def command(kind, port, code="", after="", host=None):
    host = host or ("127.0.0.1" if kind == "udp" else "0.0.0.0")
    return shlex.join([sys.executable, "-Su", SERVER, kind, host, str(port),
                       code, after])


def config(box, kind, at, code="", after="", host=None, **keys):
    """The app of a server at that port; None leaves a key out."""
    listen = {"listen": f"udp:{at}"} if kind == "udp" else {"port": at}
    lines = command(kind, at, code, after, host)
    assert "\n" not in lines
    section = {"command": lines, "instances": 1, "restart_delay": "10ms",
               **listen, **keys}
    return box.config(web={k: v for k, v in section.items()
                           if v is not None})


def ask(kind, port, *expressions, host="127.0.0.1", limit=10.0):
    """Its answer: pid, instance, values."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp"
                       else socket.SOCK_STREAM) as c:
        c.settimeout(limit * harness.SLOW)
        c.connect((host, port))
        c.sendall("\n".join(expressions or ("0",)).encode())
        reply = b""
        while True:
            part = c.recv(65536)
            reply += part
            if not part or kind == "udp":
                break
    return json.loads(reply)


def values(kind, port, *expressions, **keys):
    return ask(kind, port, *expressions, **keys)["values"]
