/*
 * What becomes of a worker: core/worker_fsm decides, this carries out.
 */
#ifndef DAEMON_LIFE_LIFE_H
#define DAEMON_LIFE_LIFE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "core/worker/obituary.h"
#include "core/worker/worker_fsm.h"

struct adopt;
struct app_spec;
struct crew;
struct drain_looks;
struct listeners;
struct notify_sockets;
struct orphans;
struct outputs;
struct readiness;
struct steering;
struct worker;
struct workers;

/* Whom it asks; set by the supervisor. */
struct life {
	struct workers *workers;
	struct listeners *listeners;
	struct outputs *outputs;
	struct steering *steering;
	struct readiness *readiness;
	struct notify_sockets *notify;
	struct drain_looks *drain;
	struct orphans *orphans;
	struct adopt *adopt;
	int null_fd;
	struct rlimit nofile;		/* as inherited, for the workers */
	uint64_t serial;		/* of the last worker process */
	unsigned lingering;	/* workers whose leader died before its group */
	bool mute;		/* deaths are not told: the start has failed */
};

/*
 * A worker in state IDLE, in the app's list; `trial` as in core/worker_fsm.
 * Takes a reference to the spec. NULL: no memory.
 */
struct worker *worker_new(struct life *life, struct crew *crew,
    struct app_spec *spec, unsigned instance, bool trial);

/* Free one whose process is gone; takes it out of the app's list. */
void worker_free(struct worker *worker);

void worker_start(struct worker *worker);
void worker_retire(struct worker *worker);	/* finish, then be gone */
void worker_stop(struct worker *worker);
void worker_kill(struct worker *worker);

/* The leader is dead, as `status` says, and not yet reaped. Reaps it. */
void worker_died(struct worker *worker, struct exit_status status);

/* A member of a lingering group was reaped: is the group gone now? */
void worker_check_group(struct worker *worker);

/* For struct worker_events. */
void life_post(struct worker *worker, enum worker_event event);

#endif
