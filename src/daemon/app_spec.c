#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "core/conf.h"
#include "daemon/app_spec.h"
#include "daemon/listeners.h"
#include "daemon/supervisor.h"

int
app_spec_new(struct supervisor *sup, struct config *config,
    const struct conf_app *conf, struct app_spec **ret_spec,
    struct error *err)
{
	struct app_spec *spec = calloc(1, sizeof(*spec));
	int code = 0;

	if (spec == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	spec->refs = 1;
	spec->sup = sup;
	spec->config = config_ref(config);
	spec->conf = conf;
	spec->instances = conf_app_instances(conf, sup->auto_instances);
	spec->listeners = calloc(conf->n_listens + 1,
	    sizeof(*spec->listeners));
	spec->bound = calloc(conf->n_listens + 1, sizeof(*spec->bound));
	if (spec->listeners == NULL || spec->bound == NULL)
		code = error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; code == 0 && i < conf->n_listens; i++) {
		code = listeners_acquire(&sup->listeners, conf, i,
		    &spec->listeners[i], err);
		if (code == 0)
			spec->bound[i] = spec->listeners[i]->bound;
	}
	if (code < 0) {
		app_spec_unref(spec);
		return code;
	}
	*ret_spec = spec;
	return 0;
}

struct app_spec *
app_spec_ref(struct app_spec *spec)
{
	spec->refs++;
	return spec;
}

void
app_spec_shut(struct app_spec *spec)
{
	if (spec == NULL || spec->listeners == NULL)
		return;
	for (size_t i = 0; i < spec->conf->n_listens; i++) {
		listeners_release(&spec->sup->listeners, spec->listeners[i]);
		spec->listeners[i] = NULL;
	}
}

void
app_spec_unref(struct app_spec *spec)
{
	if (spec == NULL || --spec->refs > 0)
		return;
	app_spec_shut(spec);
	free(spec->listeners);
	free(spec->bound);
	config_unref(spec->config);
	free(spec);
}

void
app_specs_free(struct app_spec **specs, size_t n)
{
	for (size_t i = 0; specs != NULL && i < n; i++)
		app_spec_unref(specs[i]);
	free(specs);
}

int
app_specs_open(struct supervisor *sup, struct config *config,
    struct app_spec ***ret_specs, struct error *err)
{
	struct app_spec **specs = calloc(config->n_apps + 1, sizeof(*specs));
	int code = 0;

	if (specs == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; code == 0 && i < config->n_apps; i++)
		code = app_spec_new(sup, config, &config->apps[i], &specs[i],
		    err);
	if (code < 0) {
		app_specs_free(specs, config->n_apps);
		return code;
	}
	*ret_specs = specs;
	return 0;
}
