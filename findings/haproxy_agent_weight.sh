#!/bin/bash
# Guess: an agent-check's "99%" takes a hundredth off what a server gets.
# Seen: haproxy 2.6.12 rounds down, and a weight is 1 unless written: "99%" is 0. The
# server stays UP and gets nobody; where all are so, each request is a 503 at once. With
# "weight 100" it is 99. And "ready", which an agent says to take its own "maint" back,
# takes back that of an operator ("set server ... state maint") too.
# For a supervisor's agent: a percentage of ready instances takes the host out with the
# first one that is missing, where no weight was written; the manual has to say so.
. "$(dirname "$0")/lib.bash"
deb haproxy=2.6.12-1+deb12u4 liblua5.3-0=5.3.6-2 \
	libopentracing-c-wrapper0=1.1.3-3+b1 libopentracing1=1.6.0-4
cat >"$T/agent.py" <<'A'
import http.server, socket, sys, threading
class Web(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\nok")
    log_message = lambda *a: None
web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
threading.Thread(target=web.serve_forever, daemon=True).start()
s = socket.create_server(("127.0.0.1", 0))
with open(sys.argv[1] + "/ports", "w") as f:
    print(web.server_port, s.getsockname()[1], file=f)
while True:
    c = s.accept()[0]
    try:
        c.sendall(open(sys.argv[1] + "/answer", "rb").read())
    except OSError:
        pass
    c.close()
A
cat >"$T/tell.py" <<'A'
import csv, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode() + b"\n")
for row in csv.DictReader(s.makefile().read().lstrip("# ").splitlines()):
    if row.get("svname", "").startswith("of"):
        print(row["svname"], row["status"], row["weight"])
A
say() { echo "$1" >"$T/new" && mv "$T/new" "$T/answer"; }
tell() { /usr/bin/python3 "$T/tell.py" "$T/ctl" "$1" 2>"$T/told"; }
state() { tell 'show stat' | grep -qx "$1"; }
is() { within 10 state "$1" || changed "no \"$1\": $(tell 'show stat')"; }
status() { curl -s -m 9 -o "$T/body" -w '%{http_code}' "http://127.0.0.1:$1/"; }
say 'up ready 100%'
start /usr/bin/python3 "$T/agent.py" "$T"
within 20 test -s "$T/ports"
read -r W A <"$T/ports"
P=$(free_port) Q=$(free_port) agent="agent-check agent-port $A agent-inter 100ms"
printf '%s\n' global " stats socket $T/ctl level admin" defaults ' mode http' \
	' timeout client 9s' ' timeout server 9s' ' timeout connect 1s' \
	'listen one' " bind 127.0.0.1:$P" " server of1 127.0.0.1:$W $agent" \
	'listen more' " bind 127.0.0.1:$Q" " server of100 127.0.0.1:$W weight 100 $agent" >"$T/conf"
start haproxy -db -f "$T/conf" >"$T/log" 2>&1
is 'of1 no check 1'; test "$(status "$P")" = 200 || changed 'it does not serve'
say 'up ready 99%'; is 'of1 no check 0'; is 'of100 no check 99'
test "$(status "$P") $(status "$Q")" = '503 200' || changed "$(status "$P") $(status "$Q")"
say 'up'; tell 'set server more/of100 state maint'; is 'of100 MAINT 99'
say 'up ready'; is 'of100 no check 99'
seen 'HAProxy 2.6.12: of a weight of 1, 99% is 0'
