/*
 * The program of a TCP listener that compares, or goes by turns (eBPF): it takes
 * privileges. Of daemon/sockets; lanes_program says when.
 */
#ifndef DAEMON_SOCKETS_LANES_EXTENDED_H
#define DAEMON_SOCKETS_LANES_EXTENDED_H

#include <stdbool.h>

#include "core/sockets/balance.h"

struct error;
struct lane;
struct listener;
struct steering_ebpf;

/* There is one from now on, for that balance; a new one is not attached yet, and
   knows no lane. -errno with words: nothing has changed. */
int lanes_extended_open(struct listener *listener, enum balance balance,
    struct error *err);

/* A lane was added to the list: is there room for it? -errno with words. */
int lanes_extended_room(struct listener *listener, struct error *err);

/* Another one, or none, takes its place, which is the caller's now. */
struct steering_ebpf *lanes_extended_swap(struct listener *listener,
    struct steering_ebpf *ebpf);

void lanes_extended_free(struct listener *listener);

/* It knows the lane. One that has listened alone from the beginning is in no
   group (-EINVAL): with the second one its time comes. -errno, logged. */
int lanes_extended_set_lane(struct lane *lane);

/* The lane is about to listen, as the first one: in a group that has the program.
   -errno with words. */
int lanes_extended_found(const struct lane *lane, struct error *err);

/* Attach it, for the lanes as they are now. `see`: that the kernel knows them still is
   seen to, if they are few. -errno with words. */
int lanes_extended_attach(struct listener *listener, bool see,
    struct error *err);

/* Are the lane's connections counted? True: they are not, and are compared no
   more, but the lanes go by turns. */
bool lanes_extended_see_counted(struct lane *lane);

#endif
