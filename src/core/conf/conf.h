/*
 * The configuration, checked and const. Built by conf_check() from what
 * conf_read() found in the file (or cli/ on the command line), shared by
 * reference count, replaced on a reload, never edited.
 *
 * Where to look, all in core/conf/: conf_schema.c has one row per key;
 * conf_read.c turns bytes into the entries of conf_source.h through inih;
 * conf_parse.c parses the values, conf_parse_app.c those that fill several
 * fields of an app, conf_parse_listen.c its addresses, and conf_env.c `env` and
 * the env file; conf_check.c makes the config; conf_print.c is the -T dump;
 * conf_diff.c compares two.
 */
#ifndef CORE_CONF_CONF_H
#define CORE_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_place.h"
#include "core/names/address.h"

/* Stated limits of what a file may hold. */
#define CONF_FILE_MAX		(4 * 1024 * 1024)	/* bytes */
#define CONF_VALUE_MAX		(64 * 1024)		/* bytes, joined */
/* Of an env file: execve(2) takes about 2 MiB of arguments and environment. */
#define CONF_ENV_FILE_MAX	(256 * 1024)		/* bytes */
#define CONF_NAME_MAX		32			/* app name */
#define CONF_ENV_MAX		1024	/* entries of env, and of env_file */
#define CONF_INSTANCES_MAX	4096
#define CONF_LISTENS_MAX	64			/* per app */
/* Of a listener's name; systemd's FileDescriptorName= takes as many. */
#define CONF_LISTEN_NAME_MAX	255			/* bytes */
#define CONF_CONTROL_AUTO	"auto"
#define CONF_CONTROL_PATH_MAX	107	/* bytes; unix(7) */

enum conf_restart {
	CONF_RESTART_ALWAYS,
	CONF_RESTART_ON_FAILURE,
	CONF_RESTART_NEVER,
};

enum conf_balance {
	CONF_BALANCE_AUTO,
	CONF_BALANCE_SHARED,
	CONF_BALANCE_ROUND_ROBIN,
	CONF_BALANCE_LEAST_CONNECTIONS,
	CONF_BALANCE_RANDOM,
	CONF_BALANCE_SOURCE,
};

enum conf_handoff {
	CONF_HANDOFF_AUTO,	/* both */
	CONF_HANDOFF_ENV,	/* descriptors, named in the environment */
	CONF_HANDOFF_ADOPT,	/* in the place of what the worker binds */
};

enum conf_ready {
	CONF_READY_AUTO,	/* accept, or at the word where a wait cannot be
				   seen; without listeners, alive */
	CONF_READY_NOTIFY,
	CONF_READY_ACCEPT,
	CONF_READY_ALIVE,
	CONF_READY_HEALTH,	/* at the first check that goes well */
};

/* How it is seen whether a worker is well. */
enum conf_health {
	CONF_HEALTH_NONE,
	CONF_HEALTH_TCP,	/* it accepts a connection */
	CONF_HEALTH_HTTP,	/* … and answers a request */
	CONF_HEALTH_EXEC,	/* a command says so */
	CONF_HEALTH_WATCHDOG,	/* it says so, in time */
	CONF_HEALTH_QUEUE,	/* it accepts who waits */
};

/* Who gets the stop signal first. */
enum conf_stop_to {
	CONF_STOP_TO_PROCESS,	/* the worker's own; the rest when it has ended */
	CONF_STOP_TO_GROUP,	/* all of its group at once */
};

/* What becomes of what a dead worker leaves behind. */
enum conf_orphans {
	CONF_ORPHANS_STOP,
	CONF_ORPHANS_KEEP,
};

/* Where a stream of the workers goes. */
enum conf_output_kind {
	CONF_OUTPUT_INHERIT,	/* where clusterd's own goes */
	CONF_OUTPUT_STDOUT,	/* … by its name: that one of the two */
	CONF_OUTPUT_STDERR,
	CONF_OUTPUT_NULL,
	/* Through clusterd: */
	CONF_OUTPUT_PREFIX,	/* tagged, to its own */
	CONF_OUTPUT_FILE,
};

enum conf_log_time {
	CONF_LOG_TIME_NONE,
	CONF_LOG_TIME_ISO,
};

enum conf_stdin {
	CONF_STDIN_NULL,	/* /dev/null: the end of it at once */
	CONF_STDIN_OPEN,	/* a pipe without an end, and nothing in it */
};

struct conf_output {
	enum conf_output_kind kind;
	char *path;		/* absolute, of FILE; else NULL */
	unsigned line;		/* where it was written, or the section */
};

enum conf_instances {
	CONF_INSTANCES_AUTO,	/* the CPUs that may be used */
	CONF_INSTANCES_NUMBER,
	CONF_INSTANCES_PERCENT,	/* of auto, rounded up, at least 1 */
};

/* Bits of conf_app.fd_protocols. */
enum conf_fd_protocol {
	CONF_FDP_CLUSTERD	= 1 << 0,
	CONF_FDP_SYSTEMD	= 1 << 1,
	CONF_FDP_SERVER_STARTER	= 1 << 2,
	CONF_FDP_EINHORN	= 1 << 3,
	CONF_FDP_NGINX		= 1 << 4,
	CONF_FDP_PHP_FPM	= 1 << 5,
};

/* Who a worker runs as; looked up once, when the file is read. */
struct conf_creds {
	bool set;		/* false: inherited, the rest is unused */
	uint32_t uid;
	uint32_t gid;
	uint32_t *groups;	/* supplementary, owned; NULL with n 0 */
	size_t n_groups;
	char *name;		/* USER, LOGNAME; NULL: only `group` was given,
				   uid is inherited and these stay as they are */
	char *home;		/* HOME; NULL as name */
};

struct conf_app {
	char *name;
	unsigned line;			/* of the section header; this and all
					   lines: see config_file_of() */

	struct strlist command;		/* words, braces not replaced yet */
	struct address *listens;	/* `port` first, then `listen` */
	char **listen_names;		/* as listens; NULL: it has none */
	size_t n_listens;
	bool has_port;			/* listens[0] came from `port` */
	unsigned *listen_lines;		/* as listens: where they were written;
					   0: on the command line */
	/* As listens: one with {instance}, as address_parse() takes it when
	   that is replaced; NULL: the same for all. In `listens` it is what
	   instance 0 has, or in a view (conf_instance) that instance. */
	char **listen_forms;
	bool is_view;
	unsigned view_instance;
	uint32_t socket_mode;
	char *socket_user;		/* NULL: inherited */
	char *socket_group;
	uint32_t socket_uid;		/* (uint32_t)-1: inherited */
	uint32_t socket_gid;
	unsigned backlog;		/* 1 … 65535 */

	enum conf_instances instances_kind;
	unsigned instances;		/* number or percentage … */
	bool scales;			/* … as a load asks for more, up to: */
	enum conf_instances most_kind;
	unsigned most;
	int64_t scale_up_ms;
	int64_t scale_down_ms;
	enum conf_balance balance;
	int64_t slow_start_ms;		/* 0: none */
	enum conf_handoff handoff;
	unsigned fd_protocols;		/* enum conf_fd_protocol bits, as
					   written; 0: auto. What they come to:
					   conf_app_fd_protocols() */

	char *directory;		/* absolute; NULL: inherited */
	int32_t umask;			/* -1: inherited */
	struct strlist env;		/* NAME=value, later wins */
	char *env_file;			/* absolute; NULL: none */
	struct strlist env_file_entries;/* what it held, NAME=value */
	int64_t limit_nofile;		/* -1: inherited */
	char *user;			/* NULL: inherited */
	char *group;			/* NULL: inherited */
	struct conf_creds creds;

	enum conf_restart restart;
	int64_t restart_delay_ms;
	int64_t restart_delay_max_ms;
	int64_t restart_reset_ms;
	unsigned restart_limit;		/* deaths; 0: no limit */
	int64_t restart_limit_ms;	/* in this time */
	uint8_t success_codes[32];	/* bit N: exit code N is no failure */

	enum conf_ready ready;
	int64_t ready_alive_ms;		/* AUTO, ALIVE */
	int64_t ready_timeout_ms;	/* > 0 */
	enum conf_health health;
	char *health_path;		/* HTTP; else NULL */
	char *health_host;		/* HTTP; NULL: of its own choice */
	struct strlist health_command;	/* EXEC: words */
	int64_t health_interval_ms;
	int64_t health_timeout_ms;
	unsigned health_failures;	/* in a row, until it is replaced */
	char *agent;			/* as written, see conf_web.c; NULL: none */
	int stop_signal;
	int64_t stop_timeout_ms;
	enum conf_stop_to stop_to;
	enum conf_orphans orphans;
	int64_t drain_timeout_ms;	/* 0: no drain */
	int64_t drain_idle_ms;		/* -1: off */
	int drain_signal;		/* 0: none */
	unsigned max_surge;		/* 0: the old worker goes first */
	int64_t canary_ms;		/* 0: none */
	int64_t max_memory;		/* bytes, of a worker's tree; -1: any */
	int64_t max_age_ms;		/* -1: any */
	int64_t max_connections;	/* that it has taken; -1: any number */
	/* Of a worker's control group; -1: none. */
	int64_t memory_limit;		/* bytes */
	int64_t cpu_limit;		/* thousandths of a CPU */
	int64_t tasks_limit;		/* processes and threads */
	struct strlist after;		/* apps that begin before it, and end
					   behind it; each once */

	enum conf_stdin in;
	struct conf_output out;
	struct conf_output err;
	int64_t log_max_size;		/* bytes, of those files; -1: any */
	unsigned log_keep;		/* full ones that are kept */
	enum conf_log_time log_time;	/* before lines that clusterd writes */
};

enum conf_log_level {	/* as in base/log.h */
	CONF_LOG_ERROR,
	CONF_LOG_WARNING,
	CONF_LOG_INFO,
	CONF_LOG_DEBUG,
};

enum conf_log_format {	/* as in base/log.h */
	CONF_LOG_TEXT,
	CONF_LOG_JSON,
};

struct config {
	unsigned refs;
	char *file;		/* as the user named it, for messages */
	char *base_dir;		/* of relative paths in it */
	struct conf_places places;	/* that file and those it includes; none:
					   all lines are of that one */
	/* What is legal in it and most likely not meant so. */
	struct conf_errors warnings;
	enum conf_log_level log_level;
	enum conf_log_format log_format;
	char *log;		/* absolute path; NULL: stderr */
	unsigned log_line;
	char *pidfile;		/* absolute path; NULL: none */
	unsigned pidfile_line;
	unsigned auto_instances;	/* of the host */
	bool control_auto;	/* its place follows from the file's */
	char *control;		/* absolute path; NULL: none, or auto */
	char *control_group;	/* NULL: none */
	uint32_t control_gid;	/* (uint32_t)-1: none */
	int64_t stop_delay_ms;	/* from the order to stop to its beginning */
	/* As they are written: conf_web.c makes an app of them. */
	char *web;		/* NULL: none */
	char *web_user;
	char *web_token_file;	/* NULL: none */
	char *web_host;		/* NULL: none */
	struct strlist on_event;	/* words; none: nothing is run */
	char *on_event_user;
	struct conf_creds on_event_creds;	/* not set: as clusterd */
	struct conf_app *apps;	/* in the order of the file */
	size_t n_apps;
	int text;		/* of whoever has read it: a descriptor of what
				   stood there, … */
	void (*close_text)(int *text);	/* … which ends with it; or NULL */
};

/* Free what it holds; the credentials are then not set. */
void conf_creds_free(struct conf_creds *creds);

/* Do they stand for the same rights? */
bool conf_creds_same(const struct conf_creds *a, const struct conf_creds *b);

struct config *config_ref(struct config *config);
void config_unref(struct config *config);

/* The number of seats that an app begins with where `auto` means
   auto_instances … */
unsigned conf_app_instances(const struct conf_app *app,
    unsigned auto_instances);

/* … and the most that it can have: more only where `instances` is a range. */
unsigned conf_app_most_instances(const struct conf_app *app,
    unsigned auto_instances);

/*
 * Which protocols tell a worker of its descriptors: CLUSTERD is always among
 * them. Those that a server may read unasked are spoken only where the file
 * asks for them, by fd_protocol or by handoff = env.
 */
unsigned conf_app_fd_protocols(const struct conf_app *app);

/* Are its descriptors announced to a worker in a way that it may follow
   unasked? */
bool conf_app_announces(const struct conf_app *app);

/* Has it any listener of that kind? */
bool conf_app_listens_on(const struct conf_app *app, enum address_kind kind);

/* Does a worker of it get a NOTIFY_SOCKET? */
bool conf_app_notifies(const struct conf_app *app);

/* The file that a line of it is of, and its number there; NULL: it has none. */
const char *config_file_of(const struct config *config, unsigned line,
    unsigned *ret_line);

/* What relative paths of the app are relative to. */
const char *config_app_dir(const struct config *config,
    const struct conf_app *app);

/* The app of that name, or NULL. */
const struct conf_app *config_find_app(const struct config *config,
    const char *name);

/* Does the stream pass through clusterd? */
static inline bool
conf_output_is_piped(const struct conf_output *output)
{
	return output->kind == CONF_OUTPUT_PREFIX ||
	    output->kind == CONF_OUTPUT_FILE;
}

static inline bool
conf_app_success_code(const struct conf_app *app, int code)
{
	return code >= 0 && code <= 255 &&
	    (app->success_codes[code / 8] >> (code % 8) & 1) != 0;
}

#endif
