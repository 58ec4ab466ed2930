#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mono.h"
#include "core/worker/drain.h"
#include "linux/socket/connections.h"
#include "linux/socket/sockdiag.h"
#include "linux/process/tree_sockets.h"
#include "lib/alloc_fail.h"

#define LIMIT_MS	10000

/* ---- sockets and processes ---- */

static uint64_t
ino_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static int
tcp_listen(uint16_t *ret_port)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(listen(fd, 512), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	*ret_port = ntohs(sin.sin_port);
	return fd;
}

static int
tcp_connect(uint16_t port)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static int
accept_one(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/*
 * A process that holds `fd`, which is closed here, until holder_end(). With
 * DEEP its child's child, made by a thread of the child, holds it alone.
 */
struct holder {
	pid_t pid;
	int until;	/* closed: it ends, with what it has made */
};

enum depth { SHALLOW, DEEP };

static void
hold(int until)
{
	char c;

	while (read(until, &c, 1) < 0 && errno == EINTR)
		;
	_exit(0);
}

struct holding {
	int fd, until, said;
};

static void *
hold_below(void *arg)
{
	struct holding *h = arg;
	pid_t pid = fork();

	if (pid == 0) {
		(void)!write(h->said, "x", 1);
		hold(h->until);
	}
	close(h->fd);
	(void)!write(h->said, "x", 1);
	hold(h->until);
	return NULL;
}

static struct holder
holder_begin(int *fd, enum depth depth)
{
	struct holder holder;
	int until[2], said[2];
	char c;

	assert_int_equal(pipe2(until, O_CLOEXEC), 0);
	assert_int_equal(pipe2(said, O_CLOEXEC), 0);
	holder.pid = fork();
	assert_true(holder.pid >= 0);
	if (holder.pid == 0) {
		struct holding h = {
			.fd = *fd, .until = until[0], .said = said[1],
		};
		pthread_t thread;

		for (int i = 3; i < 2048; i++)
			if (i != h.fd && i != h.until && i != h.said)
				close(i);
		if (depth == DEEP) {
			if (pthread_create(&thread, NULL, hold_below, &h) != 0)
				_exit(1);
			pthread_join(thread, NULL);
		}
		(void)!write(said[1], "x", 1);
		hold(until[0]);
	}
	close(until[0]);
	close(said[1]);
	close(*fd);
	*fd = -1;
	for (int i = 0; i < (depth == DEEP ? 2 : 1); i++)
		assert_int_equal(read(said[0], &c, 1), 1);
	close(said[0]);
	holder.until = until[1];
	return holder;
}

static void
holder_end(struct holder *holder)
{
	close(holder->until);
	assert_int_equal(waitpid(holder->pid, NULL, 0), holder->pid);
}

/* ---- looks ---- */

static int
look_in_steps(struct connections *c, struct sockdiag *d, uint16_t port,
    const pid_t *roots, size_t n, int64_t budget_ms, unsigned *ret_steps)
{
	const struct connections_of of = { .family = AF_INET, .port = port };
	int code = connections_begin(c, d, &of, 1, roots, n, 0);

	for (*ret_steps = 0; code >= 0; ++*ret_steps) {
		code = connections_step(c, budget_ms);
		if (code <= 0)
			break;
		assert_in_range(*ret_steps, 0, 100000);
	}
	return code;
}

static int
look(struct connections *c, struct sockdiag *d, uint16_t port,
    const pid_t *roots, size_t n)
{
	unsigned steps;

	return look_in_steps(c, d, port, roots, n, LIMIT_MS, &steps);
}

static bool has_diag;

static int
look_for_diag(void **state)
{
	struct sockdiag d = SOCKDIAG_INIT;
	struct connections c;
	uint16_t port;
	int listener = tcp_listen(&port), client = tcp_connect(port);
	int server = accept_one(listener), code;
	pid_t self = getpid();

	(void)state;
	code = look(&c, &d, port, &self, 1);
	has_diag = code == 0;
	if (!has_diag)
		print_message("sock_diag does not work here: %s\n",
		    strerror(-code));
	connections_end(&c);
	sockdiag_close(&d);
	close(listener);
	close(client);
	close(server);
	return 0;
}

#define NEEDS_DIAG()	do { if (!has_diag) skip(); } while (0)

static void
whose_connections(void **state)
{
	struct sockdiag d = SOCKDIAG_INIT;
	struct connections c;
	struct holder holders[2];
	uint16_t port;
	int listener = tcp_listen(&port), clients[4], servers[3];
	uint64_t inos[3];
	pid_t roots[3];

	(void)state;
	NEEDS_DIAG();
	for (int i = 0; i < 4; i++)
		clients[i] = tcp_connect(port);
	for (int i = 0; i < 3; i++) {
		servers[i] = accept_one(listener);
		inos[i] = ino_of(servers[i]);
	}
	/* The third is ours, the fourth still queued. */
	holders[0] = holder_begin(&servers[0], SHALLOW);
	holders[1] = holder_begin(&servers[1], DEEP);
	for (int i = 0; i < 2; i++) {
		roots[i] = holders[i].pid;
		assert_int_equal(look(&c, &d, port, &roots[i], 1), 0);
		assert_int_equal(c.n, 1);
		assert_int_equal(c.v[0].ino, inos[i]);
		assert_true(c.v[0].conn.timed);
		connections_end(&c);
	}
	/* All of them; they are below us as well. */
	roots[2] = getpid();
	for (int n = 0; n < 2; n++) {
		assert_int_equal(look(&c, &d, port, n == 0 ? roots :
		    &roots[2], n == 0 ? 3 : 1), 0);
		assert_int_equal(c.n, 3);
		connections_end(&c);
	}
	/* One after the other, of what the kernel has told once. */
	assert_int_equal(look(&c, &d, port, &roots[1], 1), 0);
	assert_true(connections_listed(&c));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(connections_again(&c, &roots[i], 1), 0);
		assert_int_equal(connections_step(&c, LIMIT_MS), 0);
		/* We are above the first two. */
		assert_int_equal(c.n, i == 2 ? 3 : 1);
		if (i < 2)
			assert_int_equal(c.v[0].ino, inos[i]);
		for (size_t k = 1; k < c.n; k++)
			assert_true(c.v[k - 1].ino < c.v[k].ino);
	}
	connections_end(&c);
	holder_end(&holders[0]);
	holder_end(&holders[1]);
	/* Processes that have gone are no error, and hold nothing. */
	assert_int_equal(look(&c, &d, port, roots, 2), 0);
	assert_int_equal(c.n, 0);
	connections_end(&c);
	for (int i = 0; i < 4; i++)
		close(clients[i]);
	close(servers[2]);
	close(listener);
	sockdiag_close(&d);
}

static void
in_small_steps(void **state)
{
	enum { CONNS = 300 };
	struct sockdiag d = SOCKDIAG_INIT;
	struct connections c;
	uint16_t port;
	int listener = tcp_listen(&port), clients[CONNS], servers[CONNS];
	pid_t self = getpid();
	unsigned steps;

	(void)state;
	NEEDS_DIAG();
	for (int i = 0; i < CONNS; i++) {
		clients[i] = tcp_connect(port);
		servers[i] = accept_one(listener);
	}
	assert_int_equal(look_in_steps(&c, &d, port, &self, 1, 0, &steps), 0);
	assert_int_equal(c.n, CONNS);
	/* Some 80 connections, or 64 descriptors, each. */
	assert_in_range(steps, 8, 40);
	connections_end(&c);
	/* One that is given up leaves nothing behind. */
	for (unsigned n = 0; n < steps; n++) {
		const struct connections_of of = {
			.family = AF_INET, .port = port,
		};

		assert_int_equal(connections_begin(&c, &d, &of, 1, &self, 1,
		    0), 0);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(connections_step(&c, 0), 1);
		connections_end(&c);
	}
	assert_int_equal(look(&c, &d, port, &self, 1), 0);
	assert_int_equal(c.n, CONNS);
	connections_end(&c);
	for (int i = 0; i < CONNS; i++) {
		close(clients[i]);
		close(servers[i]);
	}
	close(listener);
	sockdiag_close(&d);
}

static void
of_one_address_alone(void **state)
{
	struct connections_of of = {
		.family = AF_INET, .local_len = 4, .local = { 127, 0, 0, 1 },
	};
	struct sockdiag d = SOCKDIAG_INIT;
	struct connections c;
	int listener = tcp_listen(&of.port), client = tcp_connect(of.port);
	int server = accept_one(listener);
	pid_t self = getpid();

	(void)state;
	NEEDS_DIAG();
	for (uint8_t last = 1; last <= 2; last++) {
		of.local[3] = last;
		assert_int_equal(connections_begin(&c, &d, &of, 1, &self, 1, 0),
		    0);
		while (connections_step(&c, LIMIT_MS) > 0)
			continue;
		assert_int_equal(c.n, last == 1 ? 1 : 0);
		connections_end(&c);
	}
	close(server);
	close(client);
	close(listener);
	sockdiag_close(&d);
}

static void
short_of_memory(void **state)
{
	enum { CONNS = 100 };
	struct sockdiag d = SOCKDIAG_INIT;
	struct connections c;
	uint16_t port;
	int listener = tcp_listen(&port), clients[CONNS], servers[CONNS];
	pid_t roots[20];
	int code = -ENOMEM;
	unsigned n;

	(void)state;
	NEEDS_DIAG();
	for (int i = 0; i < CONNS; i++) {
		clients[i] = tcp_connect(port);
		servers[i] = accept_one(listener);
	}
	for (int i = 0; i < 20; i++)
		roots[i] = getpid();
	/* Each in turn: one for the listeners, two for the roots, two for the
	   connections, two for those of the roots. */
	for (n = 0; code == -ENOMEM; n++) {
		alloc_fail(n + 1, ALLOC_ALL);
		code = look(&c, &d, port, roots, 20);
		alloc_works();
		connections_end(&c);
	}
	assert_int_equal(code, 0);
	assert_int_equal(n, 8);
	for (int i = 0; i < CONNS; i++) {
		close(clients[i]);
		close(servers[i]);
	}
	close(listener);
	sockdiag_close(&d);
}

static void
several_listeners(void **state)
{
	struct sockdiag d = SOCKDIAG_INIT;
	struct connections c;
	uint16_t ports[2];
	int listeners[2], clients[2], servers[2];
	struct connections_of of[3];
	pid_t self = getpid();

	(void)state;
	NEEDS_DIAG();
	for (int i = 0; i < 2; i++) {
		listeners[i] = tcp_listen(&ports[i]);
		clients[i] = tcp_connect(ports[i]);
		servers[i] = accept_one(listeners[i]);
		of[i] = (struct connections_of){
			.family = AF_INET, .port = ports[i],
		};
	}
	/* The first port on another address, too: counted once. */
	of[2] = of[0];
	assert_int_equal(connections_begin(&c, &d, of, 3, &self, 1, 0), 0);
	assert_int_equal(connections_step(&c, LIMIT_MS), 0);
	assert_int_equal(c.n, 2);
	connections_end(&c);
	/* None at all. */
	assert_int_equal(connections_begin(&c, &d, of, 0, &self, 1, 0), 0);
	assert_int_equal(connections_step(&c, LIMIT_MS), 0);
	assert_int_equal(c.n, 0);
	connections_end(&c);
	for (int i = 0; i < 2; i++) {
		close(clients[i]);
		close(servers[i]);
		close(listeners[i]);
	}
	sockdiag_close(&d);
}

static const struct drain_policy at_once = { .idle_ms = 0 };

static void
unix_listener(void **state)
{
	char dir[] = "/tmp/test_connections.XXXXXX";
	struct sockdiag d = SOCKDIAG_INIT;
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct connections c;
	struct connections_of of = { .family = AF_UNIX };
	int listener, clients[2], server, pair[2], code;
	pid_t self = getpid();

	(void)state;
	NEEDS_DIAG();
	assert_non_null(mkdtemp(dir));
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/s", dir);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&sun, sizeof(sun)),
	    0);
	assert_int_equal(listen(listener, 5), 0);
	of.ino = ino_of(listener);
	/* Others there are always. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    pair), 0);
	assert_int_equal(connections_begin(&c, &d, &of, 1, &self, 1, 0), 0);
	if (connections_step(&c, LIMIT_MS) == 0)
		assert_true(c.n == 0 && c.none && c.blink);
	connections_end(&c);
	close(pair[0]);
	close(pair[1]);
	for (int i = 0; i < 2; i++) {
		clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(clients[i], (struct sockaddr *)&sun,
		    sizeof(sun)), 0);
	}
	server = accept_one(listener);
	assert_int_equal(connections_begin(&c, &d, &of, 1, &self, 1, 0), 0);
	code = connections_step(&c, LIMIT_MS);
	if (code == 0) {
		/* Neither the clients' ends nor the listener, which are ours
		   too. Who spoke last is not told: it is busy. */
		assert_int_equal(c.n, 1);
		assert_int_equal(c.v[0].ino, ino_of(server));
		assert_int_equal(connections_tally(&c, &at_once).busy, 1);
		assert_false(c.none);
	} else {
		print_message("no unix_diag: %s\n", strerror(-code));
	}
	connections_end(&c);
	/* One without a path, and none. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    pair), 0);
	of.ino = ino_of(pair[0]);
	assert_int_equal(connections_begin(&c, &d, &of, 1, &self, 1, 0), 0);
	assert_int_equal(connections_step(&c, LIMIT_MS),
	    code == 0 ? -ENOTSUP : code);
	connections_end(&c);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(connections_begin(&c, &d, &of, 1, &self, 1, 0), 0);
	assert_int_equal(connections_step(&c, LIMIT_MS), -ENOENT);
	connections_end(&c);
	close(clients[0]);
	close(clients[1]);
	close(server);
	close(listener);
	unlink(sun.sun_path);
	rmdir(dir);
	sockdiag_close(&d);
}

/* Another user looks at us: what he sees is not all, and he is told so. */
static void
refused(void **state)
{
	struct sockdiag d = SOCKDIAG_INIT;
	struct connections c;
	uint16_t port;
	int listener = tcp_listen(&port), client = tcp_connect(port), status;
	int server = accept_one(listener);
	pid_t pid, self = getpid();

	(void)state;
	NEEDS_DIAG();
	if (geteuid() != 0)
		skip();
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(77);
		_exit(look(&c, &d, port, &self, 1) == -EACCES ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
	close(server);
	close(client);
	close(listener);
}

/* The descriptors of a zombie may be listed by root alone, and there are none. */
static void
zombie_is_no_refusal(void **state)
{
	struct sockdiag d = SOCKDIAG_INIT;
	struct connections c;
	uint16_t port;
	int listener = tcp_listen(&port), client = tcp_connect(port), status;
	int server = accept_one(listener);
	pid_t pid;

	(void)state;
	NEEDS_DIAG();
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		pid_t self = getpid(), zombie;
		siginfo_t info;

		if (geteuid() == 0 && (setgid(65534) < 0 ||
		    setuid(65534) < 0))
			_exit(77);
		zombie = fork();
		if (zombie == 0)
			_exit(0);
		if (waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT) < 0)
			_exit(1);
		_exit(look(&c, &d, port, &self, 1) == 0 && c.n == 1 ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
	close(server);
	close(client);
	close(listener);
}

static void
half_open_ones_by_age(void **state)
{
	struct sockdiag d = SOCKDIAG_INIT;
	struct connections c;
	uint16_t port;
	int listener = tcp_listen(&port), client, seconds = 30;
	const struct connections_of of = { .family = AF_INET, .port = port };
	struct mono end = mono_add_ms(mono_now(), LIMIT_MS);
	pid_t self = getpid();
	size_t n;

	(void)state;
	NEEDS_DIAG();
	assert_int_equal(setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT,
	    &seconds, sizeof(seconds)), 0);
	client = tcp_connect(port);
	for (int64_t older_ms = 60000;; older_ms = 50) {
		assert_int_equal(connections_begin(&c, &d, &of, 1, &self, 1,
		    older_ms), 0);
		assert_int_equal(connections_step(&c, LIMIT_MS), 0);
		assert_int_equal(c.n, 0);
		n = c.n_half_open;
		connections_end(&c);
		if (older_ms == 60000)
			assert_int_equal(n, 0);
		else if (n == 1)
			break;
		assert_true(mono_before(mono_now(), end));
		poll(NULL, 0, 1);
	}
	close(client);
	close(listener);
	sockdiag_close(&d);
}

/* ---- with core/worker/drain.c: a worker's connections, from busy to idle ---- */

static struct drain_tally
tally_of(struct sockdiag *d, uint16_t port, int64_t idle_ms)
{
	const struct drain_policy policy = {
		.idle_ms = idle_ms, .timeout_ms = 3600 * 1000,
	};
	struct connections c;
	struct drain_tally tally;
	pid_t self = getpid();

	assert_int_equal(look(&c, d, port, &self, 1), 0);
	tally = connections_tally(&c, &policy);
	/* Nobody else has any. */
	assert_int_equal(connections_are_idle(&c, &policy), tally.idle == c.n);
	connections_end(&c);
	return tally;
}

static void
await_tally(struct sockdiag *d, uint16_t port, int64_t idle_ms, unsigned idle,
    unsigned busy)
{
	struct mono end = mono_add_ms(mono_now(), LIMIT_MS);

	for (;;) {
		struct drain_tally tally = tally_of(d, port, idle_ms);

		if (tally.idle == idle && tally.busy == busy &&
		    tally.resting == 0)
			return;
		assert_true(mono_before(mono_now(), end));
		poll(NULL, 0, 1);
	}
}

static void
from_busy_to_idle(void **state)
{
	struct sockdiag d = SOCKDIAG_INIT;
	uint16_t port;
	int listener = tcp_listen(&port), clients[3], servers[3];
	struct drain_tally tally;
	char buf[16];

	(void)state;
	NEEDS_DIAG();
	for (int i = 0; i < 3; i++) {
		clients[i] = tcp_connect(port);
		servers[i] = accept_one(listener);
	}
	/* Never used: at rest, then idle. */
	tally = tally_of(&d, port, 3600 * 1000);
	assert_int_equal(tally.resting, 3);
	assert_in_range(tally.rest_ms, 3500 * 1000, 3600 * 1000);
	await_tally(&d, port, 50, 3, 0);
	/* Two requests: unread, read, and one of them answered. */
	for (int i = 0; i < 2; i++)
		assert_int_equal(send(clients[i], "GET", 3, 0), 3);
	await_tally(&d, port, 50, 1, 2);
	for (int i = 0; i < 2; i++)
		assert_int_equal(recv(servers[i], buf, sizeof(buf), 0), 3);
	await_tally(&d, port, 50, 1, 2);
	assert_int_equal(send(servers[0], "ok", 2, 0), 2);
	await_tally(&d, port, 50, 2, 1);
	/* drain_idle = off. */
	tally = tally_of(&d, port, -1);
	assert_int_equal(tally.busy, 3);
	close(servers[1]);
	await_tally(&d, port, 50, 2, 0);
	for (int i = 0; i < 3; i++) {
		close(clients[i]);
		if (i != 1)
			close(servers[i]);
	}
	close(listener);
	sockdiag_close(&d);
}

/* Both ends are ours: how long one takes to speak behind the other. */
static int64_t
speak(int first, int second)
{
	struct mono begun = mono_now();
	char buf[16];

	assert_int_equal(send(first, "ping", 4, 0), 4);
	assert_int_equal(recv(second, buf, sizeof(buf), 0), 4);
	assert_int_equal(send(second, "pong", 4, 0), 4);
	assert_int_equal(recv(first, buf, sizeof(buf), 0), 4);
	return mono_ms_between(begun, mono_now());
}

/* As HTTP/2 has it: a client that has spoken last is owed nothing, if it spoke
   at once. */
static void
client_acknowledges(void **state)
{
	struct sockdiag d = SOCKDIAG_INIT;
	uint16_t port;
	int listener = tcp_listen(&port);
	int client = tcp_connect(port), server = accept_one(listener);
	char buf[16];

	(void)state;
	NEEDS_DIAG();
	/* On a busy machine, again. */
	while (speak(server, client) > DRAIN_REACTION_MS / 2)
		;
	await_tally(&d, port, 50, 1, 0);
	/* A request, later. */
	assert_int_equal(send(client, "GET", 3, 0), 3);
	assert_int_equal(recv(server, buf, sizeof(buf), 0), 3);
	await_tally(&d, port, 50, 0, 1);
	close(client);
	close(server);
	close(listener);
	sockdiag_close(&d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whose_connections),
		cmocka_unit_test(in_small_steps),
		cmocka_unit_test(of_one_address_alone),
		cmocka_unit_test(short_of_memory),
		cmocka_unit_test(several_listeners),
		cmocka_unit_test(unix_listener),
		cmocka_unit_test(refused),
		cmocka_unit_test(zombie_is_no_refusal),
		cmocka_unit_test(half_open_ones_by_age),
		cmocka_unit_test(from_busy_to_idle),
		cmocka_unit_test(client_acknowledges),
	};

	return cmocka_run_group_tests(tests, look_for_diag, NULL);
}
