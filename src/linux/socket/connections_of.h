/* What of linux/socket/connections.h its search knows, too. */
#ifndef LINUX_SOCKET_CONNECTIONS_OF_H
#define LINUX_SOCKET_CONNECTIONS_OF_H

#include <stdint.h>

/* A listener, by what its connections are told. */
struct connections_of {
	int family;		/* AF_INET, AF_INET6, AF_UNIX */
	uint16_t port;
	uint64_t ino;		/* of the listening socket; AF_UNIX only */
	uint64_t file;		/* … or of the file that it had, if there is no
				   such socket any more */
};

/* Of more, and of more processes, -E2BIG. */
#define CONNECTIONS_OF_MAX	256
#define CONNECTIONS_ROOTS_MAX	256

#endif
