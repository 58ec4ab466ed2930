/* What the command of `on_event` is executed with. */
#ifndef CORE_WORKER_EVENT_ENV_H
#define CORE_WORKER_EVENT_ENV_H

struct config;
struct worker_env;

struct event_env_args {
	const struct config *config;	/* it has an on_event */
	char *const *inherited;		/* clusterd's own environment */
	const char *event;
	const char *app;		/* NULL: it is about none */
	const char *worker_id;		/* CLUSTERD_WORKER_ID */
};

/* clusterd's environment without other supervisors' variables, HOME USER LOGNAME
   of on_event_user, CLUSTERD_EVENT and CLUSTERD_APP; the command as it is
   written; no paths. 0 or -ENOMEM. */
int event_env_build(const struct event_env_args *args,
    struct worker_env *ret_env);

#endif
