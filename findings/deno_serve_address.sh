#!/bin/bash
# Guess: DENO_SERVE_ADDRESS is where Deno.serve() listens if the program names no address;
# it is for Deno.serve() and deno serve, not for Node's modules.
# Seen: Deno 2.9.6 gives it to whatever listens first in the process, over the port that
# the program names for it, and node:http's listen() counts too. With a port for metrics
# opened before the service's the metrics are at the service's address, nobody listens at
# their own port, and the service stays at the port that the file names. A server that a
# library opens for a moment and closes takes it with it. "duplicate," in front lets the
# first one listen at both.
# For a supervisor that tells a worker its address by a variable: the first to listen is
# not always the service; what answers there has to be looked at, an open port is not enough.
. "$(dirname "$0")/lib.bash"
pack @deno/linux-x64-glibc@2.9.6
cd "$T"
export DENO_DIR=$T/deno DENO_NO_UPDATE_CHECK=1
cat >serve.js <<'A'
import http from 'node:http';
const listen = (name, by) => new Promise((yes) => {
	const hostname = '127.0.0.1', port = +Deno.env.get(name);
	if (by === 'node')
		http.createServer((request, response) => response.end(name)).listen(port, hostname, yes);
	else Deno.serve({ hostname, port, onListen: yes }, () => new Response(name));
});
const moment = () => Deno.serve({ hostname: '127.0.0.1', port: 0 }, () => new Response(''));
if (Deno.args[0] === 'library') await moment().shutdown();
else if (Deno.args[0] !== 'service') await listen('METRICS', Deno.args[0]);
await listen('SERVICE', Deno.args[0]);
console.log('up');
A
try() { # try HOW WHO...: run HOW, and WHO is at the metrics', service's and given port
	local how=$1 port
	METRICS=$(free_port) SERVICE=$(free_port) GIVEN=$(free_port)
	start env "METRICS=$METRICS" "SERVICE=$SERVICE" \
	    "DENO_SERVE_ADDRESS=${BEFORE:-}tcp:127.0.0.1:$GIVEN" \
	    node_modules/@deno/linux-x64-glibc/deno run -A serve.js "$how" >log 2>&1
	within 30 grep -q '^up' log || changed "$how: $(tail -n 2 log)"
	local got=()
	for port in "$METRICS" "$SERVICE" "$GIVEN"; do
		got+=("$(get "http://127.0.0.1:$port/" || echo none)")
	done
	kill "$PID"
	wait "$PID" || :
	test "${got[*]}" = "${*:2}" || changed "$BEFORE $how: ${got[*]}"
}
BEFORE=
try service none none SERVICE
try serve none SERVICE METRICS
try node none SERVICE METRICS
try library none SERVICE none
BEFORE=duplicate,
try serve METRICS SERVICE METRICS
seen "Deno 2.9.6: DENO_SERVE_ADDRESS goes to whatever listens first, over its own port"
