/*
 * Looks into other processes that were not answered in time (linux/process/looker):
 * when one is, those who wait for it look again at once.
 */
#ifndef DAEMON_LATE_LOOKS_H
#define DAEMON_LATE_LOOKS_H

#include "linux/loop/loop.h"

struct adopt;
struct drainers;
struct orphans;
struct readiness;

struct late_looks {
	loop_handle handle;
	struct adopt *adopt;
	struct readiness *readiness;
	struct drainers *drainers;
	struct orphans *orphans;
};

/* From now on there is a child that looks, and it is heard of what comes late, until
   looker_end(); by those who are initialised. Where that cannot be, they look again
   after a while, as they do in any case. */
void late_looks_begin(struct late_looks *late, struct loop *loop,
    struct adopt *adopt, struct readiness *readiness,
    struct drainers *drainers, struct orphans *orphans);

#endif
