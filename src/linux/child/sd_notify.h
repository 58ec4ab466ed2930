/*
 * What clusterd says to the supervisor above it (sd_notify(3)), if there is
 * one: NOTIFY_SOCKET of our own environment. The keeper sends it, where there is
 * one: systemd's NotifyAccess=main believes the main process only.
 */
#ifndef LINUX_CHILD_SD_NOTIFY_H
#define LINUX_CHILD_SD_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mono.h"
#include "linux/loop/loop.h"

#define SD_NOTIFY_KEPT_MAX	8

struct sd_notify {
	int fd;		/* -1: nobody listens */
	char *name;
	struct loop *loop;
	struct loop_timer again;
	char *kept[SD_NOTIFY_KEPT_MAX];	/* not taken yet, in order */
	size_t n_kept;
	char *status;			/* the last one, */
	bool told;			/* and it was taken */
	enum {
		SD_NOTIFY_IDLE,
		SD_NOTIFY_OF_KEPT,	/* the first of them */
		SD_NOTIFY_OF_STATUS,
		SD_NOTIFY_OF_NONE,	/* it is not wanted any more */
	} under_way;			/* what the keeper is sending */
	int64_t gap_ms;			/* to the next attempt */
};

#define SD_NOTIFY_INIT { .fd = -1 }

/* Look for NOTIFY_SOCKET. 0: *ret_notify is the caller's to close; untouched
   where there is none; it stays where it is. -errno: it is there, but of no
   use. */
int sd_notify_open(struct loop *loop, struct sd_notify *ret_notify);

/* The keeper has woken us: it may have sent what it was to send. */
void sd_notify_woken(struct sd_notify *notify);

/* With a last attempt at what was not taken. */
void sd_notify_close(struct sd_notify *notify);

/* Send NAME=value lines. Never blocks: while the queue over there is full they
   are kept, and sent in their order; of very many, the last. */
void sd_notify_send(struct sd_notify *notify, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Send it before this returns, with a descriptor unless that is -1: while the queue
   over there is full it is tried again until then. What is kept comes later. -errno:
   it was not taken. */
int sd_notify_now(struct sd_notify *notify, const char *text, int fd,
    struct mono until);

/* STATUS= that text, after what is kept; nothing, if it is what was told last. Of
   several that are not taken the last is sent. */
void sd_notify_status(struct sd_notify *notify, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
