/*
 * What PM2 7.0 makes of the file, where that is not what it looks like:
 * `instances: "50%"` is 50; a script without an ending is run by node, one with a
 * blank in it by a shell; a backslash in `args` is text; numbers of time are
 * milliseconds, and SIGINT comes first at a stop.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/num.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_foreign.h"
#include "core/import/draft.h"
#include "core/import/json_tree.h"
#include "core/import/pm2.h"

struct app {
	struct draft *d;
	const struct json_value *v;
	const char *cwd;	/* NULL: none */
	bool cluster;
};

static const char *
scalar(const struct json_value *v)
{
	return v->kind == JSON_ARRAY || v->kind == JSON_OBJECT ? NULL :
	    v->text;
}

/* A member that is carried over, or looked at. */
static const struct json_value *
take(const struct app *app, const char *key)
{
	struct json_value *v = json_get(app->v, key);

	if (v != NULL)
		v->used = true;
	return v;
}

static const char *
take_text(const struct app *app, const char *key)
{
	const struct json_value *v = take(app, key);

	return v != NULL && v->kind != JSON_NULL ? scalar(v) : NULL;
}

static const char *
take_either(const struct app *app, const char *key, const char *also)
{
	const char *text = take_text(app, key), *other = take_text(app, also);

	return text != NULL ? text : other;
}

static bool
is_true(const char *text)
{
	return text != NULL && strcmp(text, "true") == 0;
}

/* ---- the command ---- */

/* As PM2 does it: quotes group, nothing else is special. */
static void
split(const char *text, struct strlist *words)
{
	while (*text != '\0') {
		struct strbuf word = STRBUF_INIT;
		char quote = '\0';
		bool any = false;

		text += strspn(text, " \t\r\n");
		for (; *text != '\0' && (quote != '\0' ||
		    strchr(" \t\r\n", *text) == NULL); text++) {
			any = true;
			if (quote == '\0' && (*text == '"' || *text == '\''))
				quote = *text;
			else if (*text == quote)
				quote = '\0';
			else
				strbuf_putc(&word, *text);
		}
		if (any)
			strlist_take(words, strbuf_take(&word));
		strbuf_free(&word);
	}
}

static void
add_words(const struct app *app, const char *key, struct strlist *words)
{
	const struct json_value *v = take(app, key);

	if (v == NULL)
		return;
	if (v->kind == JSON_STRING)
		split(v->text, words);
	for (size_t i = 0; v->kind == JSON_ARRAY && i < v->n; i++)
		if (scalar(&v->v[i]) != NULL)
			strlist_add(words, scalar(&v->v[i]));
}

/* By the ending; NULL: the script itself. */
static const char *
interpreter_of(const struct app *app, const char *script)
{
	static const struct {
		const char *ending, *program;
	} known[] = {
		{ ".js", "node" }, { ".cjs", "node" }, { ".mjs", "node" },
		{ ".sh", "bash" }, { ".py", "python3" }, { ".rb", "ruby" },
		{ ".php", "php" }, { ".pl", "perl" }, { ".coffee", "coffee" },
		{ ".ts", "bun" }, { ".tsx", "bun" }, { ".ls", "lsc" },
	};
	const char *name = str_base_name(script), *dot = strrchr(name, '.');
	struct strbuf path = STRBUF_INIT;
	bool there;

	for (size_t i = 0; dot != NULL && i < sizeof(known) / sizeof(*known);
	     i++)
		if (strcmp(known[i].ending, dot) == 0)
			return known[i].program;
	if (dot != NULL && dot > name)
		return NULL;
	/* npm, which is in PATH, and bin/www, which is a script. */
	if (app->cwd != NULL && *script != '/')
		strbuf_printf(&path, "%s/", app->cwd);
	strbuf_puts(&path, script);
	there = !path.failed && app->d->host->is_file(app->d->host->ctx,
	    path.text);
	strbuf_free(&path);
	return there || strchr(script, '/') != NULL ? "node" : NULL;
}

static void
add_script(const struct app *app, const char *script, struct strlist *words)
{
	bool slash = strchr(script, '/') != NULL;
	const char *interpreter = take_either(app, "exec_interpreter",
	    "interpreter");

	if (interpreter == NULL)
		interpreter = interpreter_of(app, script);
	else if (strcmp(interpreter, "none") == 0)
		interpreter = NULL;
	if (interpreter != NULL) {
		strlist_add(words, interpreter);
		add_words(app, "interpreter_args", words);
		add_words(app, "node_args", words);
	}
	/* A program of that name is looked for in PATH here. */
	if (interpreter == NULL && !slash && app->d->host->is_file(
	    app->d->host->ctx, script))
		strlist_printf(words, "./%s", script);
	else
		strlist_add(words, script);
}

static void
put_command(const struct app *app)
{
	const char *script = take_text(app, "script");
	struct strlist words = STRLIST_INIT;

	if (script == NULL) {
		draft_say(app->d, "There is no script: command = PROGRAM is "
		    "needed.");
		return;
	}
	if (strpbrk(script, " \t") != NULL && !app->d->host->is_file(
	    app->d->host->ctx, script)) {
		draft_say(app->d, "PM2 gives a script with a blank to a shell.");
		strlist_add(&words, "bash");
		strlist_add(&words, "-c");
		strlist_add(&words, script);
	} else {
		add_script(app, script, &words);
	}
	add_words(app, "args", &words);
	draft_set_command(app->d, &words, app->cwd);
	strlist_free(&words);
}

static void
put_directory(struct app *app)
{
	if (app->cwd == NULL || *app->cwd != '/')
		draft_say(app->d, "PM2 has relative paths as of the directory "
		    "in which it is called; here they are as of this file.");
	draft_set_path(app->d, "directory", app->cwd != NULL ? app->cwd : ".");
}

/* ---- size and port ---- */

static void
put_instances(struct app *app)
{
	const char *text = take_text(app, "instances");
	const char *mode = take_text(app, "exec_mode");
	struct strbuf number = STRBUF_INIT;
	size_t digits = text != NULL ? strspn(text, "0123456789") : 0;

	app->cluster = mode != NULL ? strstr(mode, "cluster") != NULL :
	    text != NULL;
	if (text == NULL) {
		draft_set(app->d, "instances", "1");
	} else if (strcmp(text, "max") == 0 || strcmp(text, "0") == 0) {
		draft_set(app->d, "instances", "auto");
	} else if (*text == '-') {
		draft_note(app->d, "instances", text, "CPUs less some; here "
		    "it is a number, auto, or a percentage such as 75%");
		draft_set(app->d, "instances", "auto");
	} else {
		strbuf_add(&number, text, digits);
		draft_set(app->d, "instances", digits > 0 && !number.failed ?
		    number.text : "1");
		if (text[digits] != '\0')
			draft_note(app->d, "instances", text, "PM2 takes the "
			    "number in front");
	}
	strbuf_free(&number);
}

static bool
is_port(const char *text)
{
	uint64_t port;

	return text != NULL && num_parse(text, 1, 65535, &port);
}

static void
put_port(const struct app *app)
{
	const struct json_value *env = json_get(app->v, "env");
	const struct json_value *port = env != NULL ? json_get(env, "PORT") :
	    NULL;

	if (port == NULL || !is_port(scalar(port))) {
		draft_say(app->d, "port = 8080: where it listens, if it does; "
		    "its workers then share it, and PORT is set to it.");
		return;
	}
	draft_say(app->d, "From env; PORT is set to it.");
	draft_set(app->d, "port", scalar(port));
}

/* An object, as JSON.stringify() has it, is nothing that anybody reads twice. */
static void
put_env(const struct app *app)
{
	const struct json_value *env = take(app, "env");

	if (env == NULL)
		return;
	if (env->kind != JSON_OBJECT) {
		draft_note(app->d, "env", scalar(env), "it is no object");
		return;
	}
	for (size_t i = 0; i < env->n; i++) {
		const struct json_value *v = &env->v[i];

		if (json_get(env, v->key) != v)
			continue;
		if (scalar(v) == NULL)
			draft_note(app->d, v->key, NULL, "a variable that is "
			    "an object: write its text into env");
		else if (strcmp(v->key, "PORT") != 0 || !is_port(v->text))
			draft_set_env(app->d, v->key, v->text);
	}
}

/* ---- the rest ---- */

static void
put_ms(const struct app *app, const char *key, const char *ours)
{
	const char *text = take_text(app, key);
	struct strbuf value = STRBUF_INIT;
	uint64_t ms;

	if (text == NULL)
		return;
	if (!num_parse(text, 0, UINT32_MAX, &ms)) {
		draft_note(app->d, key, text, "PM2 takes a number of "
		    "milliseconds alone");
		return;
	}
	/* No pause is what there is without the key. */
	if (ms == 0 && strcmp(ours, "restart_delay") == 0)
		return;
	strbuf_printf(&value, "%sms", text);
	if (!value.failed)
		draft_set(app->d, ours, value.text);
	strbuf_free(&value);
}

static void
put_restart(const struct app *app)
{
	const char *again = take_text(app, "autorestart");
	const char *delay = take_text(app, "restart_delay");
	const struct json_value *codes = take(app, "stop_exit_codes");
	struct strlist list = STRLIST_INIT;

	if (codes != NULL && codes->kind == JSON_ARRAY) {
		for (size_t i = 0; i < codes->n; i++)
			if (scalar(&codes->v[i]) != NULL)
				strlist_add(&list, scalar(&codes->v[i]));
	} else if (codes != NULL && scalar(codes) != NULL) {
		strlist_add(&list, scalar(codes));
	}
	if (again != NULL && strcmp(again, "false") == 0)
		draft_set(app->d, "restart", "never");
	else if (list.n > 0)
		draft_set(app->d, "restart", "on-failure");
	if (list.n > 0)
		draft_set_words(app->d, "success_codes", &list);
	strlist_free(&list);
	/* PM2's does not grow; the default of restart_delay_max is 30 s. */
	put_ms(app, delay != NULL ? "restart_delay" :
	    "exp_backoff_restart_delay", "restart_delay");
	if (delay != NULL)
		put_ms(app, "restart_delay", "restart_delay_max");
}

static void
put_output(const struct app *app, const char *key, const char *also,
    const char *ours)
{
	const char *path = take_either(app, key, also);
	struct strbuf whole = STRBUF_INIT;

	if (path == NULL)
		return;
	if (strcmp(path, "/dev/null") == 0 || strcmp(path, "NULL") == 0) {
		draft_set(app->d, ours, "null");
		return;
	}
	if (*path == '~') {
		draft_note(app->d, ours, path, "~ is none here: write the "
		    "directory");
		return;
	}
	if (app->cwd != NULL && *path != '/')
		strbuf_printf(&whole, "%s/", app->cwd);
	strbuf_puts(&whole, path);
	if (!whole.failed)
		draft_set_path(app->d, ours, whole.text);
	strbuf_free(&whole);
}

static void
put_stop(const struct app *app)
{
	const char *tree = take_text(app, "treekill");

	put_ms(app, "kill_timeout", "stop_timeout");
	put_ms(app, "listen_timeout", "ready_timeout");
	if (is_true(take_text(app, "shutdown_with_message")))
		draft_note(app->d, "shutdown_with_message", "true", "workers "
		    "are told by a signal here, stop_signal");
	else
		draft_set(app->d, "stop_signal", "INT");
	if (tree == NULL || strcmp(tree, "false") != 0)
		draft_set(app->d, "stop_to", "group");
}

/* 100M, 1G, 500K or bytes; what it refuses itself is refused of ours, too. */
static void
put_memory(const struct app *app)
{
	const char *text = take_text(app, "max_memory_restart");

	if (text != NULL)
		draft_set(app->d, "max_memory", text);
}

/* What is left, with the reason. */
static void
note_rest(const struct app *app)
{
	static const struct {
		const char *key, *why;
	} known[] = {
		{ "max_restarts", "PM2 counts starts that live for less than "
		    "min_uptime; restart_limit = N/60s counts deaths within a "
		    "time" },
		{ "wait_ready", "a worker is ready when it is seen to wait for "
		    "connections, or says READY=1 to NOTIFY_SOCKET: ready" },
		{ "log_file", "all output in one file: give stdout and stderr "
		    "the same path" },
		{ "namespace", "there are no groups of apps here" },
		{ "version", "nobody looks at it here" },
		{ "source_map_support", "node --enable-source-maps is an "
		    "option of node" },
		{ "vizion", "nobody looks at the repository here" },
		{ "node_args", "PM2 has no use for it without an interpreter" },
		{ "interpreter_args", "PM2 has no use for it without an "
		    "interpreter" },
		{ "pmx", "clusterctl metrics tells without it" },
		{ "automation", "clusterctl metrics tells without it" },
		{ "disable_logs", "stdout = null and stderr = null do that" },
		{ "append_env_to_name", "an app has one name here" },
		{ "post_update", "this is for who deploys" },
		{ "deploy", "this is for who deploys" },
		{ "force", "clusterd starts what the file says" },
		{ "filter_env", "what workers should not have is taken from "
		    "clusterd's own environment" },
	};

	for (size_t i = 0; i < app->v->n; i++) {
		const struct json_value *v = &app->v->v[i];
		const char *why = conf_foreign(v->key);

		if (v->used || json_get(app->v, v->key) != v)
			continue;
		for (size_t k = 0; k < sizeof(known) / sizeof(*known); k++)
			if (strcmp(known[k].key, v->key) == 0)
				why = known[k].why;
		if (str_starts(v->key, "env_"))
			why = "pm2 --env lays it over env; here it is env, or "
			    "a file for each with env_file";
		draft_note(app->d, v->key, scalar(v), why != NULL ? why :
		    "PM2 does not know it either");
	}
}

static char *
name_of(const struct app *app)
{
	const char *name = take_text(app, "name"), *script, *base, *dot;

	if (name != NULL)
		return strdup(name);
	script = take_text(app, "script");
	base = script != NULL ? str_base_name(script) : "app";
	dot = strrchr(base, '.');
	return dot != NULL && dot > base ? strndup(base, (size_t)(dot - base)) :
	    strdup(base);
}

static int
put_app(struct draft *d, const struct json_value *v)
{
	struct app app = { .d = d, .v = v };
	char *name = name_of(&app);
	const char *log_time;

	if (name == NULL)
		return -ENOMEM;
	app.cwd = take_text(&app, "cwd");
	draft_begin_app(d, name);
	free(name);
	put_command(&app);
	put_directory(&app);
	put_instances(&app);
	put_port(&app);
	put_restart(&app);
	put_stop(&app);
	put_output(&app, "out_file", "output", "stdout");
	put_output(&app, "error_file", "error", "stderr");
	/* Which is so here, whatever they say. */
	(void)take_either(&app, "merge_logs", "combine_logs");
	log_time = take_text(&app, "log_date_format");
	if (is_true(take_text(&app, "time")) ||
	    (log_time != NULL && *log_time != '\0'))
		draft_set(d, "log_time", "iso");
	for (int i = 0; i < 2; i++) {
		const char *who = take_either(&app, i == 0 ? "uid" : "gid",
		    i == 0 ? "user" : "group");

		if (who != NULL)
			draft_set(d, i == 0 ? "user" : "group", who);
	}
	put_env(&app);
	put_memory(&app);
	note_rest(&app);
	draft_end_app(d);
	return 0;
}

static int
put_apps(struct draft *d, struct json_value *root, struct error *err)
{
	struct json_value *apps = root->kind == JSON_OBJECT ?
	    json_get(root, "apps") : NULL;
	int r = 0;

	if (apps != NULL)
		apps->used = true;
	for (size_t i = 0; apps != NULL && i < root->n; i++)
		if (!root->v[i].used)
			draft_note(d, root->v[i].key, NULL,
			    strcmp(root->v[i].key, "deploy") == 0 ?
			    "this is for who deploys" :
			    "PM2 does not know it either");
	if (apps == NULL && (root->kind != JSON_OBJECT ||
	    json_get(root, "script") != NULL))
		apps = root;
	if (apps == NULL)
		return error_set(err, -EINVAL, "there is no app: { \"apps\": [ "
		    "... ] } is needed");
	if (apps->kind == JSON_OBJECT)
		return put_app(d, apps);
	if (apps->kind != JSON_ARRAY || apps->n == 0)
		return error_set(err, -EINVAL, "line %u: there is no app: "
		    "{ \"apps\": [ ... ] } is needed", apps->line);
	for (size_t i = 0; r == 0 && i < apps->n; i++)
		r = apps->v[i].kind == JSON_OBJECT ? put_app(d, &apps->v[i]) :
		    error_set(err, -EINVAL, "line %u: an app is an object",
			apps->v[i].line);
	return r;
}

int
import_pm2(struct draft *d, const char *text, size_t len, struct error *err)
{
	struct json_value root;
	int r = json_tree_read(text, len, &root, err);

	if (r < 0)
		return r;
	r = put_apps(d, &root, err);
	json_tree_free(&root);
	return r;
}
