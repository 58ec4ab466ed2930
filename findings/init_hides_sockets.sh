#!/bin/bash
# Guess: a small init in front of a server ("dumb-init --", "tini --") passes
# everything on: signals, environment, descriptors.
# Seen: dumb-init 1.2.5 and tini 0.19.0 do pass descriptor 3 and LISTEN_FDS, but
# fork, so that LISTEN_PID names the init: gunicorn 20.1.0 binds its own -b
# address without a word and the handed socket is never accepted from: clients
# connect and hang. catatonit 0.1.7 (not as process 1) execs: there it works.
# For a supervisor: READY=1 and a live worker prove nothing; see who waits on
# the lane, and name the wrapper in the hint.
. "$(dirname "$0")/lib.bash"
deb gunicorn=20.1.0-6+deb12u1 python3-gunicorn=20.1.0-6+deb12u1 \
	dumb-init=1.2.5-2 tini=0.19.0-1+b3 catatonit=0.1.7-1+b2
cat >"$T/app.py" <<'A'
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"served"]
A
cd "$T"
serve() { # serve WRAPPER...: the codes of the handed and of its own address
	rm -f "$T/ports" "$T/log"
	OWN=$(free_port)
	hand systemd 127.0.0.1 -- "$@" /usr/bin/python3 -m gunicorn \
	    -b "127.0.0.1:$OWN" app:app >"$T/log" 2>&1
	within 20 grep -qs 'Booting worker' "$T/log" || changed "$* fails"
	local rc=0
	get "http://127.0.0.1:$(cat "$T/ports")/" 2 >/dev/null || rc=$?
	HANDED=$rc rc=0
	answers "http://127.0.0.1:$OWN/" || rc=$?
	CODES=$HANDED,$rc
}
serve env
test "$CODES" = 0,7 || changed "no wrapper: $CODES"
serve catatonit --
test "$CODES" = 0,7 || changed "catatonit: $CODES"
for init in dumb-init 'tini -s'; do
	serve $init --
	test "$CODES" = 28,0 || changed "$init: $CODES"
done
seen "dumb-init 1.2.5, tini 0.19.0 (hidden), catatonit 0.1.7 (passed on)"
