/* What dead workers may have left behind: whose it is, and what is to become of
   it. */
#ifndef DAEMON_WATCH_LEGACIES_H
#define DAEMON_WATCH_LEGACIES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct worker;

/* Of one. Kept until a sweep finds nothing of it; written by this module
   alone. */
struct legacy {
	struct legacy *next;
	uint64_t serial;	/* the worker's */
	pid_t pid;		/* … and that of its process group */
	uint64_t identity;	/* process_identity() of it; 0: not known */
	char *app;
	unsigned instance;
	int signo;
	int64_t timeout_ms;
	bool keep;
	bool found;		/* somebody, in the sweep under way */
};

/* Begins as zeros. */
struct legacies {
	struct legacy *first;
};

void legacies_free(struct legacies *all);

/* The worker is dead, and still known by pid and serial. Without memory the
   defaults of an app do. */
void legacies_add(struct legacies *all, const struct worker *worker);

/* By serial, or where that is not known (0) by process group; or NULL. */
struct legacy *legacies_find(const struct legacies *all, uint64_t serial,
    pid_t group);

/* A sweep begins, which has found nobody yet; it has found somebody of one; and
   after it those of whom it has not are dropped. */
void legacies_begin(struct legacies *all);
void legacies_note_found(struct legacy *legacy);
void legacies_drop(struct legacies *all);

#endif
