#!/bin/bash
# Guess: "daphne --fd 3" serves whatever listening stream socket descriptor 3 is.
# Seen: Daphne 4.0.0 tells Twisted 22.4.0 that it is an IPv4 one. An IPv6 socket
# is served, but the application and the access log are told clients that do not
# exist, with nonsense for an address, where all came from ::1. A Unix
# socket is "listening on TCP address /:…", and no client gets an answer.
# For a supervisor: an address family that the server does not ask for goes
# wrong without a word; limits by client address count nobody twice. Hand
# Daphne an IPv4 socket, or let it bind by itself.
. "$(dirname "$0")/lib.bash"
deb python3-daphne=4.0.0-1 python3-twisted=22.4.0-4+deb12u1 \
	python3-autobahn=22.7.1+dfsg1-2 python3-asgiref=3.6.0-1 \
	python3-txaio=21.2.1-2 python3-zope.interface=5.5.2-1+b1 \
	python3-incremental=21.3.0-2 python3-constantly=15.1.0-4 \
	python3-automat=22.10.0-1 python3-hyperlink=21.0.0-5 \
	python3-attr=22.2.0-1 python3-typing-extensions=4.4.0-1 \
	python3-idna=3.3-1+deb12u1 python3-six=1.16.0-4 \
	python3-setuptools=66.1.1-1+deb12u2 python3-pkg-resources=66.1.1-1+deb12u2
cat >"$T/app.py" <<'A'
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body",
                    "body": scope["client"][0].encode()})
A
cd "$T" || exit
serve() { # serve ADDRESS: by Daphne on descriptor 3
	rm -f ports log
	hand none "$1" -- /usr/bin/python3 -c \
	    'import daphne.cli; daphne.cli.CommandLineInterface.entrypoint()' \
	    --fd 3 app:app >log 2>&1
	within 30 grep -q 'Listening on TCP address' log || changed "$(tail -n 3 log)"
}
serve 127.0.0.1
test "$(get "http://127.0.0.1:$(cat ports)/" 10)" = 127.0.0.1 || changed "IPv4"
serve ::
first=$(get "http://[::1]:$(cat ports)/" 10) || changed "IPv6 is not served"
second=$(get "http://[::1]:$(cat ports)/" 10) || changed "IPv6 is not served"
case " $first $second " in
*" ::1 "*) changed "IPv6: $first, $second" ;;
esac
serve "$T/socket"
rc=0
curl -sS -m 5 --unix-socket "$T/socket" http://x/ >answer 2>curl || rc=$?
test "$rc" != 0 && test "$rc" != 7 && ! test -s answer ||
	changed "Unix: curl $rc, $(cat answer)"
seen "Daphne 4.0.0: nonsense clients over IPv6, none served over a Unix socket"
