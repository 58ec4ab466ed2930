#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/prctl.h>
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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mono.h"
#include "core/worker/drain.h"
#include "linux/process/inspect.h"
#include "linux/process/looker.h"
#include "linux/socket/connections.h"
#include "linux/socket/connections_search.h"
#include "lib/alloc_fail.h"
#include "lib/held_page.h"

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

static bool
reap_if_it_looked(void *ctx, pid_t pid)
{
	(void)ctx;
	if (looker_is(pid) && waitpid(pid, NULL, WNOHANG) == pid)
		looker_reaped(pid);
	return true;
}

/* Others may be held up by one that is not. */
static void
reap_those_that_looked(void)
{
	(void)inspect_each_child(getpid(), getpid(), reap_if_it_looked, NULL);
}

/* On a busy machine the child gets the CPU later: so often, until now. */
static unsigned n_late;

static int
step(struct connections *c, int64_t budget_ms)
{
	struct mono end = mono_add_ms(mono_now(), LIMIT_MS);
	int code;

	while (looker_is_held_up(code = connections_step(c, NULL,
	    budget_ms))) {
		assert_true(mono_before(mono_now(), end));
		n_late++;
		poll(NULL, 0, 1);
		reap_those_that_looked();
	}
	return code;
}

static int
look_in_steps(struct connections *c, uint16_t port, const pid_t *roots,
    size_t n, int64_t budget_ms, unsigned *ret_steps)
{
	const struct connections_of of = { .family = AF_INET, .port = port };
	int code = connections_begin(c, &of, 1, roots, n, 0, true);

	for (*ret_steps = 0; code >= 0; ++*ret_steps) {
		code = step(c, budget_ms);
		if (code <= 0)
			break;
		assert_in_range(*ret_steps, 0, 100000);
	}
	return code;
}

static int
look(struct connections *c, uint16_t port, const pid_t *roots, size_t n)
{
	unsigned steps;

	return look_in_steps(c, port, roots, n, LIMIT_MS, &steps);
}

static bool has_diag;

static int
look_for_diag(void **state)
{
	struct connections c;
	uint16_t port;
	int listener = tcp_listen(&port), client = tcp_connect(port);
	int server = accept_one(listener), code;
	pid_t self = getpid();

	(void)state;
	code = look(&c, port, &self, 1);
	has_diag = code == 0;
	if (!has_diag)
		print_message("sock_diag does not work here: %s\n",
		    strerror(-code));
	connections_end(&c);
	close(listener);
	close(client);
	close(server);
	return 0;
}

#define NEEDS_DIAG()	do { if (!has_diag) skip(); } while (0)

static void
whose_connections(void **state)
{
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
		assert_int_equal(look(&c, port, &roots[i], 1), 0);
		assert_int_equal(c.n, 1);
		assert_int_equal(c.v[0].ino, inos[i]);
		assert_true(c.v[0].conn.timed);
		connections_end(&c);
	}
	/* All of them; they are below us as well. */
	roots[2] = getpid();
	for (int n = 0; n < 2; n++) {
		assert_int_equal(look(&c, port, n == 0 ? roots :
		    &roots[2], n == 0 ? 3 : 1), 0);
		assert_int_equal(c.n, 3);
		connections_end(&c);
	}
	holder_end(&holders[0]);
	holder_end(&holders[1]);
	/* Processes that have gone are no error, and hold nothing. */
	assert_int_equal(look(&c, port, roots, 2), 0);
	assert_int_equal(c.n, 0);
	connections_end(&c);
	for (int i = 0; i < 4; i++)
		close(clients[i]);
	close(servers[2]);
	close(listener);
}

static void
in_small_steps(void **state)
{
	enum { CONNS = 300 };
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
	assert_int_equal(look_in_steps(&c, port, &self, 1, 0, &steps), 0);
	assert_int_equal(c.n, CONNS);
	/* Some 80 connections, or 64 descriptors, each; more if it was lost with its
	   child and begun again. */
	assert_in_range(steps, 8, 40 * (1 + c.n_stale));
	connections_end(&c);
	/* One that is given up leaves nothing behind. */
	for (unsigned n = 0; n < steps; n++) {
		const struct connections_of of = {
			.family = AF_INET, .port = port,
		};

		assert_int_equal(connections_begin(&c, &of, 1, &self, 1,
		    0, true), 0);
		for (unsigned i = 0; i < n; i++) {
			int code = step(&c, 0);

			/* It need not be lost again. */
			if (code == 0)
				break;
			assert_int_equal(code, 1);
		}
		connections_end(&c);
	}
	assert_int_equal(look(&c, port, &self, 1), 0);
	assert_int_equal(c.n, CONNS);
	connections_end(&c);
	for (int i = 0; i < CONNS; i++) {
		close(clients[i]);
		close(servers[i]);
	}
	close(listener);
}

static void
short_of_memory(void **state)
{
	enum { CONNS = 100 };
	struct connections c;
	uint16_t port;
	int listener = tcp_listen(&port), clients[CONNS], servers[CONNS];
	pid_t roots[20];
	unsigned n, n_failed = 0;
	bool failed = true;

	(void)state;
	NEEDS_DIAG();
	for (int i = 0; i < CONNS; i++) {
		clients[i] = tcp_connect(port);
		servers[i] = accept_one(listener);
	}
	for (int i = 0; i < 20; i++)
		roots[i] = getpid();
	/* The child that looks has memory. */
	assert_int_equal(look(&c, port, roots, 20), 0);
	connections_end(&c);
	/* Each in turn: one for the question, two for the connections. What the
	   looker needs if it is slow may be among them, and does not matter; nor
	   is counted what is asked anew for that. */
	for (n = 0; failed; n++) {
		unsigned late = n_late;
		int code;

		assert_in_range(n, 0, 1000);
		alloc_fail(n + 1, 1);
		code = look(&c, port, roots, 20);
		failed = alloc_failed();
		alloc_works();
		assert_true(code == 0 || (failed && code == -ENOMEM));
		n_failed += code < 0 && n_late == late;
		connections_end(&c);
	}
	assert_in_range(n_failed, 0, 3);
	if (n_late == 0)
		assert_int_not_equal(n_failed, 0);
	for (int i = 0; i < CONNS; i++) {
		close(clients[i]);
		close(servers[i]);
	}
	close(listener);
}

static void
several_listeners(void **state)
{
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
	assert_int_equal(connections_begin(&c, of, 3, &self, 1, 0, true),
	    0);
	assert_int_equal(step(&c, LIMIT_MS), 0);
	assert_int_equal(c.n, 2);
	connections_end(&c);
	/* None at all. */
	assert_int_equal(connections_begin(&c, of, 0, &self, 1, 0, true),
	    0);
	assert_int_equal(step(&c, LIMIT_MS), 0);
	assert_int_equal(c.n, 0);
	connections_end(&c);
	for (int i = 0; i < 2; i++) {
		close(clients[i]);
		close(servers[i]);
		close(listeners[i]);
	}
}

static const struct drain_policy at_once = { .idle_ms = 0 };

static void
unix_listener(void **state)
{
	char dir[] = "/tmp/test_connections.XXXXXX";
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
	assert_int_equal(connections_begin(&c, &of, 1, &self, 1, 0, true),
	    0);
	if (step(&c, LIMIT_MS) == 0)
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
	assert_int_equal(connections_begin(&c, &of, 1, &self, 1, 0, true),
	    0);
	code = step(&c, LIMIT_MS);
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
	assert_int_equal(connections_begin(&c, &of, 1, &self, 1, 0, true),
	    0);
	assert_int_equal(step(&c, LIMIT_MS),
	    code == 0 ? -ENOTSUP : code);
	connections_end(&c);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(connections_begin(&c, &of, 1, &self, 1, 0, true),
	    0);
	assert_int_equal(step(&c, LIMIT_MS), -ENOENT);
	connections_end(&c);
	close(clients[0]);
	close(clients[1]);
	close(server);
	close(listener);
	unlink(sun.sun_path);
	rmdir(dir);
}

/* Another user looks at us: what he sees is not all, and he is told so. */
static void
refused(void **state)
{
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
		looker_end();	/* our parent's */
		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(77);
		_exit(look(&c, port, &self, 1) == -EACCES ? 0 : 1);
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

		looker_end();	/* our parent's */
		if (geteuid() == 0 && (setgid(65534) < 0 ||
		    setuid(65534) < 0))
			_exit(77);
		/* Its child looks at it. */
		(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
		zombie = fork();
		if (zombie == 0)
			_exit(0);
		if (waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT) < 0)
			_exit(1);
		_exit(look(&c, port, &self, 1) == 0 && c.n == 1 ? 0 : 2);
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
		assert_int_equal(connections_begin(&c, &of, 1, &self, 1,
		    older_ms, true), 0);
		assert_int_equal(step(&c, LIMIT_MS), 0);
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
}

/* ---- with core/worker/drain.c: a worker's connections, from busy to idle ---- */

static struct drain_tally
tally_of(uint16_t port, int64_t idle_ms)
{
	const struct drain_policy policy = {
		.idle_ms = idle_ms, .timeout_ms = 3600 * 1000,
	};
	struct connections c;
	struct drain_tally tally;
	pid_t self = getpid();

	assert_int_equal(look(&c, port, &self, 1), 0);
	tally = connections_tally(&c, &policy);
	connections_end(&c);
	return tally;
}

static void
await_tally(uint16_t port, int64_t idle_ms, unsigned idle,
    unsigned busy)
{
	struct mono end = mono_add_ms(mono_now(), LIMIT_MS);

	for (;;) {
		struct drain_tally tally = tally_of(port, idle_ms);

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
	tally = tally_of(port, 3600 * 1000);
	assert_int_equal(tally.resting, 3);
	assert_in_range(tally.rest_ms, 3500 * 1000, 3600 * 1000);
	await_tally(port, 50, 3, 0);
	/* Two requests: unread, read, and one of them answered. */
	for (int i = 0; i < 2; i++)
		assert_int_equal(send(clients[i], "GET", 3, 0), 3);
	await_tally(port, 50, 1, 2);
	for (int i = 0; i < 2; i++)
		assert_int_equal(recv(servers[i], buf, sizeof(buf), 0), 3);
	await_tally(port, 50, 1, 2);
	assert_int_equal(send(servers[0], "ok", 2, 0), 2);
	await_tally(port, 50, 2, 1);
	/* drain_idle = off. */
	tally = tally_of(port, -1);
	assert_int_equal(tally.busy, 3);
	close(servers[1]);
	await_tally(port, 50, 2, 0);
	for (int i = 0; i < 3; i++) {
		close(clients[i]);
		if (i != 1)
			close(servers[i]);
	}
	close(listener);
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
	uint16_t port;
	int listener = tcp_listen(&port);
	int client = tcp_connect(port), server = accept_one(listener);
	char buf[16];

	(void)state;
	NEEDS_DIAG();
	/* On a busy machine, again. */
	while (speak(server, client) > DRAIN_REACTION_MS / 2)
		;
	await_tally(port, 50, 1, 0);
	/* A request, later. */
	assert_int_equal(send(client, "GET", 3, 0), 3);
	assert_int_equal(recv(server, buf, sizeof(buf), 0), 3);
	await_tally(port, 50, 0, 1);
	close(client);
	close(server);
	close(listener);
}

/* ---- a connection whose lock its server keeps ---- */

/* A process with the connection, which is closed here, that answers from that
   page; 0: it cannot. */
static pid_t
answering(int *server)
{
	int said[2];
	char c = 0;
	pid_t pid;

	assert_int_equal(pipe2(said, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		const void *page = held_page();

		(void)alarm(60);
		(void)!write(said[1], page == NULL ? "n" : "y", 1);
		if (page != NULL)
			(void)send(*server, page, 100, 0);
		_exit(0);
	}
	close(*server);
	*server = -1;
	assert_int_equal(read(said[0], &c, 1), 1);
	close(said[0]);
	close(said[1]);
	if (c == 'y')
		return pid;
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return 0;
}

/* The one whose connection it is is not asked when it was used; others, with
   the same port, are. */
static void
one_that_is_locked(void **state)
{
	struct connections c;
	struct mono end = mono_add_ms(mono_now(), LIMIT_MS);
	struct holder holder;
	uint16_t port;
	int listener = tcp_listen(&port), clients[2], servers[2];
	const struct connections_of of = { .family = AF_INET, .port = port };
	pid_t pid;

	(void)state;
	NEEDS_DIAG();
	for (int i = 0; i < 2; i++) {
		clients[i] = tcp_connect(port);
		servers[i] = accept_one(listener);
	}
	holder = holder_begin(&servers[1], SHALLOW);
	pid = answering(&servers[0]);
	if (pid == 0) {
		print_message(HELD_PAGE_NEEDS);
		skip();
	}
	assert_int_equal(connections_begin(&c, &of, 1, &pid, 1, 0, true), 0);
	assert_false(connections_without_times(&c));
	/* All steps but those that it takes for the times come to their end. */
	for (int n_held_up = 0; n_held_up < 100;) {
		struct mono began = mono_now();
		int code = connections_step(&c, NULL, 0);

		assert_in_range(mono_ms_between(began, mono_now()), 0, 1000);
		assert_true(mono_before(mono_now(), end));
		assert_true(code == 1 || looker_is_held_up(code));
		n_held_up += code < 0 && c.told;
		poll(NULL, 0, code < 0);
		reap_those_that_looked();
	}
	assert_true(connections_without_times(&c));
	assert_true(c.untimed);
	assert_int_equal(c.n, 1);
	assert_false(c.v[0].conn.timed);
	assert_int_equal(connections_tally(&c, &at_once).busy, 1);
	connections_end(&c);
	assert_int_equal(look(&c, port, &holder.pid, 1), 0);
	assert_false(c.untimed);
	assert_int_equal(c.n, 1);
	assert_true(c.v[0].conn.timed);
	connections_end(&c);
	/* Nor is it asked where nobody wants to know. */
	assert_int_equal(connections_begin(&c, &of, 1, &pid, 1, 0, false), 0);
	assert_int_equal(step(&c, LIMIT_MS), 0);
	assert_false(c.untimed);
	assert_int_equal(c.n, 1);
	connections_end(&c);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	holder_end(&holder);
	for (int i = 0; i < 2; i++)
		close(clients[i]);
	close(listener);
}

/* ---- what the child has of it ---- */

/* More of them than it has room for, in turn: each gets something done. */
static void
many_in_turn(void **state)
{
	enum { CONNS = 200, LOOKS = 8 };
	struct connections c[LOOKS + 1];
	uint16_t port;
	int listener = tcp_listen(&port), clients[CONNS], servers[CONNS];
	const struct connections_of of = { .family = AF_INET, .port = port };
	pid_t self = getpid();
	size_t n_done = 0, n_busy = 0;
	bool done[LOOKS] = { false };
	unsigned late = n_late;
	struct mono end = mono_add_ms(mono_now(), 3 * LIMIT_MS);

	(void)state;
	NEEDS_DIAG();
	for (int i = 0; i < CONNS; i++) {
		clients[i] = tcp_connect(port);
		servers[i] = accept_one(listener);
	}
	for (size_t i = 0; i < LOOKS; i++)
		assert_int_equal(connections_begin(&c[i], &of, 1, &self, 1, 0,
		    false), 0);
	for (int turn = 0; turn < 100 && n_done < LOOKS; turn++)
		for (size_t i = 0; i < LOOKS; i++) {
			int code = done[i] ? 1 :
			    step(&c[i], 0);

			assert_in_range(code, 0, 1);
			done[i] |= code == 0;
			n_done += code == 0;
		}
	assert_int_equal(n_done, LOOKS);
	for (size_t i = 0; i < LOOKS; i++) {
		assert_int_equal(c[i].n, CONNS);
		/* A late child takes what it has found with it. */
		if (n_late == late)
			assert_int_equal(c[i].n_stale, 0);
		connections_end(&c[i]);
	}
	/* With one more they push each other out, and say so: who waits a little
	   comes to an end. */
	for (size_t i = 0; i <= LOOKS; i++)
		assert_int_equal(connections_begin(&c[i], &of, 1, &self, 1, 0,
		    false), 0);
	for (int turn = 0; turn < 100 && n_busy == 0;) {
		late = n_late;
		for (size_t i = 0; i <= LOOKS; i++) {
			int code = connections_step(&c[i], NULL, 0);

			n_busy += code == -EBUSY;
			n_late += code == -EAGAIN || code == -ETIMEDOUT;
		}
		turn += n_late == late;
		if (n_late == late)
			continue;
		/* On a busy machine, in its time. */
		assert_true(mono_before(mono_now(), end));
		poll(NULL, 0, 1);
		reap_those_that_looked();
	}
	assert_true(n_busy > 0);
	for (size_t i = 0; i <= LOOKS; i++) {
		while (step(&c[i], LIMIT_MS) > 0)
			;
		assert_int_equal(c[i].n, CONNS);
		connections_end(&c[i]);
	}
	for (int i = 0; i < CONNS; i++) {
		close(clients[i]);
		close(servers[i]);
	}
	close(listener);
}

static void
begun_before_a_fork(void **state)
{
	static struct connections_question q;
	struct connections_listed listed = { .n = 0 };
	static struct connections_told told;
	struct looker_fds fds = { .n = 0 };
	uint16_t port;
	int listener = tcp_listen(&port), client = tcp_connect(port), status;
	int server = accept_one(listener);
	pid_t pid;

	(void)state;
	NEEDS_DIAG();
	q = (struct connections_question){
		.number = 1, .begins = true, .n_of = 1, .n_roots = 1,
		.of = { { .family = AF_INET, .port = port } },
		.roots = { getpid() },
	};
	assert_int_equal(connections_list(&q, &listed, &fds), 1);
	q.begins = false;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(connections_list(&q, &listed, &fds) == -ESTALE &&
		    connections_tell(&q, &told, &fds) == -ESTALE ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	q.budget_ms = LIMIT_MS;
	assert_int_equal(connections_list(&q, &listed, &fds), 0);
	assert_int_equal(listed.n, 1);
	assert_int_equal(connections_tell(&q, &told, &fds), 0);
	assert_int_equal(told.n, 1);
	assert_int_equal(told.v[0].ino, ino_of(server));
	/* It is over. */
	assert_int_equal(connections_tell(&q, &told, &fds), -ESTALE);
	/* One that fails is over, too. */
	q.begins = true;
	for (unsigned n = 1; n <= 3; n++) {
		alloc_fail(n, ALLOC_ALL);
		assert_int_equal(connections_list(&q, &listed, &fds), -ENOMEM);
		alloc_works();
		q.begins = false;
		assert_int_equal(connections_list(&q, &listed, &fds), -ESTALE);
		q.begins = true;
	}
	close(client);
	close(server);
	close(listener);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whose_connections),
		cmocka_unit_test(in_small_steps),
		cmocka_unit_test(short_of_memory),
		cmocka_unit_test(several_listeners),
		cmocka_unit_test(unix_listener),
		cmocka_unit_test(refused),
		cmocka_unit_test(zombie_is_no_refusal),
		cmocka_unit_test(half_open_ones_by_age),
		cmocka_unit_test(from_busy_to_idle),
		cmocka_unit_test(client_acknowledges),
		cmocka_unit_test(one_that_is_locked),
		cmocka_unit_test(many_in_turn),
		cmocka_unit_test(begun_before_a_fork),
	};

	return cmocka_run_group_tests(tests, look_for_diag, NULL);
}
