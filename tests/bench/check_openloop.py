"""
Is what openloop reports what happened? A little server behaves as the path
says, in each way that has a count of its own.

    python3 -B tests/bench/check_openloop.py OPENLOOP
"""

import asyncio
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading

OPENLOOP = sys.argv[1]
BODY = b"x" * 1000
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + BODY


def reset(writer):
    sock = writer.get_extra_info("socket")
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                        struct.pack("ii", 1, 0))


async def answer(path, n, writer):
    """Answer the n-th request of a connection. False: it is over."""
    keep = True
    if path == "/ok":
        writer.write(OK)
    elif path == "/empty":
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    elif path == "/chunked":
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (b"5\r\nhel", b"lo\r", b"\n1A;x=y\r\n" + b"z" * 26,
                      b"\r\n0\r\nTrailer: 1\r\n", b"\r\n"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.001)
    elif path == "/eof":
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + BODY)
        keep = False
    elif path == "/503":
        writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
    elif path == "/nonsense":
        writer.write(b"220 mail.example.com ESMTP\r\n\r\n")
    elif path == "/silent-close":
        keep = False
    elif path == "/reset":
        reset(writer)
        keep = False
    elif path == "/cut":
        writer.write(OK[:500])
        keep = False
    elif path == "/cut-reset":
        writer.write(OK[:500])
        await writer.drain()
        await asyncio.sleep(0.02)
        reset(writer)
        keep = False
    elif path == "/never":
        await asyncio.sleep(60)
    elif path == "/half-then-never":
        writer.write(OK[:500])
        await asyncio.sleep(60)
    elif path == "/third-closes":  # as a server does that had idled too long
        if n < 3:
            writer.write(OK)
        else:
            keep = False
    elif path == "/third-resets":
        if n < 3:
            writer.write(OK)
        else:
            reset(writer)
            keep = False
    elif path == "/idle-closes":
        writer.write(OK)
        await writer.drain()
        await asyncio.sleep(0.005)
        keep = False
    elif path == "/slow":
        await asyncio.sleep(0.3)
        writer.write(OK)
    await writer.drain()
    return keep


async def serve(reader, writer):
    n = 0
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            n += 1
            path = head.split()[1].decode()
            if not await answer(path, n, writer):
                break
            if b"Connection: close" in head:
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


class Echo(asyncio.DatagramProtocol):
    """Loses every tenth."""

    def connection_made(self, transport):
        self.transport = transport
        self.n = 0

    def datagram_received(self, data, addr):
        self.n += 1
        if self.n % 10:
            self.transport.sendto(data, addr)


class Server(threading.Thread):
    def __init__(self, directory):
        super().__init__(daemon=True)
        self.unix = os.path.join(directory, "s")
        self.up = threading.Event()

    def run(self):
        asyncio.run(self.main())

    async def main(self):
        loop = asyncio.get_running_loop()
        tcp = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
        self.port = tcp.sockets[0].getsockname()[1]
        await asyncio.start_unix_server(serve, self.unix, backlog=2)
        udp, _ = await loop.create_datagram_endpoint(
            Echo, local_addr=("127.0.0.1", 0))
        self.udp_port = udp.get_extra_info("sockname")[1]
        self.up.set()
        await asyncio.Event().wait()


failures = 0


def check(what, truth):
    global failures
    if not truth:
        failures += 1
        print(f"openloop: {what}: not so")


def run(*options, target=None):
    out = subprocess.run([OPENLOOP, *options] + ([target] if target else []),
                         capture_output=True, text=True, timeout=60)
    if out.returncode != 0:
        sys.exit(f"openloop {options}: {out.stderr}")
    report = json.loads(out.stdout)
    total = report["ok"] + report["failed"] + report["unfinished"]
    check(f"{options}: each request has one outcome",
          total == report["started"])
    counted = sum(n for kind in report["failures"].values()
                  for n in kind.values())
    check(f"{options}: each failure is counted", counted == report["failed"])
    check(f"{options}: failures are told",
          len(report["first_failures"]) == min(report["failed"], 100))
    return report


def main():
    directory = tempfile.TemporaryDirectory()
    server = Server(directory.name)
    server.start()
    if not server.up.wait(10):
        sys.exit("no server")
    target = f"127.0.0.1:{server.port}"
    short = ["--rate", "200", "--duration", "0.25"]

    def all_fail(path, phase, *errors, options=()):
        r = run(*short, "--path", path, *options, target=target)
        check(f"{path}: all fail", r["failed"] == r["started"] == 50)
        check(f"{path}: {phase} {errors}, not {r['failures']}",
              set(r["failures"]) == {phase} and
              set(r["failures"][phase]) <= set(errors))

    for options in ([], ["--keepalive", "5"], ["--poisson"]):
        for path in ("/ok", "/chunked", "/eof", "/empty"):
            r = run(*short, *options, "--path", path, target=target)
            check(f"{path} {options}: {r}", r["ok"] == r["started"] > 20)
            check("constant rate", "--poisson" in options or
                  r["started"] == 50)
            if "--keepalive" not in options:
                check("a connection each", r["connections"] == r["started"])
            elif path == "/ok":
                check("few connections", r["connections"] <= 20)

    all_fail("/503", "status", "503")
    all_fail("/503", "status", "503", options=["--keepalive", "3"])
    all_fail("/nonsense", "answer", "EBADMSG")
    all_fail("/silent-close", "wait", "EOF")
    all_fail("/reset", "wait", "ECONNRESET")
    all_fail("/cut", "answer", "EOF")
    all_fail("/cut-reset", "answer", "ECONNRESET")
    all_fail("/never", "wait", "timeout", options=["--timeout", "100"])
    all_fail("/half-then-never", "answer", "timeout",
             options=["--timeout", "100"])

    # A race is retried once, on a new connection, and counted apart …
    for path in ("/third-closes", "/third-resets"):
        r = run(*short, "--keepalive", "1", "--path", path, target=target)
        check(f"{path}: {r}", r["ok"] == r["started"] == 50)
        check(f"{path}: {r['raced']} races", 10 <= r["raced"] <= 25)
    # … but not on a connection that had not served one before, nor twice.
    all_fail("/silent-close", "wait", "EOF", options=["--keepalive", "3"])
    # A close that is seen while the connection is idle is no race.
    r = run("--rate", "20", "--duration", "0.5", "--keepalive", "1",
            "--path", "/idle-closes", target=target)
    check(f"idle closes: {r}", r["ok"] == 10 and r["idle_closed"] >= 7)

    # Open loop: slow answers do not slow down the schedule.
    for options in ([], ["--keepalive", "2"]):
        r = run(*short, *options, "--path", "/slow", target=target)
        check(f"slow {options}: {r}", r["ok"] == 50 and
              r["most_under_way"] > 40 and r["latency_ms"]["p50"] >= 300)

    # Nobody there, and a Unix listener with a short queue.
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        r = run(*short, target=f"127.0.0.1:{nobody.getsockname()[1]}")
        check(f"refused: {r['failures']}",
              r["failures"] == {"connect": {"ECONNREFUSED": 50}})
    r = run(*short, "--unix", server.unix + "-", )
    check("no path", r["failures"] == {"connect": {"ENOENT": 50}})
    for options in ([], ["--keepalive", "3"]):
        r = run("--rate", "2000", "--duration", "0.5", *options, "--path",
                "/ok", "--unix", server.unix)
        check(f"Unix {options}: {r}", r["ok"] == r["started"] == 1000)

    # Datagrams, every tenth of them lost.
    r = run("--rate", "1000", "--duration", "0.5", "--timeout", "300",
            "--udp", target=f"127.0.0.1:{server.udp_port}")
    check(f"UDP: {r}", r["ok"] == 450 and
          r["failures"] == {"wait": {"timeout": 50}})

    # A signal ends the schedule, and what is under way ends; a second does
    # not wait for that.
    for signals in (1, 2):
        with subprocess.Popen([OPENLOOP, "--rate", "100", "--duration", "60",
                               "--timeout", "800", "--path", "/never",
                               target], stdout=subprocess.PIPE,
                              text=True) as p:
            try:
                p.wait(0.3)
            except subprocess.TimeoutExpired:
                pass
            p.send_signal(signal.SIGTERM)
            if signals == 2:
                # Two at once would be one.
                try:
                    p.wait(0.1)
                except subprocess.TimeoutExpired:
                    pass
                p.send_signal(signal.SIGINT)
            r = json.loads(p.communicate(timeout=20)[0])
        check(f"{signals} signals: {r}",
              (r["unfinished"] == 0) == (signals == 1) and
              0 < r["started"] < 1000)

    for bad in (["nonsense"], ["--rate", "0", target], ["--rate", "x",
                target], [], ["localhost:80"], ["127.0.0.1:99999"]):
        code = subprocess.run([OPENLOOP, *bad], capture_output=True).returncode
        check(f"usage {bad}", code == 64)
    directory.cleanup()
    if failures:
        sys.exit(1)
    print("openloop: reports what happened")


main()
