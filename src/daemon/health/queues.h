/* The queues of one worker, as they are seen from outside: whether it accepts who
   waits there. */
#ifndef DAEMON_HEALTH_QUEUES_H
#define DAEMON_HEALTH_QUEUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mono.h"
#include "core/health/verdict.h"

struct lane;
struct queue_watch;
struct worker;

/* Zero-initialised. */
struct queues {
	struct queue_watch *v;	/* by the places of the spec's listeners */
	size_t n;
};

void queues_free(struct queues *queues);

enum queues_news {
	QUEUES_SILENT,		/* nothing new: no verdict */
	QUEUES_VERDICT,
};

/* One look at each. *ret_waits: somebody waits, look again. */
enum queues_news queues_look(struct queues *queues, const struct worker *worker,
    int64_t timeout_ms, struct mono now, struct verdict *ret_verdict,
    bool *ret_waits);

/* Hear of the next one who comes, listeners_on_clients(), or no more. It costs
   nothing until somebody does. */
void queues_heed(const struct worker *worker);
void queues_heed_no_more(const struct worker *worker);

/* Is it a queue of that worker's? */
bool queues_have(const struct worker *worker, const struct lane *lane);

#endif
