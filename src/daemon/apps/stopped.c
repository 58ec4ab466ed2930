#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "daemon/apps/app.h"
#include "daemon/spec/app_spec.h"
#include "daemon/output/outputs.h"
#include "daemon/apps/stopped.h"
#include "daemon/supervisor.h"

static struct stopped_app **
find(struct supervisor *sup, const char *name)
{
	struct stopped_app **p = &sup->stopped;

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
	const struct app_spec *spec = app->stable;
	struct supervisor *sup = app->sup;
	struct stopped_app *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	s->config = config_ref(spec->config);
	s->conf = spec->conf;
	s->next = sup->stopped;
	sup->stopped = s;
	log_app(LOG_LEVEL_INFO, app->name, "stopping, as asked");
	app_remove(app);
	return 0;
}

const struct stopped_app *
stopped_find(const struct supervisor *sup, const char *name)
{
	const struct stopped_app *s = sup->stopped;

	while (s != NULL && strcmp(s->conf->name, name) != 0)
		s = s->next;
	return s;
}

int
stopped_start(struct supervisor *sup, const char *name, struct error *err)
{
	struct stopped_app **p = find(sup, name);
	const struct conf_app *conf = (*p)->conf;
	struct app_spec *spec;
	int code;

	code = app_check_listens(sup, conf, err);
	if (code == 0)
		code = app_spec_new(sup, (*p)->config, conf, &spec, err);
	if (code < 0)
		return code;
	code = app_add(sup, spec, false);
	app_spec_unref(spec);
	if (code < 0)
		return error_set(err, code, "out of memory");
	/* No reload has. `name` may be that of the request, which is answered
	   and gone if a worker could not even be spawned. */
	app_find(sup, conf->name)->added_by = 0;
	drop(p);
	return 0;
}

void
stopped_reload(struct supervisor *sup, struct config *config)
{
	struct stopped_app **p = &sup->stopped;

	while (*p != NULL) {
		struct stopped_app *s = *p;
		const struct conf_app *conf = config_find_app(config,
		    s->conf->name);

		if (conf == NULL) {
			/* app_free() does it, if it has not gone yet. */
			if (!app_lingers(sup, s->conf->name))
				outputs_forget(&sup->outputs, s->conf->name);
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
stopped_free(struct supervisor *sup)
{
	while (sup->stopped != NULL)
		drop(&sup->stopped);
}
