/* Why a worker that ran was replaced by clusterd itself. Pure. */
#ifndef CORE_HEALTH_RECYCLE_H
#define CORE_HEALTH_RECYCLE_H

enum recycle_cause {
	RECYCLE_UNHEALTHY,	/* its checks failed */
	RECYCLE_CAUSES
};

/* "unhealthy": part of the protocol. */
const char *recycle_cause_name(enum recycle_cause cause);

#endif
