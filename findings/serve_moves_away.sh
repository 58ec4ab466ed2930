#!/bin/bash
# Guess: "serve -l PORT" listens on PORT or fails; a supervisor that holds the
# port for it (as a bind that is shared, or to pass it on) is no hindrance.
# Seen: serve 14.2.7 *connects* to its port first (is-port-reachable 4.0.0). A
# listener that is held for it answers the connect, so it takes any other free
# port and says so on standard output alone; exit status and health are fine.
# For a supervisor: a port that is held open before the worker binds looks taken
# to programs that try it by connecting; hold it bound and not listening.
. "$(dirname "$0")/lib.bash"
pack serve@14.2.7 is-port-reachable@4.0.0
cd "$T"
mkdir www
echo served >www/index.html
P=$(free_port)
start node node_modules/serve/build/main.js -l "$P" www >plain 2>&1
within 20 answers "http://127.0.0.1:$P/" || changed "serve does not start"
hand none 127.0.0.1 -- node node_modules/serve/build/main.js -l '{0}' www \
	>held 2>&1
within 20 grep -q 'Accepting connections at' held || changed "it says nothing"
Q=$(cat ports)
OTHER=$(grep -o 'localhost:[0-9]*' held | head -n 1 | cut -d: -f2)
test "$OTHER" != "$Q" || changed "it takes the held port"
answers "http://127.0.0.1:$OTHER/" || changed "the other port is dead"
seen "serve 14.2.7: asked for a port that is held for it, it takes another"
