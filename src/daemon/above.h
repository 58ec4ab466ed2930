/* What the supervisor above us is told, where there is one: sd_notify(3). */
#ifndef DAEMON_ABOVE_H
#define DAEMON_ABOVE_H

#include <stdbool.h>
#include <stdint.h>

#include "linux/child/fd_store.h"
#include "linux/child/sd_notify.h"

struct apps;
struct config;
struct loop;

struct above {
	struct sd_notify up;
	bool leaves;		/* it has been told that we go */
	struct fd_store store;	/* of sockets, for the next start */
};

#define ABOVE_INIT { .up = SD_NOTIFY_INIT }

/* Where it can be reached. -errno: what it has said is of no use. */
int above_open(struct above *above, struct loop *loop);

/* The longest that the end may take: of apps that end one behind the other, each
   with its orphans after its workers. */
int64_t above_stop_ms(const struct config *config);

/* We go down in `delay_ms`, with these words for the status, and how long that may
   take. It hears nothing else of us from then on, but of that more than
   once. */
void above_tell_stop(struct above *above, const struct config *config,
    const char *words, int64_t delay_ms);

/* The end takes so much longer, from now on. */
void above_tell_more(struct above *above, int64_t ms);

/* A start or a reload has come to its end; `code`: of one that was refused. */
void above_tell_ready(struct above *above, int code);

/* One line, after any change; `refusal`: of the latest reload, or NULL. */
void above_tell_status(struct above *above, const struct apps *apps,
    const char *refusal);

#endif
