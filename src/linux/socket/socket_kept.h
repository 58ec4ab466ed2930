/*
 * Sockets that somebody else has kept for us: are they such that we could have
 * opened them ourselves, just now?
 */
#ifndef LINUX_SOCKET_SOCKET_KEPT_H
#define LINUX_SOCKET_SOCKET_KEPT_H

#include <stdbool.h>

#include "core/names/address.h"
#include "linux/socket/socket_options.h"

/*
 * Does it listen (UDP: is it bound) there, of our user and in our network namespace,
 * so that others of ours may listen beside it? *ret_why in words, where not.
 */
bool socket_kept_is_ours(int fd, const struct address *bound,
    const char **ret_why);

/* Unix: the file by which it is found. False: it is not found at its path. */
bool socket_kept_file(int fd, const struct address *bound,
    struct socket_file *ret_file);

#endif
