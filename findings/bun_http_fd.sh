#!/bin/bash
# Guess: Node's server.listen({fd: 3}) is the same call in a runtime that is made for
# Node's programs, or it fails there.
# Seen: in Bun 1.4.4 http.createServer() does not look at fd: it binds a port that the
# kernel chooses, on all addresses, and calls back "listening"; nobody accepts on the
# inherited socket, whose clients hang (curl 28). Bun.serve({fd: 3}) does the same at
# port 3000. net and http2 of the same Bun, and Node's http, serve on descriptor 3. (Here
# in a network of its own, with lo alone.)
# For a supervisor: the event "listening" and an open port of the worker's prove nothing,
# that somebody waits on the lane does. A server that moves from Node to Bun and is to
# take a descriptor does so by net or http2; by http it has to bind for itself.
. "$(dirname "$0")/lib.bash"
test "$(id -u)" = 0 || { echo "$NAME: must be root" >&2; exit 2; }
pack @oven/bun-linux-x64@1.4.4
cd "$T"
cat >serve.mjs <<'A'
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
const how = process.argv[2], answer = (request, response) => response.end('served');
if (how === 'Bun') {
	const server = Bun.serve({ fd: 3, fetch: () => new Response('served') });
	console.log(server.port);
} else {
	const server = how === 'http' ? http.createServer(answer) :
	    how === 'http2' ? http2.createServer(answer) :
	    net.createServer((c) => c.end('HTTP/1.0 200 OK\r\n\r\nserved'));
	server.on('error', (error) => console.log(error.message));
	server.listen({ fd: 3 }, () => console.log(server.address().port));
}
A
BUN=$T/node_modules/@oven/bun-linux-x64/bin/bun
there() { nsenter -t "$PID" -n "$@"; }
try() { # try HOW PROGRAM: HANDED is the socket's port, OWN what the server names
	rm -f ports log
	start unshare -n sh -c 'ip link set lo up && exec "$@"' sh /usr/bin/python3 \
	    "$HERE/hand.py" ports systemd 127.0.0.1 -- "$2" serve.mjs "$1" >log 2>&1
	within 20 test -s log || changed "$1: it says nothing"
	HANDED=$(cat ports) OWN=$(head -n 1 log) RC=0
	there ss -Htln >listening
	there curl -sS -m 2 $(test "$1" != http2 || echo --http2-prior-knowledge) \
	    "http://127.0.0.1:$HANDED/" >answer 2>curl || RC=$?
}
lost() { # lost HOW: it listens on its own port, on all addresses, and nowhere else
	try "$1" "$BUN"
	test "$RC" = 28 || changed "$1: curl $RC on the socket ($(cat answer))"
	test "$OWN" != "$HANDED" || changed "$1: it names the socket's port"
	grep -qF "*:$OWN " listening || changed "$1: $(cat log listening)"
	test "$(there curl -sS -m 2 "http://127.0.0.1:$OWN/")" = served ||
		changed "$1: nothing at its own port $OWN"
	kill "$PID"
}
serves() {
	try "$@"
	test "$OWN $(cat answer)" = "$HANDED served" || changed "$*: curl $RC, $(cat log)"
	test "$(wc -l <listening)" = 1 || changed "$*: another listener: $(cat listening)"
	kill "$PID"
}
lost http
lost Bun
test "$OWN" = 3000 || changed "Bun.serve is at $OWN"
serves http2 "$BUN"
serves net "$BUN"
serves http node
seen "Bun 1.4.4: http and Bun.serve leave descriptor 3, and bind on all addresses"
