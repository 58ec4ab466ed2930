/*
 * What follows the death of a worker that nobody asked to stop: again, later,
 * or never. Pure: the clock and the dice are arguments.
 */
#ifndef CORE_WORKER_RESTART_H
#define CORE_WORKER_RESTART_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"

struct conf_app;

/* The memory of one seat; zero-initialised, freed with restart_free(). */
struct restart_history {
	unsigned streak;	/* quick deaths in a row */
	struct mono *deaths;	/* ring of the latest, for restart_limit */
	unsigned cap;
	unsigned next;
	unsigned n;
};

enum restart_verdict {
	RESTART_AGAIN,	/* after delay_ms, 0 = at once */
	RESTART_PARK,	/* restart_limit reached: the seat has failed */
	RESTART_END,	/* the policy wants no further start */
};

struct restart_decision {
	enum restart_verdict verdict;
	int64_t delay_ms;
};

/*
 * Decide after a death at `now`. `failure` is the exit as success_codes see
 * it; `lived_ms` counts from the exec. `dice` is any random number; it spreads
 * a delay by up to 10 % either way, so that seats do not restart in step.
 * Remembers the death in `history`. When memory for the ring is short, the
 * limit is not enforced rather than the seat lost.
 */
struct restart_decision restart_decide(const struct conf_app *policy,
    struct restart_history *history, bool failure, int64_t lived_ms,
    struct mono now, uint32_t dice);

/*
 * The delay before another try when the start itself could not be made (no
 * memory, no process table entry): counts as a quick death, but never parks.
 */
int64_t restart_delay(const struct conf_app *policy,
    struct restart_history *history, uint32_t dice);

/* What another one remembers: the latest deaths, of which the last comes last. */
void restart_remember(struct restart_history *history,
    const struct conf_app *policy, unsigned streak, const struct mono *deaths,
    unsigned n);

void restart_free(struct restart_history *history);

/* Why a worker had to be started again, for the statistics. */
enum restart_cause {
	RESTART_CAUSE_EXIT,	/* it exited with a success code */
	RESTART_CAUSE_FAILURE,	/* … with another code */
	RESTART_CAUSE_SIGNAL,	/* it was killed by a signal */
	RESTART_CAUSE_OOM,	/* … by the kernel, for want of memory */
	RESTART_CAUSE_TIMEOUT,	/* … by us: it was not ready in time */
	RESTART_CAUSE_START,	/* it could not be started, or executed */
	RESTART_CAUSES
};

/* "exit", "failure", "signal", "timeout", "start": part of the protocol. */
const char *restart_cause_name(enum restart_cause cause);

#endif
