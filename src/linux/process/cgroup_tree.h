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

#include "base/str.h"

struct conf_app;
struct error;

struct cgroup_tree {
	char *dir;		/* that it is in; NULL: not begun */
	char *own;		/* our group's name in it */
	unsigned controllers;	/* bits of enum group_controller, in force */
	struct strlist left;	/* names of groups that somebody was in still */
	size_t left_next;	/* whose turn it is of them */
};

#define CGROUP_TREE_INIT { .dir = NULL }

/* Could those controllers be had? Nothing is changed. -errno with words. */
int cgroup_tree_check(unsigned controllers, pid_t keeper, struct error *err);

/*
 * From now on groups have these controllers too, as far as `controllers` of the tree
 * says: -errno with words for the first that cannot be had. Moves ourselves and
 * `keeper`, with all descendants of it that are there, where that was not done before;
 * what other clusterds have left behind is removed. With none it is only gone on with
 * what a supervisor before has left. One that was killed while it moved is no matter:
 * that is finished, or undone where none can be had. Where this fails nothing has
 * changed.
 */
int cgroup_tree_begin(struct cgroup_tree *tree, unsigned controllers,
    pid_t keeper, struct error *err);

/*
 * A group of that name with those of the app's limits that can be had; -EEXIST: there
 * is one already, which is left as it is. *ret_procs, which is the caller's: whoever writes "0"
 * to it is in it. -errno with words.
 */
int cgroup_tree_make(struct cgroup_tree *tree, const char *name,
    const struct conf_app *app, int *ret_procs, struct error *err);

/* Is there one of that name, which a supervisor before has made? */
bool cgroup_tree_has(struct cgroup_tree *tree, const char *name);

/* If nobody is in it any more; else a _sweep() may. */
void cgroup_tree_remove(struct cgroup_tree *tree, const char *name);

/* Those that were left, a few at a time, in which there is nobody now. */
void cgroup_tree_sweep(struct cgroup_tree *tree);

/* All of our own group go back to where it was made, and nothing of it is left; nor of
   the workers' groups, but for those that somebody is in still: he is without limits
   from now on. Frees it in any case. */
void cgroup_tree_end(struct cgroup_tree *tree);

/* Of a group of that name: its memory.events, to be read and polled; the caller's.
   -errno. */
int cgroup_tree_events(const struct cgroup_tree *tree, const char *name);

/* The same of the one that all are in who have none of their own. *ret_ours: we have
   made it, and it has no limit; else it is others' affair, too. */
int cgroup_tree_events_of_us(const struct cgroup_tree *tree, bool *ret_ours);

/* Of such a descriptor: how many of it were killed by the OOM killer, and how often
   that was at its own limit, not at one above. False: it is gone. */
bool cgroup_tree_oom_kills(int events, uint64_t *ret_kills,
    uint64_t *ret_own);

#endif
