"""A server that does nothing about signals: SIGTERM ends it at once, whatever
it is doing. It serves the first descriptor of CLUSTERD_FD; connections are kept
as long as the client likes.

	abrupt.py [EVENTS]

	/		pid, instance, generation, as the probe says them
	/slow/MS	the same after MS
	/stream/MS	half of it, and the rest after MS

Of the latter two it appends to the file EVENTS when they begin. Where the
descriptor is one of datagrams, each is sent back as it is; with an argument
`graceful` a SIGTERM is obeyed between two of them.
"""

import os
import select
import signal
import socket
import sys
import threading
import time

EVENTS = sys.argv[1] if len(sys.argv) > 1 else None
WHO = [os.environ.get(f"CLUSTERD_{n}") for n in ("INSTANCE", "GENERATION")]


def note(what):
    line = (f"{what} pid={os.getpid()} instance={WHO[0]} "
            f"generation={WHO[1]} at={int(time.monotonic() * 1000)}\n")
    fd = os.open(EVENTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(fd, line.encode())
    os.close(fd)


def answer(s, path, keep):
    body = (f"pid {os.getpid()}\ninstance {WHO[0]}\n"
            f"generation {WHO[1]}\n").encode()
    head = (f"HTTP/1.{int(keep)} 200 OK\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode()
    _, how, *wait = path.split("/")
    if how == "slow":
        note("slow")
        time.sleep(int(wait[0]) / 1000)
    elif how == "stream":
        s.sendall(head + body[:5])
        note("stream")
        time.sleep(int(wait[0]) / 1000)
        s.sendall(body[5:])
        return
    s.sendall(head + body)


def serve(s):
    with s:
        got = b""
        while True:
            while b"\r\n\r\n" not in got:
                part = s.recv(4096)
                if not part:
                    return
                got += part
            head, _, got = got.partition(b"\r\n\r\n")
            _, path, version = head.decode().split("\r\n")[0].split()
            keep = version == "HTTP/1.1" and b"onnection: close" not in head
            answer(s, path, keep)
            if not keep:
                return


def echo(s):
    wake, end = os.pipe()
    if "graceful" in sys.argv:
        os.set_blocking(end, False)
        signal.set_wakeup_fd(end)
        signal.signal(signal.SIGTERM, lambda *_: None)
    s.setblocking(False)
    while wake not in select.select([s, wake], [], [])[0]:
        try:
            data, client = s.recvfrom(65536)
            s.sendto(data, client)
        except OSError:     # another one has taken it
            pass


listener = socket.socket(fileno=int(os.environ["CLUSTERD_FD"].split(",")[0]))
if listener.type == socket.SOCK_DGRAM:
    echo(listener)
    sys.exit(0)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],),
                     daemon=True).start()
