"""Answers on a Unix socket with its pid, and sees to the path by itself: what
a run before has left there is removed."""

import contextlib
import os
import socket
import sys

path = sys.argv[1]
if os.path.exists(path):
    os.unlink(path)
s = socket.socket(socket.AF_UNIX)
s.bind(path)
s.listen()
while True:
    client, _ = s.accept()
    with client, contextlib.suppress(ConnectionError):
        client.recv(65536)
        client.sendall(f"HTTP/1.0 200 OK\r\n\r\n{os.getpid()}\n".encode())
