#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/names/address.h"
#include "core/conf/conf.h"
#include "core/conf/conf_diff.h"

/* A listener of one configuration. */
struct listen {
	const struct address *address;
	const char *app;
	size_t position;	/* in the app */
	bool kept;
};

struct listens {
	struct listen *v;
	size_t n;
};

bool
conf_same_listener(const char *app_a, size_t position_a,
    const struct address *a, const char *app_b, size_t position_b,
    const struct address *b)
{
	if (!address_equal(a, b))
		return false;
	if (a->kind == ADDRESS_UNIX || a->port != 0)
		return true;
	return position_a == position_b && strcmp(app_a, app_b) == 0;
}

/* An order in which the same listener stands together. */
static int
compare(const struct listen *a, const struct listen *b)
{
	int order;

	if (conf_same_listener(a->app, a->position, a->address, b->app,
		b->position, b->address))
		return 0;
	order = address_compare(a->address, b->address);
	if (order != 0)
		return order;
	order = strcmp(a->app, b->app);
	if (order != 0)
		return order;
	return a->position < b->position ? -1 : a->position > b->position;
}

static int
compare_pointers(const void *a, const void *b)
{
	return compare(*(struct listen *const *)a, *(struct listen *const *)b);
}

static int
collect(const struct config *config, struct listens *ret_listens)
{
	struct listen *v;
	size_t max = 0, n = 0;

	for (size_t i = 0; config != NULL && i < config->n_apps; i++)
		max += config->apps[i].n_listens;
	v = calloc(max > 0 ? max : 1, sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	for (size_t i = 0; config != NULL && i < config->n_apps; i++) {
		const struct conf_app *app = &config->apps[i];

		for (size_t j = 0; j < app->n_listens; j++)
			v[n++] = (struct listen){
				.address = &app->listens[j],
				.app = app->name,
				.position = j,
			};
	}
	*ret_listens = (struct listens){ .v = v, .n = n };
	return 0;
}

static struct listen *
find(struct listen *const *sorted, size_t n, const struct listen *wanted)
{
	size_t from = 0, to = n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		int order = compare(wanted, sorted[middle]);

		if (order == 0)
			return sorted[middle];
		if (order < 0)
			to = middle;
		else
			from = middle + 1;
	}
	return NULL;
}

/* Which listeners of `new` are in `old` too; marks them in both. */
static int
match(const struct listens *old, const struct listens *new)
{
	struct listen **sorted;

	sorted = calloc(old->n > 0 ? old->n : 1, sizeof(*sorted));
	if (sorted == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < old->n; i++)
		sorted[i] = &old->v[i];
	qsort(sorted, old->n, sizeof(*sorted), compare_pointers);
	for (size_t i = 0; i < new->n; i++) {
		struct listen *same = find(sorted, old->n, &new->v[i]);

		if (same != NULL)
			same->kept = new->v[i].kept = true;
	}
	free(sorted);
	return 0;
}

/* Those that are kept, or those that are not, in the order of the file. */
static int
pick(const struct listens *from, bool kept, const struct address ***ret_v,
    size_t *ret_n)
{
	const struct address **v;
	size_t n = 0;

	v = calloc(from->n > 0 ? from->n : 1, sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < from->n; i++) {
		if (from->v[i].kept == kept)
			v[n++] = from->v[i].address;
	}
	*ret_v = v;
	*ret_n = n;
	return 0;
}

static int
diff_listens(const struct config *old, const struct config *new,
    struct conf_diff *diff)
{
	struct listens before = { .v = NULL }, after = { .v = NULL };
	int r;

	r = collect(old, &before);
	if (r == 0)
		r = collect(new, &after);
	if (r == 0)
		r = match(&before, &after);
	if (r == 0)
		r = pick(&after, false, &diff->open, &diff->n_open);
	if (r == 0)
		r = pick(&after, true, &diff->keep, &diff->n_keep);
	if (r == 0)
		r = pick(&before, false, &diff->close, &diff->n_close);
	free(before.v);
	free(after.v);
	return r;
}

static size_t
find_app(const struct config *config, const char *name)
{
	const struct conf_app *app =
	    config != NULL ? config_find_app(config, name) : NULL;

	return app != NULL ? (size_t)(app - config->apps) : CONF_DIFF_NONE;
}

static int
diff_apps(const struct config *old, const struct config *new,
    struct conf_diff *diff)
{
	size_t n_old = old != NULL ? old->n_apps : 0;
	struct conf_diff_row *rows;
	size_t n = 0;

	rows = calloc(n_old + new->n_apps + 1, sizeof(*rows));
	if (rows == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < new->n_apps; i++) {
		size_t same = find_app(old, new->apps[i].name);

		rows[n++] = (struct conf_diff_row){
			.what = same != CONF_DIFF_NONE ? CONF_DIFF_ROLL :
							 CONF_DIFF_ADD,
			.old_app = same,
			.new_app = i,
		};
	}
	for (size_t i = 0; i < n_old; i++) {
		if (find_app(new, old->apps[i].name) != CONF_DIFF_NONE)
			continue;
		rows[n++] = (struct conf_diff_row){
			.what = CONF_DIFF_REMOVE,
			.old_app = i,
			.new_app = CONF_DIFF_NONE,
		};
	}
	diff->apps = rows;
	diff->n_apps = n;
	return 0;
}

int
conf_diff(const struct config *old, const struct config *new,
    struct conf_diff *ret_diff)
{
	struct conf_diff diff = { .apps = NULL };
	int r;

	r = diff_apps(old, new, &diff);
	if (r == 0)
		r = diff_listens(old, new, &diff);
	if (r < 0)
		conf_diff_free(&diff);
	else
		*ret_diff = diff;
	return r;
}

void
conf_diff_free(struct conf_diff *diff)
{
	free(diff->apps);
	free(diff->open);
	free(diff->keep);
	free(diff->close);
	*diff = (struct conf_diff){ .apps = NULL };
}
