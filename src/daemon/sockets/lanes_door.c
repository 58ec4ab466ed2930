#include <errno.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mono.h"
#include "daemon/sockets/lanes_door.h"
#include "daemon/sockets/lanes_flows.h"
#include "daemon/sockets/lanes_hush.h"
#include "daemon/sockets/lanes_live.h"
#include "daemon/sockets/lanes_program.h"
#include "daemon/sockets/lanes_sockets.h"
#include "daemon/sockets/listener.h"
#include "linux/socket/socket.h"

int
lanes_door_refuse_new(struct listener *l)
{
	int code = listener_is_own_tcp(l) ? 0 : -EOPNOTSUPP;

	for (size_t i = 0; code == 0 && i < l->lanes.n; i++)
		if (l->lanes.v[i]->fd >= 0)
			code = socket_refuse_new(l->lanes.v[i]->fd);
	if (code == 0)
		lanes_live_nobody(l);
	return code;
}

/* Where a server has a filter of its own, that stays, and this cannot be had. */
static int
close_by_filter(const struct listener *l)
{
	int all = 0;

	for (size_t i = 0; i < l->lanes.n; i++)
		lanes_unseal(l->lanes.v[i]);
	for (size_t i = 0; i < l->lanes.n; i++) {
		int code = lanes_hush_by_filter(l->lanes.v[i]);

		if (code < 0)
			all = code;
	}
	return all;
}

static void
open_filters(const struct listener *l)
{
	for (size_t i = 0; i < l->lanes.n; i++)
		(void)lanes_hush(l->lanes.v[i], false);
}

static void
steer_to(const struct lane *lane)
{
	struct listener *l = lane->listener;

	for (size_t i = 0; i < l->lanes.n; i++)
		lanes_live_want(l->lanes.v[i], l->lanes.v[i] == lane);
	(void)lanes_live_apply(l, mono_now());
}

/* What comes is steered to a lane that hears nothing. Handshakes under way end
   where they began. */
static int
add_deaf(struct listener *l)
{
	struct error err = ERROR_INIT;
	struct lane *deaf = NULL;
	int code = lanes_sockets_add_deaf(l, &deaf, &err);

	if (code < 0)
		log_app(LOG_LEVEL_DEBUG, l->app,
		    "new clients cannot be ignored: %s", error_text(&err));
	else
		steer_to(deaf);
	error_clear(&err);
	return code;
}

/* The kernel asks a program before a filter: it would go on telling that
   datagrams come which the filter then drops. */
int
lanes_door_close(struct listener *l)
{
	int code = lanes_flows_close_door(l) ? 0 : close_by_filter(l);

	if (code == 0 || l->bound.kind == ADDRESS_UDP)
		return code;
	open_filters(l);
	return add_deaf(l);
}

/* Of a supervisor before it may be that one already. */
static struct lane *
find_waiting(const struct listener *l)
{
	struct lane *found = NULL;

	for (size_t i = 0; i < l->lanes.n; i++) {
		struct lane *lane = l->lanes.v[i];

		if (lane_is_free(lane) && lane->listening && !lane->broken &&
		    (found == NULL || (lane->live && !found->live)))
			found = lane;
	}
	return found;
}

int
lanes_door_wait(struct listener *l)
{
	struct error err = ERROR_INIT;
	struct lane *lane = find_waiting(l);
	int code = lane != NULL ? 0 : lanes_sockets_add(l, &lane, &err);

	if (code < 0) {
		log_app_often(LOG_LEVEL_WARNING, l->app, "new clients cannot wait "
		    "for the next start: %s", error_text(&err));
	} else {
		l->lanes.waiting = lane;
		steer_to(lane);
	}
	error_clear(&err);
	return code;
}

void
lanes_door_open(struct listener *l, bool in_first)
{
	struct lane *first = listener_first_lane(l);
	struct lane *deaf = listener_deaf_lane(l);

	if (lanes_flows_open_door(l))
		lanes_program_again(l);
	if (deaf == NULL) {
		open_filters(l);
		return;
	}
	lanes_sockets_undeafen(deaf);
	if (first->listening && (in_first || first->holder == NULL))
		steer_to(first);
}
