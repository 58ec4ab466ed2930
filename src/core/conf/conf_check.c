/*
 * Entries to a configuration: each key by its row of the schema, then what
 * only several keys, or the host, can tell.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/conf/conf.h"
#include "core/conf/conf_check.h"
#include "core/conf/conf_env.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_files.h"
#include "core/conf/conf_host.h"
#include "core/conf/conf_parse.h"
#include "core/conf/conf_schema.h"
#include "core/conf/conf_source.h"
#include "core/conf/conf_value.h"

#define NOBODY		65534u
#define INHERITED	UINT32_MAX

/* What was found of each key of one section. */
struct seen {
	const struct conf_entry *entry;	/* NULL: the default holds */
	bool bad;			/* was reported */
};

/* What is remembered of an app beside its struct conf_app. */
struct app_note {
	unsigned listen_lines[CONF_LISTENS_MAX];
	unsigned out_line;
	unsigned err_line;
	bool duplicate;		/* a second section of its name */
};

struct check {
	const struct conf_source *source;
	const struct conf_host *host;
	struct conf_errors *errors;
	struct config *config;
	struct app_note *notes;		/* one per app */
	unsigned log_line;
	unsigned pidfile_line;
	size_t next_entry;		/* of the source */
	bool read_failed;		/* conf_read() had errors */

	/* The section at hand. */
	const struct conf_section *section;
	struct seen seen[CONF_KEY_N];
};

static const char *
key_name(enum conf_key_id id)
{
	size_t n;

	return conf_schema(&n)[id].name;
}

/* The line to blame for a key: its own, or its section's. */
static unsigned
line_of(const struct check *c, enum conf_key_id id)
{
	const struct conf_entry *entry = c->seen[id].entry;

	if (entry != NULL)
		return entry->line;
	return c->section != NULL ? c->section->line : 0;
}

static void
report_unknown(struct check *c, enum conf_scope scope,
    const struct conf_entry *entry)
{
	bool in_app = scope == CONF_SCOPE_APP;
	enum conf_scope other = in_app ? CONF_SCOPE_CLUSTERD : CONF_SCOPE_APP;
	const char *home = in_app ? "the section [clusterd]" :
				    "an app's section";
	const char *near = NULL;

	/* The search takes its time, for up to 65536 keys. */
	if (conf_errors_full(c->errors, entry->line)) {
		c->errors->dropped++;
	} else if (conf_schema_find(other, entry->key) != NULL) {
		conf_error_add(c->errors, entry->line, entry->key,
		    "is not a key of %s, it belongs into %s",
		    in_app ? "an app" : "[clusterd]", home);
	} else if ((near = conf_schema_near(scope, entry->key)) != NULL) {
		conf_error_add(c->errors, entry->line, entry->key,
		    "unknown key, did you mean %s?", near);
	} else if ((near = conf_schema_near(other, entry->key)) != NULL) {
		conf_error_add(c->errors, entry->line, entry->key,
		    "unknown key, did you mean %s? it belongs into %s", near,
		    home);
	} else {
		conf_error_add(c->errors, entry->line, entry->key,
		    "unknown key, see clusterd.ini(5) for those that are "
		    "allowed");
	}
}

/* Sort the section's entries into c->seen. Entries come section by section. */
static void
collect_entries(struct check *c, size_t section, enum conf_scope scope)
{
	const struct conf_source *source = c->source;
	const struct conf_key *schema;
	size_t n;

	schema = conf_schema(&n);
	memset(c->seen, 0, sizeof(c->seen));
	for (; c->next_entry < source->n_entries &&
	     source->entries[c->next_entry].section == section;
	     c->next_entry++) {
		const struct conf_entry *e = &source->entries[c->next_entry];
		const struct conf_key *key = conf_schema_find(scope, e->key);
		struct seen *seen;

		if (key == NULL) {
			report_unknown(c, scope, e);
			continue;
		}
		seen = &c->seen[key - schema];
		if (seen->entry != NULL)
			conf_error_add(c->errors, e->line, e->key,
			    "duplicate key, the first is on line %u",
			    seen->entry->line);
		else
			seen->entry = e;
	}
}

/* Parse the value in the file, or the default. 0 or -ENOMEM. */
static int
parse_key(struct check *c, const struct conf_key *key, struct seen *seen,
    void *target, struct app_note *note)
{
	char *preset = NULL;
	unsigned line = 0;
	struct conf_value value = {
		.key = key,
		.base_dir = c->host->base_dir,
		.errors = c->errors,
		.listen_lines = note != NULL ? note->listen_lines : NULL,
	};
	int r;

	if (seen->entry != NULL) {
		value.lines = seen->entry->lines.v;
		value.numbers = seen->entry->numbers;
		value.n = seen->entry->lines.n;
	} else {
		preset = strdup(key->preset);
		if (preset == NULL)
			return -ENOMEM;
		value.lines = &preset;
		value.numbers = &line;
		value.n = 1;
	}
	r = conf_parse(&value, target);
	free(preset);
	if (r == -ENOMEM)
		return r;
	assert(r == 0 || seen->entry != NULL);	/* a default is good */
	seen->bad = r < 0;
	return 0;
}

static void
report_missing(struct check *c, const struct conf_key *key)
{
	conf_error_add(c->errors, c->section->line, key->name,
	    "missing in section [%.40s], every app needs one",
	    c->section->name);
}

/* Each key of the scope, in the schema's order. */
static int
parse_section(struct check *c, enum conf_scope scope, void *target,
    struct app_note *note)
{
	const struct conf_key *schema;
	size_t n;
	int r;

	schema = conf_schema(&n);
	for (size_t i = 0; i < n; i++) {
		const struct conf_key *key = &schema[i];
		struct seen *seen = &c->seen[i];

		if (key->scope != scope)
			continue;
		if (seen->entry == NULL && key->preset == NULL) {
			if (!note->duplicate)
				report_missing(c, key);
			seen->bad = true;
			continue;
		}
		r = parse_key(c, key, seen, target, note);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool
has_inet(const struct conf_app *app)
{
	for (size_t i = 0; i < app->n_listens; i++) {
		if (app->listens[i].kind != ADDRESS_UNIX)
			return true;
	}
	return false;
}

/* A brace that nothing will replace is a slip, not text. */
static void
check_braces(struct check *c, const struct conf_app *app)
{
	const struct seen *seen = c->seen;
	bool fd = false, port = false;

	if (seen[CONF_KEY_PORT].bad || seen[CONF_KEY_LISTEN].bad)
		return;
	for (size_t i = 0; i < app->command.n; i++) {
		fd |= strstr(app->command.v[i], "{fd}") != NULL;
		port |= strstr(app->command.v[i], "{port}") != NULL;
	}
	if (fd && app->n_listens == 0)
		conf_error_add(c->errors, line_of(c, CONF_KEY_COMMAND),
		    "command", "{fd} is the number of a listening socket, but "
		    "the app has none; port or listen gives it one");
	else if (fd && app->handoff == CONF_HANDOFF_ADOPT)
		conf_error_add(c->errors, line_of(c, CONF_KEY_COMMAND),
		    "command", "{fd} is the number of a listening socket, but "
		    "handoff = adopt passes none; env or auto does");
	if (port && !has_inet(app))
		conf_error_add(c->errors, line_of(c, CONF_KEY_COMMAND),
		    "command", "{port} is the number of a TCP or UDP port, "
		    "but the app has none; port or listen gives it one");
}

/* What has no listener waits for no connection. */
static void
check_ready(struct check *c, const struct conf_app *app)
{
	const struct seen *seen = c->seen;

	if (!seen[CONF_KEY_PORT].bad && !seen[CONF_KEY_LISTEN].bad &&
	    app->ready == CONF_READY_ACCEPT && app->n_listens == 0)
		conf_error_add(c->errors, line_of(c, CONF_KEY_READY), "ready",
		    "\"accept\" needs a port or listen, and the app has none; "
		    "auto, notify or alive:DURATION is allowed");
}

/*
 * Add "A words B" to the errors, A and B durations; a message that memory is
 * too short for is counted as dropped.
 */
static void
report_durations(struct check *c, enum conf_key_id id, const char *prefix,
    int64_t a, const char *words, int64_t b)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_puts(&sb, prefix);
	conf_duration_print(&sb, a);
	strbuf_puts(&sb, words);
	conf_duration_print(&sb, b);
	if (sb.failed)
		c->errors->dropped++;
	else
		conf_error_add(c->errors, line_of(c, id), key_name(id), "%s",
		    sb.text);
	strbuf_free(&sb);
}

static void
check_durations(struct check *c, const struct conf_app *app)
{
	const struct seen *seen = c->seen;
	int64_t delay = app->restart_delay_ms;
	int64_t delay_max = app->restart_delay_max_ms;

	if (!seen[CONF_KEY_RESTART_DELAY].bad &&
	    !seen[CONF_KEY_RESTART_DELAY_MAX].bad && delay_max < delay) {
		/* Blame the one that is written, not a default. */
		if (seen[CONF_KEY_RESTART_DELAY_MAX].entry != NULL)
			report_durations(c, CONF_KEY_RESTART_DELAY_MAX, "",
			    delay_max, " is less than restart_delay, which "
				       "is ", delay);
		else
			report_durations(c, CONF_KEY_RESTART_DELAY, "",
			    delay, " is more than restart_delay_max, which "
				   "is ", delay_max);
	}
	if (!seen[CONF_KEY_READY].bad && !seen[CONF_KEY_READY_TIMEOUT].bad &&
	    app->ready == CONF_READY_ALIVE &&
	    app->ready_alive_ms >= app->ready_timeout_ms)
		report_durations(c, CONF_KEY_READY, "alive:",
		    app->ready_alive_ms, " never comes, it must be shorter "
					 "than ready_timeout, which is ",
		    app->ready_timeout_ms);
}

/* What a name stands for that is not known yet: somebody without rights. */
static int
take_nobody(const char *user, struct conf_creds *ret_creds)
{
	struct conf_creds creds = {
		.set = true,
		.uid = NOBODY,
		.gid = NOBODY,
		.name = user != NULL ? strdup(user) : NULL,
		.home = user != NULL ? strdup("/") : NULL,
	};

	if (user != NULL && (creds.name == NULL || creds.home == NULL)) {
		conf_creds_free(&creds);
		return -ENOMEM;
	}
	*ret_creds = creds;
	return 0;
}

/*
 * Look up `user` and `group` (either may be NULL). 0 also when the answer is
 * an error: it is then reported, for the key `blamed`, and nothing is set.
 */
static int
find_creds(struct check *c, enum conf_key_id blamed, const char *user,
    const char *group, struct conf_creds *ret_creds)
{
	const struct conf_host *host = c->host;
	struct error err = ERROR_INIT;
	int r;

	r = host->find_creds(host->ctx, user, group, ret_creds, &err);
	if (r == -EAGAIN) {
		r = take_nobody(user, ret_creds);
	} else if (r < 0 && r != -ENOMEM) {
		conf_error_add(c->errors, line_of(c, blamed),
		    key_name(blamed), "%s", error_text(&err));
		r = 0;
	}
	error_clear(&err);
	return r;
}

/*
 * Each alone, so that each has its own error, and both together, for the
 * user's supplementary groups: all are asked for before the first answer.
 */
static int
find_worker(struct check *c, struct conf_app *app)
{
	struct conf_creds user = { .set = false }, group = { .set = false };
	int r = 0;

	if (app->user != NULL)
		r = find_creds(c, CONF_KEY_USER, app->user, NULL, &user);
	if (r == 0 && app->group != NULL)
		r = find_creds(c, CONF_KEY_GROUP, NULL, app->group, &group);
	if (r == 0 && user.set && group.set) {
		r = find_creds(c, CONF_KEY_USER, app->user, app->group,
		    &app->creds);
	} else if (app->group == NULL) {
		app->creds = user;
		user = (struct conf_creds){ .set = false };
	} else if (app->user == NULL) {
		app->creds = group;
		group = (struct conf_creds){ .set = false };
	}
	conf_creds_free(&user);
	conf_creds_free(&group);
	return r;
}

static void
check_rights(struct check *c, const struct conf_app *app)
{
	bool user = app->user != NULL;
	enum conf_key_id key = user ? CONF_KEY_USER : CONF_KEY_GROUP;
	struct error err = ERROR_INIT;

	if (app->creds.set && c->host->may_become != NULL &&
	    c->host->may_become(c->host->ctx, &app->creds, &err) < 0)
		conf_error_add(c->errors, line_of(c, key), key_name(key),
		    "\"%.60s\": %s", user ? app->user : app->group,
		    error_text(&err));
	error_clear(&err);
}

static int
check_accounts(struct check *c, struct conf_app *app)
{
	struct conf_creds owner = { .set = false }, group = { .set = false };
	int r;

	r = find_worker(c, app);
	if (r == 0)
		check_rights(c, app);
	if (r == 0 && app->socket_user != NULL)
		r = find_creds(c, CONF_KEY_SOCKET_USER, app->socket_user,
		    NULL, &owner);
	if (r == 0 && app->socket_group != NULL)
		r = find_creds(c, CONF_KEY_SOCKET_GROUP, NULL,
		    app->socket_group, &group);

	app->socket_uid = owner.set ? owner.uid : INHERITED;
	app->socket_gid = group.set ? group.gid : INHERITED;
	conf_creds_free(&owner);
	conf_creds_free(&group);
	return r;
}

static int
read_env_file(struct check *c, struct conf_app *app)
{
	const struct conf_host *host = c->host;
	unsigned line = line_of(c, CONF_KEY_ENV_FILE);
	struct error err = ERROR_INIT;
	char *text = NULL;
	size_t len = 0, n;
	struct conf_value value = {
		.key = &conf_schema(&n)[CONF_KEY_ENV_FILE],
		.base_dir = host->base_dir,
		.errors = c->errors,
		.numbers = &line,
		.n = 1,
	};
	int r;

	if (app->env_file == NULL)
		return 0;
	r = host->read_file(host->ctx, app->env_file, &text, &len, &err);
	if (r < 0 && r != -ENOMEM)
		conf_error_add(c->errors, line, value.key->name, "%s",
		    error_text(&err));
	else if (r == 0 && len > CONF_ENV_FILE_MAX)
		conf_refuse(&value, 0, "%s is too long, %d bytes are allowed",
		    app->env_file, CONF_ENV_FILE_MAX);
	else if (r == 0)
		r = conf_env_file_parse(&value, app->env_file, text, len,
		    &app->env_file_entries);
	error_clear(&err);
	free(text);
	return r == -ENOMEM ? r : 0;
}

/*
 * conf_read() has reported bad and duplicate names; a source that was built by
 * hand may hold them too.
 */
static void
check_name(struct check *c, size_t section, struct app_note *note)
{
	const char *name = c->section->name;

	if (!c->read_failed && !conf_name_valid(name, strlen(name)))
		conf_error_add(c->errors, c->section->line, NULL, "\"%.40s\" "
		    "is not a name for an app, up to %d of a-z, 0-9, _ and - "
		    "are allowed, a letter or digit first", name,
		    CONF_NAME_MAX);
	for (size_t i = 0; i < section && !note->duplicate; i++)
		note->duplicate =
		    strcmp(c->source->sections[i].name, name) == 0;
	if (!c->read_failed && note->duplicate)
		conf_error_add(c->errors, c->section->line, NULL, "[%.40s] is "
		    "a duplicate section", name);
}

static int
check_control(struct check *c)
{
	struct config *config = c->config;
	struct conf_creds group = { .set = false };
	int r = 0;

	if (config->control_group != NULL)
		r = find_creds(c, CONF_KEY_CONTROL_GROUP, NULL,
		    config->control_group, &group);
	config->control_gid = group.set ? group.gid : INHERITED;
	conf_creds_free(&group);
	if (config->control != NULL && ((config->log != NULL &&
	    strcmp(config->log, config->control) == 0) ||
	    (config->pidfile != NULL &&
	    strcmp(config->pidfile, config->control) == 0)))
		conf_error_add(c->errors, line_of(c, CONF_KEY_CONTROL),
		    "control", "\"%.60s\" is the log or the pidfile already, "
		    "another path is allowed", config->control);
	return r;
}

static int
check_clusterd(struct check *c, size_t section)
{
	const struct config *config = c->config;
	int r;

	collect_entries(c, section, CONF_SCOPE_CLUSTERD);
	r = parse_section(c, CONF_SCOPE_CLUSTERD, c->config, NULL);
	if (r == 0)
		r = check_control(c);
	c->log_line = line_of(c, CONF_KEY_LOG);
	c->pidfile_line = line_of(c, CONF_KEY_PIDFILE);
	if (r == 0 && config->log != NULL && config->pidfile != NULL &&
	    strcmp(config->log, config->pidfile) == 0)
		conf_error_add(c->errors, line_of(c, CONF_KEY_PIDFILE),
		    "pidfile", "\"%.60s\" is the log already, another path "
		    "is allowed", config->pidfile);
	return r;
}

static int
check_app(struct check *c, size_t section)
{
	struct config *config = c->config;
	struct app_note *note = &c->notes[config->n_apps];
	struct conf_app *app = &config->apps[config->n_apps++];
	int r;

	*app = (struct conf_app){ .line = c->section->line };
	app->name = strdup(c->section->name);
	if (app->name == NULL)
		return -ENOMEM;

	check_name(c, section, note);
	collect_entries(c, section, CONF_SCOPE_APP);
	r = parse_section(c, CONF_SCOPE_APP, app, note);
	if (r < 0)
		return r;
	check_braces(c, app);
	check_ready(c, app);
	check_durations(c, app);
	note->out_line = line_of(c, CONF_KEY_STDOUT);
	note->err_line = line_of(c, CONF_KEY_STDERR);
	r = check_accounts(c, app);
	if (r < 0)
		return r;
	return read_env_file(c, app);
}

/* One listener of any app. */
struct served {
	const struct address *address;
	const struct conf_app *app;
	const char *key;
	unsigned line;
	size_t order;	/* of the file */
};

static int
compare_served(const void *a, const void *b)
{
	const struct served *x = a, *y = b;
	int order = address_compare(x->address, y->address);

	if (order != 0)
		return order;
	return x->order < y->order ? -1 : x->order > y->order;
}

static void
report_twice(struct check *c, const struct served *again,
    const struct served *first)
{
	char *text = address_format(again->address);

	if (text == NULL)
		c->errors->dropped++;
	else if (first->app == again->app)
		conf_error_add(c->errors, again->line, again->key, "%s is "
		    "served already, by %s on line %u", text, first->key,
		    first->line);
	else
		conf_error_add(c->errors, again->line, again->key, "%s is "
		    "served already, by [%s] on line %u", text,
		    first->app->name, first->line);
	free(text);
}

/* An address has one app. Port 0 is another port each time. */
static int
check_listens(struct check *c)
{
	const struct config *config = c->config;
	struct served *all;
	size_t n = 0, max = 0, first = 0;

	for (size_t i = 0; i < config->n_apps; i++)
		max += config->apps[i].n_listens;
	if (max == 0)
		return 0;
	all = calloc(max, sizeof(*all));
	if (all == NULL)
		return -ENOMEM;

	for (size_t i = 0; i < config->n_apps; i++) {
		const struct conf_app *app = &config->apps[i];

		for (size_t j = 0; j < app->n_listens; j++) {
			const struct address *a = &app->listens[j];

			if (c->notes[i].duplicate)
				break;
			if (a->kind != ADDRESS_UNIX && a->port == 0)
				continue;
			all[n] = (struct served){
				.address = a,
				.app = app,
				.key = j == 0 && app->has_port ? "port" :
								 "listen",
				.line = c->notes[i].listen_lines[j],
				.order = n,
			};
			n++;
		}
	}
	qsort(all, n, sizeof(*all), compare_served);
	for (size_t i = 1; i < n; i++) {
		if (!address_equal(all[i].address, all[first].address))
			first = i;
		else
			report_twice(c, &all[i], &all[first]);
	}
	free(all);
	return 0;
}

static void
note_file(struct conf_file *files, size_t *n, const char *path,
    const struct conf_app *app, const char *key, unsigned line)
{
	if (path == NULL)
		return;
	files[*n] = (struct conf_file){
		.path = path, .app = app, .key = key, .line = line,
		.order = *n,
	};
	(*n)++;
}

/* What is written to by several. */
static int
check_files(struct check *c)
{
	const struct config *config = c->config;
	struct conf_file *files = calloc(2 * config->n_apps + 2,
	    sizeof(*files));
	size_t n = 0;

	if (files == NULL)
		return -ENOMEM;
	note_file(files, &n, config->log, NULL, "log", c->log_line);
	note_file(files, &n, config->pidfile, NULL, "pidfile",
	    c->pidfile_line);
	for (size_t i = 0; i < config->n_apps; i++) {
		const struct conf_app *app = &config->apps[i];

		if (c->notes[i].duplicate)
			continue;
		note_file(files, &n, app->out.path, app, "stdout",
		    c->notes[i].out_line);
		note_file(files, &n, app->err.path, app, "stderr",
		    c->notes[i].err_line);
	}
	conf_files_check(files, n, c->errors);
	free(files);
	return 0;
}

static int
check_sections(struct check *c)
{
	const struct conf_source *source = c->source;
	bool clusterd = false;
	int r = 0;

	for (size_t i = 0; i < source->n_sections && r == 0; i++) {
		c->section = &source->sections[i];
		if (strcmp(c->section->name, CONF_CLUSTERD_SECTION) == 0) {
			clusterd = true;
			r = check_clusterd(c, i);
		} else {
			r = check_app(c, i);
		}
	}
	if (r < 0)
		return r;
	assert(c->next_entry == source->n_entries);

	c->section = NULL;
	if (!clusterd)
		r = check_clusterd(c, source->n_sections);
	if (c->config->n_apps == 0)
		conf_error_add(c->errors, 0, NULL, "no app is configured: a "
		    "section such as [web] with a command is needed");
	if (r == 0)
		r = check_listens(c);
	return r < 0 ? r : check_files(c);
}

int
conf_check(const struct conf_source *source, const struct conf_host *host,
    struct config **ret_config, struct conf_errors *errors)
{
	struct check c = {
		.source = source,
		.host = host,
		.errors = errors,
		.read_failed = errors->n > 0 || errors->dropped > 0,
	};
	size_t n = source->n_sections > 0 ? source->n_sections : 1;
	int r = -ENOMEM;

	*ret_config = NULL;
	c.config = calloc(1, sizeof(*c.config));
	if (c.config == NULL)
		return -ENOMEM;
	c.config->refs = 1;
	c.config->apps = calloc(n, sizeof(*c.config->apps));
	c.notes = calloc(n, sizeof(*c.notes));
	if (c.config->apps != NULL && c.notes != NULL)
		r = check_sections(&c);
	free(c.notes);

	if (r == 0 && errors->n == 0 && errors->dropped == 0)
		*ret_config = c.config;
	else
		config_unref(c.config);
	return r;
}
