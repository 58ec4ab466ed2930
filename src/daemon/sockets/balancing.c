#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/conf/conf.h"
#include "daemon/sockets/balancing.h"
#include "linux/bpf/conn_count.h"
#include "linux/bpf/steering_ebpf.h"
#include "linux/bpf/steering_hub.h"
#include "linux/process/cgroup.h"
#include "linux/socket/socket_limits.h"

void
balancing_init(struct balancing *b)
{
	*b = (struct balancing){ .optmem_max = socket_optmem_max() };
}

void
balancing_fini(struct balancing *b)
{
	steering_hub_free(b->hub);
	conn_count_free(b->count);
	while (b->n_homes > 0)
		cgroup_free(&b->homes[--b->n_homes]);
	free(b->homes);
	b->homes = NULL;
	error_clear(&b->turns.why);
	error_clear(&b->least.why);
	b->count = NULL;
	b->hub = NULL;
}

void
balancing_take_over(struct balancing *b, struct conn_count *count,
    struct steering_hub *hub, bool turns, bool least)
{
	b->count = count;
	b->hub = hub;
	b->turns.done = turns && hub != NULL;
	b->least.done = least && hub != NULL;
}

int
balancing_hub(struct balancing *b, struct steering_hub **ret_hub,
    struct error *err)
{
	int code = b->count != NULL ? 0 : conn_count_new(&b->count, err);

	if (code == 0 && b->hub == NULL)
		code = steering_hub_new(b->count, &b->hub, err);
	if (code == 0)
		*ret_hub = b->hub;
	return code;
}

/* We are back in it, maybe by another name. */
static void
forget_home(struct balancing *b, uint64_t id)
{
	for (size_t i = 0; i < b->n_homes; i++) {
		if (b->homes[i].id != id)
			continue;
		cgroup_free(&b->homes[i]);
		b->homes[i] = b->homes[--b->n_homes];
		return;
	}
}

/* The present one is the last. NULL: no memory, or no cgroup v2. */
static struct cgroup *
add_home(struct balancing *b)
{
	struct cgroup *homes = reallocarray(b->homes, b->n_homes + 1,
	    sizeof(*homes));
	struct cgroup own;

	if (homes == NULL)
		return NULL;
	b->homes = homes;
	if (cgroup_own(&own, NULL) < 0)
		return NULL;
	forget_home(b, own.id);
	homes[b->n_homes] = own;
	return &homes[b->n_homes++];
}

void
balancing_note_cgroup(struct balancing *b)
{
	const struct cgroup *home;

	if (b->n_homes > 0 && cgroup_is_own(&b->homes[b->n_homes - 1]))
		return;
	home = add_home(b);
	/* Failing that, the lane will be found not to be counted. */
	if (home != NULL && b->count != NULL)
		(void)conn_count_cover(b->count, home, NULL);
}

int
balancing_cover(struct balancing *b, struct error *err)
{
	struct steering_hub *hub;
	int code = balancing_hub(b, &hub, err);

	for (size_t i = 0; code == 0 && i < b->n_homes; i++) {
		code = conn_count_cover(b->count, &b->homes[i], err);
		/* It is gone: whether its lanes are counted they say
		   themselves. */
		if (code == -ENOENT) {
			error_clear(err);
			code = 0;
		}
	}
	return code;
}

static int
probe(struct balancing *b, struct balancing_probe *p,
    enum steering_ebpf_mode mode)
{
	struct steering_hub *hub;

	if (p->done)
		return p->code;
	p->done = true;
	p->code = balancing_hub(b, &hub, &p->why);
	if (p->code == 0 && b->hurries)
		steering_hub_load_soon(hub, mode);
	if (p->code == 0)
		p->code = steering_ebpf_probe(mode, hub, &p->why);
	return p->code;
}

static int
await(struct balancing *b, struct balancing_probe *p)
{
	enum steering_ebpf_mode mode = p == &b->turns ? STEERING_EBPF_TURNS :
	    STEERING_EBPF_LEAST;

	if (p->code == 0 && b->hub != NULL)
		p->code = steering_hub_await(b->hub, mode, &p->why);
	return p->code;
}

void
balancing_hurry(struct balancing *b)
{
	b->hurries = true;
}

bool
balancing_is_to_settle(const struct balancing *b, bool wait)
{
	return b->hurries && (wait || b->hub == NULL ||
	    !steering_hub_is_waiting(b->hub));
}

bool
balancing_settle(struct balancing *b)
{
	bool believed = b->least.done && b->least.code == 0;

	b->hurries = false;
	if (!believed || await(b, &b->least) == 0)
		return true;
	log_warning("balance = auto is not least-connections: %s",
	    error_text(&b->least.why));
	return false;
}

bool
balancing_can_count(struct balancing *b, const char **ret_why)
{
	bool can = probe(b, &b->least, STEERING_EBPF_LEAST) == 0;

	if (ret_why != NULL)
		*ret_why = can ? NULL : error_text(&b->least.why);
	return can;
}

enum balance
balancing_choose(struct balancing *b, const struct conf_app *app,
    enum address_kind kind, enum balance_accepts accepts)
{
	bool can_count = app->balance == CONF_BALANCE_AUTO &&
	    kind == ADDRESS_TCP && balancing_can_count(b, NULL);

	return balance_choose(app->balance, kind, can_count, accepts);
}

static int
check_app(struct balancing *b, const struct conf_app *app, struct error *err)
{
	struct balancing_probe *p = app->balance == CONF_BALANCE_ROUND_ROBIN ?
	    &b->turns : &b->least;
	int code = 0;

	if (app->balance == CONF_BALANCE_ROUND_ROBIN)
		code = probe(b, p, STEERING_EBPF_TURNS);
	else if (app->balance == CONF_BALANCE_LEAST_CONNECTIONS)
		code = probe(b, p, STEERING_EBPF_LEAST);
	else
		return 0;
	/* Who asks for it by name is told now. */
	if (code == 0)
		code = await(b, p);
	if (code < 0)
		return error_set(err, code,
		    "%s: balance = %s is not possible here: %s; "
		    "auto, random, source and shared are", app->name,
		    balance_name(balance_choose(app->balance, ADDRESS_TCP,
		    true, BALANCE_ACCEPTS_UNKNOWN)), error_text(&p->why));
	return 0;
}

static bool
is_auto(const struct conf_app *app)
{
	return app->balance == CONF_BALANCE_AUTO &&
	    conf_app_listens_on(app, ADDRESS_TCP);
}

/* NULL: no memory. */
static char *
describe_auto(struct balancing *b)
{
	const char *why;
	char *text;

	if (balancing_can_count(b, &why))
		return strdup("least-connections here");
	return asprintf(&text, "random here, or shared for a program that "
	    "accepts one connection at a time; least-connections is not "
	    "possible: %s", why) < 0 ? NULL : text;
}

char *
balancing_describe(const struct config *config)
{
	struct balancing b;
	char *text = NULL;

	balancing_init(&b);
	for (size_t i = 0; text == NULL && i < config->n_apps; i++)
		if (is_auto(&config->apps[i]))
			text = describe_auto(&b);
	balancing_fini(&b);
	return text;
}

const char *
balancing_no_slow_start(struct balancing *b, const struct config *config,
    const char **ret_why)
{
	for (size_t i = 0; i < config->n_apps; i++) {
		const struct conf_app *app = &config->apps[i];

		if (app->slow_start_ms > 0 && is_auto(app) &&
		    !balancing_can_count(b, ret_why))
			return app->name;
	}
	return NULL;
}

static void
tell_slow_start(struct balancing *b, const struct config *config)
{
	const char *why;
	const char *app = b->told_slow ? NULL :
	    balancing_no_slow_start(b, config, &why);

	if (app == NULL)
		return;
	b->told_slow = true;
	log_warning("%s: slow_start does nothing here: least-connections is "
	    "not possible: %s", app, why);
}

int
balancing_check(struct balancing *b, const struct config *config,
    struct error *err)
{
	tell_slow_start(b, config);
	for (size_t i = 0; i < config->n_apps; i++) {
		const struct conf_app *app = &config->apps[i];
		char *text;
		int code;

		if (!conf_app_listens_on(app, ADDRESS_TCP))
			continue;
		code = check_app(b, app, err);
		if (code < 0)
			return code;
		if (!is_auto(app) || b->told)
			continue;
		b->told = true;
		text = describe_auto(b);
		log_info("balance = auto is %s", text != NULL ? text : "?");
		free(text);
	}
	return 0;
}
