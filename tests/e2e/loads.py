"""Clients that come as long as something is done to clusterd."""

import socket
import threading
import time

from harness import SLOW, read_answer

CLIENTS = 4


class Load:
    """Clients that come one after the other, as long as it lasts."""

    def __init__(self, address):
        self.address = address
        self.served, self.failed = [], []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.come)
                        for _ in range(CLIENTS)]

    def come(self):
        while not self.over.is_set():
            try:
                with socket.socket(socket.AF_UNIX if isinstance(
                        self.address, str) else socket.AF_INET) as s:
                    s.settimeout(20 * SLOW)
                    s.connect(self.address)
                    s.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    self.served.append(read_answer(s).pid)
            except (OSError, AssertionError) as e:
                self.failed.append(e)
            time.sleep(0.002)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for t in self.threads:
            t.join()
