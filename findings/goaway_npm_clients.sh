#!/bin/bash
# Guess: a client that is told GOAWAY (no error) lets the request that runs be
# finished, and sends the next one over a new connection.
# Seen (Node 20), each fails in half of it: undici 6.29.1 and 7.30.2 (allowH2) fail the
# running request at once, "GOAWAY frame received with code 0", and give up its stream;
# the next one gets a new connection. http2-wrapper 2.2.4 (got's http2) finishes the
# running one, and until then fails all new ones to that origin with
# ERR_HTTP2_GOAWAY_SESSION. axios 1.21.1 does both. (undici 8.13.1, which wants Node 22,
# did both with Node 24.)
# For a supervisor: a drain by GOAWAY costs such clients requests that a silent drain
# would not have cost; with one that streams for minutes the other loses all for minutes.
# Retry on the client's side, or let old connections be.
. "$(dirname "$0")/lib.bash"
pack undici@6.29.1 undici7@npm:undici@7.30.2 http2-wrapper@2.2.4 axios@1.21.1
cd "$T" && certificate
script 90 <<'A'
const {pem, tls, late, up, run} = require(`${process.env.HERE}/tls.js`);
const undici = ({Agent, request}) => {
  const dispatcher = new Agent({allowH2: true, connect: tls});
  return (url) => request(url, {dispatcher}).then(
    async (r) => `${r.statusCode} ${await r.body.text()}`);
};
const clients = {
  'undici 6': undici(require('undici')), 'undici 7': undici(require('undici7')),
  'http2-wrapper': (url) => new Promise((done, fail) =>
    require('http2-wrapper').auto(url, {...tls}, (r) => r.setEncoding('utf8')
      .on('data', (text) => done(`${r.statusCode} ${text}`)))
      .then((request) => request.on('error', fail).end(), fail)),
  axios: (url) => require('axios').get(url, {httpVersion: 2, http2Options: tls})
    .then((r) => `${r.status} ${r.data}`),
};
const answer = (stream, what) => { stream.respond({':status': 200}); stream.end(what); };
run(async () => {
  for (const [name, client] of Object.entries(clients)) {
    let held, begun, after;
    const busy = new Promise((yes) => { begun = yes; });
    const server = require('http2').createSecureServer(pem);
    server.on('session', (s) => s.on('error', () => {})).on('stream', (stream, headers) => {
      stream.on('error', () => {});
      if (headers[':path'] === '/held') begun(held = stream); else answer(stream, 'next');
    });
    const url = `https://localhost:${await up(server)}`;
    const ask = (path) => Promise.race([late(5000, 'no answer'), client(url + path).catch((e) => e.code)]);
    await ask('/first');
    const running = ask('/held');
    await busy;
    const heard = new Promise((yes) => held.session.on('goaway', yes).on('close', yes));
    held.session.close();       // GOAWAY, no error, up to this stream
    await Promise.race([late(5000), heard]);    // its own GOAWAY, or its end
    const next = await ask('/next'), end = Date.now() + 5000;
    if (!held.destroyed) answer(held, 'held');
    console.log(`${name}: ${await running}, ${next}`);
    while ((after = await ask('/after')) !== '200 next' && Date.now() < end) await late(20);
    if (after !== '200 next') console.log(`${name} never recovers: ${after}`);
  }
});
A
printf '%s\n' 'undici 6: UND_ERR_SOCKET, 200 next' 'undici 7: UND_ERR_SOCKET, 200 next' \
	'http2-wrapper: 200 held, ERR_HTTP2_GOAWAY_SESSION' 'axios: 200 held, 200 next' | printed
seen "undici 6.29.1, 7.30.2 (the running one fails), http2-wrapper 2.2.4 (new ones fail)"
