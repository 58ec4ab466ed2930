"""notify.py SOCKET FILE: write "PID MESSAGE" of each datagram to FILE."""
import os
import socket
import struct
import sys

s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
with open(sys.argv[2], "w", buffering=1) as told:
    s.bind(sys.argv[1])
    while True:
        data, control, _, _ = s.recvmsg(4096, 1024)
        pid = "?"
        for _, kind, value in control:
            if kind == socket.SCM_CREDENTIALS:
                pid = struct.unpack("iii", value)[0]
            else:               # BARRIER=1 brings a descriptor: close it
                for fd in struct.unpack("%di" % (len(value) // 4), value):
                    os.close(fd)
        told.write("%s %s\n" % (pid, data.decode().replace("\n", " ")))
