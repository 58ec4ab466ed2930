/*
 * Entries to a configuration: each key by its row of the schema, then what
 * only several keys, or the host, can tell.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/conf/advice.h"
#include "core/conf/advice_own.h"
#include "core/conf/conf.h"
#include "core/conf/conf_accounts.h"
#include "core/conf/conf_braces.h"
#include "core/conf/conf_check.h"
#include "core/conf/conf_env.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_files.h"
#include "core/conf/conf_host.h"
#include "core/conf/conf_instance.h"
#include "core/conf/conf_keys.h"
#include "core/conf/conf_listens.h"
#include "core/conf/conf_order.h"
#include "core/conf/conf_said.h"
#include "core/conf/conf_schema.h"
#include "core/conf/conf_source.h"
#include "core/conf/conf_value.h"
#include "core/names/placeholder.h"

/* What is remembered of an app beside its struct conf_app. */
struct app_note {
	unsigned listen_lines[CONF_LISTENS_MAX];
	unsigned out_line;
	unsigned err_line;
	unsigned after_line;
	bool duplicate;		/* a second section of its name */
};

struct check {
	const struct conf_source *source;
	const struct conf_host *host;
	struct conf_errors *errors;
	struct config *config;
	struct app_note *notes;		/* one per app */
	size_t next_entry;		/* of the source */
	bool read_failed;		/* conf_read() had errors */

	struct conf_keys keys;		/* of the section at hand */
	struct conf_host here;		/* the host, as of its file */
};

static unsigned
line_of(const struct check *c, enum conf_key_id id)
{
	return conf_keys_line(&c->keys, id);
}

/* The section's keys, each by its row. 0 or -ENOMEM. */
static int
parse_section(struct check *c, size_t section, enum conf_scope scope,
    void *target, unsigned *listen_lines)
{
	c->next_entry = conf_keys_collect(&c->keys, scope, c->source, section,
	    c->next_entry);
	return conf_keys_parse(&c->keys, scope, target, listen_lines);
}

/* What has no listener waits for no connection. */
static void
check_ready(struct check *c, const struct conf_app *app)
{
	const struct conf_seen *seen = c->keys.seen;

	if (!seen[CONF_KEY_PORT].bad && !seen[CONF_KEY_LISTEN].bad &&
	    app->ready == CONF_READY_ACCEPT && app->n_listens == 0)
		conf_error_add(c->errors, line_of(c, CONF_KEY_READY), "ready",
		    "\"accept\" needs a port or listen, and the app has none; "
		    "auto, notify or alive:DURATION is allowed");
	if (!seen[CONF_KEY_HEALTH].bad && app->ready == CONF_READY_HEALTH &&
	    (app->health == CONF_HEALTH_NONE ||
		app->health == CONF_HEALTH_QUEUE))
		conf_error_add(c->errors, line_of(c, CONF_KEY_READY), "ready",
		    "\"health\" needs a check: health = tcp, http:/PATH, "
		    "exec:COMMAND or watchdog");
}

static bool
has_stream(const struct conf_app *app)
{
	for (size_t i = 0; i < app->n_listens; i++)
		if (app->listens[i].kind != ADDRESS_UDP)
			return true;
	return false;
}

static bool
has_tcp(const struct conf_app *app)
{
	for (size_t i = 0; i < app->n_listens; i++)
		if (app->listens[i].kind == ADDRESS_TCP)
			return true;
	return false;
}

/* Whose queue is it? One that all have tells of none. */
static void
check_health_queue(struct check *c, const struct conf_app *app)
{
	const struct conf_seen *seen = c->keys.seen;

	if (app->health != CONF_HEALTH_QUEUE || seen[CONF_KEY_HEALTH].bad)
		return;
	if (!seen[CONF_KEY_PORT].bad && !seen[CONF_KEY_LISTEN].bad &&
	    !has_tcp(app))
		conf_error_add(c->errors, line_of(c, CONF_KEY_HEALTH),
		    "health", "there is no queue to look at: the app has no "
		    "TCP port; exec:COMMAND or watchdog is allowed");
	else if (!seen[CONF_KEY_BALANCE].bad &&
	    !seen[CONF_KEY_INSTANCES].bad &&
	    app->balance == CONF_BALANCE_SHARED &&
	    (app->instances_kind != CONF_INSTANCES_NUMBER ||
		app->instances > 1 || app->scales))
		conf_error_add(c->errors, line_of(c, CONF_KEY_HEALTH),
		    "health", "\"queue\" needs a queue for each instance, and "
		    "with balance = shared all have one; exec:COMMAND or "
		    "watchdog is allowed");
}

static void
check_health(struct check *c, const struct conf_app *app)
{
	const struct conf_seen *seen = c->keys.seen;

	if (!seen[CONF_KEY_PORT].bad && !seen[CONF_KEY_LISTEN].bad &&
	    (app->health == CONF_HEALTH_TCP ||
		app->health == CONF_HEALTH_HTTP) && !has_stream(app))
		conf_error_add(c->errors, line_of(c, CONF_KEY_HEALTH),
		    "health", "there is nothing to connect to: the app has no "
		    "TCP port and no Unix socket; exec:COMMAND or watchdog is "
		    "allowed");
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
		conf_error_add(c->errors, line_of(c, id), conf_key_name(id), "%s",
		    sb.text);
	strbuf_free(&sb);
}

static void
check_durations(struct check *c, const struct conf_app *app)
{
	const struct conf_seen *seen = c->keys.seen;
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

static int
read_env_file(struct check *c, struct conf_app *app)
{
	const struct conf_host *host = &c->here;
	unsigned line = line_of(c, CONF_KEY_ENV_FILE);
	struct error err = ERROR_INIT;
	char *text = NULL;
	size_t len = 0, n;
	struct conf_value value = {
		.key = &conf_schema(&n)[CONF_KEY_ENV_FILE],
		.base_dir = host->base_dir,
		.errors = c->errors,
		.warnings = &c->config->warnings,
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
	const char *name = c->keys.section->name;

	if (!c->read_failed && !conf_name_valid(name, strlen(name)))
		conf_error_add(c->errors, c->keys.section->line, NULL, "\"%.40s\" "
		    "is not a name for an app, up to %d of a-z, 0-9, _ and - "
		    "are allowed, a letter or digit first", name,
		    CONF_NAME_MAX);
	for (size_t i = 0; i < section && !note->duplicate; i++)
		note->duplicate =
		    strcmp(c->source->sections[i].name, name) == 0;
	if (!c->read_failed && note->duplicate)
		conf_error_add(c->errors, c->keys.section->line, NULL, "[%.40s] is "
		    "a duplicate section", name);
}

static int
check_control(struct check *c)
{
	struct config *config = c->config;
	int r = conf_accounts_find_control(&c->keys, c->host, config);

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

	c->keys.duplicate = false;
	r = parse_section(c, section, CONF_SCOPE_CLUSTERD, c->config, NULL);
	if (r == 0)
		r = check_control(c);
	if (r == 0)
		r = conf_accounts_find_on_event(&c->keys, c->host,
		    c->config);
	c->config->log_line = line_of(c, CONF_KEY_LOG);
	c->config->pidfile_line = line_of(c, CONF_KEY_PIDFILE);
	advice_own(&c->keys, c->host, c->config);
	if (r == 0 && config->log != NULL && config->pidfile != NULL &&
	    strcmp(config->log, config->pidfile) == 0)
		conf_error_add(c->errors, line_of(c, CONF_KEY_PIDFILE),
		    "pidfile", "\"%.60s\" is the log already, another path "
		    "is allowed", config->pidfile);
	return r;
}

static int
keep_listen_lines(struct conf_app *app, const struct app_note *note)
{
	size_t n = app->n_listens;

	app->listen_lines = calloc(n + 1, sizeof(*app->listen_lines));
	if (app->listen_lines == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		app->listen_lines[i] = note->listen_lines[i];
	return 0;
}

/* Raw lines among those of the log would be nobody's, and after it was put away and
   opened anew a worker would write to the old file. */
static void
tag_for_log(struct conf_output *output)
{
	if (output->kind == CONF_OUTPUT_INHERIT ||
	    output->kind == CONF_OUTPUT_STDOUT ||
	    output->kind == CONF_OUTPUT_STDERR)
		output->kind = CONF_OUTPUT_PREFIX;
}

static int
check_app(struct check *c, size_t section)
{
	struct config *config = c->config;
	struct app_note *note = &c->notes[config->n_apps];
	struct conf_app *app = &config->apps[config->n_apps++];
	struct placeholders known = { .env = c->host->environ };
	int r;

	*app = (struct conf_app){ .line = c->keys.section->line };
	app->name = strdup(c->keys.section->name);
	if (app->name == NULL)
		return -ENOMEM;
	known.values[PLACEHOLDER_APP] = app->name;

	check_name(c, section, note);
	c->keys.duplicate = note->duplicate;
	c->keys.placeholders = &known;
	r = parse_section(c, section, CONF_SCOPE_APP, app,
	    note->listen_lines);
	c->keys.placeholders = NULL;
	if (r < 0)
		return r;
	if (keep_listen_lines(app, note) < 0)
		return -ENOMEM;
	check_ready(c, app);
	check_health(c, app);
	check_health_queue(c, app);
	check_durations(c, app);
	conf_said_check(app, note->listen_lines, c->errors);
	note->out_line = line_of(c, CONF_KEY_STDOUT);
	note->err_line = line_of(c, CONF_KEY_STDERR);
	note->after_line = line_of(c, CONF_KEY_AFTER);
	app->out.line = note->out_line;
	app->err.line = note->err_line;
	if (c->host->into_log) {
		tag_for_log(&app->out);
		tag_for_log(&app->err);
	}
	r = conf_accounts_find(&c->keys, c->host, app);
	if (r == 0)
		r = read_env_file(c, app);
	if (r == 0)
		r = conf_braces_check(&c->keys, c->host, app);
	if (r == 0)
		advice_app(&c->keys, &c->here, app, &config->warnings);
	return r;
}

/* All listeners of all apps, and of all instances. */
struct all_listens {
	struct conf_listen *v;
	struct address *owned;	/* those of single instances */
	size_t n, n_owned;
};

static unsigned
instances_of(const struct check *c, const struct conf_app *app)
{
	unsigned n = c->host->auto_instances;

	return conf_app_most_instances(app, n > 0 ? n : 1);
}

static void
note_listen(struct all_listens *all, const struct address *a,
    const struct conf_app *app, const struct app_note *note, size_t i)
{
	/* Port 0 is another port each time. */
	if (a->kind != ADDRESS_UNIX && a->port == 0)
		return;
	all->v[all->n] = (struct conf_listen){
		.address = a,
		.app = app,
		.key = i == 0 && app->has_port ? "port" : "listen",
		.line = note->listen_lines[i],
		.order = all->n,
	};
	all->n++;
}

/* Of each instance one; with one more digit it may be none: 65536. */
static int
note_own_listens(struct check *c, struct all_listens *all,
    const struct conf_app *app, const struct app_note *note, size_t i)
{
	unsigned n = instances_of(c, app);

	for (unsigned k = 0; k < n; k++) {
		struct address *a = &all->owned[all->n_owned];
		struct error err = ERROR_INIT;
		int r = conf_listen_of(app->listen_forms[i], k, a, &err);

		if (r == -EINVAL)
			conf_error_add(c->errors, note->listen_lines[i],
			    "listen", "for instance %u: %s", k,
			    error_text(&err));
		error_clear(&err);
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			return 0;
		all->n_owned++;
		note_listen(all, a, app, note, i);
	}
	return 0;
}

static int
note_listens(struct check *c, struct all_listens *all)
{
	const struct config *config = c->config;
	int r = 0;

	for (size_t k = 0; k < config->n_apps && r == 0; k++) {
		const struct conf_app *app = &config->apps[k];
		const struct app_note *note = &c->notes[k];

		for (size_t i = 0; !note->duplicate && r == 0 &&
		    i < app->n_listens; i++)
			if (conf_listen_is_own(app, i))
				r = note_own_listens(c, all, app, note, i);
			else
				note_listen(all, &app->listens[i], app, note,
				    i);
	}
	return r;
}

static int
check_listens(struct check *c)
{
	const struct config *config = c->config;
	struct all_listens all = { .n = 0 };
	size_t max = 0;
	int r = -ENOMEM;

	for (size_t k = 0; k < config->n_apps; k++) {
		const struct conf_app *app = &config->apps[k];

		for (size_t i = 0; i < app->n_listens; i++)
			max += conf_listen_is_own(app, i) ?
			    instances_of(c, app) : 1;
	}
	if (max == 0)
		return 0;
	all.v = calloc(max, sizeof(*all.v));
	all.owned = calloc(max, sizeof(*all.owned));
	if (all.v != NULL && all.owned != NULL)
		r = note_listens(c, &all);
	if (r == 0)
		conf_listens_check(all.v, all.n, c->errors);
	for (size_t i = 0; i < all.n_owned; i++)
		address_free(&all.owned[i]);
	free(all.owned);
	free(all.v);
	return r;
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
	note_file(files, &n, config->log, NULL, "log", config->log_line);
	note_file(files, &n, config->pidfile, NULL, "pidfile",
	    config->pidfile_line);
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

static void
begin_section(struct check *c, const struct conf_section *section)
{
	const struct conf_place *place = conf_places_find(
	    &c->config->places, section->line);

	c->keys.section = section;
	c->here.base_dir = place != NULL ? place->dir : c->host->base_dir;
	c->keys.base_dir = c->here.base_dir;
}

/* Nothing is there yet, or the pattern is wrong: where there is no app, that may be
   why. */
static void
tell_unmatched(struct check *c)
{
	bool empty = c->config->n_apps == 0;
	struct conf_errors *to = empty ? c->errors : &c->config->warnings;

	for (size_t i = 0; (empty || c->host->testing) &&
	    i < c->source->n_unmatched; i++)
		conf_error_add(to, c->source->unmatched[i].line, "include",
		    "no file matches %.200s", c->source->unmatched[i].pattern);
}

static int
check_order(struct check *c)
{
	size_t n = c->config->n_apps;
	unsigned *lines = calloc(n + 1, sizeof(*lines));
	int r;

	if (lines == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		lines[i] = c->notes[i].after_line;
	r = conf_order_check(c->config, lines, c->errors);
	free(lines);
	return r;
}

static int
check_sections(struct check *c)
{
	const struct conf_source *source = c->source;
	bool clusterd = false;
	int r = 0;

	for (size_t i = 0; i < source->n_sections && r == 0; i++) {
		begin_section(c, &source->sections[i]);
		if (strcmp(c->keys.section->name, CONF_CLUSTERD_SECTION) == 0) {
			clusterd = true;
			r = check_clusterd(c, i);
		} else {
			r = check_app(c, i);
		}
	}
	if (r < 0)
		return r;
	assert(c->next_entry == source->n_entries);

	c->keys.section = NULL;
	c->keys.base_dir = c->host->base_dir;
	if (!clusterd)
		r = check_clusterd(c, source->n_sections);
	if (c->config->n_apps == 0)
		conf_error_add(c->errors, 0, NULL, "no app is configured: a "
		    "section such as [web] with a command is needed");
	tell_unmatched(c);
	advice_root(c->config, c->host);
	if (r == 0)
		r = check_listens(c);
	if (r == 0)
		r = check_order(c);
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
		.keys = { .base_dir = host->base_dir, .errors = errors },
		.read_failed = errors->n > 0 || errors->dropped > 0,
		.here = *host,
	};
	size_t n = source->n_sections > 0 ? source->n_sections : 1;
	int r = -ENOMEM;

	*ret_config = NULL;
	c.config = calloc(1, sizeof(*c.config));
	if (c.config == NULL)
		return -ENOMEM;
	c.config->refs = 1;
	c.config->text = -1;
	c.config->file = strdup(errors->file);
	c.config->auto_instances = host->auto_instances;
	c.config->base_dir = strdup(host->base_dir);
	c.config->warnings.file = c.config->file;
	c.config->warnings.places = &c.config->places;
	c.config->apps = calloc(n, sizeof(*c.config->apps));
	c.notes = calloc(n, sizeof(*c.notes));
	if (c.config->file != NULL && c.config->base_dir != NULL &&
	    conf_places_copy(&source->places, &c.config->places) == 0 &&
	    c.config->apps != NULL && c.notes != NULL)
		r = check_sections(&c);
	conf_errors_sort(&c.config->warnings);
	free(c.notes);

	if (r == 0 && errors->n == 0 && errors->dropped == 0)
		*ret_config = c.config;
	else
		config_unref(c.config);
	return r;
}
