#include <stddef.h>

#include "core/conf/conf.h"
#include "core/worker/fd_protocol.h"
#include "daemon/adopt/adopt_held.h"
#include "daemon/adopt/trap_priv.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/watch/look_at.h"
#include "daemon/watch/orphans_look.h"
#include "daemon/workers/worker.h"
#include "linux/process/looks.h"

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
	const struct looker_whom whom = look_at_whom(w);

	return look_holds(&whom, w->pid, ino, FD_PROTOCOL_FIRST,
	    adopt_n_given(w)) != 0;
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
	const struct looker_whom whom = look_at_whom(w);
	int code;

	return lane != NULL &&
	    look_waiting(&whom, &lane->ino, 1, LOOK_WAIT, &code) != WAITING_NO;
}
