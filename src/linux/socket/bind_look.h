/*
 * A socket that another process binds: all that is to be known of it, by
 * linux/process/looker. It is asked for there, as most questions about a socket
 * wait for its lock, which its owner may keep: see socket_close.h.
 */
#ifndef LINUX_SOCKET_BIND_LOOK_H
#define LINUX_SOCKET_BIND_LOOK_H

#include <sys/socket.h>

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/names/address.h"
#include "core/sockets/adoption.h"
#include "linux/process/looks.h"

/* The call of bind(2) that a thread waits in. */
struct bind_look_of {
	pid_t tid;
	int fd;
	uint64_t address;
	uint64_t len;		/* of no more than a sockaddr_storage */
};

struct bind_look {
	struct sockaddr_storage bytes;
	ssize_t n;		/* of them; -errno */
	struct look_fd fd;	/* looked at if all of them are there; and of a
				   socket all that follows */
	int copy;		/* a duplicate, the caller's; -1: none … */
	bool seen;		/* … and of what it is a duplicate: */
	struct adoption_socket socket;
	bool fresh;		/* neither bound nor connected, which the kernel
				   does not bind again */
	uint64_t network;	/* as of bind_look_network(); 0: not known */
	bool shares;		/* SO_REUSEPORT, and … */
	bool reuses;		/* … SO_REUSEADDR are set */
	struct address_options wishes;	/* socket_wishes() */

	bool same_network;	/* as of inspect.h */
	char protocol[32];	/* "": not known */
	bool same_root;		/* of a Unix address: as of inspect.h */
	bool has_cwd;
	char cwd[PATH_MAX];
};

/* 0; -errno as of looker_ask(). */
int bind_look(const struct looker_whom *whom, const struct bind_look_of *call,
    struct bind_look *ret_bind);

/* The network namespace of a socket (SO_NETNS_COOKIE, Linux 5.14); 0: not
   known. */
uint64_t bind_look_network(int fd);

/* A socket that has been bound, if its inode is that. */
struct bound_look {
	int copy;		/* a duplicate, the caller's */
	bool listens;
	char interface[16];
	bool has_address;	/* of TCP; the interface is not in its options */
	struct address address;
};
int bound_look(const struct looker_whom *whom, pid_t tid, int fd, uint64_t ino,
    struct bound_look *ret_bound);

#endif
