#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "core/sockets/lane_name.h"
#include "core/sockets/lane_order.h"
#include "daemon/sockets/lanes_hush.h"
#include "daemon/sockets/lanes_program.h"
#include "daemon/sockets/listener.h"
#include "daemon/sockets/listener_keep.h"
#include "linux/child/fd_store.h"

bool
listener_is_to_be_kept(const struct listener *l)
{
	const struct listeners *ls = l->all;

	return ls != NULL && ls->stops && ls->store != NULL &&
	    fd_store_is_there(ls->store) && listener_is_open(l) &&
	    l->listening && !l->inherited && !l->door_closed && !l->refuses &&
	    !l->forsaken && !l->quiet && !l->dead;
}

/* One that outlives us is to go by nothing of ours. */
static int
choose_without_us(struct listener *l)
{
	struct error err = ERROR_INIT;
	int code = 0;

	if (l->lanes.ebpf != NULL || l->lanes.flows != NULL)
		code = lanes_program_set_balance(l, BALANCE_RANDOM, &err);
	if (code < 0)
		log_app(LOG_LEVEL_WARNING, l->app, "%s is not kept for the "
		    "next start: %s", address_text_numeric(&l->bound).s,
		    error_text(&err));
	error_clear(&err);
	return code;
}

static uint64_t
place_of(const struct lane *lane)
{
	const struct lane_order *order = &lane->listener->lanes.order;
	size_t place = lane_order_find(order, lane->slot);

	return order->doubts > 0 || place == LANE_ORDER_NONE ? 0 : place + 1;
}

static int
put(const struct lane *lane)
{
	const struct listener *l = lane->listener;
	struct lane_name name = {
		.position = (uint32_t)l->position,
		.instance = l->instance,
		.listener = l->serial,
		.joined = place_of(lane),
		.live = lane->live,
		.derived = l->derived,
		.beside = l->beside,
		.is_unix = l->bound.kind == ADDRESS_UNIX,
		.written = l->address,
	};
	char text[LANE_NAME_SIZE];
	int code;

	snprintf(name.app, sizeof(name.app), "%s", l->app);
	code = lane_name_put(&name, text);
	return code < 0 ? code : fd_store_put(l->all->store, text, lane->fd);
}

/* First of all those to whom everybody comes. Returns how many were taken. */
static size_t
put_all(struct listener *l, bool live, int *code)
{
	size_t n = 0;

	for (size_t i = 0; i < l->lanes.n; i++) {
		struct lane *lane = l->lanes.v[i];

		if (lane->fd < 0 || !lane->listening || lane->deaf ||
		    lane->live != live)
			continue;
		lanes_unseal(lane);
		*code = *code == 0 ? put(lane) : *code;
		n += *code == 0;
	}
	return n;
}

static void
tell(struct listener *l, size_t n, int code)
{
	const struct address_text where = address_text_numeric(&l->bound);

	if (n > 0)
		log_app_often(LOG_LEVEL_INFO, l->app, "%s%s is kept for the "
		    "next start", listener_scheme(l), where.s);
	if (code == 0 || l->all->told_store)
		return;
	l->all->told_store = true;
	log_app(LOG_LEVEL_WARNING, l->app, "the supervisor above does not keep "
	    "all sockets: %s; who waits in the others is lost",
	    code == -ENOSPC ? "there are more than FileDescriptorStoreMax" :
	    strerror(-code));
}

bool
listener_keep(struct listener *l)
{
	int code = 0;
	size_t n;

	if (!listener_is_to_be_kept(l) || choose_without_us(l) < 0)
		return false;
	n = put_all(l, true, &code);
	n += put_all(l, false, &code);
	tell(l, n, code);
	return n > 0;
}
