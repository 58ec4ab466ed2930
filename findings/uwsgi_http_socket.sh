#!/bin/bash
# Guess: with --http-socket, uwsgi speaks HTTP on a socket from LISTEN_FDS, or
# leaves that socket alone.
# Seen: uwsgi 2.0.21 binds --http-socket by itself *and* adds the inherited
# socket with its own protocol "uwsgi": HTTP there gets an empty reply (curl
# 52), on the other port "200". No warning; "socket activation detected".
# For a supervisor: a server that takes LISTEN_FDS unasked serves nobody on the
# lane, while all looks ready; announce descriptors only where asked for.
. "$(dirname "$0")/lib.bash"
deb uwsgi-core=2.0.21-5.1 uwsgi-plugin-python3=2.0.21-5.1 \
	libyajl2=2.1.0-3+deb12u2 libjansson4=2.14-2
cat >"$T/app.py" <<'A'
def application(env, start):
    start("200 OK", [])
    return [b"served"]
A
OWN=$(free_port)
hand systemd 127.0.0.1 -- uwsgi-core --plugins-dir "$ROOT/usr/lib/uwsgi/plugins" \
	--plugin python311 --http-socket "127.0.0.1:$OWN" --die-on-term \
	--wsgi-file "$T/app.py" >"$T/log" 2>&1
within 30 answers "http://127.0.0.1:$OWN/" || changed "its own port is dead"
test "$(get "http://127.0.0.1:$OWN/")" = served || changed "other answer"
rc=0
get "http://127.0.0.1:$(cat "$T/ports")/" >"$T/out" || rc=$?
test "$rc" = 52 || changed "the inherited socket answered (curl $rc)"
grep -q 'attached to INET address' "$T/log" || changed "it was not attached"
seen "uWSGI 2.0.21: empty reply on the inherited socket, 200 on its own"
