#!/bin/bash
# Guess: start_server --port='[ADDRESS]:N' is documented, so the servers that speak
# its protocol take the socket.
# Seen: Starlet 0.31 under start_server 0.35 says "Accepting connections at
# http://[::1]:N/" and then drops each IPv6 request without an answer ("Bad arg
# length for Socket::unpack_sockaddr_in, length is 28"): it takes any inherited
# socket for IPv4. On an IPv4 socket all is well; --port=N means 0.0.0.0.
# For a supervisor: a bare port in SERVER_STARTER_PORT stands for an IPv4
# socket; never put a dual-stack socket behind it.
. "$(dirname "$0")/lib.bash"
deb starlet=0.31-2 libserver-starter-perl=0.35-2 libplack-perl=1.0050-1 \
	libparallel-prefork-perl=0.18-1 libproc-wait3-perl=0.05-2+b1 \
	libapache-logformat-compiler-perl=0.36-3 libclass-accessor-lite-perl=0.08-3 \
	libdevel-stacktrace-perl=2.0400-2 libdevel-stacktrace-ashtml-perl=0.15-2 \
	libhttp-date-perl=6.05-2 libhttp-message-perl=6.44-1 liburi-perl=5.17-1 \
	libhttp-parser-xs-perl=0.17-2+b2 libposix-strftime-compiler-perl=0.44-3 \
	libstream-buffered-perl=0.03-3 libtry-tiny-perl=0.31-2 \
	libhash-multivalue-perl=0.16-3 libfilesys-notify-simple-perl=0.14-3 \
	libwww-form-urlencoded-perl=0.26-2 libhttp-headers-fast-perl=0.22-3 \
	libhttp-entity-parser-perl=0.25-2 libcookie-baker-perl=0.11-3 \
	libscope-guard-perl=0.21-2 libsignal-mask-perl=0.008-3 \
	libhttp-multipartparser-perl=0.02-3 libjson-maybexs-perl=1.004004-1
echo 'sub { [200, [], ["served"]] }' >"$T/app.psgi"
serve() {
	rm -f "$T/log"
	start start_server --port="$1" -- plackup -s Starlet "$T/app.psgi" \
	    >"$T/log" 2>&1
	within 30 grep -q 'Accepting connections' "$T/log" ||
		changed "--port=$1: $(tail -n 2 "$T/log")"
}
P=$(free_port)
serve "127.0.0.1:$P"
within 10 answers "http://127.0.0.1:$P/" || changed "IPv4 is not served"
P=$(free_port)
serve "[::1]:$P"
rc=0
get "http://[::1]:$P/" || rc=$?
case $rc in
52 | 56) ;;
*) changed "IPv6: curl $rc" ;;
esac
grep -q 'Bad arg length for Socket::unpack_sockaddr_in' "$T/log" ||
	changed "other words: $(tail -n 2 "$T/log")"
seen "Starlet 0.31, Server::Starter 0.35: an IPv6 lane drops each request"
