#!/bin/bash
# Guess: npm systemd's server.listen('systemd') serves an inherited TCP socket as Node's
# own listen({fd: 3}) does.
# Seen: systemd 0.4.0 opens the socket as a pipe. With Node 20 (its engines end before
# 0.11, npm installs it all the same) it serves, but server.address() is null and no
# client has an address: whatever logs, limits or trusts by it sees one client, undefined.
# setNoDelay(), which Node itself calls for HTTP, does nothing to a pipe, so that
# connections have no TCP_NODELAY.
# For a supervisor that hands over sockets: that a server answers on one does not mean
# that it knows what it is; a server that binds by itself, and has its socket replaced
# then, does.
. "$(dirname "$0")/lib.bash"
pack systemd@0.4.0
cd "$T"
cat >serve.js <<'A'
require('systemd');
const fs = require('fs'), how = process.argv[2];
const server = require('http').createServer((request, response) => {
	fs.appendFileSync('out', `${how}: ${request.socket.remoteAddress}, ` +
	    `${server.address() === null}\n`);
	response.end();
});
server.listen(how === 'systemd' ? how : { fd: 3 });
A
for how in systemd fd; do
	rm -f ports
	hand systemd 127.0.0.1 -- strace -f -qq -e trace=setsockopt -o "$how.calls" \
	    node serve.js $how 2>>err
	within 20 test -s ports
	within 20 answers "http://127.0.0.1:$(cat ports)/" || changed "$how: no answer"
	kill "$PID"
done
grep -q TCP_NODELAY fd.calls || changed "Node itself sets no TCP_NODELAY"
! grep -q TCP_NODELAY systemd.calls || changed "TCP_NODELAY is set"
printed <<'A'
systemd: undefined, true
fd: 127.0.0.1, false
A
seen "systemd 0.4.0, Node 20: TCP is served as a pipe, without addresses and TCP_NODELAY"
