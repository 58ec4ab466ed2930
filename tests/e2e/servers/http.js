// The usual server: it binds the port, or the path, that its argument names.
require('node:http').createServer((request, response) => {
	response.end(`${process.pid}\n`);
}).listen(process.argv[2]);
