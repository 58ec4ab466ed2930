#!/bin/bash
# Guess: LISTEN_FDS counts only for the process that LISTEN_PID names; a child
# that inherits both variables binds its own address.
# Seen: cheroot 9.0.0 looks whether LISTEN_PID is *set*, not at its value: with
# another process's number it serves on descriptor 3 and never binds the port
# that its program asks for.
# For a supervisor: do not leave LISTEN_* in the environment of helpers that a
# worker starts; such a helper serves the service's clients. Close-on-exec does
# not help where a shell passes the descriptor on.
. "$(dirname "$0")/lib.bash"
deb python3-cheroot=9.0.0+ds1-2 python3-jaraco.functools=3.5.0-1 \
	python3-more-itertools=8.10.0-2 python3-six=1.16.0-4
cat >"$T/helper.py" <<'A'
import sys
from cheroot import wsgi
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"helper"]
wsgi.Server(("127.0.0.1", int(sys.argv[1])), app).start()
A
P=$(free_port)
# The shell is who LISTEN_PID names; the helper is its child.
hand systemd 127.0.0.1 -- sh -c "test \$LISTEN_PID = \$\$ && touch $T/mine
/usr/bin/python3 $T/helper.py $P; true" >"$T/log" 2>&1
within 20 test -s "$T/ports"
within 20 answers "http://127.0.0.1:$(cat "$T/ports")/" ||
	changed "the helper leaves the socket alone"
test -e "$T/mine" || changed "LISTEN_PID was not the shell's"
test "$(get "http://127.0.0.1:$(cat "$T/ports")/")" = helper
rc=0
get "http://127.0.0.1:$P/" || rc=$?
test "$rc" = 7 || changed "its own port is served too (curl $rc)"
seen "cheroot 9.0.0: any LISTEN_PID will do, its own port stays closed"
