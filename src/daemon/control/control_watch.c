#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "core/control/answer.h"
#include "core/output/ring.h"
#include "daemon/apps/app.h"
#include "daemon/apps/stopped.h"
#include "daemon/control/control_client.h"
#include "daemon/control/control_events.h"
#include "daemon/control/control_setup.h"
#include "daemon/control/control_talk.h"
#include "daemon/control/control_unknown.h"
#include "daemon/control/control_watch.h"

/* Is it about what is asked for? A record begins with that. */
static bool
concerns(const struct request *r, const char *line, size_t len)
{
	char begins[96];

	if (r->app[0] == '\0')
		return true;
	if (r->instance >= 0)
		snprintf(begins, sizeof(begins), "+ event app=%s instance=%d ",
		    r->app, r->instance);
	else
		snprintf(begins, sizeof(begins), "+ event app=%s ", r->app);
	return len >= strlen(begins) &&
	    memcmp(line, begins, strlen(begins)) == 0;
}

static void
put_lost(struct strbuf *sb, uint64_t lost)
{
	answer_begin(sb, ANSWER_RECORD, "lost");
	answer_put_number(sb, "count", lost);
	answer_end(sb);
}

/* What comes while they are told is for those who watch, or it might have no
   end. */
void
control_watch_begin(struct control_client *c)
{
	c->op.until = c->all->events->ring.n_lines;
}

/* False: there is none. */
static bool
put_next(struct control_client *c)
{
	char text[LINE_SPLIT_MAX];
	struct ring_line line;

	if (c->op.request.verb == REQUEST_EVENTS &&
	    c->op.events.line >= c->op.until)
		return false;
	if (!ring_next(&c->all->events->ring, &c->op.events, text, &line))
		return false;
	if (line.lost > 0)
		put_lost(&c->out, line.lost);
	if (concerns(&c->op.request, line.text, line.len)) {
		strbuf_add(&c->out, line.text, line.len);
		strbuf_putc(&c->out, '\n');
		c->op.known = true;
	}
	return true;
}

/* An app, or an instance of it, that there is, or was: then it may come again.
   False: answered. */
static bool
is_known(struct control_client *c)
{
	const struct request *r = &c->op.request;
	const struct app *app = apps_find(c->setup->apps, r->app);

	if (c->op.known || !control_op_names_app(&c->op) ||
	    (app == NULL && (apps_lingers(c->setup->apps, r->app) ||
		stopped_find(c->setup->apps, r->app) != NULL)))
		return true;
	if (app == NULL) {
		control_unknown_app(c, r->app);
		return false;
	}
	if (r->instance < 0 || (unsigned)r->instance < app->n_seats)
		return true;
	control_client_fail(c, "unknown", "%s has instances 0 to %u", r->app,
	    app->n_seats - 1);
	return false;
}

bool
control_watch_more(struct control_client *c)
{
	if (put_next(c))
		return true;
	if (!is_known(c))
		return false;
	c->op.known = true;
	if (c->op.request.verb == REQUEST_WATCH)
		c->op.waits = true;
	else
		control_client_ok(c, NULL);
	return false;
}

void
control_watch_last(struct control_client *c)
{
	c->op.waits = false;
	while (control_op_has_portion(&c->op) && control_client_has_room(c))
		(void)control_watch_more(c);
	if (c->op.busy)
		control_client_ok(c, "clusterd has stopped");
}

void
control_watch_came(struct control_clients *clients)
{
	struct control_client *c, *next;

	for (c = TAILQ_FIRST(&clients->list); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (!c->op.busy || !c->op.waits ||
		    c->op.request.verb != REQUEST_WATCH)
			continue;
		c->op.waits = false;
		control_talk_go_on(c);
	}
}
