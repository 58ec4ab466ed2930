/* The control socket's file and who its peers are. */
#ifndef LINUX_CONTROL_CONTROL_SOCKET_H
#define LINUX_CONTROL_CONTROL_SOCKET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct error;

struct control_socket {
	int fd;		/* listens; non-blocking, close-on-exec; -1: none */
	char *path;
	char *also;	/* its second name, or NULL */
	dev_t dev;	/* of the file */
	ino_t ino;
};

#define CONTROL_SOCKET_INIT { .fd = -1 }

/*
 * Bind `path` and listen, by the name `also`, too, unless that is NULL: a link
 * in the same directory; mode 0600, or 0660 for `gid` unless that is
 * (uint32_t)-1. A file that nobody listens on is replaced; -EBUSY with words
 * ("already running, pid N") when somebody does; else -errno with words. `waits`:
 * at a start: up to a second for others who do the same there, -EBUSY with the same
 * words if they are about to still; and one that a supervisor before has left at
 * `path` is taken over.
 */
int control_socket_open(const char *path, const char *also, uint32_t gid,
    bool waits, struct control_socket *ret_socket, struct error *err);

/*
 * It has this second name from now on, and no other; NULL: none. -EBUSY with
 * words: another one has it, and this one has none then; -errno.
 */
int control_socket_also(struct control_socket *s, const char *also,
    struct error *err);

/* Is the file still there, and ours? */
bool control_socket_is_there(const struct control_socket *s);

/* Remove the file if it is still ours; no later supervisor gets it: it is about to
   be closed. */
void control_socket_leave(struct control_socket *s);

/* Close it, and remove the file if it is still ours. */
void control_socket_close(struct control_socket *s);

struct control_peer {
	pid_t pid;
	uid_t uid;
	bool allowed;	/* root, our own user, or a member of the group */
};

/*
 * The next client, non-blocking and close-on-exec, or -errno (accept(2)).
 */
int control_socket_accept(const struct control_socket *s, uint32_t gid,
    struct control_peer *ret_peer);

#endif
