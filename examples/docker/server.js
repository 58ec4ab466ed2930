// Any server: it knows nothing of clusterd, and has no shutdown handler.
'use strict';
require('node:http').createServer((request, response) => {
	response.end(`hello from pid ${process.pid}\n`);
}).listen(process.env.PORT || 8080);
