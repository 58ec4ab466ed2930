/*
 * How much a worker's lane is to be preferred for new connections, by the state
 * of the worker. Of a listener's lanes, those of the highest rank that there is
 * get them. Pure.
 */
#ifndef CORE_SOCKETS_LANE_RANK_H
#define CORE_SOCKETS_LANE_RANK_H

#include <stdbool.h>

#include "core/worker/worker_fsm.h"

enum lane_rank {
	LANE_RANK_NEVER,	/* nobody comes */
	LANE_RANK_LATER,	/* a start is due at some time */
	LANE_RANK_SOON,		/* starting */
	LANE_RANK_NOW,		/* served */
};

/*
 * `datagrams`: a UDP lane. Its flows stay where they are while a worker that
 * was ready once (`was_ready`) starts again at once: they would go elsewhere
 * and come back within a moment.
 */
enum lane_rank lane_rank(enum worker_state state, bool datagrams,
    bool was_ready);

#endif
