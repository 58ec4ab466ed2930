"""Descriptors whose last close waits, for tests of who closes them: SO_LINGER,
and a peer on the loopback that reads nothing."""

import array
import contextlib
import os
import socket
import struct
import threading

LINGER_S = 120     # more than any test waits


def stuff(s):
    """Fill it until its peer, which does not read, takes no more."""
    s.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            s.send(bytes(65536))
    s.setblocking(True)


def let_go(s):
    """Where the receiver was faster, the last close is here, and waits too."""
    closer = threading.Thread(target=os.close, args=(s.detach(),), daemon=True)
    closer.start()
    closer.join(1)


class Lingering:
    """Makes them; its end lets all of them go."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.peers = []

    def socket(self):
        s = socket.create_connection(self.listener.getsockname())
        self.peers.append(self.listener.accept()[0])
        stuff(s)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                     struct.pack("ii", 1, LINGER_S))
        return s

    def send(self, to, text, count=1):
        """Over a Unix socket; then nobody has it but who receives it."""
        held = [self.socket() for _ in range(count)]
        try:
            to.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                 array.array("i", [s.fileno()
                                                   for s in held]))])
        except OSError:
            for s in held:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 0, 0))
            raise
        finally:
            for s in held:
                let_go(s)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for peer in self.peers:
            # A reset ends every wait.
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            struct.pack("ii", 1, 0))
            peer.close()
        self.listener.close()
