#!/bin/bash
# Guess: whether SIGTERM goes to the primary of a Node cluster or to its process group is
# all the same for workers that end gracefully; throng's "signals" are those it is given.
# Seen: throng 5.0.0 hands each signal on to its workers. Where the group gets it, as with
# systemd's default (KillMode=control-group) or a terminal's ^C, a worker has it twice.
# fastify-graceful-shutdown 5.0.0 takes it once, with "once": the second one meets no
# handler, and is death in the middle of the running request (curl 52), though throng
# ends with 0; unless it comes so soon that the first has not been looked at yet, as on
# a busy machine. With SIGTERM to the primary alone the request is finished.
# "signals: ['SIGUSR2']" is SIGUSR2 and SIGINT: the list is merged with the default by
# position.
# For a supervisor: send the stop signal to the process that was started, and to its group
# after that has ended (KillMode=mixed).
. "$(dirname "$0")/lib.bash"
pack throng@5.0.0 fastify@5.12.8 fastify-graceful-shutdown@5.0.0
cd "$T"
cat >server.js <<'A'
const fs = require('fs');
const options = process.env.SIGNALS ? { signals: [process.env.SIGNALS] } : {};
async function worker() {
	const app = require('fastify')();
	app.register(require('fastify-graceful-shutdown'));
	app.get('/', async () => 'ok');
	app.get('/work', async () => {
		fs.writeFileSync('begun', '');
		await new Promise((yes) => setTimeout(yes, 1500));
		return 'done';
	});
	await app.listen({ port: +process.env.PORT, host: '127.0.0.1' });
}
if (process.argv[2] === 'throng') require('throng')({ ...options, count: 1, worker });
else worker();
A
try() { # try WHOM SIGNAL HOW [SIGNALS]: GOT is the running request's end, the primary's
	local asker rc=0 status=0
	export PORT; PORT=$(free_port)
	rm -f begun
	SIGNALS=${4:-} start node server.js "$3" >log 2>&1
	within 30 answers "http://127.0.0.1:$PORT/" || changed "$3: $(tail -n 2 log)"
	get "http://127.0.0.1:$PORT/work" 9 >answer & asker=$!
	within 10 test -e begun
	if test "$1" = group; then kill "-$2" -- "-$PID"; else kill "-$2" "$PID"; fi
	wait "$asker" || rc=$?
	wait "$PID" || status=$?
	GOT="$(cat answer) $rc $status"
}
finishes() { try "$@"; test "$GOT" = 'done 0 0' || changed "$*: $GOT"; }
cut_off() { # both signals are one for a worker that is slow to look: up to 8 tries
	for _ in 1 2 3 4 5 6 7 8; do
		try "$@"
		test "$GOT" != ' 52 0' || return 0
	done
	changed "$*: $GOT"
}
finishes it TERM throng
cut_off group TERM throng
cut_off group INT throng
finishes group TERM alone
finishes it INT throng SIGUSR2
seen "throng 5.0.0, fastify-graceful-shutdown 5.0.0: a signal to the group is two, and the end"
