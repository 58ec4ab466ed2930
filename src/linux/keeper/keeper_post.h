/* What the keeper has for its supervisor. For the room alone. */
#ifndef LINUX_KEEPER_KEEPER_POST_H
#define LINUX_KEEPER_KEEPER_POST_H

#include <stdbool.h>
#include <sys/types.h>

struct keeper_signal;

/* It is to look. */
void keeper_post_wake(void);

/* In the order in which they came. As the kernel does with those that are blocked: of
   two there is one, but here only where there is no room for both. */
void keeper_post_signal(const struct keeper_signal *s);

/* Of a child, whose number is another's from now on. There is to be room for it. */
void keeper_post_death(pid_t pid, int status);
bool keeper_post_has_room(void);

/* It is about to be reaped: keeper_has_death() knows, and nobody is told yet; until
   keeper_post_death(), or for good, until keeper_post_not(). */
void keeper_post_dying(pid_t pid, int status);
void keeper_post_not(void);

#endif
