#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "linux/file/file.h"
#include "linux/socket/socket_limits.h"

static uint64_t
read_limit(const char *path)
{
	char *text;
	size_t len;
	uint64_t value = 0;

	if (file_read(path, 64, &text, &len, NULL) < 0)
		return 0;
	text[strcspn(text, "\n")] = '\0';
	(void)num_parse(text, 1, UINT32_MAX, &value);
	free(text);
	return value;
}

unsigned
socket_somaxconn(void)
{
	return (unsigned)read_limit("/proc/sys/net/core/somaxconn");
}

size_t
socket_optmem_max(void)
{
	return (size_t)read_limit("/proc/sys/net/core/optmem_max");
}

bool
socket_aborts_on_overflow(void)
{
	return read_limit("/proc/sys/net/ipv4/tcp_abort_on_overflow") != 0;
}
