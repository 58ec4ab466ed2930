/*
 * The order of the kernel's group of a listener's lanes, which classic BPF
 * goes by: kept after what happens to the lanes, and, where that leaves a
 * doubt, asked of the kernel. Of daemon/sockets.
 */
#ifndef DAEMON_SOCKETS_LANES_ORDER_H
#define DAEMON_SOCKETS_LANES_ORDER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/mono.h"

struct lane;
struct listener;

/* Room for one more, so that _joined cannot fail. -ENOMEM. */
int lanes_order_reserve(struct listener *listener);

/* It has begun to listen, and before that lanes_order_look() was called. */
void lanes_order_joined(struct lane *lane);

/* It is not in the group any more. */
void lanes_order_left(const struct lane *lane);

/*
 * See who was shut down since the last time, whether news of it came or are
 * still to come: they have left, in an order that nobody knows. Is to be called
 * before something else happens to the group, and after. Of a large group not
 * each time: what it finds there later leaves everything in doubt. `joined`: the
 * last one came meanwhile. Returns how many have left. Who has done so and has
 * come again, unseen, is `returned`, and the listener's `order_returned`: then
 * everything is in doubt.
 */
size_t lanes_order_look(struct listener *listener, bool joined, bool large);

/* Somebody may have shut it down and listened again, unseen; or nobody knows
   when it happened. */
void lanes_order_doubt(const struct lane *lane);
void lanes_order_doubt_all(struct listener *listener);

/* Is there a doubt that the kernel is to be asked about now; or later, if not
   now? */
bool lanes_order_is_question(const struct listener *listener);
bool lanes_order_may_ask_again(const struct listener *listener);

/* When it is to be asked again, after so many questions in vain that this is not
   done at once; whatever has happened, nobody else may remind of it. MONO_NEVER:
   there is nothing to ask, or it is asked at once. */
struct mono lanes_order_ask_at(const struct listener *listener);

/*
 * There is a doubt: ask. The program that answers is attached. Some may be left,
 * of many; a failure leaves all, and is told once. Returns whether it makes
 * sense to ask again at once, since the group is another one than believed.
 */
bool lanes_order_ask(struct listener *listener);

/* The program that answers could not be attached (-errno): a failure, too. */
void lanes_order_failed(struct listener *listener, int code);

void lanes_order_free(struct listener *listener);

#endif
