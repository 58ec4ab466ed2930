/* When the next supervisor is started. For the room alone. */
#ifndef LINUX_KEEPER_KEEPER_PACE_H
#define LINUX_KEEPER_KEEPER_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"

/* So many deaths within so long of those that have not come up. */
#define KEEPER_PACE_DEATHS	5
#define KEEPER_PACE_WITHIN_MS	10000

/* Zeros: nobody has died. */
struct keeper_pace {
	unsigned deaths;	/* in a row, of those that had not come up */
	struct mono died[KEEPER_PACE_DEATHS];
	unsigned brief;		/* in a row, of those that had, and died at once */
	bool slow;		/* so many deaths that it is tried seldom */
	bool spins;		/* … of those that die as soon as they are up */
};

/* One has died that had lived so long: in how many milliseconds the next one is to be
   started. One that has lived for long is as good as one that has come up. */
int keeper_pace_death(struct keeper_pace *pace, bool was_up, int64_t lived_ms,
    struct mono now);

#endif
