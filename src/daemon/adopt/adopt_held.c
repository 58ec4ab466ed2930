#include <stddef.h>

#include "core/conf/conf.h"
#include "core/worker/fd_protocol.h"
#include "daemon/adopt/adopt_held.h"
#include "daemon/adopt/trap_priv.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/watch/orphans_look.h"
#include "daemon/workers/worker.h"
#include "linux/process/inspect.h"
#include "linux/process/waiting.h"

int
adopt_n_given(const struct worker *w)
{
	const struct conf_app *conf = w->spec->conf;

	return w->trap->low || conf->handoff == CONF_HANDOFF_ADOPT ? 0 :
	    (int)conf->n_listens;
}

/* It has copies of all that we have: nothing is to be seen by them, and to look
   waits until it has executed. */
static bool
is_to_execute(const struct worker *w)
{
	return w->fsm.state == WORKER_EXECING;
}

bool
adopt_holds_inode(const struct worker *w, uint64_t ino)
{
	struct fsids ids;
	bool held;

	if (is_to_execute(w))
		return true;
	ids = inspect_begin(&w->spec->conf->creds);
	held = waiting_holds(w->pid, ino, FD_PROTOCOL_FIRST,
	    adopt_n_given(w));
	inspect_end(&ids);
	return held;
}

bool
adopt_is_escaped(struct orphans *o, const struct worker *w, uint64_t ino)
{
	return orphans_look_holds(o, &w->spec->conf->creds, ino,
	    FD_PROTOCOL_FIRST, adopt_n_given(w));
}

bool
adopt_holds(const struct worker *w, struct listener *l)
{
	const struct lane *lane = spec_lanes_find(w->spec, l, &w->holder);

	return lane != NULL && adopt_holds_inode(w, lane->ino);
}

bool
adopt_waits(const struct worker *w, struct listener *l)
{
	const struct lane *lane = spec_lanes_find(w->spec, l, &w->holder);
	struct fsids ids;
	bool waits;

	if (lane == NULL || is_to_execute(w))
		return lane != NULL;
	ids = inspect_begin(&w->spec->conf->creds);
	waits = waiting_look(w->pid, &lane->ino, 1) != WAITING_NO;
	inspect_end(&ids);
	return waits;
}

bool
adopt_waits_but_for(const struct worker *w, struct listener *l)
{
	const struct lane *own = spec_lanes_find(w->spec, l, &w->holder);
	uint64_t inos[2 * CONF_LISTENS_MAX];
	size_t n = spec_lanes_inodes(w->spec, &w->holder, inos,
	    2 * CONF_LISTENS_MAX), kept = 0;
	struct fsids ids;
	bool waits;

	for (size_t i = 0; i < n; i++)
		if (own == NULL || inos[i] != own->ino)
			inos[kept++] = inos[i];
	if (kept == 0 || is_to_execute(w))
		return false;
	ids = inspect_begin(&w->spec->conf->creds);
	waits = waiting_look(w->pid, inos, kept) == WAITING_YES;
	inspect_end(&ids);
	return waits;
}
