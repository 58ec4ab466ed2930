/*
 * What a program for a listener is made of, and where it is attached: as the
 * lanes are now. Changes nothing of them, but for what was told.
 */
#ifndef DAEMON_SOCKETS_LANES_ATTACH_H
#define DAEMON_SOCKETS_LANES_ATTACH_H

#include <stdbool.h>
#include <stddef.h>

#include "core/sockets/balance.h"
#include "linux/bpf/steering_ebpf.h"

struct lane;
struct lanes;
struct listener;

/*
 * One of the group, to attach a program to: it belongs to all of them. The first
 * one in the chain would get all that comes for a moment, whatever the program
 * says: socket_begin_attach(). So of those that live, the last one; if it is
 * alone, it gets everything anyway.
 */
struct lane *lanes_attach_point(const struct lanes *ls);

/*
 * A classic program for those of the first `places` of the group that live;
 * `asks`: it gives an answer to questions besides (lanes_order). Checks that are
 * under way (lanes_check) find their lanes, unless there is no room for them.
 * -errno: the old one is still there.
 */
int lanes_attach_classic(struct listener *listener, size_t places,
    bool asks);

/* By which a client is told to belong to it: its instance. */
unsigned lanes_attach_seat(const struct lane *lane);

/* What an extended one is to do, and how many lanes it is to have room for. */
enum steering_ebpf_mode lanes_attach_mode(enum balance balance);
size_t lanes_attach_room(const struct lanes *ls);

/* It cannot be attached, which is logged once until it could. */
void lanes_attach_failed(struct listener *listener, const char *why);
void lanes_attach_worked(struct listener *listener);

#endif
