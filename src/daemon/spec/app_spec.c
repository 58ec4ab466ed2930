#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "daemon/output/outputs.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/listener_file.h"
#include "daemon/sockets/listener_open.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"

/* Addresses that programs of one app may ask for beside the written ones: more
   than any machine's interfaces, fewer than descriptors. */
#define APP_SPEC_BESIDE_MAX 64

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
	for (size_t i = 0; code == 0 && i < conf->n_listens; i++) {
		code = listeners_acquire(house->listeners, conf, i,
		    &spec->listeners[i], err);
		if (code < 0)
			say_where(config, conf, i, code, err);
		else
			spec->bound[i] = spec->listeners[i]->bound;
	}
	if (code == 0)
		code = outputs_acquire(house->outputs, config, conf,
		    &conf->out, &spec->outputs[OUT_STREAM_STDOUT], err);
	if (code == 0)
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
		listener_enlist(spec->listeners[i], spec->conf, i);
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
	for (size_t i = 0; i < spec->conf->n_listens; i++)
		if (spec->listeners[i] != NULL)
			listener_reclaim(spec->listeners[i]);
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
	free(spec->taken);
	config_unref(spec->config);
	free(spec);
}

/* ---- its listeners ---- */

size_t
app_spec_n_listeners(const struct app_spec *spec)
{
	return spec->conf->n_listens + spec->n_beside;
}

struct listener *
app_spec_listener(const struct app_spec *spec, size_t i)
{
	size_t n = spec->conf->n_listens;

	return i < n ? spec->listeners[i] : spec->beside[i - n].listener;
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
	for (size_t i = 0; spec != NULL && i < app_spec_n_listeners(spec); i++)
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
app_spec_give(struct app_spec *spec, size_t position,
    const struct address *target, struct listener **ret_listener,
    struct error *err)
{
	struct listener *l = spec->listeners[position];
	struct app_spec_beside *more;
	int code;

	assert(l != NULL);
	/* Another supervisor's socket stays as it is. */
	if (!l->inherited && target->kind != ADDRESS_UNIX &&
	    !address_equal(&l->bound, target))
		l = find_beside(spec, position, target);
	if (l != NULL) {
		*ret_listener = l;
		return 0;
	}
	if (spec->n_beside >= APP_SPEC_BESIDE_MAX)
		return error_set(err, -ENOSPC,
		    "its programs ask for too many addresses");
	more = reallocarray(spec->beside, spec->n_beside + 1, sizeof(*more));
	if (more == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	spec->beside = more;
	code = listeners_derive(spec->house->listeners, spec->conf, position,
	    target, spec->accepts, &l, err);
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
	return app_spec_shares(spec, l) ? l->lanes.common :
	    lanes_find(l, holder);
}

void
app_spec_promote(struct app_spec *spec, size_t i)
{
	struct app_spec_beside b = spec->beside[i];
	struct listener *old = spec->listeners[b.position];

	spec->beside[i] = spec->beside[--spec->n_beside];
	spec->taken[b.position] = true;
	spec->listeners[b.position] = b.listener;
	spec->bound[b.position] = b.listener->bound;
	listener_take_place(b.listener);
	listener_forsake(old);
	listeners_release(old);
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
app_spec_take(struct app_spec *spec, struct listener *l, struct error *err)
{
	int code = listener_begin(l, spec->conf, true, err);

	if (code < 0)
		return code;
	for (size_t i = 0; i < spec->conf->n_listens; i++)
		if (spec->listeners[i] == l)
			spec->taken[i] = true;
	for (size_t i = 0; i < spec->n_beside; i++) {
		size_t position = spec->beside[i].position;

		if (spec->beside[i].listener != l || spec->taken[position])
			continue;
		/* Who was told of it may serve what was opened first, too:
		   that is seen when it is ready (daemon/adopt). */
		if (conf_app_announces(spec->conf))
			continue;
		/* What was opened first is not what the server wants. */
		app_spec_promote(spec, i);
		break;
	}
	return 0;
}

size_t
app_spec_inodes(const struct app_spec *spec, const struct lane_holder *holder,
    uint64_t *inos, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < app_spec_n_listeners(spec) && n < max; i++) {
		struct listener *l = app_spec_listener(spec, i);
		const struct lane *lane = l != NULL ?
		    app_spec_lane(spec, l, holder) : NULL;

		if (lane != NULL && lane->listening)
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
app_spec_note_unbound(struct app_spec *spec)
{
	bool again = spec->unbound_told;

	spec->unbound_told = true;
	return !again;
}
