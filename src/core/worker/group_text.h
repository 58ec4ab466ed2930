/*
 * The texts of control groups that hold a worker each: their names, their limits
 * and what the kernel counts in them (Documentation/admin-guide/cgroup-v2.rst).
 * Pure; the files are linux/process/cgroup_tree's.
 */
#ifndef CORE_WORKER_GROUP_TEXT_H
#define CORE_WORKER_GROUP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct conf_app;
struct strbuf;

enum group_controller {
	GROUP_MEMORY,
	GROUP_CPU,
	GROUP_TASKS,
	GROUP_CONTROLLERS
};

/* As the kernel has it: "memory", "cpu", "pids". */
const char *group_controller_name(enum group_controller which);

/* Those that an app's limits need, as bits 1 << enum group_controller; 0: it has
   no limits, and its workers no groups. */
unsigned group_controllers(const struct conf_app *app);

/* The key that such a bit stands for, "memory_limit" and so on. */
const char *group_limit_key(enum group_controller which);

/* Is the controller in the list, which is separated by blanks? */
bool group_list_has(const char *list, enum group_controller which);

/* The file of that limit, and what is written to it. The limit is there. */
const char *group_limit_file(enum group_controller which);
void group_limit_value(struct strbuf *sb, const struct conf_app *app,
    enum group_controller which);

/* Of a worker's process: web.0.17. */
#define GROUP_NAME_MAX 80
void group_name(char name[GROUP_NAME_MAX], const char *app, unsigned instance,
    uint64_t serial);

/* Is it the name of such a one? */
bool group_is_name(const char *name);

/* Of the group that clusterd itself is in, then: _clusterd.4711, of its keeper's
   pid, so that one which a worker runs does not take it for its own. */
void group_own_name(char name[GROUP_NAME_MAX], pid_t keeper);

/* Is it the name of such a one, of whatever clusterd? */
bool group_is_own_name(const char *name);

/* If the path ends in that of this keeper: how long what it lies in is; else 0. */
size_t group_above_own(const char *path, pid_t keeper);

/* "oom_kill 3" in the lines of memory.events; false: there is none. */
bool group_event(const char *events, const char *name, uint64_t *ret_n);

#endif
