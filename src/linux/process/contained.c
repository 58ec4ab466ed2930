#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux/process/contained.h"

static bool
has_variable(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && *value != '\0';
}

/* Not all IDs are mapped, each to itself (user_namespaces(7)). */
static bool
is_root_of_some(void)
{
	unsigned long inside = 0, outside = 0, n = 0;
	FILE *file = fopen("/proc/self/uid_map", "re");
	bool some = false;

	if (file == NULL)
		return false;
	if (fscanf(file, "%lu %lu %lu", &inside, &outside, &n) == 3)
		some = inside != outside || n < 0xffffffff;
	fclose(file);
	return some;
}

bool
process_is_contained(void)
{
	return getpid() == 1 || has_variable("container") ||
	    has_variable("KUBERNETES_SERVICE_HOST") ||
	    access("/.dockerenv", F_OK) == 0 ||
	    access("/run/.containerenv", F_OK) == 0 || is_root_of_some();
}
