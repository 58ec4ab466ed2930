/*
 * The sockets of a listener's lanes: opened, begun to listen, closed.
 * Of daemon/sockets.
 */
#ifndef DAEMON_SOCKETS_LANES_SOCKETS_H
#define DAEMON_SOCKETS_LANES_SOCKETS_H

#include <stdbool.h>

struct address;
struct error;
struct lane;
struct listener;
struct listeners;

/* Slot 0, without a socket yet. -ENOMEM. Undone by _free, which closes. */
int lanes_sockets_init(struct listener *listener);
void lanes_sockets_free(struct listener *listener);

/* Takes the first lane's socket; `unused`: which nobody else has ever had. */
void lanes_sockets_set_first(struct listener *listener, int fd, bool unused);

/* It is open, and the listener in its list. `listens`: it need not begin to,
   with _start. */
void lanes_sockets_enter(struct listener *listener, bool listens);

/* Every lane begins to listen (TCP), and so does the listener. -errno. */
int lanes_sockets_start(struct listener *listener);

/*
 * The same, but clients are not heard, as if nobody were there; and heard from
 * now on. -errno: that cannot be had here, nothing was begun.
 */
int lanes_sockets_start_quietly(struct listener *listener);
void lanes_sockets_hear(struct listener *listener);

/* Ours are closed; workers keep theirs, and what epoll knows of them. */
void lanes_sockets_close(struct listener *listener);

/* TCP: no more clients, whoever else has the lanes, or the one. */
void lanes_sockets_refuse(struct listener *listener);
void lanes_sockets_refuse_lane(struct lane *lane);

/* Nobody may join any more, if there is one lane for all. */
void lanes_sockets_close_group(struct listener *listener);

/* One that gets what is to get no answer, and hears nothing; it hears from now
   on. -errno with words. */
int lanes_sockets_add_deaf(struct listener *listener, struct lane **ret_lane,
    struct error *err);
void lanes_sockets_undeafen(struct lane *lane);

/* Backlogs to what the listener says now. -errno. */
int lanes_sockets_adjust(struct listener *listener);

/* One more lane, which listens if the listener does. -errno with words. */
int lanes_sockets_add(struct listener *listener, struct lane **ret_lane,
    struct error *err);

/*
 * A worker has shut down its UDP lane, or connected it, for good: it is broken.
 * Another socket takes its place. -errno with words: the old one stays.
 */
void lanes_sockets_spoilt(struct lane *lane);
int lanes_sockets_replace(struct lane *lane, struct error *err);

/* UDP: another socket with the listener's address, which is no lane: for a
   single peer. The caller's. -errno with words. */
int lanes_sockets_open_own(struct listener *listener, int *ret_fd,
    struct error *err);

/* It ceases to listen and begins again, behind all others. TCP; it gets no new
   connections. */
void lanes_sockets_list_again(struct lane *lane);

/* Somebody has shut it down, of which epoll has told: it listens again. -errno.
   TCP. */
int lanes_sockets_revive(struct lane *lane);

/* A worker may have shut it down and listened again before that was heard of:
   then it has another place in the kernel's order. TCP. */
void lanes_sockets_check(struct lane *lane);

/* Unix: this socket, which is bound, begins to listen, and takes the place of the
   first one, which is closed. -errno: it does not listen. */
int lanes_sockets_renew_first(struct listener *listener, int fd);

/*
 * Let a socket be bound, or begin to listen, although its address overlaps with
 * other listeners of the app: its server may ask for 0.0.0.0 where [::] is
 * open, and a reload may write another address; or with one of any app that takes
 * no clients any more. False: there are none, but for
 * `but`.
 */
bool lanes_sockets_make_room(struct listeners *listeners, const char *app,
    const struct address *address, const struct listener *but, bool on);

#endif
