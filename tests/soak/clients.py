"""Clients who each demand an answer or an honest refusal.

A server greets with "PID INSTANCE GENERATION\\n" as soon as it has accepted; a
request is a number of milliseconds and a newline, and is answered "done\\n"
after these. Of HTTP/2 both are the body of a response, see h2.py.
"""

import bisect
import ctypes
import select
import socket
import struct
import time

PATIENCE = 60.0     # nobody is held on to for longer

# A program of socket filters (linux/filter.h): nothing is heard.
DEAF = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0), 8)
SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
# Of struct tcp_info (linux/tcp.h), in ms: since it last sent and got data.
LAST_SENT, LAST_GOT = 44, 52
# Of the same: whether the last segment is being sent again, how soon the next one
# is (µs), how many have been so far, and how many have come.
RETRANSMITS, RTO, TOTAL_RETRANS, SEGS_IN = 2, 8, 100, 140
# Who was deaf is asked again, and asks, so soon after it.
ASKED_AGAIN = 1.2


class Lateness:
    """How much later than it wanted somebody runs: samples of the machine (see
    episode.Lag), each (until when, since when, how long), and since when the next
    one is being taken: who takes them may be the last one to be let run."""

    samples = []
    under_way = None
    # What a sample takes when nobody is late.
    STEP = 0.05
    # So often somebody has to be woken until a client is served: itself, the
    # worker, clusterd, and those that come in its place.
    WAKES = 6

    @classmethod
    def between(cls, a, b):
        a, b, worst = a - 0.1, b + 0.1, 0.0
        for until, since, late in cls.samples[
                bisect.bisect_left(cls.samples, (a,)):]:
            if since > b:
                break
            worst = max(worst, late)
        since = cls.under_way
        if since is not None and since < b:
            worst = max(worst, time.monotonic() - since - cls.STEP)
        return cls.WAKES * worst


class Client:
    """What became of one."""

    def __init__(self, address, in_round, balance):
        self.address = address          # host and port
        self.instance = None            # whose own that is
        self.deaf = 0.0                 # so long, while it connects
        self.deferred = False           # nobody may hear of it until it speaks
        self.round = in_round
        self.balance = balance
        self.begun = time.monotonic()
        self.paused = 0.0               # by itself, …
        self.pausing = None             # … and since when it does
        self.well = self.begun          # when it last saw nothing wrong
        # Nothing had moved on its connection since then when it first spoke, or
        # was cut before; and when it did.
        self.quiet = self.spoke = None
        self.asked_for = 0.0            # so long the answer takes
        self.name = None                # its own port
        self.resent = "nothing is known of its segments"
        self.connected = None
        # Pid, instance, generation; of HTTP/2 the pid alone at first.
        self.server = None
        self.greeted = None
        self.reply = b""
        self.unprocessed = False        # HTTP/2 says so, of the request
        self.phase = "connects"
        self.end = None
        self.how = None                 # ok, refused, cut
        self.socket = None
        self.over = False               # its patience, by the driver

    def finish(self, how):
        self.resent = self.note_resent()
        self.how, self.end = how, time.monotonic()
        return self

    def note_resent(self):
        """What the kernel has sent again, in words."""
        try:
            info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO,
                                          144)
            total, came = (struct.unpack_from("=I", info, at)[0]
                           for at in (TOTAL_RETRANS, SEGS_IN))
            return (f"{total} segments sent again, {info[RETRANSMITS]} times "
                    f"the last, next in "
                    f"{struct.unpack_from('=I', info, RTO)[0] // 1000} ms, "
                    f"{came} came")
        except (AttributeError, OSError, struct.error):
            return self.resent

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

    def last_moved(self, *places):
        """The kernel knows when, whenever this process came to run."""
        info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64)
        return time.monotonic() - min(struct.unpack_from("=I", info, at)[0]
                                      for at in places) / 1000

    def note_silence(self):
        """Before the first word."""
        if self.quiet is None and self.connected is not None:
            self.quiet = self.last_moved(LAST_SENT, LAST_GOT)

    def speak(self, words):
        self.note_silence()
        self.socket.sendall(words)
        self.spoke = self.spoke or time.monotonic()

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
        self.take_reply(part)
        return part != b""

    def take_reply(self, part):
        self.reply += part
        if b"\n" in self.reply and not self.greeted:
            self.well = time.monotonic()
            self.greeted = max(self.last_moved(LAST_GOT), self.begun)
            self.server = self.reply.split(b"\n")[0].decode().split()

    def hear_rest(self):
        """What was said before the end is there still."""
        try:
            self.socket.settimeout(0)
            while self.hear():
                pass
        except OSError:
            pass

    def words(self, milliseconds):
        """A request."""
        return b"0%d\n" % milliseconds

    def ask(self, rnd, late):
        """… with pauses; `late`: more say nothing for long."""
        kind = rnd.random()
        if kind < (0.6 if late else 0.03):
            self.pause(0.2 + rnd.random() * 2)
        elif kind < 0.3:
            self.pause(rnd.random() * 0.3)
        milliseconds = 0 if kind < 0.7 else rnd.randrange(200)
        words = self.words(milliseconds)
        if kind < 0.15:
            self.speak(words[:1])
            self.pause(rnd.random() * 0.2)
            words = words[1:]
        self.asked_for = milliseconds / 1000
        self.speak(words)

    def is_answered(self):
        return self.reply.endswith(b"done\n")

    def unanswered(self):
        """How, if it is over."""
        return ("refused" if self.unprocessed else
                "waits" if self.over else "cut")

    def is_to_hear(self):
        """Something is there that it has not come to read."""
        try:
            return bool(select.select([self.socket], [], [], 0)[0])
        except (OSError, TypeError, ValueError):    # it has ended, or not begun
            return False

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


def connect_slowly(client):
    """What it is answered is not heard at first, as if it got lost."""
    s = client.socket
    s.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                 struct.pack("HL", 1, ctypes.addressof(DEAF)))
    patience = s.gettimeout()
    s.setblocking(False)
    client.pausing = client.begun
    s.connect_ex(client.address)
    time.sleep(client.deaf)
    s.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
    client.pausing, client.paused = None, client.deaf + ASKED_AGAIN
    s.settimeout(patience)
    if not select.select([], [s], [], patience)[1]:
        raise TimeoutError
    code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, "")
    client.paused = min(client.paused, time.monotonic() - client.begun)


def converse(client, rnd, late):
    client.begun = client.well = time.monotonic()
    if client.deaf:
        connect_slowly(client)
    else:
        client.socket.connect(client.address)
    client.connected = client.well = time.monotonic()
    client.name = client.socket.getsockname()[1]
    client.phase = "is to ask"
    client.ask(rnd, late)
    client.phase = "has asked"
    while client.hear():
        pass


def talk(client, rnd, source, late=False, patience=PATIENCE):
    """Connect, dawdle, ask, and read; the client then knows how it went."""
    client.deferred = late
    try:
        client.socket = s = open_socket(client, source, patience)
    except OSError:     # the address is taken: by a connection that ended
        return client.finish("none")
    with s:
        try:
            converse(client, rnd, late)
        except ConnectionRefusedError:
            return client.finish("refused")
        except TimeoutError:
            return client.finish("waits")
        except OSError:
            client.note_silence()
            client.hear_rest()
            return client.finish(client.unanswered())
        return client.finish("ok" if client.is_answered() else
                             client.unanswered())
