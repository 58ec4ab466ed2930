#include <string.h>

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

		if (o == w || o->pid == 0)
			continue;
		ids = inspect_begin(&o->spec->conf->creds);
		found = listening_port(o->pid, ret_port);
		inspect_end(&ids);
	}
	crew->port_hinted = found;
	return found;
}

/*
 * Whether it has read the end of its standard input nobody tells. Most that end
 * well and at once, without a listener, have: shells, REPLs, relays.
 */
static bool
may_have_read_to_the_end(struct worker *w)
{
	struct crew *crew = w->crew;

	if (w->spec->conf->in != CONF_STDIN_NULL || crew->stdin_hinted ||
	    w->status.signalled || w->status.code != 0 || w->fsm.unwanted ||
	    w->spec->conf->restart != CONF_RESTART_ALWAYS)
		return false;
	crew->stdin_hinted = true;
	return true;
}

/* The words of its command tell it of the descriptor. */
static bool
is_told_by_words(const struct conf_app *conf)
{
	for (size_t i = 0; i < conf->command.n; i++)
		if (strstr(conf->command.v[i], "{fd}") != NULL)
			return true;
	return false;
}

bool
hint_is_unbound(const struct worker *w)
{
	const struct conf_app *conf = w->spec->conf;

	return !is_told_by_words(conf) && w->trapped && w->bound == 0 &&
	    conf->handoff == CONF_HANDOFF_AUTO && !conf_app_announces(conf);
}

/* It may be that it has looked for a descriptor, and for nothing else. */
static bool
has_looked_in_vain(const struct worker *w, bool timed_out)
{
	return hint_is_unbound(w) && (timed_out ||
	    (w->fsm.state == WORKER_STARTING && !w->status.signalled)) &&
	    app_spec_note_unbound(w->spec);
}

void
hint_put(struct strbuf *sb, struct worker *w, struct orphans *orphans,
    bool timed_out)
{
	bool early = mono_ms_between(w->fsm.executed, mono_now()) < START_MS;
	uint16_t port;

	if (early && has_daemonized(orphans, w))
		strbuf_puts(sb, "; it left processes behind: if it puts itself "
		    "into the background, run it in the foreground");
	else if (has_looked_in_vain(w, timed_out))
		strbuf_printf(sb, "; it never bound %s: if it looks for "
		    "LISTEN_FDS, add handoff = env; for another protocol see "
		    "fd_protocol (said once)",
		    address_text(&w->spec->bound[0]).s);
	else if (early && sibling_listens(w, &port))
		strbuf_printf(sb, "; another instance listens on port %u: if "
		    "that was its trouble, add port = %u", port, port);
	else if (may_have_read_to_the_end(w))
		strbuf_puts(sb, "; if it ends at the end of its standard "
		    "input, which is /dev/null, add stdin = open");
}
