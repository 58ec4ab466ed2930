#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "core/conf/conf.h"
#include "core/worker/fd_protocol.h"
#include "daemon/adopt/adopt_given.h"
#include "daemon/adopt/trap_priv.h"
#include "daemon/sockets/lanes_heal.h"
#include "daemon/sockets/listener.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/child/seccomp_notify.h"
#include "linux/process/inspect.h"
#include "linux/process/process.h"

/* Shells, package runners and inits before a server are fewer. */
#define ANCESTORS_MAX 16

/* Put `fd` there, if the caller still has under that number what it was given:
   it may have closed it, and something else be there. */
static int
replace(const struct worker *w, const struct seccomp_call *call, size_t i,
    int fd)
{
	int number = FD_PROTOCOL_FIRST + (int)i;
	struct fsids ids = inspect_begin(&w->spec->conf->creds);
	uint64_t ino = 0;
	unsigned flags = 0;
	bool there = inspect_fd(call->tid, number, &ino) == INSPECT_SOCKET &&
	    ino == w->given[i];

	if (there)
		(void)inspect_fd_flags(call->tid, number, &flags);
	inspect_end(&ids);
	return !there ? 0 : seccomp_notify_place(w->trap->fd, call, fd, number,
	    (flags & O_CLOEXEC) != 0);
}

int
given_close(struct worker *w, const struct seccomp_call *call, size_t i)
{
	int fd, code = 0;

	w->bound |= UINT64_C(1) << i;
	worker_note(w);
	if (w->given[i] == 0 || conf_app_announces(w->spec->conf))
		return 0;
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		code = replace(w, call, i, fd);
	fd_close(&fd);
	return code == -EINTR ? code : 0;
}

static bool
has_fd(const struct worker *w, pid_t pid, int number, uint64_t ino)
{
	struct fsids ids = inspect_begin(&w->spec->conf->creds);
	uint64_t found = 0;
	bool has = inspect_fd(pid, number, &found) == INSPECT_SOCKET &&
	    found == ino;

	inspect_end(&ids);
	return has;
}

bool
given_to_wrapper(const struct worker *w, const struct seccomp_call *call,
    uint64_t ino)
{
	pid_t pid = inspect_process_of(call->tid);
	size_t i = 0, n = w->spec->conf->n_listens;
	struct process_stat st;

	while (i < n && w->given[i] != ino)
		i++;
	if (i == n || (w->bound >> i & 1) == 0 ||
	    conf_app_announces(w->spec->conf))
		return false;
	for (int depth = 0; depth < ANCESTORS_MAX && pid > 1 &&
	    pid != w->pid && process_stat(pid, &st); depth++) {
		pid = st.parent;
		if (has_fd(w, pid, FD_PROTOCOL_FIRST + (int)i, ino))
			return pid != getpid();
	}
	return false;
}

/* Has what was given been closed by given_close(), or is it the lane that the
   worker has? */
static bool
is_settled(const struct worker *w, size_t i, const struct lane *lane)
{
	const struct conf_app *conf = w->spec->conf;

	return w->given[i] == 0 || (lane != NULL && lane->ino == w->given[i]) ||
	    ((w->bound >> i & 1) != 0 && !conf_app_announces(conf));
}

/* Of another address; who was told of it may accept from it, and take it for
   what it was. */
static bool
is_followed(const struct worker *w, size_t i)
{
	return conf_app_announces(w->spec->conf) &&
	    app_spec_find_lane(w->spec, w->given[i]) !=
	    app_spec_place(w->spec, w->instance, i);
}

void
given_renew(struct worker *w, const struct seccomp_call *call)
{
	const struct app_spec *spec = w->spec;

	for (size_t i = 0; i < spec->conf->n_listens; i++) {
		struct listener *l = app_spec_place(spec, w->instance, i);
		struct error err = ERROR_INIT;
		struct lane *lane;

		if (l == NULL)
			continue;
		lane = spec_lanes_find(spec, l, &w->holder);
		if (is_settled(w, i, lane) || is_followed(w, i))
			continue;
		if (spec_lanes_take(spec, l, &w->holder, &lane, &err) == 0) {
			lanes_heal_used(lane);
			(void)replace(w, call, i, lane->fd);
		}
		error_clear(&err);
	}
}
