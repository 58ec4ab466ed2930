#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mono.h"
#include "base/str.h"
#include "core/conf/advice_inspect.h"
#include "core/conf/conf.h"
#include "core/names/placeholder.h"
#include "daemon/spec/app_spec.h"
#include "daemon/watch/orphans_look.h"
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
	    !w->fsm.unwanted && orphans_look_for(orphans, w);
}

/* Does another instance have a port that this one may have wanted too? An app
   that has listeners is told by daemon/adopt, when it happens. */
static bool
sibling_listens(struct worker *w, uint16_t *ret_port)
{
	struct crew *crew = w->crew;
	struct locks locks;
	bool found = false;

	if (w->spec->conf->n_listens > 0 || crew->wanted < 2 ||
	    crew->port_hinted || w->status.signalled || w->status.code == 0 ||
	    w->fsm.unwanted || (crew->port_looked.ns != 0 &&
	    mono_ms_between(crew->port_looked, mono_now()) < PORT_LOOK_MS))
		return false;
	crew->port_looked = mono_now();
	locks_read(&locks);
	for (const struct worker *o = crew->workers; o != NULL && !found;
	    o = o->next) {
		struct fsids ids;

		if (o == w || o->pid == 0)
			continue;
		ids = inspect_begin(&o->spec->conf->creds);
		/* Nobody is advised to share what one has locked. */
		found = !locks_held(&locks, o->pid) &&
		    listening_port(o->pid, ret_port);
		inspect_end(&ids);
	}
	locks_free(&locks);
	crew->port_hinted = found;
	return found;
}

bool
hint_holds(const struct worker *w)
{
	struct locks locks;
	struct fsids ids;
	uint16_t port;
	bool holds;

	if (w->pid == 0)
		return false;
	locks_read(&locks);
	ids = inspect_begin(&w->spec->conf->creds);
	/* Of an app that has some the port may be one of them. */
	holds = locks_held(&locks, w->pid) ||
	    (w->spec->conf->n_listens == 0 && listening_port(w->pid, &port));
	inspect_end(&ids);
	locks_free(&locks);
	return holds;
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

/*
 * Whether it has read the end of its standard input nobody tells. Most that end
 * well and at once, without having served, have: shells, REPLs, relays. Others
 * were asked to end, by whomever.
 */
static bool
may_have_read_to_the_end(struct worker *w)
{
	struct crew *crew = w->crew;

	if (w->spec->conf->in != CONF_STDIN_NULL || crew->stdin_hinted ||
	    w->status.signalled || w->status.code != 0 || w->fsm.unwanted ||
	    (w->spec->conf->n_listens > 0 && w->ready_ms >= 0) ||
	    w->spec->conf->restart != CONF_RESTART_ALWAYS)
		return false;
	crew->stdin_hinted = true;
	return true;
}

static bool
has_fd(const struct strlist *words)
{
	for (size_t i = 0; i < words->n; i++)
		if (placeholder_in(PLACEHOLDER_FD, words->v[i]))
			return true;
	return false;
}

/* The words of its command tell it of the descriptor, or variables. */
static bool
is_told_by_words(const struct conf_app *conf)
{
	return has_fd(&conf->command) || has_fd(&conf->env);
}

bool
hint_is_unbound(const struct worker *w)
{
	const struct conf_app *conf = w->spec->conf;

	/* Who is not trapped for want of a filter cannot bind it. */
	return !is_told_by_words(conf) && w->bound == 0 &&
	    (w->trapped || w->crew->all->untrapped) && conf->n_listens > 0 &&
	    conf->handoff == CONF_HANDOFF_AUTO && !conf_app_announces(conf);
}

/* Of whichever generation: the old code's servers bind, and new code that ends
   does so for another reason. */
static bool
somebody_binds(const struct crew *crew)
{
	for (const struct worker *o = crew->workers; o != NULL; o = o->next)
		if (worker_ready(o) && o->bound != 0)
			return true;
	return false;
}

/* It may be that it has looked for a descriptor, and for nothing else; but not
   where another one binds, or where it binds something else. */
static bool
has_looked_in_vain(const struct worker *w, bool timed_out)
{
	return !somebody_binds(w->crew) && hint_is_unbound(w) &&
	    !spec_told_binds_elsewhere(&w->spec->told) && (timed_out ||
	    (w->fsm.state == WORKER_STARTING && !w->status.signalled)) &&
	    app_spec_note_unbound(w->spec, w->crew->stable);
}

/* Where keys go that no option stands for. */
static const char *
in_file(const struct worker *w)
{
	return w->spec->conf->line == 0 ? " in a file (-c)" : "";
}

/* Most that end with an error have another one, and say which. */
static void
put_unbound(struct strbuf *sb, const struct worker *w, bool timed_out)
{
	strbuf_printf(sb, "; it never bound %s: %sif it looks for LISTEN_FDS, "
	    "add handoff = env%s; for another protocol see fd_protocol (said "
	    "once)", address_text(app_spec_bound(w->spec, w->instance)).s,
	    !timed_out && w->status.code != 0 ?
	    "what it writes may say why; " : "", in_file(w));
}

void
hint_put(struct strbuf *sb, struct worker *w, struct orphans *orphans,
    bool timed_out)
{
	const struct worker *by;
	bool early = mono_ms_between(w->fsm.executed, mono_now()) < START_MS;
	uint16_t port = 0;

	if (early && has_daemonized(orphans, w))
		strbuf_puts(sb, "; it left processes behind: if it puts itself "
		    "into the background, run it in the foreground");
	else if (has_looked_in_vain(w, timed_out))
		put_unbound(sb, w, timed_out);
	else if (early && sibling_listens(w, &port) &&
	    advice_inspect_may_be(w->spec->conf, environ, port))
		strbuf_printf(sb, "; another instance has port %u, which is "
		    "for a debugger, by --inspect: --inspect=0 gives each one "
		    "of its own", port);
	else if (early && port != 0)
		strbuf_printf(sb, "; another instance listens on port %u: if "
		    "that was its trouble, and they may share it: %s%u", port,
		    w->spec->conf->line == 0 ? "-p " : "port = ", port);
	else if (early && (by = finds_taken(w)) != NULL)
		put_taken(sb, w, by);
	else if (early && may_have_read_to_the_end(w))
		strbuf_printf(sb, "; if it ends at the end of its standard "
		    "input, which is /dev/null, add stdin = open%s",
		    in_file(w));
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
		worker_log_often(LOG_LEVEL_WARNING, w, "listens on port %u, which "
		    "is none of this app's listeners, and was not seen to wait "
		    "on one of those: clients may wait for ever", port);
}
