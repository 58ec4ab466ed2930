#include <netinet/tcp.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linux/file/file.h"
#include "linux/process/listening.h"
#include "linux/process/waiting.h"

#define TABLE_MAX	(1024 * 1024)

static bool
search(const char *table, pid_t leader, uint16_t *ret_port)
{
	char *text, *line, *rest;
	bool found = false;
	size_t len;

	if (file_read_start(table, TABLE_MAX, &text, &len) < 0)
		return false;
	for (line = strtok_r(text, "\n", &rest); line != NULL && !found;
	    line = strtok_r(NULL, "\n", &rest)) {
		unsigned port, state;
		uint64_t ino;

		/* proc(5): "sl: ADDRESS:PORT ADDRESS:PORT st tx:rx tr:when
		   retrnsmt uid timeout inode …" */
		if (sscanf(line, " %*u: %*[0-9A-F]:%x %*s %x %*s %*s %*s %*u "
		    "%*d %" SCNu64, &port, &state, &ino) != 3 ||
		    state != TCP_LISTEN || !waiting_holds(leader, ino, 0))
			continue;
		*ret_port = (uint16_t)port;
		found = true;
	}
	free(text);
	return found;
}

bool
listening_port(pid_t leader, uint16_t *ret_port)
{
	return search("/proc/self/net/tcp", leader, ret_port) ||
	    search("/proc/self/net/tcp6", leader, ret_port);
}
