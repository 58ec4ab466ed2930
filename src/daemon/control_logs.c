/* `logs` and `follow`: the rings of daemon/outputs, merged in the order in
   which their lines came. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf.h"
#include "core/ring.h"
#include "daemon/app.h"
#include "daemon/app_spec.h"
#include "daemon/control.h"
#include "daemon/outputs.h"
#include "daemon/stopped.h"
#include "daemon/supervisor.h"

/* A client's place in the lines of one app. */
struct log_reader {
	struct log_reader *next;
	char app[CONF_NAME_MAX + 1];
	struct ring_cursor cursor;
	bool ready;		/* its next line is the one numbered … */
	uint64_t seq;
};

/* ---- which apps ---- */

static struct log_reader **
find_reader(struct control_client *c, const char *app)
{
	struct log_reader **p = &c->op.readers;

	while (*p != NULL && strcmp((*p)->app, app) != 0)
		p = &(*p)->next;
	return p;
}

static void
put_elsewhere(struct strbuf *sb, const struct conf_app *conf)
{
	control_begin(sb, CONTROL_RECORD, "elsewhere");
	control_put(sb, "app", conf->name);
	control_put(sb, "stdout", conf_output_text(&conf->out));
	control_put(sb, "stderr", conf_output_text(&conf->err));
	control_end(sb);
}

static void
add_app(struct control_client *c, const struct conf_app *conf)
{
	const char *only = c->op.request.app;
	struct log_reader **end, *r;

	if (only[0] != '\0' && strcmp(only, conf->name) != 0)
		return;
	end = find_reader(c, conf->name);
	if (*end != NULL)
		return;
	r = calloc(1, sizeof(*r));
	if (r == NULL) {
		c->out.failed = true;
		return;
	}
	strcpy(r->app, conf->name);
	*end = r;
	if (!conf_output_is_piped(&conf->out) && !conf_output_is_piped(&conf->err))
		put_elsewhere(&c->out, conf);
	else
		c->op.reads = true;
}

/* Those that there are now; one that follows hears of new ones too. */
static void
add_apps(struct control_client *c)
{
	for (const struct app *a = c->sup->apps; a != NULL; a = a->next_app)
		if (!a->stopping)
			add_app(c, a->stable->conf);
	for (const struct stopped_app *s = c->sup->stopped; s != NULL;
	    s = s->next)
		add_app(c, s->conf);
}

void
control_logs_free(struct control_op *op)
{
	while (op->readers != NULL) {
		struct log_reader *r = op->readers;

		op->readers = r->next;
		free(r);
	}
}

/* ---- lines ---- */

/* Whose line is next? */
static struct log_reader *
next_reader(struct control_client *c, char text[LINE_SPLIT_MAX])
{
	struct log_reader *first = NULL;

	for (struct log_reader *r = c->op.readers; r != NULL; r = r->next) {
		const struct ring *ring = outputs_ring(c->sup, r->app);
		struct ring_cursor ahead = r->cursor;
		struct ring_line line;

		if (ring == NULL)
			continue;
		if (!r->ready && ring_next(ring, &ahead, text, &line)) {
			r->ready = true;
			r->seq = line.seq;
		}
		if (r->ready && (first == NULL || r->seq < first->seq))
			first = r;
	}
	return first;
}

static void
put_line(struct control_client *c, const struct log_reader *r,
    const struct ring_line *line)
{
	const struct control_request *request = &c->op.request;
	struct strbuf *sb = &c->out;

	if (line->lost > 0) {
		control_begin(sb, CONTROL_RECORD, "lost");
		control_put(sb, "app", r->app);
		control_put_number(sb, "count", line->lost);
		control_end(sb);
	}
	if (request->instance >= 0 &&
	    line->source.instance != request->instance)
		return;
	control_begin(sb, CONTROL_RECORD, "line");
	control_put(sb, "app", r->app);
	control_put_number(sb, "instance", line->source.instance);
	control_put(sb, "stream",
	    line->source.stream == 1 ? "stdout" : "stderr");
	control_put_number(sb, "time_ms", (uint64_t)line->source.time_ms);
	control_put_bytes(sb, "text", line->text, line->len);
	control_end(sb);
}

static bool
put_next(struct control_client *c)
{
	char text[LINE_SPLIT_MAX];
	struct log_reader *r = next_reader(c, text);
	struct ring_line line;

	if (r == NULL)
		return false;
	r->ready = false;
	if (ring_next(outputs_ring(c->sup, r->app), &r->cursor, text, &line))
		put_line(c, r, &line);
	return true;
}

bool
control_logs_more(struct control_client *c)
{
	const char *only = c->op.request.app;

	if (!c->op.listed) {
		add_apps(c);
		c->op.listed = true;
	}
	if (c->op.readers == NULL && only[0] != '\0') {
		control_fail(c, "unknown", "there is no app \"%s\"", only);
		return false;
	}
	if (!c->op.reads) {
		control_fail(c, "failed", "no output passes through clusterd");
		return false;
	}
	if (put_next(c))
		return true;
	if (c->op.request.verb == CONTROL_FOLLOW)
		c->op.waits = true;
	else
		control_ok(c, NULL);
	return false;
}

void
control_logs_told(void *ctx)
{
	struct supervisor *sup = ctx;
	struct control_client *c, *next;

	for (c = TAILQ_FIRST(&sup->control.clients); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (!c->busy || !c->op.waits)
			continue;
		c->op.waits = c->op.listed = false;
		control_go_on(c);
	}
}
