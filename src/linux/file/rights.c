#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "core/conf/conf.h"
#include "linux/file/rights.h"

void
rights_give_back(struct rights *a)
{
	fsids_end(&a->fsids);
	if (a->groups_changed)
		(void)setgroups((size_t)a->n_groups, a->groups);
	free(a->groups);
	*a = (struct rights)RIGHTS_INIT;
}

static int
change_groups(const struct conf_creds *creds, struct rights *a)
{
	uid_t uid = creds->name != NULL ? creds->uid : geteuid();

	a->n_groups = getgroups(0, NULL);
	if (a->n_groups < 0)
		return -errno;
	a->groups = calloc((size_t)a->n_groups + 1, sizeof(*a->groups));
	if (a->groups == NULL)
		return -ENOMEM;
	a->n_groups = getgroups(a->n_groups, a->groups);
	if (a->n_groups < 0)
		return -errno;
	if (setgroups(creds->n_groups, creds->groups) == 0) {
		a->groups_changed = true;
		return 0;
	}
	/* Without privilege the worker keeps ours too (linux/child/spawn). */
	return errno == EPERM && uid == getuid() && creds->gid == getgid() ?
	    0 : -errno;
}

int
rights_take(const struct conf_creds *creds, struct rights *a)
{
	int code;

	if (!creds->set)
		return 0;
	code = change_groups(creds, a);
	if (code < 0)
		return code;
	a->fsids = fsids_begin(creds);
	return fsids_are(creds) ? 0 : -EPERM;
}

int
rights_may(const char *path, int how)
{
#ifdef SYS_faccessat2
	return syscall(SYS_faccessat2, AT_FDCWD, path, how, AT_EACCESS) < 0 ?
	    -errno : 0;
#else
	(void)path;
	(void)how;
	return 0;
#endif
}

/* The first directory on the way to `path` that may not be entered, in memory of the
   caller; NULL: none of them, or no memory. */
static char *
find_closed(const char *path)
{
	for (const char *at = strchr(path, '/'); at != NULL;
	     at = strchr(at + 1, '/')) {
		char *dir = strndup(path, at > path ? (size_t)(at - path) : 1);

		if (dir == NULL || rights_may(dir, X_OK) == -EACCES)
			return dir;
		free(dir);
	}
	return NULL;
}

int
rights_may_execute(const char *path, const char *what,
    const struct conf_creds *creds, struct error *err)
{
	struct rights rights = RIGHTS_INIT;
	const char *who = !creds->set ? "you" : creds->name != NULL ?
	    creds->name : "the group of its workers";
	char *closed = NULL;
	int code = rights_take(creds, &rights);

	if (code == 0)
		code = rights_may(path, X_OK);
	if (code == -EACCES)
		closed = find_closed(path);
	rights_give_back(&rights);
	/* Who may not act as others only looks: it is no news. */
	if (code != -EACCES)
		return 0;
	error_set(err, code, "cannot %s %s as %s: %s%s%s", what, path, who,
	    closed != NULL ? closed : "", closed != NULL ?
	    " may not be entered: " : "", strerror(-code));
	free(closed);
	return code;
}
