/* What daemon/watch knows of a worker that drains, if it does. */
#ifndef DAEMON_WATCH_DRAINAGE_PRIV_H
#define DAEMON_WATCH_DRAINAGE_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/mono.h"
#include "core/worker/drain.h"
#include "daemon/watch/farewells.h"
#include "daemon/watch/look_queue.h"

struct drainers;
struct worker;

/* How long a handshake may take whose end nobody can see. */
#define DRAINAGE_LINGER_MS	1000

struct drainage {
	struct drainers *all;
	struct worker *worker;
	struct look_entry entry;	/* listed while it drains */
	TAILQ_ENTRY(drainage) link;
	bool batched;			/* in the batch: its queue was read
					   before the look, for which it … */
	struct mono was_due;		/* … was due then */
	struct drain drain;
	struct drain_facts facts;	/* of the latest look */
	struct farewells farewells;
	int64_t queue;			/* of the one under way, which began … */
	bool sealed;			/* … with all lanes sealed */
	bool seen;			/* there was one that came to an end */
	bool unsealable;		/* its lanes cannot be sealed */
	bool has_sealed;		/* they were by this drain: a seal of the
					   supervisor before may be of one that
					   was about to be stopped, or was */
	struct mono looked;		/* when the latest look began */
	struct mono frozen_since;	/* has SIGSTOP from us, for a look … */
	int64_t frozen_max_ms;		/* … and no longer than this */
};

static inline struct drainage *
drainage_of(struct look_entry *e)
{
	return (struct drainage *)((char *)e - offsetof(struct drainage, entry));
}

#endif
