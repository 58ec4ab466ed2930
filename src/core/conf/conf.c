/* What one can do with a finished configuration: share it, drop it, ask it. */
#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf/conf.h"

void
conf_creds_free(struct conf_creds *creds)
{
	free(creds->groups);
	free(creds->name);
	free(creds->home);
	*creds = (struct conf_creds){ .set = false };
}

bool
conf_creds_same(const struct conf_creds *a, const struct conf_creds *b)
{
	if (!a->set || !b->set)
		return a->set == b->set;
	return a->gid == b->gid && (a->name == NULL) == (b->name == NULL) &&
	    (a->name == NULL || a->uid == b->uid) &&
	    a->n_groups == b->n_groups && (a->n_groups == 0 ||
	    memcmp(a->groups, b->groups,
	    a->n_groups * sizeof(*a->groups)) == 0);
}

static void
app_free(struct conf_app *app)
{
	free(app->name);
	strlist_free(&app->command);
	strlist_free(&app->health_command);
	free(app->health_path);
	free(app->health_host);
	free(app->agent);
	for (size_t i = 0; i < app->n_listens; i++)
		address_free(&app->listens[i]);
	for (size_t i = 0; i < app->n_listens; i++)
		free(app->listen_forms[i]);
	free(app->listens);
	free(app->listen_forms);
	free(app->listen_lines);
	for (size_t i = 0; i < app->n_listens; i++)
		free(app->listen_names[i]);
	free(app->listen_names);
	free(app->socket_user);
	free(app->socket_group);
	free(app->directory);
	strlist_free(&app->env);
	free(app->env_file);
	strlist_free(&app->env_file_entries);
	free(app->user);
	free(app->group);
	strlist_free(&app->after);
	conf_creds_free(&app->creds);
	free(app->out.path);
	free(app->err.path);
}

struct config *
config_ref(struct config *config)
{
	assert(config->refs > 0 && config->refs < UINT_MAX);
	config->refs++;
	return config;
}

void
config_unref(struct config *config)
{
	if (config == NULL)
		return;
	assert(config->refs > 0);
	if (--config->refs > 0)
		return;

	for (size_t i = 0; i < config->n_apps; i++)
		app_free(&config->apps[i]);
	free(config->apps);
	conf_errors_free(&config->warnings);
	free(config->base_dir);
	conf_places_free(&config->places);
	free(config->file);
	free(config->log);
	free(config->pidfile);
	free(config->control);
	free(config->control_group);
	free(config->web);
	free(config->web_user);
	free(config->web_token_file);
	free(config->web_host);
	strlist_free(&config->on_event);
	free(config->on_event_user);
	conf_creds_free(&config->on_event_creds);
	if (config->close_text != NULL)
		config->close_text(&config->text);
	free(config);
}

static unsigned
count_of(enum conf_instances kind, unsigned count, unsigned auto_instances)
{
	uint64_t n = auto_instances;

	switch (kind) {
	case CONF_INSTANCES_AUTO:
		break;
	case CONF_INSTANCES_NUMBER:
		n = count;
		break;
	case CONF_INSTANCES_PERCENT:
		n = (n * count + 99) / 100;
		break;
	}
	if (n < 1)
		return 1;
	return n > CONF_INSTANCES_MAX ? CONF_INSTANCES_MAX : (unsigned)n;
}

unsigned
conf_app_instances(const struct conf_app *app, unsigned auto_instances)
{
	return count_of(app->instances_kind, app->instances, auto_instances);
}

unsigned
conf_app_most_instances(const struct conf_app *app, unsigned auto_instances)
{
	unsigned least = conf_app_instances(app, auto_instances), most;

	if (!app->scales)
		return least;
	most = count_of(app->most_kind, app->most, auto_instances);
	return most > least ? most : least;
}

unsigned
conf_app_fd_protocols(const struct conf_app *app)
{
	unsigned protocols = app->fd_protocols;

	if (protocols == 0 && app->handoff == CONF_HANDOFF_ENV)
		protocols = CONF_FDP_SYSTEMD;
	return protocols | CONF_FDP_CLUSTERD;
}

bool
conf_app_announces(const struct conf_app *app)
{
	return app->handoff != CONF_HANDOFF_ADOPT &&
	    conf_app_fd_protocols(app) != CONF_FDP_CLUSTERD;
}

bool
conf_app_listens_on(const struct conf_app *app, enum address_kind kind)
{
	for (size_t i = 0; i < app->n_listens; i++)
		if (app->listens[i].kind == kind)
			return true;
	return false;
}

bool
conf_app_notifies(const struct conf_app *app)
{
	return app->fd_protocols == 0 ||
	    (app->fd_protocols & CONF_FDP_SYSTEMD) != 0 ||
	    app->ready == CONF_READY_NOTIFY ||
	    app->health == CONF_HEALTH_WATCHDOG;
}

const char *
config_file_of(const struct config *config, unsigned line, unsigned *ret_line)
{
	const struct conf_place *place = conf_places_find(&config->places,
	    line);

	*ret_line = place != NULL ? line - place->before : line;
	return place != NULL ? place->file : config->file;
}

const char *
config_app_dir(const struct config *config, const struct conf_app *app)
{
	const struct conf_place *place = conf_places_find(&config->places,
	    app->line);

	return place != NULL ? place->dir : config->base_dir;
}

const struct conf_app *
config_find_app(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_apps; i++) {
		if (strcmp(config->apps[i].name, name) == 0)
			return &config->apps[i];
	}
	return NULL;
}
