// Express with sessions: in Redis where REDIS_URL is set, else in the worker's own
// memory. It knows nothing of clusterd.
'use strict';
const express = require('express');
const session = require('express-session');

const { REDIS_URL, SESSION_SECRET, PORT = '8080' } = process.env;

async function redisStore() {
	const { createClient } = require('redis');
	const { RedisStore } = require('connect-redis');
	const client = createClient({ url: REDIS_URL });

	// Without a listener the first lost connection would end the worker.
	client.on('error', (error) => console.error(`redis: ${error.message}`));
	await client.connect();
	return new RedisStore({ client, prefix: 'session:' });
}

async function main() {
	const app = express();

	app.use(session({
		store: REDIS_URL ? await redisStore() : undefined,
		// The same for all workers, and for those of tomorrow: a cookie that was
		// signed with another one is no cookie.
		secret: SESSION_SECRET,
		resave: false,
		saveUninitialized: false,
		cookie: { httpOnly: true, sameSite: 'lax', maxAge: 24 * 3600 * 1000 },
	}));
	app.use(express.urlencoded({ extended: false }));
	app.get('/', (request, response) => {
		const { user } = request.session;
		response.set('X-Worker', String(process.pid));
		response.send(user ? `hello ${user}\n` : 'logged out\n');
	});
	app.post('/login', (request, response, next) => {
		// A new id, so that nobody can have chosen it; and saved before the answer,
		// which may lead to another worker.
		request.session.regenerate((error) => {
			if (error)
				return next(error);
			request.session.user = request.body.user;
			request.session.save((error) =>
				error ? next(error) : response.redirect(303, '/'));
		});
	});
	app.post('/logout', (request, response, next) =>
		request.session.destroy((error) =>
			error ? next(error) : response.redirect(303, '/')));

	const server = app.listen({ port: Number(PORT), backlog: 4096 });
	process.on('SIGTERM', () => {
		server.close(() => process.exit());
		server.closeIdleConnections();
	});
}

if (!SESSION_SECRET) {
	console.error('SESSION_SECRET is not set: see README.md');
	process.exit(64);
}
main().catch((error) => {
	console.error(error);
	process.exit(1);
});
