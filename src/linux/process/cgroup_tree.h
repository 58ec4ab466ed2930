/*
 * Control groups (v2) below the one that clusterd was started in, which has to be
 * delegated to it: one for clusterd itself, since a group with controllers may have
 * none but groups in it, and one for each worker with limits. Whatever stands in
 * the file system is found again by a supervisor that comes later.
 *
 * No call waits for a process. To move one takes the kernel some milliseconds.
 */
#ifndef LINUX_PROCESS_CGROUP_TREE_H
#define LINUX_PROCESS_CGROUP_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct conf_app;
struct error;

struct cgroup_tree {
	char *dir;		/* that it is in; NULL: not begun */
	unsigned controllers;	/* bits of enum group_controller, in force */
	bool left;		/* a group could not be removed yet */
};

#define CGROUP_TREE_INIT { .dir = NULL }

/* Could those controllers be had? Nothing is changed. -errno with words. */
int cgroup_tree_check(unsigned controllers, struct error *err);

/*
 * From now on groups have these controllers too. Moves ourselves and `keeper`, with
 * all descendants of it that are there, where that was not done before. -errno with
 * words; -EBUSY: others are in the group, or too many of ours. With none it is only
 * gone on with what a supervisor before has left.
 */
int cgroup_tree_begin(struct cgroup_tree *tree, unsigned controllers,
    pid_t keeper, struct error *err);

/*
 * A group of that name with the app's limits; what is left of one of that name is
 * used. *ret_procs, which is the caller's: whoever writes "0" to it is in it. -errno
 * with words.
 */
int cgroup_tree_make(struct cgroup_tree *tree, const char *name,
    const struct conf_app *app, int *ret_procs, struct error *err);

/* If nobody is in it any more; else a _sweep() may. */
void cgroup_tree_remove(struct cgroup_tree *tree, const char *name);

/* All groups of workers in which there is nobody. */
void cgroup_tree_sweep(struct cgroup_tree *tree);

/* Where no group of a worker is left, we and `keeper` go back to where we were, and
   nothing of it is left. Frees it in any case. */
void cgroup_tree_end(struct cgroup_tree *tree, pid_t keeper);

/* Of a group of that name, or with NULL of the one that all of ours is in: its
   memory.events, to be read and polled; the caller's. -errno. */
int cgroup_tree_events(const struct cgroup_tree *tree, const char *name);

/* How many of it were killed by the OOM killer, of such a descriptor. */
bool cgroup_tree_oom_kills(int events, uint64_t *ret_n);

#endif
