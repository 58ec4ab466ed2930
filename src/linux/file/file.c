#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/open_trusted.h"
#include "linux/file/file.h"

/* `cut`: what is beyond `max` is left out, and no error. */
static int
read_all(int fd, size_t max, bool cut, char **ret_text, size_t *ret_len)
{
	char *text = NULL;
	size_t len = 0, cap = 0;

	for (;;) {
		ssize_t n;

		if (len + 1 >= cap) {
			char *more;

			cap = cap == 0 ? 4096 : cap * 2;
			more = realloc(text, cap);
			if (more == NULL) {
				free(text);
				return -ENOMEM;
			}
			text = more;
		}
		n = read(fd, text + len, cap - len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n > 0 && cut && (size_t)n > max - len) {
			len += (size_t)n;
			break;
		}
		if (n < 0 || (size_t)n > max - len) {
			int code = n < 0 ? -errno : -EFBIG;

			free(text);
			return code;
		}
		if (n == 0)
			break;
		len += (size_t)n;
	}
	if (len > max)
		len = max;
	text[len] = '\0';
	*ret_text = text;
	*ret_len = len;
	return 0;
}

/*
 * Only regular files (those of /proc are too) can be read without waiting for
 * anybody. From a pipe whatever is there could be half of it.
 */
static int
check_regular(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	return S_ISREG(st.st_mode) ? 0 : -ENOTSUP;
}

int
file_read_start(const char *path, size_t max, char **ret_text, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int code = fd < 0 ? -errno : check_regular(fd);

	if (code == 0)
		code = read_all(fd, max, true, ret_text, ret_len);
	fd_close(&fd);
	return code;
}

static int
cannot(const char *path, int code, const char *why, struct error *err)
{
	return error_set(err, code, "cannot read %s: %s", path, why);
}

/* Takes over `fd`. */
static int
read_opened(int fd, const char *path, size_t max, char **ret_text,
    size_t *ret_len, struct error *err)
{
	int code = check_regular(fd);

	if (code == 0)
		code = read_all(fd, max, false, ret_text, ret_len);
	fd_close(&fd);
	if (code == -ENOTSUP)
		return error_set(err, code, "cannot read %s: it is not a "
		    "regular file", path);
	if (code == -EFBIG)
		error_set(err, code, "cannot read %s: larger than %zu bytes",
		    path, max);
	else if (code < 0)
		cannot(path, code, strerror(-code), err);
	return code;
}

int
file_read(const char *path, size_t max, char **ret_text, size_t *ret_len,
    struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return cannot(path, -errno, strerror(errno), err);
	return read_opened(fd, path, max, ret_text, ret_len, err);
}

int
file_read_trusted(const char *path, size_t max, char **ret_text,
    size_t *ret_len, struct error *err)
{
	struct error why = ERROR_INIT;
	int fd = open_trusted(path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0,
	    &why);
	int code = fd < 0 ? cannot(path, fd, error_text(&why), err) :
	    read_opened(fd, path, max, ret_text, ret_len, err);

	error_clear(&why);
	return code;
}

bool
file_has_name(int fd, const char *name)
{
	struct stat st, there;

	return fstat(fd, &st) == 0 && lstat(name, &there) == 0 &&
	    st.st_dev == there.st_dev && st.st_ino == there.st_ino;
}
