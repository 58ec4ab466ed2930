"""What stands above clusterd."""

import re
import socket

from harness import wait_until


class Supervisor:
    """Stands for systemd: a datagram socket that remembers."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)
        self.messages = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def look(self):
        """All messages so far, each a list of lines."""
        while True:
            try:
                text = self.socket.recv(65536).decode()
            except BlockingIOError:
                return self.messages
            self.messages.append(text.rstrip("\n").split("\n"))

    def wait(self, line, start=0, limit=10.0):
        """Until a message has a line that matches; returns the message."""
        pattern = re.compile(line)
        found = []

        def look():
            for message in self.look()[start:]:
                if any(pattern.fullmatch(one) for one in message):
                    found.append(message)
                    return True
            return False
        wait_until(look, lambda: f"{line} in {self.messages}", limit)
        return found[0]

    def has(self, line, start=0):
        return any(line in message for message in self.look()[start:])
