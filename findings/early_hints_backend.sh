#!/bin/bash
# Guess: a balancer that passes on 103 (Early Hints) knows in its health checks, too, that
# the answer is still to come; and who is asked with HTTP/1.0 sends no 103, as RFC 9110 has it.
# Seen: HAProxy 2.6.12 hands a client the 103 and the 200 behind it. Its check of the same
# page takes the 103 for the answer: "Layer7 wrong status, code: 103", the server is DOWN,
# also with the short "option httpchk GET /page", which asks with HTTP/1.0: Node 20's
# writeEarlyHints() does not look at the version. Varnish 7.1.1 takes a backend with such
# a page as its probe for sick, and has a 503 for each client that asks for one.
# For a supervisor: a page for health checks is a page without hints (of a framework's,
# or of what stands before all pages); what a browser and curl are content with may be
# down for what is in between.
. "$(dirname "$0")/lib.bash"
deb haproxy=2.6.12-1+deb12u4 liblua5.3-0=5.3.6-2 libopentracing-c-wrapper0=1.1.3-3+b1 \
	libopentracing1=1.6.0-4 varnish=7.1.1-2+deb12u1 libvarnishapi3=7.1.1-2+deb12u1 \
	libjemalloc2=5.3.0-1
cd "$T"
cat >backend.js <<'A'
require('http').createServer((request, response) => {
	if (request.url === '/hints') response.writeEarlyHints({ link: '</a.css>; rel=preload' });
	response.end('ok');
}).listen(process.argv[2], '127.0.0.1');
A
B=$(free_port)
start node backend.js "$B"
answer() { # answer PORT PATH: the statuses of all that comes, and the body
	curl -sS -i -m 9 "http://127.0.0.1:$1$2" 2>curl |
	    awk '/^HTTP/ { printf "%s ", $2 } END { print $0 }'
}
is() { test "$(answer "$1" "$2")" = "$3"; }
within 20 is "$B" / '200 ok' || changed "the backend: $(answer "$B" /)"
is "$B" /hints '103 200 ok' || changed "the backend: $(answer "$B" /hints)"

front() { # front LINE...: of the check
	P=$(free_port)
	printf '%s\n' defaults ' mode http' ' timeout client 9s' ' timeout server 9s' \
	    ' timeout connect 1s' ' timeout check 9s' 'listen all' " bind 127.0.0.1:$P" "$@" \
	    " server one 127.0.0.1:$B check inter 100ms" >conf
	start haproxy -db -f conf >log 2>&1
}
down() { grep -q 'is DOWN, reason: Layer7 wrong status, code: 103' log; }
front ' option httpchk GET /'
within 20 is "$P" /hints '103 200 ok' || changed "HAProxy: $(answer "$P" /hints), $(cat log)"
! grep -q DOWN log || changed "HAProxy without hints: $(cat log)"
front ' option httpchk GET /hints'
within 20 down || changed "HAProxy, HTTP/1.0: $(cat log)"
front ' option httpchk' ' http-check send meth GET uri /hints ver HTTP/1.1 hdr Host www.example.org'
within 20 down || changed "HAProxy, HTTP/1.1: $(cat log)"
within 10 is "$P" / '503 </body></html>' ||
	changed "HAProxy asks a server that is DOWN: $(answer "$P" /)"

printf '%s\n' 'vcl 4.1;' "backend hints { .host = \"127.0.0.1\"; .port = \"$B\";" \
    '.probe = { .url = "/hints"; .interval = 200ms; .window = 4; .threshold = 3; } }' \
    "backend plain { .host = \"127.0.0.1\"; .port = \"$B\";" \
    '.probe = { .url = "/"; .interval = 200ms; .window = 4; .threshold = 3; } }' \
    'sub vcl_recv { set req.backend_hint = plain; if (req.http.Hints) {' \
    'set req.backend_hint = hints; } return (pass); }' >vcl
P=$(free_port)
start varnishd -F -a "127.0.0.1:$P" -f "$T/vcl" -n "$T/v" -s default,10m >log 2>&1
looks() { varnishadm -n "$T/v" backend.list 2>>log >list && grep -q "$1 .*$2" list; }
within 60 looks 'boot.plain' '[34]/4 *healthy' || changed "Varnish: $(cat log list)"
within 20 looks 'boot.hints' '0/4 *sick' || changed "Varnish: $(cat list)"
is "$P" / '200 ok' || changed "Varnish: $(answer "$P" /)"
answer "$P" /hints | grep -q '^503 ' || changed "Varnish: $(answer "$P" /hints)"
looks 'boot.plain' healthy || changed "Varnish: $(cat list)"
seen 'HAProxy 2.6.12 (check), Varnish 7.1.1: a 103 before the 200 is the wrong answer'
