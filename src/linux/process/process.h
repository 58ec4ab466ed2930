/*
 * Child processes: their deaths, their groups, and what they leave behind.
 *
 * A pid may be signalled as long as process_reap() has not taken it: the zombie
 * keeps its number. Nothing else in the program waits for children.
 */
#ifndef LINUX_PROCESS_PROCESS_H
#define LINUX_PROCESS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct exit_status;

/* A child that is dead and not reaped, with its status, or 0. The kernel looks
   at one child after the other (a tenth of a microsecond each). */
pid_t process_next_dead(struct exit_status *ret_status);

/* Is this one a child of ours that is dead and not reaped? */
bool process_is_dead(pid_t pid, struct exit_status *ret_status);

/* Reap a dead child: its pid is free from now on. */
void process_reap(pid_t pid);

/*
 * Another process's children are ours too from now on, but for ourselves and those
 * that `but` names: it is the one that reaps them. They are among the children
 * of the functions below, and die behind our back: no _dead() tells of it. A second
 * one takes the place of the first.
 */
void process_foster(pid_t parent, bool (*but)(void *ctx, pid_t pid), void *ctx);

/* For child_scan: 0, there is none; and does this child of it count? */
pid_t process_foster_parent(void);
bool process_foster_counts(pid_t pid);

/* Is it one of these? */
bool process_is_fostered(pid_t pid);

/* What no other process has had since the machine was started, or hardly: 0, there
   is none of that number. */
uint64_t process_identity(pid_t pid);

/* Is who has had this number and identity, of whosever children, dead, reaped or not?
   Of one that cannot be looked at, as long as its number is somebody's, it is not. */
bool process_has_ended(pid_t pid, uint64_t identity);

/* When it was started, in ticks since the machine was; 0: there is none of that number,
   or it cannot be told. */
uint64_t process_start(pid_t pid);

/* Signal a process group; the group's leader must be an unreaped child, or one
   of its members must have been seen by process_children() just now. */
void process_kill_group(pid_t pgid, int signo);

/* Signal one process: an unreaped child. */
void process_kill(pid_t pid, int signo);

/*
 * The pids of all present children, zombies included: ours, and the orphans
 * that we got as a subreaper. The caller frees *ret_pids. 0 or -errno.
 */
int process_children(pid_t **ret_pids, size_t *ret_n);

/* Copy the value of variable `name` in the environment that `pid` was executed
   with (in its first 256 KiB); false: not there, not readable, or longer than
   `size`. */
bool process_env(pid_t pid, const char *name, char *value, size_t size);

/*
 * Does /proc speak of our pid namespace? In a new one without a mount of its
 * own, its numbers are another namespace's, and would hit the wrong processes.
 */
bool process_proc_is_ours(void);
/* The name of a process, as ps(1) shows it; false: "?", there is none, or it
   cannot be told. */
bool process_name(pid_t pid, char *name, size_t size);

/* Is there any child, dead or alive? */
bool process_has_children(void);

/* Is this one a child of ours, dead or alive? */
bool process_is_child(pid_t pid);

/* Has this process group a member that is a child of ours, alive or not? */
bool process_child_in_group(pid_t pgid);

struct process_stat {
	char state;	/* 'Z' for a zombie, … (proc(5)) */
	pid_t parent;
	pid_t group;
};

/* False: no such process, or it cannot be looked at. By /proc/PID/status, which waits
   for nobody: /proc/PID/stat does for one in the middle of an execve(2), which may wait
   for its files (seen with Linux 6.18). */
bool process_stat(pid_t pid, struct process_stat *ret_stat);

/* Adopt orphaned descendants (PR_SET_CHILD_SUBREAPER); harmless as pid 1.
   -errno. */
int process_become_subreaper(void);

#endif
