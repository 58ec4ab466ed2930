#!/bin/bash
# Guess: "node --require @opentelemetry/auto-instrumentations-node/register" changes nothing
# about how the server ends: without a handler of its own SIGTERM is its death.
# Seen: auto-instrumentations-node 0.81.2 takes SIGTERM for itself, to send off its last
# spans, and ends nothing (Node drops its default as soon as anybody listens). The server
# goes on answering, after each further SIGTERM too. SIGINT ends it as before, and so does
# SIGTERM without the package, or with a handler of the program's own.
# For a supervisor: by one word in NODE_OPTIONS a worker that used to end at once stands
# out the whole stop timeout at each reload and is killed, in the middle of its requests;
# tell which worker had to be killed. Another stop signal, SIGINT, helps.
. "$(dirname "$0")/lib.bash"
pack @opentelemetry/auto-instrumentations-node@0.81.2 @opentelemetry/api@1.9.1
cd "$T"
export OTEL_TRACES_EXPORTER=none OTEL_METRICS_EXPORTER=none OTEL_LOGS_EXPORTER=none
export OTEL_NODE_RESOURCE_DETECTORS=none
cat >server.js <<'A'
if (process.env.OWN) process.on('SIGTERM', () => process.exit(0));
require('http').createServer((request, response) => response.end('served'))
    .listen(+process.env.PORT, '127.0.0.1');
A
REGISTER=@opentelemetry/auto-instrumentations-node/register
serve() { # serve VARIABLE...
	PORT=$(free_port)
	start env NODE_OPTIONS= "PORT=$PORT" "$@" node server.js >log 2>&1
	within 30 answers "http://127.0.0.1:$PORT/" || changed "$*: $(tail -n 2 log)"
}
gone() { ! kill -0 "$PID" 2>>log; }
ends() { # ends SIGNAL STATUS
	local status=0
	kill "-$1" "$PID"
	within 10 gone || changed "it lives on after SIG$1"
	wait "$PID" || status=$?
	test "$status" = "$2" || changed "SIG$1: exit status $status"
}
serve OWN=
ends TERM 143
serve OWN=1 "NODE_OPTIONS=--require $REGISTER"
ends TERM 0
serve "NODE_OPTIONS=--require $REGISTER"
ends INT 130
serve "NODE_OPTIONS=--require $REGISTER"
for nth in first second third; do
	kill "$PID"
	for _ in 1 2 3 4; do
		sleep 0.4
		test "$(get "http://127.0.0.1:$PORT/")" = served ||
			changed "after the $nth SIGTERM: $(cat curl)"
	done
done
seen "auto-instrumentations-node 0.81.2: SIGTERM no longer ends the server"
