#!/bin/bash
# Guess: a program that reads LISTEN_FDS can be tried by hand with
# systemd-socket-activate, which is made for that.
# Seen: npm socket-activation 3.2.0 takes its sockets by name alone, and
# systemd-socket-activate 252 sets LISTEN_FDNAMES only with --fdname: without,
# the server dies of a TypeError at the first client ("reading 'split'"), and
# that client has its connection reset. With --fdname=web it answers.
# For a supervisor: always set LISTEN_FDNAMES, also for one socket; there are
# receivers that cannot count.
. "$(dirname "$0")/lib.bash"
deb systemd=252.39-1~deb12u2 libsystemd-shared=252.39-1~deb12u2
pack socket-activation@3.2.0
cat >"$T/main.js" <<'A'
const fd = require('socket-activation').collect('web')[0];
require('http').createServer((q, r) => r.end('activated')).listen({fd});
A
activate() { # activate PORT OPTION...
	local port=$1; shift
	start env LD_LIBRARY_PATH="$LD_LIBRARY_PATH/systemd" \
	    "$ROOT/usr/bin/systemd-socket-activate" -l "127.0.0.1:$port" "$@" \
	    "$(command -v node)" "$T/main.js" >>"$T/log" 2>&1
	within 20 listens "$port" || changed "$(cat "$T/log")"
}
listens() { ss -Htln "src = 127.0.0.1:$1" | grep -q LISTEN; }
P=$(free_port)
activate "$P" --fdname=web
test "$(get "http://127.0.0.1:$P/" 15)" = activated || changed "$(cat "$T/log")"
P=$(free_port)
activate "$P"
rc=0
get "http://127.0.0.1:$P/" 15 || rc=$?
test "$rc" = 56 || test "$rc" = 52 || changed "curl: $rc"
grep -q "TypeError.*split" "$T/log" || changed "$(cat "$T/log")"
seen "socket-activation 3.2.0: dies without names, which 252 gives on demand only"
