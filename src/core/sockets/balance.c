#include <assert.h>

#include "core/sockets/balance.h"

enum balance
balance_choose(enum conf_balance asked, enum address_kind kind, bool can_count,
    enum balance_accepts accepts)
{
	enum balance b = BALANCE_SHARED;

	switch (asked) {
	case CONF_BALANCE_AUTO:
		if (can_count)
			b = BALANCE_LEAST_CONNECTIONS;
		else if (accepts != BALANCE_ACCEPTS_BLOCKING ||
		    kind == ADDRESS_UDP)
			b = BALANCE_RANDOM;
		break;
	case CONF_BALANCE_SHARED:
		break;
	case CONF_BALANCE_ROUND_ROBIN:
		b = BALANCE_ROUND_ROBIN;
		break;
	case CONF_BALANCE_LEAST_CONNECTIONS:
		b = BALANCE_LEAST_CONNECTIONS;
		break;
	case CONF_BALANCE_RANDOM:
		b = BALANCE_RANDOM;
		break;
	case CONF_BALANCE_SOURCE:
		b = BALANCE_SOURCE;
		break;
	}
	/* Unix sockets have no SO_REUSEPORT. Of a UDP flow no datagram tells
	   that it is the first one, so its lane has to follow from it. */
	if (kind == ADDRESS_UNIX)
		return BALANCE_SHARED;
	if (kind == ADDRESS_UDP && b != BALANCE_SHARED && b != BALANCE_SOURCE)
		return BALANCE_FLOW;
	return b;
}

bool
balance_is_open(const struct conf_app *app, bool can_count,
    enum balance_accepts accepts)
{
	return app->balance == CONF_BALANCE_AUTO && !can_count &&
	    app->handoff != CONF_HANDOFF_ENV &&
	    accepts == BALANCE_ACCEPTS_UNKNOWN;
}

bool
balance_is_privileged(enum balance b)
{
	return b == BALANCE_ROUND_ROBIN || b == BALANCE_LEAST_CONNECTIONS;
}

static const char *const names[] = {
	[BALANCE_SHARED] = "shared",
	[BALANCE_ROUND_ROBIN] = "round-robin",
	[BALANCE_LEAST_CONNECTIONS] = "least-connections",
	[BALANCE_RANDOM] = "random",
	[BALANCE_SOURCE] = "source",
	[BALANCE_FLOW] = "flow",
};
static_assert(sizeof(names) / sizeof(*names) == BALANCE_FLOW + 1,
    "a balance has no name");

const char *
balance_name(enum balance b)
{
	return names[b];
}
