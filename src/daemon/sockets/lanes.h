/*
 * The lanes of one listener: listening sockets, each with a kernel accept queue
 * of its own, in one reuseport group; whose they are, and which of them get new
 * connections.
 *
 * The lane in slot 0 is opened with the listener and is what everybody has
 * where the listener is shared. Others are opened when a worker wants one and
 * none is free, and stay open when it has gone, for the next one: closing a
 * lane loses what waits in it, and moves others in the kernel's order.
 *
 * The kernel does not choose by itself among several lanes: a program is
 * attached before another one begins to listen; or right behind, with the
 * second one, for the first has listened alone and was in no group.
 */
#ifndef DAEMON_LANES_H
#define DAEMON_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/mono.h"
#include "core/sockets/balance.h"
#include "core/sockets/lane_order.h"
#include "linux/loop/loop.h"

/* What is not urgent may wait so long for more of its kind. */
#define LANES_PAUSE_MS 20

/* A worker that shuts its lane again and again is told of this seldom. */
#define LANES_TELL_MS 10000

struct address;
struct error;
struct listener;
struct listeners;
struct steering_ebpf;

/* Who a lane is given to; it is the same one as long as its address is. */
struct lane_holder {
	struct log_about about;
};

struct lane {
	struct listener *listener;
	unsigned slot;
	int fd;			/* -1: the program stops */
	uint64_t ino;		/* by which /proc knows it */
	loop_handle hangup;
	const struct lane_holder *holder;	/* whose alone it is, or NULL */
	bool listening;		/* and so in the group; UDP: bound */
	bool broken;		/* its holder has spoilt it beyond repair:
				   opened anew for the next process */
	bool live;		/* gets new connections */
	bool wanted;		/* is to: lanes_apply() */
};

struct lanes {
	struct lane **v;	/* by slot; at least one */
	size_t n;
	enum balance balance;	/* in force */
	bool common;		/* slot 0 is, or was, everybody's */
	bool attached;		/* a program is */
	bool warned;		/* that none could be */
	struct lane_order order;
	struct steering_ebpf *ebpf;	/* NULL: classic BPF */
	size_t ebpf_room;		/* its slots */
	size_t expected;	/* so many lanes there will be */
	struct mono changed;	/* when the live ones last did */
};

/* Slot 0, without a socket yet. -ENOMEM. Undone by _free, which closes. */
int lanes_init(struct listener *listener);
void lanes_free(struct listener *listener);

/* The first lane's socket is open, and the listener in its list. */
void lanes_enter(struct listener *listener);

/* TCP: every lane begins to listen. -errno. */
int lanes_start(struct listener *listener);

/* Ours are closed; workers keep theirs, and what epoll knows of them. */
void lanes_close(struct listener *listener);

/* TCP: no more clients, whoever else has the lanes. */
void lanes_refuse(struct listener *listener);

/* TCP, UDP: SYNs and datagrams are ignored from now on, or no more. -errno. */
int lanes_close_door(struct listener *listener, bool closed);

/* Nobody may join any more, if there is one lane for all. */
void lanes_close_group(struct listener *listener);

/* Backlogs to what the listener says now. -errno. */
int lanes_adjust(struct listener *listener);

/*
 * The worker's own lane: what it has already, else a free one, else a new one.
 * -errno with words.
 */
int lanes_take(struct listener *listener, const struct lane_holder *holder,
    struct lane **ret_lane, struct error *err);
struct lane *lanes_find(const struct listener *listener,
    const struct lane_holder *holder);

/* For a new process that is to have it: what the last one may have changed or
   spoilt is set back. -errno with words. */
int lanes_renew(struct lane *lane, struct error *err);

/* The lane for all. */
struct lane *lanes_common(struct listener *listener);

/* The lane with this inode, or NULL. */
struct lane *lanes_find_inode(const struct listener *listener, uint64_t ino);

/*
 * The worker has no more use for its lane: it is free. What waits in it goes to
 * the live ones where eBPF can move it; else the next holder serves it.
 */
void lanes_leave(struct listener *listener, const struct lane_holder *holder);

/* Could the live lanes have what waits in this one? */
bool lanes_can_move(const struct lane *lane);

/* Nobody shares the first lane any more: it is one like the others. */
void lanes_unshare(struct listener *listener);

/* Nobody will accept from it soon: what waits in it goes to the live lanes, or,
   with `or_reset` where it cannot, is reset. */
void lanes_evacuate(struct lane *lane, bool or_reset);

/* It ceases to listen and begins again, behind all others. TCP; it gets no new
   connections. */
void lanes_list_again(struct lane *lane);

/* The worker is ready: what it has changed of its lane is set back. */
void lanes_check(struct lane *lane);

/*
 * Make those that are wanted live, and no others. Unless there is none: then
 * nothing changes. Failure is logged, and leaves the old ones. False: it is not
 * urgent, and done just before; again a little later.
 */
bool lanes_apply(struct listener *listener, struct mono now);

/* Put a balance in force. -errno with words: the old one stays. */
int lanes_set_balance(struct listener *listener, enum balance balance,
    struct error *err);

/* For status and metrics. */
struct lane_figures {
	bool queued;		/* the next two are known: TCP and Unix */
	uint32_t waiting;	/* in the accept queue */
	uint32_t backlog;	/* its length, as the kernel has cut it */
	bool counted;		/* the rest is known */
	uint64_t open;		/* connections, established and not closed */
	uint64_t total;		/* … ever established */
};
void lanes_figures(const struct lane *lane, struct lane_figures *ret_figures);

/* Packets, first ones of connections mostly, that no live lane would take;
   false: nobody counts them (only eBPF does). */
bool lanes_dropped(const struct listener *listener, uint64_t *ret_packets);

/*
 * Let a socket be bound, or begin to listen, although its address overlaps with
 * other listeners of the app: its server may ask for 0.0.0.0 where [::] is
 * open, and a reload may write another address. False: there are none, but for
 * `but`.
 */
bool lanes_make_room(struct listeners *listeners, const char *app,
    const struct address *address, const struct listener *but, bool on);

#endif
