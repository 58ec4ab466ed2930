#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_schema.h"
#include "core/conf/conf_source.h"
#include "core/conf/conf_web.h"
#include "core/names/address.h"
#include "core/names/words.h"

/* Of a host; as core/web/web_host.h has it. */
#define HOST_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" \
	"0123456789-_."
#define HOST_MAX 253

/* Beside `web` itself, as clusterd-web(8) has it. */
#define AGENTS_MAX (CONF_LISTENS_MAX - 1)

/* The keys of [clusterd], and the first `agent` of an app; NULL: not there, or
   "none". */
struct keys {
	const struct conf_entry *web;
	const struct conf_entry *agent;
	const struct conf_entry *user;
	const struct conf_entry *token_file;
	const struct conf_entry *host;
	bool no_control;
};

static const char *
value_of(const struct conf_entry *e)
{
	return e->lines.n > 0 ? e->lines.v[0] : "";
}

static bool
is_none(const struct conf_entry *e)
{
	return strcmp(value_of(e), "none") == 0;
}

static bool
is_global(const struct conf_source *source, const struct conf_entry *e)
{
	return strcmp(source->sections[e->section].name,
	    CONF_CLUSTERD_SECTION) == 0;
}

/* Of an app whose name is one: another was reported. */
static bool
is_agent(const struct conf_source *source, const struct conf_entry *e)
{
	const char *app;

	if (e->section >= source->n_sections || is_global(source, e) ||
	    strcmp(e->key, "agent") != 0 || is_none(e))
		return false;
	app = source->sections[e->section].name;
	return conf_name_valid(app, strlen(app));
}

static struct keys
find_keys(const struct conf_source *source)
{
	struct keys keys = { .web = NULL };

	for (size_t i = 0; i < source->n_entries; i++) {
		const struct conf_entry *e = &source->entries[i];

		if (keys.agent == NULL && is_agent(source, e))
			keys.agent = e;
		if (e->section >= source->n_sections || !is_global(source, e))
			continue;
		if (strcmp(e->key, "control") == 0)
			keys.no_control = is_none(e);
		if (strcmp(e->key, "web") == 0 && !is_none(e))
			keys.web = e;
		if (strcmp(e->key, "web_user") == 0)
			keys.user = e;
		if (strcmp(e->key, "web_token_file") == 0 && !is_none(e))
			keys.token_file = e;
		if (strcmp(e->key, "web_host") == 0 && !is_none(e))
			keys.host = e;
	}
	return keys;
}

/* ---- what is wrong ---- */

static void
check_address(const struct conf_entry *e, const struct conf_web *web,
    struct conf_errors *errors)
{
	struct error err = ERROR_INIT;
	struct address address;

	if (address_parse(value_of(e), web->base_dir, &address, &err) < 0) {
		conf_error_add(errors, e->line, e->key, "%s",
		    error_text(&err));
		error_clear(&err);
		return;
	}
	if (address.kind == ADDRESS_UDP)
		conf_error_add(errors, e->line, e->key, "\"%.60s\" is "
		    "UDP; ADDRESS:PORT or unix:PATH is allowed", value_of(e));
	address_free(&address);
}

/* Who asks for it, where nothing else is to blame. */
static const struct conf_entry *
asker(const struct keys *keys)
{
	return keys->web != NULL ? keys->web : keys->agent;
}

static void
check_agents(const struct conf_source *source, const struct conf_web *web,
    struct conf_errors *errors)
{
	size_t n = 0;

	for (size_t i = 0; i < source->n_entries; i++) {
		const struct conf_entry *e = &source->entries[i];

		if (!is_agent(source, e))
			continue;
		check_address(e, web, errors);
		if (n++ == AGENTS_MAX)
			conf_error_add(errors, e->line, e->key,
			    "%d apps may have one", AGENTS_MAX);
	}
}

static void
check_user(const struct keys *keys, const struct conf_web *web,
    const char *user, struct conf_errors *errors)
{
	struct error err = ERROR_INIT;

	if (web->find_user(web->ctx, user, &err) < 0)
		conf_error_add(errors, keys->user != NULL ? keys->user->line :
		    asker(keys)->line, "web_user", "%s", error_text(&err));
	error_clear(&err);
}

static void
check_web(const struct conf_source *source, const struct keys *keys,
    const struct conf_web *web, struct conf_errors *errors)
{
	const struct conf_entry *e = asker(keys);

	if (keys->web != NULL)
		check_address(keys->web, web, errors);
	check_agents(source, web, errors);
	if (keys->no_control)
		conf_error_add(errors, e->line, e->key, "it asks at the "
		    "control socket, and control is \"none\"");
	for (size_t i = 0; i < source->n_sections; i++)
		if (strcmp(source->sections[i].name, CONF_WEB_APP) == 0)
			conf_error_add(errors, source->sections[i].line, NULL,
			    "an app cannot be called " CONF_WEB_APP " where "
			    "%s is set, which is one of that name", e->key);
}

/* ---- the section ---- */

/* The names, separated by blanks, as options. */
static void
put_hosts(struct strbuf *sb, const struct conf_entry *host,
    struct conf_errors *errors)
{
	const char *s = value_of(host);

	for (s += strspn(s, " \t"); *s != '\0'; s += strspn(s, " \t")) {
		size_t len = strcspn(s, " \t");

		if (len > HOST_MAX || strspn(s, HOST_BYTES) != len ||
		    s[0] == '.' || s[len - 1] == '.')
			conf_error_add(errors, host->line, "web_host",
			    "\"%.*s\" is not the name of a host, such as "
			    "www.example.org",
			    (int)(len > 60 ? 60 : len), s);
		strbuf_puts(sb, " --host ");
		strbuf_add(sb, s, len);
		s += len;
	}
}

static void
put_option(struct strbuf *sb, const char *option, const char *value)
{
	strbuf_printf(sb, " %s ", option);
	words_quote(sb, value);
}

static int
put_command(struct strbuf *sb, const struct keys *keys,
    const struct conf_web *web, struct conf_errors *errors)
{
	const char *user = keys->user != NULL ? value_of(keys->user) :
	    "nobody";
	char *path;

	words_quote(sb, web->program != NULL ? web->program : CONF_WEB_APP);
	put_option(sb, "-c", web->file);
	if (web->root) {
		check_user(keys, web, user, errors);
		put_option(sb, "--user", user);
	}
	if (keys->token_file != NULL) {
		path = address_path(value_of(keys->token_file), web->base_dir);
		if (path == NULL)
			return -ENOMEM;
		put_option(sb, "--token-file", path);
		free(path);
	}
	if (keys->host != NULL)
		put_hosts(sb, keys->host, errors);
	return sb->failed ? -ENOMEM : 0;
}

/* The lines of `listen`. An agent's listener has its app's name. */
struct listens {
	struct strlist texts;
	unsigned *lines;
};

static int
find_listens(const struct conf_source *source, const struct keys *keys,
    struct listens *listens)
{
	size_t n = source->n_entries + 1;

	listens->lines = calloc(n, sizeof(*listens->lines));
	if (listens->lines == NULL)
		return -ENOMEM;
	if (keys->web != NULL) {
		listens->lines[listens->texts.n] = keys->web->line;
		strlist_add(&listens->texts, value_of(keys->web));
	}
	for (size_t i = 0; i < source->n_entries &&
	    !listens->texts.failed; i++) {
		const struct conf_entry *e = &source->entries[i];

		if (!is_agent(source, e))
			continue;
		listens->lines[listens->texts.n] = e->line;
		strlist_printf(&listens->texts, CONF_WEB_AGENT "%s=%s",
		    source->sections[e->section].name, value_of(e));
	}
	return listens->texts.failed ? -ENOMEM : 0;
}

static int
add_listens(struct conf_source *source, const struct listens *listens)
{
	int code = conf_source_add_entry(source, listens->lines[0], "listen",
	    listens->texts.v[0]);

	for (size_t i = 1; code == 0 && i < listens->texts.n; i++)
		code = conf_entry_put_line(
		    &source->entries[source->n_entries - 1],
		    listens->texts.v[i], strlen(listens->texts.v[i]),
		    listens->lines[i]);
	return code;
}

static int
add_section(struct conf_source *source, const struct listens *listens,
    unsigned line, const char *command, bool root)
{
	/* Nothing that stays open, as a page does, is to hold up its end. */
	const char *const entries[][2] = {
		{ "command", command },
		{ "instances", "1" },
		{ "handoff", "env" },
		{ "ready", "accept" },
		{ "drain_signal", "USR1" },
		{ "user", root ? "root" : "inherit" },
	};
	int code = conf_source_add_section(source, CONF_WEB_APP, line);

	for (size_t i = 0; code == 0 &&
	    i < sizeof(entries) / sizeof(entries[0]); i++)
		code = conf_source_add_entry(source, line, entries[i][0],
		    entries[i][1]);
	return code == 0 ? add_listens(source, listens) : code;
}

int
conf_web_add(struct conf_source *source, const struct conf_web *web,
    unsigned *ret_left_out, struct conf_errors *errors)
{
	struct keys keys = find_keys(source);
	struct strbuf command = STRBUF_INIT;
	struct listens listens = { .lines = NULL };
	size_t before = errors->n + errors->dropped;
	unsigned line;
	int code;

	*ret_left_out = 0;
	if (asker(&keys) == NULL || web->file == NULL)
		return 0;
	check_web(source, &keys, web, errors);
	if (errors->n + errors->dropped > before)
		return 0;
	code = put_command(&command, &keys, web, errors);
	/* The entries move as others are added. */
	line = asker(&keys)->line;
	if (code == 0)
		code = find_listens(source, &keys, &listens);
	if (code == 0 && errors->n + errors->dropped == before) {
		if (web->program == NULL)
			*ret_left_out = line;
		else
			code = add_section(source, &listens, line,
			    command.text, web->root);
	}
	strlist_free(&listens.texts);
	free(listens.lines);
	strbuf_free(&command);
	return code;
}
