#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "core/sockets/lane_order.h"

int
lane_order_reserve(struct lane_order *o)
{
	size_t room = o->room == 0 ? 8 : 2 * o->room;
	struct lane_place *v;

	if (o->n < o->room)
		return 0;
	v = reallocarray(o->v, room, sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	o->v = v;
	o->room = room;
	return 0;
}

/* Of one place and one lane that are in doubt there is none. */
static void
count_doubts(struct lane_order *o)
{
	size_t last = 0;

	o->doubts = 0;
	for (size_t i = 0; i < o->n; i++)
		if (o->v[i].doubt) {
			o->doubts++;
			last = i;
		}
	if (o->doubts == 1) {
		o->v[last].doubt = false;
		o->doubts = 0;
	}
}

void
lane_order_add(struct lane_order *o, unsigned slot)
{
	assert(o->n < o->room);
	o->v[o->n++] = (struct lane_place){ .slot = slot };
}

size_t
lane_order_find(const struct lane_order *o, unsigned slot)
{
	for (size_t i = 0; i < o->n; i++)
		if (o->v[i].slot == slot)
			return i;
	return LANE_ORDER_NONE;
}

/*
 * The last one comes to where it was. If that is in doubt, so is now where the
 * last one is; if the last one is, any of them may have come.
 */
static void
take_out(struct lane_order *o, size_t i)
{
	struct lane_place last = o->v[--o->n];

	if (i == o->n)
		return;
	last.doubt = last.doubt || o->v[i].doubt;
	o->v[i] = last;
}

void
lane_order_remove(struct lane_order *o, unsigned slot)
{
	size_t i = lane_order_find(o, slot);

	if (i == LANE_ORDER_NONE)
		return;
	take_out(o, i);
	count_doubts(o);
}

void
lane_order_mark(struct lane_order *o, unsigned slot)
{
	size_t i = lane_order_find(o, slot);

	if (i != LANE_ORDER_NONE)
		o->v[i].leaving = true;
}

/*
 * Whoever is in one of the first places, as many as are left in the end, and
 * stays, is never the last one in between, and so never moves. The others come
 * to the places of those that leave from there, in each order of events
 * another one to another place. The one that joined is at the end, or has come
 * to one of those places too.
 */
void
lane_order_remove_marked(struct lane_order *o, bool joined)
{
	size_t left = 0, changes = 0;
	bool doubt = false;

	for (size_t i = 0; i < o->n; i++)
		left += !o->v[i].leaving;
	if (left == o->n)
		return;
	joined = joined && !o->v[o->n - 1].leaving;
	for (size_t i = 0; i < o->n; i++) {
		o->v[i].changes = o->v[i].leaving || (joined && i == left - 1);
		changes += i < left && o->v[i].changes;
		doubt = doubt || (o->v[i].doubt &&
		    (i >= left || o->v[i].changes));
	}
	doubt = doubt || changes > 1;
	for (size_t i = 0; i < left; i++)
		o->v[i].doubt = o->v[i].doubt || (doubt && o->v[i].changes);
	for (size_t i = 0; i < o->n;)
		if (o->v[i].leaving)
			take_out(o, i);
		else
			i++;
	count_doubts(o);
}

/*
 * If it has, the last one is where it was, and it is the last one. (Whatever
 * left since then may have made more of it: who asks the kernel finds out.)
 */
void
lane_order_doubt(struct lane_order *o, unsigned slot)
{
	size_t i = lane_order_find(o, slot);

	if (i == LANE_ORDER_NONE || o->n == 0)
		return;
	o->v[i].doubt = true;
	o->v[o->n - 1].doubt = true;
	count_doubts(o);
}

void
lane_order_doubt_all(struct lane_order *o)
{
	for (size_t i = 0; i < o->n; i++)
		o->v[i].doubt = true;
	count_doubts(o);
}

void
lane_order_found(struct lane_order *o, size_t place, unsigned slot)
{
	size_t i = lane_order_find(o, slot);

	assert(i != LANE_ORDER_NONE && o->v[i].doubt && o->v[place].doubt);
	o->v[i].slot = o->v[place].slot;
	o->v[place].slot = slot;
	o->v[place].doubt = false;
	count_doubts(o);
}

void
lane_order_free(struct lane_order *o)
{
	free(o->v);
	*o = (struct lane_order)LANE_ORDER_INIT;
}
