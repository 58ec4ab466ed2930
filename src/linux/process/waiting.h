/*
 * Does a process tree wait for connections? Seen from /proc, without its help:
 * a thread sits in accept(2), poll(2), select(2) or a receive on one of the
 * sockets, or an epoll instance has one among its targets. What waits through
 * io_uring cannot be seen.
 */
#ifndef LINUX_PROCESS_WAITING_H
#define LINUX_PROCESS_WAITING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* More processes of one tree than this are not looked at. */
#define WAITING_PROCESSES_MAX 256

enum waiting {
	WAITING_NO,
	WAITING_YES,
	WAITING_REFUSED,	/* NO, and not all of it could be looked at */
	WAITING_BLIND,		/* NO, but it has an io_uring, or very many
				   processes: it may wait all the same */
	WAITING_LATE,		/* NO, and there was no time for the rest */
};

/*
 * `leader` and its descendants; `inos` are inodes of sockets. To be called
 * between inspect_begin() and inspect_end().
 */
enum waiting waiting_look(pid_t leader, const uint64_t *inos, size_t n);

/* Has one of these processes a descriptor of the socket, by a number that is
   none of the `n` from `given` on? WAITING_REFUSED: that cannot be looked at;
   WAITING_LATE: not in short time. */
enum waiting waiting_find_holder(pid_t leader, uint64_t ino, int given, int n);

/* The same: true also where that cannot be said. */
bool waiting_holds(pid_t leader, uint64_t ino, int given, int n);

#endif
