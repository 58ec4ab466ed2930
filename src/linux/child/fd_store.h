/*
 * The file descriptor store of the supervisor above (FDSTORE=1 of sd_notify(3)),
 * which hands back what it keeps at the next start. It is there where FDSTORE is in
 * the environment, as systemd sets it to how many it takes.
 */
#ifndef LINUX_CHILD_FD_STORE_H
#define LINUX_CHILD_FD_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/mono.h"

struct sd_notify;

struct fd_store {
	struct sd_notify *up;	/* NULL: there is no store */
	size_t room;		/* so many more it takes from us */
	struct mono until;	/* when we give up; 0: it was not asked yet */
	bool gave_up;
};

/* `up` is open, or nobody listens there; it must outlive the store. */
void fd_store_open(struct fd_store *store, struct sd_notify *up);

/* From now on it is asked for something else. */
void fd_store_begin(struct fd_store *store);

bool fd_store_is_there(const struct fd_store *store);

/*
 * It keeps the descriptor, which may be closed when this returns. All that is put
 * there may wait for it for a second together since _begin, no longer. -ENOSPC: it takes no
 * more; other -errno.
 */
int fd_store_put(struct fd_store *store, const char *name, int fd);

/* It is to close all that have the name; as much as _put may wait. -errno. */
int fd_store_remove(struct fd_store *store, const char *name);

/* What was told it so far, it has done. -errno: that is not known. */
int fd_store_await(struct fd_store *store);

#endif
