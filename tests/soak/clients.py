"""Clients who each demand an answer or an honest refusal.

A server greets with "PID INSTANCE GENERATION\\n" as soon as it has accepted; a
request is a number of milliseconds and a newline, and is answered "done\\n"
after these. Of HTTP/2 both are the body of a response, see h2.py.
"""

import bisect
import select
import socket
import time

PATIENCE = 60.0     # nobody is held on to for longer


class Lateness:
    """How much later than it wanted somebody runs: samples of the machine (see
    episode.Lag), each (when, how long)."""

    samples = []
    # So often somebody has to be woken until a client is served: itself, the
    # worker, clusterd, and those that come in its place.
    WAKES = 6

    @classmethod
    def between(cls, a, b):
        i = bisect.bisect_left(cls.samples, (a - 0.1,))
        j = bisect.bisect_left(cls.samples, (b + 0.1,))
        return cls.WAKES * max((late for _, late in cls.samples[i:j]),
                               default=0.0)


class Client:
    """What became of one."""

    def __init__(self, address, in_round, balance):
        self.address = address          # host and port
        self.round = in_round
        self.balance = balance
        self.begun = time.monotonic()
        self.paused = 0.0               # by itself, …
        self.pausing = None             # … and since when it does
        self.well = self.begun          # when it last saw nothing wrong
        self.asked_for = 0.0            # so long the answer takes
        self.name = None                # its own port
        self.connected = None
        self.server = None              # pid, instance, generation
        self.greeted = None
        self.reply = b""
        self.phase = "connects"
        self.end = None
        self.how = None                 # ok, refused, cut
        self.socket = None
        self.over = False               # its patience, by the driver

    def finish(self, how):
        self.how, self.end = how, time.monotonic()
        return self

    def lateness(self, now):
        """Of the machine, while it waited."""
        return Lateness.between(self.begun, self.end or now)

    def waited(self, now):
        """Until it was accepted; its own pauses do not count."""
        if self.pausing is not None:
            now = self.pausing
        return (self.greeted or self.end or now) - self.begun - self.paused

    def took(self, now):
        return (self.end or now) - self.begun - self.paused - self.asked_for

    def pause(self, seconds):
        self.pausing = time.monotonic()
        try:
            self.listen(self.pausing + seconds)
        finally:
            self.paused += time.monotonic() - self.pausing
            self.pausing = None

    def listen(self, until):
        """Whether it is cut meanwhile."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        while True:
            left = until - time.monotonic()
            if left <= 0:
                return
            if poll.poll(left * 1000) and not self.hear():
                raise ConnectionResetError
            self.well = time.monotonic()

    def hear(self):
        """False: the end of the file."""
        part = self.socket.recv(100)
        self.reply += part
        if b"\n" in self.reply and not self.server:
            self.greeted = self.well = time.monotonic()
            self.server = self.reply.split(b"\n")[0].decode().split()
        return part != b""

    def give_up(self):
        """By the driver, who has seen enough."""
        self.over = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def open_socket(client, source, patience):
    host = client.address[0]
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    s.settimeout(patience)
    if source and ":" not in host:
        s.bind((source, 0))
    return s


def speak(client, rnd, s, late):
    """The request; `late`: more say nothing for long."""
    kind = rnd.random()
    if kind < (0.6 if late else 0.03):
        client.pause(0.2 + rnd.random() * 2)
    elif kind < 0.3:
        client.pause(rnd.random() * 0.3)
    if kind < 0.15:
        s.sendall(b"0")
        client.pause(rnd.random() * 0.2)
    milliseconds = 0 if kind < 0.7 else rnd.randrange(200)
    client.asked_for = milliseconds / 1000
    s.sendall(b"%d\n" % milliseconds)


def hear_rest(client, s):
    """What was said before the end is there still."""
    try:
        s.settimeout(0)
        while client.hear():
            pass
    except OSError:
        pass


def talk(client, rnd, source, late=False, patience=PATIENCE):
    """Connect, dawdle, ask, and read; the client then knows how it went."""
    try:
        client.socket = s = open_socket(client, source, patience)
    except OSError:     # the address is taken: by a connection that ended
        return client.finish("none")
    with s:
        try:
            s.connect(client.address)
            client.connected = client.well = time.monotonic()
            client.name = s.getsockname()[1]
            client.phase = "is to ask"
            speak(client, rnd, s, late)
            client.phase = "has asked"
            while client.hear():
                pass
            return client.finish("ok" if client.reply.endswith(b"done\n") else
                                 "waits" if client.over else "cut")
        except ConnectionRefusedError:
            return client.finish("refused")
        except TimeoutError:
            return client.finish("waits")
        except OSError:
            hear_rest(client, s)
            return client.finish("waits" if client.over else "cut")
