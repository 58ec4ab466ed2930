#include <stdio.h>

#include "core/control/answer.h"
#include "core/worker/worker_fsm.h"
#include "core/worker/worker_words.h"
#include "daemon/apps/app.h"
#include "daemon/apps/apps.h"
#include "daemon/control/control_client.h"
#include "daemon/control/control_progress.h"
#include "daemon/control/control_record.h"
#include "daemon/control/control_setup.h"
#include "daemon/workers/worker.h"

static bool
is_told(const struct control_client *c, const struct app *app)
{
	return control_op_is_awaited(&c->op) &&
	    control_op_concerns(&c->op, app->crew.name) &&
	    control_client_has_room(c);
}

static unsigned
count_retiring(const struct app *app)
{
	unsigned n = 0;

	for (const struct worker *w = app->crew.workers; w != NULL; w = w->next)
		n += !w->seated && !worker_state_final(w->fsm.state);
	return n;
}

static void
tell_app(struct control_client *c, const struct app *app)
{
	answer_begin(&c->out, ANSWER_PROGRESS, "app");
	answer_put(&c->out, "app", app->crew.name);
	control_record_app(&c->out, app);
	if (app_retires(app))
		answer_put_number(&c->out, "retiring", count_retiring(app));
	answer_end(&c->out);
}

void
control_progress_apps(struct control_client *c)
{
	for (const struct app *a = c->setup->apps->first; a != NULL;
	     a = a->next_app)
		if (!a->crew.stopping && is_told(c, a))
			tell_app(c, a);
}

void
control_progress_renewed(struct control_client *c, uint64_t reload)
{
	for (const struct app *a = c->setup->apps->first; a != NULL;
	     a = a->next_app)
		if (!a->crew.stopping && app_came_by(a, reload) &&
		    is_told(c, a))
			tell_app(c, a);
}

void
control_progress_note(struct control_client *c, const char *text)
{
	answer_begin(&c->out, ANSWER_PROGRESS, "note");
	answer_put(&c->out, "text", text);
	answer_end(&c->out);
}

void
control_progress_stepped(struct control_clients *clients,
    const struct worker *w, const struct worker_step *step)
{
	struct control_client *c;

	/* Its pid comes with the next step. */
	if (step->from == step->to || step->to == WORKER_EXECING)
		return;
	TAILQ_FOREACH(c, &clients->list, entry) {
		if (!is_told(c, app_of(w->crew)))
			continue;
		answer_begin(&c->out, ANSWER_PROGRESS, "instance");
		control_record_worker(&c->out, w);
		if (step->why != WORKER_WHY_NOTHING)
			answer_put(&c->out, "why",
			    worker_reason_text(step->why));
		answer_end(&c->out);
		tell_app(c, app_of(w->crew));
	}
}

void
control_progress_ended(struct control_clients *clients,
    const struct worker *w, const struct worker_step *step, const char *words)
{
	struct control_client *c;
	char text[512];

	/* The end of who was asked to end is a step like others. */
	if (step->why == WORKER_WHY_ASKED)
		return;
	snprintf(text, sizeof(text), "%s[%u]: %s", w->crew->name, w->instance,
	    words);
	TAILQ_FOREACH(c, &clients->list, entry)
		if (is_told(c, app_of(w->crew)))
			control_progress_note(c, text);
}
