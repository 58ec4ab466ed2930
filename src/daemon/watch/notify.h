/* A worker's sd_notify(3) socket: what it says, and whether it is really it. */
#ifndef DAEMON_WORKER_NOTIFY_H
#define DAEMON_WORKER_NOTIFY_H

#include "linux/loop/loop.h"

struct worker;
struct workers;

struct notify_sockets {
	struct loop *loop;
	struct workers *workers;
	struct loop_timer thaw;		/* resumes paused sockets */
};

/* -ENOMEM. Undone by _fini. */
int worker_notify_init(struct notify_sockets *ns, struct loop *loop,
    struct workers *workers);
void worker_notify_fini(struct notify_sockets *ns);

/* Open the socket if the app's configuration calls for one. -errno. */
int worker_notify_open(struct notify_sockets *ns, struct worker *worker);
void worker_notify_close(struct worker *worker);

/* Take what is there, up to a bound; may bring the worker to READY. */
void worker_notify_read(struct worker *worker);

#endif
