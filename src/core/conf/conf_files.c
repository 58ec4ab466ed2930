#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "core/conf/conf.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_files.h"

static int
compare(const void *a, const void *b)
{
	const struct conf_file *x = a, *y = b;
	int order = strcmp(x->path, y->path);

	if (order != 0)
		return order;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* What the two apps do not agree on, or NULL. */
static const char *
conflict(const struct conf_app *a, const struct conf_app *b)
{
	if (a->log_max_size != b->log_max_size)
		return "log_max_size";
	if (a->log_keep != b->log_keep)
		return "log_keep";
	if (!conf_creds_same(&a->creds, &b->creds))
		return "user or group";
	return NULL;
}

static void
check_pair(const struct conf_file *again, const struct conf_file *first,
    struct conf_errors *errors)
{
	struct conf_where where = conf_errors_where(errors, first->line,
	    again->line);
	const char *what;

	if (again->app == NULL && first->app == NULL)
		return;
	if (again->app == NULL || first->app == NULL) {
		conf_error_add(errors, again->line, again->key, "\"%.60s\" is "
		    "the %s of %s%.40s%s %s already, another path is "
		    "allowed", again->path, first->key,
		    first->app != NULL ? "[" : "",
		    first->app != NULL ? first->app->name : "clusterd",
		    first->app != NULL ? "]" : "", where.text);
		return;
	}
	what = conflict(again->app, first->app);
	if (what != NULL)
		conf_error_add(errors, again->line, again->key, "\"%.60s\" is "
		    "the %s of [%.40s] %s too, but with another %s; "
		    "the same, or another path, is allowed", again->path,
		    first->key, first->app->name, where.text, what);
}

static const struct conf_file *
find(const struct conf_file *files, size_t n, const char *path, size_t len)
{
	size_t from = 0, to = n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		int order = strncmp(path, files[middle].path, len);

		if (order == 0 && files[middle].path[len] != '\0')
			order = -1;
		if (order == 0)
			return &files[middle];
		if (order < 0)
			to = middle;
		else
			from = middle + 1;
	}
	return NULL;
}

/* Is it FILE.N, where FILE is written too, and N within its log_keep? */
static void
check_kept(const struct conf_file *file, const struct conf_file *files,
    size_t n, struct conf_errors *errors)
{
	const char *dot = strrchr(file->path, '.');
	const struct conf_file *full;
	uint64_t number;

	if (dot == NULL || dot[1] == '0' ||
	    !num_parse(dot + 1, 1, 1000, &number))
		return;
	full = find(files, n, file->path, (size_t)(dot - file->path));
	if (full != NULL && full->app != NULL &&
	    full->app->log_max_size >= 0 && number <= full->app->log_keep)
		conf_error_add(errors, file->line, file->key, "\"%.60s\" is "
		    "where the %s of [%.40s] %s goes when it is full, "
		    "another path is allowed", file->path, full->key,
		    full->app->name, conf_errors_where(errors, full->line,
			file->line).text);
}

void
conf_files_check(struct conf_file *files, size_t n, struct conf_errors *errors)
{
	size_t first = 0;

	if (n == 0)
		return;
	qsort(files, n, sizeof(*files), compare);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(files[i].path, files[first].path) != 0)
			first = i;
		if (i > first)
			check_pair(&files[i], &files[first], errors);
		check_kept(&files[i], files, n, errors);
	}
}
