#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/libc.h"
#include "base/num.h"
#include "core/conf/conf.h"
#include "linux/file/file.h"
#include "linux/process/caps.h"
#include "linux/process/inspect.h"

#define FDINFO_MAX	(256 * 1024)
#define CHILDREN_MAX	(64 * 1024)

/* What is below /proc/PID belongs to that process's user, with modes such as
   0500: to look at it as root takes both. */
static bool
may_trace(void)
{
	uint64_t caps;

	(void)caps_effective(&caps);
	return (caps & CAPS_BIT(CAP_SYS_PTRACE)) != 0 && (caps &
	    (CAPS_BIT(CAP_DAC_OVERRIDE) | CAPS_BIT(CAP_DAC_READ_SEARCH))) != 0;
}

struct fsids
inspect_begin(const struct conf_creds *creds)
{
	struct fsids none = { .changed = false };

	return creds->set && !may_trace() ? fsids_begin(creds) : none;
}

void
inspect_end(struct fsids *fsids)
{
	fsids_end(fsids);
}

static int
open_proc(pid_t tid, const char *name, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)tid, name);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Small files of /proc. The caller frees. */
static int
read_proc(char **ret_text, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static int
read_proc(char **ret_text, const char *fmt, ...)
{
	char path[96];
	size_t len;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	return file_read_start(path, FDINFO_MAX, ret_text, &len);
}

ssize_t
inspect_memory(pid_t tid, uint64_t address, void *buf, size_t len)
{
	int fd = open_proc(tid, "mem", O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = pread(fd, buf, len, (off_t)address);
	if (n < 0)
		n = errno == EIO ? -EFAULT : -errno;
	fd_close(&fd);
	return n;
}

/* The number behind "Name:" in one of /proc's lists; false: not there. */
static bool
find_field(const char *text, const char *name, int base, uint64_t *ret_value)
{
	size_t len = strlen(name);

	for (const char *line = text; line != NULL && *line != '\0';
	    line = strchr(line, '\n'), line += line != NULL) {
		char *end;

		if (strncmp(line, name, len) != 0)
			continue;
		*ret_value = strtoull(line + len, &end, base);
		return end != line + len;
	}
	return false;
}

pid_t
inspect_process_of(pid_t tid)
{
	uint64_t pid;
	char *text;
	int code = read_proc(&text, "/proc/%d/status", (int)tid);

	if (code < 0)
		return code;
	code = find_field(text, "Tgid:", 10, &pid) ? (int)pid : -ESRCH;
	free(text);
	return code;
}

enum inspect_kind
inspect_fd(pid_t tid, int fd, uint64_t *ret_ino)
{
	char path[64], target[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)tid, fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return INSPECT_NOTHING;
	target[n] = '\0';
	if (sscanf(target, "socket:[%" SCNu64 "]", ret_ino) == 1)
		return INSPECT_SOCKET;
	if (strcmp(target, "anon_inode:[io_uring]") == 0)
		return INSPECT_IO_URING;
	return strcmp(target, "anon_inode:[eventpoll]") == 0 ?
	    INSPECT_EPOLL : INSPECT_OTHER;
}

int
inspect_fd_flags(pid_t tid, int fd, unsigned *ret_flags)
{
	uint64_t flags;
	char *text;
	int code = read_proc(&text, "/proc/%d/fdinfo/%d", (int)tid, fd);

	if (code < 0)
		return code;
	if (find_field(text, "flags:", 8, &flags))
		*ret_flags = (unsigned)flags;
	else
		code = -ENODATA;
	free(text);
	return code;
}

/* Entries of a directory of /proc that are numbers. */
static int
each_number(const char *path, bool (*fn)(void *ctx, int number), void *ctx)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	bool more = true;

	if (dir == NULL)
		return -errno;
	while (more && (entry = readdir(dir)) != NULL) {
		uint64_t number;

		if (num_parse(entry->d_name, 0, INT_MAX, &number))
			more = fn(ctx, (int)number);
	}
	closedir(dir);
	return 0;
}

int
inspect_each_fd(pid_t tid, bool (*fn)(void *ctx, int fd), void *ctx)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)tid);
	return each_number(path, fn, ctx);
}

void
inspect_each_process(bool (*fn)(void *ctx, pid_t pid), void *ctx)
{
	(void)each_number("/proc", fn, ctx);
}

void
inspect_each_thread(pid_t pid, bool (*fn)(void *ctx, pid_t tid), void *ctx)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	(void)each_number(path, fn, ctx);
}

int
inspect_each_child(pid_t pid, pid_t tid, bool (*fn)(void *ctx, pid_t child),
    void *ctx)
{
	char path[64], *text, *word, *rest;
	bool more = true;
	size_t len;
	int code;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid,
	    (int)tid);
	code = file_read_start(path, CHILDREN_MAX, &text, &len);
	if (code < 0)
		return code;
	for (word = strtok_r(text, " \n", &rest); word != NULL && more;
	    word = strtok_r(NULL, " \n", &rest)) {
		uint64_t child;

		if (num_parse(word, 1, INT_MAX, &child))
			more = fn(ctx, (pid_t)child);
	}
	free(text);
	return 0;
}

void
inspect_each_epoll_target(pid_t tid, int epoll_fd,
    bool (*fn)(void *ctx, const struct inspect_epoll_target *target),
    void *ctx)
{
	char *text, *rest, *line;

	if (read_proc(&text, "/proc/%d/fdinfo/%d", (int)tid, epoll_fd) < 0)
		return;
	/* "tfd: 5 events: 19 data: 5 pos:0 ino:1f2 sdev:8" (proc(5)); the
	   numbers but for the first are hexadecimal. */
	for (line = strtok_r(text, "\n", &rest); line != NULL;
	    line = strtok_r(NULL, "\n", &rest)) {
		struct inspect_epoll_target t = { .ino = 0 };
		const char *ino = strstr(line, "ino:");

		if (sscanf(line, "tfd: %d events: %" SCNx32 " data: %" SCNx64,
		    &t.fd, &t.events, &t.data) != 3)
			continue;
		if (ino != NULL)
			(void)sscanf(ino, "ino:%" SCNx64, &t.ino);
		if (!fn(ctx, &t))
			break;
	}
	free(text);
}

bool
inspect_syscall(pid_t pid, pid_t tid, struct inspect_call *ret_call,
    bool *ret_refused)
{
	struct inspect_call c;
	char *text;
	int code = read_proc(&text, "/proc/%d/task/%d/syscall", (int)pid,
	    (int)tid);
	bool ok;

	if (code < 0) {
		if (code == -EPERM || code == -EACCES)
			*ret_refused = true;
		return false;
	}
	/* "running", "-1 SP PC" out of any call, or number and arguments. */
	ok = sscanf(text, "%ld 0x%" SCNx64 " 0x%" SCNx64 " 0x%" SCNx64
	    " 0x%" SCNx64 " 0x%" SCNx64 " 0x%" SCNx64, &c.nr, &c.args[0],
	    &c.args[1], &c.args[2], &c.args[3], &c.args[4],
	    &c.args[5]) == 7 && c.nr >= 0;
	free(text);
	if (ok)
		*ret_call = c;
	return ok;
}

int
inspect_take_fd(pid_t pid, int fd)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int copy;

	if (pidfd < 0)
		return -errno;
	copy = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	if (copy < 0)
		copy = -errno;
	fd_close(&pidfd);
	return copy;
}

bool
inspect_protocol_name(pid_t tid, int fd, char *name, size_t size)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)tid, fd);
	n = getxattr(path, "system.sockprotoname", name, size - 1);
	if (n < 0)
		return false;
	name[n] = '\0';
	return true;
}

/* By what is known already: its file system may belong to somebody who does not
   answer. */
static bool
same_place(pid_t tid, const char *name)
{
	struct statx theirs, ours;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)tid, name);
	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
	    STATX_INO, &theirs) < 0)
		return true;
	snprintf(path, sizeof(path), "/proc/self/%s", name);
	return statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
	    STATX_INO, &ours) < 0 || (theirs.stx_ino == ours.stx_ino &&
	    theirs.stx_dev_major == ours.stx_dev_major &&
	    theirs.stx_dev_minor == ours.stx_dev_minor);
}

bool
inspect_same_network(pid_t tid)
{
	return same_place(tid, "ns/net");
}

bool
inspect_same_root(pid_t tid)
{
	return same_place(tid, "root");
}

char *
inspect_cwd(pid_t tid)
{
	char path[64], target[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/cwd", (int)tid);
	n = readlink(path, target, sizeof(target) - 1);
	return n < 0 ? NULL : strndup(target, (size_t)n);
}
