/*
 * The program of a UDP listener that keeps known flows with their lanes, which
 * takes privileges. Of daemon/sockets; lanes_program says when.
 */
#ifndef DAEMON_SOCKETS_LANES_FLOWS_H
#define DAEMON_SOCKETS_LANES_FLOWS_H

#include <stdbool.h>

#include "core/sockets/balance.h"

struct error;
struct lane;
struct lanes;
struct listener;
struct steering_flows;

/* A lane was added to the list: is there room for it? -errno with words. */
int lanes_flows_room(const struct lanes *lanes, struct error *err);

/* There is one from now on, by source or by flow; it is not attached by that.
   -errno with words: nothing has changed. */
int lanes_flows_open(struct listener *listener, enum balance balance,
    struct error *err);

/*
 * Attach it, for the lanes as they are now. One that is not live, and was,
 * stays open to the flows that it has, until its holder's process ends. -errno
 * with words.
 */
int lanes_flows_attach(struct listener *listener, struct error *err);

/* It is another one's from now on: its flows are those that come. */
void lanes_flows_turned(const struct lane *lane);

/* Its holder's process has ended: no flow stays with it. */
void lanes_flows_ended(const struct lane *lane);

/* No new flow is let in, whichever lanes are live: those that are known go on.
   False: there is no program that does it. */
bool lanes_flows_close_door(struct listener *listener);

/* False: nothing is to be attached again for it. */
bool lanes_flows_open_door(struct listener *listener);

/* This is it from now on, or none; returns the one that was, the caller's. Its
   end, which has to come after another one is attached: the lanes know nothing of
   it any more. NULL is fine. */
struct steering_flows *lanes_flows_swap(struct listener *listener,
    struct steering_flows *flows);
void lanes_flows_end(struct steering_flows *flows);

/* At the end of its lanes. */
void lanes_flows_free(struct listener *listener);

#endif
