/* Which of an app's addresses its program really serves, once it is ready. */
#include <stdlib.h>

#include "base/log.h"
#include "core/conf.h"
#include "core/fd_protocol.h"
#include "daemon/adopt.h"
#include "daemon/app.h"
#include "daemon/app_spec.h"
#include "daemon/listeners.h"
#include "daemon/worker.h"
#include "linux/inspect.h"
#include "linux/waiting.h"

/* Has some process of the app's workers the lane open, other than by the
   numbers that all are started with? */
static bool
is_held(const struct app *app, const struct app_spec *spec,
    const struct listener *l)
{
	int first = FD_PROTOCOL_FIRST + (int)spec->conf->n_listens;

	for (const struct worker *w = app->workers; w != NULL; w = w->next) {
		struct inspect_fsids ids;
		bool held;

		if (w->spec != spec || w->pid == 0)
			continue;
		ids = inspect_begin(&spec->conf->creds);
		held = waiting_holds(w->pid, l->lanes[0].ino, first);
		inspect_end(&ids);
		if (held)
			return true;
	}
	return false;
}

/* Does anybody wait for its clients, of whatever generation? */
static bool
is_served(const struct app *app, const struct listener *l)
{
	for (const struct worker *w = app->workers; w != NULL; w = w->next) {
		int first = FD_PROTOCOL_FIRST + (int)w->spec->conf->n_listens;
		uint64_t ino = l->lanes[0].ino;
		struct inspect_fsids ids;
		bool served;

		if (w->pid == 0)
			continue;
		ids = inspect_begin(&w->spec->conf->creds);
		served = waiting_holds(w->pid, ino, first) ||
		    waiting_look(w->pid, &ino, 1) != WAITING_NO;
		inspect_end(&ids);
		if (served)
			return true;
	}
	return false;
}

/* Does a dual-stack listener of the app take its clients too? */
static bool
is_covered(const struct app_spec *spec, const struct listener *l)
{
	for (size_t i = 0; i < spec->conf->n_listens; i++) {
		const struct listener *other = spec->listeners[i];

		if (other != NULL && other->listening &&
		    other->bound.kind == l->bound.kind &&
		    other->bound.port == l->bound.port &&
		    other->bound.host == ADDRESS_HOST_ANY)
			return true;
	}
	return false;
}

/*
 * A program that has bound one of its addresses, and is ready, will hardly
 * accept on another that it has not bound. Clients are refused there, as they
 * would be without clusterd, instead of left to wait; should it bind the
 * address later, all is well from then on.
 */
static void
suspend_unserved(struct worker *w)
{
	const struct app_spec *spec = w->spec;
	bool binds = false;

	for (size_t i = 0; i < spec->conf->n_listens; i++)
		binds |= spec->taken[i];
	for (size_t i = 0; binds && i < spec->conf->n_listens; i++) {
		struct listener *l = spec->listeners[i];
		char *name;

		if (spec->taken[i] || l == NULL || !l->listening ||
		    l->passed || l->bound.kind != ADDRESS_TCP ||
		    is_served(w->app, l))
			continue;
		listener_suspend(l);
		if (is_covered(spec, l))
			continue;
		name = address_format_numeric(&l->bound);
		log_warning("%s: its program serves other addresses and not "
		    "%s: connections to it are refused until it does",
		    w->app->name, name != NULL ? name : "?");
		free(name);
	}
}

void
adopt_settle(struct worker *w)
{
	struct app_spec *spec = w->spec;

	for (size_t i = spec->n_beside; i-- > 0;)
		if (!is_held(w->app, spec, spec->beside[i].listener))
			app_spec_drop(spec, i);
	for (size_t i = spec->n_beside; i-- > 0;) {
		size_t position = spec->beside[i].position;
		const struct listener *l = spec->listeners[position];

		/* One that no server has bound may be served by its number. */
		if (l != NULL && spec->taken[position] &&
		    !is_held(w->app, spec, l))
			app_spec_promote(spec, i);
	}
	suspend_unserved(w);
}
