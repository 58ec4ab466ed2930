/* Has a worker taken a client whom nobody saw in its queue? Of daemon/steer. */
#ifndef DAEMON_STEER_STEER_PROOF_H
#define DAEMON_STEER_STEER_PROOF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"
#include "linux/socket/connections.h"

struct worker;

/* Looks at the connections of one worker after the other, in steps;
   zero-initialised. */
struct steer_proof {
	struct connections look;
	uint64_t serial;	/* whose look is under way; 0: none is */
	struct mono began;
	struct mono stepped;	/* the latest step */
	struct mono next;	/* no look before that */
};

/*
 * A step of a look, to be called again as long as it matters: true when the
 * worker has an accepted connection of its TCP listeners. False: it has none, or
 * it is not known, or not yet.
 */
bool steer_proof(struct steer_proof *proof, const struct worker *worker);

/* Also of one that has looked at nobody. */
void steer_proof_end(struct steer_proof *proof);

#endif
