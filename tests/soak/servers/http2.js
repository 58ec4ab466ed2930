// HTTP/2 of stock Node, without TLS: see h2.py for what is said.
//
//	http2.js PORT | -
//
// `-`: on the descriptor that CLUSTERD_FD names.
const env = process.env;
const greeting = `${process.pid} ${env.CLUSTERD_INSTANCE} ` +
	`${env.CLUSTERD_GENERATION}\n`;
const name = Buffer.from(String(process.pid).padEnd(8));

const server = require('node:http2').createServer();

server.on('session', session => {
	session.on('error', () => {});
	session.ping(name, () => {});
});
server.on('stream', (stream, headers) => {
	stream.on('error', () => {});
	stream.respond({ ':status': 200 });
	stream.write(greeting);
	setTimeout(() => stream.end('done\n'),
		Number(headers[':path'].slice(1)));
});
const where = process.argv[2];

if (where === '-')
	server.listen({ fd: Number(env.CLUSTERD_FD.split(',')[0]) });
else
	server.listen(Number(where), '127.0.0.1');
