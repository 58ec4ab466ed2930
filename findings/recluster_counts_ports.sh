#!/bin/bash
# Guess: recluster's reload() stops the old workers when as many new ones listen as there
# are to be; a worker with two ports listens when it has both.
# Seen: recluster 1.0.0 counts "listening" events, not workers, and each port is one. Two
# workers that open a port for metrics first and the service's 3 s later: as both have
# metrics the old ones are told to close theirs, and clients of the service are refused
# (curl 7) until the first new worker has warmed up. With the one port alone no request is
# lost in the same reload; nor with both if opt.readyWhen is "ready", and the workers say it.
# For a supervisor: a worker with several listeners is ready when it has all of them, and
# readiness is counted by worker.
. "$(dirname "$0")/lib.bash"
pack recluster@1.0.0
cd "$T"
cat >primary.js <<'A'
const cluster = require('recluster')('./worker.js',
    { workers: 2, timeout: 9, readyWhen: process.env.READY || 'listening' });
cluster.run();
process.on('SIGUSR2', () => cluster.reload());
A
cat >worker.js <<'A'
const http = require('http'), { PORT, METRICS, READY } = process.env;
const serve = (request, response) => response.end('served');
const fs = require('fs');
if (METRICS) http.createServer(serve).listen(+METRICS, '127.0.0.1');
setTimeout(() => http.createServer(serve).listen(+PORT, '127.0.0.1', () => {
	fs.appendFileSync('up', 'up\n');
	if (READY) process.send({ cmd: 'ready' });
}), 3000);
A
up() { test "$(cat up 2>>log | wc -l)" -ge "$1"; }
try() { # try VARIABLE...: how many requests of those in a reload are refused, in LOST
	local rc
	PORT=$(free_port) LOST=0
	rm -f up
	start env "PORT=$PORT" "$@" node primary.js >log 2>&1
	within 30 up 2 || changed "$*: $(tail -n 2 log)"
	within 9 answers "http://127.0.0.1:$PORT/" || changed "$*: $(cat curl)"
	kill -USR2 "$PID"
	local end=$((SECONDS + 30))
	until up 4; do
		rc=0
		get "http://127.0.0.1:$PORT/" >answer || rc=$?
		test "$rc" != 7 || LOST=$((LOST + 1))
		((SECONDS < end)) || changed "$*: no new workers: $(tail -n 2 log)"
		sleep 0.05
	done
	within 9 answers "http://127.0.0.1:$PORT/" || changed "$*, after: $(cat curl)"
	kill "$PID"
}
try METRICS=
test "$LOST" = 0 || changed "one port: $LOST requests refused"
M=$(free_port)
try "METRICS=$M"
test "$LOST" -ge 5 || changed "two ports: $LOST requests refused"
M=$(free_port)
try "METRICS=$M" READY=ready
test "$LOST" = 0 || changed "readyWhen: $LOST requests refused"
seen "recluster 1.0.0: a reload of workers with two ports stops the old ones too soon"
