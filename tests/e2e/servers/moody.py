"""An HTTP server that is as well as a file says, which may change.

    moody.py DIRECTORY

The first line of DIRECTORY/mood.pid.PID, or DIRECTORY/mood.INSTANCE, or else of
DIRECTORY/mood:

    well     200, with the pid (and without any file)
    500      any other status
    hang     takes connections, and never answers
    stuck    takes none: its loop stands still
    trigger  says WATCHDOG=trigger, once
    drip     a byte of a header every now and then, for ever
    endless  headers, as fast as they go
    garbage  no HTTP
    reset    the connection is reset
    close    … or closed without a word

Who is asked for /who notes "INSTANCE PID" in DIRECTORY/asked. PORT, or the
descriptor in FD, is where it listens. Where a watchdog is asked for, it says
WATCHDOG=1 in time.
"""

import os
import selectors
import socket
import struct
import sys
import time

WHERE = sys.argv[1]
INSTANCE = os.environ["CLUSTERD_INSTANCE"]
selector = selectors.DefaultSelector()


def mood():
    for name in (f"mood.pid.{os.getpid()}", f"mood.{INSTANCE}", "mood"):
        try:
            with open(os.path.join(WHERE, name)) as f:
                return f.readline().strip() or "well"
        except FileNotFoundError:
            pass
    return "well"


def say(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1))
        s.send(text)


def feed_watchdog(state={"next": 0.0, "triggered": False}):
    if os.environ.get("WATCHDOG_PID") != str(os.getpid()):
        return
    if not state["triggered"] and mood() == "trigger":
        state["triggered"] = True
        say(b"WATCHDOG=trigger")
    if time.monotonic() >= state["next"]:
        say(b"WATCHDOG=1")
        state["next"] = (time.monotonic() +
                         int(os.environ["WATCHDOG_USEC"]) / 4e6)


def stand_still():
    while mood() == "stuck":
        time.sleep(0.02)


def answer(c, status="200 OK"):
    body = f"pid {os.getpid()}\ninstance {INSTANCE}\n"
    c.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n"
              f"Connection: close\r\n\r\n{body}".encode())
    leave(c)


def leave(c):
    if c in (key.fileobj for key in selector.get_map().values()):
        selector.unregister(c)
    c.close()


def drip(c, fast):
    c.sendall(b"HTTP/1.1 200 OK\r\n")
    while mood() in ("drip", "endless"):
        try:
            c.sendall(b"X: y\r\n" * 500 if fast else b"x")
        except OSError:
            break
        if not fast:
            time.sleep(0.02)
    leave(c)


def serve(c):
    request = c.recv(4096)
    now = mood()
    if request.startswith(b"GET /who "):
        with open(os.path.join(WHERE, "asked"), "a") as f:
            f.write(f"{INSTANCE} {os.getpid()}\n")
    if now == "hang":
        selector.unregister(c)
        kept.append(c)
    elif now in ("drip", "endless"):
        drip(c, now == "endless")
    elif now == "garbage":
        c.sendall(b"220 mail.example.org ESMTP\r\n")
        leave(c)
    elif now == "reset":
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                     struct.pack("ii", 1, 0))
        leave(c)
    elif now == "close":
        leave(c)
    else:
        answer(c, "200 OK" if now == "well" else f"{now} Told So")


def accept(s):
    stand_still()
    try:
        c, _ = s.accept()
    except OSError:
        return
    c.setblocking(True)
    selector.register(c, selectors.EVENT_READ, serve)


kept = []
if "FD" in os.environ:
    listener = socket.socket(fileno=int(os.environ["FD"]))
else:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(os.environ["PORT"])))
listener.listen(64)
listener.setblocking(False)
selector.register(listener, selectors.EVENT_READ, accept)
while True:
    stand_still()
    feed_watchdog()
    for key, _ in selector.select(0.05):
        try:
            key.data(key.fileobj)
        except OSError:
            leave(key.fileobj)
