#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
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

/* The keys of [clusterd]; NULL: not there, or "none". */
struct keys {
	const struct conf_entry *web;
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

static struct keys
find_keys(const struct conf_source *source)
{
	struct keys keys = { .web = NULL };

	for (size_t i = 0; i < source->n_entries; i++) {
		const struct conf_entry *e = &source->entries[i];

		if (e->section >= source->n_sections ||
		    strcmp(source->sections[e->section].name,
		    CONF_CLUSTERD_SECTION) != 0)
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
check_address(const struct keys *keys, const struct conf_web *web,
    struct conf_errors *errors)
{
	struct error err = ERROR_INIT;
	struct address address;

	if (address_parse(value_of(keys->web), web->base_dir, &address,
	    &err) < 0) {
		conf_error_add(errors, keys->web->line, "web", "%s",
		    error_text(&err));
		error_clear(&err);
		return;
	}
	if (address.kind == ADDRESS_UDP)
		conf_error_add(errors, keys->web->line, "web", "\"%.60s\" is "
		    "UDP; ADDRESS:PORT or unix:PATH is allowed",
		    value_of(keys->web));
	address_free(&address);
}

static void
check_user(const struct keys *keys, const struct conf_web *web,
    const char *user, struct conf_errors *errors)
{
	struct error err = ERROR_INIT;

	if (web->find_user(web->ctx, user, &err) < 0)
		conf_error_add(errors, keys->user != NULL ? keys->user->line :
		    keys->web->line, "web_user", "%s", error_text(&err));
	error_clear(&err);
}

static void
check_web(const struct conf_source *source, const struct keys *keys,
    const struct conf_web *web, struct conf_errors *errors)
{
	check_address(keys, web, errors);
	if (keys->no_control)
		conf_error_add(errors, keys->web->line, "web", "it asks at "
		    "the control socket, and control is \"none\"");
	for (size_t i = 0; i < source->n_sections; i++)
		if (strcmp(source->sections[i].name, CONF_WEB_APP) == 0)
			conf_error_add(errors, source->sections[i].line, NULL,
			    "an app cannot be called " CONF_WEB_APP " where "
			    "web is set, which is one of that name");
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

static int
add_section(struct conf_source *source, const char *address, unsigned line,
    const char *command, bool root)
{
	/* Nothing that stays open, as a page does, is to hold up its end. */
	const char *const entries[][2] = {
		{ "command", command },
		{ "listen", address },
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
	return code;
}

int
conf_web_add(struct conf_source *source, const struct conf_web *web,
    unsigned *ret_left_out, struct conf_errors *errors)
{
	struct keys keys = find_keys(source);
	struct strbuf command = STRBUF_INIT;
	size_t before = errors->n + errors->dropped;
	char *address;
	unsigned line;
	int code;

	*ret_left_out = 0;
	if (keys.web == NULL || web->file == NULL)
		return 0;
	check_web(source, &keys, web, errors);
	if (errors->n + errors->dropped > before)
		return 0;
	code = put_command(&command, &keys, web, errors);
	/* The entry moves as others are added. */
	address = strdup(value_of(keys.web));
	line = keys.web->line;
	if (code == 0 && address == NULL)
		code = -ENOMEM;
	if (code == 0 && errors->n + errors->dropped == before) {
		if (web->program == NULL)
			*ret_left_out = line;
		else
			code = add_section(source, address, line, command.text,
			    web->root);
	}
	free(address);
	strbuf_free(&command);
	return code;
}
