/*
 * What a request brings about while it is carried out, on stderr. On a
 * terminal a line for each app, drawn again and again in its place:
 *
 *   web  [####··] 4/6 ready  web[4] starting (pid 4711)
 *
 * elsewhere a line for each event.
 */
#ifndef CLI_CTL_PROGRESS_H
#define CLI_CTL_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mono.h"
#include "base/str.h"
#include "core/control/answer.h"
#include "core/control/request.h"

/* Of more apps, the rest has no line. */
#define CTL_PROGRESS_APPS 64

struct ctl_progress {
	bool live;			/* a terminal */
	struct ctl_progress_app {
		char name[sizeof(((struct request *)0)->app)];
		bool counted;
		uint32_t wanted, ready, moved, retiring;
		uint64_t target;	/* generation; 0: no reload */
		struct strbuf last;	/* what its last event was */
	} apps[CTL_PROGRESS_APPS];
	size_t n_apps;
	struct strbuf text;		/* to be written above the lines */
	size_t rows;			/* that were drawn */
	bool changed;
	struct mono drawn;
};

void ctl_progress_begin(struct ctl_progress *progress);

/* For client_talk(), with the progress as ctx; both return 0. */
int ctl_progress_line(void *ctx, const struct answer_line *line);
int ctl_progress_idle(void *ctx);

/* Show how it ended, and free; the lines stay. If it went well, what its last
   event happened to be does not matter any more. */
void ctl_progress_end(struct ctl_progress *progress, bool well);

#endif
