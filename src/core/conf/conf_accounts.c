#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "core/conf/conf.h"
#include "core/conf/conf_accounts.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_host.h"
#include "core/conf/conf_keys.h"
#include "core/conf/conf_value.h"

#define NOBODY		65534u
#define INHERITED	UINT32_MAX

/* What a name stands for that is not known yet: somebody without rights. */
static int
take_nobody(const char *user, struct conf_creds *ret_creds)
{
	struct conf_creds creds = {
		.set = true,
		.uid = NOBODY,
		.gid = NOBODY,
		.name = user != NULL ? strdup(user) : NULL,
		.home = user != NULL ? strdup("/") : NULL,
	};

	if (user != NULL && (creds.name == NULL || creds.home == NULL)) {
		conf_creds_free(&creds);
		return -ENOMEM;
	}
	*ret_creds = creds;
	return 0;
}

/* For whose keys, and who is asked. */
struct search {
	const struct conf_keys *keys;
	const struct conf_host *host;
};

/*
 * Look up `user` and `group` (either may be NULL). 0 also when the answer is
 * an error: it is then reported, for the key `blamed`, and nothing is set.
 */
static int
find_creds(const struct search *s, enum conf_key_id blamed, const char *user,
    const char *group, struct conf_creds *ret_creds)
{
	const struct conf_host *host = s->host;
	struct error err = ERROR_INIT;
	int r;

	r = host->find_creds(host->ctx, user, group, ret_creds, &err);
	if (r == -EAGAIN) {
		r = take_nobody(user, ret_creds);
	} else if (r < 0 && r != -ENOMEM) {
		conf_error_add(s->keys->errors,
		    conf_keys_line(s->keys, blamed), conf_key_name(blamed),
		    "%s%s", error_text(&err),
		    conf_value_comment(user != NULL ? user : group));
		r = 0;
	}
	error_clear(&err);
	return r;
}

/*
 * Each alone, so that each has its own error, and both together, for the
 * user's supplementary groups: all are asked for before the first answer.
 */
static int
find_worker(const struct search *s, struct conf_app *app)
{
	struct conf_creds user = { .set = false }, group = { .set = false };
	int r = 0;

	if (app->user != NULL)
		r = find_creds(s, CONF_KEY_USER, app->user, NULL, &user);
	if (r == 0 && app->group != NULL)
		r = find_creds(s, CONF_KEY_GROUP, NULL, app->group, &group);
	if (r == 0 && user.set && group.set) {
		r = find_creds(s, CONF_KEY_USER, app->user, app->group,
		    &app->creds);
	} else if (app->group == NULL) {
		app->creds = user;
		user = (struct conf_creds){ .set = false };
	} else if (app->user == NULL) {
		app->creds = group;
		group = (struct conf_creds){ .set = false };
	}
	conf_creds_free(&user);
	conf_creds_free(&group);
	return r;
}

static void
check_rights(const struct search *s, const struct conf_app *app)
{
	bool user = app->user != NULL;
	enum conf_key_id key = user ? CONF_KEY_USER : CONF_KEY_GROUP;
	struct error err = ERROR_INIT;

	if (app->creds.set && s->host->may_become != NULL &&
	    s->host->may_become(s->host->ctx, &app->creds, &err) < 0)
		conf_error_add(s->keys->errors, conf_keys_line(s->keys, key),
		    conf_key_name(key), "\"%.60s\": %s",
		    user ? app->user : app->group, error_text(&err));
	error_clear(&err);
}

int
conf_accounts_find(const struct conf_keys *keys, const struct conf_host *host,
    struct conf_app *app)
{
	const struct search search = { .keys = keys, .host = host };
	struct conf_creds owner = { .set = false }, group = { .set = false };
	int r;

	r = find_worker(&search, app);
	if (r == 0)
		check_rights(&search, app);
	if (r == 0 && app->socket_user != NULL)
		r = find_creds(&search, CONF_KEY_SOCKET_USER,
		    app->socket_user, NULL, &owner);
	if (r == 0 && app->socket_group != NULL)
		r = find_creds(&search, CONF_KEY_SOCKET_GROUP, NULL,
		    app->socket_group, &group);

	app->socket_uid = owner.set ? owner.uid : INHERITED;
	app->socket_gid = group.set ? group.gid : INHERITED;
	conf_creds_free(&owner);
	conf_creds_free(&group);
	return r;
}

int
conf_accounts_find_control(const struct conf_keys *keys,
    const struct conf_host *host, struct config *config)
{
	const struct search search = { .keys = keys, .host = host };
	struct conf_creds group = { .set = false };
	int r = 0;

	if (config->control_group != NULL)
		r = find_creds(&search, CONF_KEY_CONTROL_GROUP, NULL,
		    config->control_group, &group);
	config->control_gid = group.set ? group.gid : INHERITED;
	conf_creds_free(&group);
	return r;
}

/* Who may become nobody else runs it as what he is, unless somebody is named. */
static bool
is_refused(const struct search *s, const struct config *config)
{
	struct error err = ERROR_INIT;
	bool refused = s->host->may_become != NULL &&
	    s->host->may_become(s->host->ctx, &config->on_event_creds,
	    &err) < 0;

	if (refused && s->keys->seen[CONF_KEY_ON_EVENT_USER].entry != NULL)
		conf_error_add(s->keys->errors,
		    conf_keys_line(s->keys, CONF_KEY_ON_EVENT_USER),
		    "on_event_user", "\"%.60s\": %s", config->on_event_user,
		    error_text(&err));
	error_clear(&err);
	return refused;
}

/* Nobody is named, and who may become nobody else need not know whether the host has
   the default. */
static bool
needs_account(const struct search *s)
{
	static char name[] = "nobody";
	const struct conf_creds nobody = {
		.set = true, .uid = NOBODY, .gid = NOBODY, .name = name,
	};
	struct error err = ERROR_INIT;
	bool needs = s->keys->seen[CONF_KEY_ON_EVENT_USER].entry != NULL ||
	    s->host->may_become == NULL ||
	    s->host->may_become(s->host->ctx, &nobody, &err) == 0;

	error_clear(&err);
	return needs;
}

int
conf_accounts_find_on_event(const struct conf_keys *keys,
    const struct conf_host *host, struct config *config)
{
	const struct search search = { .keys = keys, .host = host };
	int r = 0;

	if (config->on_event.n > 0 && config->on_event_user != NULL &&
	    needs_account(&search))
		r = find_creds(&search, CONF_KEY_ON_EVENT_USER,
		    config->on_event_user, NULL, &config->on_event_creds);
	if (r == 0 && config->on_event_creds.set &&
	    is_refused(&search, config)) {
		conf_creds_free(&config->on_event_creds);
		config->on_event_creds = (struct conf_creds){ .set = false };
	}
	return r;
}
