#!/bin/bash
# Guess: what only sets variables for a command (cross-env, dotenv-cli, env-cmd) passes
# SIGTERM on and ends when the command has ended, with its status.
# Seen: cross-env 10.1.0 and dotenv-cli 11.0.0 do. env-cmd 11.0.0 passes it on but ends
# at once, by signal 15, while its server still finishes the running request; and
# cross-env-shell, of the same package as cross-env, passes nothing on and ends: the
# server was never told and serves on.
# For a supervisor: the end of the process that it started is not the end of the
# server; signal and await all that descends from it, or a restart meets a port in use.
. "$(dirname "$0")/lib.bash"
pack cross-env@10.1.0 dotenv-cli@11.0.0 env-cmd@11.0.0
cd "$T"
echo A=1 >.env
cat >server.js <<'A'
const fs = require('fs');
const server = require('http').createServer((request, response) => {
  if (request.url !== '/work') return response.end('ok');
  fs.writeFileSync('begun', '');
  setTimeout(() => response.end('done'), 3000);
});
process.on('SIGTERM', () => { fs.writeFileSync('told', ''); server.close(); });
process.on('exit', () => fs.writeFileSync('ended', ''));
server.listen(+process.env.PORT, '127.0.0.1', () => fs.writeFileSync('pid', `${process.pid}`));
A
try() { # try STATUS TOLD ENDED COMMAND...: of the wrapper; of the server at its end
	export PORT; PORT=$(free_port)
	rm -f begun told ended
	start "${@:4}" >log 2>&1
	local wrapper=$PID asker status=0 told=told ended=ended
	within 30 answers "http://127.0.0.1:$PORT/" || changed "$4: $(tail -n 2 log)"
	STRAYS+=("$(cat pid)")
	get "http://127.0.0.1:$PORT/work" 9 >answer & asker=$!
	within 10 test -e begun
	kill "$wrapper"
	wait "$wrapper" || status=$?
	test -e ended || ended=lives
	wait "$asker" || changed "$4: the request fails"
	test -e told || told=untold
	test "$status $told $ended" = "$1 $2 $3" || changed "$4: $status $told $ended"
	kill -KILL "$(cat pid)" 2>/dev/null || :
}
b=node_modules/.bin
try 0 told ended $b/cross-env A=1 node server.js
try 0 told ended $b/dotenv node server.js
try 143 told lives $b/env-cmd node server.js
try 1 untold lives $b/cross-env-shell A=1 node server.js
seen "cross-env-shell 10.1.0 (passes nothing on), env-cmd 11.0.0 (ends before its server)"
