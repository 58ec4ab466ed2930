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

bool
adopt_holds_inode(const struct worker *w, uint64_t ino)
{
	struct fsids ids = inspect_begin(&w->spec->conf->creds);
	bool held = waiting_holds(w->pid, ino, FD_PROTOCOL_FIRST,
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

	if (lane == NULL)
		return false;
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
	if (kept == 0)
		return false;
	ids = inspect_begin(&w->spec->conf->creds);
	waits = waiting_look(w->pid, inos, kept) == WAITING_YES;
	inspect_end(&ids);
	return waits;
}
