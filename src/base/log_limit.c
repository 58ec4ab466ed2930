#include <string.h>

#include "base/log_limit.h"

#define OTHERS LOG_LIMIT_KINDS
#define PLACES (LOG_LIMIT_KINDS + 1 + LOG_LIMIT_VITAL)

/* What is of none of the kinds that an app may have. */
static const char more_of_app[] = "";

/* Places are taken from the front, and not given back: behind a free one of its part
   there is nothing to look at, nor memory to touch at the end of each turn. */
static size_t
next_used(const struct log_limit *limit, size_t i)
{
	if (limit->v[i].kind != NULL)
		return i + 1;
	return i < OTHERS ? OTHERS : i == OTHERS ? OTHERS + 1 : PLACES;
}

static struct mono
end_of(const struct log_limit_kind *k)
{
	return mono_add_ms(k->since, 1000);
}

static void
tell_one(struct log_limit_kind *k,
    void (*tell)(const struct log_limit_kind *kind))
{
	if (k->left_out > 0)
		tell(k);
	k->left_out = 0;
}

static bool
is_of_app(const struct log_limit_kind *k, const char *app)
{
	return strncmp(k->app, app, sizeof(k->app) - 1) == 0;
}

static bool
is_of(const struct log_limit_kind *k, const char *app, const void *kind)
{
	return k->kind == kind && is_of_app(k, app);
}

/* Of the vital ones: have so many of the app had a place in the second that is not
   over? Those that clusterd itself has are not made up by anybody. */
static bool
has_its_kinds(const struct log_limit *limit, const char *app, const void *kind,
    struct mono now)
{
	unsigned n = 0;

	for (size_t i = OTHERS + 1; app[0] != '\0' && i < PLACES &&
	    limit->v[i].kind != NULL; i++) {
		const struct log_limit_kind *k = &limit->v[i];

		if (!is_of_app(k, app) || k->kind == more_of_app ||
		    !mono_before(now, end_of(k)))
			continue;
		if (k->kind == kind)
			return false;
		n++;
	}
	return n >= LOG_LIMIT_APP_KINDS;
}

/* Its own; or a free one, or the oldest whose second has passed; or that of all
   others: lines of ever other kinds do not make each other room. */
static struct log_limit_kind *
find(struct log_limit *limit, const char *app, const void *kind, bool vital,
    struct mono now)
{
	struct log_limit_kind *first = &limit->v[vital ? OTHERS + 1 : 0];
	const struct log_limit_kind *end = &limit->v[vital ? PLACES : OTHERS];
	struct log_limit_kind *oldest = first;

	for (struct log_limit_kind *k = first; k < end; k++) {
		if (k->kind == NULL)
			return k;
		if (is_of(k, app, kind))
			return k;
		if (mono_before(k->since, oldest->since))
			oldest = k;
	}
	return !mono_before(now, end_of(oldest)) ? oldest :
	    &limit->v[OTHERS];
}

/* Of the vital ones, any that the app has; there is none that is free. */
static struct log_limit_kind *
find_any_of(struct log_limit *limit, const char *app)
{
	for (size_t i = OTHERS + 1; i < PLACES; i++)
		if (is_of_app(&limit->v[i], app))
			return &limit->v[i];
	return NULL;
}

bool
log_limit_pass(struct log_limit *limit, const char *app, const void *kind,
    bool vital, struct mono now,
    void (*tell)(const struct log_limit_kind *kind),
    struct log_limit_kind **ret_kind)
{
	struct log_limit_kind *k;
	bool shared;

	app = app != NULL ? app : "";
	if (vital && has_its_kinds(limit, app, kind, now))
		kind = more_of_app;
	k = find(limit, app, kind, vital, now);
	shared = k == &limit->v[OTHERS];
	if (shared && vital) {
		k = app[0] != '\0' ? find_any_of(limit, app) : NULL;
		*ret_kind = &limit->v[OTHERS];
		if (k == NULL)
			return true;
		kind = k->kind;
		shared = false;
	}
	*ret_kind = k;
	if (k->kind == NULL || !mono_before(now, end_of(k)) ||
	    (!shared && !is_of(k, app, kind))) {
		tell_one(k, tell);
		*k = (struct log_limit_kind){ .kind = kind, .since = now };
		if (!shared)
			strncpy(k->app, app, sizeof(k->app) - 1);
	}
	if (k->n < LOG_LIMIT_PER_SECOND) {
		k->n++;
		return true;
	}
	k->left_out++;
	return false;
}

void
log_limit_tell(struct log_limit *limit, struct mono now,
    void (*tell)(const struct log_limit_kind *kind))
{
	for (size_t i = 0; i < PLACES; i = next_used(limit, i))
		if (!mono_before(now, end_of(&limit->v[i])))
			tell_one(&limit->v[i], tell);
}

struct mono
log_limit_due(const struct log_limit *limit)
{
	struct mono due = MONO_NEVER;

	for (size_t i = 0; i < PLACES; i = next_used(limit, i))
		if (limit->v[i].left_out > 0 &&
		    mono_before(end_of(&limit->v[i]), due))
			due = end_of(&limit->v[i]);
	return due;
}
