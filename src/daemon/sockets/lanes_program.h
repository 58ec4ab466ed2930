/*
 * The programs that choose among a listener's lanes in the kernel, for
 * daemon/lanes alone: when they are built, attached and told of changes.
 */
#ifndef DAEMON_LANES_PROGRAM_H
#define DAEMON_LANES_PROGRAM_H

struct error;
struct lane;
struct listener;

/* A lane was added to the list: is there room for it? -errno with words. */
int lanes_program_room(struct listener *listener, struct error *err);

/* It is about to enter the kernel's group, or has entered it. */
void lanes_program_joining(struct lane *lane);
void lanes_program_joined(struct lane *lane);

/* It is about to leave the group, and to enter it again at once. */
void lanes_program_leaving(const struct lane *lane);

/* See that the kernel still knows it: its holder may have shut it down and
   begun to listen again. */
void lanes_program_check(struct lane *lane);

/* The live lanes, or their places in the group, have changed. */
void lanes_program_again(struct listener *listener);

void lanes_program_free(struct listener *listener);

#endif
