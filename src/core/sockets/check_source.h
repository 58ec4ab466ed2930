/*
 * Where a connection of clusterd's own comes from: an address and a port that it
 * has bound before it connects, so that they are nobody else's. By these a
 * program that chooses knows which lane it means.
 */
#ifndef CORE_SOCKETS_CHECK_SOURCE_H
#define CORE_SOCKETS_CHECK_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

struct check_source {
	bool ipv6;
	uint8_t ip[16];		/* network order; IPv4: the first four, the
				   others are 0 */
	uint16_t port;		/* host order */
};

#endif
