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
	pid_t child;		/* that takes some; 0: none */
};

/* A look has ended well. `now`: those that may be taken are, if nothing moves
   meanwhile, as long as no earlier ones still are. Returns how many; -EPERM where
   it is known that this is not permitted. */
int farewells_look(struct farewells *f, const struct connections *look,
    bool now);

void farewells_free(struct farewells *f);

#endif
