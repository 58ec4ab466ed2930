#!/bin/bash
# Guess: a reload without downtime that waits for ready (wait_ready) stops an
# old worker when the new one has said so, and else says that it failed.
# Seen: PM2 7.0.4 reloads the two workers of a cluster to a version that throws
# as it is loaded: "✓", exit status 0, and from then on the port is refused, for
# the good workers have been stopped all the same.
# For a supervisor: what has not become ready never takes the place of what is,
# and a reload's exit status is about the version, not about the command.
. "$(dirname "$0")/lib.bash"
pack pm2@7.0.4
PORT=$(free_port)
cd "$T"
cat >app.js <<A
require("http").createServer((q, r) => r.end("good"))
    .listen($PORT, "127.0.0.1", () => process.send("ready"));
A
cat >ecosystem.json <<A
{"apps": [{"name": "web", "script": "./app.js", "instances": 2,
  "exec_mode": "cluster", "wait_ready": true, "listen_timeout": 5000}]}
A
export PM2_HOME=$T/pm2
stop() {
	timeout 30 "$T/node_modules/.bin/pm2" kill >/dev/null 2>&1 || :
	cleanup
}
trap stop EXIT
refused() { test "$(curl -s -m 3 -w '%{exitcode}' "127.0.0.1:$PORT")" = 7; }
timeout 90 node_modules/.bin/pm2 start ecosystem.json >log 2>&1 ||
	changed "$(tail -n 3 log)"
within 20 answers "http://127.0.0.1:$PORT/" || changed "no answer"
echo 'throw new Error("no such module")' >app.js
timeout 90 node_modules/.bin/pm2 reload web >log 2>&1 ||
	changed "the reload failed: $(tail -n 3 log)"
grep -q '✓' log || changed "$(tail -n 3 log)"
within 20 refused || changed "it answers"
sleep 3
refused || changed "it answers again"
seen "PM2 7.0.4: a reload to what cannot serve is a success, and takes all away"
