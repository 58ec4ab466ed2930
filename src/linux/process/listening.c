#include <netinet/tcp.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/names/address.h"
#include "linux/file/file.h"
#include "linux/process/listening.h"
#include "linux/process/tree_sockets.h"

#define TABLE_MAX	(1024 * 1024)

/* So long a tree's sockets are collected. */
#define SEARCH_MS	20

/*
 * The address of a line of /proc/net/tcp or tcp6, where 32-bit words stand as
 * this machine has them. "Every address" of IPv6 is taken to be of both.
 */
static void
read_address(const char *hex, unsigned port, struct address *ret_address)
{
	static const uint8_t nought[16];
	struct address a = { .kind = ADDRESS_TCP, .port = (uint16_t)port };
	size_t words = strlen(hex) / 8;

	for (size_t i = 0; i < words && i < 4; i++) {
		char word[9];
		uint32_t value;

		memcpy(word, hex + 8 * i, 8);
		word[8] = '\0';
		value = (uint32_t)strtoul(word, NULL, 16);
		memcpy(a.ip + 4 * i, &value, 4);
	}
	a.host = words == 1 ? ADDRESS_HOST_IPV4 :
	    memcmp(a.ip, nought, sizeof(nought)) == 0 ? ADDRESS_HOST_ANY :
	    ADDRESS_HOST_IPV6;
	*ret_address = a;
}

static bool
find(const char *table, uint64_t ino, struct address *ret_address)
{
	char *text, *line, *rest;
	bool found = false;
	size_t len;

	if (file_read_start(table, TABLE_MAX, &text, &len) < 0)
		return false;
	for (line = strtok_r(text, "\n", &rest); line != NULL && !found;
	    line = strtok_r(NULL, "\n", &rest)) {
		unsigned port, state;
		char hex[33];
		uint64_t its;

		if (sscanf(line, " %*u: %32[0-9A-F]:%x %*s %x %*s %*s %*s %*u "
		    "%*d %" SCNu64, hex, &port, &state, &its) != 4 ||
		    state != TCP_LISTEN || its != ino)
			continue;
		read_address(hex, port, ret_address);
		found = true;
	}
	free(text);
	return found;
}

bool
listening_find(uint64_t ino, struct address *ret_address)
{
	return find("/proc/self/net/tcp", ino, ret_address) ||
	    find("/proc/self/net/tcp6", ino, ret_address);
}

/* The sockets of a tree; of very many the first. */
struct sockets {
	uint64_t inos[1024];
	size_t n;
};

static void
note(void *ctx, const struct tree_socket *socket)
{
	struct sockets *s = ctx;

	if (s->n < sizeof(s->inos) / sizeof(s->inos[0]))
		s->inos[s->n++] = socket->ino;
}

static bool
has(const struct sockets *s, uint64_t ino)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->inos[i] == ino)
			return true;
	return false;
}

static bool
search(const char *table, const struct sockets *sockets, uint16_t *ret_port)
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
		    state != TCP_LISTEN || !has(sockets, ino))
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
	struct tree_sockets tree = { .pids = NULL };
	struct sockets sockets = { .n = 0 };

	if (tree_sockets_begin(&tree, &leader, 1) == 0)
		(void)tree_sockets_step(&tree, SEARCH_MS, note, &sockets);
	tree_sockets_end(&tree);
	return sockets.n > 0 &&
	    (search("/proc/self/net/tcp", &sockets, ret_port) ||
	    search("/proc/self/net/tcp6", &sockets, ret_port));
}
