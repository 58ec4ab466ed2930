/* From a control group into one below it, and back: ourselves, with all that is ours. */
#ifndef LINUX_PROCESS_CGROUP_MOVE_H
#define LINUX_PROCESS_CGROUP_MOVE_H

#include <stdbool.h>
#include <sys/types.h>

struct error;

/*
 * Us, `keeper` and all its descendants, from `dir` into its group `own`, which is made
 * where it is not there; or what is left of that to be done, where somebody was killed
 * in the middle. -errno with words, and all of `own` are in `dir`; -EBUSY: there are
 * others in it, or too many of ours. To move one takes the kernel some milliseconds.
 */
int cgroup_move_in(const char *dir, const char *own, pid_t keeper,
    struct error *err);

/* All of `own` into `dir`, if there may be processes; then `own` is removed. Fine where
   there is none. */
void cgroup_move_back(const char *dir, const char *own);

/* Is anybody in it? */
bool cgroup_has_members(const char *dir);

#endif
