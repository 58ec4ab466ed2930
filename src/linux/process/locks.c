#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linux/file/file.h"
#include "linux/process/locks.h"

#define TABLE_MAX	(256 * 1024)

/* proc_locks(5): "1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE START END";
   those that only wait for one have "->" before the kind. */
static bool
is_of(const char *line, pid_t pid)
{
	char kind[16], mode[16];
	long holder;

	return sscanf(line, "%*d: %15s %*s %15s %ld", kind, mode,
	    &holder) == 3 && holder == pid && strcmp(mode, "WRITE") == 0 &&
	    (strcmp(kind, "FLOCK") == 0 || strcmp(kind, "POSIX") == 0);
}

bool
locks_held(pid_t pid)
{
	char *text, *line, *rest;
	bool found = false;
	size_t len;

	if (file_read_start("/proc/locks", TABLE_MAX, &text, &len) < 0)
		return false;
	for (line = strtok_r(text, "\n", &rest); line != NULL && !found;
	    line = strtok_r(NULL, "\n", &rest))
		found = is_of(line, pid);
	free(text);
	return found;
}
