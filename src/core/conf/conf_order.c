#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_order.h"
#include "core/conf/guess.h"

/* `app` comes after `other`: indices. */
struct edge {
	size_t app;
	size_t other;
};

struct edges {
	struct edge *v;
	size_t n;
};

static size_t
index_of(const struct config *config, const char *name)
{
	size_t i = 0;

	while (i < config->n_apps && strcmp(config->apps[i].name, name) != 0)
		i++;
	return i;
}

/* False: no memory. Names that nobody has are left out. */
static bool
edges_make(const struct config *config, struct edges *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < config->n_apps; i++)
		n += config->apps[i].after.n;
	*ret = (struct edges){ .v = calloc(n + 1, sizeof(*ret->v)) };
	if (ret->v == NULL)
		return false;
	for (size_t i = 0; i < config->n_apps; i++) {
		const struct strlist *names = &config->apps[i].after;

		for (size_t k = 0; k < names->n; k++) {
			size_t other = index_of(config, names->v[k]);

			if (other < config->n_apps)
				ret->v[ret->n++] = (struct edge){ i, other };
		}
	}
	return true;
}

static void
refuse_name(const struct config *config, const char *name, unsigned line,
    struct conf_errors *errors)
{
	struct strbuf near = STRBUF_INIT;
	struct guess guess;

	guess_begin(&guess, name);
	for (size_t i = 0; i < config->n_apps; i++)
		guess_word(&guess, config->apps[i].name);
	guess_put(&guess, &near);
	conf_error_add(errors, line, "after", "there is no app \"%s\"%s", name,
	    near.len > 0 && !near.failed ? near.text : "");
	strbuf_free(&near);
}

static void
check_names(const struct config *config, const unsigned *lines,
    struct conf_errors *errors)
{
	for (size_t i = 0; i < config->n_apps; i++) {
		const struct strlist *names = &config->apps[i].after;

		for (size_t k = 0; k < names->n; k++)
			if (index_of(config, names->v[k]) == config->n_apps)
				refuse_name(config, names->v[k], lines[i],
				    errors);
	}
}

/* Those that could begin are taken out, until only those are left that are in a
   circle, or wait for one. */
static void
take_out(const struct edges *edges, bool *out, bool *waits, size_t n)
{
	bool more = true;

	while (more) {
		more = false;
		memset(waits, 0, n * sizeof(*waits));
		for (size_t e = 0; e < edges->n; e++)
			if (!out[edges->v[e].other])
				waits[edges->v[e].app] = true;
		for (size_t i = 0; i < n; i++)
			if (!out[i] && !waits[i])
				out[i] = more = true;
	}
}

/* Whom one that is left waits for, of those that are left. */
static size_t
next_of(const struct edges *edges, const bool *out, size_t app)
{
	size_t e = 0;

	while (edges->v[e].app != app || out[edges->v[e].other])
		e++;
	return edges->v[e].other;
}

static void
refuse_circle(const struct config *config, const struct edges *edges,
    const bool *out, size_t from, const unsigned *lines,
    struct conf_errors *errors)
{
	struct strbuf sb = STRBUF_INIT;
	size_t first = from, at;

	/* After so many steps it is one of the circle. */
	for (size_t i = 0; i < config->n_apps; i++)
		first = next_of(edges, out, first);
	at = first;
	do {
		size_t next = next_of(edges, out, at);

		strbuf_printf(&sb, "%s%s%s%s", at != first ? ", " : "",
		    config->apps[at].name, at != first ? " for " :
		    " waits for ", config->apps[next].name);
		at = next;
	} while (at != first);
	if (sb.failed)
		errors->dropped++;
	else
		conf_error_add(errors, lines[first], "after",
		    "%s: none of them could begin", sb.text);
	strbuf_free(&sb);
}

int
conf_order_check(const struct config *config, const unsigned *lines,
    struct conf_errors *errors)
{
	const size_t n = config->n_apps;
	struct edges edges;
	bool *out, *waits;
	size_t left = 0;

	check_names(config, lines, errors);
	out = calloc(2 * n + 1, sizeof(*out));
	if (out == NULL)
		return -ENOMEM;
	if (!edges_make(config, &edges)) {
		free(out);
		return -ENOMEM;
	}
	waits = out + n;
	take_out(&edges, out, waits, n);
	while (left < n && out[left])
		left++;
	if (left < n)
		refuse_circle(config, &edges, out, left, lines, errors);
	free(edges.v);
	free(out);
	return 0;
}

int64_t
conf_order_longest(const struct config *config,
    int64_t (*cost)(const struct conf_app *app))
{
	int64_t *sums = calloc(config->n_apps + 1, sizeof(*sums));
	int64_t most = 0, all = 0;
	struct edges edges = { .n = 0 };
	bool more = true;

	for (size_t i = 0; i < config->n_apps; i++)
		all += cost(&config->apps[i]);
	if (sums == NULL || !edges_make(config, &edges)) {
		free(sums);
		return all;
	}
	for (size_t i = 0; i < config->n_apps; i++)
		sums[i] = cost(&config->apps[i]);
	/* There are no circles in one that was checked. */
	while (more) {
		more = false;
		for (size_t e = 0; e < edges.n; e++) {
			size_t app = edges.v[e].app;
			int64_t sum = sums[edges.v[e].other] +
			    cost(&config->apps[app]);

			if (sum > sums[app]) {
				sums[app] = sum;
				more = true;
			}
		}
	}
	for (size_t i = 0; i < config->n_apps; i++)
		if (sums[i] > most)
			most = sums[i];
	free(edges.v);
	free(sums);
	return most;
}
