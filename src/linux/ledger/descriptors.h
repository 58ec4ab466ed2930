/*
 * Descriptors that another process has left in a table that is shared with it, by
 * their numbers.
 */
#ifndef LINUX_LEDGER_DESCRIPTORS_H
#define LINUX_LEDGER_DESCRIPTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct descriptors {
	int *v;		/* ascending; owned, as is what they stand for */
	size_t n;
};

/* All that are open now but standard streams and those of which `but` says so; NULL:
   of none. -errno. */
int descriptors_list(bool (*but)(int fd), struct descriptors *ret_descriptors);

/* Is it the socket with that inode? A number alone says nothing: it may have
   been closed, and be another one's. */
bool descriptor_is_socket(int fd, uint64_t ino);

/* Is it there, and was not taken? */
bool descriptors_has(const struct descriptors *descriptors, int fd);

/* It is somebody else's from now on. False: it is not there, or was taken. */
bool descriptors_take(struct descriptors *descriptors, int fd);

/*
 * Close what is left, without waiting for anybody; but what is no socket, pipe or
 * file `before`, or NULL, sees, and it stays: nobody is at its other end, and with an
 * epoll goes each of its watches.
 */
void descriptors_close(struct descriptors *descriptors,
    void (*before)(void *ctx, int fd), void *ctx);

/* Close one of those that have stayed. False: none is left, and the memory is
   freed. */
bool descriptors_close_rest(struct descriptors *descriptors);

#endif
