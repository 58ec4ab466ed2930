/*
 * The listeners that are open, by address, shared by whoever needs them: the
 * specs of all apps and generations hold references. A listener is opened with
 * the first and closed with the last, so a reload that keeps an address keeps
 * the socket with all that waits in it.
 *
 * A listener has lanes, which are listening sockets (kernel accept queues):
 * daemon/lanes.
 *
 * One address of a configuration may have several listeners: those that its
 * servers have asked for by binding (core/adoption), beside the one that was
 * opened first or in its place. daemon/app_spec says which an app has.
 */
#ifndef DAEMON_LISTENERS_H
#define DAEMON_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/names/address.h"
#include "daemon/sockets/balancing.h"
#include "daemon/sockets/lanes.h"
#include "linux/socket/listen_fds.h"
#include "linux/loop/loop.h"
#include "linux/socket/socket.h"

struct conf_app;
struct error;

struct listener {
	struct listeners *all;
	unsigned refs;
	unsigned backlog;
	struct address address;	/* as configured */
	struct address bound;	/* as bound: port 0 resolved */
	char *app;		/* who opened it; decides for port 0 */
	size_t position;	/* … and where in its list */
	struct lanes lanes;
	bool passed;		/* from LISTEN_FDS: the file is not ours */
	bool listening;		/* TCP: else bound only */
	bool derived;		/* opened because a server asked for it */
	bool beside;		/* asked for by a server, and not in the place
				   of the one that was opened first */
	bool dead;		/* Unix: a worker has shut it down */
	bool door_closed;	/* listener_close_door() … */
	bool door_filter;	/* … and nothing new comes to its lanes */
	bool forsaken;		/* no server waits on it any more: the last
				   reference refuses its clients */
	struct socket_file file;
	pid_t holder;		/* the worker that was last seen to have it */
	int watch;		/* of the file; -1: none */
	bool warned;		/* that the file cannot be kept */
	struct mono told_shut;	/* when it was said that a worker shut it */
	bool told_backlog;	/* that a worker changed it */
	struct listener *next;
};

struct listeners {
	struct listener *first;
	struct listen_fds passed;	/* not matched yet */
	struct balancing balancing;
	struct loop *loop;
	int inotify;			/* on the files of Unix listeners; -1:
					   none yet */
	loop_handle inotify_handle;
};

/* Before anything else; `loop` must outlive them. Undone by _fini. */
void listeners_init(struct listeners *listeners, struct loop *loop);
void listeners_fini(struct listeners *listeners);

/*
 * A reference to the listener that `app` wants at `position`, opened if need
 * be and logged then. -errno with words: nothing was acquired.
 */
int listeners_acquire(struct listeners *listeners, const struct conf_app *app,
    size_t position, struct listener **ret_listener, struct error *err);

/*
 * An acquired listener is put in force for `app`: it listens, even if the last
 * generation's program did not serve it, and is the app's. Failure is logged.
 */
void listener_enlist(struct listener *listener, const struct conf_app *app,
    size_t position);

/*
 * A reference to a listener for the same place of the configuration that is
 * bound to `target`, which a server asks for; bound if need be, and for TCP
 * not listening yet. -errno with words.
 */
int listeners_derive(struct listeners *listeners, const struct conf_app *app,
    size_t position, const struct address *target,
    enum balance_accepts accepts, struct listener **ret_listener,
    struct error *err);

/* Begin to listen, if it does not yet. -errno with words. */
int listener_begin(struct listener *listener, const struct conf_app *app,
    struct error *err);

/* Refuse clients until a server asks for it (listener_begin()): nobody would
   accept them. TCP; what others have passed to us stays as it is. */
void listener_suspend(struct listener *listener);

/*
 * Take no new clients, but let those that are in a queue, or in a handshake, be
 * served: its last workers retire. listener_enlist() opens it again. TCP and
 * UDP; others and what was passed to us take clients until they are closed.
 * Where TCP filters are not permitted (Linux 6.18 wants CAP_NET_ADMIN), a lane
 * takes clients until its worker has gone.
 */
void listener_close_door(struct listener *listener);

/* Is the address taken, as far as TCP and UDP go? */
bool listeners_taken(const struct address *address);

/* Give a reference back; NULL is fine. The last one closes. */
void listeners_release(struct listener *listener);

/*
 * Let go of every lane now, whoever refers to it: the program stops. Clients
 * are refused as soon as the workers have closed theirs.
 */
void listeners_shut(struct listeners *listeners);

/* Bring backlog, balance, mode and owner to what `app` says; failures are
   logged. */
void listener_adjust(struct listener *listener, const struct conf_app *app,
    enum balance_accepts accepts);

/* Is its first lane open? Else the program stops. */
bool listener_is_open(const struct listener *listener);

/* A worker is gone: its lanes are free. */
void listeners_leave(struct listeners *listeners,
    const struct lane_holder *holder);

#endif
