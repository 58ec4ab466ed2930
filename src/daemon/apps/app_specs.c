#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "core/conf/conf.h"
#include "daemon/apps/app.h"
#include "daemon/apps/app_specs.h"
#include "daemon/apps/stopped.h"
#include "daemon/spec/app_spec.h"

void
app_specs_free(struct app_spec **specs, size_t n)
{
	for (size_t i = 0; specs != NULL && i < n; i++)
		app_spec_unref(specs[i]);
	free(specs);
}

int
app_specs_open(struct apps *apps, struct config *config,
    const bool *which, struct app_spec ***ret_specs, struct error *err)
{
	struct app_spec **specs = calloc(config->n_apps + 1, sizeof(*specs));
	int code = 0;

	if (specs == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; code == 0 && i < config->n_apps; i++)
		if ((which == NULL || which[i]) &&
		    stopped_find(apps, config->apps[i].name) == NULL)
			code = app_spec_new(&apps->house, config,
			    &config->apps[i], &specs[i], err);
	if (code < 0) {
		app_specs_free(specs, config->n_apps);
		return code;
	}
	*ret_specs = specs;
	return 0;
}
