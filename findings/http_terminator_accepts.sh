#!/bin/bash
# Guess: after terminate(), while the requests in work are finished, a new client
# is refused, as with server.close().
# Seen: with http-terminator 3.2.0 and lil-http-terminator 1.2.3 the listening
# socket stays open until the last request is done: a new client's connection is
# established and closed without a byte of an answer (or reset), where the plain
# server.close() gives ECONNREFUSED, on which clients try elsewhere.
# For a supervisor: a worker on its way out may still take connections to throw
# them away; whatever spreads them must stop doing so before the stop signal.
. "$(dirname "$0")/lib.bash"
pack http-terminator@3.2.0 lil-http-terminator@1.2.3
cat >"$T/main.js" <<'A'
const http = require('http'), net = require('net');
const lil = require('lil-http-terminator');
const ends = {
  plain: (server) => ({terminate: () => server.close()}),
  'http-terminator': (server) =>
    require('http-terminator').createHttpTerminator({server}),
  'lil-http-terminator': (server) => (lil.default || lil)({server}),
};
const ask = (port, path) => new Promise((done) => {
  const s = net.connect(port, '127.0.0.1');
  let answer = '', at = 'taken';
  s.on('connect', () => {
    s.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`); });
  s.on('data', (d) => { answer += d; });
  s.on('error', (e) => { if (e.code === 'ECONNREFUSED') at = 'refused'; });
  s.on('close', () => done(answer ? answer.slice(9, 12) : at));
});
(async () => {
  for (const name of Object.keys(ends)) {
    let finish, begun;
    const busy = new Promise((yes) => { begun = yes; });
    const server = http.createServer((request, response) => {
      if (request.url !== '/work') return response.end('ok');
      finish = () => response.end('ok');
      begun();
    });
    const end = ends[name](server);
    await new Promise((up) => server.listen(0, '127.0.0.1', up));
    const {port} = server.address();
    const work = ask(port, '/work');
    await busy;
    end.terminate();
    const late = await ask(port, '/');
    finish();
    console.log(name, late, await work);
  }
  process.exit();
})();
A
cd "$T"
timeout 30 node main.js >out 2>err || changed "$(tail -n 3 err)"
printf '%s\n' 'plain refused 200' 'http-terminator taken 200' \
	'lil-http-terminator taken 200' | diff - out >differ ||
	changed "$(cat differ)"
seen "http-terminator 3.2.0, lil-http-terminator 1.2.3: new clients are taken and dropped"
