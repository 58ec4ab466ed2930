// A server behind a balancer that keeps its connections: HTTP/1.1, or with
// PROTOCOL=h2 HTTP/2 without TLS ("prior knowledge"). It binds its port as it would
// without clusterd. What it does for its balancer is told by two signals:
//
//	USR2	clusterd's drain_signal: this worker gets no new connections. Answers
//		ask for a new connection from now on, or GOAWAY does, so that those
//		that are kept leave one by one, none in the middle of a request
//	TERM	all have left, or drain_timeout has passed: the end
'use strict';
const h2 = process.env.PROTOCOL === 'h2';
const http = require(h2 ? 'node:http2' : 'node:http');
const { CLUSTERD_INSTANCE = '0', PORT = '8080' } = process.env;
const sessions = new Set();
let leaving = false;

const server = http.createServer((request, response) => {
	if (leaving && !h2)
		response.setHeader('Connection', 'close');
	const host = request.socket.localAddress.replace('::ffff:', '');
	response.end(`${host} ${CLUSTERD_INSTANCE} ${process.pid}\n`);
	if (leaving && h2)
		request.stream.session.close();
});
server.on('session', (session) => {
	sessions.add(session);
	session.on('close', () => sessions.delete(session));
	session.on('error', () => {});
});

process.on('SIGUSR2', () => {
	leaving = true;
	for (const session of sessions)
		session.close();
});
process.on('SIGTERM', () => {
	server.close();
	if (!h2)
		server.closeIdleConnections();
	for (const session of sessions)
		session.close();
});
server.listen({ port: Number(PORT), backlog: 4096 });
