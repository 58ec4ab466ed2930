// Stock Node: see clients.py for what is said.
//
//	node.js PORT | -
//
// `-`: on the descriptor that CLUSTERD_FD names.
const env = process.env;
const greeting = `${process.pid} ${env.CLUSTERD_INSTANCE} ` +
	`${env.CLUSTERD_GENERATION}\n`;

const server = require('node:net').createServer(socket => {
	let said = '';

	socket.on('error', () => {});
	socket.write(greeting);
	socket.on('data', data => {
		said += data;
		if (said.endsWith('\n'))
			setTimeout(() => socket.end('done\n'), Number(said));
	});
});
const where = process.argv[2];

if (where === '-')
	server.listen({ fd: Number(env.CLUSTERD_FD.split(',')[0]) });
else
	server.listen(Number(where), '127.0.0.1');
