/*
 * Sockets that clusterd itself was given by the supervisor above it, through
 * LISTEN_FDS and LISTEN_PID (sd_listen_fds(3)), waiting to be matched with the
 * listeners of the configuration by address.
 */
#ifndef LINUX_SOCKET_LISTEN_FDS_H
#define LINUX_SOCKET_LISTEN_FDS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "core/names/address.h"

struct error;

struct listen_fds {
	struct listen_fd {
		int fd;			/* -1: taken */
		struct address address;
	} *v;
	size_t n;
	/* What a clusterd before us has given it to keep, by its names
	   (core/sockets/lane_name), whatever it is. */
	struct kept_fd {
		int fd;			/* -1: taken */
		char *name;
	} *kept;
	size_t n_kept;
};

/*
 * Collect them, if they are for process `pid`, by which we are known, and only
 * those of which `had`() says that we were started with them; marks every descriptor from 3 up close-on-exec in any case, so
 * that no worker ever sees one it was not given. Sockets of unusable kinds are
 * closed and counted in *ret_unusable; where that is NULL, only what LISTEN_FDNAMES
 * has as ours is collected: that is for whoever looks into `kept`. -ENOMEM.
 */
int listen_fds_collect(pid_t pid, bool (*had)(int fd),
    struct listen_fds *ret_fds, size_t *ret_unusable);

/* Each name of theirs that is ours, of process `pid`, whether it was collected or
   not. */
void listen_fds_each_name(pid_t pid, void (*fn)(void *ctx, const char *name),
    void *ctx);

/*
 * Take the socket that is bound to `want`: the caller owns *ret_fd then. "Every
 * address" is also served by an IPv4 or IPv6 wildcard. -ENOENT: there is none;
 * -EADDRNOTAVAIL with words: there is, and it does not keep to the interface that
 * is wanted.
 */
int listen_fds_take(struct listen_fds *fds, const struct address *want,
    int *ret_fd, struct error *err);

/* Close what nobody took; `fn` is told of each that is not ours. */
void listen_fds_close(struct listen_fds *fds,
    void (*fn)(const struct address *unused));

#endif
