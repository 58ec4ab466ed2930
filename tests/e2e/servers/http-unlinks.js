// Closes on the stop signal, and with that Node removes the socket's path.
const server = require('node:http').createServer((request, response) => {
	response.end(`${process.pid}\n`);
}).listen(process.argv[2]);
process.once('SIGTERM', () => server.close());
