#!/bin/bash
# Guess: a reload that was refused is told apart from one that worked.
# Seen: haproxy 2.6.12 with -Ws, SIGUSR2 with a configuration that does not
# parse: RELOADING=1 (twice), then READY=1 with MAINPID, just as after a good
# reload; the old worker serves the old configuration. "Loading failure!" is
# said in the log alone, and no ERRNO or STATUS is sent.
# For a supervisor: RELOADING=1 followed by READY=1 does not mean that the new
# configuration is in force; check the file first, or ask the server.
. "$(dirname "$0")/lib.bash"
deb haproxy=2.6.12-1+deb12u4 liblua5.3-0=5.3.6-2 \
	libopentracing-c-wrapper0=1.1.3-3+b1 libopentracing1=1.6.0-4
P=$(free_port)
conf() {
	printf '%s\n' defaults ' mode http' " timeout $1 5s" ' timeout server 5s' \
		' timeout connect 1s' 'frontend f' " bind 127.0.0.1:$P" \
		" http-request return status 200 content-type text/plain string $2" \
		>"$T/conf"
}
notified
conf client one
NOTIFY_SOCKET=$T/notify start haproxy -Ws -f "$T/conf" >"$T/log" 2>&1
H=$PID
ready() { test "$(grep -c "^$H READY=1" "$T/told")" -ge "$1"; }
within 20 ready 1 || changed "no READY=1 after the start"
conf clyent two
kill -USR2 "$H"
within 20 grep -q 'Loading failure' "$T/log" || changed "the file was taken"
within 20 ready 2 || changed "no READY=1 after the refused reload"
test "$(get "http://127.0.0.1:$P/")" = one || changed "the old one is gone"
! grep -qE 'ERRNO|STATUS' "$T/told" || changed "the failure is told"
conf client three
kill -USR2 "$H"
within 20 ready 3 || changed "no READY=1 after a good reload"
within 5 grep -q three <(get "http://127.0.0.1:$P/") || changed "not reloaded"
seen "HAProxy 2.6.12: READY=1 after a refused reload as after a good one"
