#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "daemon/apps/apps.h"
#include "daemon/apps/app.h"
#include "daemon/spec/app_spec.h"
#include "daemon/output/outputs.h"
#include "daemon/apps/stopped.h"

static struct stopped_app **
find(struct apps *apps, const char *name)
{
	struct stopped_app **p = &apps->stopped;

	while (*p != NULL && strcmp((*p)->conf->name, name) != 0)
		p = &(*p)->next;
	return p;
}

static void
drop(struct stopped_app **p)
{
	struct stopped_app *s = *p;

	*p = s->next;
	config_unref(s->config);
	free(s);
}

int
stopped_put(struct app *app, struct error *err)
{
	/* What is in force, not what a rollout tries. */
	const struct app_spec *spec = app->crew.stable;
	struct apps *apps = app->apps;
	struct stopped_app *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	s->config = config_ref(spec->config);
	s->conf = spec->conf;
	s->next = apps->stopped;
	apps->stopped = s;
	log_app(LOG_LEVEL_INFO, app->crew.name, "stopping, as asked");
	app_remove(app);
	return 0;
}

const struct stopped_app *
stopped_find(const struct apps *apps, const char *name)
{
	const struct stopped_app *s = apps->stopped;

	while (s != NULL && strcmp(s->conf->name, name) != 0)
		s = s->next;
	return s;
}

int
stopped_start(struct apps *apps, const char *name, struct error *err)
{
	struct stopped_app **p = find(apps, name);
	const struct conf_app *conf = (*p)->conf;
	struct app_spec *spec;
	int code;

	code = app_check_listens(apps, conf, err);
	if (code == 0)
		code =
		    app_spec_new(&apps->house, (*p)->config, conf, &spec, err);
	if (code < 0)
		return code;
	code = app_add(apps, spec, false);
	app_spec_unref(spec);
	if (code < 0)
		return error_set(err, code, "out of memory");
	/* No reload has. `name` may be that of the request, which is answered
	   and gone if a worker could not even be spawned. */
	app_find(apps, conf->name)->added_by = 0;
	drop(p);
	return 0;
}

void
stopped_reload(struct apps *apps, struct config *config)
{
	struct stopped_app **p = &apps->stopped;

	while (*p != NULL) {
		struct stopped_app *s = *p;
		const struct conf_app *conf = config_find_app(config,
		    s->conf->name);

		if (conf == NULL) {
			/* app_free() does it, if it has not gone yet. */
			if (!app_lingers(apps, s->conf->name))
				outputs_forget(apps->outputs, s->conf->name);
			drop(p);
			continue;
		}
		config_unref(s->config);
		s->config = config_ref(config);
		s->conf = conf;
		p = &s->next;
	}
}

void
stopped_free(struct apps *apps)
{
	while (apps->stopped != NULL)
		drop(&apps->stopped);
}
