#include <errno.h>
#include <glob.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "linux/file/pattern.h"

/* Nonzero: it ends, and errno says why. */
static int
refused(const char *path, int code)
{
	(void)path;
	errno = code;
	return code != ENOENT && code != ENOTDIR;
}

int
pattern_list(const char *pattern, struct strlist *ret_paths, struct error *err)
{
	glob_t found = { .gl_pathc = 0 };
	int code = 0, r;

	errno = 0;
	/* Sorted as by strcoll(3): by bytes, as nobody sets a locale. */
	r = glob(pattern, 0, refused, &found);
	if (r == GLOB_NOSPACE)
		code = -ENOMEM;
	else if (r != 0 && r != GLOB_NOMATCH)
		code = errno != 0 ? -errno : -EIO;
	for (size_t i = 0; code == 0 && i < found.gl_pathc; i++)
		strlist_add(ret_paths, found.gl_pathv[i]);
	if (ret_paths->failed)
		code = -ENOMEM;
	globfree(&found);
	return code < 0 ? error_set(err, code, "cannot look for %s: %s",
	    pattern, strerror(-code)) : 0;
}
