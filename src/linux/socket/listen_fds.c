#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/num.h"
#include "core/sockets/lane_name.h"
#include "core/worker/fd_protocol.h"
#include "linux/socket/listen_fds.h"
#include "linux/socket/socket.h"
#include "linux/socket/socket_close.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)	/* <linux/close_range.h> */
#endif

static void
cloexec_by_list(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		uint64_t fd;

		if (num_parse(entry->d_name, FD_PROTOCOL_FIRST, INT32_MAX, &fd))
			(void)fcntl((int)fd, F_SETFD, FD_CLOEXEC);
	}
	closedir(dir);
}

/* close_range(2) knows CLOEXEC since Linux 5.11. */
static void
cloexec_all(void)
{
#ifdef SYS_close_range
	if (syscall(SYS_close_range, FD_PROTOCOL_FIRST, ~0U,
	    CLOSE_RANGE_CLOEXEC) == 0)
		return;
#endif
	cloexec_by_list();
}

static size_t
announced(pid_t our_pid)
{
	const char *pid = getenv("LISTEN_PID");
	const char *fds = getenv("LISTEN_FDS");
	uint64_t value;

	if (pid == NULL || fds == NULL ||
	    !num_parse(pid, 1, INT32_MAX, &value) ||
	    (pid_t)value != our_pid ||
	    !num_parse(fds, 1, 4096, &value))
		return 0;
	return (size_t)value;
}

/* The first of them, which *names is put behind; "" where there is none. The caller
   frees; NULL: no memory. */
static char *
next_name(const char **names)
{
	size_t len = strcspn(*names, ":");
	char *name = strndup(*names, len);

	*names += len + ((*names)[len] == ':');
	return name;
}

/* True: it is. */
static bool
keep_ours(struct listen_fds *fds, int fd, char *name)
{
	if (!lane_name_is_ours(name))
		return false;
	fds->kept[fds->n_kept++] = (struct kept_fd){
		.fd = fd, .name = name,
	};
	return true;
}

/* False: no memory. */
static bool
collect_one(struct listen_fds *fds, int fd, const char **names,
    bool (*had)(int fd), size_t *unusable)
{
	struct listen_fd *slot = &fds->v[fds->n];
	char *name = next_name(names);

	if (name == NULL)
		return false;
	if (had(fd) && keep_ours(fds, fd, name))
		return true;
	free(name);
	if (!had(fd) || unusable == NULL)
		return true;
	if (socket_address(fd, &slot->address) < 0) {
		socket_close(&fd);
		(*unusable)++;
		return true;
	}
	if (slot->address.kind != ADDRESS_UNIX)
		(void)socket_interface(fd, slot->address.options.interface);
	slot->fd = fd;
	fds->n++;
	return true;
}

int
listen_fds_collect(pid_t pid, bool (*had)(int fd),
    struct listen_fds *ret_fds, size_t *ret_unusable)
{
	struct listen_fds fds = { .v = NULL };
	const char *names = getenv("LISTEN_FDNAMES");
	size_t n = announced(pid);

	if (names == NULL)
		names = "";
	if (ret_unusable != NULL)
		*ret_unusable = 0;
	cloexec_all();
	if (n > 0) {
		fds.v = calloc(n, sizeof(*fds.v));
		fds.kept = calloc(n, sizeof(*fds.kept));
	}
	for (size_t i = 0; i < n; i++)
		if (fds.v == NULL || fds.kept == NULL ||
		    !collect_one(&fds, FD_PROTOCOL_FIRST + (int)i, &names,
			had, ret_unusable)) {
			listen_fds_close(&fds, NULL);
			return -ENOMEM;
		}
	*ret_fds = fds;
	return 0;
}

void
listen_fds_each_name(pid_t pid, void (*fn)(void *ctx, const char *name),
    void *ctx)
{
	const char *names = getenv("LISTEN_FDNAMES");

	for (size_t n = announced(pid); names != NULL && n > 0; n--) {
		char *name = next_name(&names);

		if (name != NULL && lane_name_is_ours(name))
			fn(ctx, name);
		free(name);
	}
}

static bool
is_wildcard(const struct address *a)
{
	static const uint8_t zero[16];

	return a->kind != ADDRESS_UNIX && memcmp(a->ip, zero, 16) == 0;
}

/* Whatever the interface. */
static bool
serves(const struct address *have, const struct address *want)
{
	struct address same = *have;

	memcpy(same.options.interface, want->options.interface,
	    sizeof(same.options.interface));
	if (address_equal(&same, want))
		return true;
	return want->kind == have->kind && want->kind != ADDRESS_UNIX &&
	    want->host == ADDRESS_HOST_ANY && is_wildcard(have) &&
	    want->port == have->port;
}

/* One that keeps to the same interface, or to any: that is its supervisor's
   business then. */
static struct listen_fd *
find(struct listen_fds *fds, const struct address *want, bool same)
{
	for (size_t i = 0; i < fds->n; i++) {
		struct listen_fd *x = &fds->v[i];

		if (x->fd >= 0 && serves(&x->address, want) &&
		    (!same || strcmp(x->address.options.interface,
		    want->options.interface) == 0))
			return x;
	}
	return NULL;
}

int
listen_fds_take(struct listen_fds *fds, const struct address *want,
    int *ret_fd, struct error *err)
{
	struct listen_fd *x = find(fds, want, true);
	const char *interface;

	if (x == NULL)
		x = find(fds, want, false);
	if (x == NULL)
		return -ENOENT;
	interface = x->address.options.interface;
	if (want->options.interface[0] != '\0' &&
	    strcmp(interface, want->options.interface) != 0)
		return error_set(err, -EADDRNOTAVAIL, "the socket passed in "
		    "LISTEN_FDS for %s keeps to %s%s, not to interface=%s",
		    address_text(want).s, *interface != '\0' ? "interface=" :
		    "no interface", interface, want->options.interface);
	*ret_fd = fd_take(&x->fd);
	return 0;
}

void
listen_fds_close(struct listen_fds *fds,
    void (*fn)(const struct address *unused))
{
	for (size_t i = 0; i < fds->n; i++) {
		if (fds->v[i].fd >= 0 && fn != NULL)
			fn(&fds->v[i].address);
		socket_close(&fds->v[i].fd);
		address_free(&fds->v[i].address);
	}
	for (size_t i = 0; i < fds->n_kept; i++) {
		socket_close(&fds->kept[i].fd);
		free(fds->kept[i].name);
	}
	free(fds->kept);
	free(fds->v);
	*fds = (struct listen_fds){ .v = NULL };
}
