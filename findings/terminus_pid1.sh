#!/bin/bash
# Guess: a server with terminus ends after its graceful stop, wherever it runs.
# Seen: terminus 4.12.1 ends by sending itself the signal again, without a
# handler. Pid 1 of a pid namespace, which a container's program is, is immune
# to a signal that it does not handle: every hook has run, nothing listens any
# more, and with one timer (a pool, a metric) the process lives on, deaf to
# each further SIGTERM. As any other pid it is dead at once, by signal 15; with
# useExit0 it ends in both.
# For a supervisor: as pid 1 itself it cures this, since its workers are not;
# and a death by the stop signal's own number is a good stop.
. "$(dirname "$0")/lib.bash"
test "$(id -u)" = 0 || { echo "$NAME: must be root" >&2; exit 2; }
pack @godaddy/terminus@4.12.1
cat >"$T/main.js" <<'A'
const http = require('http'), fs = require('fs');
const {createTerminus} = require('@godaddy/terminus');
setInterval(() => {}, 1000);
const server = createTerminus(http.createServer(), {
  useExit0: process.argv[2] === 'exit0',
  onShutdown: async () => fs.appendFileSync('hooks', 'run\n'),
});
server.listen(0, '127.0.0.1', () => fs.writeFileSync('port',
  String(server.address().port)));
A
cd "$T"
refused() { local rc=0; answers "http://127.0.0.1:$(cat port)/" || rc=$?; test "$rc" = 7; }
ended() { ! kill -0 "$1" 2>/dev/null; }
begin() { # begin COMMAND...: Node's pid, as seen from here, is $SERVER
	rm -f hooks port
	start "$@"
	within 20 test -s port || changed "does not start"
	SERVER=$(tree "$PID" | tail -n 1)
	kill -TERM "$SERVER"
	within 20 test -s hooks || changed "no hook has run"
	within 20 refused || changed "still listens"
}
pid1=(unshare --pid --fork --kill-child=KILL)
begin node main.js
within 20 ended "$SERVER" || changed "an ordinary process lives on"
rc=0; wait "$PID" || rc=$?
test "$rc" = 143 || changed "status $rc"
begin "${pid1[@]}" node main.js exit0
within 20 ended "$SERVER" || changed "useExit0: lives on"
begin "${pid1[@]}" node main.js
for _ in 1 2 3; do
	kill -TERM "$SERVER"
	sleep 1
	! ended "$SERVER" || changed "pid 1 has ended"
done
seen "terminus 4.12.1: as pid 1 it has stopped serving, and lives on"
