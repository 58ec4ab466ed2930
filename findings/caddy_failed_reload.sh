#!/bin/bash
# Guess: after a refused reload the server says READY=1 again: it still serves.
# Seen: caddy 2.6.2 says RELOADING=1, then STATUS=<the error>, and never READY=1
# again, although it goes on serving the old configuration. Only the next good
# reload says READY=1. (HAProxy does the opposite: haproxy_failed_reload.sh.)
# For a supervisor: a worker that is "reloading" for ever may be in full
# service; do not withhold connections from it, and bound the wait.
. "$(dirname "$0")/lib.bash"
deb caddy=2.6.2-5
A=$(free_port) P=$(free_port)
conf() {
	printf '{"admin": {"listen": "127.0.0.1:%s"}, "apps": {"http": {"servers":
{"s": {"listen": ["127.0.0.1:%s"], "routes": [{"handle": [{"handler":
"%s", "body": "%s"}]}]}}}}}' "$A" "$P" "$1" "$2" >"$T/conf.json"
}
export HOME=$T XDG_DATA_HOME=$T XDG_CONFIG_HOME=$T
reload() { caddy reload --config "$T/conf.json" --address "127.0.0.1:$A"; }
notified
conf static_response one
NOTIFY_SOCKET=$T/notify start caddy run --config "$T/conf.json" >"$T/log" 2>&1
ready() { test "$(grep -c 'READY=1' "$T/told")" -ge "$1"; }
within 20 ready 1 || changed "no READY=1 after the start"
conf no_such_handler two
! reload >>"$T/log" 2>&1 || changed "the bad configuration was taken"
within 10 grep -q 'STATUS=' "$T/told" || changed "the error is not told"
test "$(grep -c RELOADING "$T/told")" = 2 ||
	changed "other words: $(cat "$T/told")"
! within 3 ready 2 || changed "READY=1 after the refused reload"
test "$(get "http://127.0.0.1:$P/")" = one || changed "the old one is gone"
conf static_response three
reload >>"$T/log" 2>&1 || changed "a good reload fails"
within 10 ready 2 || changed "no READY=1 after a good reload"
seen "Caddy 2.6.2: RELOADING=1, STATUS=<error>, no READY=1; it serves on"
