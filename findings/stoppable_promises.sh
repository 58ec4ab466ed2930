#!/bin/bash
# Guess: the last answer on a connection that is about to be closed says
# "Connection: close", as with the other helpers for a graceful stop.
# Seen: with stoppable 1.1.0 the answer that is finished after stop() says
# "Connection: keep-alive" (and Keep-Alive: timeout=5), and the connection is
# closed right behind it. http-graceful-shutdown 4.0.0 says "close".
# For a supervisor: a proxy in front believes keep-alive and sends its next
# request into the closing connection; this is a lost request at each stop that
# no drain from outside can prevent.
. "$(dirname "$0")/lib.bash"
pack stoppable@1.1.0 http-graceful-shutdown@4.0.0
cat >"$T/main.js" <<'A'
const http = require('http'), net = require('net');
const helpers = {
  stoppable: (server) => {
    const s = require('stoppable')(server, 5000);
    return () => s.stop();
  },
  'http-graceful-shutdown': (server) => require('http-graceful-shutdown')(
    server, {timeout: 5000, forceExit: false, signals: ''}),
};
(async () => {
  for (const name of Object.keys(helpers)) {
    let finish, begun;
    const busy = new Promise((yes) => { begun = yes; });
    const server = http.createServer((request, response) => {
      finish = () => response.end('ok');
      begun();
    });
    const stop = helpers[name](server);
    await new Promise((up) => server.listen(0, '127.0.0.1', up));
    const s = net.connect(server.address().port, '127.0.0.1');
    let answer = '';
    s.on('data', (d) => { answer += d; });
    const closed = new Promise((yes) => s.on('close', yes));
    s.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await busy;
    stop();
    const stopped = Date.now();
    await new Promise((later) => setTimeout(later, 100));
    finish();
    await closed;
    // Node's own keepAliveTimeout would be five seconds.
    console.log(name, /^connection: (\S+)/im.exec(answer)[1],
      Date.now() - stopped < 3000 ? 'closed' : 'left open');
  }
  process.exit();
})();
A
cd "$T"
timeout 30 node main.js >out 2>err || changed "$(tail -n 3 err)"
printf '%s\n' 'stoppable keep-alive closed' \
	'http-graceful-shutdown close closed' | diff - out >differ ||
	changed "$(cat differ)"
seen "stoppable 1.1.0: says keep-alive, and closes"
