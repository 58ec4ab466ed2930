#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf/conf.h"
#include "core/ledger/ledger.h"
#include "daemon/apps/app.h"
#include "daemon/apps/app_ledger.h"
#include "daemon/apps/stopped.h"
#include "daemon/output/outputs.h"

static void
drop(struct apps *apps, struct stopped_app **p)
{
	struct stopped_app *s = *p;

	app_ledger_started(apps, s);
	*p = s->next;
	config_unref(s->config);
	free(s);
}

int
stopped_put(struct apps *apps, struct config *config,
    const struct conf_app *conf)
{
	struct stopped_app *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return -ENOMEM;
	s->config = config_ref(config);
	s->conf = conf;
	s->record = LEDGER_NOWHERE;
	s->next = apps->stopped;
	apps->stopped = s;
	app_ledger_stopped(apps, s);
	return 0;
}

void
stopped_drop(struct apps *apps, const struct stopped_app *s)
{
	struct stopped_app **p = &apps->stopped;

	while (*p != s)
		p = &(*p)->next;
	drop(apps, p);
}

struct stopped_app *
stopped_find(const struct apps *apps, const char *name)
{
	struct stopped_app *s = apps->stopped;

	while (s != NULL && strcmp(s->conf->name, name) != 0)
		s = s->next;
	return s;
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
			/* If it has not gone yet, its end does it. */
			if (!apps_lingers(apps, s->conf->name))
				outputs_forget(apps->house.outputs, s->conf->name);
			drop(apps, p);
			continue;
		}
		config_unref(s->config);
		s->config = config_ref(config);
		s->conf = conf;
		app_ledger_stopped(apps, s);
		p = &s->next;
	}
}

void
stopped_free(struct apps *apps)
{
	while (apps->stopped != NULL)
		drop(apps, &apps->stopped);
}
