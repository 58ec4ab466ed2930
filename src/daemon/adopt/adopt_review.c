/* Which of an app's addresses its program really serves, once it is ready. */
#include "base/log.h"
#include "core/conf/conf.h"
#include "core/worker/fd_protocol.h"
#include "daemon/adopt/adopt_review.h"
#include "daemon/adopt/trap_priv.h"
#include "daemon/spec/app_spec.h"
#include "daemon/sockets/listeners.h"
#include "daemon/watch/orphans.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/process/inspect.h"
#include "linux/process/waiting.h"

/* What was looked up for one READY worker mostly holds for those that follow
   at once. */
#define REVIEW_MS 50

/* Other than by the numbers that it was started with, unless it has closed
   those and got one again for a socket of its own. */
static bool
holds(const struct worker *w, struct listener *l)
{
	const struct lane *lane = app_spec_lane(w->spec, l, &w->holder);
	const struct conf_app *conf = w->spec->conf;
	int first = FD_PROTOCOL_FIRST;
	struct fsids ids;
	bool held;

	if (lane == NULL)
		return false;
	ids = inspect_begin(&conf->creds);
	if (!w->trap->low && conf->handoff != CONF_HANDOFF_ADOPT)
		first += (int)conf->n_listens;
	held = waiting_holds(w->pid, lane->ino, first);
	inspect_end(&ids);
	return held;
}

/* Has some process of the spec's workers the lane open? Who had it last is
   asked first. */
static bool
is_held(const struct adopt_review *r, const struct crew *crew,
    const struct app_spec *spec, struct listener *l)
{
	const struct worker *last = workers_find(crew->all, l->seen_pid);

	if (last != NULL && last->spec == spec && holds(last, l))
		return true;
	for (const struct worker *w = crew->workers; w != NULL; w = w->next)
		if (w->spec == spec && w->pid != 0 && w != last &&
		    holds(w, l)) {
			listener_note_seen(l, w->pid);
			return true;
		}
	/* What has left its parent is not looked through. */
	return orphans_of_crew(r->orphans, crew);
}

/* Does anybody wait for its clients, of whatever generation? */
static bool
is_served(const struct adopt_review *r, const struct crew *crew, struct listener *l)
{
	for (const struct worker *w = crew->workers; w != NULL; w = w->next) {
		const struct lane *lane = app_spec_lane(w->spec, l, &w->holder);
		struct fsids ids;
		bool served;

		if (w->pid == 0 || lane == NULL)
			continue;
		ids = inspect_begin(&w->spec->conf->creds);
		served = waiting_look(w->pid, &lane->ino, 1) != WAITING_NO;
		inspect_end(&ids);
		if (served || holds(w, l))
			return true;
	}
	return orphans_of_crew(r->orphans, crew);
}

/* Does a dual-stack listener of the app take its clients too? */
static bool
is_covered(const struct app_spec *spec, const struct listener *l)
{
	for (size_t i = 0; i < spec->conf->n_listens; i++) {
		const struct listener *other = spec->listeners[i];

		if (other != NULL && other->listening &&
		    other->bound.kind == l->bound.kind &&
		    other->bound.port == l->bound.port &&
		    other->bound.host == ADDRESS_HOST_ANY)
			return true;
	}
	return false;
}

/*
 * A program that has bound one of its addresses, and is ready, will hardly
 * accept on another that it has not bound. Clients are refused there, as they
 * would be without clusterd, instead of left to wait; should it bind the
 * address later, all is well from then on.
 */
static void
suspend_unserved(const struct adopt_review *r, const struct crew *crew,
    const struct app_spec *spec)
{
	bool binds = false;

	for (size_t i = 0; i < spec->conf->n_listens; i++)
		binds |= spec->taken[i];
	for (size_t i = 0; binds && i < spec->conf->n_listens; i++) {
		struct listener *l = spec->listeners[i];

		if (spec->taken[i] || l == NULL || !l->listening ||
		    l->inherited || l->bound.kind != ADDRESS_TCP ||
		    is_served(r, crew, l))
			continue;
		listener_suspend(l);
		if (is_covered(spec, l))
			continue;
		log_app_often(LOG_LEVEL_WARNING, crew->name, "its program serves "
		    "other addresses and not %s: connections to it are refused "
		    "until it does", address_text_numeric(&l->bound).s);
	}
}

static bool
has_ready(const struct crew *crew, const struct app_spec *spec)
{
	for (const struct worker *w = crew->workers; w != NULL; w = w->next)
		if (w->spec == spec && worker_ready(w))
			return true;
	return false;
}

static void
review_spec(const struct adopt_review *r, const struct crew *crew, struct app_spec *spec)
{
	if (spec == NULL || !has_ready(crew, spec))
		return;
	for (size_t i = spec->n_beside; i-- > 0;)
		if (!is_held(r, crew, spec, spec->beside[i].listener))
			app_spec_drop(spec, i);
	for (size_t i = spec->n_beside; i-- > 0;) {
		size_t position = spec->beside[i].position;
		struct listener *l = spec->listeners[position];

		/* One that no server has bound may be served by its number. */
		if (l != NULL && spec->taken[position] &&
		    !is_held(r, crew, spec, l))
			app_spec_promote(spec, i);
	}
	suspend_unserved(r, crew, spec);
}

static void
review_crew(const struct adopt_review *r, struct crew *crew)
{
	if (!crew->review)
		return;
	crew->review = false;
	if (crew->stopping)
		return;
	review_spec(r, crew, crew->target);
	review_spec(r, crew, crew->stable);
}

static void
review_due(void *ctx)
{
	const struct adopt_review *r = ctx;

	for (struct crew *c = r->workers->crews; c != NULL; c = c->next)
		review_crew(r, c);
}

void
adopt_review_soon(struct adopt_review *r, struct crew *crew)
{
	crew->review = true;
	loop_timer_start(r->loop, &r->timer, REVIEW_MS);
}

int
adopt_review_init(struct adopt_review *r, struct loop *loop,
    struct workers *workers, struct orphans *orphans)
{
	r->loop = loop;
	r->workers = workers;
	r->orphans = orphans;
	return loop_timer_init(loop, &r->timer, review_due, r);
}

void
adopt_review_fini(struct adopt_review *r)
{
	loop_timer_fini(r->loop, &r->timer);
}
