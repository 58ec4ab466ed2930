/*
 * What a worker is executed with: environment, arguments, and the files to try
 * for its program. Built by the supervisor before it forks, because between
 * fork and exec nothing may allocate.
 */
#ifndef CORE_WORKER_WORKER_ENV_H
#define CORE_WORKER_WORKER_ENV_H

#include <stddef.h>

#include "base/str.h"

struct address;
struct conf_app;

struct worker_env_args {
	const struct conf_app *app;
	char *const *inherited;		/* clusterd's own environment */
	const struct address *bound;	/* one per app->listens, resolved;
					   told to the worker unless it is to
					   bind by itself (handoff = adopt) */
	unsigned instance;
	unsigned instances;
	unsigned generation;
	long master;			/* our pid */
	const char *notify_socket;	/* NULL: none */
	const char *worker_id;		/* CLUSTERD_WORKER_ID: tells the whole
					   process tree of one start */
};

struct worker_env {
	struct strlist env;
	struct strlist argv;
	struct strlist files;	/* for execve(2), in order; never empty */
	/* Where the child writes its pid in decimal, at most
	   WORKER_ENV_PID_ROOM bytes with the NUL; NULL: nowhere. */
	char *listen_pid;
	char *watchdog_pid;	/* the same */
	/* As the app has them, with what stands in braces; NULL as there. */
	char *directory;
	char *out_path;
	char *err_path;
};

#define WORKER_ENV_PID_ROOM 24

/*
 * Later wins: clusterd's environment without other supervisors' variables,
 * HOME USER LOGNAME of `user`, PORT and HOST of the first listener that has a
 * port (HOST where it names one), env_file, env, the fd protocols. Placeholders
 * (core/names/placeholder) are replaced in the command, in env, and in paths;
 * {env:NAME} is what the worker has, in env what stands before. 0 or -ENOMEM.
 */
int worker_env_build(const struct worker_env_args *args,
    struct worker_env *ret_env);
void worker_env_free(struct worker_env *env);

/* Append the files to try for a program of that name, as execvp(3) does with the
   PATH of `env`. */
void worker_env_search(const struct strlist *env, const char *program,
    struct strlist *files);

#endif
