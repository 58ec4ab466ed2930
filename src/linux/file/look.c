#include <sys/stat.h>

#include <errno.h>

#include "core/conf/conf_host.h"
#include "linux/file/look.h"

int
look_at(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ?
		    CONF_LOOK_NOTHING : CONF_LOOK_UNKNOWN;
	if (S_ISDIR(st.st_mode))
		return CONF_LOOK_DIRECTORY;
	if (S_ISSOCK(st.st_mode))
		return CONF_LOOK_SOCKET;
	/* By anybody: who that will be is another question. */
	return S_ISREG(st.st_mode) &&
	    (st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) != 0 ?
	    CONF_LOOK_PROGRAM : CONF_LOOK_FILE;
}
