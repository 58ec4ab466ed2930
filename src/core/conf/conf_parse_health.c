#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_parse_health.h"
#include "core/conf/conf_schema.h"
#include "core/conf/conf_value.h"
#include "core/names/words.h"

/* What the value comes to. */
struct health {
	enum conf_health kind;
	char *path;
	char *host;
	struct strlist command;
};

/* As it stands in a request: nothing that would end a word, or a line, there. */
static bool
is_plain(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] <= ' ' || s[i] >= 0x7f)
			return false;
	return true;
}

/* `/PATH`, or `//NAME/PATH`, where the path may be missing. */
static int
parse_http(const struct conf_value *v, const char *rest, struct health *h)
{
	const char *path = rest;
	size_t host = 0;

	if (rest[0] == '/' && rest[1] == '/') {
		host = strcspn(rest + 2, "/");
		path = rest + 2 + host;
		if (host == 0 || host > CONF_HEALTH_HOST_MAX ||
		    !is_plain(rest + 2, host))
			return conf_refuse(v, 0, "\"%.60s\" has no name behind "
			    "http://, such as http://www.example.org/healthz",
			    v->lines[0]);
		h->host = strndup(rest + 2, host);
		if (*path == '\0')
			path = "/";
	}
	if (*path != '/' || strlen(path) > CONF_HEALTH_PATH_MAX ||
	    !is_plain(path, strlen(path)))
		return conf_refuse(v, 0, "\"%.60s\" has no path: it begins with "
		    "/, and is printable ASCII without spaces, %d bytes at "
		    "most", v->lines[0], CONF_HEALTH_PATH_MAX);
	h->path = strdup(path);
	h->kind = CONF_HEALTH_HTTP;
	return h->path != NULL && (host == 0 || h->host != NULL) ? 0 : -ENOMEM;
}

/* As `command`: a relative program with a slash is of the file's directory. */
static int
locate(const struct conf_value *v, struct strlist *words)
{
	char *full;
	int code;

	if (words->v[0][0] == '/' || strchr(words->v[0], '/') == NULL)
		return 0;
	code = conf_value_absolute(v, words->v[0], &full);
	if (code == 0) {
		free(words->v[0]);
		words->v[0] = full;
	}
	return code;
}

static int
parse_exec(const struct conf_value *v, const char *rest, struct health *h)
{
	struct error err = ERROR_INIT;
	int code = words_split(rest, &h->command, &err);

	h->kind = CONF_HEALTH_EXEC;
	if (code == -EINVAL)
		conf_refuse(v, 0, "%s", error_text(&err));
	error_clear(&err);
	if (code == 0 && h->command.failed)
		return -ENOMEM;
	if (code == 0 && (h->command.n == 0 || h->command.v[0][0] == '\0'))
		return conf_refuse(v, 0, "has no command behind exec:");
	return code < 0 ? code : locate(v, &h->command);
}

static void
free_all(struct health *h)
{
	free(h->path);
	free(h->host);
	strlist_free(&h->command);
}

static int
parse(const struct conf_value *v, struct health *h)
{
	const char *text = v->lines[0];
	unsigned kind;
	int code;

	if (str_starts(text, "http:"))
		return parse_http(v, text + strlen("http:"), h);
	if (str_starts(text, "https:"))
		return conf_refuse(v, 0, "a check speaks no TLS: tcp, or exec: "
		    "with a client that does");
	if (str_starts(text, "exec:"))
		return parse_exec(v, text + strlen("exec:"), h);
	code = conf_value_word(v, 0, text, &kind);
	if (code == 0)
		h->kind = (enum conf_health)kind;
	return code;
}

int
conf_parse_health(const struct conf_value *v, void *target)
{
	struct conf_app *app = target;
	struct health h = { .kind = CONF_HEALTH_NONE };
	int code = parse(v, &h);

	if (code < 0) {
		free_all(&h);
		return code;
	}
	free(app->health_path);
	free(app->health_host);
	strlist_free(&app->health_command);
	app->health = h.kind;
	app->health_path = h.path;
	app->health_host = h.host;
	app->health_command = h.command;
	return 0;
}
