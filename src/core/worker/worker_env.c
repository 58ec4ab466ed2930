#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/names/address.h"
#include "core/names/placeholder.h"
#include "core/conf/conf.h"
#include "core/conf/conf_env.h"
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

static void
inherit(const struct worker_env_args *a, struct strlist *env)
{
	for (char *const *entry = a->inherited; *entry != NULL; entry++)
		if (conf_env_passes_on(a->app, *entry))
			strlist_add(env, *entry);
}

/* ---- {port} and the like ---- */

/* What the words come to for this worker. */
struct words {
	struct placeholders p;
	char fd[16], port[16], instance[16];
};

/* The first one with a port, which PORT is about too; n_listens: none. */
static size_t
first_inet(const struct worker_env_args *a)
{
	size_t i = 0;

	while (i < a->app->n_listens && a->bound[i].kind == ADDRESS_UNIX)
		i++;
	return i;
}

static void
words_init(const struct worker_env_args *a, struct words *w)
{
	size_t first = first_inet(a);

	snprintf(w->fd, sizeof(w->fd), "%d", FD_PROTOCOL_FIRST);
	snprintf(w->port, sizeof(w->port), "%u", first < a->app->n_listens ?
	    (unsigned)a->bound[first].port : 0);
	snprintf(w->instance, sizeof(w->instance), "%u", a->instance);
	w->p = (struct placeholders){
		.values = {
			[PLACEHOLDER_FD] = w->fd,
			[PLACEHOLDER_PORT] = w->port,
			[PLACEHOLDER_INSTANCE] = w->instance,
			[PLACEHOLDER_APP] = a->app->name,
			[PLACEHOLDER_WORKER_ID] = a->worker_id,
		},
	};
}

/* PORT and HOST of the first listener with a port; the file may set others. */
static void
set_port(const struct worker_env_args *a, struct strlist *env)
{
	size_t first = first_inet(a);
	const struct address *written;
	char text[24];

	if (first == a->app->n_listens)
		return;
	snprintf(text, sizeof(text), "%u", (unsigned)a->bound[first].port);
	set_named(env, "PORT", text);
	written = &a->app->listens[first];
	if (written->host != ADDRESS_HOST_ANY) {
		struct strbuf host = STRBUF_INIT;

		address_put_host(&host, written);
		set_named(env, "HOST", host.failed ? "" : host.text);
		env->failed |= host.failed;
		strbuf_free(&host);
	}
}

/* Each may refer to those before it. */
static void
set_expanded(struct strlist *env, const struct strlist *from,
    struct placeholders *p)
{
	for (size_t i = 0; i < from->n && !env->failed; i++) {
		p->env = env->v;
		set_entry(env, placeholders_expand(p, from->v[i]));
	}
}

/* As sd_watchdog_enabled(3) reads it. */
static void
set_watchdog(const struct worker_env_args *a, struct strlist *env)
{
	char text[24];

	if (a->app->health != CONF_HEALTH_WATCHDOG || a->notify_socket == NULL)
		return;
	snprintf(text, sizeof(text), "%lld",
	    (long long)a->app->health_timeout_ms * 1000);
	set_named(env, "WATCHDOG_USEC", text);
	set_named(env, "WATCHDOG_PID", "");
}

static void
build_env(const struct worker_env_args *a, struct words *w,
    struct worker_env *out)
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
	set_port(a, &out->env);
	set_all(&out->env, &app->env_file_entries);
	set_expanded(&out->env, &app->env, &w->p);
	/* No duplicates can come of this: inherit() scrubbed these names and
	   conf_check refuses them in env and env_file. */
	fd_protocol_append(&protocol, &out->env);
	set_watchdog(a, &out->env);
}

/* Give an empty NAME= room for the digits that the child writes; NULL: there is
   none. */
static char *
reserve_pid(struct worker_env *out, const char *name)
{
	char **entry = find_entry(&out->env, name);
	size_t len = strlen(name);
	char *roomy;

	if (entry == NULL)
		return NULL;
	roomy = calloc(1, len + WORKER_ENV_PID_ROOM);
	if (roomy == NULL) {
		out->env.failed = true;
		return NULL;
	}
	memcpy(roomy, name, len);
	free(*entry);
	*entry = roomy;
	return roomy + len;
}

static void
build_argv(const struct worker_env_args *a, const struct words *w,
    struct worker_env *out)
{
	for (size_t i = 0; i < a->app->command.n; i++)
		strlist_take(&out->argv,
		    placeholders_expand(&w->p, a->app->command.v[i]));
}

/* 0; -ENOMEM. NULL stays NULL. */
static int
expand_path(const struct words *w, const char *path, char **ret_path)
{
	if (path == NULL)
		return 0;
	*ret_path = placeholders_expand(&w->p, path);
	return *ret_path != NULL ? 0 : -ENOMEM;
}

void
worker_env_search(const struct strlist *env, const char *program,
    struct strlist *files)
{
	char **entry = find_entry(env, "PATH=");
	const char *path = entry != NULL ? *entry + strlen("PATH=") :
	    DEFAULT_PATH;

	if (strchr(program, '/') != NULL) {
		strlist_add(files, program);
		return;
	}
	for (;;) {
		size_t len = strcspn(path, ":");

		/* An empty element is the working directory. */
		if (len == 0)
			strlist_printf(files, "./%s", program);
		else
			strlist_printf(files, "%.*s/%s", (int)len, path,
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
	struct words w;

	words_init(a, &w);
	build_env(a, &w, &out);
	if (!out.env.failed) {
		out.listen_pid = reserve_pid(&out, "LISTEN_PID=");
		out.watchdog_pid = reserve_pid(&out, "WATCHDOG_PID=");
		w.p.env = out.env.v;
		build_argv(a, &w, &out);
	}
	if (!out.argv.failed && out.argv.n > 0)
		worker_env_search(&out.env, out.argv.v[0], &out.files);
	/* It is for who has the descriptor, and paths are ours. */
	w.p.values[PLACEHOLDER_FD] = NULL;
	if (out.env.failed || out.argv.failed || out.files.failed ||
	    out.files.n == 0 ||
	    expand_path(&w, a->app->directory, &out.directory) < 0 ||
	    expand_path(&w, a->app->out.path, &out.out_path) < 0 ||
	    expand_path(&w, a->app->err.path, &out.err_path) < 0) {
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
	free(env->directory);
	free(env->out_path);
	free(env->err_path);
	*env = (struct worker_env){ .listen_pid = NULL };
}
