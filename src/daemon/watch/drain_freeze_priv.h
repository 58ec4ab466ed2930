/*
 * One that shares its lane, and is to be looked at in a moment in which it gets
 * nothing more: it stands still (SIGSTOP) until it is stopped, or goes on.
 */
#ifndef DAEMON_WATCH_DRAIN_FREEZE_PRIV_H
#define DAEMON_WATCH_DRAIN_FREEZE_PRIV_H

#include <stdbool.h>

#include "base/mono.h"

struct drainage;

/* One at a time. */
struct drain_freeze {
	struct drainage *who;	/* or NULL */
};

/* It drains from now on, and was not frozen for that yet. */
void drain_freeze_reset(struct drainage *x);

/* Nobody else is. Look when this returns; … */
struct mono drain_freeze_begin(struct drain_freeze *f, struct drainage *x);

/* … and, as long as it does not stand still or the look goes on, again then. */
struct mono drain_freeze_again(void);

bool drain_freeze_is(const struct drain_freeze *f, const struct drainage *x);

/* Has it been frozen for as long as it may be? */
bool drain_freeze_is_over(const struct drainage *x);

/* It has come to nothing for want of time. */
void drain_freeze_be_patient(struct drainage *x);

/* It goes on. Fine for one that is not frozen. */
void drain_freeze_thaw(struct drain_freeze *f, const struct drainage *x);

/* The same, but whoever stops it sends SIGCONT behind the stop signal. */
void drain_freeze_leave(struct drain_freeze *f, const struct drainage *x);

#endif
