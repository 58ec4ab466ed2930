#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mono.h"
#include "core/conf/conf.h"
#include "daemon/adopt/adopt_ask.h"
#include "daemon/adopt/trap_priv.h"
#include "daemon/spec/app_spec.h"
#include "daemon/sockets/listeners.h"
#include "daemon/watch/look_at.h"
#include "daemon/workers/worker.h"
#include "linux/child/seccomp_notify.h"
#include "linux/socket/bind_look.h"
#include "linux/socket/socket_close.h"
#include "linux/socket/unix_socket.h"

/* So long a bind waits whose worker cannot be looked through, and where nobody had the
   CPU for that; and so long after the last time it is another matter. */
#define KIN_WAIT_MS	1000
#define KIN_STARVED_MS	5000
#define KIN_OVER_MS	5000

/* ---- what is asked for ---- */

/* A worker may have gone to a network of its own, where our lanes are none. */
static bool
is_in_our_network(uint64_t theirs, const struct app_spec *spec)
{
	const struct listener *l = NULL;
	uint64_t ours;

	for (size_t i = 0; l == NULL && i < app_spec_n_listeners(spec); i++)
		l = app_spec_listener(spec, i);
	ours = l == NULL ? 0 : bind_look_network(listener_first_lane(l)->fd);
	return theirs == 0 || ours == 0 || theirs == ours;
}

/* The socket itself if we may have it, else what its name tells. */
static bool
learn_socket(struct ask *a, const struct bind_look *b)
{
	if (!b->seen)
		return b->same_network && b->protocol[0] != '\0' &&
		    adoption_socket_from_name(b->protocol, &a->socket);
	a->socket = b->socket;
	a->shares = b->shares;
	a->reuses = b->reuses;
	return app_spec_find_lane(a->w->spec, a->ino) != NULL ||
	    (b->fresh && is_in_our_network(b->network, a->w->spec));
}

/* Once per process. Of a caller that has gone there is nothing to tell. */
static void
warn_unreadable(const struct ask *a, int code)
{
	struct worker *w = a->w;
	const char *hint = code == -EPERM || code == -EACCES ?
	    ": it changed its user, or clusterd needs CAP_SYS_PTRACE here" :
	    code == -EMFILE || code == -ENFILE ?
	    ": raise the limit of descriptors that clusterd has" : "";

	if (w->trap->unreadable_told ||
	    !seccomp_notify_valid(w->trap->fd, a->call))
		return;
	w->trap->unreadable_told = true;
	worker_log(LOG_LEVEL_WARNING, w, "binds an address that clusterd "
	    "cannot look at (%s), so it is not adopted%s", strerror(-code),
	    hint);
}

/* -EINTR: not now. */
static int
look_at(struct ask *a, struct bind_look *ret_bind)
{
	const struct looker_whom whom = look_at_caller(a->w, a->call->id);
	const struct bind_look_of of = {
		.tid = a->call->tid, .fd = a->call->fd,
		.address = a->call->address, .len = a->call->len,
	};
	int code = bind_look(&whom, &of, ret_bind);

	if (look_at_failed(a->w, code))
		return -EINTR;
	if (code < 0) {
		warn_unreadable(a, code);
		return -ENOTSUP;
	}
	a->ino = ret_bind->fd.ino;
	a->flags = ret_bind->fd.flags;
	a->copy = ret_bind->copy;
	return 0;
}

/* 0; -ENOTSUP: nothing that could be adopted; -EINTR: not now; other -errno. */
static int
read_address(struct ask *a)
{
	const uint32_t len = a->call->len;
	struct bind_look b;
	sa_family_t family;
	int code;

	if (len < sizeof(family) || len > sizeof(b.bytes))
		return -ENOTSUP;
	code = look_at(a, &b);
	if (code < 0)
		return code;
	/* EFAULT is what the kernel will say, too. */
	if (b.n < 0 && b.n != -EFAULT)
		warn_unreadable(a, (int)b.n);
	if (b.n != (ssize_t)len)
		return -ENOTSUP;
	family = b.bytes.ss_family;
	if ((family != AF_INET && family != AF_INET6 && family != AF_UNIX &&
	    family != AF_UNSPEC) || b.fd.kind != INSPECT_SOCKET)
		return -ENOTSUP;
	if (b.fd.flags_code < 0)
		warn_unreadable(a, b.fd.flags_code);
	/* In a root of its own its paths are not ours. */
	if (b.fd.flags_code < 0 || !learn_socket(a, &b) ||
	    (family == AF_UNIX && !b.same_root))
		return -ENOTSUP;
	code = adoption_parse(&a->socket, &b.bytes, len,
	    b.has_cwd ? b.cwd : NULL, &a->asked);
	if (code == 0 && b.seen && family != AF_UNIX) {
		memcpy(a->asked.options.interface, b.wishes.interface,
		    sizeof(b.wishes.interface));
		a->asked.options.freebind = b.wishes.freebind;
		a->asked.options.transparent = b.wishes.transparent;
	}
	return code == -ENOMEM ? code : code < 0 ? -ENOTSUP : 0;
}

/* The worker may know the path by another name than the configuration. */
static int
translate_path(struct ask *a)
{
	const struct conf_app *conf = app_spec_conf(a->w->spec,
	    a->w->instance);

	for (size_t i = 0; i < conf->n_listens; i++) {
		const struct address *written = &conf->listens[i];

		if (written->kind != ADDRESS_UNIX ||
		    strcmp(written->path, a->asked.path) == 0 ||
		    !unix_socket_same_path(written->path, a->asked.path))
			continue;
		address_free(&a->asked);
		return address_copy(written, &a->asked);
	}
	return 0;
}

int
ask_learn(struct worker *w, const struct seccomp_call *call,
    struct ask *ret_ask)
{
	struct ask a = { .w = w, .call = call, .copy = -1 };
	int code = read_address(&a);

	if (code == 0 && a.asked.kind == ADDRESS_UNIX)
		code = translate_path(&a);
	/* All of it may have been read from somebody who came after. */
	if (code == 0 && !seccomp_notify_valid(w->trap->fd, call))
		code = -ESRCH;
	*ret_ask = a;
	return code;
}

void
ask_free(struct ask *a)
{
	socket_close(&a->copy);
	address_free(&a->asked);
}

int
ask_flags(struct ask *a)
{
	const struct looker_whom whom = look_at_caller(a->w, a->call->id);
	struct look_fd fd;
	int code = look_fd(&whom, a->call->tid, a->call->fd, &fd);

	if (look_at_failed(a->w, code))
		return -EINTR;
	if (code == 0)
		code = fd.flags_code;
	if (code == 0)
		a->flags = fd.flags;
	return code;
}

/* ---- who else refers to the socket ---- */

/* By the time, for any number of binds: whoever holds up holds up all of them. */
static bool
may_wait(const struct ask *a, int code)
{
	struct trap *t = a->w->trap;
	struct mono now = mono_now();

	if (t->kin_since.ns == 0 ||
	    mono_ms_between(t->kin_last, now) >= KIN_OVER_MS)
		t->kin_since = now;
	t->kin_last = now;
	if (look_at_failed(a->w, code) && mono_ms_between(t->kin_since, now) <
	    (code == -EAGAIN ? KIN_STARVED_MS : KIN_WAIT_MS))
		return true;
	worker_log_often(LOG_LEVEL_WARNING, a->w, "it cannot be seen who else "
	    "refers to the socket that it binds (%s): duplicates of it, and "
	    "what watches it by epoll, are not carried over", strerror(-code));
	return false;
}

int
ask_find_kin(const struct ask *a, struct ask_kin *ret_kin)
{
	const struct looker_whom whom = look_at_caller(a->w, a->call->id);
	struct ask_kin kin = { .n_twins = 0 };
	struct look_kin seen;
	int code = look_kin(&whom, a->call->tid, a->call->fd, a->ino, &seen);

	*ret_kin = kin;
	if (code < 0)
		return may_wait(a, code) ? -EINTR : 0;
	a->w->trap->kin_since.ns = 0;
	for (size_t i = 0; i < seen.n_twins; i++) {
		kin.twins[i] = seen.twins[i].fd;
		kin.twin_flags[i] = seen.twins[i].flags;
	}
	kin.n_twins = seen.n_twins;
	for (size_t i = 0; i < seen.n_entries; i++)
		kin.entries[i] = (struct epoll_entry){
			.epoll = seen.entries[i].epoll,
			.number = seen.entries[i].number,
			.events = seen.entries[i].events,
			.data = seen.entries[i].data,
		};
	kin.n_entries = seen.n_entries;
	*ret_kin = kin;
	return 0;
}

void
ask_kin_free(struct ask_kin *kin)
{
	for (size_t i = 0; i < kin->n_entries; i++)
		fd_close(&kin->entries[i].epoll);
}
