#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "linux/ledger/kept_text.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U	/* Linux 6.3 */
#endif

static int
make_file(void)
{
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create("clusterd-text", flags | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("clusterd-text", flags);
	return fd < 0 ? -errno : fd;
}

static int
write_all(int fd, const char *text, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = pwrite(fd, text + at, len - at, (off_t)at);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	return fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK |
	    F_SEAL_GROW | F_SEAL_SEAL) < 0 ? -errno : 0;
}

int
kept_text_new(const char *text, size_t len)
{
	int fd = make_file();
	int code = fd < 0 ? fd : write_all(fd, text, len);

	if (code < 0 && fd >= 0)
		fd_close(&fd);
	return code < 0 ? code : fd;
}

int
kept_text_read(int fd, size_t max, char **ret_text, size_t *ret_len)
{
	struct stat st;
	char *text;
	size_t at = 0;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < 0 ||
	    (uint64_t)st.st_size > max)
		return -EFBIG;
	text = malloc((size_t)st.st_size + 1);
	if (text == NULL)
		return -ENOMEM;
	while (at < (size_t)st.st_size) {
		ssize_t n = pread(fd, text + at, (size_t)st.st_size - at,
		    (off_t)at);

		if (n == 0 || (n < 0 && errno != EINTR)) {
			free(text);
			return -EIO;
		}
		at += n > 0 ? (size_t)n : 0;
	}
	text[at] = '\0';
	*ret_text = text;
	*ret_len = at;
	return 0;
}
