/* A worker's sd_notify(3) socket: what it says, and whether it is really it. */
#ifndef DAEMON_WATCH_NOTIFY_H
#define DAEMON_WATCH_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "linux/child/notify_dir.h"
#include "linux/loop/loop.h"

struct worker;
struct workers;

/* Upcalls: what a worker says of itself beside READY=1, as sd_notify(3) has it. */
struct notify_heed {
	void (*alive)(struct worker *worker);	/* WATCHDOG=1 */
	void (*trigger)(struct worker *worker);	/* WATCHDOG=trigger */
	void (*period)(struct worker *worker, int64_t us);
	/* It has asked for so much more time. */
	void (*extends)(void *ctx, struct worker *worker, int64_t ms);
	void *ctx;
};

/* What one EXTEND_TIMEOUT_USEC= counts for at most: whoever needs more says it
   again. */
#define NOTIFY_EXTEND_MAX_MS (60 * 60 * INT64_C(1000))

struct notify_sockets {
	const struct notify_heed *heed;		/* NULL: nobody heeds it */
	struct loop *loop;
	struct workers *workers;
	TAILQ_HEAD(notify_queue, notify) queue;
	struct loop_timer tick;	/* of the queue, and for helpers */
	uint64_t turn;		/* of the loop, in which */
	unsigned heard;		/* so many sockets were looked at, */
	unsigned helpers;	/* and so many helpers were started, */
	unsigned ancestors;	/* and so many of senders were looked at */
	struct notify_dir dir;	/* made with the first socket */
	bool swept;		/* what dead ones have left */
	struct mono dir_again;	/* there was none: not before then */
	bool told;		/* that one is not there */
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

/* Its socket; -1: none; and the socket's inode, 0. And one that another supervisor has
   opened, which has this inode, is its own. */
int notify_fd(const struct worker *worker);
uint64_t notify_inode(const struct worker *worker);
void notify_take_over(struct worker *worker, int fd, uint64_t ino);

/* The directory of the sockets, NULL: none is open; and the one that another
   supervisor has made, and its workers know, is taken over. */
const struct notify_dir *notify_place(const struct notify_sockets *ns);
void notify_take_place(struct notify_sockets *ns, int fd, const char *path);

/* For NOTIFY_SOCKET; NULL: there is none. Borrowed, until it is closed. */
const char *notify_name(const struct worker *worker);

/* Take what a dead worker has left there, up to a bound; NOTIFY_READY may be
   posted. */
void notify_read(struct worker *worker);

#endif
