#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/conf/conf.h"
#include "core/conf/conf_instance.h"
#include "core/names/address.h"
#include "daemon/apps/app.h"
#include "daemon/apps/app_listens.h"
#include "daemon/spec/app_spec.h"

static int
compare(const void *a, const void *b)
{
	return address_compare(a, b);
}

/* An address that both want, of all their instances. 1, with its text or NULL;
   0: none; -ENOMEM. */
static int
find_common(const struct conf_app *a, unsigned n_a, const struct conf_app *b,
    unsigned n_b, char **ret_text)
{
	size_t n_ours = 0, n_theirs = 0;
	struct address *ours = conf_all_listens(a, n_a, &n_ours);
	struct address *theirs = conf_all_listens(b, n_b, &n_theirs);
	int r = ours == NULL || theirs == NULL ? -ENOMEM : 0;

	if (r == 0)
		qsort(theirs, n_theirs, sizeof(*theirs), compare);
	for (size_t i = 0; r == 0 && i < n_ours; i++)
		if (bsearch(&ours[i], theirs, n_theirs, sizeof(*theirs),
		    compare) != NULL) {
			*ret_text = address_format(&ours[i]);
			r = 1;
		}
	conf_all_listens_free(ours, n_ours);
	conf_all_listens_free(theirs, n_theirs);
	return r;
}

/* It may have been scaled to more. */
static unsigned
most_of(const struct app_spec *spec, unsigned wanted)
{
	return spec->most > wanted ? spec->most : wanted;
}

int
apps_check_listens(const struct apps *apps, const struct conf_app *conf,
    struct error *err)
{
	unsigned n = conf_app_most_instances(conf,
	    apps->house.auto_instances);

	for (const struct app *a = apps->first; a != NULL; a = a->next_app) {
		const struct crew *c = &a->crew;
		char *text = NULL;
		int r;

		if (c->stopping || strcmp(c->name, conf->name) == 0)
			continue;
		r = find_common(conf, n, c->stable->conf,
		    most_of(c->stable, c->wanted), &text);
		if (r == 0 && c->target != NULL)
			r = find_common(conf, n, c->target->conf,
			    most_of(c->target, c->wanted), &text);
		if (r < 0)
			return error_set(err, r, "out of memory");
		if (r == 0)
			continue;
		error_set(err, -EADDRINUSE, "%s is served by %s, which a "
		    "reload of all apps may change",
		    text != NULL ? text : "an address", c->name);
		free(text);
		return -EADDRINUSE;
	}
	return 0;
}
