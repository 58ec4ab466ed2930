#!/bin/bash
# Guess: an inherited socket goes to the service whose "accept" it matches, and
# one that matches nothing is refused or left.
# Seen: stunnel 5.68 gives LISTEN_FDS to its services by order alone, whatever
# their "accept" says: handed first, service "alpha" (accept = 127.0.0.1:A)
# serves a port that its file does not name, nobody listens on A, and with the
# two services swapped in the file the same port is "beta". No warning.
# For a supervisor: the order of its listeners is the contract with such
# servers; a reordered file sends clients to another service at a reload.
. "$(dirname "$0")/lib.bash"
deb stunnel4=3:5.68-2+deb12u1 libwrap0=7.6.q-32 libsystemd0=252.39-1~deb12u2
A=$(free_port) B=$(free_port)
service() { # a client service with nobody behind it: only its name matters
	printf '%s\n' "[$1]" "accept = 127.0.0.1:$2" 'connect = 127.0.0.1:1' \
	    'client = yes'
}
first() { # first SERVICE SERVICE: who gets the first of the two sockets
	rm -f "$T/ports"
	printf '%s\n' 'foreground = yes' 'pid =' >"$T/conf"
	service $1 >>"$T/conf"
	service $2 >>"$T/conf"
	hand systemd 127.0.0.1 127.0.0.1 -- stunnel4 "$T/conf" >"$T/log" 2>&1
	within 20 grep -qs 'Configuration successful' "$T/log" ||
		changed "$(tail -n 2 "$T/log")"
	get "http://127.0.0.1:$(cut -d' ' -f1 "$T/ports")/" || :
	within 10 grep -q 'accepted connection' "$T/log" || changed "none accepts"
	NAMED=$(grep -o 'Service .* accepted' "$T/log" | cut -d'[' -f2 | cut -d']' -f1)
	! ss -Hltn "sport = :$A" | grep -q . || changed "it listens on A as well"
	! grep -iE 'inherit|ignor|mismatch' "$T/log" || changed "it warns"
}
first "alpha $A" "beta $B"
test "$NAMED" = alpha || changed "the first is $NAMED"
first "beta $B" "alpha $A"
test "$NAMED" = beta || changed "swapped, the first is $NAMED"
seen "stunnel 5.68: by order alone, its own accept addresses stay closed"
