#!/bin/bash
# Guess: what ends an HTTP server gracefully does so with TLS and with HTTP/2, too:
# the running request is finished.
# Seen (Node 20, http2.createSecureServer): http-graceful-shutdown 4.0.0 (whose
# README names http2), http-terminator 3.2.0, lil-http-terminator 1.2.3, stoppable
# 1.1.0, http-shutdown 1.2.2 and @hapi/hapi 21.4.10's own stop() destroy the
# connection at once, without GOAWAY; the client's stream ends with neither a
# status nor an error (code 8). The plain server.close() lets it be finished.
# http-graceful-shutdown and http-shutdown do the same to HTTPS with HTTP/1.1
# (ECONNRESET). Over plain HTTP each finishes it. Busy is, to them, a mark that a
# request leaves on its own socket; an HTTP/2 connection does not have it, nor
# the TCP socket below TLS, which these two watch as well.
# For a supervisor: SIGTERM to a server with such a helper is as good as
# SIGKILL once it speaks TLS itself; let it drain before the stop signal.
. "$(dirname "$0")/lib.bash"
pack http-graceful-shutdown@4.0.0 http-terminator@3.2.0 lil-http-terminator@1.2.3 \
	stoppable@1.1.0 http-shutdown@1.2.2 @hapi/hapi@21.4.10
cd "$T"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
	-keyout key.pem -out cert.pem -days 2 -subj /CN=localhost 2>openssl.log
cat >main.js <<'A'
const http2 = require('http2'), https = require('https'), http = require('http');
const fs = require('fs');
const pem = {key: fs.readFileSync('key.pem'), cert: fs.readFileSync('cert.pem')};
const lil = require('lil-http-terminator');
const stops = {
  'server.close': (server) => () => server.close(),
  'http-graceful-shutdown': (server) => require('http-graceful-shutdown')(server,
    {timeout: 9000, forceExit: false, signals: ''}),
  'http-terminator': (server) => {
    const t = require('http-terminator').createHttpTerminator(
      {server, gracefulTerminationTimeout: 9000});
    return () => t.terminate();
  },
  'lil-http-terminator': (server) => {
    const t = (lil.default || lil)({server, gracefulTerminationTimeout: 9000});
    return () => t.terminate();
  },
  stoppable: (server) => {
    const s = require('stoppable')(server, 9000);
    return () => s.stop();
  },
  'http-shutdown': (server) => {
    const s = require('http-shutdown')(server);
    return () => s.shutdown(() => {});
  },
};
const late = (ms, what) => new Promise((yes) => setTimeout(yes, ms, what));
const ask2 = (port) => new Promise((done) => {
  const session = http2.connect(`https://127.0.0.1:${port}`,
    {rejectUnauthorized: false});
  session.on('error', () => {});
  const stream = session.request({':path': '/'});
  let status = 'none', error = '';
  stream.on('response', (headers) => { status = headers[':status']; });
  stream.on('error', (e) => { error = ` ${e.code}`; });
  stream.on('close', () => { done(`${status}, ${stream.rstCode}${error}`); });
  stream.resume();
});
const ask1 = (from) => (port) => new Promise((done) => {
  from.get({port, host: '127.0.0.1', rejectUnauthorized: false}, (response) => {
    response.resume().on('end', () => done(`${response.statusCode}`));
  }).on('error', (e) => done(e.code));
});
(async () => {
  for (const [version, make, ask] of [
    ['HTTP/2', http2.createSecureServer, ask2],
    ['HTTPS', https.createServer, ask1(https)],
    ['HTTP', (pem, app) => app ? http.createServer(app) : http.createServer(),
      ask1(http)]]) {
    for (const name of [...Object.keys(stops), 'hapi']) {
      let finish, begun, stop, server, work;
      const busy = new Promise((yes) => { begun = yes; });
      const app = (request, response) => {
        finish = () => response.end('ok');
        begun();
      };
      if (name === 'hapi') {
        server = make(pem);
        const hapi = require('@hapi/hapi').server({listener: server, port: 0,
          tls: version !== 'HTTP', host: '127.0.0.1'});
        hapi.route({method: 'GET', path: '/', handler: () => new Promise((yes) => {
          finish = () => yes('ok');
          begun();
        })});
        stop = () => hapi.stop({timeout: 9000});
        await hapi.start();
      } else {
        server = make(pem, app);
        stop = stops[name](server);
        await new Promise((up) => server.listen(0, '127.0.0.1', up));
      }
      work = ask(server.address().port);
      await busy;
      stop();
      // Cut is cut at once; what lives for half a second is let finish.
      const cut = await Promise.race([work, late(500)]);
      finish();
      console.log(`${version} ${name}: ${cut || await Promise.race([work,
        late(5000, 'no answer')])}`);
    }
  }
  process.exit();
})();
A
timeout 90 node main.js >out 2>err || changed "$(tail -n 3 err)"
all=(http-graceful-shutdown http-terminator lil-http-terminator stoppable http-shutdown hapi)
{
	echo 'HTTP/2 server.close: 200, 0'
	printf 'HTTP/2 %s: none, 8\n' "${all[@]}"
	printf 'HTTPS %s: 200\n' server.close "${all[@]}" |
	    sed '/-graceful-\|-shutdown/s/200/ECONNRESET/'
	printf 'HTTP %s: 200\n' server.close "${all[@]}"
} | diff - out >differ || changed "$(cat differ)"
seen "http-graceful-shutdown 4.0.0, http-terminator 3.2.0, hapi 21.4.10...: HTTP/2 is cut off"
