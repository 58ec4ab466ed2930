/*
 * The environment protocols that tell a program which of its fds are listening
 * sockets. Listener number i is always fd FD_PROTOCOL_FIRST + i, which is what
 * sd_listen_fds(3) demands.
 */
#ifndef CORE_WORKER_FD_PROTOCOL_H
#define CORE_WORKER_FD_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct address;

#define FD_PROTOCOL_FIRST 3

struct fd_protocol_args {
	unsigned protocols;		/* enum conf_fd_protocol bits */
	const char *app;
	const struct address *bound;	/* as bound: a port 0 is resolved */
	char *const *names;		/* as bound: NULL: the app's. NULL: all
					   of them */
	size_t n_bound;
	long master;			/* the pid of the worker's parent */
	unsigned instance;
	unsigned instances;
	unsigned generation;
	const char *notify_socket;	/* NULL: none */
};

/*
 * Append the variables, as NAME=value. LISTEN_PID is appended as an empty
 * "LISTEN_PID=": only the child knows its pid. Out of memory shows in
 * env->failed.
 */
void fd_protocol_append(const struct fd_protocol_args *args,
    struct strlist *env);

#endif
