/*
 * Unix stream listeners and their files. A listener's file has two names: the
 * configured PATH, and PATH.lane, from which PATH is made again when a worker
 * removes it, as many servers do before they bind and when they end.
 */
#ifndef LINUX_SOCKET_UNIX_SOCKET_H
#define LINUX_SOCKET_UNIX_SOCKET_H

#include <stdbool.h>
#include <sys/un.h>

#include "linux/socket/socket_options.h"

#define UNIX_KEEPER_MAX ((int)sizeof(((struct sockaddr_un *)0)->sun_path))

/* As socket_listen(); -errno, and *ret_what with words or "". */
int unix_socket_listen(const char *path, const struct socket_options *options,
    int *ret_fd, struct socket_file *ret_file, const char **ret_what);

/*
 * Set mode and owner of the file; of ours alone when `ours` is given, else
 * -ESTALE. *ret_what is only set on failure.
 */
int unix_socket_dress(const char *path, const struct socket_options *options,
    const struct socket_file *ours, const char **ret_what);

/* Take mode and owner from the file, if it is still there, under either name. */
void unix_socket_worn(const char *path, const struct socket_file *file,
    struct socket_options *options);

/* Remove the names that are still ours. */
void unix_socket_unlink(const char *path, const struct socket_file *file);

/*
 * See that both names are there. 1: PATH had gone and is back; 0: nothing was
 * amiss. -EEXIST: PATH is somebody else's file now; -ENOENT: both names are
 * gone, for good; -EAGAIN: one of them is about to go, look again; other -errno: it could not be made.
 */
int unix_socket_restore(const char *path, const struct socket_file *file);

/* May the path be taken: is there nothing, or a socket that nobody listens on? */
bool unix_socket_is_free(const char *path);

/* Do two absolute paths name the same file, through links such as that from
   /var/run to /run? False also if the kernel would have to look it up. */
bool unix_socket_same_path(const char *a, const char *b);

/* Watch for the removal of one of the names: the watch, an IN_ATTRIB event's
   number, or -errno. */
int unix_socket_watch(int inotify, const char *path);

#endif
