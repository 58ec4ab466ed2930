#!/bin/bash
# Guess: with OTEL_METRICS_EXPORTER=prometheus each of several workers has its metrics at
# OTEL_EXPORTER_PROMETHEUS_PORT, or the second one fails to start, or says that it cannot.
# Seen: the second one, with OpenTelemetry's sdk-node 0.223.0, serves as if nothing were: not
# a word on either output, and its metrics are nowhere. It does not try again: when the first
# worker has ended, as it does in a reload behind its successor, the metrics' port is refused.
# With OTEL_LOG_LEVEL=error it says EADDRINUSE, once.
# For a supervisor: a port that each worker binds for its metrics has to be another one for
# each, also for old and new in a reload; that a worker serves says nothing about it.
. "$(dirname "$0")/lib.bash"
pack @opentelemetry/sdk-node@0.223.0 @opentelemetry/api@1.9.1
cd "$T"
cat >server.js <<'A'
const { NodeSDK } = require('@opentelemetry/sdk-node');
const { metrics } = require('@opentelemetry/api');
new NodeSDK().start();
const served = metrics.getMeter('worker').createCounter(process.env.WHO);
require('http').createServer((request, response) => {
	served.add(1);
	response.end('served');
}).listen(+process.env.PORT, '127.0.0.1');
A
METRICS=$(free_port)
export OTEL_TRACES_EXPORTER=none OTEL_LOGS_EXPORTER=none OTEL_METRICS_EXPORTER=prometheus
export OTEL_EXPORTER_PROMETHEUS_HOST=127.0.0.1 OTEL_EXPORTER_PROMETHEUS_PORT=$METRICS
export OTEL_NODE_RESOURCE_DETECTORS=none
serve() { # serve NAME [VARIABLE...]: until it has served
	local port
	port=$(free_port)
	start env "WHO=$1" "PORT=$port" "${@:2}" node server.js >"$1.log" 2>&1
	within 40 answers "http://127.0.0.1:$port/" || changed "$1: $(tail -n 2 "$1.log")"
	URL=http://127.0.0.1:$port/
}
has() { get "http://127.0.0.1:$METRICS/metrics" >metrics && grep -q "^$1" metrics; }
serve old
OLD=$PID
within 10 has old_total || changed "the first one has no metrics: $(cat curl)"
serve new
sleep 2
has old_total || changed "the first one's metrics are gone"
! has new_total || changed "the second one's are there too"
test ! -s new.log || changed "it says so: $(tail -n 2 new.log)"
serve loud OTEL_LOG_LEVEL=error
within 10 grep -q EADDRINUSE loud.log || changed "with OTEL_LOG_LEVEL: $(tail -n 2 loud.log)"
kill "$OLD"
wait "$OLD" 2>>log || :
for _ in 1 2 3 4 5 6; do
	sleep 1
	answers "$URL" || changed "the last one does not serve: $(cat curl)"
	! has loud_total && grep -q '(7)' curl || changed "somebody has the port by now"
done
seen "OpenTelemetry's sdk-node 0.223.0: the second worker's metrics are nowhere, without a word"
