/* Why a request has failed, where it may have failed for several apps. */
#ifndef DAEMON_CONTROL_CONTROL_FAILURES_H
#define DAEMON_CONTROL_CONTROL_FAILURES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/* So many are told with their reasons. */
#define CONTROL_FAILURES_TOLD	4

/* All zero: none. */
struct control_failures {
	struct strlist apps;
	struct strlist words;	/* of the first of them */
};

void control_failures_free(struct control_failures *failures);

/* `words` name the app; of an app that has failed already the first ones count. */
void control_failures_add(struct control_failures *failures, const char *app,
    const char *words);
bool control_failures_has(const struct control_failures *failures,
    const char *app);
size_t control_failures_count(const struct control_failures *failures);

/* All of it in a line, or "out of memory" where something is missing; the caller
   frees. NULL: not even that. */
char *control_failures_text(const struct control_failures *failures);

#endif
