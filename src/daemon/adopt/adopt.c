#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/sockets/adoption.h"
#include "core/conf/conf.h"
#include "core/worker/fd_protocol.h"
#include "daemon/adopt/adopt.h"
#include "daemon/adopt/adopt_ask.h"
#include "daemon/spec/app_spec.h"
#include "daemon/sockets/listener_file.h"
#include "daemon/sockets/listeners.h"
#include "daemon/watch/readiness.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/socket/epoll_enter.h"
#include "linux/process/inspect.h"
#include "linux/child/seccomp_notify.h"
#include "linux/socket/socket_inherit.h"

/* The binds of one process for which is looked whether the port is free. */
#define HINTS_MAX	8

/* How long a bind that the kernel carries out may take to be seen. */
#define SIBLING_MS	100

/* When to answer again a caller that got no CPU time. */
#define AGAIN_MS	50
#define AGAIN_MAX_MS	1000

struct adopt_pending {
	struct seccomp_call call;
	struct mono due;
	int gap_ms;
	struct adopt_pending *next;
};

/* ---- can it be done ---- */

static bool
asks_for_it(const struct conf_app *conf)
{
	return conf->n_listens > 0 && conf->handoff != CONF_HANDOFF_ENV;
}

int
adopt_check(struct adopt *adopt, const struct config *config,
    struct error *err)
{
	const struct conf_app *insists = NULL;
	bool wanted = false;
	struct error why = ERROR_INIT;
	int code;

	for (size_t i = 0; i < config->n_apps; i++) {
		const struct conf_app *app = &config->apps[i];

		if (!asks_for_it(app))
			continue;
		wanted = true;
		if (app->handoff == CONF_HANDOFF_ADOPT && insists == NULL)
			insists = app;
	}
	if (!wanted || adopt->can)
		return 0;
	code = seccomp_notify_probe(&why);
	adopt->can = code == 0;
	if (code < 0 && insists != NULL)
		error_set(err, code, "%s: handoff = adopt is not possible "
		    "here: %s", insists->name, error_text(&why));
	else if (code < 0 && !adopt->told_not)
		log_warning("servers that bind their port by themselves cannot "
		    "be adopted here: %s; handoff = auto is the same as env",
		    error_text(&why));
	if (code < 0 && insists == NULL)
		adopt->told_not = true;
	error_clear(&why);
	return insists != NULL ? code : 0;
}

bool
adopt_wanted(const struct adopt *adopt, const struct app_spec *spec)
{
	return adopt->can && asks_for_it(spec->conf);
}

/* ---- the lane in the place of the socket ---- */

static int
place(const struct ask *a, int lane, int number, unsigned flags)
{
	return seccomp_notify_place(a->w->trap, a->call, lane, number,
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
replace_socket(const struct ask *a, int lane)
{
	struct ask_kin kin;
	int code;

	if (a->copy >= 0)
		socket_inherit_options(a->copy, lane);
	socket_set_nonblocking(lane, (a->flags & O_NONBLOCK) != 0);
	ask_find_kin(a, &kin);
	/* The twins first: a call that comes again finds its own descriptor
	   to be a lane only when all is done. */
	code = place_twins(a, &kin, lane);
	if (code == 0)
		code = place(a, lane, a->call->fd, a->flags);
	if (code == 0 && kin.n_entries > 0 &&
	    epoll_enter(kin.entries, kin.n_entries, lane) < 0)
		worker_log(LOG_LEVEL_WARNING, a->w, "watches its socket by "
		    "epoll since before it bound it, and that cannot be "
		    "carried over");
	ask_kin_free(&kin);
	return code;
}

/*
 * The descriptors that the worker was started with may be of sockets that it
 * has no use for since: another address took their place, or they turned out to
 * be shared. They become the present ones, so that nobody holds the old ones
 * open.
 */
static void
renew_given(struct worker *w, const struct seccomp_call *call)
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
			(void)seccomp_notify_place(w->trap, call, lane->fd,
			    number, (flags & O_CLOEXEC) != 0);
		error_clear(&err);
	}
}

static void
log_adopted(const struct ask *a, const struct listener *l)
{
	const struct log_about about = {
		.app = a->w->crew->name,
		.instance = (long)a->w->instance,
		.pid = (pid_t)a->call->tid,	/* or one of its children */
	};

	log_about(LOG_LEVEL_DEBUG, &about, "adopted, its descriptor %d is the "
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
	worker_log(LOG_LEVEL_WARNING, a->w, "asks for an %s socket, and the "
	    "one that LISTEN_FDS passes is not: it may take clients' addresses "
	    "wrong", a->asked.host == ADDRESS_HOST_IPV4 ? "IPv4" : "IPv6");
}

/* Returns the errno for the caller, 0, -EINTR: again later, or another -errno:
   there is no caller any more. */
static int
give(const struct ask *a, const struct adoption *d)
{
	struct app_spec *spec = a->w->spec;
	struct error err = ERROR_INIT;
	struct listener *l;
	struct lane *lane;
	int code;

	if (spec->listeners[d->position] == NULL)
		return EADDRNOTAVAIL;	/* the app is ending */
	if (d->target.kind == ADDRESS_TCP)
		app_spec_decide(spec, (a->flags & O_NONBLOCK) != 0 ?
		    BALANCE_ACCEPTS_AT_ONCE : BALANCE_ACCEPTS_BLOCKING);
	code = app_spec_give(spec, d->position, &d->target, &l, &err);
	if (code == 0)
		code = app_spec_take_lane(spec, l, &a->w->holder, &lane, &err);
	if (code == 0)
		code = replace_socket(a, lane->fd);
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
			a->w->adopt_low = true;
		renew_given(a->w, a->call);
		listener_file_restore(l);
		warn_family(a, l);
		log_adopted(a, l);
	} else if (!a->w->give_warned) {
		a->w->give_warned = true;
		worker_log(LOG_LEVEL_WARNING, a->w, "cannot give it its "
		    "listener: %s (said once per process)",
		    err.text != NULL ? err.text : strerror(-code));
	}
	error_clear(&err);
	return -code;
}

/* ---- what is none of ours ---- */

static bool
joins_on_purpose(const struct ask *a)
{
	socklen_t len = sizeof(int);
	int on = 0;

	if (a->copy >= 0)
		(void)getsockopt(a->copy, SOL_SOCKET, SO_REUSEPORT, &on, &len);
	return on != 0;
}

/* The kernel will refuse it: most likely another instance has the port, and
   nobody has told clusterd to share it. Said once per address. */
static void
hint(const struct ask *a)
{
	const struct address_text name = address_text(&a->asked);
	const struct mono now = mono_now();
	struct app_spec *spec = a->w->spec;

	if (a->asked.kind == ADDRESS_UNIX || a->asked.port == 0 ||
	    a->w->hints >= HINTS_MAX || joins_on_purpose(a))
		return;
	a->w->hints++;
	/* Another instance's bind may be under way. */
	if (!app_spec_sibling_bound(spec, &a->asked, a->w->instance, now,
	    SIBLING_MS) && !listeners_taken(&a->asked))
		app_spec_note_bind(spec, &a->asked, a->w->instance, now);
	else if (app_spec_note_hint(spec, &a->asked))
		worker_log(LOG_LEVEL_WARNING, a->w, "asks for %s, which is "
		    "taken and is none of this app's listeners; if its "
		    "instances are to share it, add listen = %s", name.s,
		    name.s);
}

static void
log_refused(const struct ask *a, size_t position)
{
	worker_log(LOG_LEVEL_WARNING, a->w, "asks for %s with an IPv4 socket, "
	    "but listen = %s is for IPv6 alone: refused",
	    address_text(&a->asked).s,
	    address_text(&a->w->spec->conf->listens[position]).s);
}

/* ---- answers ---- */

/* A lane is bound already: the same bind may come again after a signal. */
static int
bind_again(const struct listener *l, const struct adoption *d)
{
	bool same = d->verdict == ADOPTION_GIVE && (l->inherited ||
	    address_equal(&l->bound, &d->target));

	return same ? 0 : EINVAL;
}

/* The errno for the caller, or 0; -ENOTSUP: let the kernel judge; -EINTR: again
   later. */
static int
judge(const struct ask *a)
{
	const struct app_spec *spec = a->w->spec;
	const struct listener *l = app_spec_find_lane(spec, a->ino);
	struct adoption d = adoption_decide(spec->conf, spec->bound,
	    &a->asked);

	if (l != NULL)
		return bind_again(l, &d);
	switch (d.verdict) {
	case ADOPTION_GIVE:
		return give(a, &d);
	case ADOPTION_REFUSE:
		log_refused(a, d.position);
		return EADDRNOTAVAIL;
	case ADOPTION_PASS:
		break;
	}
	hint(a);
	return -ENOTSUP;
}

/* -EINTR: again later. */
static int
answer_bind(struct worker *w, const struct seccomp_call *call)
{
	struct ask a;
	int code = ask_learn(w, call, &a);

	if (code == 0)
		code = judge(&a);
	ask_free(&a);
	if (code == -ENOMEM)
		code = ENOMEM;
	if (code == -ENOTSUP)
		seccomp_notify_continue(w->trap, call);
	else if (code >= 0)
		seccomp_notify_answer(w->trap, call, code);
	return code == -EINTR ? code : 0;
}

/* A lane listens already, with the backlog that the configuration says. */
static void
answer_listen(struct worker *w, const struct seccomp_call *call)
{
	struct fsids ids = inspect_begin(&w->spec->conf->creds);
	struct error err = ERROR_INIT;
	struct listener *l = NULL;
	uint64_t ino;
	int code;

	if (inspect_fd(call->tid, call->fd, &ino) == INSPECT_SOCKET)
		l = app_spec_find_lane(w->spec, ino);
	inspect_end(&ids);
	/* Datagram sockets do not listen, as the kernel will say. */
	if (l == NULL || l->bound.kind == ADDRESS_UDP) {
		seccomp_notify_continue(w->trap, call);
		return;
	}
	code = app_spec_take(w->spec, l, &err);
	if (code < 0)
		worker_log(LOG_LEVEL_WARNING, w, "%s", error_text(&err));
	else
		renew_given(w, call);
	error_clear(&err);
	seccomp_notify_answer(w->trap, call, -code);
	readiness_expect(w);
}

/* Takes it over. */
static void
queue(struct worker *w, struct adopt_pending *p)
{
	struct adopt *adopt = w->adopt;
	struct adopt_pending **end = &w->adopt_pending;

	p->next = NULL;
	while (*end != NULL)
		end = &(*end)->next;
	*end = p;
	if (mono_is_never(adopt->again.due))
		loop_timer_set(adopt->loop, &adopt->again,
		    mono_add_ms(mono_now(), AGAIN_MS));
}

static void
answer_later(struct worker *w, const struct seccomp_call *call, int gap_ms)
{
	struct adopt_pending *p = malloc(sizeof(*p));

	if (p == NULL) {
		seccomp_notify_answer(w->trap, call, ENOMEM);
		return;
	}
	p->call = *call;
	p->gap_ms = gap_ms;
	p->due = mono_add_ms(mono_now(), gap_ms);
	queue(w, p);
}

/*
 * A caller without CPU time holds us up until we give up on it. When that has
 * happened, all others wait a little too, so that a herd of them takes no more
 * of our time than one.
 */
static void
answer_bind_or_later(struct worker *w, const struct seccomp_call *call,
    int gap_ms)
{
	struct adopt *adopt = w->adopt;
	struct mono now = mono_now();

	if (mono_before(now, adopt->pause)) {
		answer_later(w, call, AGAIN_MS);
	} else if (answer_bind(w, call) == -EINTR) {
		adopt->pause = mono_add_ms(mono_now(), AGAIN_MS);
		answer_later(w, call, gap_ms < AGAIN_MAX_MS ? 2 * gap_ms :
							      gap_ms);
	}
}

/* Those that are due; others stay. */
static void
retry(struct worker *w)
{
	struct adopt_pending *all = w->adopt_pending;
	struct mono now = mono_now();

	w->adopt_pending = NULL;
	while (all != NULL) {
		struct adopt_pending *p = all;
		bool valid = seccomp_notify_valid(w->trap, &p->call);

		all = p->next;
		if (valid && mono_before(now, p->due)) {
			queue(w, p);
			continue;
		}
		if (valid)
			answer_bind_or_later(w, &p->call, p->gap_ms);
		free(p);
	}
}

/* One call per turn of the loop and worker: none can keep us to itself. */
static void
call_ready(void *ctx, uint32_t events)
{
	struct worker *w = ctx;
	struct seccomp_call call;

	/* Nobody is left who could call. */
	if ((events & (EPOLLIN | EPOLLHUP)) == EPOLLHUP)
		adopt_end(w);
	if ((events & EPOLLIN) == 0)
		return;
	if (seccomp_notify_receive(w->trap, &call) < 0)
		return;
	/* From a pid namespace that is not below ours nothing can be seen. */
	if (call.tid == 0)
		seccomp_notify_continue(w->trap, &call);
	else if (!call.is_bind)
		answer_listen(w, &call);
	else
		answer_bind_or_later(w, &call, AGAIN_MS);
}

void
adopt_begin(struct adopt *adopt, struct worker *w, int listener)
{
	w->adopt = adopt;
	w->trap = listener;
	if (listener >= 0 && loop_add(adopt->loop, listener, EPOLLIN,
	    false, call_ready, w, &w->trap_handle) == 0)
		return;
	/* Without us its calls fail with ENOSYS; it will tell. */
	worker_log(LOG_LEVEL_WARNING, w, "cannot adopt what it binds, and its "
	    "binds will fail: %s",
	    listener < 0 ? "no descriptor is left" : "it cannot be watched");
	fd_close(&w->trap);
}

void
adopt_end(struct worker *w)
{
	loop_del(w->crew->all->loop, &w->trap_handle);
	fd_close(&w->trap);
	while (w->adopt_pending != NULL) {
		struct adopt_pending *next = w->adopt_pending->next;

		free(w->adopt_pending);
		w->adopt_pending = next;
	}
	w->adopt_warned = w->give_warned = w->adopt_low = false;
	w->hints = 0;
}

static void
again_due(void *ctx)
{
	struct adopt *adopt = ctx;

	for (struct crew *c = adopt->workers->crews; c != NULL; c = c->next)
		for (struct worker *w = c->workers; w != NULL; w = w->next)
			retry(w);
}

static void
settle_due(void *ctx)
{
	struct adopt *adopt = ctx;

	for (struct crew *c = adopt->workers->crews; c != NULL; c = c->next)
		adopt_settle(adopt, c);
}

int
adopt_init(struct adopt *adopt, struct loop *loop, struct workers *workers,
    struct orphans *orphans)
{
	int code = loop_timer_init(loop, &adopt->again, again_due, adopt);

	adopt->loop = loop;
	adopt->workers = workers;
	adopt->orphans = orphans;
	if (code == 0)
		code = loop_timer_init(loop, &adopt->settle, settle_due, adopt);
	return code;
}

void
adopt_fini(struct adopt *adopt)
{
	loop_timer_fini(adopt->loop, &adopt->again);
	loop_timer_fini(adopt->loop, &adopt->settle);
}
