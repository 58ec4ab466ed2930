#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf/conf.h"
#include "core/conf/conf_change.h"
#include "core/conf/conf_print.h"
#include "core/conf/conf_schema.h"

/* 1: the same; 0: not; -ENOMEM. */
static int
same_value(const struct conf_key *key, const struct conf_app *old,
    const struct conf_app *new)
{
	char *before = conf_print_key(key, old);
	char *after = conf_print_key(key, new);
	int same = before == NULL || after == NULL ? -ENOMEM :
	    strcmp(before, after) == 0;

	free(before);
	free(after);
	return same;
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
same_list(const struct strlist *a, const struct strlist *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->v[i], b->v[i]) != 0)
			return false;
	return true;
}

/* What its keys stand for, and do not say. */
static enum conf_change
change_behind(const struct conf_app *old, const struct conf_app *new)
{
	if (!same_list(&old->env_file_entries, &new->env_file_entries) ||
	    !conf_creds_same(&old->creds, &new->creds) ||
	    !same_text(old->creds.name, new->creds.name) ||
	    !same_text(old->creds.home, new->creds.home))
		return CONF_CHANGE_WORKERS;
	return old->socket_uid != new->socket_uid ||
	    old->socket_gid != new->socket_gid ? CONF_CHANGE_LIVE :
	    CONF_CHANGE_NONE;
}

int
conf_change(const struct conf_app *old, const struct conf_app *new,
    enum conf_change *ret_change)
{
	enum conf_change change = change_behind(old, new);
	size_t n;
	const struct conf_key *schema = conf_schema(&n);

	for (size_t i = 0; i < n && change != CONF_CHANGE_WORKERS; i++) {
		int same = 1;

		if (schema[i].scope == CONF_SCOPE_APP)
			same = same_value(&schema[i], old, new);
		if (same < 0)
			return same;
		if (same == 0)
			change = schema[i].live ? CONF_CHANGE_LIVE :
			    CONF_CHANGE_WORKERS;
	}
	*ret_change = change;
	return 0;
}
