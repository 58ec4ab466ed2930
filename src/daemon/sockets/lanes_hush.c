#include "daemon/sockets/lanes_hush.h"
#include "daemon/sockets/listener.h"
#include "linux/socket/socket.h"
#include "linux/socket/socket_filter.h"

/* SYNs are dropped; or, beside a filter of the server's, everything. Children
   would inherit it, but there are none. */
int
lanes_hush(const struct lane *lane, bool on)
{
	int code;

	if (lane->fd < 0)
		return 0;
	if (lane->listener->bound.kind == ADDRESS_UDP)
		return socket_ignore_datagrams(lane->fd, on);
	code = socket_ignore_syns(lane->fd, on);
	return code < 0 ? socket_ignore_all(lane->fd, on) : code;
}

/* By filters of its lanes? */
static bool
hears_nobody(const struct listener *l)
{
	return l->quiet || (l->door_filter && !l->refuses &&
	    !l->lanes.known_alone && listener_deaf_lane(l) == NULL);
}

void
lanes_hush_again(const struct lane *lane)
{
	const struct listener *l = lane->listener;

	if (l->bound.kind == ADDRESS_UNIX)
		return;
	if (hears_nobody(l))
		(void)lanes_hush(lane, true);
	if (l->refuses && lane->fd >= 0)
		(void)socket_refuse_new(lane->fd);
}
