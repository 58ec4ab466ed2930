/*
 * Lines that were lost at a place: whose they were and why, until that is told
 * in the log.
 */
#ifndef DAEMON_OUTPUT_OUT_LOSSES_H
#define DAEMON_OUTPUT_OUT_LOSSES_H

#include <stdbool.h>
#include <stdint.h>

struct out_loss;

struct out_losses {
	struct out_loss *first;		/* of each app */
	uint64_t nameless;		/* it is not known whose */
	int why;			/* errno; 0: it takes nothing, */
	bool slow;			/* or less than it would have to */
	bool telling;			/* of these */
};

/* So many lines of an app; "": it is not known whose. */
void out_losses_add(struct out_losses *losses, const char *app, uint64_t lines);

/* The errno that is told as the reason, until all are told. */
void out_losses_blame(struct out_losses *losses, int why);

/*
 * Tell those that the log takes, as lost at `place`. Returns whether the others
 * are nobody else's care: false if some are left, to be told later.
 */
bool out_losses_tell(struct out_losses *losses, const char *place);

/* For the end: what could not be told is counted by the log. Frees. */
void out_losses_end(struct out_losses *losses);

#endif
