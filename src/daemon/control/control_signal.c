#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "core/names/signal_name.h"
#include "daemon/apps/app.h"
#include "daemon/apps/apps.h"
#include "daemon/apps/stopped.h"
#include "daemon/control/control_client.h"
#include "daemon/control/control_setup.h"
#include "daemon/control/control_signal.h"
#include "daemon/control/control_unknown.h"
#include "daemon/workers/worker.h"

struct outcome {
	unsigned n_apps;	/* of that name: one of before may linger */
	unsigned n_seats;	/* of the one that is there; 0: none is */
	unsigned n_sent;
	unsigned n_starting;	/* left out */
	int error;		/* of one that did not take it … */
	unsigned instance;	/* … and which it is */
};

/* A program that is not executed yet would get what is meant for the next. */
static bool
takes_signals(const struct worker *w)
{
	return worker_has_leader(w) && w->fsm.state != WORKER_EXECING;
}

/* It may have no handler yet, and would die of what is meant to be handled: who
   does not name it does not mean it. */
static bool
is_left_out(const struct worker *w, const struct request *r)
{
	return r->instance < 0 && (w->fsm.state == WORKER_EXECING ||
	    w->fsm.state == WORKER_STARTING);
}

static void
send_to_workers(const struct app *app, const struct request *r,
    struct outcome *out)
{
	for (struct worker *w = app->crew.workers; w != NULL; w = w->next) {
		if (r->instance >= 0 && (unsigned)r->instance != w->instance)
			continue;
		if (is_left_out(w, r)) {
			out->n_starting++;
			continue;
		}
		if (!takes_signals(w))
			continue;
		/* Its leader is not reaped: nobody else can have the number. */
		if (kill(w->pid, r->signo) == 0) {
			out->n_sent++;
		} else {
			out->error = errno;
			out->instance = w->instance;
		}
	}
}

static void
tell_sent(struct control_client *c, const char *sig,
    const struct outcome *out)
{
	char text[128], left[48] = "";

	if (out->n_starting > 0)
		snprintf(left, sizeof(left), ", and not to %u that start%s",
		    out->n_starting, out->n_starting == 1 ? "s" : "");
	snprintf(text, sizeof(text), "%s sent to %u process%s%s", sig,
	    out->n_sent, out->n_sent == 1 ? "" : "es", left);
	control_client_ok(c, text);
}

static void
tell_nobody(struct control_client *c, const struct outcome *out)
{
	const struct request *r = &c->op.request;
	bool stopped = stopped_find(c->setup->apps, r->app) != NULL;

	if (out->n_apps == 0 && !stopped)
		control_unknown_app(c, r->app);
	else if (out->n_apps == 0)
		control_client_fail(c, "failed", "%s is stopped", r->app);
	else if (r->instance >= 0 && out->n_seats > 0 &&
	    (unsigned)r->instance >= out->n_seats)
		control_client_fail(c, "unknown", "%s has instances 0 to %u",
		    r->app, out->n_seats - 1);
	else if (r->instance >= 0)
		control_client_fail(c, "failed", "%s[%d] has no process",
		    r->app, r->instance);
	else if (out->n_starting > 0)
		control_client_fail(c, "failed", "all processes of %s are "
		    "starting: \"signal %s:N\" sends it to one of them all "
		    "the same", r->app, r->app);
	else
		control_client_fail(c, "failed", "%s has no process", r->app);
}

void
control_signal_send(struct control_client *c)
{
	const struct request *r = &c->op.request;
	const char *name = signal_name(r->signo);
	struct outcome out = { .n_apps = 0 };
	char sig[16];

	for (struct app *a = c->setup->apps->first; a != NULL;
	     a = a->next_app) {
		if (strcmp(a->crew.name, r->app) != 0)
			continue;
		out.n_apps++;
		if (!a->crew.stopping)
			out.n_seats = a->n_seats;
		send_to_workers(a, r, &out);
	}
	if (name != NULL)
		snprintf(sig, sizeof(sig), "SIG%s", name);
	else
		snprintf(sig, sizeof(sig), "signal %d", r->signo);
	if (out.error != 0)
		control_client_fail(c, "failed", "%s for %s[%u]: %s%s", sig,
		    r->app, out.instance, strerror(out.error),
		    out.n_sent > 0 ? "; others got it" : "");
	else if (out.n_sent > 0)
		tell_sent(c, sig, &out);
	else
		tell_nobody(c, &out);
}
