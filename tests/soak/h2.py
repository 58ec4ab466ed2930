"""A client of HTTP/2 (RFC 9113), without TLS, that asks once.

The server says who it is in a PING as soon as it has accepted: its pid, in eight
bytes. So it is known whose a connection is on which nothing was asked yet. The
path of the request is the number of milliseconds; the greeting and "done\\n" are
the body of the response, see clients.py.

The request was honestly refused if the server says that it did not look at it:
by a GOAWAY, for no error, of streams before it, or by resetting its stream as
REFUSED_STREAM (6.8, 8.7). A GOAWAY that comes before the request forbids it: that
is the same. A connection that ends without such a word is cut, even if nothing
was asked on it.
"""

from clients import Client

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# Frames, …
DATA, HEADERS, RST_STREAM, SETTINGS = 0, 1, 3, 4
PING, GOAWAY, WINDOW_UPDATE = 6, 7, 8
# … their flags, and the codes of errors.
ACK = END_STREAM = 1
END_HEADERS, PADDED = 4, 8
NO_ERROR, REFUSED_STREAM = 0, 7

HEAD = 9            # bytes before the payload
STREAM = 1          # the only one


def frame(kind, flags=0, stream=0, payload=b""):
    return (len(payload).to_bytes(3, "big") + bytes([kind, flags]) +
            stream.to_bytes(4, "big") + payload)


def number(octets):
    """Of a stream: the first bit says nothing."""
    return int.from_bytes(octets[:4], "big") & 0x7fffffff


def literal(name, value):
    """RFC 7541, 6.2.2: a new name, not indexed, nothing compressed."""
    return (b"\0" + bytes([len(name)]) + name.encode() +
            bytes([len(value)]) + value.encode())


def request(milliseconds):
    return frame(HEADERS, END_STREAM | END_HEADERS, STREAM,
                 literal(":method", "GET") + literal(":scheme", "http") +
                 literal(":authority", "soak") +
                 literal(":path", f"/{milliseconds}"))


class Http2Client(Client):
    def __init__(self, *args):
        super().__init__(*args)
        self.got = b""
        self.asked = False      # in part at least
        self.ended = False      # nothing more comes …
        self.complete = False   # … and all of the response has
        # What is to be said before anything else, and whether it may be now:
        # neither before the preface, nor within a frame.
        self.held = PREFACE + frame(SETTINGS)
        self.may_speak = False

    # What it says

    def ask(self, rnd, late):
        if rnd.random() < 0.5:  # others let it wait for the preface, too
            self.speak_up()
        super().ask(rnd, late)
        self.speak_up()

    def words(self, milliseconds):
        held, self.held = self.held, b""
        self.may_speak, self.asked = False, True
        return held + request(milliseconds)

    def speak_up(self):
        held, self.held, self.may_speak = self.held, b"", True
        if held:
            self.socket.sendall(held)

    def answer(self, octets):
        self.held += octets
        if self.may_speak:
            try:
                self.speak_up()
            except OSError:     # what was said before that is there still
                pass

    # What it hears

    def hear(self):
        part = self.socket.recv(4096)
        self.got += part
        while len(self.got) >= HEAD and not self.ended:
            end = HEAD + int.from_bytes(self.got[:3], "big")
            if len(self.got) < end:
                break
            head, payload = self.got[:HEAD], self.got[HEAD:end]
            self.got = self.got[end:]
            self.take(head[3], head[4], number(head[5:]), payload)
        return part != b"" and not self.ended

    def take(self, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & ACK:
            self.answer(frame(SETTINGS, ACK))
        elif kind == PING and not flags & ACK:
            self.server = self.server or payload.decode().split()
            self.answer(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            self.take_goaway(number(payload),
                             int.from_bytes(payload[4:8], "big"))
        elif kind == RST_STREAM and stream == STREAM:
            self.ended = True
            self.unprocessed = int.from_bytes(payload, "big") == REFUSED_STREAM
        elif kind in (HEADERS, DATA) and stream == STREAM:
            if kind == DATA:
                self.take_data(flags, payload)
            self.complete = self.ended = flags & END_STREAM != 0

    def take_goaway(self, last, code):
        """Of what is not above `last` the answer comes yet."""
        if not self.asked or last < STREAM:
            self.ended = True
            self.unprocessed = code == NO_ERROR

    def take_data(self, flags, payload):
        size = len(payload)
        if flags & PADDED:
            payload = payload[1:size - payload[0]]
        self.take_reply(payload)
        if size and not flags & END_STREAM:
            for stream in (0, STREAM):
                self.answer(frame(WINDOW_UPDATE, 0, stream,
                                  size.to_bytes(4, "big")))

    def is_answered(self):
        return self.complete and super().is_answered()
