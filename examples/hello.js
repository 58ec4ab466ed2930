// The hello server in Node, for clusterd: serves HTTP on the listening socket
// that clusterd has bound and passed in. It does not tell clusterd that it is ready:
// with `ready = auto`, the default, it counts as ready once it has lived for a second.
//
//	clusterd -c hello-node.ini
'use strict';
const http = require('node:http');

const { CLUSTERD_FD, CLUSTERD_INSTANCE } = process.env;
if (!CLUSTERD_FD) {
	console.error('usage: clusterd -p PORT -- node hello.js');
	process.exit(64);
}

const server = http.createServer((request, response) => {
	response.shouldKeepAlive &&= server.listening; // else: connect anew
	response.end(`hello from instance ${CLUSTERD_INSTANCE}, pid ${process.pid}\n`);
});

// The first of a list such as "3,4". Node calls listen(2) on it once more, and its
// default backlog, 511, would shorten the queue that all the workers share.
server.listen({ fd: parseInt(CLUSTERD_FD, 10) }, 4096);

// A graceful stop: accept no more, hang up where nothing is going on, finish the
// rest. Node exits by itself when the last connection is closed.
process.once('SIGTERM', () => {
	server.close();
	server.closeIdleConnections();
});
