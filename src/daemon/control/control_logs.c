#include <stdlib.h>
#include <string.h>

#include "core/conf/conf.h"
#include "core/control/answer.h"
#include "core/conf/conf_print.h"
#include "core/output/ring.h"
#include "daemon/apps/app.h"
#include "daemon/apps/apps.h"
#include "daemon/apps/stopped.h"
#include "daemon/control/control_client.h"
#include "daemon/control/control_logs.h"
#include "daemon/control/control_setup.h"
#include "daemon/control/control_unknown.h"
#include "daemon/control/control_talk.h"
#include "daemon/output/outputs.h"
#include "daemon/spec/app_spec.h"

/* A client's place in the lines of one app. */
struct log_reader {
	char app[CONF_NAME_MAX + 1];
	const struct ring *ring;	/* NULL: there is none */
	struct ring_cursor cursor;
	uint64_t seq;			/* of its next line, when queued */
	bool queued;
	bool listed;			/* the app is configured */
	bool untold;			/* that not all of it passes here */
};

/*
 * All of them, by name; with thousands of apps and lines, a line must not cost
 * a look at each app. Those whose next line is known are queued by its number.
 */
struct log_readers {
	struct log_reader *v;
	struct log_reader **queue;	/* a heap; room for all */
	size_t n, cap, n_queued, n_untold;
	uint64_t changes, added;	/* when this was listed */
	uint64_t seq;			/* when the others were looked at */
	bool seen;			/* there was one … */
	bool any;			/* … of which lines may come */
	bool known;			/* the instance asked for: see below */
};

/* ---- the queue ---- */

static void
swap(struct log_reader **a, struct log_reader **b)
{
	struct log_reader *r = *a;

	*a = *b;
	*b = r;
}

static void
enqueue(struct log_readers *l, struct log_reader *r)
{
	struct log_reader **q = l->queue;

	r->queued = true;
	q[l->n_queued] = r;
	for (size_t i = l->n_queued++; i > 0 &&
	    q[i]->seq < q[(i - 1) / 2]->seq; i = (i - 1) / 2)
		swap(&q[i], &q[(i - 1) / 2]);
}

/* Whose line is next? NULL: nobody's. */
static struct log_reader *
dequeue(struct log_readers *l)
{
	struct log_reader **q = l->queue, *first;
	size_t i = 0, child;

	if (l->n_queued == 0)
		return NULL;
	first = q[0];
	first->queued = false;
	q[0] = q[--l->n_queued];
	while ((child = 2 * i + 1) < l->n_queued) {
		if (child + 1 < l->n_queued &&
		    q[child + 1]->seq < q[child]->seq)
			child++;
		if (q[i]->seq <= q[child]->seq)
			break;
		swap(&q[i], &q[child]);
		i = child;
	}
	return first;
}

static void
look(struct log_readers *l, struct log_reader *r)
{
	char text[LINE_SPLIT_MAX];
	struct ring_cursor ahead = r->cursor;
	struct ring_line line;

	if (r->ring == NULL || !ring_next(r->ring, &ahead, text, &line))
		return;
	r->seq = line.seq;
	enqueue(l, r);
}

static void
look_at_all(struct log_readers *l, uint64_t seq)
{
	l->seq = seq;
	for (size_t i = 0; i < l->n; i++)
		if (!l->v[i].queued)
			look(l, &l->v[i]);
}

/* ---- which apps ---- */

static const struct out_tails *
tails_of(const struct control_client *c)
{
	return outputs_tails(c->setup->outputs);
}

static int
compare(const void *a, const void *b)
{
	const struct log_reader *x = a, *y = b;

	return strcmp(x->app, y->app);
}

static int
compare_name(const void *name, const void *reader)
{
	return strcmp(name, ((const struct log_reader *)reader)->app);
}

/* Among the first `n`. */
static struct log_reader *
find_reader(const struct log_readers *l, size_t n, const char *app)
{
	return n > 0 ? bsearch(app, l->v, n, sizeof(*l->v), compare_name) :
	    NULL;
}

static bool
grow(struct log_readers *l)
{
	size_t cap = l->cap > 0 ? 2 * l->cap : 16;
	struct log_reader *v = reallocarray(l->v, cap, sizeof(*v));
	struct log_reader **queue;

	if (v == NULL)
		return false;
	l->v = v;
	queue = reallocarray(l->queue, cap, sizeof(*queue));
	if (queue == NULL)
		return false;
	l->queue = queue;
	l->cap = cap;
	return true;
}

/* Beside the first `n_old`, which are in order. */
static void
list_app(struct control_client *c, const struct conf_app *conf, size_t n_old)
{
	const char *only = c->op.request.app;
	struct log_readers *l = c->op.readers;
	bool out = conf_output_is_piped(&conf->out);
	bool err = conf_output_is_piped(&conf->err);
	struct log_reader *r;

	if (only[0] != '\0' && strcmp(only, conf->name) != 0)
		return;
	r = find_reader(l, n_old, conf->name);
	if (r != NULL) {
		r->listed = true;
		return;
	}
	if (l->n == l->cap && !grow(l)) {
		control_client_spoil(c);
		return;
	}
	r = &l->v[l->n++];
	*r = (struct log_reader){ .listed = true, .untold = !out || !err };
	strcpy(r->app, conf->name);
	l->n_untold += r->untold;
	l->seen = true;
	l->any = l->any || out || err;
}

static void
set_ring(void *ctx, const char *app, const struct ring *ring)
{
	struct log_readers *l = ctx;
	struct log_reader *r = find_reader(l, l->n, app);

	if (r != NULL)
		r->ring = ring;
}

/* Those that there are now; one that follows hears of new ones too. Gone are
   those that nothing can come of any more. */
static void
list_apps(struct control_client *c)
{
	struct log_readers *l = c->op.readers;
	size_t n_old = l->n, n = 0;

	for (size_t i = 0; i < l->n; i++) {
		l->v[i].ring = NULL;
		l->v[i].listed = l->v[i].queued = false;
	}
	for (const struct app *a = c->setup->apps->first; a != NULL;
	     a = a->next_app)
		if (!a->crew.stopping)
			list_app(c, a->crew.stable->conf, n_old);
	for (const struct stopped_app *s = c->setup->apps->stopped; s != NULL;
	    s = s->next)
		list_app(c, s->conf, n_old);
	if (l->n > 0)
		qsort(l->v, l->n, sizeof(*l->v), compare);
	out_tails_each(tails_of(c), set_ring, l);
	for (size_t i = 0; i < l->n; i++) {
		if (l->v[i].listed || l->v[i].ring != NULL)
			l->v[n++] = l->v[i];
		else
			l->n_untold -= l->v[i].untold;
	}
	l->n = n;
	l->n_queued = 0;
	l->changes = out_tails_changes(tails_of(c));
	l->added = c->setup->apps->n_added;
	look_at_all(l, out_tails_seq(tails_of(c)));
}

/* False: no memory. */
static bool
be_up_to_date(struct control_client *c)
{
	struct log_readers *l = c->op.readers;

	if (l == NULL) {
		l = c->op.readers = calloc(1, sizeof(*l));
		if (l == NULL)
			return false;
		list_apps(c);
	} else if (l->changes != out_tails_changes(tails_of(c)) ||
	    l->added != c->setup->apps->n_added) {
		list_apps(c);
	} else if (l->seq != out_tails_seq(tails_of(c))) {
		look_at_all(l, out_tails_seq(tails_of(c)));
	}
	return true;
}

void
control_logs_free(struct control_op *op)
{
	if (op->readers == NULL)
		return;
	free(op->readers->v);
	free(op->readers->queue);
	free(op->readers);
	op->readers = NULL;
}

/* ---- what does not pass here ---- */

static const struct conf_app *
find_conf(struct apps *apps, const char *name)
{
	const struct app *app = apps_find(apps, name);
	const struct stopped_app *s = stopped_find(apps, name);

	if (app != NULL)
		return app->crew.stable->conf;
	return s != NULL ? s->conf : NULL;
}

static void
put_elsewhere(struct control_client *c)
{
	struct log_readers *l = c->op.readers;
	const struct conf_app *conf;
	struct log_reader *r = l->v;

	while (!r->untold)
		r++;
	r->untold = false;
	l->n_untold--;
	conf = find_conf(c->setup->apps, r->app);
	if (conf == NULL)
		return;
	answer_begin(&c->out, ANSWER_RECORD, "elsewhere");
	answer_put(&c->out, "app", conf->name);
	answer_put(&c->out, "stdout", conf_output_text(&conf->out));
	answer_put(&c->out, "stderr", conf_output_text(&conf->err));
	answer_end(&c->out);
}

/* ---- lines ---- */

static void
put_line(struct control_client *c, const struct log_reader *r,
    const struct ring_line *line)
{
	const struct request *request = &c->op.request;
	struct strbuf *sb = &c->out;

	if (line->lost > 0) {
		answer_begin(sb, ANSWER_RECORD, "lost");
		answer_put(sb, "app", r->app);
		answer_put_number(sb, "count", line->lost);
		answer_end(sb);
	}
	if (request->instance >= 0 &&
	    line->source.instance != request->instance)
		return;
	c->op.readers->known = true;
	answer_begin(sb, ANSWER_RECORD, "line");
	answer_put(sb, "app", r->app);
	answer_put_number(sb, "instance", line->source.instance);
	answer_put(sb, "stream",
	    line->source.stream == 1 ? "stdout" : "stderr");
	answer_put_number(sb, "time_ms", (uint64_t)line->source.time_ms);
	if (line->source.goes_on)
		answer_put(sb, "cont", "1");
	answer_put_bytes(sb, "text", line->text, line->len);
	answer_end(sb);
}

static bool
put_next(struct control_client *c)
{
	char text[LINE_SPLIT_MAX];
	struct log_reader *r = dequeue(c->op.readers);
	struct ring_line line;

	if (r == NULL)
		return false;
	if (ring_next(r->ring, &r->cursor, text, &line))
		put_line(c, r, &line);
	look(c->op.readers, r);
	return true;
}

/*
 * When all that there is was looked at: is the instance that was asked for
 * there, or was it, by its lines? What follows one goes on when it has gone.
 * False: answered.
 */
static bool
knows_instance(struct control_client *c)
{
	const struct request *r = &c->op.request;
	const struct app *app = apps_find(c->setup->apps, r->app);

	if (c->op.readers->known || r->instance < 0 || app == NULL ||
	    (unsigned)r->instance < app->n_seats) {
		c->op.readers->known = true;
		return true;
	}
	control_client_fail(c, "unknown", "%s has instances 0 to %u", r->app,
	    app->n_seats - 1);
	return false;
}

bool
control_logs_more(struct control_client *c)
{
	const char *only = c->op.request.app;

	if (!be_up_to_date(c)) {
		control_client_spoil(c);
		control_client_ok(c, NULL);
		return false;
	}
	if (c->op.readers->n_untold > 0) {
		put_elsewhere(c);
		return true;
	}
	if (!c->op.readers->seen && only[0] != '\0') {
		control_unknown_app(c, only);
		return false;
	}
	if (!c->op.readers->any) {
		control_client_fail(c, "failed",
		    "no output passes through clusterd");
		return false;
	}
	if (put_next(c))
		return true;
	if (!knows_instance(c))
		return false;
	if (c->op.request.verb == REQUEST_FOLLOW)
		c->op.waits = true;
	else
		control_client_ok(c, NULL);
	return false;
}

void
control_logs_last(struct control_client *c)
{
	/* What the workers wrote while they ended. */
	c->op.waits = false;
	while (control_op_has_portion(&c->op) &&
	    control_client_unsent(c) < CONTROL_OUT_MAX)
		(void)control_logs_more(c);
	if (c->op.busy)
		control_client_ok(c, "clusterd has stopped");
}

void
control_logs_came(struct control_clients *clients)
{
	struct control_client *c, *next;

	for (c = TAILQ_FIRST(&clients->list); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (!c->op.busy || !c->op.waits)
			continue;
		c->op.waits = false;
		control_talk_go_on(c);
	}
}
