#!/bin/bash
# Guess: nginx in the foreground ignores SIGWINCH (it does with "daemon off":
# a terminal that is resized must not end its workers).
# Seen: nginx 1.22.1 with a socket from NGINX=, "daemon off" or on: it stays in
# the foreground, yet takes itself for daemonized. SIGWINCH (a resized window)
# ends all workers; the master keeps the socket and clients hang (curl 28).
# Without NGINX= the same signal does nothing.
# For a supervisor that speaks NGINX=: give the worker no controlling terminal
# (setsid), and never pass SIGWINCH on.
. "$(dirname "$0")/lib.bash"
deb nginx=1.22.1-9+deb12u11
run() { # run HOW COMMAND...
	printf '%s\n' 'daemon off; events {}' "pid $T/$1.pid; error_log $T/$1.log notice;" \
	    'http { access_log off; client_body_temp_path b; proxy_temp_path p;' \
	    'fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;' \
	    "server { listen 127.0.0.1:$2; return 200 served; } }" >"$T/$1.conf"
}
P=$(free_port)
run plain "$P"
start nginx -p "$T" -c "$T/plain.conf" -e "$T/e"
within 20 answers "http://127.0.0.1:$P/" || changed "nginx does not start"
kill -WINCH "$PID"
sleep 1
answers "http://127.0.0.1:$P/" || changed "SIGWINCH ends plain nginx too"
hand nginx 127.0.0.1 -- sh -c "sed 's/:$P;/:{0};/' $T/plain.conf >$T/h.conf &&
	exec nginx -p $T -c $T/h.conf -e $T/e"
within 20 test -s "$T/ports"
Q=$(cat "$T/ports")
within 20 answers "http://127.0.0.1:$Q/" || changed "NGINX= does not work"
pgrep -P "$PID" >/dev/null || changed "no worker"
kill -WINCH "$PID"
within 10 sh -c "! pgrep -P $PID >/dev/null" || changed "its workers stay"
kill -0 "$PID" || changed "the master went too"
rc=0
get "http://127.0.0.1:$Q/" 2 || rc=$?
test "$rc" = 28 || changed "clients do not hang (curl $rc)"
seen "nginx 1.22.1: SIGWINCH ends the workers if NGINX= was set"
