#!/bin/bash
# Guess: FPM_SOCKETS names a socket as the pool does: for listen = [::1]:9000
# it is "[::1]:9000=3".
# Seen: php-fpm 8.2.36 logs 'using inherited socket fd=3, "[::1]:PORT"', does
# not match it with listen = [::1]:PORT, binds for itself, meets the very
# socket that it holds ("Address already in use (98)") and exits with 78. The
# name that works has no brackets, "::1:PORT=3".
# For a supervisor: an IPv6 address has brackets in some of these protocols and
# none in others; each form is tested against its real receiver.
. "$(dirname "$0")/lib.bash"
deb php8.2-fpm=8.2.36-1~deb12u1
try() { # try NAME ADDRESS LISTEN
	rm -f "$T/log"
	printf '%s\n' '[global]' "error_log = $T/log" 'daemonize = no' '[www]' \
	    'user = nobody' "listen = $3" 'pm = static' \
	    'pm.max_children = 1' >"$T/conf.in"
	hand "FPM_SOCKETS=$1:{0}=3" "$2" -- timeout 20 sh -c "sed 's/@/{0}/' $T/conf.in \
	    >$T/conf && exec php-fpm8.2 -n -R -y $T/conf" 2>/dev/null
}
works() {
	try "$@"
	within 20 grep -qs 'ready to handle' "$T/log" || changed "$1 fails for $3"
}
fails() {
	try "$@"
	local rc=0
	wait "$PID" || rc=$?
	test "$rc" = 78 || changed "$1 for $3: exit $rc"
	grep -q 'using inherited socket fd=3' "$T/log" || changed "not inherited"
	grep -q 'Address already in use' "$T/log" || changed "other words"
}
works ::1 ::1 '[::1]:@'
works 127.0.0.1 127.0.0.1 127.0.0.1:@
fails '[::1]' ::1 '[::1]:@'
seen "php-fpm 8.2.36: ::1:PORT is taken, [::1]:PORT is exit 78"
