"""Blocking Python, a thread for each client: see clients.py for what is said.

    threads.py PORT | -

`-`: on the descriptor that CLUSTERD_FD names.
"""

import os
import socket
import sys
import threading
import time

GREETING = (f"{os.getpid()} {os.environ.get('CLUSTERD_INSTANCE')} "
            f"{os.environ.get('CLUSTERD_GENERATION')}\n").encode()


def serve(s):
    with s, s.makefile("rb") as reader:
        try:
            s.sendall(GREETING)
            line = reader.readline()
            if line.endswith(b"\n"):
                time.sleep(int(line) / 1000)
                s.sendall(b"done\n")
        except ConnectionError:
            pass


def main(where):
    if where == "-":
        listener = socket.socket(
            fileno=int(os.environ["CLUSTERD_FD"].split(",")[0]))
    else:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", int(where)))
        listener.listen()
    while True:
        try:
            s, _ = listener.accept()
        except BlockingIOError:
            continue
        threading.Thread(target=serve, args=(s,), daemon=True).start()


main(sys.argv[1])
