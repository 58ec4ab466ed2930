"""Answers every datagram with its pid."""

import os
import socket
import sys

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", int(sys.argv[1])))
while True:
    _, client = s.recvfrom(65536)
    s.sendto(f"{os.getpid()}\n".encode(), client)
