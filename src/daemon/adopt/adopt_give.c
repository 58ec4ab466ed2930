#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "core/sockets/adoption.h"
#include "core/worker/fd_protocol.h"
#include "daemon/adopt/adopt_ask.h"
#include "daemon/adopt/adopt_datagram.h"
#include "daemon/adopt/adopt_give.h"
#include "daemon/adopt/adopt_given.h"
#include "daemon/adopt/adopt_tryout.h"
#include "daemon/adopt/adopt_wish.h"
#include "daemon/adopt/trap_priv.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/lanes_heal.h"
#include "daemon/sockets/listener_file.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/child/seccomp_notify.h"
#include "linux/process/inspect.h"
#include "linux/socket/epoll_enter.h"
#include "linux/socket/socket.h"
#include "linux/socket/socket_close.h"
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
replace_socket(const struct ask *a, struct lane *to)
{
	struct ask_kin kin;
	int lane = to->fd;
	int code;

	wish_make(a, to);
	lanes_heal_used(to);
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
	code = spec_lanes_take(spec, l, &w->holder, &lane, err);
	/* Where there is no other one to be had, it keeps this one. */
	if (code == 0 && lane->ino == ino && !spec_lanes_shared(spec, l) &&
	    listener_is_own_tcp(l) && given_to_wrapper(w, call, ino) &&
	    lanes_exchange(l, &w->holder, &lane, err) < 0)
		error_clear(err);
	if (code < 0 || lane->ino == ino)
		return code;
	/* It has bound its own before it was known that they share, or that
	   another process has it too. */
	ids = inspect_begin(&spec->conf->creds);
	code = inspect_fd_flags(call->tid, call->fd, &a.flags);
	inspect_end(&ids);
	return code < 0 ? code : replace_socket(&a, lane);
}

/* The lane in the place of a socket that was bound before. */
static int
exchange(struct ask *a, struct listener *l, struct error *err)
{
	struct app_spec *spec = a->w->spec;
	struct lane *lane;
	struct fsids ids;
	int code = spec_lanes_take(spec, l, &a->w->holder, &lane, err);

	if (code < 0)
		return code;
	ids = inspect_begin(&spec->conf->creds);
	code = inspect_fd_flags(a->call->tid, a->call->fd, &a->flags);
	inspect_end(&ids);
	return code < 0 ? code : replace_socket(a, lane);
}

/* Does one of its listeners keep to an interface? Most have none. */
static bool
is_narrow(const struct app_spec *spec)
{
	for (size_t i = 0; i < app_spec_n_listeners(spec); i++) {
		const struct listener *l = app_spec_listener(spec, i);

		if (l != NULL && l->bound.kind == ADDRESS_TCP &&
		    l->bound.options.interface[0] != '\0')
			return true;
	}
	return false;
}

/* The listener that has this address and interface already: another worker was
   faster, and the one whose lane this was is gone. */
static struct listener *
find_narrow(const struct app_spec *spec, int fd, char name[16])
{
	struct address at = { .kind = ADDRESS_UNIX };

	if (socket_address(fd, &at) < 0 || at.kind != ADDRESS_TCP) {
		address_free(&at);
		return NULL;
	}
	memcpy(at.options.interface, name, sizeof(at.options.interface));
	for (size_t i = 0; i < app_spec_n_listeners(spec); i++) {
		struct listener *l = app_spec_listener(spec, i);

		if (l != NULL && !l->inherited && address_equal(&l->bound, &at))
			return l;
	}
	return NULL;
}

static int
take_over(struct worker *w, const struct seccomp_call *call, uint64_t ino,
    struct listener **ret_l, struct error *err)
{
	struct ask a = { .w = w, .call = call, .ino = ino, .copy = -1 };
	struct fsids ids = inspect_begin(&w->spec->conf->creds);
	pid_t pid = inspect_process_of(call->tid);
	struct listener *l = NULL;
	char name[16];
	int code = 0;

	a.copy = pid > 0 ? inspect_take_fd(pid, call->fd) : -1;
	inspect_end(&ids);
	if (a.copy >= 0 && socket_inode(a.copy) == ino &&
	    !socket_is_listening(a.copy) && socket_interface(a.copy, name))
		l = find_narrow(w->spec, a.copy, name);
	if (l != NULL)
		code = exchange(&a, l, err);
	if (l != NULL && code == 0)
		*ret_l = l;
	socket_close(&a.copy);
	return code;
}

/* The file's interface wins. */
static int
put_back(int fd, const char *found, const char *written, struct error *err)
{
	int code = strcmp(found, written) == 0 ? 0 :
	    socket_set_interface(fd, written);

	return code == 0 ? 0 : error_set(err, code, "has put its listener to "
	    "the interface \"%s\", and it cannot be put back to %s: %s", found,
	    written, strerror(-code));
}

/*
 * A server may keep to an interface only after it has bound its socket, which is
 * its lane by then. It gets one of a listener that does, instead: beside others
 * it would hear nothing, and those others have no reason to.
 */
int
adopt_narrow(struct worker *w, const struct seccomp_call *call,
    struct listener **l, uint64_t ino, struct error *err)
{
	struct ask a = { .w = w, .call = call, .ino = ino };
	struct listener *other;
	struct address target;
	const char *written;
	bool narrow;
	int code;

	if (*l == NULL)
		return is_narrow(w->spec) ? take_over(w, call, ino, l, err) :
		    0;
	a.copy = lanes_find_inode(*l, ino)->fd;
	target = (*l)->bound;
	/* That it refuses is an interface too. */
	if (target.kind != ADDRESS_TCP || (*l)->inherited || (*l)->refuses)
		return 0;
	narrow = socket_interface(a.copy, target.options.interface);
	written = app_spec_conf(w->spec, w->instance)
	    ->listens[(*l)->position].options.interface;
	if (written[0] != '\0')
		return put_back(a.copy, target.options.interface, written, err);
	if (!narrow || address_equal(&(*l)->bound, &target))
		return 0;
	code = app_spec_give(w->spec, w->instance, (*l)->position, &target,
	    &other, err);
	if (code == 0)
		code = exchange(&a, other, err);
	if (code == 0)
		*l = other;
	return code;
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

/* In the place of its own socket one that is no lane, and nobody else's. */
static int
give_own(const struct ask *a, int fd)
{
	struct ask_kin kin;
	int code;

	if (a->copy >= 0)
		socket_inherit_options(a->copy, fd, NULL, NULL);
	socket_set_nonblocking(fd, (a->flags & O_NONBLOCK) != 0);
	ask_find_kin(a, &kin);
	code = place_twins(a, &kin, fd);
	if (code == 0)
		code = place(a, fd, a->call->fd, a->flags);
	if (code == 0 && kin.n_entries > 0)
		(void)epoll_enter(kin.entries, kin.n_entries, fd);
	ask_kin_free(&kin);
	return code;
}

/* A call that comes again gets what it was to get: somebody may have sent there
   meanwhile. */
static int
give_lane(const struct ask *a, struct lane *lane, struct error *err)
{
	struct trap *t = a->w->trap;
	int fd = -1;
	int code = lane->listener->bound.kind == ADDRESS_UDP ?
	    adopt_datagram(a, lane, &fd, err) : 0;

	if (code < 0)
		return code;
	code = code == 1 ? give_own(a, fd) : replace_socket(a, lane);
	t->placing = code == -EINTR && fd < 0 ? a->call->id : 0;
	fd_close(&fd);
	return code;
}

int
adopt_give(const struct ask *a, const struct adoption *d)
{
	struct app_spec *spec = a->w->spec;
	const struct listener *first = app_spec_place(spec, a->w->instance,
	    d->position);
	struct error err = ERROR_INIT;
	struct listener *l;
	struct lane *lane;
	bool replaces;
	int code;

	if (first == NULL)
		return EADDRNOTAVAIL;	/* the app is ending */
	/* UDP beside `port` says nothing of what was given for TCP. */
	replaces = first->bound.kind == d->target.kind;
	code = app_spec_give(spec, a->w->instance, d->position, &d->target, &l,
	    &err);
	/* Private, and this one is not. */
	if (code == 0 && l->inherited &&
	    a->asked.options.interface[0] != '\0')
		code = error_set(&err, -EADDRNOTAVAIL, "it keeps to the "
		    "interface %s, and the socket that LISTEN_FDS passes does "
		    "not", a->asked.options.interface);
	if (code == 0)
		code = spec_lanes_take(spec, l, &a->w->holder, &lane, &err);
	if (code == 0 && replaces)
		code = given_close(a->w, a->call, d->position);
	if (code == 0)
		code = give_lane(a, lane, &err);
	/* Later; or the caller has died meanwhile. */
	if (code == -EINTR || (err.text == NULL && (code == -ENOENT ||
	    code == -ESRCH)))
		return code;
	/* Those have nothing further to wait for. */
	if (code == 0 && d->target.kind != ADDRESS_TCP)
		code = tryout_begin(a->w, l, &err);
	if (code == 0) {
		if (a->call->fd >= FD_PROTOCOL_FIRST && a->call->fd <
		    FD_PROTOCOL_FIRST + (int)spec->conf->n_listens)
			a->w->trap->low = true;
		given_renew(a->w, a->call);
		listener_file_restore(l);
		warn_family(a, l);
		log_adopted(a, l);
	} else if (!a->w->trap->give_warned) {
		a->w->trap->give_warned = true;
		worker_log_often(LOG_LEVEL_WARNING, a->w, "cannot give it its "
		    "listener: %s (said once per process)",
		    err.text != NULL ? err.text : strerror(-code));
	}
	error_clear(&err);
	return -code;
}
