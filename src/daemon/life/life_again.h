/*
 * Workers that a supervisor before has left, and that stand in the ledger: they
 * serve on, and are this one's from now on.
 */
#ifndef DAEMON_LIFE_LIFE_AGAIN_H
#define DAEMON_LIFE_LIFE_AGAIN_H

#include <stddef.h>

struct app_spec;
struct crew;
struct descriptors;
struct ledger;
struct ledger_worker;
struct life;
struct worker;

/*
 * From now on workers stand in the ledger, and outlive us. Those that do already are
 * looked at: their descriptors are taken from what is `left`. One that is not
 * there any more is forgotten; one of which nobody knows whether its program was
 * executed is killed.
 */
void life_look_back(struct life *life, struct ledger *ledger,
    struct descriptors *left);

/* One of that app that nobody has taken yet, the oldest first; NULL: none. */
const struct ledger_worker *life_next_left(const struct life *life,
    const char *app);

/* It is the crew's, under that spec, as it was; in the crew's list. NULL: no
   memory, and it is killed. */
struct worker *worker_take_over(struct life *life, struct crew *crew,
    struct app_spec *spec, const struct ledger_worker *left);

/* It has its seat, or none: what it has missed meanwhile is made up for. */
void worker_go_on(struct worker *worker);

/* It will be nobody's: it is killed. */
void life_dismiss(struct life *life, const struct ledger_worker *left);

/* All are taken that will be: the others are killed. Returns how many were
   taken. */
size_t life_look_back_end(struct life *life);

/* Nothing has begun: what is known of them is forgotten. Again is no harm. */
void life_look_back_give_up(struct life *life);

#endif
