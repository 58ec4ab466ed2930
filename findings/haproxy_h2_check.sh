#!/bin/bash
# Guess: behind "proto h2" the short form of a health check, "option httpchk GET /healthz",
# asks the same as over HTTP/1.
# Seen: haproxy 2.6.12 sends it without :authority, as HTTP/1.0 goes without Host, and
# Node 20's HTTP/2 server (nghttp2) resets such a stream: "Socket error", the server is
# DOWN, and each request a 503, though requests themselves would be answered. With
# "http-check send meth GET uri /healthz hdr Host NAME" it is UP.
# For a supervisor: a server that serves all of its clients may be down for its balancer;
# name a host in checks, of HTTP/1 too.
. "$(dirname "$0")/lib.bash"
deb haproxy=2.6.12-1+deb12u4 liblua5.3-0=5.3.6-2 \
	libopentracing-c-wrapper0=1.1.3-3+b1 libopentracing1=1.6.0-4
cat >"$T/backend.js" <<'A'
require('http2').createServer((request, response) => response.end('ok'))
  .listen(process.argv[2], '127.0.0.1');
A
B=$(free_port)
start node "$T/backend.js" "$B"
within 20 curl -s --http2-prior-knowledge -o "$T/body" "http://127.0.0.1:$B/" ||
	changed 'no backend'
front() { # front LINE...: of the check
	P=$(free_port)
	printf '%s\n' defaults ' mode http' ' timeout client 9s' ' timeout server 9s' \
	    ' timeout connect 1s' ' timeout check 1s' 'listen all' " bind 127.0.0.1:$P" "$@" \
	    " server one 127.0.0.1:$B proto h2 check inter 100ms" >"$T/conf"
	start haproxy -db -f "$T/conf" >"$T/log" 2>&1
}
is() { test "$(curl -s -m 9 -o "$T/body" -w '%{http_code}' "http://127.0.0.1:$P/")" = "$1"; }
down() { grep -q "is DOWN, reason: $1" "$T/log"; }
front ' option httpchk GET /healthz'
within 20 down 'Socket error' || changed "without a host: $(cat "$T/log")"
within 20 is 503 || changed 'a server that is DOWN is asked'
front ' option httpchk' ' http-check send meth GET uri /healthz hdr Host www.example.org'
within 20 is 200 || changed "with a host: $(cat "$T/log")"
/usr/bin/python3 -c 'import time; time.sleep(1)'
down '' && changed "with a host: $(cat "$T/log")"
is 200 || changed 'with a host it is not asked'
seen 'HAProxy 2.6.12 before Node 20: no health check over HTTP/2 without a host'
