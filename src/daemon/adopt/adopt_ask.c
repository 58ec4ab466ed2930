#include <sys/socket.h>

#include <errno.h>
#include <netinet/in.h>
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
#include "daemon/workers/worker.h"
#include "linux/process/inspect.h"
#include "linux/child/seccomp_notify.h"
#include "linux/socket/socket.h"
#include "linux/socket/socket_close.h"
#include "linux/socket/unix_socket.h"

/* A worker with so many descriptors that this is too short is not looked
   through to the end: it would hold everything else up. */
#define SEARCH_MS 4

/* So many are looked at however long it takes, when others have the CPU. */
#define SEARCH_MIN 256
#define SEARCH_MIN_EPOLLS 4

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* ---- what is asked for ---- */

static void
learn_from_copy(struct ask *a)
{
	struct adoption_socket *s = &a->socket;
	socklen_t len = sizeof(int);
	int v6only = 0;

	(void)getsockopt(a->copy, SOL_SOCKET, SO_DOMAIN, &s->family, &len);
	(void)getsockopt(a->copy, SOL_SOCKET, SO_TYPE, &s->type, &len);
	(void)getsockopt(a->copy, SOL_SOCKET, SO_PROTOCOL, &s->protocol, &len);
	if (s->family == AF_INET6)
		(void)getsockopt(a->copy, IPPROTO_IPV6, IPV6_V6ONLY, &v6only,
		    &len);
	s->v6only = v6only != 0;
}

/* What is bound already, or connected, the kernel does not bind again. */
static bool
is_fresh(int fd)
{
	struct sockaddr_storage name;
	const struct sockaddr_in *in = (const void *)&name;
	const struct sockaddr_in6 *in6 = (const void *)&name;
	socklen_t len = sizeof(name);

	memset(&name, 0, sizeof(name));
	if (getsockname(fd, (struct sockaddr *)&name, &len) < 0)
		return false;
	switch (name.ss_family) {
	case AF_INET:
		return in->sin_port == 0;
	case AF_INET6:
		return in6->sin6_port == 0;
	default:
		return len <= sizeof(name.ss_family);
	}
}

/* A worker may have gone to a network of its own, where our lanes are none
   (SO_NETNS_COOKIE, Linux 5.14). */
static bool
is_in_our_network(int fd, const struct app_spec *spec)
{
	uint64_t theirs = 0, ours = 0;
	socklen_t len = sizeof(theirs);
	const struct listener *l = NULL;

	for (size_t i = 0; l == NULL && i < app_spec_n_listeners(spec); i++)
		l = app_spec_listener(spec, i);
	return l == NULL ||
	    getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &theirs, &len) < 0 ||
	    getsockopt(listener_first_lane(l)->fd, SOL_SOCKET, SO_NETNS_COOKIE,
	    &ours, &len) < 0 || theirs == ours;
}

/*
 * Is it a datagram socket that the worker was given for itself (adopt_give)? Nobody
 * else has bound one there: the kernel would not let him.
 */
static bool
is_given(int fd, const struct app_spec *spec)
{
	struct address at = { .kind = ADDRESS_UNIX };
	bool given = false;

	if (socket_address(fd, &at) < 0 || at.kind != ADDRESS_UDP) {
		address_free(&at);
		return false;
	}
	for (size_t i = 0; !given && i < app_spec_n_listeners(spec); i++) {
		const struct listener *l = app_spec_listener(spec, i);

		if (l == NULL || l->inherited)
			continue;
		at.options = l->bound.options;
		given = address_equal(&l->bound, &at);
	}
	return given;
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
	worker_log_often(LOG_LEVEL_WARNING, w, "binds an address that clusterd "
	    "cannot look at (%s), so it is not adopted%s", strerror(-code),
	    hint);
}

/* The socket itself if we may have it, else what its name tells. */
static bool
learn_socket(struct ask *a)
{
	const struct seccomp_call *c = a->call;
	pid_t pid = inspect_process_of(c->tid);
	int code = pid > 0 ? inspect_take_fd(pid, c->fd) : pid;
	char name[32];

	a->copy = code < 0 ? -1 : code;
	/* A thread may have a table of its own (unshare(2)). */
	if (a->copy >= 0 && socket_inode(a->copy) != a->ino)
		socket_close(&a->copy);
	if (a->copy >= 0) {
		learn_from_copy(a);
		if (app_spec_find_lane(a->w->spec, a->ino) != NULL)
			return true;
		a->given = !is_fresh(a->copy) &&
		    is_given(a->copy, a->w->spec);
		return (a->given || is_fresh(a->copy)) &&
		    is_in_our_network(a->copy, a->w->spec);
	}
	if (!inspect_same_network(c->tid))
		return false;
	if (inspect_protocol_name(c->tid, c->fd, name, sizeof(name)))
		return adoption_socket_from_name(name, &a->socket);
	warn_unreadable(a, code < 0 ? code : -EBADF);
	return false;
}

/* 0; -ENOTSUP: nothing that could be adopted; other -errno. */
static int
read_address(struct ask *a)
{
	const struct seccomp_call *c = a->call;
	struct sockaddr_storage bytes;
	sa_family_t family;
	char *cwd = NULL;
	ssize_t n;
	int code;

	if (c->len < sizeof(family) || c->len > sizeof(bytes))
		return -ENOTSUP;
	n = inspect_memory(c->tid, c->address, &bytes, c->len);
	/* EFAULT is what the kernel will say, too. */
	if (n < 0 && n != -EFAULT)
		warn_unreadable(a, (int)n);
	if (n != (ssize_t)c->len)
		return -ENOTSUP;
	family = bytes.ss_family;
	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX &&
	    family != AF_UNSPEC)
		return -ENOTSUP;
	if (inspect_fd(c->tid, c->fd, &a->ino) != INSPECT_SOCKET)
		return -ENOTSUP;
	code = inspect_fd_flags(c->tid, c->fd, &a->flags);
	if (code < 0)
		warn_unreadable(a, code);
	/* In a root of its own its paths are not ours. */
	if (code < 0 || !learn_socket(a) ||
	    (family == AF_UNIX && !inspect_same_root(c->tid)))
		return -ENOTSUP;
	if (family == AF_UNIX)
		cwd = inspect_cwd(c->tid);
	code = adoption_parse(&a->socket, &bytes, c->len, cwd, &a->asked);
	free(cwd);
	if (code == 0 && a->copy >= 0 && family != AF_UNIX)
		socket_wishes(a->copy, &a->asked.options);
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
	struct fsids ids = inspect_begin(&w->spec->conf->creds);
	int code = read_address(&a);

	inspect_end(&ids);
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

/* ---- who else refers to the socket ---- */

struct search {
	const struct ask *ask;
	struct ask_kin kin;
	size_t n;			/* descriptors looked at */
	int epolls[ASK_ENTRIES_MAX];	/* over there */
	size_t n_epolls;
	int epoll;			/* at hand */
	struct mono deadline;
};

static bool
note_fd(void *ctx, int fd)
{
	struct search *s = ctx;
	struct ask_kin *k = &s->kin;
	uint64_t ino;

	if (++s->n > SEARCH_MIN && !mono_before(mono_now(), s->deadline))
		return false;
	switch (inspect_fd(s->ask->call->tid, fd, &ino)) {
	case INSPECT_SOCKET:
		if (ino == s->ask->ino && fd != s->ask->call->fd &&
		    k->n_twins < ASK_TWINS_MAX)
			k->twins[k->n_twins++] = fd;
		break;
	case INSPECT_EPOLL:
		if (s->n_epolls < ASK_ENTRIES_MAX)
			s->epolls[s->n_epolls++] = fd;
		break;
	default:
		break;
	}
	return true;
}

static bool
note_target(void *ctx, const struct inspect_epoll_target *t)
{
	struct search *s = ctx;
	struct ask_kin *k = &s->kin;

	if (t->ino == s->ask->ino && k->n_entries < ASK_ENTRIES_MAX)
		k->entries[k->n_entries++] = (struct epoll_entry){
			.epoll = s->epoll,	/* over there, as yet */
			.number = t->fd,
			.events = t->events,
			.data = t->data,
		};
	return true;
}

void
ask_find_kin(const struct ask *a, struct ask_kin *ret_kin)
{
	struct search s = {
		.ask = a, .deadline = mono_add_ms(mono_now(), SEARCH_MS),
	};
	struct fsids ids = inspect_begin(&a->w->spec->conf->creds);
	pid_t tid = a->call->tid;
	pid_t pid;
	size_t n = 0;

	(void)inspect_each_fd(tid, note_fd, &s);
	for (size_t i = 0; i < s.n_epolls && (i < SEARCH_MIN_EPOLLS ||
	    mono_before(mono_now(), s.deadline)); i++) {
		s.epoll = s.epolls[i];
		inspect_each_epoll_target(tid, s.epoll, note_target, &s);
	}
	/* From their numbers to duplicates of ours. */
	pid = s.kin.n_entries > 0 ? inspect_process_of(tid) : 0;
	for (size_t i = 0; i < s.kin.n_entries; i++) {
		struct epoll_entry e = s.kin.entries[i];

		e.epoll = inspect_take_fd(pid, e.epoll);
		if (e.epoll >= 0)
			s.kin.entries[n++] = e;
	}
	s.kin.n_entries = n;
	inspect_end(&ids);
	*ret_kin = s.kin;
}

void
ask_kin_free(struct ask_kin *kin)
{
	for (size_t i = 0; i < kin->n_entries; i++)
		fd_close(&kin->entries[i].epoll);
}
