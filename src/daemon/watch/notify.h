/* A worker's sd_notify(3) socket: what it says, and whether it is really it. */
#ifndef DAEMON_WATCH_NOTIFY_H
#define DAEMON_WATCH_NOTIFY_H

#include <stdbool.h>

#include "linux/child/notify_dir.h"
#include "linux/loop/loop.h"

struct worker;
struct workers;

struct notify_sockets {
	struct loop *loop;
	struct workers *workers;
	struct loop_timer thaw;		/* resumes paused sockets */
	struct notify_dir dir;		/* made with the first socket */
	bool told;			/* that one is not there */
};

/* -ENOMEM. Undone by _fini. */
int notify_init(struct notify_sockets *ns, struct loop *loop,
    struct workers *workers);
void notify_fini(struct notify_sockets *ns);

/* worker->notify: made, -ENOMEM; and freed, NULL is fine. */
int notify_join(struct notify_sockets *ns, struct worker *worker);
void notify_leave(struct worker *worker);

/* Open the socket if the app's configuration calls for one. -errno. */
int notify_open(struct worker *worker);
void notify_close(struct worker *worker);

/* For NOTIFY_SOCKET; NULL: there is none. Borrowed, until it is closed. */
const char *notify_name(const struct worker *worker);

/* Take what is there, up to a bound; NOTIFY_READY may be posted. */
void notify_read(struct worker *worker);

#endif
