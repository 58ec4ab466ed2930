/*
 * What is looked up in other processes while everything else waits: by
 * linux/process/looker, so that nobody is held up by them. Each returns what
 * looker_ask() does, where it says nothing else.
 */
#ifndef LINUX_PROCESS_LOOKS_H
#define LINUX_PROCESS_LOOKS_H

#include <sys/socket.h>

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "linux/process/inspect.h"
#include "linux/process/looker.h"
#include "linux/process/usage.h"
#include "linux/process/waiting.h"

/* A descriptor of a thread. */
struct look_fd {
	enum inspect_kind kind;
	uint64_t ino;		/* of a socket */
	unsigned flags;		/* as of inspect_fd_flags() … */
	int flags_code;		/* … or its error */
};
int look_fd(const struct looker_whom *whom, pid_t tid, int fd,
    struct look_fd *ret_fd);

/* The same, by whoever may be held up. */
void look_fd_here(pid_t tid, int fd, struct look_fd *ret_fd);

/* Who else refers to a socket: descriptors, and entries in epoll instances. More
   than these are not told. */
#define LOOK_TWINS_MAX		16
#define LOOK_ENTRIES_MAX	LOOKER_FDS_MAX

struct look_kin {
	struct {
		int fd;
		unsigned flags;
	} twins[LOOK_TWINS_MAX];
	size_t n_twins;
	struct {
		int epoll;	/* a duplicate, the caller's */
		int number;
		uint32_t events;
		uint64_t data;
	} entries[LOOK_ENTRIES_MAX];
	size_t n_entries;
};
int look_kin(const struct looker_whom *whom, pid_t tid, int fd, uint64_t ino,
    struct look_kin *ret_kin);

/* waiting_look() at most at so many sockets, of the tree below whom->pid. Where
   there is no answer, that is WAITING_HELD_UP. How long it is waited for: as for any
   look, or as of `once` and `later` of looker_question. */
#define LOOK_INOS_MAX		256
enum look_wait {
	LOOK_WAIT,
	LOOK_ONCE,
	LOOK_LATER,
};
enum waiting look_waiting(const struct looker_whom *whom, const uint64_t *inos,
    size_t n, enum look_wait wait, int *ret_code);

/* waiting_holds(), of the tree below `pid`: 1: yes, or it will never be seen; 0;
   -errno: it was not seen, for now. */
int look_holds(const struct looker_whom *whom, pid_t pid, uint64_t ino,
    int given, int n_given);

/* listening_port() of whom->pid: 1; 0; -errno: it was not seen, for now. */
int look_listening_port(const struct looker_whom *whom, uint16_t *ret_port);

/* usage_of_tree() of whom->pid; false also where there is no answer. */
bool look_usage(const struct looker_whom *whom, struct usage *ret_usage);

/* process_env() of whom->pid, of no more than 255 characters; -ENODATA: not
   there, not readable, longer. */
int look_env(const struct looker_whom *whom, const char *name, char *value,
    size_t size);

#endif
