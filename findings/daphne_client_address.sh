#!/bin/bash
# Guess: daphne --fd takes a listening socket of any family.
# Seen: daphne 4.0.0 on an IPv6 (so also a dual-stack) socket serves, but has
# told Twisted that it is IPv4: scope["client"] is an address of 16 bytes,
# most of them from elsewhere, e.g. "::e8bb:7bf6:fe7f:0%5303355", for IPv4 and
# IPv6 clients alike. On an IPv4 socket it is 127.0.0.1. No warning.
# For a supervisor that hands over one dual-stack socket: allow-lists, rate
# limits and logs of such servers are void; give IPv4 its own socket there.
. "$(dirname "$0")/lib.sh"
deb python3-daphne=4.0.0-1 daphne=4.0.0-1 python3-asgiref=3.6.0-1 \
	python3-twisted=22.4.0-4+deb12u1 python3-zope.interface=5.5.2-1+b1 \
	python3-constantly=15.1.0-4 python3-incremental=21.3.0-2 \
	python3-automat=22.10.0-1 python3-hyperlink=21.0.0-5 python3-attr=22.2.0-1 \
	python3-autobahn=22.7.1+dfsg1-2 python3-txaio=21.2.1-2 \
	python3-typing-extensions=4.4.0-1 python3-idna=3.3-1+deb12u1
cat >"$T/app.py" <<'A'
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body",
                "body": str(scope["client"][0]).encode()})
A
cd "$T"
client() { # client LANE HOST: what the application is told
	rm -f "$T/ports"
	hand none "$1" -- /usr/bin/python3 -m daphne --fd 3 app:app >"$T/log" 2>&1
	within 20 test -s "$T/ports"
	within 30 answers "http://$2:$(cat "$T/ports")/" || changed "no answer"
	ADDRESS=$(get "http://$2:$(cat "$T/ports")/")
}
client 127.0.0.1 127.0.0.1
test "$ADDRESS" = 127.0.0.1 || changed "IPv4 on IPv4 is $ADDRESS"
for lane in ::ffff:127.0.0.1 ::1; do
	host=127.0.0.1
	test $lane != ::1 || host='[::1]'
	client $lane "$host"
	case $ADDRESS in
	127.0.0.1 | ::1 | ::ffff:127.0.0.1) changed "$host is told as $ADDRESS" ;;
	*:*) ;;
	*) changed "$host is told as $ADDRESS" ;;
	esac
done
seen "Daphne 4.0.0, Twisted 22.4.0: a loopback client is told as $ADDRESS"
