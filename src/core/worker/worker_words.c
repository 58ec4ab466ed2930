#include <assert.h>

#include "core/worker/worker_fsm.h"
#include "core/worker/worker_words.h"

static const char *const state_names[] = {
	[WORKER_IDLE] = "idle",
	[WORKER_EXECING] = "execing",
	[WORKER_STARTING] = "starting",
	[WORKER_READY] = "ready",
	[WORKER_DRAINING] = "draining",
	[WORKER_STOPPING] = "stopping",
	[WORKER_KILLED] = "killed",
	[WORKER_BACKOFF] = "backoff",
	[WORKER_PARKED] = "parked",
	[WORKER_ENDED] = "ended",
	[WORKER_FAILED] = "failed",
};
static_assert(sizeof(state_names) / sizeof(*state_names) == WORKER_STATES,
    "a state has no name");

static const char *const reason_texts[] = {
	[WORKER_WHY_NOTHING] = "",
	[WORKER_WHY_NOTIFIED] = "it said READY=1",
	[WORKER_WHY_NOTIFIED_WAITS] =
	    "it said READY=1 and waits for connections",
	[WORKER_WHY_WAITS] = "it waits for connections",
	[WORKER_WHY_HEALTHY] = "it is healthy",
	[WORKER_WHY_ALIVE] = "it stayed alive",
	[WORKER_WHY_UNSEEN] =
	    "it lives, but cannot be seen to wait for connections",
	[WORKER_WHY_READY_TIMEOUT] = "not ready within ready_timeout",
	[WORKER_WHY_NEVER_WAITED] = "not seen to wait, as those before it were",
	[WORKER_WHY_STOP_TIMEOUT] = "still there after stop_timeout",
	[WORKER_WHY_DRAIN_TIMEOUT] = "still busy after drain_timeout",
	[WORKER_WHY_RETIRING] = "retiring",
	[WORKER_WHY_DRAINED] = "drained",
	[WORKER_WHY_RESCUE] = "restarting for those who wait in its queue",
	[WORKER_WHY_ASKED] = "as asked",
	[WORKER_WHY_AGAIN] = "restarting",
	[WORKER_WHY_LIMIT] = "restart_limit reached",
	[WORKER_WHY_POLICY] = "not restarted, as the restart policy says",
	[WORKER_WHY_TRIAL] = "died on trial",
	[WORKER_WHY_NO_FORK] = "no process could be made",
};
static_assert(sizeof(reason_texts) / sizeof(*reason_texts) == WORKER_REASONS,
    "a reason has no text");

const char *
worker_state_name(enum worker_state state)
{
	return state_names[state];
}

const char *
worker_reason_text(enum worker_reason reason)
{
	return reason_texts[reason];
}
