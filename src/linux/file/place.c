#include <sys/stat.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "linux/file/place.h"

/* Is there a "." or ".." among its parts? */
static bool
has_dots(const char *path)
{
	for (const char *at = path; (at = strstr(at, "/.")) != NULL; at += 2) {
		const char *end = at + 2 + (at[2] == '.');

		if (*end == '/' || *end == '\0')
			return true;
	}
	return false;
}

char *
place_shell_cwd(void)
{
	const char *pwd = getenv("PWD");
	struct stat there, here;

	if (pwd == NULL || *pwd != '/' || has_dots(pwd) ||
	    stat(pwd, &there) < 0 || stat(".", &here) < 0 ||
	    there.st_dev != here.st_dev || there.st_ino != here.st_ino)
		return NULL;
	return strdup(pwd);
}

char *
place_cwd(void)
{
	char *cwd = place_shell_cwd();

	return cwd != NULL ? cwd : getcwd(NULL, 0);
}

char *
place_absolute(const char *file)
{
	struct strbuf path = STRBUF_INIT;
	char *cwd, *text;

	if (*file == '/')
		return strdup(file);
	cwd = place_cwd();
	if (cwd == NULL)
		return NULL;
	strbuf_printf(&path, "%s/%s", strcmp(cwd, "/") == 0 ? "" : cwd, file);
	free(cwd);
	text = strbuf_take(&path);
	if (text == NULL)
		errno = ENOMEM;
	return text;
}

/* The last part of what there is so far, if ".." leads back over it. */
static char *
find_parent(char *plain)
{
	char *slash = strrchr(plain, '/');
	struct stat st;

	/* The root's parent is the root. */
	if (slash == NULL)
		return plain;
	if (strcmp(slash, "/..") == 0 || lstat(plain, &st) < 0 ||
	    !S_ISDIR(st.st_mode))
		return NULL;
	return slash;
}

char *
place_plain(const char *path)
{
	char *plain = malloc(strlen(path) + 2), *parent;
	size_t len = 0;

	if (plain == NULL)
		return NULL;
	plain[0] = '\0';
	for (const char *at = path; *at != '\0';) {
		size_t n;

		at += strspn(at, "/");
		n = strcspn(at, "/");
		parent = n == 2 && memcmp(at, "..", 2) == 0 ?
		    find_parent(plain) : NULL;
		if (parent != NULL) {
			len = (size_t)(parent - plain);
		} else if (n > 0 && (n > 1 || *at != '.')) {
			plain[len++] = '/';
			memcpy(plain + len, at, n);
			len += n;
		}
		plain[len] = '\0';
		at += n;
	}
	if (len == 0)
		strcpy(plain, "/");
	return plain;
}
