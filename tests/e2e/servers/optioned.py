"""A server for the tests of options: `optioned.py KIND HOST PORT CODE [AFTER]`.

CODE is run on the socket `s` before it is bound, AFTER between bind and listen
(TCP), `state` (a dict) is theirs to keep. Each connection, or datagram, is
answered with JSON: who it is, and what the expressions of the request (one on
each line) are, of the listening socket `s` and of the connection `c`.
"""

import fcntl
import json
import os
import signal
import socket
import struct
import sys
import threading
import time

kind, host, port, code = sys.argv[1:5]
after = sys.argv[5] if len(sys.argv) > 5 else ""
names = {"socket": socket, "struct": struct, "os": os, "fcntl": fcntl,
         "signal": signal, "threading": threading, "time": time, "state": {}}


def opt(sock, level, number, size=0):
    try:
        value = sock.getsockopt(level, number, size) if size else \
            sock.getsockopt(level, number)
    except OSError as e:
        return f"errno {e.errno}"
    return value.hex() if size else value


names["opt"] = opt


def answer(request, s, c):
    scope = dict(names, s=s, c=c)
    values = []
    for line in request.decode().splitlines():
        try:
            values.append(eval(line, scope))
        except OSError as e:
            values.append(f"errno {e.errno}")
    return json.dumps({"pid": os.getpid(), "values": values,
                       "instance": int(os.environ["CLUSTERD_INSTANCE"])
                       }).encode()


family = socket.AF_INET6 if ":" in host else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else
                  socket.SOCK_STREAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == "tcp")
names["s"] = s
exec(code, names)
s.bind((host, int(port)))
exec(after, names)
if kind == "udp":
    while True:
        request, peer = s.recvfrom(65536)
        s.sendto(answer(request, s, None), peer)
s.listen(5)
exec(names["state"].get("listening", ""), names)
while True:
    try:
        c, _ = s.accept()
    except BlockingIOError:
        continue
    with c:
        c.setblocking(True)
        request = c.recv(65536)
        c.sendall(answer(request, s, c))
