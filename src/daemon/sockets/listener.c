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
listener_tell(struct listener *l)
{
	if (l->all != NULL && l->all->tell != NULL)
		l->all->tell(l->all->tell_ctx, l);
}

struct lane *
listener_deaf_lane(const struct listener *l)
{
	for (size_t i = 0; i < l->lanes.n; i++)
		if (l->lanes.v[i]->deaf)
			return l->lanes.v[i];
	return NULL;
}

bool
lane_is_free(const struct lane *lane)
{
	return lane->holder == NULL && lane->held_by == 0 && lane->fd >= 0 &&
	    !lane->deaf && lane != lane->listener->lanes.waiting &&
	    lane != lane->listener->lanes.common;
}

const char *
listener_scheme(const struct listener *l)
{
	return l->bound.kind == ADDRESS_UDP ? "udp:" :
	    l->bound.kind == ADDRESS_UNIX ? "unix:" : "";
}
