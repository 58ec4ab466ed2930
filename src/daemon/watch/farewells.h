/*
 * The kept connections of a worker that drains, taken from it between two
 * requests: core/worker/farewell decides.
 */
#ifndef DAEMON_WATCH_FAREWELLS_H
#define DAEMON_WATCH_FAREWELLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct connections;
struct farewell;

/* Zero-initialised. */
struct farewells {
	struct farewell *v;	/* of the last look, sorted by ino */
	size_t n;
	bool denied;		/* it was not permitted; farewells_free() ends that */
};

/* A look has ended well. `now`: those that may be taken are, as many as there is
   time for while their process, of the worker's `group`, stands still for it
   (SIGSTOP). Returns how many were; -errno where that is not permitted: the only
   time that it is tried. */
int farewells_look(struct farewells *f, const struct connections *look,
    pid_t group, bool now);

void farewells_free(struct farewells *f);

#endif
