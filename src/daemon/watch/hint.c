#include "base/log.h"
#include "base/mono.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "daemon/spec/app_spec.h"
#include "daemon/watch/orphans.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "daemon/watch/hint.h"
#include "linux/process/inspect.h"
#include "linux/process/listening.h"
#include "linux/process/locks.h"

/* A death this soon after the start has to do with the start: a program that
   leaves processes behind then, with exit code 0, has put itself into the
   background, and one that fails then may not have got its port. */
#define START_MS 5000

/* To look at the kernel's tables of sockets at every death of many would hold
   everybody up. */
#define PORT_LOOK_MS 1000

/* Does this death look like a program that went into the background? */
static bool
has_daemonized(struct orphans *orphans, struct worker *w)
{
	return !w->status.signalled && w->status.code == 0 &&
	    !w->fsm.unwanted && orphans_of(orphans, w);
}

/* Does another instance have a port that this one may have wanted too? An app
   that has listeners is told by daemon/adopt, when it happens. */
static bool
sibling_listens(struct worker *w, uint16_t *ret_port)
{
	struct crew *crew = w->crew;
	bool found = false;

	if (w->spec->conf->n_listens > 0 || crew->wanted < 2 ||
	    crew->port_hinted || w->status.signalled || w->status.code == 0 ||
	    w->fsm.unwanted || (crew->port_looked.ns != 0 &&
	    mono_ms_between(crew->port_looked, mono_now()) < PORT_LOOK_MS))
		return false;
	crew->port_looked = mono_now();
	for (const struct worker *o = crew->workers; o != NULL && !found;
	    o = o->next) {
		struct fsids ids;

		/* Nobody is advised to share what one has locked. */
		if (o == w || o->pid == 0 || locks_held(o->pid))
			continue;
		ids = inspect_begin(&o->spec->conf->creds);
		found = listening_port(o->pid, ret_port);
		inspect_end(&ids);
	}
	crew->port_hinted = found;
	return found;
}

/* Instances that end soon after each other and for the same reason, as far as
   can be seen, before that is taken for one. */
#define ALIKE_MIN 2

/* One that serves, beside which others may not be able to; or NULL. */
static const struct worker *
find_survivor(const struct worker *w)
{
	for (const struct worker *o = w->crew->workers; o != NULL; o = o->next)
		if (o != w && o->spec == w->spec && worker_ready(o))
			return o;
	return NULL;
}

/*
 * Does only one of its kind run, and do all others end, quickly and alike? Then
 * there is something that only one may have. On trial it is the reload's to
 * tell.
 */
static const struct worker *
finds_taken(const struct worker *w)
{
	struct crew *crew = w->crew;
	const struct worker *o;

	if (crew->wanted < 2 || w->status.signalled || w->fsm.unwanted ||
	    w->fsm.trial || w->ready_ms >= 0)
		return NULL;
	o = find_survivor(w);
	if (crew->alike_code != w->status.code || o == NULL)
		crew->alike = 0;
	crew->alike_code = w->status.code;
	if (o == NULL || ++crew->alike < ALIKE_MIN || crew->alike_hinted ||
	    crew->port_hinted)
		return NULL;
	crew->alike_hinted = true;
	return o;
}

static void
put_taken(struct strbuf *sb, const struct worker *w, const struct worker *by)
{
	bool no_file = w->spec->conf->line == 0;

	strbuf_printf(sb, "; instance %u lives, and others end at once, all "
	    "alike: if there is something that only one may have, such as a "
	    "pid file, a lock or a socket, {worker_id} in the command or in "
	    "env gives each its own; for what cannot be had twice, such as a "
	    "data directory: %s", by->instance, no_file ? "-n 1" :
	    "instances = 1 and max_surge = 0");
}

void
hint_put(struct strbuf *sb, struct worker *w, struct orphans *orphans)
{
	const struct worker *by;
	uint16_t port;

	if (mono_ms_between(w->fsm.executed, mono_now()) >= START_MS)
		return;
	if (has_daemonized(orphans, w))
		strbuf_puts(sb, "; it left processes behind: if it puts itself "
		    "into the background, run it in the foreground");
	else if (sibling_listens(w, &port))
		strbuf_printf(sb, "; another instance listens on port %u: if "
		    "that was its trouble, and they may share it: %s%u", port,
		    w->spec->conf->line == 0 ? "-p " : "port = ", port);
	else if ((by = finds_taken(w)) != NULL)
		put_taken(sb, w, by);
}

/* Is it the port of one of the worker's listeners? */
static bool
is_ours(const struct worker *w, uint16_t port)
{
	const struct address *bound = app_spec_bound(w->spec, w->instance);

	for (size_t i = 0; i < w->spec->conf->n_listens; i++)
		if (bound[i].kind == ADDRESS_TCP && bound[i].port == port)
			return true;
	return false;
}

void
hint_unseen(const struct worker *w)
{
	struct fsids ids;
	uint16_t port = 0;
	bool found;

	if (w->spec->conf->n_listens == 0)
		return;
	ids = inspect_begin(&w->spec->conf->creds);
	found = listening_port(w->pid, &port);
	inspect_end(&ids);
	if (found && !is_ours(w, port))
		worker_log(LOG_LEVEL_WARNING, w, "listens on port %u, which "
		    "is none of this app's listeners, and was not seen to wait "
		    "on one of those: clients may wait for ever", port);
}
