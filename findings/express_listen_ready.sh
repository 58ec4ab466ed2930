#!/bin/bash
# Guess: the function given to Express's app.listen(port, function) is called when the
# server listens, as in Node; with the port in use the process dies of the error.
# Seen: Express 5.3.0 calls it for an error, too, with the error as its argument. What has
# no use for arguments says "ready" (by IPC, sd_notify or a log line) on a port that
# another process holds, and the process then ends with status 0, having nothing to do; or,
# with one timer (a pool, a metric), lives on and serves nobody. Express 4.22.3 and Node's
# own listen() do not call it, and end with status 1 and EADDRINUSE.
# For a supervisor: READY=1 from such a worker is no listener, and its status 0 no wish to
# be left alone; see who listens, and start again what ended before it ever served.
. "$(dirname "$0")/lib.bash"
pack express@5.3.0 express4@npm:express@4.22.3
cd "$T"
cat >server.js <<'A'
const { FRAMEWORK, PORT, TIMER } = process.env;
const app = FRAMEWORK === 'node' ? require('http').createServer() : require(FRAMEWORK)();
if (TIMER) setInterval(() => {}, 1000);
app.listen(+PORT, '127.0.0.1', () => console.log('ready'));
A
start node -e 'require("http").createServer((request, response) => response.end("other"))
    .listen(0, "127.0.0.1", function () { console.log(this.address().port); })' >port
within 20 test -s port
PORT=$(cat port)
export PORT
try() { # try FRAMEWORK STATUS WORDS
	local status=0
	FRAMEWORK=$1 timeout 40 node server.js >out 2>err || status=$?
	test "$status $(cat out)" = "$2 $3" || changed "$1: $status $(cat out)"
}
try express 0 ready
test ! -s err || changed "it says so: $(tail -n 2 err)"
for framework in express4 node; do
	try "$framework" 1 ''
	grep -q EADDRINUSE err || changed "$framework: $(tail -n 2 err)"
done
TIMER=1 FRAMEWORK=express start node server.js >log 2>&1
within 40 grep -q ready log || changed "with a timer: $(tail -n 2 log)"
sleep 2
kill -0 "$PID" 2>>log || changed "with a timer it ends"
test "$(get "http://127.0.0.1:$PORT/")" = other || changed "the port is no longer the other's"
seen "Express 5.3.0: \"ready\" on a port that another process holds, and exit status 0"
