#!/bin/bash
# Guess: npm systemd-socket's systemd(N) is null where N sockets or fewer were handed over,
# as systemd() is, so that listen(systemd(1) || port) falls back to the port.
# Seen: systemd-socket 0.0.0 compares the count with the number of calls without N before,
# not with N: of one socket systemd(1) is descriptor 4, which in Node 20 is its own epoll,
# and the listener of the second address fails with EINVAL. After two calls without N it
# is null. LISTEN_PID is not looked at.
# For a supervisor that hands over fewer sockets than the server has addresses: it is not
# the server's fallback that follows, but its end; hand over all, or none.
. "$(dirname "$0")/lib.bash"
pack systemd-socket@0.0.0
cd "$T"
cat >serve.js <<'A'
const systemd = require('systemd-socket'), http = require('http'), fs = require('fs');
const say = (...words) => fs.appendFileSync('out', words.join(' ') + '\n');
say('4 is', fs.readlinkSync('/proc/self/fd/4'));
const listen = (name, where) => new Promise((done) => {
	const server = http.createServer();
	server.on('error', (e) => { say(name, e.code); done(); });
	server.listen(where, () => { say(name, 'listens'); done(); });
});
(async () => {
	await listen('first', systemd(0) || 0);
	await listen('second', systemd(1) || 0);	// 0: any free port
	say('then:', JSON.stringify([systemd(), systemd(), systemd(1)]), 'over');
	process.exit();
})();
A
hand systemd 127.0.0.1 -- node serve.js
within 20 grep -qs over out || changed "it does not get there"
LISTEN_PID=1 LISTEN_FDS=1 node -e 'console.log("of pid 1:",
    JSON.stringify(require("systemd-socket")()))' >>out
printed <<'A'
4 is anon_inode:[eventpoll]
first listens
second EINVAL
then: [{"fd":3},null,null] over
of pid 1: {"fd":3}
A
seen "systemd-socket 0.0.0: of one socket the second is Node's own epoll"
