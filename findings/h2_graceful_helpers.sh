#!/bin/bash
# Guess: what ends an HTTP server gracefully lets the running request be finished with
# TLS and with HTTP/2, too.
# Seen (Node 20, http2.createSecureServer): http-graceful-shutdown 4.0.0 (whose README
# names http2), http-terminator 3.2.0, lil-http-terminator 1.2.3, stoppable 1.1.0 and
# http-shutdown 1.2.2 destroy the connection at once, without GOAWAY; the stream ends
# with neither a status nor an error. The plain server.close() has it finished. The first
# and last do the same to HTTPS with HTTP/1.1 (ECONNRESET). Over HTTP each finishes it.
# For a supervisor: SIGTERM to a server with such a helper is as good as
# SIGKILL once it speaks TLS itself; let it drain before the stop signal.
. "$(dirname "$0")/lib.bash"
all=(http-graceful-shutdown http-terminator lil-http-terminator stoppable http-shutdown)
pack "${all[0]}@4.0.0" "${all[1]}@3.2.0" "${all[2]}@1.2.3" "${all[3]}@1.1.0" "${all[4]}@1.2.2"
cd "$T" && certificate
script 90 <<'A'
const http2 = require('http2'), https = require('https'), http = require('http');
const {pem, tls, late, up, run} = require(`${process.env.HERE}/tls.js`);
const wait = {gracefulTerminationTimeout: 9000, timeout: 9000, forceExit: false, signals: ''};
const stops = {         // of a server: what stops it
  'server.close': (s) => () => s.close(),
  'http-graceful-shutdown': (s, lib) => lib(s, wait),
  'http-terminator': (s, lib) => lib.createHttpTerminator({server: s, ...wait}).terminate,
  'lil-http-terminator': (s, lib) => (lib.default || lib)({server: s, ...wait}).terminate,
  stoppable: (s, lib) => lib(s, 9000).stop,
  'http-shutdown': (s, lib) => lib(s).shutdown,
};
const ask2 = (port) => new Promise((done) => {
  let status = 'none';
  http2.connect(`https://127.0.0.1:${port}`, tls).on('error', () => {}).request().resume()
    .on('response', (headers) => { status = headers[':status']; })
    .on('error', (e) => { status += ` ${e.code}`; }).on('close', () => done(status));
});
const ask1 = (from) => (port) => new Promise((done) => from.get({port, host: '127.0.0.1', ...tls},
  (r) => r.resume().on('end', () => done(r.statusCode))).on('error', (e) => done(e.code)));
run(async () => {
  for (const [version, make, ask] of [['HTTP/2', http2.createSecureServer, ask2],
    ['HTTPS', https.createServer, ask1(https)], ['HTTP', http.createServer, ask1(http)]]) {
    for (const [name, stop] of Object.entries(stops)) {
      let answer, begun;
      const busy = new Promise((yes) => { begun = yes; });
      const server = make(pem, (_, response) => begun(answer = response));
      const end = stop(server, name.includes('.') || require(name));
      const work = ask(await up(server));
      await busy;
      end();
      // Cut is cut at once; what lives for half a second is let finish.
      const cut = await Promise.race([work, late(500)]);
      answer.end('ok');
      console.log(version, name, cut || await Promise.race([work, late(5000, 'no answer')]));
    }
  }
});
A
{
	printf 'HTTP/2 server.close 200\n'
	printf 'HTTP/2 %s none\n' "${all[@]}"
	printf 'HTTPS %s 200\n' server.close "${all[@]}" | sed '/l-shut\|p-shut/s/200/ECONNRESET/'
	printf 'HTTP %s 200\n' server.close "${all[@]}"
} | printed
seen "http-graceful-shutdown 4.0.0, http-terminator 3.2.0, ...: HTTP/2 is cut off"
