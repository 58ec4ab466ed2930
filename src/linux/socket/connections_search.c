#include <sys/socket.h>

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/mono.h"
#include "linux/process/tree_sockets.h"
#include "linux/socket/connections_search.h"

/* The kernel's times of handshakes have steps of up to 10 ms. */
#define STEP_MS		20

/* So many go on beside each other: one for whoever drains, and one for each app
   that is on trial. Of more, the one that has not been asked for longest goes. */
#define SEARCHES_MAX	8

struct found {
	struct connections_one one;
	bool owned;
};

struct search {
	uint64_t number;	/* 0: a free place */
	pid_t maker;		/* a child of its maker cannot go on */
	uint64_t used;
	struct connections_listed listed;
	struct found *v;
	size_t n, cap;
	bool failed;		/* short of memory */

	struct sockdiag diag;
	struct connections_of of[CONNECTIONS_OF_MAX];
	size_t n_of;
	size_t at;		/* of them the one that is asked for */
	bool asked;
	int64_t older_ms;
	uint32_t file_dev;	/* of the Unix listener that is asked for */
	uint32_t file_ino;
	bool any_dev;		/* … whose device is not known */

	struct tree_sockets tree;
	bool sorted;
	bool marked;		/* all that is left is of the tree */
	size_t told;		/* so many of them were */
};

static struct search searches[SEARCHES_MAX];

/* What we have had of the CPU: where others have it, a question is not to come to
   nothing. */
static struct mono
cpu_now(void)
{
	struct timespec t = { .tv_sec = 0 };

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (struct mono){
		.ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec,
	};
}

/* ---- which search ---- */

/* Of one that was forked with us, the descriptors have been closed, and others
   may have their numbers. */
static void
end(struct search *s)
{
	if (s->number != 0 && s->maker == getpid()) {
		sockdiag_close(&s->diag);
		tree_sockets_end(&s->tree);
	}
	free(s->v);
	*s = (struct search){ .number = 0 };
}

static struct search *
place_for(uint64_t number)
{
	struct search *place = &searches[0];

	for (size_t i = 0; i < SEARCHES_MAX; i++) {
		if (searches[i].number == number)
			return &searches[i];
		if (searches[i].used < place->used)
			place = &searches[i];
	}
	return place;
}

static int
begin(const struct connections_question *q)
{
	struct search *s = place_for(q->number);
	int code;

	end(s);
	s->number = q->number;
	s->maker = getpid();
	s->diag = (struct sockdiag)SOCKDIAG_INIT;
	s->older_ms = q->older_ms;
	s->listed.none = true;
	s->n_of = q->n_of;
	for (size_t i = 0; i < q->n_of; i++) {
		s->of[i] = q->of[i];
		/* Those in a queue are not listed, nor one on its way from
		   there to a descriptor. */
		s->listed.blink |= q->of[i].family == AF_UNIX;
	}
	code = tree_sockets_begin(&s->tree, q->roots, q->n_roots);
	if (code < 0)
		end(s);
	return code;
}

/* NULL: it is not known here. */
static struct search *
go_on(const struct connections_question *q)
{
	static uint64_t used;
	struct search *s = place_for(q->number);

	if (s->number != q->number || s->maker != getpid())
		return NULL;
	s->used = ++used;
	return s;
}

/* ---- the kernel's list ---- */

static void
add(struct search *s, const struct connections_one *one)
{
	if (s->n == s->cap) {
		size_t cap = s->cap == 0 ? 64 : s->cap * 2;
		struct found *v = reallocarray(s->v, cap, sizeof(*v));

		if (v == NULL) {
			s->failed = true;
			return;
		}
		s->v = v;
		s->cap = cap;
	}
	s->v[s->n++] = (struct found){ .one = *one };
}

static void
take_tcp(void *ctx, const struct sockdiag_tcp *t)
{
	struct search *s = ctx;

	/* Without an inode it is in a queue, on its way from there to a
	   descriptor, or closed by the server. */
	if (t->ino != 0 || t->state == TCP_SYN_RECV ||
	    t->state == TCP_ESTABLISHED || t->state == TCP_CLOSE_WAIT)
		s->listed.none = false;
	s->listed.n_handshakes += t->state == TCP_SYN_RECV;
	if (t->state == TCP_SYN_RECV)
		s->listed.n_half_open += t->age_ms + STEP_MS >= s->older_ms;
	else if (t->ino != 0)
		add(s, &(struct connections_one){
			.ino = t->ino, .id = t->id,
			.unread = t->unread, .unacked = t->unacked,
		});
}

static void
take_unix(void *ctx, const struct sockdiag_unix *u)
{
	struct search *s = ctx;

	if (u->state == TCP_LISTEN || !u->bound ||
	    u->file_ino != s->file_ino ||
	    (!s->any_dev && u->file_dev != s->file_dev))
		return;
	s->listed.none = false;
	add(s, &(struct connections_one){
		.ino = u->ino, .id = { .family = AF_UNIX },
		.unread = u->queue, .unacked = u->queue_max,
	});
}

static int
ask(struct search *s, const struct connections_of *of)
{
	struct sockdiag_unix listener;
	int code;

	if (of->family != AF_UNIX)
		return sockdiag_tcp_ask(&s->diag, of->family, of->port);
	s->any_dev = of->file != 0;
	s->file_ino = (uint32_t)of->file;
	if (s->any_dev)
		return sockdiag_unix_ask(&s->diag);
	code = sockdiag_unix_one(&s->diag, of->ino, &listener);
	if (code < 0)
		return code;
	if (!listener.bound)
		return -ENOTSUP;
	s->file_dev = listener.file_dev;
	s->file_ino = listener.file_ino;
	return sockdiag_unix_ask(&s->diag);
}

/* A part of the answer for one listener. 1, 0, -errno. */
static int
step_list(struct search *s)
{
	const struct connections_of *of = &s->of[s->at];
	int code = 0;

	if (s->at == s->n_of)
		return 0;
	if (!s->asked)
		code = ask(s, of);
	if (code < 0)
		return code;
	s->asked = true;
	code = of->family == AF_UNIX ?
	    sockdiag_unix_read(&s->diag, 0, take_unix, s) :
	    sockdiag_tcp_read(&s->diag, 0, take_tcp, s);
	if (s->failed)
		return -ENOMEM;
	if (code == 0) {
		s->asked = false;
		s->at++;
		return 1;
	}
	return code;
}

int
connections_list(const void *question, void *ret_listed,
    struct looker_fds *fds)
{
	const struct connections_question *q = question;
	struct connections_listed *listed = ret_listed;
	struct mono until = mono_add_ms(cpu_now(), q->budget_ms);
	int code = q->begins ? begin(q) : 0;
	struct search *s;

	(void)fds;
	if (code < 0)
		return code;
	s = go_on(q);
	if (s == NULL)
		return -ESTALE;
	do
		code = step_list(s);
	while (code > 0 && mono_before(cpu_now(), until));
	if (code == 0)
		sockdiag_close(&s->diag);
	s->listed.n = s->n;
	*listed = s->listed;
	if (code < 0 || (code == 0 && s->n == 0))
		end(s);
	return code;
}

/* ---- whose they are ---- */

static int
compare(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return (x->one.ino > y->one.ino) - (x->one.ino < y->one.ino);
}

static void
mark(void *ctx, const struct tree_socket *socket)
{
	struct search *s = ctx;
	const struct found key = { .one = { .ino = socket->ino } };
	struct found *found = bsearch(&key, s->v, s->n, sizeof(key), compare);

	if (found == NULL)
		return;
	found->owned = true;
	found->one.pid = socket->pid;
	found->one.fd = socket->fd;
}

/* Two listeners with one port, on two addresses, are both answered with both;
   sorted, doubles stand side by side and bsearch() marks one of them. */
static void
keep_owned(struct search *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].owned)
			s->v[n++] = s->v[i];
	s->n = n;
	s->marked = true;
}

/* 1: there is more; 0; -errno. */
static int
step_tree(struct search *s)
{
	int code;

	if (!s->sorted && s->n > 0)
		qsort(s->v, s->n, sizeof(s->v[0]), compare);
	s->sorted = true;
	code = tree_sockets_step(&s->tree, 0, mark, s);
	if (code == 0)
		keep_owned(s);
	return code;
}

int
connections_tell(const void *question, void *ret_told, struct looker_fds *fds)
{
	const struct connections_question *q = question;
	struct connections_told *told = ret_told;
	struct mono until = mono_add_ms(cpu_now(), q->budget_ms);
	struct search *s = go_on(q);
	int code = s != NULL ? 1 : -ESTALE;

	(void)fds;
	while (code > 0 && !s->marked) {
		code = step_tree(s);
		if (code > 0 && !mono_before(cpu_now(), until))
			return 1;
	}
	if (code < 0) {
		if (s != NULL)
			end(s);
		return code;
	}
	while (s->told < s->n && told->n < CONNECTIONS_TOLD_MAX)
		told->v[told->n++] = s->v[s->told++].one;
	if (s->told < s->n)
		return 1;
	end(s);
	return 0;
}

/* Those who go on step by step are told all of them. */
int
connections_see(const void *question, void *ret_seen, struct looker_fds *fds)
{
	const struct connections_question *q = question;
	struct connections_seen *seen = ret_seen;
	int code = connections_list(q, &seen->listed, fds);
	struct search *s;

	if (code == 0 && seen->listed.n > 0)
		code = connections_tell(q, &seen->told, fds);
	s = code == 1 ? go_on(q) : NULL;
	if (s != NULL)
		s->told = 0;
	return code;
}

/* ---- when they were used ---- */

static void
take_times(struct drain_conn *conn, const struct sockdiag_tcp *t)
{
	*conn = (struct drain_conn){
		.unread = t->unread,
		.unacked = t->unacked,
		.timed = t->info,
		.sent = t->bytes_sent > 0,
		.received = t->bytes_received > 0,
		.sent_ms = t->sent_ms,
		.received_ms = t->received_ms,
		.n_sent = t->segs_sent,
		.n_received = t->segs_received,
		.rtt_ms = (t->rtt_us + 999) / 1000,
	};
}

int
connections_time(const void *times_of, void *ret_times, struct looker_fds *fds)
{
	const struct connections_times_of *of = times_of;
	struct connections_times *times = ret_times;
	struct sockdiag diag = SOCKDIAG_INIT;

	(void)fds;
	for (size_t i = 0; i < of->n; i++) {
		struct sockdiag_tcp t;

		times->v[i].code = sockdiag_tcp_info(&diag, &of->v[i], &t);
		if (times->v[i].code == 0)
			take_times(&times->v[i].conn, &t);
	}
	sockdiag_close(&diag);
	return 0;
}
