#include <sys/resource.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "core/conf/conf_change.h"
#include "core/conf/conf_instance.h"
#include "core/names/placeholder.h"
#include "daemon/output/outputs.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/listener_file.h"
#include "daemon/sockets/listener_open.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_listen.h"

/* Is it another file for each of the workers? */
static bool
is_workers_own(const struct conf_output *where)
{
	return where->path != NULL &&
	    (placeholder_in(PLACEHOLDER_INSTANCE, where->path) ||
	    placeholder_in(PLACEHOLDER_WORKER_ID, where->path) ||
	    placeholder_in(PLACEHOLDER_PORT, where->path));
}

/* ---- what single instances have ---- */

int
app_spec_seat(struct app_spec *spec, unsigned instance, struct error *err)
{
	return spec_own_seat(&spec->own, spec->house->listeners, spec->config,
	    spec->conf, instance, spec->generation > 0, err);
}

void
app_spec_unseat(struct app_spec *spec, unsigned instance)
{
	spec_own_unseat(&spec->own, instance);
}

void
app_spec_vacate(struct app_spec *spec, unsigned instance)
{
	spec_own_vacate(&spec->own, instance);
}

const struct conf_app *
app_spec_conf(const struct app_spec *spec, unsigned instance)
{
	const struct spec_own *own = spec_own_find(&spec->own, instance);

	return own != NULL ? &own->conf : spec->conf;
}

const struct address *
app_spec_bound(const struct app_spec *spec, unsigned instance)
{
	struct spec_own *own = spec_own_find(&spec->own, instance);

	if (own == NULL)
		return spec->bound;
	for (size_t i = 0; i < own->conf.n_listens; i++)
		if (!conf_listen_is_own(spec->conf, i))
			own->bound[i] = spec->bound[i];
	return own->bound;
}

/* ---- places ---- */

/* What belongs to a place of the configuration. */
struct place {
	struct listener **listener;
	struct address *bound;
	bool *taken;
};

static struct place
place_of(const struct app_spec *spec, long instance, size_t position)
{
	struct spec_own *own = spec_own_find(&spec->own, instance);

	if (own != NULL && conf_listen_is_own(spec->conf, position))
		return (struct place){
			&own->listeners[position], &own->bound[position],
			&own->taken[position],
		};
	return (struct place){
		&spec->listeners[position], &spec->bound[position],
		&spec->taken[position],
	};
}

struct listener *
app_spec_place(const struct app_spec *spec, unsigned instance, size_t position)
{
	return *place_of(spec, instance, position).listener;
}

bool
app_spec_is_open(const struct app_spec *spec, unsigned instance)
{
	for (size_t i = 0; i < spec->conf->n_listens; i++)
		if (app_spec_place(spec, instance, i) == NULL)
			return false;
	return true;
}

struct listener *
app_spec_in_place(const struct app_spec *spec, size_t i)
{
	const struct spec_beside_entry *b = &spec->beside.v[i];

	return *place_of(spec, b->listener->instance, b->position).listener;
}

bool
app_spec_has_taken(const struct app_spec *spec, const struct listener *l)
{
	for (size_t i = 0; i < spec->conf->n_listens; i++) {
		struct place p = place_of(spec, l->instance, i);

		if (*p.listener == l)
			return *p.taken;
	}
	/* Beside it are those that were asked for. */
	return true;
}

struct listener *
app_spec_rival(const struct app_spec *spec, const struct listener *l)
{
	for (size_t i = 0; i < spec->beside.n; i++)
		if (spec->beside.v[i].listener == l)
			return app_spec_in_place(spec, i);
	return NULL;
}

bool
app_spec_is_settled(const struct app_spec *spec, const struct listener *l)
{
	for (size_t i = 0; i < spec->beside.n; i++)
		if (spec->beside.v[i].listener == l)
			return *place_of(spec, l->instance,
			    spec->beside.v[i].position).taken;
	return app_spec_has_taken(spec, l);
}

bool
app_spec_is_for(const struct app_spec *spec, const struct listener *l,
    unsigned instance)
{
	for (size_t i = 0; i < spec->conf->n_listens; i++)
		if (app_spec_place(spec, instance, i) == l)
			return true;
	for (size_t i = 0; i < spec->beside.n; i++)
		if (spec->beside.v[i].listener == l)
			return l->instance < 0 ||
			    l->instance == (long)instance;
	return false;
}

/* ---- its life ---- */

/* What servers had asked for under another supervisor: those that come will ask for
   it, or it is given up (daemon/adopt/adopt_review). */
static int
claim_beside(struct app_spec *spec, struct error *err)
{
	struct listener *l;
	int code = 0;

	for (size_t i = 0; code == 0 && i < spec->conf->n_listens; i++)
		while (code == 0 && (l = listeners_claim_beside(
		    spec->house->listeners, spec->conf, i)) != NULL) {
			code = spec_beside_reserve(&spec->beside, spec->own.n,
			    err);
			if (code < 0)
				listeners_release(l);
			else
				spec_beside_add(&spec->beside, i, l);
		}
	return code;
}

static void
count_instances(struct app_spec *spec)
{
	unsigned n = spec->house->auto_instances;

	spec->instances = conf_app_instances(spec->conf, n);
	spec->most = conf_app_most_instances(spec->conf, n);
}

int
app_spec_new(struct app_house *house, struct config *config,
    const struct conf_app *conf, struct app_spec **ret_spec,
    struct error *err)
{
	struct app_spec *spec = calloc(1, sizeof(*spec));
	int code = 0;

	if (spec == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	spec->refs = 1;
	spec->house = house;
	spec->config = config_ref(config);
	spec->conf = conf;
	count_instances(spec);
	spec->listeners = calloc(conf->n_listens + 1,
	    sizeof(*spec->listeners));
	spec->bound = calloc(conf->n_listens + 1, sizeof(*spec->bound));
	spec->taken = calloc(conf->n_listens + 1, sizeof(*spec->taken));
	if (spec->listeners == NULL || spec->bound == NULL ||
	    spec->taken == NULL)
		code = error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; code == 0 && i < conf->n_listens; i++)
		if (!conf_listen_is_own(conf, i))
			code = spec_listen(house->listeners, config, conf, i,
			    &spec->listeners[i], &spec->bound[i], err);
	for (unsigned i = 0; code == 0 && i < spec->instances; i++)
		code = app_spec_seat(spec, i, err);
	if (code == 0)
		code = claim_beside(spec, err);
	if (code == 0 && !is_workers_own(&conf->out))
		code = outputs_acquire(house->outputs, config, conf,
		    &conf->out, &spec->outputs[OUT_STREAM_STDOUT], err);
	if (code == 0 && !is_workers_own(&conf->err))
		code = outputs_acquire(house->outputs, config, conf,
		    &conf->err, &spec->outputs[OUT_STREAM_STDERR], err);
	if (code < 0) {
		app_spec_unref(spec);
		return code;
	}
	*ret_spec = spec;
	return 0;
}

void
app_spec_renew(struct app_spec *spec, struct config *config,
    const struct conf_app *conf)
{
	struct config *old = spec->config;

	assert(conf->n_listens == spec->conf->n_listens);
	spec->config = config_ref(config);
	spec->conf = conf;
	count_instances(spec);
	spec_own_renew(&spec->own, conf);
	if (spec->in_force)
		app_spec_put_in_force(spec);
	app_spec_adjust(spec);
	config_unref(old);
}

unsigned
app_spec_within(const struct app_spec *spec, unsigned n)
{
	if (!spec->conf->scales)
		return n;
	return n < spec->instances ? spec->instances :
	    n > spec->most ? spec->most : n;
}

struct rlimit
app_spec_nofile(const struct app_spec *spec, const struct rlimit *inherited)
{
	struct rlimit limit = *inherited;

	if (spec->conf->limit_nofile < 0)
		return limit;
	limit.rlim_cur = (rlim_t)spec->conf->limit_nofile;
	if (limit.rlim_max < limit.rlim_cur)
		limit.rlim_max = limit.rlim_cur;
	return limit;
}

struct app_spec *
app_spec_ref(struct app_spec *spec)
{
	spec->refs++;
	return spec;
}

void
app_spec_shut(struct app_spec *spec, bool all)
{
	size_t n;

	if (spec == NULL)
		return;
	n = spec->listeners != NULL ? spec->conf->n_listens : 0;

	for (size_t i = 0; i < n; i++) {
		if (spec->listeners[i] == NULL ||
		    (!all && spec->listeners[i]->forsaken))
			continue;
		listeners_release(spec->listeners[i]);
		spec->listeners[i] = NULL;
	}
	spec_own_shut(&spec->own, all);
	spec_beside_shut(&spec->beside);
}

void
app_spec_try(struct app_spec *spec, unsigned generation)
{
	spec->generation = generation;
	spec->in_force = false;
	for (size_t i = 0; i < spec->conf->n_listens; i++)
		if (spec->listeners[i] != NULL)
			listener_enlist(spec->listeners[i], spec->conf, i);
	spec_own_enlist(&spec->own);
}

void
app_spec_put_in_force(struct app_spec *spec)
{
	spec->in_force = true;
	for (int i = 0; i < OUT_STREAMS; i++)
		output_adjust(spec->outputs[i], spec->config, spec->conf);
}

static bool
has_same_workers(const struct app_spec *a, const struct app_spec *b)
{
	enum conf_change change;

	return conf_change(a->conf, b->conf, &change) == 0 &&
	    change != CONF_CHANGE_WORKERS;
}

bool
app_spec_note_unbound(struct app_spec *spec, struct app_spec *stable)
{
	bool first = spec_told_note_unbound(&spec->told);

	if (first && stable != NULL && stable != spec &&
	    has_same_workers(stable, spec))
		first = spec_told_note_unbound(&stable->told);
	return first;
}

void
app_spec_follow(struct app_spec *spec, const struct app_spec *stable)
{
	if (stable->told.unbound && has_same_workers(stable, spec))
		(void)spec_told_note_unbound(&spec->told);
}

void
app_spec_supersede(struct app_spec *spec)
{
	spec->in_force = false;
}

void
app_spec_reclaim(struct app_spec *spec)
{
	for (size_t i = 0; i < app_spec_n_listeners(spec); i++)
		if (app_spec_listener(spec, i) != NULL)
			listener_reclaim(app_spec_listener(spec, i));
}

void
app_spec_unref(struct app_spec *spec)
{
	if (spec == NULL || --spec->refs > 0)
		return;
	app_spec_shut(spec, true);
	for (int i = 0; i < OUT_STREAMS; i++)
		output_unref(spec->outputs[i]);
	free(spec->listeners);
	free(spec->bound);
	spec_beside_free(&spec->beside);
	spec_told_free(&spec->told);
	free(spec->taken);
	spec_own_free(&spec->own);
	config_unref(spec->config);
	free(spec);
}

/* ---- its listeners ---- */

size_t
app_spec_n_listeners(const struct app_spec *spec)
{
	size_t n = spec->conf->n_listens;

	return n + spec->beside.n + spec->own.n * n;
}

struct listener *
app_spec_listener(const struct app_spec *spec, size_t i)
{
	size_t n = spec->conf->n_listens;
	const struct spec_own *own;

	if (i < n)
		return spec->listeners[i];
	i -= n;
	if (i < spec->beside.n)
		return spec->beside.v[i].listener;
	i -= spec->beside.n;
	own = spec->own.v[i / n];
	return own != NULL ? own->listeners[i % n] : NULL;
}

struct listener *
app_spec_find_lane(const struct app_spec *spec, uint64_t ino)
{
	for (size_t i = 0; i < app_spec_n_listeners(spec); i++) {
		struct listener *l = app_spec_listener(spec, i);

		if (l != NULL && lanes_find_inode(l, ino) != NULL)
			return l;
	}
	return NULL;
}

bool
app_spec_has(const struct app_spec *spec, const struct listener *l)
{
	size_t n;

	if (spec == NULL)
		return false;
	if (l->instance >= 0 &&
	    app_spec_is_for(spec, l, (unsigned)l->instance))
		return true;
	n = spec->conf->n_listens + spec->beside.n;
	for (size_t i = 0; i < n; i++)
		if (app_spec_listener(spec, i) == l)
			return true;
	return false;
}

void
app_spec_adjust(const struct app_spec *spec)
{
	for (size_t i = 0; i < app_spec_n_listeners(spec); i++) {
		struct listener *l = app_spec_listener(spec, i);

		if (l != NULL)
			listener_adjust(l, spec->conf, spec->accepts);
	}
}

void
app_spec_restore_paths(const struct app_spec *spec)
{
	for (size_t i = 0; i < app_spec_n_listeners(spec); i++) {
		struct listener *l = app_spec_listener(spec, i);

		if (l != NULL)
			listener_file_restore(l);
	}
}

/* ---- what servers ask for by binding ---- */

int
app_spec_give(struct app_spec *spec, unsigned instance, size_t position,
    const struct address *target, struct listener **ret_listener,
    struct error *err)
{
	struct listener *l = app_spec_place(spec, instance, position);
	int code;

	assert(l != NULL);
	/* Another supervisor's socket stays as it is. */
	if (!(l->inherited && target->kind == l->bound.kind) &&
	    target->kind != ADDRESS_UNIX && !address_equal(&l->bound, target))
		l = spec_beside_find(&spec->beside, position, target);
	if (l != NULL) {
		*ret_listener = l;
		return 0;
	}
	code = spec_beside_reserve(&spec->beside, spec->own.n, err);
	if (code < 0)
		return code;
	code = listeners_derive(spec->house->listeners,
	    app_spec_conf(spec, instance), position, target, spec->accepts, &l,
	    err);
	if (code < 0)
		return code;
	spec_beside_add(&spec->beside, position, l);
	*ret_listener = l;
	return 0;
}

/* ---- what is seen of its servers ---- */

bool
app_spec_undecided(const struct app_spec *spec)
{
	return spec->conf->balance == CONF_BALANCE_AUTO &&
	    balance_is_open(spec->conf, balancing_can_count(
	    &spec->house->listeners->balancing, NULL), spec->accepts);
}

void
app_spec_decide(struct app_spec *spec, enum balance_accepts accepts)
{
	bool undecided = app_spec_undecided(spec);

	if (spec->accepts != BALANCE_ACCEPTS_UNKNOWN)
		return;
	spec->accepts = accepts;
	if (!undecided || spec->conf->n_listens == 0)
		return;
	log_app(LOG_LEVEL_INFO, spec->conf->name,
	    "balance = auto is %s: its program accepts %s",
	    balance_name(balance_choose(CONF_BALANCE_AUTO, ADDRESS_TCP, false,
	    accepts)), accepts == BALANCE_ACCEPTS_BLOCKING ?
	    "one connection at a time" : "several connections at once");
	if (spec->in_force)
		app_spec_adjust(spec);
}

void
app_spec_note_seen(struct app_spec *spec)
{
	spec->seen = true;
}

void
app_spec_take_over(struct app_spec *spec, uint64_t taken,
    enum balance_accepts accepts, bool seen)
{
	for (size_t i = 0; i < spec->conf->n_listens; i++)
		spec->taken[i] |= (taken >> i & 1) != 0;
	spec->seen |= seen;
	if (accepts != BALANCE_ACCEPTS_UNKNOWN)
		app_spec_decide(spec, accepts);
}

void
app_spec_note_failed(struct app_spec *spec)
{
	spec->failed = true;
}

/* ---- what they take ---- */

/* `l`, which is beside, is what the place has from now on. */
static void
put_in_place(struct app_spec *spec, size_t i)
{
	struct spec_beside_entry b = spec->beside.v[i];
	struct place p = place_of(spec, b.listener->instance, b.position);
	struct listener *old = *p.listener;

	spec_beside_remove(&spec->beside, i);
	*p.taken = true;
	*p.listener = b.listener;
	*p.bound = b.listener->bound;
	listener_take_place(b.listener);
	listener_forsake(old);
	listeners_release(old);
}

/* UDP beside a port is no other address of it. */
static bool
may_take_place(const struct app_spec *spec, const struct spec_beside_entry *b)
{
	struct listener *first =
	    *place_of(spec, b->listener->instance, b->position).listener;

	return first != NULL && first->bound.kind == b->listener->bound.kind;
}

void
app_spec_promote(struct app_spec *spec, size_t i)
{
	const struct spec_beside_entry *b = &spec->beside.v[i];

	if (may_take_place(spec, b))
		put_in_place(spec, i);
}

void
app_spec_drop(struct app_spec *spec, size_t i)
{
	struct listener *l = spec->beside.v[i].listener;

	spec_beside_remove(&spec->beside, i);
	listener_forsake(l);
	listeners_release(l);
}

int
app_spec_try_listener(struct app_spec *spec, struct listener *l,
    struct error *err)
{
	return listener_try(l, spec->conf, err);
}

void
app_spec_untry(struct app_spec *spec, struct listener *l)
{
	for (size_t i = 0; i < spec->beside.n; i++)
		if (spec->beside.v[i].listener == l) {
			app_spec_drop(spec, i);
			return;
		}
	listener_untry(l);
}

int
app_spec_take(struct app_spec *spec, struct listener *l, struct error *err)
{
	int code = listener_begin(l, spec->conf, true, err);

	if (code < 0)
		return code;
	for (size_t i = 0; i < spec->conf->n_listens; i++) {
		struct place p = place_of(spec, l->instance, i);

		if (*p.listener == l)
			*p.taken = true;
	}
	for (size_t i = 0; i < spec->beside.n; i++) {
		const struct spec_beside_entry *b = &spec->beside.v[i];
		struct place p = place_of(spec, l->instance, b->position);

		if (b->listener != l || *p.taken || !may_take_place(spec, b))
			continue;
		/* Who was told of it may serve what was opened first, too:
		   that is seen when it is ready (daemon/adopt). */
		if (conf_app_announces(spec->conf))
			continue;
		/* What was opened first is not what the server wants. */
		put_in_place(spec, i);
		break;
	}
	return 0;
}

