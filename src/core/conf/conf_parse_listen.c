#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/num.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_instance.h"
#include "core/conf/conf_items.h"
#include "core/conf/conf_parse_listen.h"
#include "core/conf/conf_schema.h"
#include "core/conf/conf_value.h"
#include "core/names/placeholder.h"

/* What a listener has beside its address; each may be NULL. */
struct listen_words {
	char *name, *form;
};

static void
listen_words_free(struct listen_words *words)
{
	free(words->name);
	free(words->form);
}

/* Room for one more. */
static int
grow_listens(struct conf_app *app)
{
	size_t n = app->n_listens + 1;
	struct address *listens = reallocarray(app->listens, n,
	    sizeof(*listens));
	char **names, **forms;

	if (listens == NULL)
		return -ENOMEM;
	app->listens = listens;
	names = reallocarray(app->listen_names, n, sizeof(*names));
	if (names == NULL)
		return -ENOMEM;
	app->listen_names = names;
	forms = reallocarray(app->listen_forms, n, sizeof(*forms));
	if (forms == NULL)
		return -ENOMEM;
	app->listen_forms = forms;
	return 0;
}

/* Takes the address and the words over, also on failure. */
static int
add_listen(const struct conf_value *v, size_t i, struct conf_app *app,
    struct address *a, struct listen_words *words)
{
	int r = 0;

	if (app->n_listens >= CONF_LISTENS_MAX)
		r = conf_refuse(v, i, "more than %d listeners, fewer are "
		    "allowed", CONF_LISTENS_MAX);
	if (r == 0)
		r = grow_listens(app);
	if (r < 0) {
		address_free(a);
		listen_words_free(words);
		return r;
	}
	if (v->listen_lines != NULL)
		v->listen_lines[app->n_listens] = v->numbers[i];
	app->listen_names[app->n_listens] = words->name;
	app->listen_forms[app->n_listens] = words->form;
	app->listens[app->n_listens++] = *a;
	return 0;
}

int
conf_parse_port(const struct conf_value *v, void *target)
{
	struct conf_app *app = target;
	struct address a = { .kind = ADDRESS_TCP, .host = ADDRESS_HOST_ANY };
	struct listen_words none = { .name = NULL };
	uint64_t port;
	int r;

	if (conf_value_is_nothing(v))
		return 0;
	if (!num_parse(v->lines[0], 0, v->key->max, &port))
		return conf_refuse(v, 0, "\"%.60s\" is not a port, %s is "
		    "allowed", v->lines[0], v->key->allowed);
	a.port = (uint16_t)port;
	r = add_listen(v, 0, app, &a, &none);
	if (r == 0)
		app->has_port = true;
	return r;
}

/* What is left in braces is a slip, but for {instance}. */
static int
judge_braces(const struct conf_value *v, size_t i, const struct conf_app *app,
    const char *text)
{
	size_t len;
	const char *unknown = placeholder_find_unknown(text, &len);

	if (unknown != NULL)
		return conf_refuse(v, i, "%.*s stands for nothing: {instance}, "
		    "{app}, {port} and {env:NAME} are allowed",
		    (int)(len < 60 ? len : 60), unknown);
	if (placeholder_in(PLACEHOLDER_WORKER_ID, text))
		return conf_refuse(v, i, "{worker_id} is another one at each "
		    "start, and an address is to stay: {instance} is allowed");
	if (placeholder_in(PLACEHOLDER_FD, text))
		return conf_refuse(v, i, "{fd} is known when the socket is "
		    "open, {instance} is allowed");
	if (placeholder_in(PLACEHOLDER_PORT, text))
		return conf_refuse(v, i, app->has_port ? "{port} is any one "
		    "that is free, a number is allowed" : "{port} is what "
		    "port says, and the app has none");
	return 0;
}

/* With all that is known when the file is read; only {instance} is left. */
static int
expand_listen(const struct conf_value *v, size_t i, const struct conf_app *app,
    const char *item, char **ret_text)
{
	struct placeholders p = { .env = NULL };
	char port[8] = "", *known = NULL, *text;
	int r = conf_value_expand(v, i, item, &known);

	if (r < 0)
		return r;
	if (app->has_port && app->listens[0].port != 0) {
		snprintf(port, sizeof(port), "%u",
		    (unsigned)app->listens[0].port);
		p.values[PLACEHOLDER_PORT] = port;
	}
	text = placeholders_expand(&p, known);
	free(known);
	if (text == NULL)
		return -ENOMEM;
	r = judge_braces(v, i, app, text);
	if (r < 0)
		free(text);
	else
		*ret_text = text;
	return r;
}

/* With the directory, so that nothing but the instance is missing. */
static char *
listen_form(const struct conf_value *v, const char *text)
{
	char *path, *form;

	if (!str_starts(text, "unix:"))
		return strdup(text);
	path = address_path(text + strlen("unix:"), v->base_dir);
	if (path == NULL || asprintf(&form, "unix:%s", path) < 0)
		form = NULL;
	free(path);
	return form;
}

static bool
is_listen_name(const char *text, size_t len)
{
	static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ_.-";

	return len > 0 && strspn(text, allowed) >= len &&
	    strspn(text, "0123456789") < len;
}

/*
 * The bytes of a name and its `=` before an address: 0 where there is none. The
 * path of a Unix socket may have a `=` too, behind `unix:`, and so may options,
 * behind an address and a blank. -EINVAL (added).
 */
static ssize_t
listen_name_len(const struct conf_value *v, size_t i, const char *item)
{
	size_t len = strcspn(item, "=/"), word = strcspn(item, " \t");

	if (item[len] != '=' || str_starts(item, "unix:") ||
	    (word < len && !is_listen_name(item, word)))
		return 0;
	if (len > CONF_LISTEN_NAME_MAX)
		return conf_refuse(v, i, "\"%.40s\" and so on is too long for "
		    "the name of a listener, %d bytes are allowed", item,
		    CONF_LISTEN_NAME_MAX);
	if (!is_listen_name(item, len))
		return conf_refuse(v, i, "\"%.*s\" is not a name for a "
		    "listener, letters, digits, _, . and - are allowed, and "
		    "not digits alone", (int)(len < 60 ? len : 60), item);
	return (ssize_t)len + 1;
}

/* An address, or what becomes one with the instance: *ret_form, or NULL. */
static int
parse_listen_address(const struct conf_value *v, size_t i,
    const struct conf_app *app, const char *item, struct address *a,
    char **ret_form)
{
	struct error err = ERROR_INIT;
	char *text = NULL, *form = NULL;
	bool own;
	int r = expand_listen(v, i, app, item, &text);

	if (r < 0)
		return r;
	own = placeholder_in(PLACEHOLDER_INSTANCE, text);
	if (own)
		form = listen_form(v, text);
	r = own && form == NULL ? -ENOMEM : own ?
	    conf_listen_of(form, 0, a, &err) :
	    address_parse(text, v->base_dir, a, &err);
	if (r == -EINVAL)
		conf_refuse(v, i, "%s", error_text(&err));
	error_clear(&err);
	free(text);
	if (r < 0)
		free(form);
	else
		*ret_form = form;
	return r;
}

/* [NAME=]ADDRESS */
static int
parse_listen_item(const struct conf_value *v, size_t i, const char *item,
    struct conf_app *app)
{
	ssize_t len = listen_name_len(v, i, item);
	struct listen_words words = { .name = NULL };
	struct address a;
	int r;

	if (len < 0)
		return (int)len;
	r = parse_listen_address(v, i, app, item + len, &a, &words.form);
	if (r < 0)
		return r;
	if (len > 0) {
		words.name = strndup(item, (size_t)len - 1);
		if (words.name == NULL) {
			address_free(&a);
			listen_words_free(&words);
			return -ENOMEM;
		}
	}
	return add_listen(v, i, app, &a, &words);
}

int
conf_parse_listen(const struct conf_value *v, void *target)
{
	struct conf_items it = { .line = 0 };
	size_t n = 0;
	char *item;
	int r = 0, more, one;

	if (conf_value_is_nothing(v))
		return 0;
	while ((more = conf_items_next(v, ",", &it, &item)) > 0) {
		item = conf_value_trim(item);
		/* A line may be empty or end in a comma, others follow it. */
		if (*item == '\0' && it.rest == NULL)
			continue;
		n++;
		one = *item == '\0' ?
		    conf_refuse(v, it.line, "an entry is empty, %s is allowed",
			v->key->allowed) :
		    parse_listen_item(v, it.line, item, target);
		if (one < 0)
			r = one;
		if (one == -ENOMEM)
			break;
	}
	free(it.text);
	if (more < 0)
		return more;
	return n > 0 ? r : conf_refuse(v, 0, "is empty, none or %s is allowed",
	    v->key->allowed);
}
