#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "daemon/adopt/adopt_ask.h"
#include "daemon/adopt/adopt_wish.h"
#include "daemon/adopt/trap_priv.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/lanes_hush.h"
#include "daemon/sockets/listener.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/steer/steer.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/socket/socket.h"
#include "linux/socket/socket_close.h"
#include "linux/socket/socket_inherit.h"

struct wish {
	uint64_t ino;		/* of the lane */
	int copy;		/* of the socket; -1: there was none */
	bool nonblocking;
	bool done;
	struct wish *next;
};

static struct wish *
find(const struct worker *w, uint64_t ino)
{
	struct wish *x = w->trap->wishes;

	while (x != NULL && x->ino != ino)
		x = x->next;
	return x;
}

/* ---- what cannot be carried over ---- */

/* Once for each option of an app. */
static void
tell_lost(void *ctx, unsigned option, const char *name, int code)
{
	struct worker *w = ctx;
	uint64_t *told = &w->crew->options_told[option / 64];
	uint64_t bit = UINT64_C(1) << (option % 64);

	if ((*told & bit) != 0)
		return;
	*told |= bit;
	worker_log(LOG_LEVEL_WARNING, w, "has set %s on its socket, and that "
	    "cannot be carried over to the listener: %s (said once)", name,
	    strerror(-code));
}

/* What the file says wins. */
static void
inherit(struct worker *w, int copy, struct lane *lane)
{
	const char *what;

	socket_inherit_options(copy, lane->fd, tell_lost, w);
	(void)socket_set_options(lane->fd, &lane->listener->bound.options,
	    false, &what);
	lanes_hush_again(lane);
}

/* ---- for later ---- */

/* For want of memory the lane stays as it is. */
static void
note(const struct ask *a, const struct lane *lane, bool nonblocking)
{
	struct wish *x = find(a->w, lane->ino);

	if (x == NULL) {
		x = calloc(1, sizeof(*x));
		if (x == NULL)
			return;
		x->ino = lane->ino;
		x->next = a->w->trap->wishes;
		a->w->trap->wishes = x;
	} else {
		socket_close(&x->copy);
	}
	x->copy = a->copy < 0 ? -1 : fcntl(a->copy, F_DUPFD_CLOEXEC, 0);
	x->nonblocking = nonblocking;
	x->done = false;
}

/*
 * O_NONBLOCK is everybody's, and an event loop whose socket blocks all of a
 * sudden stands still in accept(2): it is not cleared unless nobody has the
 * lane. One of the same program may bind as this one does and set it later.
 */
void
wish_make(const struct ask *a, struct lane *lane)
{
	bool on = (a->flags & O_NONBLOCK) != 0;
	enum steer_use use = steer_use_of(lane, a->w);

	if (use == STEER_USE_OTHERS || (use == STEER_USE_KIN && on &&
	    !socket_is_nonblocking(lane->fd))) {
		note(a, lane, on);
		return;
	}
	if (a->copy >= 0)
		inherit(a->w, a->copy, lane);
	if (on || use == STEER_USE_NONE)
		socket_set_nonblocking(lane->fd, on);
}

/* Does everybody who has the lane wish for the same? Who has it from a process
   of another kind has no wish. */
static bool
all_wish(const struct listener *l, const struct wish *x,
    const struct workers *all)
{
	for (const struct crew *c = all->crews; c != NULL; c = c->next)
		for (const struct worker *w = c->workers; w != NULL;
		    w = w->next) {
			const struct wish *other = find(w, x->ino);

			if (w->pid != 0 && app_spec_has(w->spec, l) &&
			    spec_lanes_shared(w->spec, l) && (other == NULL ||
			    other->nonblocking != x->nonblocking))
				return false;
		}
	return true;
}

bool
wish_pending(const struct worker *w)
{
	for (const struct wish *x = w->trap->wishes; x != NULL; x = x->next)
		if (!x->done)
			return true;
	return false;
}

void
wish_try(struct worker *w)
{
	for (struct wish *x = w->trap->wishes; x != NULL; x = x->next) {
		const struct listener *l = x->done ? NULL :
		    app_spec_find_lane(w->spec, x->ino);

		if (l == NULL || !all_wish(l, x, w->crew->all))
			continue;
		if (x->copy >= 0)
			inherit(w, x->copy, lanes_find_inode(l, x->ino));
		if (x->nonblocking)
			socket_set_nonblocking(
			    lanes_find_inode(l, x->ino)->fd, true);
		socket_close(&x->copy);
		x->done = true;
	}
}

void
wish_forget(struct worker *w)
{
	while (w->trap->wishes != NULL) {
		struct wish *x = w->trap->wishes;

		w->trap->wishes = x->next;
		socket_close(&x->copy);
		free(x);
	}
}
