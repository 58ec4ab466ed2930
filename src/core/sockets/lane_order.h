/*
 * The order in which the kernel keeps the listening sockets of a reuseport
 * group, which is what a classic BPF program's result is a position in. It
 * cannot be asked for, so it is kept here too, by the kernel's own rules
 * (net/core/sock_reuseport.c): who begins to listen comes last, and into the
 * place of who ceases to comes the last one. Pure.
 */
#ifndef CORE_SOCKETS_LANE_ORDER_H
#define CORE_SOCKETS_LANE_ORDER_H

#include <stddef.h>

struct lane_order {
	unsigned *v;	/* by position: the lane's slot */
	size_t n;
	size_t room;
};

#define LANE_ORDER_INIT { .v = NULL }
#define LANE_ORDER_NONE ((size_t)-1)

/* Room for one more, so that lane_order_add() cannot fail. -ENOMEM. */
int lane_order_reserve(struct lane_order *order);

/* It begins to listen; is not there yet, and room was reserved. */
void lane_order_add(struct lane_order *order, unsigned slot);

/* It ceases to, or never did. */
void lane_order_remove(struct lane_order *order, unsigned slot);

/* The position of a lane, or LANE_ORDER_NONE. */
size_t lane_order_find(const struct lane_order *order, unsigned slot);

void lane_order_free(struct lane_order *order);

#endif
