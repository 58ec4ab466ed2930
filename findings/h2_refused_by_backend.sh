#!/bin/bash
# Guess: a request of which an HTTP/2 backend says that it was not begun (GOAWAY with a
# lower stream number, as when it came while the backend began to stop) is sent again by
# the proxy in front, over a new connection.
# Seen: HAProxy 2.6.12 (proto h2) answers 502 and nghttpx 1.52.0 closes the client's
# connection without an answer, to a GET, with nothing sent again. Caddy 2.6.2 (h2c)
# sends a GET again, and answers 502 to a POST with a body. HAProxy with "retry-on
# conn-failure empty-response" sends both again.
# For a supervisor: each GOAWAY with the last stream's number may cost one request behind such a
# proxy. (RFC 9113, 6.8: 2^31-1 first, and the number a round trip later; not tried here.)
. "$(dirname "$0")/lib.bash"
deb haproxy=2.6.12-1+deb12u4 liblua5.3-0=5.3.6-2 libopentracing-c-wrapper0=1.1.3-3+b1 \
	libopentracing1=1.6.0-4 caddy=2.6.2-5 nghttp2-proxy=1.52.0-1+deb12u3 \
	libev4=1:4.33-1 libc-ares2=1.18.1-3 libnghttp2-14=1.52.0-1+deb12u3
cd "$T"
cat >backend.js <<'A'
const server = require('http2').createServer();
let begun = 0;
server.on('session', (s) => s.on('error', () => {})).on('stream', (stream, headers) => {
  const {session} = stream.on('error', () => {});
  if (headers[':path'] === '/late' && begun++ % 2 === 0) {
    session.goaway(0, Math.max(0, stream.id - 2));
    return setTimeout(() => session.destroyed || session.destroy(), 200);
  }
  stream.respond({':status': 200});
  stream.end(`${begun}`);
  if (headers[':path'] === '/first') begun = 0;
}).listen(process.argv[2], '127.0.0.1');
A
B=$(free_port)
start node backend.js "$B"
within 20 curl -s --http2-prior-knowledge -o body "http://127.0.0.1:$B/first" || changed "no backend"
export HOME=$T XDG_DATA_HOME=$T XDG_CONFIG_HOME=$T
front() { # front COMMAND...: a proxy, at P
	start "$@" >log 2>&1
	within 20 answers "http://127.0.0.1:$P/first" || changed "$1: $(tail -n 2 log)"
}
haproxy_with() {
	P=$(free_port)
	printf '%s\n' defaults ' mode http' ' timeout client 9s' ' timeout server 9s' \
	    ' timeout connect 1s' "$1" 'listen l' " bind 127.0.0.1:$P" " server one 127.0.0.1:$B proto h2" >conf
	front haproxy -db -f conf
}
asks() { # asks METHOD WANTED WHO [OPTION...]: the status, or that of curl
	answers "http://127.0.0.1:$P/first" || changed "no first answer"
	local rc=0 got
	got=$(curl -sS -m 9 -o body -w '%{http_code}' "${@:4}" "http://127.0.0.1:$P/late" 2>curl) || rc=$?
	test "$rc" = 0 || got="curl $rc"
	test "$got" = "$2" || changed "$3: $1 is $got"
}
haproxy_with ''; asks GET 502 HAProxy; asks POST 502 HAProxy -d x
haproxy_with ' retry-on conn-failure empty-response'
asks GET 200 'HAProxy with retry-on'; asks POST 200 'HAProxy with retry-on' -d x
P=$(free_port)
front nghttpx --frontend="127.0.0.1,$P;no-tls" --backend="127.0.0.1,$B;;proto=h2" --workers=1 --conf=/dev/null
asks GET 'curl 52' nghttpx; P=$(free_port)
printf '%s\n' '{' 'admin off' 'auto_https off' '}' "http://127.0.0.1:$P {" "reverse_proxy h2c://127.0.0.1:$B" '}' >Caddyfile
front caddy run --adapter caddyfile --config Caddyfile
asks GET 200 Caddy; asks POST 502 Caddy -d x
seen "HAProxy 2.6.12 (502), nghttpx 1.52.0 (no answer), Caddy 2.6.2 (GET alone)"
