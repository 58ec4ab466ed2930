/* A worker's sd_notify(3) socket: what it says, and whether it is really it. */
#ifndef DAEMON_WORKER_NOTIFY_H
#define DAEMON_WORKER_NOTIFY_H

struct worker;

/* Open the socket if the app's configuration calls for one. -errno. */
int worker_notify_open(struct worker *worker);
void worker_notify_close(struct worker *worker);

/* Take what is there, up to a bound; may bring the worker to READY. */
void worker_notify_read(struct worker *worker);

/* Listen again to one that had been paused for talking too much. */
void worker_notify_thaw(struct worker *worker);

#endif
