/* From a control group into one below it: ourselves, with all that is ours. */
#ifndef LINUX_PROCESS_CGROUP_MOVE_H
#define LINUX_PROCESS_CGROUP_MOVE_H

#include <sys/types.h>

struct error;

/*
 * Us, `keeper` and all its descendants, from `dir` into its group `own`, which is made
 * where it is not there. -errno with words; -EBUSY: there are others in it, or
 * too many of ours. To move one takes the kernel some milliseconds.
 */
int cgroup_move_in(const char *dir, const char *own, pid_t keeper,
    struct error *err);

/* Us and `keeper` back again, where there may be processes; then `own` is removed. */
void cgroup_move_back(const char *dir, const char *own, pid_t keeper);

#endif
