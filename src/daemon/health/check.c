#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/conf/conf.h"
#include "daemon/health/check.h"
#include "daemon/sockets/lanes_check.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/steer/steer_claim.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/loop/loop.h"
#include "linux/socket/check_conn.h"
#include "linux/socket/lane_queue.h"

/* Where another check is in the way: so many ports at once, and so long until the
   next ones. */
#define PORTS_TRIED	8
#define AGAIN_MS	20

/* Whether a connection was accepted is looked at this often: the first time after
   a moment, then half as often each time, to the last. */
#define LOOK_FIRST_MS	1
#define LOOK_LAST_MS	250

/* Headers have come: the server may end the connection so long. */
#define FINISH_MS	200

struct check {
	struct checks *checks;
	check_done *done;
	void *ctx;
	struct check_conn conn;
	char *request;		/* NULL: it is to be accepted */
	int64_t timeout_ms;
	struct mono began;
	struct mono ends;
	struct loop_timer timer;
	loop_handle handle;
	uint32_t awaited;	/* events */
	/* By what its lane is found again, which may be gone. */
	uint64_t serial;	/* the listener's */
	uint64_t ino;
	bool steered;		/* lanes_check_begin() */
	bool judged;		/* the verdict is there, and the connection
				   about to be ended */
	int64_t look_ms;	/* 0: it was not looked yet */
	struct verdict verdict;
};

/* ---- whom to ask ---- */

static bool
may_be_asked(const struct worker *w, struct listener *l, struct lane **ret_lane)
{
	struct lane *lane = spec_lanes_find(w->spec, l, &w->holder);

	if (lane == NULL || !lane->listening || l->quiet || lane->deaf ||
	    lane->deserted ||
	    (lane != l->lanes.common && !steer_claims(w, lane)))
		return false;
	*ret_lane = lane;
	return true;
}

/* TCP comes before Unix, and else the first one. */
static struct lane *
find_lane(const struct worker *w)
{
	static const enum address_kind kinds[] = { ADDRESS_TCP, ADDRESS_UNIX };

	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; i < spec_lanes_n_places(w->spec); i++) {
			struct listener *l = spec_lanes_listener(w->spec,
			    w->instance, i);
			struct lane *lane;

			if (l != NULL && l->bound.kind == kinds[k] &&
			    may_be_asked(w, l, &lane))
				return lane;
		}
	return NULL;
}

static int
choose_lane(const struct worker *w, struct lane **ret_lane, struct error *err)
{
	struct lane *lane = find_lane(w);

	if (lane == NULL)
		return error_set(err, -ENOENT, "it listens nowhere");
	if (spec_lanes_shared(w->spec, lane->listener) &&
	    lane->listener->instance < 0 && w->crew->wanted > 1)
		return error_set(err, -EOPNOTSUPP, "all instances have one "
		    "queue of %s in common (balance = shared): none can be "
		    "asked alone", address_text(&lane->listener->bound).s);
	*ret_lane = lane;
	return 0;
}

/* ---- its end ---- */

static void
unsteer(struct check *c)
{
	if (c->steered)
		lanes_check_end(c->checks->listeners, c->serial,
		    &c->conn.source);
	c->steered = false;
}

/* Nobody is to come from there any more before somebody else may. */
static void
hang_up(struct check *c)
{
	unsteer(c);
	loop_del(c->checks->loop, &c->handle);
	check_conn_close(&c->conn);
}

void
check_give_up(struct check *c)
{
	if (c == NULL)
		return;
	hang_up(c);
	loop_timer_fini(c->checks->loop, &c->timer);
	free(c->request);
	free(c);
}

static void
end(struct check *c)
{
	const struct verdict verdict = c->verdict;
	check_done *done = c->done;
	void *ctx = c->ctx;

	check_give_up(c);
	done(ctx, &verdict);
}

/* ---- on its way ---- */

static const char *
code_words(int code)
{
	switch (code) {
	case -ECONNREFUSED:
		return "refused";
	case -ECONNRESET:
	case -EPIPE:
		return "reset";
	case -ENODATA:
		return "closed without an answer";
	default:
		return strerror(-code);
	}
}

static void
judge_failure(struct check *c)
{
	const struct http_reply *r = &c->conn.reply;

	if (c->conn.code == -EPROTO && r->news == HTTP_REPLY_TOO_LONG)
		verdict_say(&c->verdict, VERDICT_BAD,
		    "more than %d KiB of headers", HTTP_REPLY_HEAD_MAX / 1024);
	else if (c->conn.code == -EPROTO)
		verdict_say(&c->verdict, VERDICT_BAD,
		    "the answer is not HTTP/1");
	else
		verdict_say(&c->verdict, VERDICT_BAD, "%s",
		    code_words(c->conn.code));
}

static void
judge_answer(struct check *c)
{
	unsigned status = c->conn.reply.status;

	c->verdict.status = status;
	if (c->request == NULL || verdict_of_status(status))
		verdict_say(&c->verdict, VERDICT_GOOD, "%s", "");
	else
		verdict_say(&c->verdict, VERDICT_BAD, "status %u", status);
}

static void
time_it(struct check *c)
{
	c->verdict.took_us = (mono_now().ns - c->began.ns) / 1000;
}

/* The server may end the connection first: then it is not reset. */
static void
finish(struct check *c)
{
	if (c->request == NULL || !check_conn_finish(&c->conn))
		end(c);
}

/* The lane that it is about, or NULL: it is gone. */
static struct lane *
find_again(const struct check *c)
{
	struct listener *l = c->checks->listeners->first;

	while (l != NULL && l->serial != c->serial)
		l = l->next;
	for (size_t i = 0; l != NULL && i < l->lanes.n; i++)
		if (l->lanes.v[i]->ino == c->ino)
			return l->lanes.v[i];
	return NULL;
}

/* Where the kernel cannot tell, an empty queue does. */
static bool
queue_is_empty(struct check *c)
{
	const struct lane *lane = find_again(c);
	struct sockdiag_unix s;
	uint32_t n = 1, max;

	if (lane == NULL)
		return false;
	if (lane->listener->bound.kind == ADDRESS_UNIX)
		return sockdiag_unix_one(&c->checks->diag, lane->ino, &s) ==
		    0 && s.queue == 0;
	return lane_queue_tcp(lane->fd, &n, &max) == 0 && n == 0;
}

static bool
was_accepted(struct check *c)
{
	struct sockdiag_ends ends;
	struct sockdiag_tcp conn;

	if (c->conn.source.port == 0 ||
	    check_conn_ends(&c->conn, &ends) < 0 ||
	    sockdiag_tcp_one(&c->checks->diag, &ends, &conn) < 0)
		return queue_is_empty(c);
	return conn.ino != 0;
}

/* The timer, at that time or when the check is late. */
static void
come_again(struct check *c, struct mono when)
{
	loop_timer_set(c->checks->loop, &c->timer,
	    mono_before(when, c->ends) ? when : c->ends);
}

static void
look(struct check *c)
{
	if (was_accepted(c)) {
		time_it(c);
		verdict_say(&c->verdict, VERDICT_GOOD, "%s", "");
		end(c);
		return;
	}
	c->look_ms = c->look_ms == 0 ? LOOK_FIRST_MS :
	    c->look_ms < LOOK_LAST_MS / 2 ? 2 * c->look_ms : LOOK_LAST_MS;
	come_again(c, mono_add_ms(mono_now(), c->look_ms));
}

static void
await(struct check *c)
{
	uint32_t events = check_conn_events(&c->conn);

	if (events != c->awaited &&
	    loop_set_events(c->checks->loop, c->handle, events) == 0)
		c->awaited = events;
}

/* What its stage comes to; it may be gone then. */
static void
go_on(struct check *c)
{
	const struct check_conn *conn = &c->conn;

	if (conn->stage > CHECK_CONNECTING && c->steered)
		lanes_check_connected(c->checks->listeners, c->serial,
		    &conn->source);
	switch (conn->stage) {
	case CHECK_CONNECTED:
		await(c);
		if (c->look_ms == 0)
			look(c);
		return;
	case CHECK_ANSWERED:
		time_it(c);
		judge_answer(c);
		c->judged = true;
		loop_timer_set(c->checks->loop, &c->timer,
		    mono_add_ms(mono_now(), FINISH_MS));
		finish(c);
		return;
	case CHECK_FAILED:
		time_it(c);
		judge_failure(c);
		end(c);
		return;
	default:
		await(c);
		come_again(c, c->ends);
	}
}

static void
ready(void *ctx, uint32_t events)
{
	struct check *c = ctx;

	(void)events;
	if (c->judged) {
		finish(c);
		return;
	}
	check_conn_step(&c->conn);
	go_on(c);
}

/* ---- its beginning ---- */

/* Bound, and steered where there is a choice. -EBUSY: with another port, or
   later. */
static int
bind_for(struct check *c, struct lane *lane, struct error *err)
{
	const struct listener *l = lane->listener;
	int code = check_conn_bind(&c->conn, &l->bound, err);

	if (code == 0 && l->bound.kind == ADDRESS_TCP &&
	    lane != l->lanes.common) {
		code = lanes_check_begin(lane, &c->conn.source, c->ends, err);
		c->steered = code == 0;
	}
	if (code < 0)
		check_conn_close(&c->conn);
	return code;
}

static int
set_out(struct check *c, struct lane *lane, struct error *err)
{
	int code = -EBUSY;

	if (lanes_check_is_full(lane))
		return error_set(err, -EBUSY, "other checks are in the way");
	for (int i = 0; i < PORTS_TRIED && code == -EBUSY; i++) {
		error_clear(err);
		code = bind_for(c, lane, err);
	}
	if (code < 0)
		return code;
	c->awaited = EPOLLIN;
	code = loop_add(c->checks->loop, c->conn.fd, c->awaited, false, ready,
	    c, &c->handle);
	if (code < 0) {
		hang_up(c);
		return error_set(err, code, "%s", strerror(-code));
	}
	c->began = mono_now();
	check_conn_begin(&c->conn, &lane->listener->bound, c->request);
	/* Who began it is not called back yet. */
	if (c->conn.stage == CHECK_CONNECTED || c->conn.stage == CHECK_FAILED)
		come_again(c, c->began);
	else
		go_on(c);
	return 0;
}

/* Other checks were in the way. */
static void
try_again(struct check *c)
{
	struct lane *lane = find_again(c);
	struct error err = ERROR_INIT;
	int code = lane != NULL ? set_out(c, lane, &err) : -ENOENT;

	if (code == -EBUSY) {
		come_again(c, mono_add_ms(mono_now(), AGAIN_MS));
	} else if (code < 0) {
		verdict_say(&c->verdict, VERDICT_UNKNOWN, "%s", lane != NULL ?
		    error_text(&err) : "its listener is gone");
		end(c);
	}
	error_clear(&err);
}

static void
be_late(struct check *c)
{
	time_it(c);
	if (c->conn.stage == CHECK_UNBOUND)
		verdict_say(&c->verdict, VERDICT_UNKNOWN,
		    "other checks were in the way");
	else if (c->request == NULL)
		verdict_say(&c->verdict, VERDICT_BAD, "not accepted in %lldms",
		    (long long)c->timeout_ms);
	else
		verdict_say_late(&c->verdict, c->timeout_ms);
	end(c);
}

static void
due(void *ctx)
{
	struct check *c = ctx;

	if (c->judged)
		end(c);
	else if (!mono_before(mono_now(), c->ends))
		be_late(c);
	else if (c->conn.stage == CHECK_UNBOUND)
		try_again(c);
	else if (c->conn.stage == CHECK_CONNECTED && c->look_ms > 0)
		look(c);
	else
		go_on(c);
}

/* HTTP/1.1, since virtual hosts need its Host. */
static char *
request_for(const struct check_terms *terms)
{
	char *text;

	if (asprintf(&text, "GET %s HTTP/1.1\r\nHost: %s\r\n"
	    "User-Agent: clusterd/" CLUSTERD_VERSION "\r\nAccept: */*\r\n"
	    "Connection: close\r\n\r\n", terms->path,
	    terms->host != NULL ? terms->host : "localhost") < 0)
		return NULL;
	return text;
}

static struct check *
check_new(struct checks *checks, const struct check_terms *terms,
    check_done *done, void *ctx)
{
	struct check *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	*c = (struct check){
		.checks = checks, .done = done, .ctx = ctx,
		.conn = CHECK_CONN_INIT, .timeout_ms = terms->timeout_ms,
		.began = mono_now(),
	};
	c->ends = mono_add_ms(c->began, terms->timeout_ms);
	if (terms->path != NULL)
		c->request = request_for(terms);
	if ((terms->path != NULL && c->request == NULL) ||
	    loop_timer_init(checks->loop, &c->timer, due, c) < 0) {
		free(c->request);
		free(c);
		return NULL;
	}
	return c;
}

int
check_begin(struct checks *checks, const struct worker *w,
    const struct check_terms *terms, check_done *done, void *ctx,
    struct check **ret_check, struct error *err)
{
	struct lane *lane = NULL;
	struct check *c;
	int code = choose_lane(w, &lane, err);

	if (code < 0)
		return code;
	c = check_new(checks, terms, done, ctx);
	if (c == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	c->serial = lane->listener->serial;
	c->ino = lane->ino;
	code = set_out(c, lane, err);
	if (code < 0 && code != -EBUSY) {
		check_give_up(c);
		return code;
	}
	if (code == -EBUSY)
		come_again(c, mono_add_ms(c->began, AGAIN_MS));
	*ret_check = c;
	return 0;
}

void
checks_close(struct checks *checks)
{
	sockdiag_close(&checks->diag);
}
