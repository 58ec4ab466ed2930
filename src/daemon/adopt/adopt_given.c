#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "core/conf/conf.h"
#include "core/worker/fd_protocol.h"
#include "daemon/adopt/adopt_given.h"
#include "daemon/adopt/trap_priv.h"
#include "daemon/sockets/listener.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/watch/look_at.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/child/seccomp_notify.h"
#include "linux/process/inspect.h"
#include "linux/process/looks.h"
#include "linux/process/process.h"

/* Shells, package runners and inits before a server are fewer. */
#define ANCESTORS_MAX 16

/* Put `fd` there, if the caller still has under that number what it was given:
   it may have closed it, and something else be there. */
static int
replace(struct worker *w, const struct seccomp_call *call, size_t i,
    int fd)
{
	int number = FD_PROTOCOL_FIRST + (int)i;
	const struct looker_whom whom = look_at_caller(w, call->id);
	struct look_fd its;
	int code = look_fd(&whom, call->tid, number, &its);

	if (look_at_failed(w, code))
		return -EINTR;
	if (code < 0 || its.kind != INSPECT_SOCKET || its.ino != w->given[i])
		return 0;
	return seccomp_notify_place(w->trap->fd, call, fd, number,
	    its.flags_code == 0 && (its.flags & O_CLOEXEC) != 0);
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

/* 1, 0; -EINTR: not seen, for now. */
static int
has_fd(struct worker *w, const struct seccomp_call *call, pid_t pid, int number,
    uint64_t ino)
{
	const struct looker_whom whom = look_at_caller(w, call->id);
	struct look_fd fd;
	int code = look_fd(&whom, pid, number, &fd);

	if (look_at_failed(w, code))
		return -EINTR;
	return code == 0 && fd.kind == INSPECT_SOCKET && fd.ino == ino;
}

int
given_to_wrapper(struct worker *w, const struct seccomp_call *call,
    uint64_t ino)
{
	pid_t pid = inspect_process_of(call->tid);
	size_t i = 0, n = w->spec->conf->n_listens;
	struct process_stat st;

	while (i < n && w->given[i] != ino)
		i++;
	if (i == n || (w->bound >> i & 1) == 0 ||
	    conf_app_announces(w->spec->conf))
		return 0;
	for (int depth = 0; depth < ANCESTORS_MAX && pid > 1 &&
	    pid != w->pid && process_stat(pid, &st); depth++) {
		int code;

		pid = st.parent;
		code = has_fd(w, call, pid, FD_PROTOCOL_FIRST + (int)i,
		    ino);
		if (code != 0)
			return code < 0 ? code : pid != getpid();
	}
	return 0;
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

int
given_renew(struct worker *w, const struct seccomp_call *call)
{
	const struct app_spec *spec = w->spec;
	int code = 0;

	for (size_t i = 0; i < spec->conf->n_listens && code != -EINTR; i++) {
		struct listener *l = app_spec_place(spec, w->instance, i);
		struct error err = ERROR_INIT;
		struct lane *lane;

		if (l == NULL)
			continue;
		lane = spec_lanes_find(spec, l, &w->holder);
		if (is_settled(w, i, lane) || is_followed(w, i))
			continue;
		if (spec_lanes_take(spec, l, &w->holder, &lane, &err) == 0)
			code = replace(w, call, i, lane->fd);
		error_clear(&err);
	}
	/* Other errors are of what it has closed meanwhile. */
	return code == -EINTR ? code : 0;
}
