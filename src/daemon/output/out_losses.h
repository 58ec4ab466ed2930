/* Lines that were lost at an output: whose they were, until that is told. */
#ifndef DAEMON_OUT_LOSSES_H
#define DAEMON_OUT_LOSSES_H

#include <stdint.h>

struct output;

/* So many lines of an app; "": it is not known whose. */
void output_lose(struct output *output, const char *app, uint64_t lines);

/* Tell those that the log takes; the others the next time that something is
   taken here, or else soon. */
void output_tell_losses(struct output *output);

#endif
