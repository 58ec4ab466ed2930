#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_env.h"
#include "core/worker/event_env.h"
#include "core/worker/worker_env.h"

static bool
is_of_user(const char *entry)
{
	return str_starts(entry, "USER=") || str_starts(entry, "LOGNAME=") ||
	    str_starts(entry, "HOME=");
}

static void
build_env(const struct event_env_args *a, struct strlist *env)
{
	/* Its standard error is no journal. */
	static const struct conf_app none = {
		.err = { .kind = CONF_OUTPUT_NULL },
	};
	const struct conf_creds *creds = &a->config->on_event_creds;
	bool named = creds->set && creds->name != NULL;

	strlist_printf(env, "CLUSTERD_WORKER_ID=%s", a->worker_id);
	strlist_printf(env, "CLUSTERD_EVENT=%s", a->event);
	if (a->app != NULL)
		strlist_printf(env, "CLUSTERD_APP=%s", a->app);
	if (named) {
		strlist_printf(env, "USER=%s", creds->name);
		strlist_printf(env, "LOGNAME=%s", creds->name);
		strlist_printf(env, "HOME=%s", creds->home);
	}
	for (char *const *entry = a->inherited; *entry != NULL; entry++)
		if (conf_env_passes_on(&none, *entry) &&
		    !(named && is_of_user(*entry)))
			strlist_add(env, *entry);
}

int
event_env_build(const struct event_env_args *a, struct worker_env *ret_env)
{
	const struct strlist *command = &a->config->on_event;
	struct worker_env out = { .listen_pid = NULL };

	build_env(a, &out.env);
	for (size_t i = 0; i < command->n; i++)
		strlist_add(&out.argv, command->v[i]);
	if (!out.env.failed && !out.argv.failed)
		worker_env_search(&out.env, command->v[0], &out.files);
	if (out.env.failed || out.argv.failed || out.files.failed ||
	    out.files.n == 0) {
		worker_env_free(&out);
		return -ENOMEM;
	}
	*ret_env = out;
	return 0;
}
