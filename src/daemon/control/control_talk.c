#include <sys/epoll.h>

#include "base/error.h"
#include "base/log.h"
#include "daemon/apps/apps.h"
#include "daemon/control/control_client.h"
#include "daemon/control/control_setup.h"
#include "daemon/control/control_talk.h"

/* All portions of one turn together, but one for each client. */
#define BUDGET_NS	INT64_C(3000000)

/* For a portion of an answer: in the client's buffer, and in its share of the
   turn. */
static bool
has_room(const struct control_client *c)
{
	return control_client_has_room(c) && mono_before(mono_now(), c->share);
}

/* A part of the turn for each: the loop calls them in the same order again and
   again, so those in front could leave nothing to those behind. */
static struct mono
end_of_share(const struct control_clients *clients)
{
	const struct control_client *c;
	struct mono end = mono_now();
	int64_t n = 1;

	TAILQ_FOREACH(c, &clients->list, entry)
		n += c->op.busy && c->op.verb->more != NULL;
	end.ns += BUDGET_NS / n;
	return end;
}

static void
begin_request(struct control_client *c, size_t len)
{
	const struct control_verb *verb;
	struct error err = ERROR_INIT;
	struct request request;

	if (len > 0 && c->in[len - 1] == '\r')
		len--;
	if (request_parse(c->in, len, &request, &err) < 0) {
		control_client_fail(c, "usage", "%s", error_text(&err));
		error_clear(&err);
		return;
	}
	verb = &c->all->verbs[request.verb];
	if (!verb->quiet)
		log_own_often(LOG_LEVEL_INFO, "control: pid %d asks for: %.*s", (int)c->pid,
		    (int)len, c->in);
	control_op_begin(&c->op, verb, &request);
	if (verb->begin != NULL)
		verb->begin(c);
	/* It may be done already; else a turn with news will tell. */
	if (control_op_is_awaited(&c->op))
		apps_touch(c->setup->apps);
}

static bool
is_full(const struct control_client *c)
{
	return c->n_in == sizeof(c->in);
}

/* Is there something to be done about what was received, once it is its turn: a
   whole line, one that is too long, or the end? */
static bool
has_request(const struct control_client *c)
{
	size_t len;

	return c->eof || is_full(c) || control_client_line(c, &len);
}

/* There is no whole line: will there be one? */
static void
judge_rest(struct control_client *c)
{
	if (is_full(c))
		control_client_fail(c, "usage",
		    "a request has %d bytes at most", REQUEST_MAX);
	else if (c->eof && c->n_in > 0)
		control_client_fail(c, "usage",
		    "the request does not end in a newline");
	else if (!c->eof)
		return;
	control_client_leave(c);
}

/* The next whole line, if none is being carried out. */
static void
next_request(struct control_client *c)
{
	size_t len;

	if (c->op.busy || c->leaving)
		return;
	if (!control_client_line(c, &len)) {
		judge_rest(c);
		return;
	}
	begin_request(c, len);
	control_client_drop_line(c, len);
}

void
control_talk_flush(struct control_client *c)
{
	bool alive = control_client_send(c);
	uint32_t events = 0;
	bool unsent;

	control_client_compact(c);
	unsent = control_client_unsent(c) > 0;
	if (!alive || (c->leaving && !unsent)) {
		control_client_free(c);
		return;
	}
	/* A portion that had no room comes with the next turn, and so does the
	   next of requests that came together. */
	if (unsent || control_op_has_portion(&c->op) ||
	    (!c->op.busy && has_request(c)))
		events |= EPOLLOUT;
	else if (!c->op.busy)
		events |= EPOLLIN;
	control_client_want(c, events);
}

void
control_talk_go_on(struct control_client *c)
{
	/* One request in a turn: they may be many, and from many. What went
	   wrong with sending shows again when it is flushed. */
	if (control_client_send(c) && control_client_unsent(c) == 0)
		next_request(c);
	if (control_op_has_portion(&c->op))
		c->share = end_of_share(c->all);
	while (control_op_has_portion(&c->op) && has_room(c))
		if (!c->op.verb->more(c))
			break;
	control_talk_flush(c);
}

void
control_talk_ready(void *ctx, uint32_t events)
{
	struct control_client *c = ctx;
	bool gone = (events & (EPOLLHUP | EPOLLERR)) != 0;
	size_t len;

	/* Who asks and does not stay for the answer has asked all the same. */
	if (((gone || (events & EPOLLIN) != 0) && !control_client_receive(c)) ||
	    (gone && (c->op.busy || !control_client_line(c, &len)))) {
		control_client_free(c);
		return;
	}
	control_talk_go_on(c);
}
