#!/bin/bash
# Guess: srvx, the server below Nitro and h3, finishes its requests at SIGTERM and ends,
# as it says; how it ends is a matter of its options.
# Seen: srvx 1.0.8 leaves its graceful shutdown out where the environment has CI or TEST,
# whatever the value, "0" and "false" as well: SIGTERM then is death by signal 15, and
# the running request is cut off (curl 52). Only gracefulShutdown: true in the program
# brings it back. Where it is in force nothing ends the process but an empty event loop:
# with one timer (a pool, a metric) it listens no more, and lives on after
# "closed successfully", deaf to each further SIGTERM.
# For a supervisor: the environment that workers inherit is part of how they end, so it
# belongs into the file and not to whoever started the supervisor; and a worker that
# listens no more and lives on needs a limit, then SIGKILL.
. "$(dirname "$0")/lib.bash"
pack srvx@1.0.8
cd "$T"
cat >server.mjs <<'A'
import { serve } from 'srvx';
import { writeFileSync } from 'fs';
const [how, option] = process.argv.slice(2);
const server = serve({
	port: 0, hostname: '127.0.0.1', gracefulShutdown: option === 'true' || undefined,
	fetch: async (request) => {
		writeFileSync('begun', '');
		await new Promise((yes) => setTimeout(yes, 1500));
		return new Response('done');
	},
});
await server.ready();
if (how === 'timer') setInterval(() => {}, 1000);
writeFileSync('port', new URL(server.url).port);
A
gone() { ! kill -0 "$PID" 2>/dev/null; }
try() { # try WANTED VARIABLES HOW [OPTION]: the answer and curl's status
	local asker rc=0
	rm -f port begun log
	start env -u CI -u TEST $2 node server.mjs "${@:3}" >log 2>&1
	within 20 test -s port || changed "$2: $(tail -n 2 log)"
	get "http://127.0.0.1:$(cat port)/" 9 >answer & asker=$!
	within 10 test -e begun
	kill "$PID"
	wait "$asker" || rc=$?
	test "$(cat answer) $rc" = "$1" || changed "$2 ${*:3}: $(cat answer) $rc"
}
ended() { # ended STATUS
	within 10 gone || changed "it lives on"
	local status=0; wait "$PID" || status=$?
	test "$status" = "$1" || changed "its status is $status"
}
try 'done 0' A=1 plain; ended 0
for variable in CI=1 CI=false TEST=1 TEST=0; do
	try ' 52' "$variable" plain; ended 143
done
try 'done 0' TEST=1 plain true; ended 0
try 'done 0' A=1 timer
within 10 grep -q 'closed successfully' log || changed "timer: $(tail -n 1 log)"
rc=0; get "http://127.0.0.1:$(cat port)/" || rc=$?
test "$rc" = 7 || changed "timer: curl $rc after the end"
kill "$PID"
! within 2 gone || changed "a second SIGTERM ends it"
seen "srvx 1.0.8: TEST=0 is no graceful stop, and a timer outlives it"
