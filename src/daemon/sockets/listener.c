#include "daemon/sockets/listener.h"

struct lane *
listener_first_lane(const struct listener *l)
{
	return l->lanes.v[0];
}

bool
listener_is_open(const struct listener *l)
{
	return listener_first_lane(l)->fd >= 0;
}

bool
listener_is_own_tcp(const struct listener *l)
{
	return l->bound.kind == ADDRESS_TCP && !l->inherited;
}

void
listener_tell(const struct listener *l)
{
	if (l->all != NULL && l->all->tell != NULL)
		l->all->tell(l->all->tell_ctx);
}

bool
lane_is_free(const struct lane *lane)
{
	return lane->holder == NULL && lane->fd >= 0 &&
	    lane != lane->listener->lanes.common;
}
