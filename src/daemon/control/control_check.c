#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/control/answer.h"
#include "core/worker/worker_words.h"
#include "daemon/apps/app.h"
#include "daemon/apps/stopped.h"
#include "daemon/control/control_check.h"
#include "daemon/control/control_client.h"
#include "daemon/control/control_setup.h"
#include "daemon/control/control_talk.h"
#include "daemon/control/control_unknown.h"
#include "daemon/health/check.h"
#include "daemon/spec/app_spec.h"
#include "daemon/workers/worker.h"

/* So many at a time. */
#define AT_ONCE 16

struct one {
	struct control_client *client;
	unsigned instance;
	pid_t pid;
	struct check *check;	/* under way */
	bool done;
	struct verdict verdict;
};

struct control_checks {
	struct one *v;
	size_t n;
	size_t begun;
	size_t told;
	size_t at_once;		/* under way */
	size_t n_bad;
};

/* ---- one after the other ---- */

static void
pump(struct control_client *c);

static void
done(void *ctx, const struct verdict *verdict)
{
	struct one *one = ctx;
	struct control_client *c = one->client;

	one->check = NULL;
	one->done = true;
	one->verdict = *verdict;
	c->op.checks->at_once--;
	pump(c);
	c->op.waits = false;
	/* It may be gone then. */
	control_talk_go_on(c);
}

static const char *
why_not(const struct worker *w)
{
	return w == NULL ? "it is not there" : worker_ready(w) ? NULL :
	    worker_state_name(w->fsm.state);
}

static void
begin_one(struct control_client *c, const struct app *app, struct one *one)
{
	const struct worker *w = app != NULL && one->instance < app->n_seats ?
	    app->seats[one->instance].present : NULL;
	const char *path = c->op.request.path;
	struct check_terms terms = { .path = NULL };
	struct error err = ERROR_INIT;

	one->pid = w != NULL ? w->pid : 0;
	one->done = true;
	if (w != NULL)
		terms = (struct check_terms){
			.path = path[0] != '\0' ? path :
			    w->spec->conf->health_path,
			.host = w->spec->conf->health_host,
			.timeout_ms = w->spec->conf->health_timeout_ms,
		};
	if (why_not(w) != NULL) {
		verdict_say(&one->verdict, VERDICT_BAD, "%s", why_not(w));
	} else if (check_begin(c->setup->checks, w, &terms, done, one,
	    &one->check, &err) < 0) {
		verdict_say(&one->verdict, VERDICT_UNKNOWN, "%s",
		    error_text(&err));
	} else {
		one->done = false;
		c->op.checks->at_once++;
	}
	error_clear(&err);
}

static void
pump(struct control_client *c)
{
	struct control_checks *checks = c->op.checks;
	const struct app *app = apps_find(c->setup->apps, c->op.request.app);

	while (checks->begun < checks->n && checks->at_once < AT_ONCE)
		begin_one(c, app, &checks->v[checks->begun++]);
}

/* ---- the request ---- */

static void
begin_checks(struct control_client *c, unsigned first, size_t n)
{
	struct control_checks *checks = calloc(1, sizeof(*checks));

	if (checks == NULL || (checks->v = calloc(n, sizeof(*checks->v))) ==
	    NULL) {
		free(checks);
		control_client_fail(c, "failed", "out of memory");
		return;
	}
	checks->n = n;
	for (size_t i = 0; i < n; i++) {
		checks->v[i].client = c;
		checks->v[i].instance = first + (unsigned)i;
	}
	c->op.checks = checks;
	pump(c);
}

void
control_check_begin(struct control_client *c)
{
	const struct request *r = &c->op.request;
	const struct app *app = apps_find(c->setup->apps, r->app);

	if (app == NULL && stopped_find(c->setup->apps, r->app) != NULL)
		control_client_fail(c, "failed", "%s is stopped", r->app);
	else if (app == NULL)
		control_unknown_app(c, r->app);
	else if (r->instance >= 0 && (unsigned)r->instance >= app->n_seats)
		control_client_fail(c, "unknown", "%s has instances 0 to %u",
		    r->app, app->n_seats - 1);
	else if (r->instance >= 0)
		begin_checks(c, (unsigned)r->instance, 1);
	else
		begin_checks(c, 0, app->n_seats);
}

static const char *
kind_name(enum verdict_kind kind)
{
	switch (kind) {
	case VERDICT_GOOD:
		return "good";
	case VERDICT_BAD:
		return "bad";
	case VERDICT_UNKNOWN:
		break;
	}
	return "unknown";
}

static void
put_one(struct strbuf *sb, const char *app, const struct one *one)
{
	const struct verdict *v = &one->verdict;

	answer_begin(sb, ANSWER_RECORD, "check");
	answer_put(sb, "app", app);
	answer_put_number(sb, "instance", one->instance);
	if (one->pid != 0)
		answer_put_number(sb, "pid", (uint64_t)one->pid);
	answer_put(sb, "verdict", kind_name(v->kind));
	if (v->status != 0)
		answer_put_number(sb, "status", v->status);
	if (v->took_us > 0)
		answer_put_number(sb, "took_us", (uint64_t)v->took_us);
	if (v->words[0] != '\0')
		answer_put(sb, "text", v->words);
	answer_end(sb);
}

static void
end_all(struct control_client *c, const struct control_checks *checks)
{
	size_t n = checks->n, bad = checks->n_bad;

	if (bad == 0)
		control_client_ok(c, NULL);
	else
		control_client_fail(c, "failed", "%zu of %zu instance%s %s not "
		    "well", bad, n, n == 1 ? "" : "s", bad == 1 ? "is" :
		    "are");
}

bool
control_check_more(struct control_client *c)
{
	struct control_checks *checks = c->op.checks;
	const struct one *one = &checks->v[checks->told];

	if (checks->told == checks->n) {
		end_all(c, checks);
		return false;
	}
	if (!one->done) {
		c->op.waits = true;
		return false;
	}
	put_one(&c->out, c->op.request.app, one);
	checks->n_bad += one->verdict.kind != VERDICT_GOOD;
	checks->told++;
	return true;
}

void
control_check_last(struct control_client *c)
{
	control_client_fail(c, "failed", "clusterd has stopped");
}

void
control_check_free(struct control_op *op)
{
	struct control_checks *checks = op->checks;

	if (checks == NULL)
		return;
	for (size_t i = 0; i < checks->n; i++)
		check_give_up(checks->v[i].check);
	free(checks->v);
	free(checks);
	op->checks = NULL;
}
