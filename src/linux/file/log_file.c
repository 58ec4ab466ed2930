#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "core/conf/conf.h"
#include "linux/file/log_file.h"
#include "linux/file/rights.h"

/* ---- opening ---- */

static const char *
open_words(int code)
{
	switch (code) {
	case -ELOOP:
		return "it is a symbolic link, which is not followed";
	case -ENXIO:
		return "it is a FIFO that nobody reads, or a socket";
	default:
		return strerror(-code);
	}
}

static int
open_now(const char *path, struct log_file *ret_file)
{
	struct log_file file = LOG_FILE_INIT;
	struct stat st;
	int code = 0;

	file.fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC |
	    O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0640);
	if (file.fd < 0)
		return -errno;
	if (fstat(file.fd, &st) < 0)
		code = -errno;
	else if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode) &&
	    !S_ISCHR(st.st_mode))
		code = -EINVAL;
	if (code < 0) {
		fd_close(&file.fd);
		return code;
	}
	file.regular = S_ISREG(st.st_mode);
	file.size = st.st_size;
	file.dev = st.st_dev;
	file.ino = st.st_ino;
	*ret_file = file;
	return 0;
}

/* As whom, where that is somebody else than clusterd; else as `ours`, or NULL. */
static int
cannot(const char *what, const char *path, const struct conf_creds *creds,
    const char *ours, int code, struct error *err)
{
	const char *name = !creds->set ? ours : creds->name;

	return error_set(err, code, "cannot %s %s%s%s: %s", what, path,
	    name != NULL ? " as " : "", name != NULL ? name :
	    creds->set ? " with the group of its workers" : "",
	    open_words(code));
}

int
log_file_open(const char *path, const struct conf_creds *creds,
    struct log_file *ret_file, struct error *err)
{
	struct rights rights = RIGHTS_INIT;
	int code = rights_take(creds, &rights);

	if (code == 0)
		code = open_now(path, ret_file);
	rights_give_back(&rights);
	return code < 0 ? cannot("open", path, creds, NULL, code, err) : 0;
}

void
log_file_of(int fd, struct log_file *ret)
{
	struct stat st = { .st_mode = 0 };

	(void)fstat(fd, &st);
	*ret = (struct log_file){
		.fd = fd, .regular = S_ISREG(st.st_mode), .size = st.st_size,
		.dev = st.st_dev, .ino = st.st_ino,
	};
}

/* What open_now() says of something else than a file. */
static int
judge_kind(mode_t mode)
{
	if (S_ISLNK(mode))
		return -ELOOP;
	if (S_ISDIR(mode))
		return -EISDIR;
	return S_ISSOCK(mode) ? -ENXIO : 0;
}

int
log_file_may_open(const char *path, const struct conf_creds *creds,
    struct error *err)
{
	struct rights rights = RIGHTS_INIT;
	const char *slash = strrchr(path, '/');
	char *dir = strndup(path, slash > path ? (size_t)(slash - path) : 1);
	struct stat st;
	int code = dir != NULL ? rights_take(creds, &rights) : -ENOMEM;

	if (code == 0 && lstat(path, &st) == 0) {
		code = judge_kind(st.st_mode);
		if (code == 0)
			code = rights_may(path, W_OK);
	} else if (code == 0) {
		code = rights_may(dir, W_OK | X_OK);
	}
	rights_give_back(&rights);
	free(dir);
	/* Who may not act as others only looks: it is no news. */
	return code == -EACCES || code == -ENOENT || code == -ELOOP ||
	    code == -EROFS || code == -EISDIR || code == -ENXIO ?
	    cannot("open", path, creds, "you", code, err) : 0;
}

/* ---- rotation ---- */

static bool
name_of(char *name, size_t size, const char *path, unsigned i)
{
	int n = i == 0 ? snprintf(name, size, "%s", path) :
	    snprintf(name, size, "%s.%u", path, i);

	return n > 0 && (size_t)n < size;
}

static int
rename_to(const char *path, unsigned from, unsigned to)
{
	char old[PATH_MAX], new[PATH_MAX];

	if (!name_of(old, sizeof(old), path, from) ||
	    !name_of(new, sizeof(new), path, to))
		return -ENAMETOOLONG;
	return rename(old, new) < 0 ? -errno : 0;
}

/* The first number from 1 to `keep` that is free, or `keep`. */
static unsigned
free_number(const char *path, unsigned keep)
{
	char name[PATH_MAX];
	struct stat st;
	unsigned i = 1;

	while (i < keep && name_of(name, sizeof(name), path, i) &&
	    lstat(name, &st) == 0)
		i++;
	return i;
}

static bool
leads_to(const char *path, const struct log_file *file)
{
	struct stat st;

	return lstat(path, &st) == 0 && st.st_dev == file->dev &&
	    st.st_ino == file->ino;
}

static int
make_room(const char *path, unsigned keep)
{
	int code = 0;

	for (unsigned i = free_number(path, keep); code == 0 && i > 0; i--)
		code = rename_to(path, i - 1, i);
	return code;
}

/* *ret_new stays as it is where the file was emptied. */
static int
rotate_now(const char *path, unsigned keep, const struct log_file *file,
    struct log_file *ret_new)
{
	/* Else somebody has put it away: it is his. */
	bool ours = leads_to(path, file);
	int code;

	if (ours && keep == 0)
		return ftruncate(file->fd, 0) < 0 ? -errno : 0;
	code = ours ? make_room(path, keep) : 0;
	if (code < 0)
		return code;
	code = open_now(path, ret_new);
	if (code < 0 && ours)
		(void)rename_to(path, 1, 0);
	return code;
}

int
log_file_rotate(const char *path, const struct conf_creds *creds,
    unsigned keep, struct log_file *file, struct error *err)
{
	struct rights rights = RIGHTS_INIT;
	struct log_file new = LOG_FILE_INIT;
	int code = rights_take(creds, &rights);

	if (code == 0)
		code = rotate_now(path, keep, file, &new);
	rights_give_back(&rights);
	if (code < 0)
		return error_set(err, code, "cannot rotate %s: %s", path,
		    strerror(-code));
	if (new.fd >= 0) {
		fd_close(&file->fd);
		*file = new;
	} else {
		file->size = 0;
	}
	return 0;
}

void
log_file_measure(struct log_file *file)
{
	struct stat st;

	if (fstat(file->fd, &st) == 0)
		file->size = st.st_size;
}
