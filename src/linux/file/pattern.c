#include <errno.h>
#include <glob.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "linux/file/pattern.h"

/* Why the search under way was ended: musl's glob() says GLOB_NOMATCH then,
 * where nothing was found before. */
static int refusal;

/* Nonzero: it ends. */
static int
refused(const char *path, int code)
{
	(void)path;
	if (code == ENOENT || code == ENOTDIR)
		return 0;
	refusal = code;
	return 1;
}

int
pattern_list(const char *pattern, struct strlist *ret_paths, struct error *err)
{
	glob_t found = { .gl_pathc = 0 };
	int code = 0, r;

	refusal = 0;
	/* Sorted as by strcoll(3): by bytes, as nobody sets a locale. */
	r = glob(pattern, 0, refused, &found);
	if (r == GLOB_NOSPACE)
		code = -ENOMEM;
	else if (refusal != 0)
		code = -refusal;
	else if (r != 0 && r != GLOB_NOMATCH)
		code = -EIO;
	for (size_t i = 0; code == 0 && i < found.gl_pathc; i++)
		strlist_add(ret_paths, found.gl_pathv[i]);
	if (ret_paths->failed)
		code = -ENOMEM;
	globfree(&found);
	return code < 0 ? error_set(err, code, "cannot look for %s: %s",
	    pattern, strerror(-code)) : 0;
}
