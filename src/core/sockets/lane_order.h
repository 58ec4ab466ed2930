/*
 * The order in which the kernel keeps the listening sockets of a reuseport
 * group, which is what a classic BPF program's result is a position in. It is
 * kept here too, by the kernel's own rules (net/core/sock_reuseport.c): who
 * begins to listen comes last, and into the place of who ceases to comes the
 * last one.
 *
 * What cannot be known is not believed. Where it is not known in which order
 * things happened, the places that depend on it are in doubt: those lanes are
 * in those places, but which is where is a guess. How many there are is always
 * known, so that who begins to listen has a sure place. A doubt that is left
 * with a single lane is none. Pure.
 */
#ifndef CORE_SOCKETS_LANE_ORDER_H
#define CORE_SOCKETS_LANE_ORDER_H

#include <stdbool.h>
#include <stddef.h>

struct lane_place {
	unsigned slot;		/* the lane's */
	bool doubt;		/* of which one of those in doubt it is */
	bool leaving;		/* lane_order_mark() … */
	bool changes;		/* … and who may come here, in its course */
};

struct lane_order {
	struct lane_place *v;	/* by position */
	size_t n;
	size_t room;
	size_t doubts;		/* places in doubt; never one */
};

#define LANE_ORDER_INIT { .v = NULL }
#define LANE_ORDER_NONE ((size_t)-1)

/* Room for one more, so that lane_order_add() cannot fail. -ENOMEM. */
int lane_order_reserve(struct lane_order *order);

/* It begins to listen; is not there yet, and room was reserved. */
void lane_order_add(struct lane_order *order, unsigned slot);

/* It ceases to, or never did; it alone, or it is known that it is next. */
void lane_order_remove(struct lane_order *order, unsigned slot);

/*
 * Several cease to, in an order that nobody knows: first each is marked, then
 * they go. `joined`: nor is it known when, of all these, the last one came.
 */
void lane_order_mark(struct lane_order *order, unsigned slot);
void lane_order_remove_marked(struct lane_order *order, bool joined);

/* It may have ceased to and begun again a moment ago; or everything is in
   doubt. */
void lane_order_doubt(struct lane_order *order, unsigned slot);
void lane_order_doubt_all(struct lane_order *order);

/* In this place, which is in doubt, it is, which is too: no doubt. */
void lane_order_found(struct lane_order *order, size_t place, unsigned slot);

/* The position of a lane, or its guess, or LANE_ORDER_NONE. */
size_t lane_order_find(const struct lane_order *order, unsigned slot);

void lane_order_free(struct lane_order *order);

#endif
