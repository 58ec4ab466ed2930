#!/bin/bash
# Guess: SIGTERM to nodemon is one SIGTERM to the server, or whatever --signal says;
# nodemon ends when the server has.
# Seen: nodemon 3.1.14 sends SIGTERM and, at once, SIGINT. For close-with-grace 2.5.0,
# as for many a server, a second signal means "now": the request that runs is cut off,
# where the same server without nodemon, under node --watch and under tsx 4.23.15
# watch finishes it. --signal changes nothing, and nodemon's own end is by signal 15.
# For a supervisor: a graceful stop is only as good as what stands between; in a file
# that is for production too, name the server and not the watcher.
. "$(dirname "$0")/lib.bash"
pack nodemon@3.1.14 close-with-grace@2.5.0 tsx@4.23.15
cd "$T"
cat >server.js <<'A'
const fs = require('fs'), grace = require('close-with-grace');
const note = (name) => process.prependListener(name, () => fs.appendFileSync('signals', `${name} `));
['SIGTERM', 'SIGINT'].forEach(note);
const server = require('http').createServer((request, response) => {
  if (request.url !== '/work') return response.end('ok');
  fs.writeFileSync('begun', '');
  setTimeout(() => response.end('done'), 1500);
});
server.listen(+process.env.PORT, '127.0.0.1');
(grace.default || grace)({delay: 9000, logger: false}, () => new Promise((yes) => server.close(yes)));
A
try() { # try WANTED COMMAND...: the answer to the running request, and the signals
	export PORT; PORT=$(free_port)
	rm -f signals begun
	start "${@:2}" >log 2>&1
	local watcher=$PID asker rc=0
	within 30 answers "http://127.0.0.1:$PORT/" || changed "$2: $(tail -n 2 log)"
	get "http://127.0.0.1:$PORT/work" 9 >answer & asker=$!
	within 10 test -e begun
	kill "$watcher"
	wait "$asker" || rc=$?
	STATUS=0
	wait "$watcher" || STATUS=$?
	test "$(cat answer) $rc $(cat signals)" = "$1" ||
		changed "${*:2}: $(cat answer) $rc $(cat signals)"
}
try 'done 0 SIGTERM ' node server.js
try 'done 0 SIGTERM ' node --watch server.js
try 'done 0 SIGTERM ' node_modules/.bin/tsx watch server.js
for options in '' '--signal SIGTERM'; do
	try ' 52 SIGTERM SIGINT ' node_modules/.bin/nodemon $options server.js
	test "$STATUS" = 143 || changed "nodemon's status is $STATUS"
done
seen "nodemon 3.1.14 (SIGTERM, then SIGINT), close-with-grace 2.5.0 (cut off)"
