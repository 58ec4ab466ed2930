#include "core/sockets/lane_rank.h"

enum lane_rank
lane_rank(enum worker_state state, bool datagrams, bool was_ready)
{
	switch (state) {
	case WORKER_READY:
		return LANE_RANK_NOW;
	case WORKER_IDLE:
	case WORKER_EXECING:
	case WORKER_STARTING:
		return datagrams && was_ready ? LANE_RANK_NOW : LANE_RANK_SOON;
	case WORKER_BACKOFF:
		return LANE_RANK_LATER;
	default:
		return LANE_RANK_NEVER;
	}
}
