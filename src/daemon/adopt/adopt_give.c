#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "core/sockets/adoption.h"
#include "core/worker/fd_protocol.h"
#include "daemon/adopt/adopt_ask.h"
#include "daemon/adopt/adopt_give.h"
#include "daemon/adopt/adopt_wish.h"
#include "daemon/adopt/trap_priv.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/listener_file.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/child/seccomp_notify.h"
#include "linux/process/inspect.h"
#include "linux/socket/epoll_enter.h"
#include "linux/socket/socket_inherit.h"

static int
place(const struct ask *a, int lane, int number, unsigned flags)
{
	return seccomp_notify_place(a->w->trap->fd, a->call, lane, number,
	    (flags & O_CLOEXEC) != 0);
}

/* -EINTR: the caller gets no CPU time. Others may stay behind: a twin that was
   closed meanwhile, say. */
static int
place_twins(const struct ask *a, const struct ask_kin *k, int lane)
{
	int code = 0;

	for (size_t i = 0; i < k->n_twins && code != -EINTR; i++) {
		struct fsids ids =
		    inspect_begin(&a->w->spec->conf->creds);
		unsigned flags = 0;

		(void)inspect_fd_flags(a->call->tid, k->twins[i], &flags);
		inspect_end(&ids);
		code = place(a, lane, k->twins[i], flags);
	}
	return code == -EINTR ? code : 0;
}

static int
replace_socket(const struct ask *a, const struct lane *to)
{
	struct ask_kin kin;
	int lane = to->fd;
	int code;

	wish_make(a, to);
	ask_find_kin(a, &kin);
	/* The twins first: a call that comes again finds its own descriptor
	   to be a lane only when all is done. */
	code = place_twins(a, &kin, lane);
	if (code == 0)
		code = place(a, lane, a->call->fd, a->flags);
	if (code == 0 && kin.n_entries > 0 &&
	    epoll_enter(kin.entries, kin.n_entries, lane) < 0)
		worker_log_often(LOG_LEVEL_WARNING, a->w, "watches its socket by "
		    "epoll since before it bound it, and that cannot be "
		    "carried over");
	ask_kin_free(&kin);
	return code;
}

void
adopt_renew_given(struct worker *w, const struct seccomp_call *call)
{
	const struct app_spec *spec = w->spec;

	for (size_t i = 0; i < spec->conf->n_listens; i++) {
		int number = FD_PROTOCOL_FIRST + (int)i;
		struct listener *l = spec->listeners[i];
		struct error err = ERROR_INIT;
		struct fsids ids;
		enum inspect_kind kind;
		struct lane *lane;
		unsigned flags = 0;
		uint64_t ino = 0;

		if (w->given[i] == 0 || l == NULL)
			continue;
		lane = app_spec_lane(spec, l, &w->holder);
		if (lane != NULL && lane->ino == w->given[i])
			continue;
		ids = inspect_begin(&spec->conf->creds);
		kind = inspect_fd(call->tid, number, &ino);
		(void)inspect_fd_flags(call->tid, number, &flags);
		inspect_end(&ids);
		if (kind == INSPECT_SOCKET && ino == w->given[i] &&
		    app_spec_take_lane(spec, l, &w->holder, &lane, &err) == 0)
			(void)seccomp_notify_place(w->trap->fd, call, lane->fd,
			    number, (flags & O_CLOEXEC) != 0);
		error_clear(&err);
	}
}

int
adopt_settle(struct worker *w, const struct seccomp_call *call,
    struct listener *l, uint64_t ino, struct error *err)
{
	struct app_spec *spec = w->spec;
	struct lane *lane = lanes_find_inode(l, ino);
	struct ask a = { .w = w, .call = call, .ino = ino, .copy = lane->fd };
	struct fsids ids;
	int code;

	if (l->bound.kind == ADDRESS_TCP)
		app_spec_decide(spec, socket_is_nonblocking(lane->fd) ?
		    BALANCE_ACCEPTS_AT_ONCE : BALANCE_ACCEPTS_BLOCKING);
	code = app_spec_take_lane(spec, l, &w->holder, &lane, err);
	if (code < 0 || lane->ino == ino)
		return code;
	/* It has bound its own before it was known that they share. */
	ids = inspect_begin(&spec->conf->creds);
	code = inspect_fd_flags(call->tid, call->fd, &a.flags);
	inspect_end(&ids);
	return code < 0 ? code : replace_socket(&a, lane);
}

static void
log_adopted(const struct ask *a, const struct listener *l)
{
	const struct log_about about = {
		.app = a->w->crew->name,
		.instance = (long)a->w->instance,
		.pid = (pid_t)a->call->tid,	/* or one of its children */
	};

	log_often(LOG_LEVEL_DEBUG, &about, "adopted, its descriptor %d is the "
	    "listener %s", a->call->fd, address_text_numeric(&l->bound).s);
}

/* Of a dual-stack lane for an IPv4 program, which we cannot open in another
   way: it sees clients' addresses wrong. */
static void
warn_family(const struct ask *a, const struct listener *l)
{
	if (!l->inherited || a->asked.kind == ADDRESS_UNIX ||
	    (l->bound.host == ADDRESS_HOST_IPV4) ==
	    (a->asked.host == ADDRESS_HOST_IPV4))
		return;
	worker_log_often(LOG_LEVEL_WARNING, a->w, "asks for an %s socket, and the "
	    "one that LISTEN_FDS passes is not: it may take clients' addresses "
	    "wrong", a->asked.host == ADDRESS_HOST_IPV4 ? "IPv4" : "IPv6");
}

int
adopt_give(const struct ask *a, const struct adoption *d)
{
	struct app_spec *spec = a->w->spec;
	struct error err = ERROR_INIT;
	struct listener *l;
	struct lane *lane;
	int code;

	if (spec->listeners[d->position] == NULL)
		return EADDRNOTAVAIL;	/* the app is ending */
	code = app_spec_give(spec, d->position, &d->target, &l, &err);
	if (code == 0)
		code = app_spec_take_lane(spec, l, &a->w->holder, &lane, &err);
	if (code == 0)
		code = replace_socket(a, lane);
	/* Later; or the caller has died meanwhile. */
	if (code == -EINTR || (err.text == NULL && (code == -ENOENT ||
	    code == -ESRCH)))
		return code;
	/* Those have nothing further to wait for. */
	if (code == 0 && d->target.kind != ADDRESS_TCP)
		code = app_spec_take(spec, l, &err);
	if (code == 0) {
		if (a->call->fd < FD_PROTOCOL_FIRST +
		    (int)spec->conf->n_listens)
			a->w->trap->low = true;
		adopt_renew_given(a->w, a->call);
		listener_file_restore(l);
		warn_family(a, l);
		log_adopted(a, l);
	} else if (!a->w->trap->give_warned) {
		a->w->trap->give_warned = true;
		worker_log(LOG_LEVEL_WARNING, a->w, "cannot give it its "
		    "listener: %s (said once per process)",
		    err.text != NULL ? err.text : strerror(-code));
	}
	error_clear(&err);
	return -code;
}
