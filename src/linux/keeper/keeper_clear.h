/* What a supervisor that was killed has left. */
#ifndef LINUX_KEEPER_KEEPER_CLEAR_H
#define LINUX_KEEPER_KEEPER_CLEAR_H

#include <stdbool.h>
#include <sys/types.h>

#include "linux/ledger/descriptors.h"

struct ledger;

/* Note the children that we have already: they are none of our business. */
void keeper_note_strangers(void);

/* This child is reaped: whoever gets its number is somebody else. Was it a
   stranger? */
bool keeper_reaped(pid_t pid);

/* Was it a child of the keeper's before there was any supervisor? */
bool keeper_is_stranger(pid_t pid);

/*
 * Kill the children that there are, but for strangers, with their groups; `spare`:
 * no others than the workers in the ledger, or where there is none: only look.
 * Returns whether there was any. Asks for no memory.
 */
bool keeper_kill_children(const struct ledger *ledger, bool spare);

/* In the next supervisor, before anything else: note what the one before had open.
   What the program was started with is not among it, nor what the keeper and the
   log have. And hand that over, once. */
void keeper_note_left(void);
struct descriptors keeper_take_left(void);

/* For the room: who the strangers are, from one program to the next. -errno. */
int keeper_clear_hand_over(int fd);
int keeper_clear_take(int fd);

#endif
