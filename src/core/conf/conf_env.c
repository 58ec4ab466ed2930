#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "core/conf/advice_value.h"
#include "core/conf/conf.h"
#include "core/conf/conf_env.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_value.h"

/*
 * What is wrong with the name of `NAME=value`, in words that go on a sentence
 * ("is reserved for clusterd"), or NULL.
 */
static const char *
env_problem(const char *entry)
{
	static const char *const reserved[] = {
		"LISTEN_FDS=", "LISTEN_PID=", "LISTEN_FDNAMES=",
		"NOTIFY_SOCKET=", "NGINX=", "FPM_SOCKETS=",
		"CLUSTERD_", "SERVER_STARTER_", "EINHORN_",
	};
	const char *s = entry;

	while ((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
	    *s == '_' || (*s >= '0' && *s <= '9' && s > entry))
		s++;
	if (*s != '=' || s == entry)
		return "is not NAME=value with a name of letters, digits and "
		       "_, no digit first";
	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
		if (str_starts(entry, reserved[i]))
			return "is reserved for clusterd, another name is "
			       "allowed";
	}
	return NULL;
}

/* For "%.*s": what may be shown of NAME=value, where value may be secret. */
static int
name_len(const char *entry)
{
	size_t len = strcspn(entry, "=");

	return len < 60 ? (int)len : 60;
}

int
conf_parse_env(const struct conf_value *v, void *target)
{
	struct conf_app *app = target;
	struct strlist env = STRLIST_INIT;
	int r = 0;

	for (size_t i = 0; i < v->n && !conf_value_is_nothing(v); i++) {
		const char *line = v->lines[i];
		const char *problem = env_problem(line);

		if (i == 0 && *line == '\0' && v->n > 1)
			continue;
		if (problem != NULL)
			r = conf_refuse(v, i, "\"%.*s\" %s", name_len(line),
			    line, problem);
		else
			strlist_add(&env, line);
	}
	if (env.failed)
		r = -ENOMEM;
	else if (env.n > CONF_ENV_MAX)
		r = conf_refuse(v, 0, "has %zu entries, %d are allowed",
		    env.n, CONF_ENV_MAX);
	if (r < 0) {
		strlist_free(&env);
		return r;
	}
	strlist_free(&app->env);
	app->env = env;
	return 0;
}

/* Without a matching pair of quotes around it; NULL when one is open. */
static char *
unquote(char *value)
{
	size_t len = strlen(value);
	char quote = value[0];

	if (quote != '"' && quote != '\'')
		return value;
	/* The next one must be the last byte. */
	if (len < 2 || strchr(value + 1, quote) != value + len - 1)
		return NULL;
	value[len - 1] = '\0';
	return value + 1;
}

/* Where a line of an env file stands. */
struct env_place {
	const struct conf_value *value;
	const char *path;
	unsigned number;
};

static void
advise(const struct env_place *at, const char *name, const char *value)
{
	const char *why = advice_value(value, strlen(name), true);

	if (why != NULL && at->value->warnings != NULL)
		conf_error_add(at->value->warnings, at->value->numbers[0],
		    "env_file", "%s:%u: %.60s: %s", at->path, at->number, name,
		    why);
}

/* One line of an env file, which it may change. What the entry is, or NULL. */
static const char *
read_env_line(char *line, const struct env_place *at, struct strlist *entries)
{
	const char *problem;
	char *value, *bare;

	line = conf_value_trim(line);
	if (*line == '\0' || *line == '#' || *line == ';')
		return NULL;
	if (address_has_control(line))
		return "holds a control byte, text and tabs are allowed";
	if (str_starts(line, "export ") || str_starts(line, "export\t"))
		line = conf_value_trim(line + strlen("export "));
	problem = env_problem(line);
	if (problem != NULL)
		return problem;
	value = strchr(line, '=');
	*value++ = '\0';
	value = conf_value_trim(value);
	bare = unquote(value);
	if (bare == NULL)
		return *conf_value_comment(value) == '\0' ?
		    "has a quote that is not closed at the end of the line, "
		    "one pair around the value is allowed" :
		    "has text behind its quotes, one pair around the value is "
		    "allowed; a comment stands on a line of its own";
	if (bare == value)
		advise(at, line, value);
	strlist_printf(entries, "%s=%s", line, bare);
	return NULL;
}

int
conf_env_file_parse(const struct conf_value *value, const char *path,
    const char *text, size_t len, struct strlist *entries)
{
	const char *end = text + len;
	unsigned number = 0;
	int r = 0;

	/* A byte order mark. */
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3;
	while (text < end) {
		const char *lf = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((lf != NULL ? lf : end) - text);
		size_t used = n > 0 && text[n - 1] == '\r' ? n - 1 : n;
		const char *problem = NULL;
		char *line;

		number++;
		line = strndup(text, used);
		if (line == NULL)
			return -ENOMEM;
		if (strlen(line) < used)
			problem = "holds a NUL byte, text and tabs are "
				  "allowed";
		else
			problem = read_env_line(line, &(struct env_place){
				value, path, number }, entries);
		free(line);
		if (problem != NULL)
			r = conf_refuse(value, 0, "%s:%u: the entry %s",
			    path, number, problem);
		text += lf != NULL ? n + 1 : n;
	}
	if (entries->failed)
		return -ENOMEM;
	if (entries->n > CONF_ENV_MAX)
		r = conf_refuse(value, 0, "%s has %zu entries, %d are allowed",
		    path, entries->n, CONF_ENV_MAX);
	return r;
}

bool
conf_env_scrubs(const char *entry)
{
	/* A name that ends in '*' stands for every name that begins so. */
	static const char *const names[] = {
		"CLUSTERD_*",
		"LISTEN_FDS", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDNAMES",
		"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "MAINPID",
		"FDSTORE",
		"SERVER_STARTER_*", "EINHORN_*", "NGINX", "FPM_SOCKETS",
		/* Node takes fd 3 for a channel to its parent if told so. */
		"NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE",
		"NODE_UNIQUE_ID",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		size_t len = strlen(names[i]);

		if (names[i][len - 1] == '*') {
			if (strncmp(entry, names[i], len - 1) == 0)
				return true;
		} else if (strncmp(entry, names[i], len) == 0 &&
		    (entry[len] == '=' || entry[len] == '\0')) {
			return true;
		}
	}
	return false;
}

static const char *
last_of(const struct strlist *entries, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = entries->n; i > 0; i--)
		if (str_starts(entries->v[i - 1], name) &&
		    entries->v[i - 1][len] == '=')
			return entries->v[i - 1] + len + 1;
	return NULL;
}

const char *
conf_env_said(const struct conf_app *app, const char *name)
{
	const char *value = last_of(&app->env, name);

	return value != NULL ? value : last_of(&app->env_file_entries, name);
}

/*
 * JOURNAL_STREAM tells a program that its standard error goes to the journal.
 * That is so for a worker that has it from us, and not where another one has
 * been put in its place: those who do not compare would be wrong.
 */
bool
conf_env_passes_on(const struct conf_app *app, const char *entry)
{
	if (str_starts(entry, "JOURNAL_STREAM="))
		return app->err.kind == CONF_OUTPUT_INHERIT ||
		    app->err.kind == CONF_OUTPUT_STDERR;
	return strchr(entry, '=') != NULL && !conf_env_scrubs(entry);
}
