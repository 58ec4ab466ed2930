#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "core/conf/conf_instance.h"
#include "core/names/placeholder.h"
#include "daemon/output/outputs.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/listener_file.h"
#include "daemon/sockets/listener_open.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"

/* Addresses that programs of one app may ask for beside the written ones: more
   than any machine's interfaces, fewer than descriptors. */
#define APP_SPEC_BESIDE_MAX 64

/* Programs may take any port that is free, each time. */
#define APP_SPEC_ELSEWHERE_MAX 16

/* Is it another file for each of the workers? */
static bool
is_workers_own(const struct conf_output *where)
{
	return where->path != NULL &&
	    (placeholder_in(PLACEHOLDER_INSTANCE, where->path) ||
	    placeholder_in(PLACEHOLDER_WORKER_ID, where->path) ||
	    placeholder_in(PLACEHOLDER_PORT, where->path));
}

/* Before the words: where the listener is written. */
static void
say_where(const struct config *config, const struct conf_app *conf, size_t i,
    int code, struct error *err)
{
	struct error why = ERROR_INIT;
	bool known = config->file != NULL && conf->listen_lines != NULL &&
	    conf->listen_lines[i] > 0;

	if (err == NULL || !known)
		return;
	why = *err;
	*err = (struct error)ERROR_INIT;
	error_set(err, code, "%s:%u: %s: %s", config->file,
	    conf->listen_lines[i], i == 0 && conf->has_port ? "port" :
	    "listen", error_text(&why));
	error_clear(&why);
}

static int
acquire(struct app_spec *spec, const struct conf_app *conf, size_t position,
    struct listener **ret_listener, struct address *ret_bound,
    struct error *err)
{
	int code = listeners_acquire(spec->house->listeners, conf, position,
	    ret_listener, err);

	if (code < 0)
		say_where(spec->config, conf, position, code, err);
	else
		*ret_bound = (*ret_listener)->bound;
	return code;
}

/* ---- what single instances have ---- */

/* What an instance has in the place of what all have. */
struct app_spec_own {
	struct conf_app conf;		/* a view */
	struct listener **listeners;	/* as conf.listens: references; NULL
					   where it is all instances' */
	struct address *bound;		/* for all places */
	bool *taken;
	bool closed;			/* the instance is no more */
};

static void
own_free(struct app_spec_own *own)
{
	if (own == NULL)
		return;
	for (size_t i = 0; own->listeners != NULL && i < own->conf.n_listens;
	    i++)
		listeners_release(own->listeners[i]);
	conf_view_free(&own->conf);
	free(own->listeners);
	free(own->bound);
	free(own->taken);
	free(own);
}

static int
own_new(struct app_spec *spec, unsigned instance, struct app_spec_own **ret_own,
    struct error *err)
{
	struct app_spec_own *own = calloc(1, sizeof(*own));
	size_t n = spec->conf->n_listens;
	int code;

	if (own == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	code = conf_view(spec->conf, instance, &own->conf, err);
	if (code < 0) {
		free(own);
		return code;
	}
	own->listeners = calloc(n, sizeof(*own->listeners));
	own->bound = calloc(n, sizeof(*own->bound));
	own->taken = calloc(n, sizeof(*own->taken));
	if (own->listeners == NULL || own->bound == NULL || own->taken == NULL)
		code = error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; code == 0 && i < n; i++)
		if (conf_listen_is_own(spec->conf, i))
			code = acquire(spec, &own->conf, i, &own->listeners[i],
			    &own->bound[i], err);
	if (code < 0)
		own_free(own);
	else
		*ret_own = own;
	return code;
}

static int
reserve_own(struct app_spec *spec, size_t n)
{
	struct app_spec_own **more;

	if (n <= spec->n_own)
		return 0;
	more = reallocarray(spec->own, n, sizeof(struct app_spec_own *));
	if (more == NULL)
		return -ENOMEM;
	spec->own = more;
	while (spec->n_own < n)
		more[spec->n_own++] = NULL;
	return 0;
}

static struct app_spec_own *
find_own(const struct app_spec *spec, long instance)
{
	return instance >= 0 && (size_t)instance < spec->n_own ?
	    spec->own[instance] : NULL;
}

static void
enlist_own(const struct app_spec_own *own)
{
	for (size_t i = 0; i < own->conf.n_listens; i++)
		if (own->listeners[i] != NULL)
			listener_enlist(own->listeners[i], &own->conf, i);
}

int
app_spec_seat(struct app_spec *spec, unsigned instance, struct error *err)
{
	struct app_spec_own *own = find_own(spec, instance);
	int code;

	if (!conf_has_own_listens(spec->conf))
		return 0;
	if (own != NULL) {
		if (own->closed)
			enlist_own(own);
		own->closed = false;
		return 0;
	}
	if (reserve_own(spec, (size_t)instance + 1) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	code = own_new(spec, instance, &spec->own[instance], err);
	/* Of a spec that runs already: scaled. */
	if (code == 0 && spec->generation > 0)
		enlist_own(spec->own[instance]);
	return code;
}

void
app_spec_unseat(struct app_spec *spec, unsigned instance)
{
	struct app_spec_own *own = find_own(spec, instance);

	if (own == NULL || own->closed)
		return;
	own->closed = true;
	for (size_t i = 0; i < own->conf.n_listens; i++)
		if (own->listeners[i] != NULL)
			listener_close_door(own->listeners[i]);
}

static void
shut_own(struct app_spec *spec, bool all)
{
	for (size_t k = 0; k < spec->n_own; k++) {
		struct app_spec_own *own = spec->own[k];

		for (size_t i = 0; own != NULL && i < own->conf.n_listens;
		    i++) {
			struct listener *l = own->listeners[i];

			if (l == NULL || (!all && l->forsaken))
				continue;
			listeners_release(l);
			own->listeners[i] = NULL;
		}
	}
}

const struct conf_app *
app_spec_conf(const struct app_spec *spec, unsigned instance)
{
	const struct app_spec_own *own = find_own(spec, instance);

	return own != NULL ? &own->conf : spec->conf;
}

const struct address *
app_spec_bound(const struct app_spec *spec, unsigned instance)
{
	struct app_spec_own *own = find_own(spec, instance);

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
	struct app_spec_own *own = find_own(spec, instance);

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

struct listener *
app_spec_in_place(const struct app_spec *spec, size_t i)
{
	const struct app_spec_beside *b = &spec->beside[i];

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
	for (size_t i = 0; i < spec->n_beside; i++)
		if (spec->beside[i].listener == l)
			return app_spec_in_place(spec, i);
	return NULL;
}

bool
app_spec_is_settled(const struct app_spec *spec, const struct listener *l)
{
	for (size_t i = 0; i < spec->n_beside; i++)
		if (spec->beside[i].listener == l)
			return *place_of(spec, l->instance,
			    spec->beside[i].position).taken;
	return app_spec_has_taken(spec, l);
}

bool
app_spec_is_for(const struct app_spec *spec, const struct listener *l,
    unsigned instance)
{
	for (size_t i = 0; i < spec->conf->n_listens; i++)
		if (app_spec_place(spec, instance, i) == l)
			return true;
	for (size_t i = 0; i < spec->n_beside; i++)
		if (spec->beside[i].listener == l)
			return l->instance < 0 ||
			    l->instance == (long)instance;
	return false;
}

/* ---- its life ---- */

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
	spec->instances = conf_app_instances(conf, house->auto_instances);
	spec->listeners = calloc(conf->n_listens + 1,
	    sizeof(*spec->listeners));
	spec->bound = calloc(conf->n_listens + 1, sizeof(*spec->bound));
	spec->taken = calloc(conf->n_listens + 1, sizeof(*spec->taken));
	if (spec->listeners == NULL || spec->bound == NULL ||
	    spec->taken == NULL)
		code = error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; code == 0 && i < conf->n_listens; i++)
		if (!conf_listen_is_own(conf, i))
			code = acquire(spec, conf, i, &spec->listeners[i],
			    &spec->bound[i], err);
	for (unsigned i = 0; code == 0 && i < spec->instances; i++)
		code = app_spec_seat(spec, i, err);
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
	spec->instances = conf_app_instances(conf,
	    spec->house->auto_instances);
	for (size_t i = 0; i < spec->n_own; i++)
		if (spec->own[i] != NULL)
			conf_view_renew(&spec->own[i]->conf, conf);
	if (spec->in_force)
		app_spec_put_in_force(spec);
	app_spec_adjust(spec);
	config_unref(old);
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
	shut_own(spec, all);
	for (size_t i = 0; i < spec->n_beside; i++)
		listeners_release(spec->beside[i].listener);
	spec->n_beside = 0;
}

void
app_spec_try(struct app_spec *spec, unsigned generation)
{
	spec->generation = generation;
	spec->in_force = false;
	for (size_t i = 0; i < spec->conf->n_listens; i++)
		if (spec->listeners[i] != NULL)
			listener_enlist(spec->listeners[i], spec->conf, i);
	for (size_t i = 0; i < spec->n_own; i++)
		if (spec->own[i] != NULL)
			enlist_own(spec->own[i]);
}

void
app_spec_put_in_force(struct app_spec *spec)
{
	spec->in_force = true;
	for (int i = 0; i < OUT_STREAMS; i++)
		output_adjust(spec->outputs[i], spec->config, spec->conf);
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
	free(spec->beside);
	free(spec->elsewhere);
	free(spec->taken);
	for (size_t i = 0; i < spec->n_own; i++)
		own_free(spec->own[i]);
	free(spec->own);
	config_unref(spec->config);
	free(spec);
}

/* ---- its listeners ---- */

size_t
app_spec_n_listeners(const struct app_spec *spec)
{
	size_t n = spec->conf->n_listens;

	return n + spec->n_beside + spec->n_own * n;
}

struct listener *
app_spec_listener(const struct app_spec *spec, size_t i)
{
	size_t n = spec->conf->n_listens;
	const struct app_spec_own *own;

	if (i < n)
		return spec->listeners[i];
	i -= n;
	if (i < spec->n_beside)
		return spec->beside[i].listener;
	i -= spec->n_beside;
	own = spec->own[i / n];
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
	n = spec->conf->n_listens + spec->n_beside;
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

static struct listener *
find_beside(const struct app_spec *spec, size_t position,
    const struct address *target)
{
	for (size_t i = 0; i < spec->n_beside; i++)
		if (spec->beside[i].position == position &&
		    address_equal(&spec->beside[i].listener->bound, target))
			return spec->beside[i].listener;
	return NULL;
}

int
app_spec_give(struct app_spec *spec, unsigned instance, size_t position,
    const struct address *target, struct listener **ret_listener,
    struct error *err)
{
	struct listener *l = app_spec_place(spec, instance, position);
	struct app_spec_beside *more;
	int code;

	assert(l != NULL);
	/* Another supervisor's socket stays as it is. */
	if (!(l->inherited && target->kind == l->bound.kind) &&
	    target->kind != ADDRESS_UNIX && !address_equal(&l->bound, target))
		l = find_beside(spec, position, target);
	if (l != NULL) {
		*ret_listener = l;
		return 0;
	}
	if (spec->n_beside >= APP_SPEC_BESIDE_MAX + spec->n_own)
		return error_set(err, -ENOSPC,
		    "its programs ask for too many addresses");
	more = reallocarray(spec->beside, spec->n_beside + 1, sizeof(*more));
	if (more == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	spec->beside = more;
	code = listeners_derive(spec->house->listeners,
	    app_spec_conf(spec, instance), position, target, spec->accepts, &l,
	    err);
	if (code < 0)
		return code;
	spec->beside[spec->n_beside++] = (struct app_spec_beside){
		.position = position, .listener = l,
	};
	*ret_listener = l;
	return 0;
}

/* ---- who has which lane ---- */

bool
app_spec_shares(const struct app_spec *spec, const struct listener *l)
{
	return listener_balance(l, spec->conf, spec->accepts) ==
	    BALANCE_SHARED;
}

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
app_spec_note_failed(struct app_spec *spec)
{
	spec->failed = true;
}

int
app_spec_take_lane(const struct app_spec *spec, struct listener *l,
    const struct lane_holder *holder, struct lane **ret_lane, struct error *err)
{
	if (!app_spec_shares(spec, l))
		return lanes_take(l, holder, ret_lane, err);
	return lanes_share(l, holder, ret_lane, err);
}

struct lane *
app_spec_lane(const struct app_spec *spec, struct listener *l,
    const struct lane_holder *holder)
{
	if (!app_spec_shares(spec, l))
		return lanes_find(l, holder);
	return l->instance < 0 || l->instance == holder->about.instance ?
	    l->lanes.common : NULL;
}

/* `l`, which is beside, is what the place has from now on. */
static void
put_in_place(struct app_spec *spec, size_t i)
{
	struct app_spec_beside b = spec->beside[i];
	struct place p = place_of(spec, b.listener->instance, b.position);
	struct listener *old = *p.listener;

	spec->beside[i] = spec->beside[--spec->n_beside];
	*p.taken = true;
	*p.listener = b.listener;
	*p.bound = b.listener->bound;
	listener_take_place(b.listener);
	listener_forsake(old);
	listeners_release(old);
}

/* UDP beside a port is no other address of it. */
static bool
may_take_place(const struct app_spec *spec, const struct app_spec_beside *b)
{
	struct listener *first =
	    *place_of(spec, b->listener->instance, b->position).listener;

	return first != NULL && first->bound.kind == b->listener->bound.kind;
}

void
app_spec_promote(struct app_spec *spec, size_t i)
{
	const struct app_spec_beside *b = &spec->beside[i];

	if (may_take_place(spec, b))
		put_in_place(spec, i);
}

unsigned
app_spec_note_useless(struct app_spec *spec, size_t i, bool useless)
{
	struct app_spec_beside *b = &spec->beside[i];

	b->looks = useless ? b->looks + 1 : 0;
	return b->looks;
}

void
app_spec_drop(struct app_spec *spec, size_t i)
{
	struct listener *l = spec->beside[i].listener;

	spec->beside[i] = spec->beside[--spec->n_beside];
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
	for (size_t i = 0; i < spec->n_beside; i++)
		if (spec->beside[i].listener == l) {
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
	for (size_t i = 0; i < spec->n_beside; i++) {
		const struct app_spec_beside *b = &spec->beside[i];
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

size_t
app_spec_inodes(const struct app_spec *spec, const struct lane_holder *holder,
    uint64_t *inos, size_t max)
{
	size_t n_listens = spec->conf->n_listens, n = 0;

	for (size_t i = 0; i < n_listens + spec->n_beside && n < max; i++) {
		struct listener *l = i < n_listens ? app_spec_place(spec,
		    (unsigned)holder->about.instance, i) :
		    app_spec_listener(spec, i);
		const struct lane *lane = l != NULL ?
		    app_spec_lane(spec, l, holder) : NULL;

		if (lane != NULL && lane->listening && !l->quiet)
			inos[n++] = lane->ino;
	}
	return n;
}

/* ---- addresses that are none of ours ---- */

static bool
is_of(const struct address_text *noted, const struct address *address)
{
	return strcmp(noted->s, address_text(address).s) == 0;
}

void
app_spec_note_bind(struct app_spec *spec, const struct address *address,
    unsigned instance, struct mono now)
{
	spec->let_bind = address_text(address);
	spec->let_bind_by = instance;
	spec->let_bind_at = now;
}

bool
app_spec_sibling_bound(const struct app_spec *spec,
    const struct address *address, unsigned instance, struct mono now,
    int64_t within_ms)
{
	return is_of(&spec->let_bind, address) &&
	    spec->let_bind_by != instance &&
	    mono_ms_between(spec->let_bind_at, now) < within_ms;
}

bool
app_spec_note_hint(struct app_spec *spec, const struct address *address)
{
	bool again = is_of(&spec->hinted, address);

	spec->hinted = address_text(address);
	return !again;
}

bool
app_spec_note_elsewhere(struct app_spec *spec, const struct address *address)
{
	struct address_text *more;

	for (size_t i = 0; i < spec->n_elsewhere; i++)
		if (is_of(&spec->elsewhere[i], address))
			return false;
	if (spec->n_elsewhere >= APP_SPEC_ELSEWHERE_MAX)
		return false;
	more = reallocarray(spec->elsewhere, spec->n_elsewhere + 1,
	    sizeof(*more));
	if (more == NULL)
		return false;
	spec->elsewhere = more;
	more[spec->n_elsewhere++] = address_text(address);
	return true;
}

bool
app_spec_note_public(struct app_spec *spec)
{
	bool again = spec->public_told;

	spec->public_told = true;
	return !again;
}

bool
app_spec_note_unbound(struct app_spec *spec)
{
	bool again = spec->unbound_told;

	spec->unbound_told = true;
	return !again;
}
