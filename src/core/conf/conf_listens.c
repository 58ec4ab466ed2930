#include <stdlib.h>

#include "core/conf/conf.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_listens.h"
#include "core/names/address.h"

static int
compare(const void *a, const void *b)
{
	const struct conf_listen *x = a, *y = b;
	int order = address_compare(x->address, y->address);

	if (order != 0)
		return order;
	return x->order < y->order ? -1 : x->order > y->order;
}

static void
report_twice(const struct conf_listen *again, const struct conf_listen *first,
    struct conf_errors *errors)
{
	struct conf_where where = conf_errors_where(errors, first->line,
	    again->line);
	char *text = address_format(again->address);

	if (text == NULL)
		errors->dropped++;
	else if (first->app == again->app)
		conf_error_add(errors, again->line, again->key, "%s is "
		    "served already, by %s %s", text, first->key, where.text);
	else
		conf_error_add(errors, again->line, again->key, "%s is "
		    "served already, by [%s] %s", text, first->app->name,
		    where.text);
	free(text);
}

void
conf_listens_check(struct conf_listen *listens, size_t n,
    struct conf_errors *errors)
{
	size_t first = 0;

	if (n == 0)
		return;
	qsort(listens, n, sizeof(*listens), compare);
	for (size_t i = 1; i < n; i++) {
		if (!address_equal(listens[i].address, listens[first].address))
			first = i;
		else
			report_twice(&listens[i], &listens[first], errors);
	}
}
