/* The last lines of many: what `logs -n N` keeps until all have come. */
#ifndef CLI_CTL_TAIL_H
#define CLI_CTL_TAIL_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* So much is kept, whatever the number of lines is. */
#define CTL_TAIL_BYTES_MAX	(16 * 1024 * 1024)

struct ctl_tail {
	uint64_t max;		/* lines */
	struct strbuf *lines;	/* a ring of `cap` */
	size_t cap, first, n;
	size_t bytes;
};

/* Takes the line over and leaves it empty. -ENOMEM: it is lost. */
int ctl_tail_add(struct ctl_tail *tail, struct strbuf *line);

/* The oldest line, which is the caller's now; none: an empty one. */
struct strbuf ctl_tail_take(struct ctl_tail *tail);

void ctl_tail_free(struct ctl_tail *tail);

#endif
