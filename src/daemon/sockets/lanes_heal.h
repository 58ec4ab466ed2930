/*
 * What workers do to their lanes, and how it is undone: they shut them down,
 * set another backlog, connect them. Of daemon/sockets.
 */
#ifndef DAEMON_SOCKETS_LANES_HEAL_H
#define DAEMON_SOCKETS_LANES_HEAL_H

#include <stdbool.h>

struct error;
struct lane;
struct lane_holder;
struct listener;

/* A new listener, of whose lanes nothing was heard yet. */
void lanes_heal_init(struct listener *listener);

/* Its options have changed, or it goes: what a new lane of it has is another
   thing now. */
void lanes_heal_forget_new(struct listener *listener);

/* The worker is ready: what it has changed of its lane is set back. */
void lanes_heal_check(struct lane *lane);

/* The holder's process has ended: groups that it joined are left, and the
   program that steers is put back where it may have taken it away. */
void lanes_heal_ended(struct listener *listener,
    const struct lane_holder *holder);

/* A process gets its socket, now or at its exec. */
void lanes_heal_used(struct lane *lane);

/* For a new process that is to have it: what the last one may have changed or
   spoilt is set back; but nothing of what others have before their eyes, unless
   it is `unused`. -errno with words. */
int lanes_heal_renew(struct lane *lane, bool unused, struct error *err);

#endif
