/*
 * The effective configuration as INI: every supported key in the schema's
 * order. What is printed reads back to an equal configuration.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_instance.h"
#include "core/conf/conf_print.h"
#include "core/conf/conf_schema.h"
#include "core/conf/conf_value.h"
#include "core/conf/conf_web.h"
#include "core/names/signal_name.h"
#include "core/names/words.h"

/* What a printer gets. */
struct out {
	struct strbuf *sb;
	const struct conf_key *key;
	const void *target;
};

static const void *
field(const struct out *o)
{
	return (const char *)o->target + o->key->offset;
}

static void
print_enum(const struct out *o)
{
	const struct conf_word *w = o->key->words;
	unsigned value = 0;

	if (o->key->offset == CONF_NOWHERE) {
		strbuf_puts(o->sb, o->key->preset);
		return;
	}
	memcpy(&value, field(o), sizeof(value));
	while (w->word != NULL && w->value != value)
		w++;
	assert(w->word != NULL);
	strbuf_puts(o->sb, w->word);
}

/* What was included is in the dump. */
static void
print_include(const struct out *o)
{
	strbuf_puts(o->sb, o->key->nothing);
}

static void
print_count(const struct out *o)
{
	strbuf_printf(o->sb, "%u", *(const unsigned *)field(o));
}

static void
print_limit(const struct out *o)
{
	int64_t limit = *(const int64_t *)field(o);

	if (limit < 0)
		strbuf_puts(o->sb, o->key->nothing);
	else
		strbuf_printf(o->sb, "%lld", (long long)limit);
}

static void
print_mode(const struct out *o)
{
	strbuf_printf(o->sb, "%04o", *(const uint32_t *)field(o));
}

static void
print_umask(const struct out *o)
{
	int32_t mask = *(const int32_t *)field(o);

	if (mask < 0)
		strbuf_puts(o->sb, o->key->nothing);
	else
		strbuf_printf(o->sb, "%04o", (unsigned)mask);
}

static void
print_duration(const struct out *o)
{
	int64_t ms = *(const int64_t *)field(o);

	if (ms < 0)
		strbuf_puts(o->sb, o->key->nothing);
	else
		conf_duration_print(o->sb, ms);
}

static void
print_size(const struct out *o)
{
	int64_t bytes = *(const int64_t *)field(o);

	if (bytes < 0)
		strbuf_puts(o->sb, o->key->nothing);
	else
		conf_size_print(o->sb, bytes);
}

static void
print_cpus(const struct out *o)
{
	int64_t thousandths = *(const int64_t *)field(o);
	int places = 3;

	if (thousandths < 0) {
		strbuf_puts(o->sb, o->key->nothing);
		return;
	}
	strbuf_printf(o->sb, "%d", (int)(thousandths / 1000));
	thousandths %= 1000;
	if (thousandths == 0)
		return;
	for (; thousandths % 10 == 0; places--)
		thousandths /= 10;
	strbuf_printf(o->sb, ".%0*d", places, (int)thousandths);
}

const char *
conf_output_text(const struct conf_output *output)
{
	const struct conf_word *w;
	size_t n;

	if (output->kind == CONF_OUTPUT_FILE)
		return output->path;
	w = conf_schema(&n)[CONF_KEY_STDOUT].words;
	while (w->value != output->kind)
		w++;
	return w->word;
}

static void
print_output(const struct out *o)
{
	strbuf_puts(o->sb, conf_output_text(field(o)));
}

/* A path, or the name of a user or group. */
static void
print_text(const struct out *o)
{
	const char *text = *(char *const *)field(o);

	strbuf_puts(o->sb, text != NULL ? text : o->key->nothing);
}

static void
print_control(const struct out *o)
{
	const struct config *config = o->target;

	if (config->control_auto)
		strbuf_puts(o->sb, CONF_CONTROL_AUTO);
	else
		print_text(o);
}

static void
print_command(const struct out *o)
{
	const struct strlist *command = field(o);

	if (command->n == 0)
		strbuf_puts(o->sb, o->key->nothing);
	for (size_t i = 0; i < command->n; i++) {
		if (i > 0)
			strbuf_putc(o->sb, ' ');
		words_quote(o->sb, command->v[i]);
	}
}

static void
print_port(const struct out *o)
{
	const struct conf_app *app = o->target;

	if (app->has_port)
		strbuf_printf(o->sb, "%u", (unsigned)app->listens[0].port);
	else
		strbuf_puts(o->sb, o->key->nothing);
}

static void
print_listen(const struct out *o)
{
	const struct conf_app *app = o->target;
	size_t first = app->has_port ? 1 : 0;

	if (app->n_listens == first)
		strbuf_puts(o->sb, o->key->nothing);
	for (size_t i = first; i < app->n_listens; i++) {
		char *text = conf_listen_is_own(app, i) ?
		    strdup(app->listen_forms[i]) :
		    address_format(&app->listens[i]);

		if (i > first)
			strbuf_puts(o->sb, ", ");
		if (app->listen_names[i] != NULL)
			strbuf_printf(o->sb, "%s=", app->listen_names[i]);
		if (text != NULL)
			strbuf_puts(o->sb, text);
		else
			o->sb->failed = true;
		free(text);
	}
}

static void
put_count(struct strbuf *sb, enum conf_instances kind, unsigned n)
{
	switch (kind) {
	case CONF_INSTANCES_AUTO:
		strbuf_puts(sb, "auto");
		break;
	case CONF_INSTANCES_NUMBER:
		strbuf_printf(sb, "%u", n);
		break;
	case CONF_INSTANCES_PERCENT:
		strbuf_printf(sb, "%u%%", n);
		break;
	}
}

static void
print_instances(const struct out *o)
{
	const struct conf_app *app = o->target;

	put_count(o->sb, app->instances_kind, app->instances);
	if (!app->scales)
		return;
	strbuf_puts(o->sb, "..");
	put_count(o->sb, app->most_kind, app->most);
}

static void
print_fd_protocol(const struct out *o)
{
	const struct conf_app *app = o->target;
	const char *gap = "";

	if (app->fd_protocols == 0)
		strbuf_puts(o->sb, o->key->preset);
	for (const struct conf_word *w = o->key->words; w->word != NULL; w++) {
		if ((app->fd_protocols & w->value) == 0)
			continue;
		strbuf_printf(o->sb, "%s%s", gap, w->word);
		gap = " ";
	}
}

static void
print_env(const struct out *o)
{
	const struct conf_app *app = o->target;

	if (app->env.n == 0)
		strbuf_puts(o->sb, o->key->nothing);
	for (size_t i = 0; i < app->env.n; i++) {
		if (i > 0)
			strbuf_puts(o->sb, "\n\t");
		strbuf_puts(o->sb, app->env.v[i]);
	}
}

static void
print_restart_limit(const struct out *o)
{
	const struct conf_app *app = o->target;

	if (app->restart_limit == 0) {
		strbuf_puts(o->sb, o->key->nothing);
		return;
	}
	strbuf_printf(o->sb, "%u/", app->restart_limit);
	conf_duration_print(o->sb, app->restart_limit_ms);
}

static void
print_codes(const struct out *o)
{
	const struct conf_app *app = o->target;
	const char *gap = "";

	for (int from = 0, to; from <= 255; from = to + 1) {
		to = from;
		if (!conf_app_success_code(app, from))
			continue;
		while (conf_app_success_code(app, to + 1))
			to++;
		strbuf_printf(o->sb, "%s%d", gap, from);
		if (to > from)
			strbuf_printf(o->sb, "-%d", to);
		gap = ",";
	}
}

static void
print_ready(const struct out *o)
{
	const struct conf_app *app = o->target;

	switch (app->ready) {
	case CONF_READY_AUTO:
		strbuf_puts(o->sb, "auto");
		break;
	case CONF_READY_NOTIFY:
		strbuf_puts(o->sb, "notify");
		break;
	case CONF_READY_ACCEPT:
		strbuf_puts(o->sb, "accept");
		break;
	case CONF_READY_ALIVE:
		strbuf_puts(o->sb, "alive:");
		conf_duration_print(o->sb, app->ready_alive_ms);
		break;
	case CONF_READY_HEALTH:
		strbuf_puts(o->sb, "health");
		break;
	}
}

static void
print_health(const struct out *o)
{
	const struct conf_app *app = o->target;

	switch (app->health) {
	case CONF_HEALTH_NONE:
		strbuf_puts(o->sb, "none");
		break;
	case CONF_HEALTH_TCP:
		strbuf_puts(o->sb, "tcp");
		break;
	case CONF_HEALTH_WATCHDOG:
		strbuf_puts(o->sb, "watchdog");
		break;
	case CONF_HEALTH_QUEUE:
		strbuf_puts(o->sb, "queue");
		break;
	case CONF_HEALTH_HTTP:
		strbuf_printf(o->sb, "http:%s%s%s",
		    app->health_host != NULL ? "//" : "",
		    app->health_host != NULL ? app->health_host : "",
		    app->health_path);
		break;
	case CONF_HEALTH_EXEC:
		strbuf_puts(o->sb, "exec:");
		for (size_t i = 0; i < app->health_command.n; i++) {
			if (i > 0)
				strbuf_putc(o->sb, ' ');
			words_quote(o->sb, app->health_command.v[i]);
		}
		break;
	}
}

static void
print_signal(const struct out *o)
{
	int signo = *(const int *)field(o);
	const char *name = signo == 0 ? o->key->nothing : signal_name(signo);

	if (name != NULL)
		strbuf_puts(o->sb, name);
	else
		strbuf_printf(o->sb, "%d", signo);
}

static void
print_apps(const struct out *o)
{
	const struct strlist *names = field(o);

	if (names->n == 0)
		strbuf_puts(o->sb, o->key->nothing);
	for (size_t i = 0; i < names->n; i++)
		strbuf_printf(o->sb, "%s%s", i > 0 ? ", " : "", names->v[i]);
}

static void (*const printers[])(const struct out *) = {
	[CONF_TYPE_ENUM] = print_enum,
	[CONF_TYPE_COUNT] = print_count,
	[CONF_TYPE_LIMIT] = print_limit,
	[CONF_TYPE_MODE] = print_mode,
	[CONF_TYPE_UMASK] = print_umask,
	[CONF_TYPE_DURATION] = print_duration,
	[CONF_TYPE_SIZE] = print_size,
	[CONF_TYPE_CPUS] = print_cpus,
	[CONF_TYPE_PATH] = print_text,
	[CONF_TYPE_ACCOUNT] = print_text,
	[CONF_TYPE_INCLUDE] = print_include,
	[CONF_TYPE_TEXT] = print_text,
	[CONF_TYPE_CONTROL] = print_control,
	[CONF_TYPE_OUTPUT] = print_output,
	[CONF_TYPE_COMMAND] = print_command,
	[CONF_TYPE_PORT] = print_port,
	[CONF_TYPE_LISTEN] = print_listen,
	[CONF_TYPE_INSTANCES] = print_instances,
	[CONF_TYPE_FD_PROTOCOL] = print_fd_protocol,
	[CONF_TYPE_ENV] = print_env,
	[CONF_TYPE_RESTART_LIMIT] = print_restart_limit,
	[CONF_TYPE_CODES] = print_codes,
	[CONF_TYPE_READY] = print_ready,
	[CONF_TYPE_SIGNAL] = print_signal,
	[CONF_TYPE_APPS] = print_apps,
	[CONF_TYPE_HEALTH] = print_health,
};

static_assert(sizeof(printers) / sizeof(printers[0]) == CONF_TYPE_N,
    "a printer for each type");

static void
comment_count(struct strbuf *sb, enum conf_instances kind, unsigned count,
    unsigned n)
{
	if (kind == CONF_INSTANCES_NUMBER)
		return;
	strbuf_puts(sb, "# ");
	put_count(sb, kind, count);
	if (kind == CONF_INSTANCES_PERCENT)
		strbuf_puts(sb, " of auto");
	strbuf_printf(sb, " is %u here\n", n);
}

/* What words and percentages come to on this machine. */
static void
comment_instances(struct strbuf *sb, const struct conf_app *app,
    unsigned auto_instances)
{
	comment_count(sb, app->instances_kind, app->instances,
	    conf_app_instances(app, auto_instances));
	if (app->scales)
		comment_count(sb, app->most_kind, app->most,
		    conf_app_most_instances(app, auto_instances));
}

static void
comment_balance(struct strbuf *sb, const struct conf_app *app,
    const struct conf_here *here)
{
	if (app->balance == CONF_BALANCE_AUTO && here->balance != NULL &&
	    app->n_listens > 0)
		strbuf_printf(sb, "# auto is %s\n", here->balance);
}

static void
comment_fd_protocol(struct strbuf *sb, const struct conf_app *app)
{
	if (app->fd_protocols == 0 && app->n_listens > 0)
		strbuf_printf(sb, "# auto is clusterd%s\n",
		    conf_app_announces(app) ? " systemd" : "");
}

static void
print_section(struct strbuf *sb, const char *name, enum conf_scope scope,
    const void *target, const struct conf_here *here)
{
	size_t n;
	const struct conf_key *schema = conf_schema(&n);

	strbuf_printf(sb, "[%s]\n", name);
	for (size_t i = 0; i < n; i++) {
		struct out o = {
			.sb = sb,
			.key = &schema[i],
			.target = target,
		};

		if (o.key->scope != scope)
			continue;
		if (o.key->type == CONF_TYPE_INSTANCES)
			comment_instances(sb, target, here->instances);
		if (o.key == &schema[CONF_KEY_BALANCE])
			comment_balance(sb, target, here);
		if (o.key == &schema[CONF_KEY_FD_PROTOCOL])
			comment_fd_protocol(sb, target);
		strbuf_printf(sb, "%s = ", o.key->name);
		printers[o.key->type](&o);
		strbuf_putc(sb, '\n');
	}
}

char *
conf_print_key(const struct conf_key *key, const void *target)
{
	struct strbuf sb = STRBUF_INIT;
	const struct out o = { .sb = &sb, .key = key, .target = target };
	char *text;

	printers[key->type](&o);
	text = strbuf_take(&sb);
	strbuf_free(&sb);
	return text;
}

/* The app that conf_web.c makes; without a reason for that, any app may be called
   so. */
static bool
is_web(const struct config *config, const struct conf_app *app)
{
	bool asked = config->web != NULL;

	if (strcmp(app->name, CONF_WEB_APP) != 0)
		return false;
	for (size_t i = 0; i < config->n_apps; i++)
		asked = asked || config->apps[i].agent != NULL;
	return asked;
}

char *
conf_print(const struct config *config, const struct conf_here *here)
{
	struct strbuf sb = STRBUF_INIT;
	char *text;

	print_section(&sb, CONF_CLUSTERD_SECTION, CONF_SCOPE_CLUSTERD, config,
	    here);
	for (size_t i = 0; i < config->n_apps; i++) {
		/* It follows from what is above. */
		if (is_web(config, &config->apps[i]))
			continue;
		strbuf_putc(&sb, '\n');
		print_section(&sb, config->apps[i].name, CONF_SCOPE_APP,
		    &config->apps[i], here);
	}
	text = strbuf_take(&sb);
	strbuf_free(&sb);
	return text;
}
