#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/names/address.h"
#include "core/conf/conf.h"
#include "core/worker/fd_protocol.h"
#include "core/worker/worker_env.h"

/* Where execvp(3) looks when there is no PATH. */
#define DEFAULT_PATH "/bin:/usr/bin"

static size_t
name_len(const char *entry)
{
	return strcspn(entry, "=");
}

static char **
find_entry(const struct strlist *env, const char *entry)
{
	size_t len = name_len(entry);

	for (size_t i = 0; i < env->n; i++)
		if (strncmp(env->v[i], entry, len) == 0 &&
		    (env->v[i][len] == '=' || env->v[i][len] == '\0'))
			return &env->v[i];
	return NULL;
}

/* Set NAME=value in the place of an earlier NAME. Owns `entry`. */
static void
set_entry(struct strlist *env, char *entry)
{
	char **old;

	if (entry == NULL) {
		env->failed = true;
		return;
	}
	old = find_entry(env, entry);
	if (old == NULL) {
		strlist_take(env, entry);
	} else {
		free(*old);
		*old = entry;
	}
}

static void
set_all(struct strlist *env, const struct strlist *from)
{
	for (size_t i = 0; i < from->n; i++)
		set_entry(env, strdup(from->v[i]));
}

static void
set_named(struct strlist *env, const char *name, const char *value)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_printf(&sb, "%s=%s", name, value);
	set_entry(env, strbuf_take(&sb));
}

/*
 * JOURNAL_STREAM tells a program that its standard error goes to the journal.
 * That is so for a worker that has it from us, and not where another one has
 * been put in its place: those who do not compare would be wrong.
 */
static bool
passes_on(const struct conf_app *app, const char *entry)
{
	if (str_starts(entry, "JOURNAL_STREAM="))
		return app->err.kind == CONF_OUTPUT_INHERIT ||
		    app->err.kind == CONF_OUTPUT_STDERR;
	return strchr(entry, '=') != NULL && !fd_protocol_scrubs(entry);
}

static void
inherit(const struct worker_env_args *a, struct strlist *env)
{
	for (char *const *entry = a->inherited; *entry != NULL; entry++)
		if (passes_on(a->app, *entry))
			strlist_add(env, *entry);
}

static void
build_env(const struct worker_env_args *a, struct worker_env *out)
{
	const struct conf_app *app = a->app;
	const struct fd_protocol_args protocol = {
		.protocols = conf_app_fd_protocols(app),
		.app = app->name,
		.bound = a->bound,
		.names = app->listen_names,
		.n_bound = app->handoff == CONF_HANDOFF_ADOPT ? 0 :
		    app->n_listens,
		.instance = a->instance,
		.instances = a->instances,
		.generation = a->generation,
		.master = a->master,
		.notify_socket = a->notify_socket,
	};

	/* First, so that it is found even in a very large environment. */
	set_named(&out->env, "CLUSTERD_WORKER_ID", a->worker_id);
	inherit(a, &out->env);
	if (app->creds.set && app->creds.name != NULL) {
		set_named(&out->env, "USER", app->creds.name);
		set_named(&out->env, "LOGNAME", app->creds.name);
		set_named(&out->env, "HOME", app->creds.home);
	}
	set_all(&out->env, &app->env_file_entries);
	set_all(&out->env, &app->env);
	/* No duplicates can come of this: inherit() scrubbed these names and
	   conf_check refuses them in env and env_file. */
	fd_protocol_append(&protocol, &out->env);
}

/* Give the empty LISTEN_PID= room for the digits that the child writes. */
static void
reserve_listen_pid(struct worker_env *out)
{
	char **entry = find_entry(&out->env, "LISTEN_PID=");
	size_t len = strlen("LISTEN_PID=");
	char *roomy;

	if (entry == NULL)
		return;
	roomy = calloc(1, len + WORKER_ENV_PID_ROOM);
	if (roomy == NULL) {
		out->env.failed = true;
		return;
	}
	memcpy(roomy, "LISTEN_PID=", len);
	free(*entry);
	*entry = roomy;
	out->listen_pid = roomy + len;
}

static unsigned
first_port(const struct worker_env_args *a)
{
	for (size_t i = 0; i < a->app->n_listens; i++)
		if (a->bound[i].kind != ADDRESS_UNIX)
			return a->bound[i].port;
	return 0;
}

/* Replace {fd}, {port}, {instance}, {app}; other braces stay as they are. */
static char *
expand_word(const char *word, const struct worker_env_args *a)
{
	struct strbuf sb = STRBUF_INIT;

	while (*word != '\0') {
		if (str_starts(word, "{fd}")) {
			strbuf_printf(&sb, "%d", FD_PROTOCOL_FIRST);
			word += strlen("{fd}");
		} else if (str_starts(word, "{port}")) {
			strbuf_printf(&sb, "%u", first_port(a));
			word += strlen("{port}");
		} else if (str_starts(word, "{instance}")) {
			strbuf_printf(&sb, "%u", a->instance);
			word += strlen("{instance}");
		} else if (str_starts(word, "{app}")) {
			strbuf_puts(&sb, a->app->name);
			word += strlen("{app}");
		} else {
			strbuf_putc(&sb, *word++);
		}
	}
	return strbuf_take(&sb);
}

static void
build_argv(const struct worker_env_args *a, struct worker_env *out)
{
	for (size_t i = 0; i < a->app->command.n; i++)
		strlist_take(&out->argv,
		    expand_word(a->app->command.v[i], a));
}

/* As execvp(3) searches, with the PATH that the worker will have. */
static void
build_files(struct worker_env *out)
{
	const char *program = out->argv.v[0];
	char **entry = find_entry(&out->env, "PATH=");
	const char *path = entry != NULL ? *entry + strlen("PATH=") :
	    DEFAULT_PATH;

	if (strchr(program, '/') != NULL) {
		strlist_add(&out->files, program);
		return;
	}
	for (;;) {
		size_t len = strcspn(path, ":");

		/* An empty element is the working directory. */
		if (len == 0)
			strlist_printf(&out->files, "./%s", program);
		else
			strlist_printf(&out->files, "%.*s/%s", (int)len, path,
			    program);
		if (path[len] == '\0')
			break;
		path += len + 1;
	}
}

int
worker_env_build(const struct worker_env_args *a, struct worker_env *ret_env)
{
	struct worker_env out = { .listen_pid = NULL };

	build_env(a, &out);
	if (!out.env.failed)
		reserve_listen_pid(&out);
	build_argv(a, &out);
	if (!out.argv.failed && out.argv.n > 0)
		build_files(&out);
	if (out.env.failed || out.argv.failed || out.files.failed ||
	    out.files.n == 0) {
		worker_env_free(&out);
		return -ENOMEM;
	}
	*ret_env = out;
	return 0;
}

void
worker_env_free(struct worker_env *env)
{
	strlist_free(&env->env);
	strlist_free(&env->argv);
	strlist_free(&env->files);
	env->listen_pid = NULL;
}
