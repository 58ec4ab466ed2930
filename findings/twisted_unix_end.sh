#!/bin/bash
# Guess: a process that ends closes its copy of an inherited listener and no
# more; the others that share it go on.
# Seen: Twisted 22.4.0 (endpoint systemd:domain=UNIX) shuts the shared listener
# down at its own end *and* removes its path: the other process, alive and
# polling, is never reached again (ENOENT at the path, ECONNREFUSED over a
# second link to it). After a successful reload all clients are refused.
# For a supervisor: a Unix lane cannot listen again; after such a worker's end
# only a new socket at the same path helps.
. "$(dirname "$0")/lib.bash"
deb python3-twisted=22.4.0-4+deb12u1 python3-zope.interface=5.5.2-1+b1 \
	python3-constantly=15.1.0-4 python3-incremental=21.3.0-2 \
	python3-automat=22.10.0-1 python3-hyperlink=21.0.0-5 python3-attr=22.2.0-1 \
	python3-typing-extensions=4.4.0-1 python3-idna=3.3-1+deb12u1
cat >"$T/serve.py" <<'A'
from twisted.internet import endpoints, protocol, reactor
class Hello(protocol.Protocol):
    def connectionMade(self):
        self.transport.write(b"served")
        self.transport.loseConnection()
endpoints.serverFromString(reactor, "systemd:domain=UNIX:index=0").listen(
    protocol.Factory.forProtocol(Hello))
reactor.run()
A
# Two generations on one listener: the shell keeps no copy of it.
hand systemd "$T/lane" -- sh -c "ln $T/lane $T/link
for i in old new; do
	sh -c 'echo \$\$ >$T/'\$i'; LISTEN_PID=\$\$ exec /usr/bin/python3 $T/serve.py' &
done; exec 3<&-; wait"
ask() {
	/usr/bin/python3 - "$1" <<'A'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(3)
try:
    s.connect(sys.argv[1])
    print(s.recv(99).decode())
except OSError as e:
    print(type(e).__name__)
A
}
says() { test "$(ask "$1")" = "$2"; }
within 20 says "$T/lane" served || changed "nobody answers"
polling() { # once it has made its epoll descriptor
	find "/proc/$(cat "$T/$1")/fd" -lname '*eventpoll*' 2>/dev/null | grep -q .
}
for i in old new; do within 20 polling $i || changed "$i does not start"; done
sleep 1
kill "$(cat "$T/old")"
within 10 sh -c "! kill -0 $(cat "$T/old") 2>/dev/null"
kill -0 "$(cat "$T/new")" || changed "the new one went too"
says "$T/lane" FileNotFoundError || changed "the path stays"
says "$T/link" ConnectionRefusedError || changed "the listener still listens"
seen "Twisted 22.4.0: the first process to end shuts the lane for the others"
