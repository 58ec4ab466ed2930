#!/bin/bash
# Guess: an agent-check's answer may carry a reason behind a sharp,
# "down#reason"; and a line is a line, the close ends the last one.
# Seen: haproxy 2.6.12 takes "down#drain" for an unknown word: the server STAYS
# UP, and only last_agt tells ("agent reports an error : down#drain"). With a
# space, "down #drain", it goes down and the reason is shown. "down" and a
# close without a newline is ignored, too ("incomplete line"). "failed" is no
# word either ("fail" is).
# For a supervisor's agent: always word, space, #reason, newline; look at
# last_agt when testing, since what is not understood changes nothing.
. "$(dirname "$0")/lib.bash"
deb haproxy=2.6.12-1+deb12u4 liblua5.3-0=5.3.6-2 \
	libopentracing-c-wrapper0=1.1.3-3+b1 libopentracing1=1.6.0-4
cat >"$T/agent.py" <<'A'
import socket, sys
s = socket.create_server(("127.0.0.1", 0))
with open(sys.argv[1] + "/port", "w") as f:
    f.write("%d\n" % s.getsockname()[1])
while True:
    c = s.accept()[0]
    try:
        c.sendall(open(sys.argv[1] + "/answer", "rb").read())
    except OSError:
        pass
    c.close()
A
cat >"$T/ask.py" <<'A'
import csv, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"show stat\n")
text = s.makefile().read().lstrip("# ")
for row in csv.DictReader(text.splitlines()):
    if row["svname"] == "one":
        print(row["status"], row["last_agt"], sep="|")
A
say() { printf "$1" >"$T/new" && mv "$T/new" "$T/answer"; }
say 'up\n'
start /usr/bin/python3 "$T/agent.py" "$T"
within 20 test -s "$T/port"
printf '%s\n' global " stats socket $T/ctl level admin" defaults ' mode tcp' \
	' timeout client 5s' ' timeout server 5s' ' timeout connect 1s' \
	'backend all' " server one 127.0.0.1:1 agent-check agent-port $(cat \
	"$T/port") agent-inter 100ms" >"$T/conf"
start haproxy -db -f "$T/conf" >"$T/log" 2>&1
state() { /usr/bin/python3 "$T/ask.py" "$T/ctl" 2>/dev/null | grep -qxF "$1"; }
expect() { say "$1"; within 10 state "$2" || changed "$1 is not: $2"; }
expect 'up\n' 'no check|via agent : up'
expect 'down#drain\n' 'no check|agent reports an error : down#drain'
expect 'down #drain\n' 'DOWN (agent)|via agent : down (drain)'
expect 'up\n' 'no check|via agent : up'
expect 'failed\n' 'no check|agent reports an error : failed'
expect 'down' 'no check|Ignoring incomplete line from agent'
expect 'fail\n' 'DOWN (agent)|via agent : fail'
seen 'HAProxy 2.6.12: "down#reason" and "down" without newline change nothing'
