#include <sys/epoll.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "core/ledger/ledger.h"
#include "core/ledger/ledger_read.h"
#include "core/sockets/adoption.h"
#include "daemon/adopt/adopt.h"
#include "daemon/adopt/adopt_ask.h"
#include "daemon/adopt/adopt_give.h"
#include "daemon/adopt/adopt_given.h"
#include "daemon/adopt/adopt_hint.h"
#include "daemon/adopt/adopt_review.h"
#include "daemon/adopt/adopt_tryout.h"
#include "daemon/adopt/adopt_wish.h"
#include "daemon/adopt/trap_priv.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/watch/readiness.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/child/seccomp_notify.h"
#include "linux/process/inspect.h"
#include "linux/process/process.h"

/* When to answer again a caller that got no CPU time. */
#define AGAIN_MS	50
#define AGAIN_MAX_MS	1000

/* What all calls of a turn may take together, but for the last one; and how many
   of a worker are taken at a time. */
#define BUDGET_NS	INT64_C(2000000)
#define CALLS_MAX	16

struct adopt_pending {
	struct worker *worker;
	struct seccomp_call call;
	struct mono due;
	int gap_ms;
	uint32_t record;	/* its place in the ledger, or LEDGER_NOWHERE */
	TAILQ_ENTRY(adopt_pending) entry;
};

/* ---- can it be done ---- */

static bool
may_adopt(const struct conf_app *conf)
{
	return conf->n_listens > 0 && conf->handoff != CONF_HANDOFF_ENV;
}

/* Does any app want it, and has it not been seen to work? The first one that
   insists, or NULL. */
static bool
is_wanted(const struct adopt *adopt, const struct config *config,
    const struct conf_app **ret_insists)
{
	bool wanted = false;

	*ret_insists = NULL;
	for (size_t i = 0; i < config->n_apps; i++) {
		const struct conf_app *app = &config->apps[i];

		if (!may_adopt(app))
			continue;
		wanted = true;
		if (app->handoff == CONF_HANDOFF_ADOPT && *ret_insists == NULL)
			*ret_insists = app;
	}
	return wanted && !adopt->can;
}

void
adopt_check_soon(struct adopt *adopt, const struct config *config)
{
	const struct conf_app *insists;

	if (adopt->trying == 0 && is_wanted(adopt, config, &insists))
		adopt->trying = seccomp_notify_probe_begin();
}

static int
try_out(struct adopt *adopt, struct error *why)
{
	pid_t pid = adopt->trying != 0 ? adopt->trying :
	    seccomp_notify_probe_begin();
	int code = seccomp_notify_probe_end(pid, why);

	adopt->trying = 0;
	if (!process_proc_is_ours()) {
		error_clear(why);
		code = error_set(why, -ENOENT, "there is no /proc of "
		    "clusterd's own pid namespace, so that nothing can be "
		    "seen of them");
	}
	return code;
}

int
adopt_check(struct adopt *adopt, const struct config *config,
    struct error *err)
{
	const struct conf_app *insists;
	struct error why = ERROR_INIT;
	int code;

	if (!is_wanted(adopt, config, &insists))
		return 0;
	code = try_out(adopt, &why);
	adopt->can = code == 0;
	adopt->workers->untrapped = !adopt->can;
	if (code < 0 && insists != NULL)
		error_set(err, code, "%s: handoff = adopt is not possible "
		    "here: %s", insists->name, error_text(&why));
	else if (code < 0 && !adopt->told_not)
		log_warning("servers that bind their port by themselves cannot "
		    "be adopted here: %s; handoff = auto passes descriptors "
		    "alone, by CLUSTERD_FD: servers that look for LISTEN_FDS "
		    "need handoff = env",
		    error_text(&why));
	if (code < 0 && insists == NULL)
		adopt->told_not = true;
	error_clear(&why);
	return insists != NULL ? code : 0;
}

void
adopt_has_worked(struct adopt *adopt)
{
	adopt->can = process_proc_is_ours();
}

bool
adopt_wanted(const struct adopt *adopt, const struct app_spec *spec)
{
	return adopt->can && may_adopt(spec->conf);
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

/* A server that goes elsewhere, as some do when they read their configuration
   again, has most likely left what it had. Port 0 is a client's. */
static void
note_move(const struct ask *a)
{
	struct worker *w = a->w;

	if (!worker_ready(w) || (a->asked.kind != ADDRESS_UNIX &&
	    a->asked.port == 0))
		return;
	adopt_review_move(w->trap->adopt->review, w);
}

/* The errno for the caller, or 0; -ENOTSUP: let the kernel judge; -EINTR: again
   later. */
static int
judge(const struct ask *a)
{
	const struct app_spec *spec = a->w->spec;
	const struct listener *l = app_spec_find_lane(spec, a->ino);
	struct adoption d = adoption_decide(
	    app_spec_conf(spec, a->w->instance),
	    app_spec_bound(spec, a->w->instance), &a->asked);

	if (l != NULL)
		return bind_again(l, &d);
	/* It was placed, and who was to answer was killed, or the call was
	   interrupted. */
	if (a->given)
		return d.verdict == ADOPTION_GIVE ? 0 : EINVAL;
	note_move(a);
	switch (d.verdict) {
	case ADOPTION_GIVE:
		return adopt_give(a, &d);
	case ADOPTION_REFUSE:
		adopt_log_refused(a, d.position);
		return EADDRNOTAVAIL;
	case ADOPTION_PASS:
		break;
	}
	adopt_hint(a);
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
	w->trap->adopt->wishes |= wish_pending(w);
	if (code == -ENOMEM)
		code = ENOMEM;
	if (code == -ENOTSUP)
		seccomp_notify_continue(w->trap->fd, call);
	else if (code >= 0)
		seccomp_notify_answer(w->trap->fd, call, code);
	return code == -EINTR ? code : 0;
}

static int
find_called(const struct worker *w, const struct seccomp_call *call,
    struct listener **ret_l, uint64_t *ret_ino)
{
	struct fsids ids = inspect_begin(&w->spec->conf->creds);
	enum inspect_kind kind = inspect_fd(call->tid, call->fd, ret_ino);

	inspect_end(&ids);
	if (kind != INSPECT_SOCKET)
		return -ENOTSOCK;
	*ret_l = app_spec_find_lane(w->spec, *ret_ino);
	return 0;
}

/* A lane listens already, with the backlog that the configuration says. -EINTR:
   again later. */
static int
answer_listen(struct worker *w, const struct seccomp_call *call)
{
	/* A kind of its own, for the log. */
	static const char words[] = "%s";
	struct error err = ERROR_INIT;
	struct listener *l = NULL, *was;
	uint64_t ino = 0;
	int code = find_called(w, call, &l, &ino);

	was = l;
	if (code == 0)
		code = adopt_narrow(w, call, &l, ino, &err);
	if (code == 0 && l == was && l != NULL)
		code = l->bound.kind != ADDRESS_UDP ?
		    adopt_settle(w, call, l, ino, &err) : 0;
	if (code == -EINTR)
		return code;
	/* Datagram sockets do not listen, as the kernel will say. */
	if (l == NULL || l->bound.kind == ADDRESS_UDP) {
		if (l == NULL) {
			adopt_hint_listens(w, call, ino);
			tryout_elsewhere(w, call);
		}
		error_clear(&err);
		seccomp_notify_continue(w->trap->fd, call);
		return 0;
	}
	if (code == 0)
		code = tryout_begin(w, l, &err);
	if (code < 0)
		worker_log_often(LOG_LEVEL_WARNING, w, words,
		    err.text != NULL ? err.text : strerror(-code));
	else
		given_renew(w, call);
	error_clear(&err);
	seccomp_notify_answer(w->trap->fd, call, -code);
	readiness_expect(w);
	return 0;
}

static void
record(struct ledger *ledger, struct adopt_pending *p)
{
	const struct ledger_call r = {
		.worker = p->worker->number,
		.id = p->call.id,
		.address = p->call.address,
		.tid = (int32_t)p->call.tid,
		.fd = p->call.fd,
		.len = p->call.len,
		.is_bind = p->call.is_bind,
	};

	(void)ledger_add(ledger, LEDGER_CALL, &r, &p->record);
}

/* Whoever comes first is answered first, but for those who wait. */
static void
queue(struct worker *w, const struct seccomp_call *call, uint32_t place)
{
	struct adopt *adopt = w->trap->adopt;
	struct adopt_pending *p = malloc(sizeof(*p));

	if (p == NULL) {
		seccomp_notify_answer(w->trap->fd, call, ENOMEM);
		return;
	}
	*p = (struct adopt_pending){
		.worker = w, .call = *call, .gap_ms = AGAIN_MS,
		.due = mono_now(), .record = place,
	};
	if (adopt->ledger != NULL && place == LEDGER_NOWHERE)
		record(adopt->ledger, p);
	TAILQ_INSERT_TAIL(&adopt->queue, p, entry);
}

static void
drop(struct adopt *adopt, struct adopt_pending *p)
{
	TAILQ_REMOVE(&adopt->queue, p, entry);
	if (p->record != LEDGER_NOWHERE)
		ledger_drop(adopt->ledger, LEDGER_CALL, p->record);
	free(p);
}

/*
 * A caller without CPU time holds us up until we give up on it. When that has
 * happened, all others wait a little too, so that a herd of them takes no more
 * of our time than one. False: it is answered.
 */
static bool
has_to_wait(struct adopt *adopt, struct adopt_pending *p)
{
	struct worker *w = p->worker;

	if ((p->call.is_bind ? answer_bind(w, &p->call) :
	    answer_listen(w, &p->call)) != -EINTR)
		return false;
	adopt->pause = mono_add_ms(mono_now(), AGAIN_MS);
	if (p->gap_ms < AGAIN_MAX_MS)
		p->gap_ms *= 2;
	p->due = mono_add_ms(mono_now(), p->gap_ms);
	return true;
}

/* All calls of a turn together. */
static bool
has_budget(struct adopt *adopt)
{
	return loop_budget_left(adopt->loop, &adopt->budget, BUDGET_NS);
}

/* Those that are due, as far as the turn has room; when the others are. */
static void
answer_queue(struct adopt *adopt)
{
	struct adopt_pending *p, *next;
	struct mono now = mono_now(), first = MONO_NEVER;

	for (p = TAILQ_FIRST(&adopt->queue); p != NULL; p = next) {
		struct mono due = mono_before(p->due, adopt->pause) ?
		    adopt->pause : p->due;

		next = TAILQ_NEXT(p, entry);
		if (!mono_before(now, due)) {
			if (!has_budget(adopt)) {
				first = now;
				break;
			}
			if (!seccomp_notify_valid(p->worker->trap->fd,
			    &p->call) || !has_to_wait(adopt, p)) {
				drop(adopt, p);
				continue;
			}
			due = p->due;
		}
		if (mono_before(due, first))
			first = due;
	}
	if (!mono_is_never(first) && (mono_is_never(adopt->again.due) ||
	    mono_before(first, adopt->again.due)))
		loop_timer_set(adopt->loop, &adopt->again, first);
}

/* They are taken as soon as may be: a signal ends a call with EINTR as long as
   nobody has taken it (seccomp_unotify(2)). */
static void
take_calls(struct worker *w)
{
	for (int i = 0; i < CALLS_MAX; i++) {
		struct seccomp_call call;

		if (i > 0 && !seccomp_notify_is_there(w->trap->fd))
			return;
		if (seccomp_notify_receive(w->trap->fd, &call) < 0)
			continue;
		/* From a pid namespace that is not below ours nothing can be
		   seen. */
		if (call.tid == 0)
			seccomp_notify_continue(w->trap->fd, &call);
		else
			queue(w, &call, LEDGER_NOWHERE);
	}
}

/* Without us its calls fail with ENOSYS; it will tell. */
static void
unwatched(struct worker *w, const char *why)
{
	struct trap *t = w->trap;

	worker_log_often(LOG_LEVEL_WARNING, w, "cannot adopt what it binds, and its "
	    "binds will fail: %s", why);
	loop_del(t->adopt->loop, &t->handle);
	fd_close(&t->fd);
}

static void
call_ready(void *ctx, uint32_t events)
{
	struct worker *w = ctx;

	if (events == 0)
		unwatched(w, "it cannot be watched");
	/* Nobody is left who could call. */
	if ((events & (EPOLLIN | EPOLLHUP)) == EPOLLHUP)
		adopt_end(w);
	if ((events & EPOLLIN) == 0)
		return;
	take_calls(w);
	answer_queue(w->trap->adopt);
}

void
adopt_begin(struct worker *w, int listener)
{
	struct trap *t = w->trap;

	w->bound = 0;
	w->trapped = true;
	t->fd = listener;
	if (listener < 0)
		unwatched(w, "no descriptor is left");
	else if (loop_add(t->adopt->loop, listener, EPOLLIN, false, call_ready,
	    w, &t->handle) < 0)
		unwatched(w, "it cannot be watched");
}

int
adopt_fd(const struct worker *w)
{
	return w->trap->fd;
}

/* Those that the supervisor before had not answered, in the order in which they
   came. */
static void
take_over_calls(struct worker *w)
{
	struct adopt *adopt = w->trap->adopt;
	struct ledger *ledger = adopt->ledger;
	uint32_t end = ledger != NULL ? ledger_end(ledger, LEDGER_CALL) : 0;
	struct ledger_call r;

	for (uint32_t i = 0; i < end; i++) {
		if (ledger_get_call(ledger, i, &r) != 1 ||
		    r.worker != w->number)
			continue;
		queue(w, &(struct seccomp_call){
			.id = r.id, .address = r.address, .tid = r.tid,
			.fd = r.fd, .len = r.len, .is_bind = r.is_bind != 0,
		}, i);
	}
	if (!TAILQ_EMPTY(&adopt->queue))
		loop_timer_set(adopt->loop, &adopt->again, mono_now());
}

void
adopt_take_over(struct worker *w, int listener)
{
	struct trap *t = w->trap;

	w->trapped = true;
	t->fd = listener;
	t->bound = w->bound != 0;
	/* Who is about to bind waits for an answer. */
	if ((w->fsm.state == WORKER_READY ? loop_add_later : loop_add)(
	    t->adopt->loop, listener, EPOLLIN, false, call_ready, w,
	    &t->handle) < 0)
		unwatched(w, "it cannot be watched");
	take_over_calls(w);
}

void
adopt_keep(struct adopt *adopt, struct ledger *ledger)
{
	adopt->ledger = ledger;
}

void
adopt_keep_end(struct adopt *adopt)
{
	const struct adopt_pending *p;
	struct ledger *ledger = adopt->ledger;
	struct ledger_call r;

	for (uint32_t i = 0; ledger != NULL &&
	     i < ledger_end(ledger, LEDGER_CALL); i++) {
		bool ours = false;

		TAILQ_FOREACH(p, &adopt->queue, entry)
			ours |= p->record == i;
		if (!ours && ledger_get(ledger, LEDGER_CALL, i, &r) != 0)
			ledger_drop(ledger, LEDGER_CALL, i);
	}
}

static void
forget_calls(const struct worker *w)
{
	struct adopt *adopt = w->trap->adopt;
	struct adopt_pending *p, *next;

	for (p = TAILQ_FIRST(&adopt->queue); p != NULL; p = next) {
		next = TAILQ_NEXT(p, entry);
		if (p->worker == w)
			drop(adopt, p);
	}
}

void
adopt_end(struct worker *w)
{
	struct trap *t = w->trap;

	adopt_hint_late(w);
	loop_del(t->adopt->loop, &t->handle);
	fd_close(&t->fd);
	forget_calls(w);
	wish_forget(w);
	tryout_forget(w);
	*t = (struct trap){
		.adopt = t->adopt, .all_tryouts = t->all_tryouts, .fd = -1,
	};
	/* It may be the last one that stood in somebody's way. */
	if (t->adopt->wishes)
		loop_timer_start(t->adopt->loop, &t->adopt->again, AGAIN_MS);
}

int
adopt_join(struct adopt *adopt, struct worker *w)
{
	struct trap *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return -ENOMEM;
	t->adopt = adopt;
	t->all_tryouts = &adopt->tryouts;
	t->fd = -1;
	w->trap = t;
	return 0;
}

void
adopt_leave(struct worker *w)
{
	free(w->trap);
	w->trap = NULL;
}

static void
try_wishes(struct adopt *adopt)
{
	adopt->wishes = false;
	for (struct crew *c = adopt->workers->crews; c != NULL; c = c->next)
		for (struct worker *w = c->workers; w != NULL; w = w->next) {
			wish_try(w);
			adopt->wishes |= wish_pending(w);
		}
}

static void
again_due(void *ctx)
{
	struct adopt *adopt = ctx;

	answer_queue(adopt);
	if (adopt->wishes)
		try_wishes(adopt);
}

int
adopt_init(struct adopt *adopt, struct loop *loop, struct workers *workers,
    struct orphans *orphans, struct adopt_review *review)
{
	adopt->review = review;
	adopt->loop = loop;
	adopt->workers = workers;
	if (tryout_init(&adopt->tryouts, loop, workers, orphans) < 0)
		return -ENOMEM;
	TAILQ_INIT(&adopt->queue);
	return loop_timer_init(loop, &adopt->again, again_due, adopt);
}

void
adopt_fini(struct adopt *adopt)
{
	loop_timer_fini(adopt->loop, &adopt->again);
	tryout_fini(&adopt->tryouts);
}
