/*
 * An upgrade: the keeper becomes the program that stands at its path by now, and
 * starts that one's supervisor. First the file is asked whether it understands what
 * it is to take over. If its supervisor does not begin within 10 seconds, or dies
 * before, the keeper becomes the program of before again. For the room alone.
 */
#ifndef LINUX_KEEPER_KEEPER_UPGRADE_H
#define LINUX_KEEPER_KEEPER_UPGRADE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/mono.h"
#include "linux/keeper/keeper_state.h"

/* `argv` is the program's. `supervisor`: where its pid stands, 0: none. `handover`:
   this is the program that was handed that; NULL: it was started. */
void keeper_upgrade_init(char *const argv[], const pid_t *supervisor,
    const struct keeper_handover *handover);

/* This program cannot go on: the one of before is to. keeper_upgrade_become() is due
   when there is no supervisor, which this kills. */
void keeper_upgrade_give_up(const char *why);

/* When it is to be looked at by itself. */
struct mono keeper_upgrade_due(void);

/* What was asked for, has begun, or takes too long. `stops`: there is to be no other
   supervisor. Returns whether keeper_upgrade_become() is due. */
bool keeper_upgrade_look(bool stops);

/* In a supervisor as well: it is this program's first, after another one's? */
bool keeper_upgrade_is_tried(void);

/* Was it a child of ours? */
bool keeper_upgrade_reaped(pid_t pid, int status);

/* The keeper is about to end: a file that is still being asked is killed, and awaited
   for a second at most. */
void keeper_upgrade_end(void);

/* The supervisor has died, as `words` say. Is that for an upgrade, and so
   keeper_upgrade_become() due? */
bool keeper_upgrade_took(const char *words);

/* There is no supervisor. Returns if it fails; another supervisor of this program is
   to go on then. */
void keeper_upgrade_become(bool has_been_up);

#endif
