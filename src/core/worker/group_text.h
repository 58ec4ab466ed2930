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

/* Of a worker's process: web.0.00f1e2d3c4b5a697.17, by the run of the program and
   the number of the process in it, so that no other run has one of that name. */
#define GROUP_NAME_MAX 96
void group_name(char name[GROUP_NAME_MAX], const char *app, unsigned instance,
    uint64_t run_id, uint64_t serial);

/* Is it the name of such a one? */
bool group_is_name(const char *name);

/* Of the group that clusterd itself is in, then: _clusterd.4711.90125, of its keeper's
   pid and when that was started, so that nobody else takes it for its own: not one
   that a worker runs, nor one of that pid later. */
void group_own_name(char name[GROUP_NAME_MAX], pid_t keeper, uint64_t started);

/* Is it the name of such a one, and whose? */
bool group_own_parse(const char *name, pid_t *ret_keeper,
    uint64_t *ret_started);

/* If the path ends in that name: how long what it lies in is; else 0. */
size_t group_above_own(const char *path, const char *own);

/* "oom_kill 3" in the lines of memory.events; false: there is none. */
bool group_event(const char *events, const char *name, uint64_t *ret_n);

#endif
