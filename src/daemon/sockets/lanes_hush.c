#include "base/mono.h"
#include "daemon/sockets/lanes_hush.h"
#include "daemon/sockets/listener.h"
#include "daemon/sockets/listener_ledger.h"
#include "linux/socket/socket.h"
#include "linux/socket/socket_filter.h"

/* The ledger has it from before it is until after it was: the next supervisor asks
   of these alone. */
static void
note_hushed(struct lane *lane, bool hushed)
{
	bool was = lane->hushed;

	lane->hushed = hushed;
	if (was != hushed)
		listener_ledger_lane(lane);
}

/* SYNs are dropped; or, beside a filter of the server's, everything. Children
   would inherit it, but there are none. */
static int
hush(const struct lane *lane, bool on)
{
	int code;

	if (lane->listener->bound.kind == ADDRESS_UDP)
		return socket_ignore_datagrams(lane->fd, on);
	code = socket_ignore_syns(lane->fd, on);
	return code < 0 ? socket_ignore_all(lane->fd, on) : code;
}

int
lanes_hush(struct lane *lane, bool on)
{
	int code;

	if (lane->fd < 0)
		return 0;
	if (on)
		note_hushed(lane, true);
	code = hush(lane, on);
	/* Of most there was nothing. */
	if (!on)
		note_hushed(lane, false);
	return code;
}

int
lanes_hush_by_filter(struct lane *lane)
{
	if (lane->fd < 0)
		return 0;
	note_hushed(lane, true);
	return lane->listener->bound.kind == ADDRESS_UDP ?
	    socket_ignore_datagrams(lane->fd, true) :
	    socket_ignore_syns(lane->fd, true);
}

/* By filters of its lanes? */
static bool
hears_nobody(const struct listener *l)
{
	return l->quiet || (l->door_filter && !l->refuses &&
	    !l->lanes.known_alone && listener_deaf_lane(l) == NULL);
}

void
lanes_hush_again(struct lane *lane)
{
	const struct listener *l = lane->listener;

	if (l->bound.kind == ADDRESS_UNIX)
		return;
	if (hears_nobody(l))
		(void)lanes_hush(lane, true);
	if (l->refuses && lane->fd >= 0)
		(void)socket_refuse_new(lane->fd);
}

/* The ledger has it as long as it may be: the next supervisor is to know. */
static void
note(struct lane *lane, bool sealed)
{
	bool was = lane->sealed;

	lane->sealed = sealed;
	if (was != sealed)
		listener_ledger_lane(lane);
}

int
lanes_seal(struct lane *lane)
{
	int code;

	note(lane, true);
	code = socket_ignore_segments(lane->fd, true);
	if (code < 0)
		code = socket_ignore_all(lane->fd, true);
	if (code < 0)
		note(lane, false);
	else
		lane->sealed_until = mono_add_ms(mono_now(), LANE_SEALED_MS);
	return code;
}

void
lanes_seal_again(struct lane *lane)
{
	lane->sealed_until = mono_add_ms(mono_now(), LANE_SEALED_MS);
	/* The seal may lie beside it. */
	(void)socket_ignore_syns(lane->fd, false);
}

void
lanes_unseal(struct lane *lane)
{
	if (!lane->sealed)
		return;
	if (lane->fd >= 0 && socket_ignore_segments(lane->fd, false) < 0)
		(void)socket_ignore_all(lane->fd, false);
	note(lane, false);
	if (lane->fd < 0)
		return;
	/* It may have been hushed by the same. */
	lanes_hush_again(lane);
}
