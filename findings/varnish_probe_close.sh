#!/bin/bash
# Guess: a probe that has got its whole answer (200, Content-Length) has succeeded.
# Seen: Varnish 7.1.1 reads a probe's answer until the connection is closed, however
# long Content-Length says it is, and after .timeout calls the backend sick. A server
# that forks while it answers (a background job) leaves its child a copy of the
# connection, which then is not closed: each client with Content-Length is content
# (curl: 200 at once), Varnish answers 503.
# For a supervisor: what a worker leaves behind can make its balancer take it out; as
# with listeners, no descriptor of a connection may go to helpers.
. "$(dirname "$0")/lib.bash"
deb varnish=7.1.1-2+deb12u1 libvarnishapi3=7.1.1-2+deb12u1 libjemalloc2=5.3.0-1
cd "$T"
cat >server.py <<'A'
import os, socket, sys, time
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    c = s.accept()[0]
    c.recv(9999)
    c.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
    if sys.argv[2] == "forks" and os.fork() == 0:
        s.close()
        time.sleep(4)           # the job; it holds c
        os._exit(0)
    c.close()
A
try() { # try WANTED HOW: what Varnish answers once the probes have been looked at
	local backend port at
	backend=$(free_port) port=$(free_port)
	start /usr/bin/python3 server.py "$backend" "$1"
	within 10 answers "http://127.0.0.1:$backend/" || changed "the backend: $(cat curl)"
	printf '%s\n' 'vcl 4.1;' 'backend b {' '.host = "127.0.0.1";' ".port = \"$backend\";" \
	    '.probe = { .interval = 300ms; .timeout = 2s; .window = 4; .threshold = 3; }' '}' \
	    'sub vcl_recv { return (pass); }' >"$1.vcl"
	start varnishd -F -a "127.0.0.1:$port" -f "$T/$1.vcl" -n "$T/$1" -s default,10m >log 2>&1
	within 60 sh -c "varnishadm -n '$T/$1' backend.list -p 2>log | grep -q '$2'" ||
		changed "$1: $(varnishadm -n "$T/$1" backend.list -p)"
	at=$(curl -sS -m 9 -o body -w '%{http_code}' "http://127.0.0.1:$port/") || :
	test "$at" = "$3" || changed "$1: Varnish answers $at"
	answers "http://127.0.0.1:$backend/" || changed "$1: the backend is silent"
}
try closes ' good:  [34] ' 200
try forks 'r- Error Recv' 503
seen "Varnish 7.1.1: 200 with all of Content-Length is sick until the connection closes"
