/*
 * The configuration, checked and const. Built by conf_check() from what
 * conf_read() found in the file (or cli/ on the command line), shared by
 * reference count, replaced on a reload, never edited.
 *
 * Where to look: core/conf/conf_schema.c has one row per key; core/conf/conf_read.c
 * turns bytes into entries through inih; core/conf/conf_value.c parses the values,
 * core/conf/conf_value_app.c those that fill several fields of an app, and
 * core/conf/conf_env.c `env` and the env file; core/conf/conf_check.c makes the config;
 * core/conf/conf_print.c is the -T dump; core/conf/conf_diff.c compares two.
 */
#ifndef CORE_CONF_H
#define CORE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "core/names/address.h"

struct error;

/* Stated limits of what a file may hold. */
#define CONF_FILE_MAX		(4 * 1024 * 1024)	/* bytes */
#define CONF_VALUE_MAX		(64 * 1024)		/* bytes, joined */
/* Of an env file: execve(2) takes about 2 MiB of arguments and environment. */
#define CONF_ENV_FILE_MAX	(256 * 1024)		/* bytes */
#define CONF_NAME_MAX		32			/* app name */
#define CONF_ENV_MAX		1024	/* entries of env, and of env_file */
#define CONF_INSTANCES_MAX	4096
#define CONF_LISTENS_MAX	64			/* per app */
#define CONF_CONTROL_AUTO	"auto"
#define CONF_CONTROL_PATH_MAX	107	/* bytes; unix(7) */
#define CONF_ERRORS_MAX		100			/* then "and N more" */

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
	CONF_READY_AUTO,	/* notify or accept, whichever comes first;
				   without listeners, alive */
	CONF_READY_NOTIFY,
	CONF_READY_ACCEPT,
	CONF_READY_ALIVE,
};

/* Where a stream of the workers goes. */
enum conf_output_kind {
	CONF_OUTPUT_INHERIT,	/* where clusterd's own goes */
	CONF_OUTPUT_NULL,
	/* Through clusterd: */
	CONF_OUTPUT_PREFIX,	/* tagged, to its own */
	CONF_OUTPUT_FILE,
};

struct conf_output {
	enum conf_output_kind kind;
	char *path;		/* absolute, of FILE; else NULL */
};

enum conf_instances {
	CONF_INSTANCES_AUTO,	/* the CPUs that may be used */
	CONF_INSTANCES_NUMBER,
	CONF_INSTANCES_PERCENT,	/* of auto, rounded up, at least 1 */
};

/* Bits of conf_app.fd_protocols; CLUSTERD is always set. */
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
	unsigned line;			/* of the section header */

	struct strlist command;		/* words, braces not replaced yet */
	struct address *listens;	/* `port` first, then `listen` */
	size_t n_listens;
	bool has_port;			/* listens[0] came from `port` */
	uint32_t socket_mode;
	char *socket_user;		/* NULL: inherited */
	char *socket_group;
	uint32_t socket_uid;		/* (uint32_t)-1: inherited */
	uint32_t socket_gid;
	unsigned backlog;		/* 1 … 65535 */

	enum conf_instances instances_kind;
	unsigned instances;		/* number or percentage */
	enum conf_balance balance;
	enum conf_handoff handoff;
	unsigned fd_protocols;		/* enum conf_fd_protocol bits */

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
	int stop_signal;
	int64_t stop_timeout_ms;
	int64_t drain_timeout_ms;	/* 0: no drain */
	int64_t drain_idle_ms;		/* -1: off */
	unsigned max_surge;		/* >= 1 */

	struct conf_output out;
	struct conf_output err;
	int64_t log_max_size;		/* bytes, of those files; -1: any */
	unsigned log_keep;		/* full ones that are kept */
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
	enum conf_log_level log_level;
	enum conf_log_format log_format;
	char *log;		/* absolute path; NULL: stderr */
	char *pidfile;		/* absolute path; NULL: none */
	bool control_auto;	/* its place follows from the file's */
	char *control;		/* absolute path; NULL: none, or auto */
	char *control_group;	/* NULL: none */
	uint32_t control_gid;	/* (uint32_t)-1: none */
	struct conf_app *apps;	/* in the order of the file */
	size_t n_apps;
};

/*
 * What checking a configuration needs of the world outside, so that core/
 * makes no system call. Each returns 0 or -errno with words; -EAGAIN from a
 * look-up means "not known yet": conf_check() then goes on as if the name
 * existed with no rights, and the caller checks again with the answers.
 */
struct conf_host {
	void *ctx;
	const char *base_dir;	/* absolute directory of the file */
	/* At most CONF_FILE_MAX bytes; caller frees *ret_text (NUL added).
	   Of those, conf_check() takes CONF_ENV_FILE_MAX. */
	int (*read_file)(void *ctx, const char *path, char **ret_text,
	    size_t *ret_len, struct error *err);
	/* `group` may be NULL (the user's own), `user` may be NULL. Of an app
	   with both, each is asked for alone and then the pair. */
	int (*find_creds)(void *ctx, const char *user, const char *group,
	    struct conf_creds *ret_creds, struct error *err);
	/* May clusterd start a worker as these? NULL: it may. */
	int (*may_become)(void *ctx, const struct conf_creds *creds,
	    struct error *err);
};

/* One key as it stands in the file, before anything is known of it. */
struct conf_entry {
	unsigned section;	/* index into conf_source.sections */
	unsigned line;
	char *key;
	struct strlist lines;	/* the value: first line, then the indented */
	unsigned *numbers;	/* the line number of each, owned */
};

struct conf_section {
	char *name;		/* as written; may be invalid (was reported) */
	unsigned line;
};

struct conf_source {
	struct conf_section *sections;
	size_t n_sections;
	struct conf_entry *entries;
	size_t n_entries;
};

/*
 * All errors of one pass, each a line without newline:
 * `FILE:LINE: KEY: what is wrong, what is allowed`, sorted by line at the end.
 * More than CONF_ERRORS_MAX are held until then, so that the first by line are
 * kept and not the first to be found.
 */
struct conf_errors {
	const char *file;	/* as the user named it; borrowed */
	struct conf_error {
		unsigned line;	/* 0: about the whole file */
		char *text;
	} *v;
	size_t n;
	size_t dropped;		/* beyond CONF_ERRORS_MAX, or no memory */
	unsigned full_from;	/* those from this line on are only counted;
				   0: none */
};

/* `key` may be NULL: an error that is about no key in particular. */
void conf_error_add(struct conf_errors *errors, unsigned line,
    const char *key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* By line, and cut to CONF_ERRORS_MAX. */
void conf_errors_sort(struct conf_errors *errors);

/* Whether an error about that line is only counted: words would be wasted. */
bool conf_errors_full(const struct conf_errors *errors, unsigned line);
void conf_errors_free(struct conf_errors *errors);

/*
 * Bytes of a file to entries. Every problem goes to `errors`, reading goes on
 * behind it. Returns 0 (look at errors->n) or -ENOMEM. The caller frees
 * *ret_source in both cases.
 */
int conf_read(const char *text, size_t len, struct conf_source *ret_source,
    struct conf_errors *errors);

/*
 * Build a source by hand, as cli/ does for `clusterd -p 8080 -- ./server`:
 * each `value` is one line. -ENOMEM on failure.
 */
int conf_source_add_section(struct conf_source *source, const char *name,
    unsigned line);
int conf_source_add_entry(struct conf_source *source, unsigned line,
    const char *key, const char *value);
void conf_source_free(struct conf_source *source);

/*
 * Check entries and build the config. Every problem goes to `errors`; when
 * there is any (errors->n > 0 or dropped > 0), *ret_config is NULL. Else the
 * caller owns one reference. Returns 0 or -ENOMEM.
 */
int conf_check(const struct conf_source *source, const struct conf_host *host,
    struct config **ret_config, struct conf_errors *errors);

/* Free what it holds; the credentials are then not set. */
void conf_creds_free(struct conf_creds *creds);

/* Do they stand for the same rights? */
bool conf_creds_same(const struct conf_creds *a, const struct conf_creds *b);

struct config *config_ref(struct config *config);
void config_unref(struct config *config);

/* What `auto` comes to on this machine, for comments in the dump. */
struct conf_here {
	unsigned instances;
	const char *balance;	/* in words, one line; NULL: not looked up */
};

/*
 * The effective configuration as INI: every supported key with its value,
 * parses back to the same dump. `here` only goes into comments.
 * Caller frees; NULL when memory is short.
 */
char *conf_print(const struct config *config, const struct conf_here *here);

/* The number of seats that an app has where `auto` means auto_instances. */
unsigned conf_app_instances(const struct conf_app *app,
    unsigned auto_instances);

/* The app of that name, or NULL. */
const struct conf_app *config_find_app(const struct config *config,
    const char *name);

/* As the configuration writes it: a word or the path. */
const char *conf_output_text(const struct conf_output *output);

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
