/*
 * The listeners that are open, by address, shared by whoever needs them: the
 * specs of all apps and generations hold references. A listener is opened with
 * the first and closed with the last, so a reload that keeps an address keeps
 * the socket with all that waits in it.
 *
 * A listener has lanes, which are listening sockets (kernel accept queues).
 * Today it is one, shared by all its workers; listener_lane() is the only
 * place that says which worker gets which.
 */
#ifndef DAEMON_LISTENERS_H
#define DAEMON_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/address.h"
#include "linux/listen_fds.h"
#include "linux/socket.h"

struct conf_app;
struct error;

struct lane {
	int fd;
};

struct listener {
	unsigned refs;
	struct address address;	/* as configured */
	struct address bound;	/* as bound: port 0 resolved */
	char *app;		/* who opened it; decides for port 0 */
	size_t position;	/* … and where in its list */
	struct lane *lanes;
	size_t n_lanes;
	bool passed;		/* from LISTEN_FDS: the file is not ours */
	struct socket_file file;
	struct listener *next;
};

struct listeners {
	struct listener *first;
	struct listen_fds passed;	/* not matched yet */
};

/*
 * A reference to the listener that `app` wants at `position`, opened if need
 * be and logged then. -errno with words: nothing was acquired.
 */
int listeners_acquire(struct listeners *listeners, const struct conf_app *app,
    size_t position, struct listener **ret_listener, struct error *err);

/* Give a reference back; NULL is fine. The last one closes. */
void listeners_release(struct listeners *listeners, struct listener *listener);

/*
 * Let go of every lane now, whoever refers to it: the program stops. Clients
 * are refused as soon as the workers have closed theirs.
 */
void listeners_shut(struct listeners *listeners);

/* Bring backlog, mode and owner to what `app` says; failures are logged. */
void listener_adjust(struct listener *listener, const struct conf_app *app);

/* The lane of a worker; its fd is the listener's. */
const struct lane *listener_lane(const struct listener *listener,
    unsigned instance);

#endif
