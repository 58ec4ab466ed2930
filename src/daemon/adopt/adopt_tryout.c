#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mono.h"
#include "core/conf/conf.h"
#include "daemon/adopt/adopt_clients.h"
#include "daemon/adopt/adopt_held.h"
#include "daemon/adopt/adopt_hint.h"
#include "daemon/adopt/adopt_tryout.h"
#include "daemon/adopt/trap_priv.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/watch/readiness.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/child/seccomp_notify.h"
#include "linux/process/inspect.h"
#include "linux/process/listening.h"
#include "linux/process/waiting.h"

/* What is closed within this time was only tried. Clients of an address that
   nobody has served yet are refused so long. */
#define TRYOUT_MS	40

/* The same for a listener that is none of ours, where nothing waits. */
#define ELSEWHERE_MS	500

/* Of one process: more is no server's start, and is not to keep us busy. */
#define TRYOUTS_MAX	32

/* After a look into the kernel's tables there is none for so many times as long
   as it took. */
#define PAUSE_FACTOR	20

/* So long they are judged in one go, and then not for a multiple of what it took:
   a herd that starts at once must not hold up who is served. Those of addresses whose
   clients are refused as yet come first, and do not rest for what the others took. */
#define SPELL_NS	INT64_C(3000000)
#define REST_FACTOR	4

/* A claim is given up when its worker was seen so often in a row to wait for clients
   of other lanes alone, over 2 s; or was not seen to wait for any so often, some
   13 s. The pauses grow. */
#define CLAIM_LOOKS 7
#define CLAIM_LOOKS_MAX 20
#define CLAIM_MS 50
#define CLAIM_DOUBLES 4

enum tryout_kind {
	TRYOUT_OURS,
	TRYOUT_ELSEWHERE,	/* none of the app's listeners */
	TRYOUT_CLAIM,		/* its lane was claimed for it: does it wait? */
};

struct tryout {
	uint64_t ino;
	enum tryout_kind kind;
	struct mono due;
	bool is_moot;		/* TRYOUT_CLAIM: it has bound it by itself */
	unsigned looks;		/* … it was not seen to wait so often, … */
	unsigned elsewhere;	/* … and did for others in so many of the last */
	struct tryout *next;
};

/* ---- those of a worker ---- */

static void
wake(struct tryouts *all, struct mono due)
{
	if (!mono_before(due, all->due))
		return;
	all->due = due;
	loop_timer_set(all->loop, &all->timer, due);
}

/* False: it is there. */
static bool
append(struct worker *w, struct tryout *t)
{
	struct tryout **end = &w->trap->tryouts;

	for (; *end != NULL; end = &(*end)->next)
		if ((*end)->ino == t->ino && (*end)->kind == t->kind)
			return false;
	*end = t;
	wake(w->trap->all_tryouts, t->due);
	return true;
}

/*
 * Those that do not bind it by themselves, but serve what they were given, are
 * not to lose their clients. Whether they do takes a look at each: that comes
 * later, and until then they do.
 */
static void
claim_for_others(const struct worker *w, struct listener *l)
{
	for (struct worker *o = w->crew->workers; o != NULL; o = o->next) {
		struct lane *lane = o == w || o->pid == 0 ||
		    o->spec != w->spec || o->trap->bound ? NULL :
		    spec_lanes_find(o->spec, l, &o->holder);
		struct tryout *t;

		if (lane == NULL || lane->holder == NULL)
			continue;
		lanes_claim(lane, o->serial);
		t = calloc(1, sizeof(*t));
		if (t == NULL)
			continue;
		*t = (struct tryout){
			.ino = lane->ino, .kind = TRYOUT_CLAIM,
			.due = mono_now(),
		};
		if (!append(o, t))
			free(t);
	}
}

/* One that is not ready has no clients yet, and one that binds what it serves tells
   so. */
static bool
may_be_at_work(const struct worker *w)
{
	return worker_ready(w) && !w->trap->bound;
}

/*
 * It was not seen to wait. One that serves what it was given may be at work just
 * now, between two waits, and those who wait for it are not to be let go for that.
 * False: `due` is when to look again.
 */
static bool
tells(const struct worker *w, struct listener *l, struct tryout *t)
{
	unsigned doubles = t->looks < CLAIM_DOUBLES ? t->looks : CLAIM_DOUBLES;

	if (!may_be_at_work(w))
		return true;
	t->elsewhere = adopt_waits_but_for(w, l) ? t->elsewhere + 1 : 0;
	if (t->elsewhere >= CLAIM_LOOKS || ++t->looks >= CLAIM_LOOKS_MAX)
		return true;
	t->due = mono_add_ms(mono_now(), (int64_t)CLAIM_MS << doubles);
	return false;
}

/* It may have bound another one since, and be no server that is given them. False:
   that is to be seen at another look. */
static bool
judge_claim(const struct worker *w, struct tryout *t)
{
	struct listener *l = t->is_moot ? NULL :
	    app_spec_find_lane(w->spec, t->ino);
	struct lane *lane = l == NULL ? NULL :
	    spec_lanes_find(w->spec, l, &w->holder);

	if (lane == NULL || lane->ino != t->ino ||
	    lane->claimed != w->serial || adopt_waits(w, l))
		return true;
	if (!tells(w, l, t))
		return false;
	/* One that was at work all that time has a client. */
	if (!may_be_at_work(w) || !adopt_has_taken(w, l))
		lanes_claim(lane, 0);
	return true;
}

/* It is its own claim now. */
static void
claim(const struct worker *w, struct lane *lane)
{
	lanes_claim(lane, w->serial);
	for (struct tryout *t = w->trap->tryouts; t != NULL; t = t->next)
		if (t->kind == TRYOUT_CLAIM && t->ino == lane->ino)
			t->is_moot = true;
}

/* ---- it was meant ---- */

static int
take(struct worker *w, struct listener *l, struct error *err)
{
	bool first = !app_spec_has_taken(w->spec, l);
	int code = app_spec_take(w->spec, l, err);
	struct lane *lane;

	if (code < 0)
		return code;
	w->trap->bound = true;
	worker_note(w);
	lane = spec_lanes_find(w->spec, l, &w->holder);
	if (lane != NULL && lane->holder != NULL)
		claim(w, lane);
	if (first)
		claim_for_others(w, l);
	return 0;
}

static void
take_late(struct worker *w, struct listener *l)
{
	/* A kind of its own, for the log. */
	static const char words[] = "%s";
	struct error err = ERROR_INIT;
	int code = take(w, l, &err);

	if (code < 0)
		worker_log_often(LOG_LEVEL_WARNING, w, words,
		    err.text != NULL ? err.text : strerror(-code));
	error_clear(&err);
	readiness_expect(w);
}

static void
judge_elsewhere(struct worker *w, uint64_t ino)
{
	struct tryouts *all = w->trap->all_tryouts;
	struct mono begin = mono_now(), end;
	struct address at;
	struct fsids ids;
	bool held = listening_find(ino, &at);

	end = mono_now();
	all->next_look = end;
	all->next_look.ns += (end.ns - begin.ns) * PAUSE_FACTOR;
	/* Unix sockets are found nowhere: many are no business of clients. */
	if (!held)
		return;
	ids = inspect_begin(&w->spec->conf->creds);
	held = waiting_holds(w->pid, ino, 0, 0);
	inspect_end(&ids);
	if (held)
		adopt_hint_elsewhere(w, &at);
}

static bool
has_tryout(const struct worker *w, const struct listener *l)
{
	for (const struct tryout *t = w->trap->tryouts; t != NULL; t = t->next)
		if (t->kind == TRYOUT_OURS &&
		    app_spec_find_lane(w->spec, t->ino) == l)
			return true;
	return false;
}

/* Of those of the worker's crew. */
static bool
is_tried(const struct worker *w, const struct listener *l)
{
	for (const struct worker *o = w->crew->workers; o != NULL; o = o->next)
		if (has_tryout(o, l))
			return true;
	return false;
}

/* Has it somebody, be it one that has left the worker's tree, as a daemon does
   behind a wrapper? */
static bool
is_kept(const struct worker *w, uint64_t ino)
{
	return adopt_holds_inode(w, ino) ||
	    adopt_is_escaped(w->trap->all_tryouts->orphans, w, ino);
}

/* What is in the place, and is meant as well, stays there: this one is beside
   it. */
static void
take_place_first(struct worker *w, const struct listener *l)
{
	struct listener *first = app_spec_rival(w->spec, l);

	if (first != NULL && has_tryout(w, first) && adopt_holds(w, first))
		take_late(w, first);
}

/* Nobody who comes is to wait for one that has only tried it, or has died. */
static void
untry(const struct worker *w, struct listener *l)
{
	if (l != NULL && l->quiet && !is_tried(w, l))
		app_spec_untry(w->spec, l);
}

/* Takes `t`, which is in no list. */
static void
judge(struct worker *w, struct tryout *t)
{
	struct listener *l = t->kind == TRYOUT_OURS ?
	    app_spec_find_lane(w->spec, t->ino) : NULL;
	bool over = true;

	t->next = NULL;
	if (t->kind == TRYOUT_ELSEWHERE) {
		judge_elsewhere(w, t->ino);
	} else if (t->kind == TRYOUT_CLAIM) {
		over = judge_claim(w, t);
	} else if (l != NULL && is_kept(w, t->ino)) {
		take_place_first(w, l);
		take_late(w, l);
	} else {
		untry(w, l);
	}
	if (over || !append(w, t))
		free(t);
}

/* ---- until then ---- */

static bool
has_added(const struct worker *w, const struct tryout *of)
{
	for (const struct tryout *t = w->trap->tryouts; t != NULL; t = t->next)
		if (t->ino == of->ino && t->kind == of->kind)
			return true;
	return false;
}

static int
add(struct worker *w, const struct tryout *of, int ms)
{
	struct tryout *t;

	if (has_added(w, of))
		return 0;
	t = w->trap->tried < TRYOUTS_MAX ? calloc(1, sizeof(*t)) : NULL;
	if (t == NULL)
		return -ENOMEM;
	w->trap->tried++;
	*t = *of;
	t->due = mono_add_ms(mono_now(), ms);
	append(w, t);
	return 0;
}

int
tryout_begin(struct worker *w, struct listener *l, struct error *err)
{
	const struct lane *lane = spec_lanes_find(w->spec, l, &w->holder);
	struct tryout t = { .ino = lane != NULL ? lane->ino : 0 };

	/* Datagrams come since the bind. */
	if (lane == NULL || l->bound.kind == ADDRESS_UDP ||
	    (l->listening && !l->quiet && app_spec_is_settled(w->spec, l)) ||
	    add(w, &t, TRYOUT_MS) < 0)
		return take(w, l, err);
	return app_spec_try_listener(w->spec, l, err);
}

void
tryout_hurry(struct worker *w)
{
	for (struct tryout **at = &w->trap->tryouts, *t; (t = *at) != NULL;) {
		if (t->kind != TRYOUT_OURS) {
			at = &t->next;
			continue;
		}
		*at = t->next;
		judge(w, t);
	}
}

void
tryout_elsewhere(struct worker *w, const struct seccomp_call *call)
{
	struct tryout t = { .kind = TRYOUT_ELSEWHERE };
	struct fsids ids = inspect_begin(&w->spec->conf->creds);
	enum inspect_kind kind = inspect_fd(call->tid, call->fd, &t.ino);

	inspect_end(&ids);
	if (kind == INSPECT_SOCKET)
		(void)add(w, &t, ELSEWHERE_MS);
}

void
tryout_forget(struct worker *w)
{
	while (w->trap->tryouts != NULL) {
		struct tryout *t = w->trap->tryouts;

		w->trap->tryouts = t->next;
		if (t->kind == TRYOUT_OURS)
			untry(w, app_spec_find_lane(w->spec, t->ino));
		free(t);
	}
}

/* Those that are due, as long as there is time, either those that clients wait for or
   the others. When is the next one? */
static struct mono
judge_due(struct worker *w, bool ours, struct mono now, struct mono end)
{
	struct tryout **at = &w->trap->tryouts;
	struct mono next = MONO_NEVER;

	while (*at != NULL) {
		struct tryout *t = *at;

		if ((t->kind == TRYOUT_OURS) != ours) {
			at = &t->next;
			continue;
		}
		if (t->kind == TRYOUT_ELSEWHERE &&
		    mono_before(t->due, w->trap->all_tryouts->next_look))
			t->due = w->trap->all_tryouts->next_look;
		if (mono_before(now, t->due) ||
		    !mono_before(mono_now(), end)) {
			if (mono_before(t->due, next))
				next = t->due;
			at = &t->next;
			continue;
		}
		*at = t->next;
		judge(w, t);
	}
	return next;
}

static struct mono
earlier(struct mono a, struct mono b)
{
	return mono_before(b, a) ? b : a;
}

static struct mono
later(struct mono a, struct mono b)
{
	return mono_before(a, b) ? b : a;
}

/* When is the next one, of those? */
static struct mono
judge_all(const struct tryouts *all, bool ours, struct mono begin,
    struct mono end)
{
	struct mono next = MONO_NEVER;

	for (struct crew *c = all->workers->crews; c != NULL; c = c->next)
		for (struct worker *w = c->workers; w != NULL; w = w->next)
			next = earlier(next, judge_due(w, ours, begin, end));
	return next;
}

/* After what began then, if it took all the time that there was. */
static struct mono
rested(struct mono begin, struct mono end)
{
	struct mono now = mono_now();

	if (mono_before(now, end))
		return begin;
	now.ns += (now.ns - begin.ns) * REST_FACTOR;
	return now;
}

static void
tryouts_due(void *ctx)
{
	struct tryouts *all = ctx;
	struct mono begin = mono_now(), end = begin, next, others, rest;

	end.ns += SPELL_NS;
	all->due = MONO_NEVER;
	next = judge_all(all, true, begin, end);
	rest = rested(begin, end);
	/* With no time left it is only asked when the next one is. */
	others = judge_all(all, false, begin, mono_before(begin,
	    all->next_spell) ? begin : end);
	next = later(next, rest);
	all->next_spell = later(all->next_spell, rested(begin, end));
	next = earlier(next, later(others, all->next_spell));
	/* What was added meanwhile has set it. */
	next = earlier(next, later(all->due, rest));
	all->due = MONO_NEVER;
	wake(all, next);
}

int
tryout_init(struct tryouts *all, struct loop *loop, struct workers *workers,
    struct orphans *orphans)
{
	all->loop = loop;
	all->workers = workers;
	all->orphans = orphans;
	all->due = MONO_NEVER;
	return loop_timer_init(loop, &all->timer, tryouts_due, all);
}

void
tryout_fini(struct tryouts *all)
{
	loop_timer_fini(all->loop, &all->timer);
}
