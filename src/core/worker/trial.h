/*
 * Does a new worker serve? Ready is not enough to know: a runtime may wait for
 * connections long before the program accepts any. What is seen from outside is
 * the queue of its lanes: who waits there, and whether anybody was taken. Pure.
 *
 * A worker whose first client waits keeps nobody else waiting: new connections
 * avoid it until that one is taken. Once somebody was, it is trusted.
 */
#ifndef CORE_WORKER_TRIAL_H
#define CORE_WORKER_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"

/* Somebody who waits for so long in front of a worker that has taken nobody yet
   is kept waiting; less is the time of a busy machine. */
#define TRIAL_STALL_MS 50

/* Between two looks at the queue: while somebody waits, and else. */
#define TRIAL_LOOK_MS	10
#define TRIAL_IDLE_MS	25

/* What is seen of a worker's lanes at a time. */
struct trial_sight {
	uint32_t waiting;	/* connections in their queues, after … */
	uint64_t came;		/* … so many had come in all; 0: unknown */
	bool serves;		/* a connection is open that it has accepted */
};

/* What is known of a worker's process; zero-initialised. */
struct trial {
	uint64_t serial;	/* of the process; another one begins anew */
	bool waits;		/* somebody did at the last look … */
	uint32_t waiting;	/* … so many … */
	struct mono since;	/* … and somebody all the time since then */
	uint64_t came;		/* before it was looked at */
	bool taken;		/* it has accepted somebody */
	bool kept;		/* it has kept somebody waiting, ever */
};

void trial_see(struct trial *trial, uint64_t serial,
    const struct trial_sight *sight, struct mono now);

enum trial_verdict {
	TRIAL_NEW,	/* nobody has come yet */
	TRIAL_WAITS,	/* somebody waits, not for long as yet */
	TRIAL_STALLS,	/* it keeps somebody waiting */
	TRIAL_SERVES,	/* it has taken somebody */
	TRIAL_PASSED,	/* … or its time is over, and nobody waits */
	TRIAL_FAILS,	/* it has kept somebody waiting for too long */
};

struct trial_terms {
	int64_t canary_ms;	/* 0: there is no trial */
	int64_t ready_timeout_ms;
	struct mono since;	/* when it was ready; of one without listeners:
				   when it was started */
};

enum trial_verdict trial_decide(const struct trial *trial,
    const struct trial_terms *terms, struct mono now);

#endif
