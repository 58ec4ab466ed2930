#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "core/conf/conf.h"
#include "daemon/apps/app_specs.h"
#include "daemon/apps/apps.h"
#include "daemon/apps/stopped.h"
#include "daemon/config/conf_again.h"
#include "daemon/config/start_list.h"

static bool
has(const struct start_list *list, const struct config *config)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->v[i].config == config)
			return true;
	return false;
}

static int
add_part(struct start_list *list, struct config *config,
    const struct config *program)
{
	struct start_part *p = &list->v[list->n];

	*p = (struct start_part){ .config = config };
	p->which = calloc(config->n_apps + 1, sizeof(*p->which));
	if (p->which == NULL)
		return -ENOMEM;
	list->n++;
	for (size_t i = 0; i < config->n_apps; i++) {
		const struct conf_again_app *a = conf_again_find(list->again,
		    config->apps[i].name);

		p->which[i] = a != NULL ? a->config == config &&
		    (a->r.flags & LEDGER_STOPPED) == 0 :
		    config == program && !list->stops;
	}
	return 0;
}

int
start_list_make(struct start_list *list, struct apps *apps,
    struct config *program, const struct conf_again *again, struct error *err)
{
	int code;

	*list = (struct start_list){
		.again = again, .stops = apps->stopping,
	};
	list->v = calloc(again->n + 1, sizeof(*list->v));
	code = list->v == NULL ? -ENOMEM : add_part(list, program, program);
	for (size_t i = 0; code == 0 && i < again->n; i++) {
		const struct conf_again_app *a = &again->v[i];

		if (!has(list, a->config))
			code = add_part(list, a->config, program);
	}
	return code < 0 ? error_set(err, code, "out of memory") : 0;
}

void
start_list_free(struct start_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		app_specs_free(list->v[i].specs, list->v[i].config->n_apps);
		free(list->v[i].which);
	}
	free(list->v);
	*list = (struct start_list){ .v = NULL };
}

int
start_list_open(struct start_list *list, struct apps *apps, struct error *err)
{
	int code = 0;

	for (size_t i = 0; code == 0 && i < list->n; i++)
		code = app_specs_open(apps, list->v[i].config,
		    list->v[i].which, &list->v[i].specs, err);
	return code;
}

static int
add(struct start_list *list, struct apps *apps, struct app_spec *spec,
    const struct conf_app *conf)
{
	const struct conf_again_app *a = conf_again_find(list->again,
	    conf->name);

	if (spec == NULL)
		return 0;
	return a != NULL ? apps_add_again(apps, spec, &a->r) :
	    apps_add(apps, spec, true);
}

/* The workers of some may not have gone yet. */
static int
put_stopped(const struct conf_again *again, struct apps *apps)
{
	int code = 0;

	for (size_t i = 0; code == 0 && i < again->n; i++)
		if ((again->v[i].r.flags & LEDGER_STOPPED) != 0)
			code = stopped_put(apps, again->v[i].config,
			    again->v[i].conf);
	return code;
}

int
start_list_add(struct start_list *list, struct apps *apps, struct error *err)
{
	int code = put_stopped(list->again, apps);

	for (size_t i = 0; i < list->n; i++)
		for (size_t k = 0; code == 0 && k < list->v[i].config->n_apps;
		     k++)
			code = add(list, apps, list->v[i].specs[k],
			    &list->v[i].config->apps[k]);
	return code < 0 ? error_set(err, code, "out of memory") : 0;
}
