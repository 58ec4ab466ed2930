// HTTP/2 without TLS, on the port that its argument names: `/` is answered at
// once, `/slow/MS` after that time, and behind `/ping` the server sends a PING.
// SIGTERM ends it at once, whatever it is doing.
const server = require('node:http2').createServer();

server.on('stream', (stream, headers) => {
	const path = headers[':path'], session = stream.session;
	const slow = /^\/slow\/(\d+)$/.exec(path);

	setTimeout(() => {
		stream.respond({ ':status': 200 });
		stream.end(`${process.pid}\n`);
		if (path === '/ping')
			stream.on('close', () => session.ping(() => {}));
	}, slow ? Number(slow[1]) : 0);
});
server.on('session', session => session.on('error', () => {}));
server.listen(process.argv[2], '127.0.0.1');
