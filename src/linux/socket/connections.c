#include <sys/socket.h>

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "base/mono.h"
#include "linux/socket/connections.h"
#include "linux/socket/sockdiag.h"

/* The kernel's times of handshakes have steps of up to 10 ms. */
#define STEP_MS	20

int
connections_begin(struct connections *c, struct sockdiag *diag,
    const struct connections_of *of, size_t n_of, const pid_t *roots,
    size_t n_roots, int64_t older_ms)
{
	*c = (struct connections){
		.diag = diag, .n_of = n_of, .older_ms = older_ms,
		.none = true, .round = 1,
	};
	c->of = calloc(n_of > 0 ? n_of : 1, sizeof(*of));
	if (c->of == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n_of; i++) {
		c->of[i] = of[i];
		/* Those in a queue are not listed, nor one on its way from
		   there to a descriptor. */
		c->blink |= of[i].family == AF_UNIX;
	}
	return tree_sockets_begin(&c->tree, roots, n_roots);
}

void
connections_end(struct connections *c)
{
	tree_sockets_end(&c->tree);
	free(c->of);
	free(c->all);
	free(c->v);
	*c = (struct connections){ .n = 0 };
}

static bool
push(struct connection **v, size_t *n, size_t *cap,
    const struct connection *connection)
{
	if (*n == *cap) {
		size_t more = *cap == 0 ? 64 : *cap * 2;
		struct connection *p = reallocarray(*v, more, sizeof(*p));

		if (p == NULL)
			return false;
		*v = p;
		*cap = more;
	}
	(*v)[(*n)++] = *connection;
	return true;
}

static void
add(struct connections *c, const struct connection *connection)
{
	if (!push(&c->all, &c->n_all, &c->cap_all, connection))
		c->failed = true;
}

static void
take_tcp(void *ctx, const struct sockdiag_tcp *s)
{
	struct connections *c = ctx;
	const struct connections_of *of = &c->of[c->at];

	if (of->local_len > 0 && memcmp(s->local, of->local, of->local_len) != 0)
		return;
	/* Without an inode it is in a queue, on its way from there to a
	   descriptor, or closed by the server. */
	if (s->ino != 0 || s->state == TCP_SYN_RECV ||
	    s->state == TCP_ESTABLISHED || s->state == TCP_CLOSE_WAIT)
		c->none = false;
	c->n_handshakes += s->state == TCP_SYN_RECV;
	if (s->state == TCP_SYN_RECV)
		c->n_half_open += s->age_ms + STEP_MS >= c->older_ms;
	else if (s->ino != 0)
		add(c, &(struct connection){
			.ino = s->ino,
			.conn = {
				.unread = s->unread,
				.unacked = s->unacked,
				.timed = s->info,
				.sent = s->bytes_sent > 0,
				.received = s->bytes_received > 0,
				.sent_ms = s->sent_ms,
				.received_ms = s->received_ms,
				.n_sent = s->segs_sent,
				.n_received = s->segs_received,
				.rtt_ms = (s->rtt_us + 999) / 1000,
			},
		});
}

static void
take_unix(void *ctx, const struct sockdiag_unix *s)
{
	struct connections *c = ctx;

	if (s->state == TCP_LISTEN || !s->bound ||
	    s->file_ino != c->file_ino ||
	    (!c->any_dev && s->file_dev != c->file_dev))
		return;
	c->none = false;
	add(c, &(struct connection){
		.ino = s->ino,
		.conn = { .unread = s->queue, .unacked = s->queue_max },
	});
}

static int
ask(struct connections *c, const struct connections_of *of)
{
	struct sockdiag_unix listener;
	int code;

	if (of->family != AF_UNIX)
		return sockdiag_tcp_ask(c->diag, of->family, of->port);
	c->any_dev = of->file != 0;
	c->file_ino = (uint32_t)of->file;
	if (c->any_dev)
		return sockdiag_unix_ask(c->diag);
	code = sockdiag_unix_one(c->diag, of->ino, &listener);
	if (code < 0)
		return code;
	if (!listener.bound)
		return -ENOTSUP;
	c->file_dev = listener.file_dev;
	c->file_ino = listener.file_ino;
	return sockdiag_unix_ask(c->diag);
}

/* Read on in the answer for one listener. */
static int
step_of(struct connections *c, int64_t budget_ms)
{
	const struct connections_of *of = &c->of[c->at];
	int code;

	if (!c->asked) {
		code = ask(c, of);
		if (code < 0)
			return code;
		c->asked = true;
	}
	code = of->family == AF_UNIX ?
	    sockdiag_unix_read(c->diag, budget_ms, take_unix, c) :
	    sockdiag_tcp_read(c->diag, budget_ms, take_tcp, c);
	if (c->failed)
		return -ENOMEM;
	if (code == 0) {
		c->asked = false;
		c->at++;
		return 1;
	}
	return code;
}

static int
compare(const void *a, const void *b)
{
	const struct connection *x = a, *y = b;

	return (x->ino > y->ino) - (x->ino < y->ino);
}

static void
mark(void *ctx, const struct tree_socket *socket)
{
	struct connections *c = ctx;
	const struct connection key = { .ino = socket->ino };
	struct connection *found = bsearch(&key, c->all, c->n_all,
	    sizeof(key), compare);

	/* Several may have it. */
	if (found == NULL || found->taken == c->round)
		return;
	found->taken = c->round;
	found->pid = socket->pid;
	found->fd = socket->fd;
	if (!push(&c->v, &c->n, &c->cap, found))
		c->failed = true;
}

static void
sort(struct connection *v, size_t n)
{
	if (n > 1)
		qsort(v, n, sizeof(*v), compare);
}

static int
step_tree(struct connections *c, int64_t budget_ms)
{
	int code = 0;

	/* Two listeners with one port, on two addresses, are both answered with
	   both; sorted, doubles stand side by side and one of them is found. */
	if (!c->sorted)
		sort(c->all, c->n_all);
	c->sorted = true;
	if (c->n_all > 0)
		code = tree_sockets_step(&c->tree, budget_ms, mark, c);
	if (c->failed)
		return -ENOMEM;
	if (code == 0)
		sort(c->v, c->n);
	return code;
}

int
connections_step(struct connections *c, int64_t budget_ms)
{
	struct mono end = mono_add_ms(mono_now(), budget_ms);
	int code;

	do {
		int64_t left_ms = mono_ms_between(mono_now(), end);

		if (left_ms < 0)
			left_ms = 0;
		code = c->at < c->n_of ? step_of(c, left_ms) :
		    step_tree(c, left_ms);
	} while (code > 0 && mono_before(mono_now(), end));
	return code;
}

bool
connections_listed(const struct connections *c)
{
	return c->at == c->n_of;
}

int
connections_again(struct connections *c, const pid_t *roots, size_t n_roots)
{
	tree_sockets_end(&c->tree);
	c->n = 0;
	c->round++;
	return tree_sockets_begin(&c->tree, roots, n_roots);
}

struct drain_tally
connections_tally(const struct connections *c,
    const struct drain_policy *policy)
{
	struct drain_tally tally = { .idle = 0 };

	for (size_t i = 0; i < c->n; i++)
		drain_count(&tally, &c->v[i].conn, policy);
	return tally;
}

bool
connections_are_idle(const struct connections *c,
    const struct drain_policy *policy)
{
	struct drain_tally tally = { .idle = 0 };

	for (size_t i = 0; i < c->n_all && tally.idle == i; i++)
		drain_count(&tally, &c->all[i].conn, policy);
	return tally.idle == c->n_all;
}
