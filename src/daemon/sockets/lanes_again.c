#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/ledger/ledger_records.h"
#include "daemon/sockets/lanes_again.h"
#include "daemon/sockets/lanes_hush.h"
#include "daemon/sockets/lanes_list.h"
#include "daemon/sockets/lanes_news.h"
#include "daemon/sockets/lanes_program.h"
#include "daemon/sockets/lanes_sockets.h"
#include "daemon/sockets/listener.h"
#include "linux/socket/socket.h"

int
lanes_again_add(struct listener *l, const struct ledger_lane *r,
    uint32_t record)
{
	struct lane *lane = l->lanes.v[0]->fd < 0 ? l->lanes.v[0] :
	    lanes_list_add(l);

	if (lane == NULL)
		return -ENOMEM;
	lane->record = record;
	lane->fd = r->fd;
	lane->ino = lane->had = r->ino;
	lane->joined = r->joined;
	lane->deaf = (r->flags & LEDGER_DEAF) != 0;
	/* As it was meant to be; lanes_again_begin() sees how it is. */
	lane->listening = (r->flags & LEDGER_LISTENING) != 0;
	lane->live = (r->flags & LEDGER_LIVE) != 0;
	lane->sealed = (r->flags & LEDGER_SEALED) != 0;
	lane->hushed = (r->flags & LEDGER_HEARS) == 0;
	lane->held_by = r->holder;
	lane->claimed = r->claimed;
	if ((r->flags & LEDGER_COMMON) != 0)
		l->lanes.common = lane;
	return 0;
}

/* ---- who is in the group, and in which order ---- */

static bool
listens(const struct lane *lane)
{
	return lane->listener->bound.kind == ADDRESS_UDP ||
	    socket_is_listening(lane->fd);
}

/* By when they joined; those of whom that is not known, which had just done so, are
   the last. */
static int
compare(const void *a, const void *b)
{
	const struct lane *x = *(struct lane *const *)a;
	const struct lane *y = *(struct lane *const *)b;

	if (x->joined == y->joined)
		return x->slot < y->slot ? -1 : x->slot > y->slot;
	if (x->joined == 0 || y->joined == 0)
		return x->joined == 0 ? 1 : -1;
	return x->joined < y->joined ? -1 : 1;
}

/* Of `n` that are there no other has ever been: nobody has left, which would have
   brought another one to his place. */
static bool
is_sure(struct lane *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v[i]->joined != i + 1 ||
		    (listener_is_own_tcp(v[i]->listener) && !v[i]->noted))
			return false;
	return true;
}

static void
note_group(struct listener *l, struct lane **v)
{
	size_t n = 0;
	bool sure;

	for (size_t i = 0; i < l->lanes.n; i++)
		if (l->lanes.v[i]->listening)
			v[n++] = l->lanes.v[i];
	if (n > 0)
		qsort(v, n, sizeof(*v), compare);
	sure = is_sure(v, n);
	for (size_t i = 0; i < n; i++) {
		if (lanes_program_reserve(l) < 0) {
			v[i]->listening = false;
			continue;
		}
		lanes_program_found_again(v[i]);
		lanes_news_watch_later(v[i]);
	}
	lanes_program_take_over(l, sure);
}

/* ---- as they are ---- */

/* Of TCP it is known whether it was meant to. */
static void
see(struct lane *lane)
{
	struct listener *l = lane->listener;
	bool was = lane->listening;

	if (!listener_is_own_tcp(l)) {
		lane->listening = listens(lane);
		l->listening |= lane->listening;
		return;
	}
	/* It may have been about to cease (socket_hold_handshakes()). */
	lane->listening = socket_set_backlog(lane->fd, l->backlog);
	lane->noted = lane->listening && socket_has_note(lane->fd);
	lane->broken = !was && !lane->listening;
	l->listening |= was || lane->listening;
}

static void
open_ears(struct lane *lane)
{
	const struct listener *l = lane->listener;

	/* As it was, but that whoever is sealed is to be heard. */
	if (l->refuses) {
		lanes_unseal(lane);
		return;
	}
	if (lane->deaf)
		lanes_sockets_undeafen(lane);
	if (lane->sealed && l->lanes.n > 1) {
		lanes_seal_again(lane);
		return;
	}
	if (l->bound.kind != ADDRESS_UNIX && !l->inherited &&
	    (lane->hushed || lane->sealed))
		(void)lanes_hush(lane, false);
	/* It was noted before it was done. */
	lanes_unseal(lane);
}

void
lanes_again_begin(struct listener *l)
{
	struct lane **v = reallocarray(NULL, l->lanes.n,
	    sizeof(struct lane *));

	for (size_t i = 0; i < l->lanes.n; i++)
		see(l->lanes.v[i]);
	for (size_t i = 0; i < l->lanes.n; i++) {
		/* Of those that do not listen: one that was to, somebody has
		   shut down since. One that was not to, of a listener that
		   does, is one that refuses: another socket takes its place. */
		l->lanes.v[i]->broken &= l->listening;
		open_ears(l->lanes.v[i]);
	}
	if (v != NULL)
		note_group(l, v);
	free(v);
}

void
lanes_again_listen(struct listener *l)
{
	bool shut = false;

	if (!listener_is_own_tcp(l) || !l->listening)
		return;
	for (size_t i = 0; i < l->lanes.n; i++)
		shut |= !l->lanes.v[i]->listening && !l->lanes.v[i]->broken;
	if (shut)
		(void)lanes_sockets_start(l);
}
