#!/bin/bash
# Guess: a client that is told GOAWAY (no error) lets the request that runs be
# finished, and sends the next one over a new connection.
# Seen (Node 20), each fails in half of it: undici 6.29.1 and 7.30.2 (allowH2)
# fail the running request at once, "GOAWAY frame received with code 0", and
# give up its stream; the next one gets a new connection. http2-wrapper 2.2.4
# (got's http2) finishes the running one, and until then fails all new ones to
# that origin with ERR_HTTP2_GOAWAY_SESSION. axios 1.21.1 does both. (undici
# 8.13.1, which wants Node 22, did both with Node 24.)
# For a supervisor: a drain by GOAWAY costs such clients requests that a silent
# drain would not have cost; with one that streams for minutes the other loses
# all for minutes. Retry on the client's side, or let old connections be.
. "$(dirname "$0")/lib.bash"
pack undici@6.29.1 undici7@npm:undici@7.30.2 http2-wrapper@2.2.4 axios@1.21.1
cd "$T"
certificate
cat >main.js <<'A'
const http2 = require('http2'), fs = require('fs');
const pem = {key: fs.readFileSync('key.pem'), cert: fs.readFileSync('cert.pem')};
const tls = {rejectUnauthorized: false};
const undici = (name) => {
  const {Agent, request} = require(name);
  const dispatcher = new Agent({allowH2: true, connect: tls});
  return async (url) => {
    const r = await request(url, {dispatcher});
    return `${r.statusCode} ${await r.body.text()}`;
  };
};
const clients = {
  'undici 6': () => undici('undici'),
  'undici 7': () => undici('undici7'),
  'http2-wrapper': () => (url) => new Promise((done, fail) => {
    require('http2-wrapper').auto(url, {...tls}, (response) => {
      let text = '';
      response.on('data', (d) => { text += d; });
      response.on('end', () => done(`${response.statusCode} ${text}`));
    }).then((request) => { request.on('error', fail); request.end(); }, fail);
  }),
  axios: () => async (url) => {
    const r = await require('axios').get(url, {httpVersion: 2, http2Options: tls});
    return `${r.status} ${r.data}`;
  },
};
const late = (ms, what) => new Promise((yes) => setTimeout(yes, ms, what));
(async () => {
  for (const name of Object.keys(clients)) {
    let held, begun;
    const busy = new Promise((yes) => { begun = yes; });
    const server = http2.createSecureServer(pem);
    server.on('session', (s) => s.on('error', () => {}));
    server.on('stream', (stream, headers) => {
      stream.on('error', () => {});
      if (headers[':path'] === '/held') { held = stream; return begun(); }
      stream.respond({':status': 200});
      stream.end('next');
    });
    await new Promise((up) => server.listen(0, '127.0.0.1', up));
    const url = `https://localhost:${server.address().port}`;
    const client = clients[name]();
    const ask = (path) => Promise.race([late(5000, 'no answer'), client(url + path)
      .catch((e) => e.code)]);
    await ask('/first');
    const running = ask('/held');
    await busy;
    const {session} = held;
    const heard = new Promise((yes) => {        // its own GOAWAY, or its end
      session.on('goaway', yes).on('close', yes);
    });
    session.close();            // GOAWAY, no error, up to this stream
    await Promise.race([late(5000), heard]);
    const next = await ask('/next');
    if (!held.destroyed) { held.respond({':status': 200}); held.end('held'); }
    console.log(`${name}: ${await running}, ${next}`);
    let after;
    for (const end = Date.now() + 5000; Date.now() < end; await late(20)) {
      after = await ask('/after');
      if (after === '200 next') break;
    }
    if (after !== '200 next') console.log(`${name} never recovers: ${after}`);
  }
  process.exit();
})();
A
timeout 90 node main.js >out 2>err || changed "$(tail -n 3 err)"
printf '%s\n' 'undici 6: UND_ERR_SOCKET, 200 next' \
	'undici 7: UND_ERR_SOCKET, 200 next' \
	'http2-wrapper: 200 held, ERR_HTTP2_GOAWAY_SESSION' \
	'axios: 200 held, 200 next' | diff - out >differ || changed "$(cat differ)"
seen "undici 6.29.1, 7.30.2 (the running one fails), http2-wrapper 2.2.4 (new ones fail)"
