/* What a supervisor that was killed has left. */
#ifndef LINUX_KEEPER_KEEPER_CLEAR_H
#define LINUX_KEEPER_KEEPER_CLEAR_H

#include <stdbool.h>
#include <sys/types.h>

/* Note the children that we have already: they are none of our business. */
void keeper_note_strangers(void);

/* This child is reaped: whoever gets its number is somebody else. */
void keeper_reaped(pid_t pid);

/*
 * Kill the children that there are, but for strangers, with their groups; `spare`:
 * only look. Returns whether there was any. Asks for no memory.
 */
bool keeper_kill_children(bool spare);

/* In the next supervisor, before anything else: close what the one before had
   open, waiting for nobody. What the program was started with stays, and so does
   what the keeper and the log have. */
void keeper_close_left(void);

#endif
