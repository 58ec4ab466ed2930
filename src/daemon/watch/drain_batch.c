#include <string.h>

#include "core/conf/conf.h"
#include "daemon/spec/app_spec.h"
#include "daemon/watch/drain_batch_priv.h"
#include "daemon/watch/drain_seal.h"
#include "daemon/watch/drain_sight.h"
#include "daemon/watch/drainage_priv.h"
#include "daemon/watch/look_queue.h"
#include "daemon/workers/worker.h"
#include "linux/process/inspect.h"

/* For so long what the kernel has told goes for the next worker, too, or for as
   long as it took to tell it: what comes to a connection meanwhile is not seen. */
#define FRESH_MS	10
#define BATCH_MAX	1024

/* Where more than a few drain: between the beginnings of two lists for the same
   listeners, so many times as long as it took to tell one, and no more than this.
   Whoever is due meanwhile is looked at together, those first that were not for
   longest. */
#define LIST_FACTOR	10
#define LIST_GAP_MS	20

/* After so many, with no pause of so long in between, nobody is in a hurry who has
   nothing left, as nearly all of a reload: to go past all sockets of the machine, for
   each of these, would be up to a quarter of what a reload of many takes. */
#define ROW_LISTS	8
#define ROW_PAUSE_MS	300
#define ROW_FACTOR	40
#define ROW_GAP_MS	100

void
drain_batch_leave(struct drain_batch *b, struct drainage *x)
{
	if (!x->batched)
		return;
	x->batched = false;
	b->n_others--;
	TAILQ_REMOVE(&b->others, x, link);
}

void
drain_batch_end(struct drain_batch *b)
{
	struct drainage *y;

	if (b->at == NULL)
		return;
	connections_end(&b->look);
	b->at = NULL;
	while ((y = TAILQ_FIRST(&b->others)) != NULL) {
		drain_batch_leave(b, y);
		y->entry.due = y->was_due;
	}
}

/*
 * To look takes the kernel's table of connections, which is long where many
 * drain, and then others have to wait for their turn. Where all connections of
 * the lanes are counted, it need not be asked who has none. Handshakes are not
 * counted: those that nobody has seen have an end by then.
 */
bool
drain_batch_needs_no_look(const struct drainage *x)
{
	struct drain_tally open;

	return x->queue == 0 &&
	    drain_steered_ms(&x->drain, mono_now()) >= DRAINAGE_LINGER_MS &&
	    drain_sight_open(x->worker, &open) && open.busy == 0 &&
	    drain_sight_open_is_all(x->worker);
}

/* ---- the list ---- */

struct mono
drain_batch_next_list(const struct drain_batch *b, const struct drainage *x,
    bool few)
{
	const struct worker *w = x->worker;

	for (size_t i = 0; i < DRAIN_BATCH_LISTS; i++) {
		const struct drain_batch_list *list = &b->lists[i];

		if (list->of != w->spec)
			continue;
		if (w->finished && list->row >= ROW_LISTS)
			return list->unhurried;
		if (!few)
			return list->next;
	}
	return (struct mono){ .ns = 0 };
}

static struct drain_batch_list *
list_for(struct drain_batch *b, const struct app_spec *spec)
{
	struct drain_batch_list *oldest = &b->lists[0];

	for (size_t i = 0; i < DRAIN_BATCH_LISTS; i++) {
		if (b->lists[i].of == spec)
			return &b->lists[i];
		if (mono_before(b->lists[i].next, oldest->next))
			oldest = &b->lists[i];
	}
	return oldest;
}

static struct mono
after_list(const struct drain_batch *b, int64_t factor, int64_t most_ms)
{
	int64_t gap_ns = factor * (b->listed.ns - b->began.ns);

	if (gap_ns > most_ms * INT64_C(1000000))
		gap_ns = most_ms * INT64_C(1000000);
	return (struct mono){ b->began.ns + gap_ns };
}

static void
note_listed(struct drain_batch *b)
{
	const struct worker *w = b->at->worker;
	struct drain_batch_list *list;
	bool goes_on;

	b->listed = mono_now();
	/* They are looked at one by one: a gap would be one for each of them. */
	if (drain_sight_gets_more(w, false))
		return;
	list = list_for(b, w->spec);
	goes_on = list->of == w->spec && mono_before(b->began,
	    mono_add_ms(list->next, ROW_PAUSE_MS));
	*list = (struct drain_batch_list){
		.of = w->spec, .next = after_list(b, LIST_FACTOR, LIST_GAP_MS),
		.unhurried = after_list(b, ROW_FACTOR, ROW_GAP_MS),
		.row = goes_on ? list->row + 1 : 1,
	};
}

/* ---- a look ---- */

static bool
are_same(const struct connections_of *a, const struct connections_of *b,
    size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (a[i].family != b[i].family || a[i].port != b[i].port ||
		    a[i].ino != b[i].ino || a[i].file != b[i].file)
			return false;
	return true;
}

/* Whose lanes are sealed comes first: clients wait for that to end. */
static void
join(struct drain_batch *b, struct drainage *y)
{
	y->batched = true;
	b->n_others++;
	y->was_due = y->entry.due;
	y->entry.due = MONO_NEVER;
	if (y->has_sealed)
		TAILQ_INSERT_HEAD(&b->others, y, link);
	else
		TAILQ_INSERT_TAIL(&b->others, y, link);
}

/* Whoever is due, and has its connections on the same ports; those that nobody
   has to look for aside. Returns since when new connections go elsewhere, of the
   last of them. */
static int64_t
gather(struct drain_batch *b, struct drainage *x,
    const struct connections_of *of, size_t n)
{
	struct mono now = mono_now();
	int64_t steered_ms = drain_steered_ms(&x->drain, now);
	struct look_entry *e;
	size_t batched = 0;

	/* Nor where a look has just come to nothing: it may each time. */
	if (b->unlisted || drain_sight_gets_more(x->worker, false))
		return steered_ms;
	TAILQ_FOREACH(e, &b->looks->entries, link) {
		struct drainage *y = drainage_of(e);
		struct connections_of its[DRAIN_SIGHT_PORTS_MAX];

		if (batched == BATCH_MAX)
			break;
		if (y == x || y->worker->spec != x->worker->spec ||
		    mono_before(now, e->due) ||
		    drain_sight_ports(y->worker, its) != n ||
		    !are_same(its, of, n))
			continue;
		y->looked = now;
		y->sealed = drain_sealed(y->worker);
		y->queue = drain_sight_queue(y->worker, &b->diag);
		if (drain_batch_needs_no_look(y))
			continue;
		join(b, y);
		batched++;
		if (drain_steered_ms(&y->drain, now) < steered_ms)
			steered_ms = drain_steered_ms(&y->drain, now);
	}
	return steered_ms;
}

void
drain_batch_begin(struct drain_batch *b, struct drainage *x)
{
	memset(&b->look, 0, sizeof(b->look));
	b->began = x->looked;
	b->listed = MONO_NEVER;
	b->judged = false;
	b->at = x;
}

int
drain_batch_ask(struct drain_batch *b, const struct connections_of *of,
    size_t n)
{
	int64_t steered_ms = gather(b, b->at, of, n);
	struct fsids ids = inspect_begin(&b->at->worker->spec->conf->creds);
	int code = connections_begin(&b->look, &b->diag, of, n,
	    &b->at->worker->pid, 1, steered_ms);

	inspect_end(&ids);
	return code;
}

int
drain_batch_step(struct drain_batch *b, int64_t ms)
{
	struct fsids ids = inspect_begin(&b->at->worker->spec->conf->creds);
	int code = connections_step(&b->look, ms);

	inspect_end(&ids);
	if (mono_is_never(b->listed) && connections_listed(&b->look))
		note_listed(b);
	return code;
}

struct drainage *
drain_batch_take(struct drain_batch *b)
{
	struct drainage *y = TAILQ_FIRST(&b->others);

	if (y == NULL)
		return NULL;
	drain_batch_leave(b, y);
	look_queue_rotate(b->looks, &y->entry);
	return y;
}

/* Can it go on with the next of the batch? */
static bool
look_at_next(struct drain_batch *b)
{
	struct drainage *y = TAILQ_FIRST(&b->others);
	int64_t fresh_ms = mono_ms_between(b->began, b->listed);

	if (y == NULL || mono_ms_between(b->listed, mono_now()) >
	    (fresh_ms > FRESH_MS ? fresh_ms : FRESH_MS) ||
	    connections_again(&b->look, &y->worker->pid, 1) < 0)
		return false;
	b->at = drain_batch_take(b);
	return true;
}

void
drain_batch_go_to_next(struct drain_batch *b, bool may)
{
	b->unlisted = mono_is_never(b->listed);
	if (b->unlisted || !may || !look_at_next(b))
		drain_batch_end(b);
}

void
drain_batch_init(struct drain_batch *b, struct look_queue *looks)
{
	b->looks = looks;
	b->diag = (struct sockdiag)SOCKDIAG_INIT;
	TAILQ_INIT(&b->others);
}

void
drain_batch_fini(struct drain_batch *b)
{
	drain_batch_end(b);
	sockdiag_close(&b->diag);
}
