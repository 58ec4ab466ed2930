#include "base/str.h"
#include "core/control/answer.h"
#include "core/worker/worker_fsm.h"
#include "core/worker/worker_words.h"
#include "daemon/apps/app.h"
#include "daemon/control/control_record.h"
#include "daemon/spec/app_spec.h"
#include "daemon/workers/worker.h"

/* ---- an app ---- */

static const char *
app_state(const struct app *app)
{
	if (app->crew.stopping)
		return "stopping";
	if (app->crew.target != NULL)
		return "reloading";
	if (app->over)
		return app->failed ? "failed" : "ended";
	return app->waits ? "waiting" : "running";
}

/* Seats that have the target already. */
static unsigned
count_moved(const struct app *app)
{
	unsigned n = 0;

	for (unsigned i = 0; i < app->n_seats; i++)
		if (app->seats[i].present != NULL &&
		    app->seats[i].present->spec == app->crew.target &&
		    !app->seats[i].present->outdated)
			n++;
	return n;
}

void
control_record_app(struct strbuf *sb, const struct app *app)
{
	answer_put(sb, "state", app_state(app));
	answer_put_number(sb, "generation", app->crew.stable->generation);
	answer_put_number(sb, "wanted", app->crew.wanted);
	answer_put_number(sb, "ready", app_ready_count(app));
	if (app->crew.stable->conf->scales) {
		answer_put_number(sb, "least", app->crew.stable->instances);
		answer_put_number(sb, "most", app->crew.stable->most);
	}
	if (app->crew.target == NULL)
		return;
	answer_put_number(sb, "target", app->crew.target->generation);
	answer_put_number(sb, "moved", count_moved(app));
}

/* ---- a worker ---- */

/* "seat", "next" or "retiring". */
static const char *
role_of(const struct worker *w)
{
	const struct app *app = app_of(w->crew);

	if (!w->seated)
		return "retiring";
	return w->instance < app->n_seats &&
	    app->seats[w->instance].next == w ? "next" : "seat";
}

/* As users are told: that a program is not executed yet is a detail. */
static const char *
worker_state(const struct worker *w)
{
	switch (w->fsm.state) {
	case WORKER_IDLE:
	case WORKER_EXECING:
		return worker_state_name(WORKER_STARTING);
	default:
		return worker_state_name(w->fsm.state);
	}
}

void
control_record_worker(struct strbuf *sb, const struct worker *w)
{
	answer_put(sb, "app", w->crew->name);
	answer_put_number(sb, "instance", w->instance);
	answer_put(sb, "role", role_of(w));
	if (w->pid != 0)
		answer_put_number(sb, "pid", (uint64_t)w->pid);
	answer_put(sb, "state", worker_state(w));
	answer_put_number(sb, "generation", w->spec->generation);
}
