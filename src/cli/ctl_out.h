/* Standard output: collected, written at once, and its first error kept. */
#ifndef CLI_CTL_OUT_H
#define CLI_CTL_OUT_H

#include "base/str.h"

struct ctl_out {
	struct strbuf text;	/* append here */
	int code;		/* of the first failure: 0 or -errno */
};

#define CTL_OUT_INIT { .text = STRBUF_INIT }

/* Write what has gathered; 0, or the first failure of all. */
int ctl_out_flush(struct ctl_out *out);

/* Write it if it has become much. */
int ctl_out_check(struct ctl_out *out);

/*
 * The end: flush, free, and tell a failure on stderr (but for EPIPE: who reads
 * knows). Returns `status`, or 1.
 */
int ctl_out_finish(struct ctl_out *out, int status);

#endif
