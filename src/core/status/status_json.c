#include "base/json.h"
#include "base/str.h"
#include "core/status/status.h"
#include "core/status/status_json.h"

/* An object or an array under way: what comes next needs a comma. */
struct json {
	struct strbuf *sb;
	bool comma;
};

static void
separate(struct json *j)
{
	if (j->comma)
		strbuf_putc(j->sb, ',');
	j->comma = true;
}

static void
put_key(struct json *j, const char *key)
{
	separate(j);
	strbuf_printf(j->sb, "\"%s\":", key);
}

static void
put_number(struct json *j, const char *key, uint64_t number)
{
	if (number == STATUS_UNKNOWN)
		return;
	put_key(j, key);
	strbuf_printf(j->sb, "%llu", (unsigned long long)number);
}

static void
put_text(struct json *j, const char *key, const char *text)
{
	if (text == NULL)
		return;
	put_key(j, key);
	json_put_string(j->sb, text);
}

static void
put_percent(struct json *j, uint64_t permille)
{
	if (permille == STATUS_UNKNOWN)
		return;
	put_key(j, "cpu_percent");
	strbuf_printf(j->sb, "%llu.%d", (unsigned long long)(permille / 10),
	    (int)(permille % 10));
}

static void
open_with(struct json *j, char bracket)
{
	strbuf_putc(j->sb, bracket);
	j->comma = false;
}

static void
close_with(struct json *j, char bracket)
{
	strbuf_putc(j->sb, bracket);
	j->comma = true;
}

/* All but the restarts, which have an object of their own. */
static void
put_fields(struct json *j, const void *record, const struct status_key *keys,
    size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const void *at = (const char *)record + keys[i].offset;

		if (str_starts(keys[i].name, "restarts_"))
			continue;
		if (keys[i].number)
			put_number(j, keys[i].name, *(const uint64_t *)at);
		else
			put_text(j, keys[i].name, *(char *const *)at);
	}
}

static void
put_clusterd(struct json *j, const struct status_clusterd *c)
{
	size_t n;
	const struct status_key *keys = status_clusterd_keys(&n);

	put_key(j, "clusterd");
	open_with(j, '{');
	put_fields(j, c, keys, n);
	put_percent(j, c->cpu_permille);
	close_with(j, '}');
}

static void
put_listener(struct json *j, const struct status_listener *l)
{
	size_t n;
	const struct status_key *keys = status_listener_keys(&n);

	separate(j);
	open_with(j, '{');
	put_fields(j, l, keys, n);
	close_with(j, '}');
}

static void
put_restarts(struct json *j, const struct status_instance *i)
{
	if (status_restarts(i) == STATUS_UNKNOWN)
		return;
	put_key(j, "restarts");
	open_with(j, '{');
	for (size_t k = 0; k < STATUS_RESTARTS; k++)
		put_number(j, status_restart_name((enum status_restart)k),
		    i->restarts[k]);
	close_with(j, '}');
}

static void
put_instance(struct json *j, const struct status_instance *i)
{
	size_t n;
	const struct status_key *keys = status_instance_keys(&n);

	separate(j);
	open_with(j, '{');
	put_number(j, "instance", i->instance);
	put_text(j, "role", status_role_name(i->role));
	put_fields(j, i, keys, n);
	put_percent(j, i->cpu_permille);
	put_restarts(j, i);
	close_with(j, '}');
}

static void
put_app(struct json *j, const struct status_app *app)
{
	size_t n;
	const struct status_key *keys = status_app_keys(&n);

	separate(j);
	open_with(j, '{');
	put_fields(j, app, keys, n);
	put_key(j, "listeners");
	open_with(j, '[');
	for (size_t i = 0; i < app->n_listeners; i++)
		put_listener(j, &app->listeners[i]);
	close_with(j, ']');
	put_key(j, "instances");
	open_with(j, '[');
	for (size_t i = 0; i < app->n_instances; i++)
		put_instance(j, &app->instances[i]);
	close_with(j, ']');
	close_with(j, '}');
}

void
status_json(struct strbuf *sb, const struct status *status)
{
	struct json j = { .sb = sb };

	open_with(&j, '{');
	if (status->told)
		put_clusterd(&j, &status->clusterd);
	put_key(&j, "apps");
	open_with(&j, '[');
	for (size_t i = 0; i < status->n_apps; i++)
		put_app(&j, &status->apps[i]);
	close_with(&j, ']');
	close_with(&j, '}');
	strbuf_putc(sb, '\n');
}
