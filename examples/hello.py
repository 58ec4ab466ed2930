"""The hello server in Python, for clusterd: serves HTTP on the listening socket
that clusterd has bound and passed in. The standard library suffices.

    clusterd -c hello-python.ini
"""
import contextlib
import os
import signal
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY = f"hello from instance {os.environ['CLUSTERD_INSTANCE']}, pid {os.getpid()}\n"
stopping = threading.Event()


class Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keep-alive
    wbufsize = -1  # buffered: header and body leave in one packet
    timeout = 2  # an idle connection holds up a stop for two seconds at most

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        if stopping.is_set():
            self.send_header("Connection", "close")
        self.end_headers()

    def do_GET(self):
        self.do_HEAD()
        self.wfile.write(BODY.encode())

    def handle(self):
        with contextlib.suppress(ConnectionError):  # clients hang up at will
            super().handle()

    def log_message(self, *args):
        pass  # no line for each request


# Blocked before there are threads, so that it is sigwait() that gets them.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
server = ThreadingHTTPServer(None, Hello, bind_and_activate=False)
server.socket = socket.socket(fileno=int(os.environ["CLUSTERD_FD"].split(",")[0]))
server.socket.setblocking(False)  # a neighbour may be faster to accept
server.daemon_threads = False  # server_close() waits for them
threading.Thread(target=server.serve_forever).start()

if address := os.environ.get("NOTIFY_SOCKET"):  # what sd_notify(3) does
    if address.startswith("@"):
        address = "\0" + address[1:]
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", address)

signal.sigwait({signal.SIGTERM, signal.SIGINT})
stopping.set()
server.shutdown()  # accepts no more
server.server_close()
