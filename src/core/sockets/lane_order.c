#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "core/sockets/lane_order.h"

int
lane_order_reserve(struct lane_order *o)
{
	size_t room = o->room == 0 ? 8 : 2 * o->room;
	unsigned *v;

	if (o->n < o->room)
		return 0;
	v = reallocarray(o->v, room, sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	o->v = v;
	o->room = room;
	return 0;
}

void
lane_order_add(struct lane_order *o, unsigned slot)
{
	assert(o->n < o->room);
	o->v[o->n++] = slot;
}

size_t
lane_order_find(const struct lane_order *o, unsigned slot)
{
	for (size_t i = 0; i < o->n; i++)
		if (o->v[i] == slot)
			return i;
	return LANE_ORDER_NONE;
}

void
lane_order_remove(struct lane_order *o, unsigned slot)
{
	size_t i = lane_order_find(o, slot);

	if (i != LANE_ORDER_NONE)
		o->v[i] = o->v[--o->n];
}

void
lane_order_free(struct lane_order *o)
{
	free(o->v);
	*o = (struct lane_order)LANE_ORDER_INIT;
}
