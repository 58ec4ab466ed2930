#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "linux/control/control_place.h"
#include "linux/file/place.h"

#define SUFFIX ".sock"

/* FNV-1a, 64 bits (draft-eastlake-fnv): names files apart, no more. */
static uint64_t
hash(const char *s)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
	return h;
}

/* At most so much of the name goes into the socket's: a path of a Unix socket
   has 107 bytes (unix(7)). */
#define STEM_MAX 32

static char *
name_for(const char *whole)
{
	const char *stem = strrchr(whole, '/');
	const char *dot;
	size_t len;
	char *name;

	stem = stem != NULL ? stem + 1 : whole;
	dot = strrchr(stem, '.');
	len = dot != NULL && dot != stem ? (size_t)(dot - stem) : strlen(stem);
	if (asprintf(&name, "%.*s-%016llx" SUFFIX,
	    (int)(len < STEM_MAX ? len : STEM_MAX), stem,
	    (unsigned long long)hash(whole)) < 0)
		name = NULL;
	return name;
}

char *
control_place_name(const char *path)
{
	char *plain = place_plain(path);
	char *name = plain != NULL ? name_for(plain) : NULL;

	free(plain);
	return name;
}

char *
control_place_name_of_target(const char *path)
{
	char *real = realpath(path, NULL);
	char *name = real != NULL ? name_for(real) : NULL;

	free(real);
	return name;
}

char *
control_place_name_of_app(const char *app, pid_t pid)
{
	char *name;

	if (asprintf(&name, "%s-%d" SUFFIX, app, (int)pid) < 0)
		return NULL;
	return name;
}

/* The first of the list in the variable, or NULL. */
static char *
first_of(const char *variable)
{
	const char *list = getenv(variable);

	if (list == NULL || *list != '/')
		return NULL;
	return strndup(list, strcspn(list, ":"));
}

/* The variable, which sudo, su and cron do not set, or `usual`ly where
   pam_systemd(8) has put that of the user. */
static char *
below_xdg(bool usual)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	char users[sizeof("/run/user/4294967295")];
	struct stat st;
	char *dir;

	if (xdg == NULL || *xdg != '/') {
		snprintf(users, sizeof(users), "/run/user/%u", geteuid());
		xdg = users;
		if (!usual || stat(xdg, &st) < 0 || !S_ISDIR(st.st_mode) ||
		    st.st_uid != geteuid() ||
		    (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
			return NULL;
	}
	return asprintf(&dir, "%s/clusterd", xdg) < 0 ? NULL : dir;
}

/* Nobody but us and root may put a socket of theirs there. */
static int
check_dir(const char *dir, struct error *err)
{
	struct stat st;

	if (stat(dir, &st) < 0) {
		int code = -errno;

		return error_set(err, code, "%s: %s", dir, strerror(-code));
	}
	if (!S_ISDIR(st.st_mode))
		return error_set(err, -ENOTDIR, "%s is not a directory", dir);
	if ((st.st_uid != 0 && st.st_uid != geteuid()) ||
	    (st.st_mode & (S_IWOTH | S_IWGRP)) != 0)
		return error_set(err, -EPERM, "others may write to %s", dir);
	return 0;
}

static int
make_dir(const char *dir, mode_t mode, struct error *err)
{
	int code;

	if (mkdir(dir, mode) == 0) {
		/* Whatever the umask is. */
		(void)chmod(dir, mode);
		return 0;
	}
	if (errno == EEXIST)
		return 0;
	code = -errno;
	return error_set(err, code, "cannot make %s: %s", dir,
	    strerror(-code));
}

/* Where it is to be made, if RUNTIME_DIRECTORY does not say. */
static int
usual_dir(bool usual, char **ret_dir, struct error *err)
{
	char *dir = geteuid() == 0 ? strdup("/run/clusterd") :
	    below_xdg(usual);

	if (dir == NULL)
		return error_set(err, -ENOENT, "neither RUNTIME_DIRECTORY nor "
		    "XDG_RUNTIME_DIR is set, and there is no /run/user/%u: "
		    "clusterctl does not find this clusterd; control = PATH "
		    "makes one", geteuid());
	*ret_dir = dir;
	return 0;
}

int
control_place_look(struct error *err)
{
	char *dir = first_of("RUNTIME_DIRECTORY");
	int code = dir == NULL ? usual_dir(true, &dir, err) : 0;

	if (code == 0)
		free(dir);
	return code;
}

int
control_place_make(bool usual, char **ret_dir, struct error *err)
{
	char *dir = first_of("RUNTIME_DIRECTORY");
	int code = 0;

	if (dir == NULL) {
		code = usual_dir(usual, &dir, err);
		if (code < 0)
			return code;
		code = make_dir(dir, geteuid() == 0 ? 0755 : 0700, err);
	}
	if (code == 0)
		code = check_dir(dir, err);
	if (code < 0)
		free(dir);
	else
		*ret_dir = dir;
	return code;
}

void
control_place_dirs(struct strlist *ret_dirs)
{
	char *dir = first_of("RUNTIME_DIRECTORY");

	if (dir != NULL)
		strlist_take(ret_dirs, dir);
	dir = below_xdg(true);
	/* Root's own may have been started with either. */
	if (geteuid() != 0 && dir != NULL)
		strlist_add(ret_dirs, dir);
	strlist_add(ret_dirs, "/run/clusterd");
	if (geteuid() == 0 && dir != NULL)
		strlist_add(ret_dirs, dir);
	free(dir);
}

static bool
is_socket_name(const char *name)
{
	size_t len = strlen(name), suffix = strlen(SUFFIX);

	return len > suffix && strcmp(name + len - suffix, SUFFIX) == 0;
}

int
control_place_list(const char *path, struct strlist *paths)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	if (dir == NULL)
		return errno == ENOENT ? 0 : -errno;
	while ((entry = readdir(dir)) != NULL) {
		struct stat st;

		if (is_socket_name(entry->d_name) &&
		    fstatat(dirfd(dir), entry->d_name, &st,
		    AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(st.st_mode))
			strlist_printf(paths, "%s/%s", path, entry->d_name);
	}
	closedir(dir);
	return paths->failed ? -ENOMEM : 0;
}
