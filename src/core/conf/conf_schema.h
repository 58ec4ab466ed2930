/*
 * The schema: one row per key. Parser (conf_parse.c), default (parsed by the
 * same parser), dump (conf_print.c) and the check of the man page all come
 * from the row; a key that no row has does not exist.
 */
#ifndef CORE_CONF_CONF_SCHEMA_H
#define CORE_CONF_CONF_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONF_CLUSTERD_SECTION "clusterd"

enum conf_scope {
	CONF_SCOPE_CLUSTERD,	/* [clusterd]; the target is struct config */
	CONF_SCOPE_APP,		/* any other; the target is struct conf_app */
};

/*
 * In the order of the dump; conf_schema() is indexed by it. `port` stands
 * before `listen` because its address is the first of the app.
 */
enum conf_key_id {
	CONF_KEY_LOG_LEVEL,
	CONF_KEY_LOG_FORMAT,
	CONF_KEY_LOG,
	CONF_KEY_PIDFILE,
	CONF_KEY_CONTROL,
	CONF_KEY_CONTROL_GROUP,
	CONF_KEY_STOP_DELAY,
	CONF_KEY_INCLUDE,
	CONF_KEY_WEB,
	CONF_KEY_WEB_USER,
	CONF_KEY_WEB_TOKEN_FILE,
	CONF_KEY_WEB_HOST,
	CONF_KEY_ON_EVENT,
	CONF_KEY_ON_EVENT_USER,

	CONF_KEY_COMMAND,
	CONF_KEY_PORT,
	CONF_KEY_LISTEN,
	CONF_KEY_SOCKET_MODE,
	CONF_KEY_SOCKET_USER,
	CONF_KEY_SOCKET_GROUP,
	CONF_KEY_BACKLOG,
	CONF_KEY_INSTANCES,
	CONF_KEY_SCALE_UP_AFTER,
	CONF_KEY_SCALE_DOWN_AFTER,
	CONF_KEY_BALANCE,
	CONF_KEY_SLOW_START,
	CONF_KEY_HANDOFF,
	CONF_KEY_FD_PROTOCOL,
	CONF_KEY_DIRECTORY,
	CONF_KEY_UMASK,
	CONF_KEY_ENV,
	CONF_KEY_ENV_FILE,
	CONF_KEY_LIMIT_NOFILE,
	CONF_KEY_USER,
	CONF_KEY_GROUP,
	CONF_KEY_RESTART,
	CONF_KEY_RESTART_DELAY,
	CONF_KEY_RESTART_DELAY_MAX,
	CONF_KEY_RESTART_RESET,
	CONF_KEY_RESTART_LIMIT,
	CONF_KEY_SUCCESS_CODES,
	CONF_KEY_READY,
	CONF_KEY_READY_TIMEOUT,
	CONF_KEY_HEALTH,
	CONF_KEY_HEALTH_INTERVAL,
	CONF_KEY_HEALTH_TIMEOUT,
	CONF_KEY_HEALTH_FAILURES,
	CONF_KEY_AGENT,
	CONF_KEY_STOP_SIGNAL,
	CONF_KEY_STOP_TIMEOUT,
	CONF_KEY_STOP_TO,
	CONF_KEY_ORPHANS,
	CONF_KEY_DRAIN_TIMEOUT,
	CONF_KEY_DRAIN_IDLE,
	CONF_KEY_DRAIN_SIGNAL,
	CONF_KEY_MAX_SURGE,
	CONF_KEY_CANARY,
	CONF_KEY_MAX_MEMORY,
	CONF_KEY_MAX_AGE,
	CONF_KEY_MAX_CONNECTIONS,
	CONF_KEY_MEMORY_LIMIT,
	CONF_KEY_CPU_LIMIT,
	CONF_KEY_TASKS_LIMIT,
	CONF_KEY_AFTER,
	CONF_KEY_STDIN,
	CONF_KEY_STDOUT,
	CONF_KEY_STDERR,
	CONF_KEY_LOG_MAX_SIZE,
	CONF_KEY_LOG_KEEP,
	CONF_KEY_LOG_TIME,

	CONF_KEY_N
};

enum conf_type {
	CONF_TYPE_ENUM,		/* one of row->words; an enum */
	CONF_TYPE_COUNT,	/* unsigned, row->min to max */
	CONF_TYPE_LIMIT,	/* int64_t, row->min to max; nothing: -1 */
	CONF_TYPE_MODE,		/* uint32_t, octal up to row->max */
	CONF_TYPE_UMASK,	/* int32_t, octal up to row->max; nothing: -1 */
	CONF_TYPE_DURATION,	/* int64_t milliseconds, at least row->min;
				   nothing: -1 */
	CONF_TYPE_SIZE,		/* int64_t bytes, row->min to max; nothing:
				   -1 */
	CONF_TYPE_CPUS,		/* int64_t thousandths of a CPU, row->min to
				   max; nothing: -1 */
	CONF_TYPE_PATH,		/* char *, made absolute; nothing: NULL */
	CONF_TYPE_ACCOUNT,	/* char *, a user or group; nothing: NULL */
	CONF_TYPE_TEXT,		/* char *, not empty; nothing: NULL */
	CONF_TYPE_OUTPUT,	/* struct conf_output: a word or a path */
	/* The rest fill fields of struct conf_app that belong together. */
	CONF_TYPE_INCLUDE,	/* was carried out by conf_include_read() */
	CONF_TYPE_CONTROL,	/* … or of struct config */
	CONF_TYPE_COMMAND,
	CONF_TYPE_PORT,
	CONF_TYPE_LISTEN,
	CONF_TYPE_INSTANCES,
	CONF_TYPE_FD_PROTOCOL,
	CONF_TYPE_ENV,
	CONF_TYPE_RESTART_LIMIT,
	CONF_TYPE_CODES,
	CONF_TYPE_READY,
	CONF_TYPE_SIGNAL,
	CONF_TYPE_APPS,		/* struct strlist of names; nothing: none */
	CONF_TYPE_HEALTH,

	CONF_TYPE_N
};

#define CONF_NOWHERE SIZE_MAX	/* one value only: nothing to keep */

struct conf_word {
	const char *word;
	unsigned value;
};

struct conf_key {
	const char *name;
	enum conf_scope scope;
	enum conf_type type;
	size_t offset;		/* of the field in the target */
	/*
	 * The default as a user would write it; NULL when the key is
	 * required.
	 */
	const char *preset;
	/*
	 * The word for "no value of my own", so that a dump can show every
	 * key. A relative file of that name is written ./none.
	 */
	const char *nothing;
	uint64_t min;
	uint64_t max;
	const struct conf_word *words;	/* ends with a NULL word */
	bool list;		/* may go on over indented lines */
	bool live;		/* of an app: a change takes effect without new
				   workers */
	const char *allowed;	/* in words, for messages and the manual */
};

/*
 * Whether the first `len` bytes of `name` may name an app: a-z, 0-9, _ and -,
 * a letter or digit first, CONF_NAME_MAX bytes at most.
 */
bool conf_name_valid(const char *name, size_t len);

/* The table, CONF_KEY_N rows indexed by enum conf_key_id. */
const struct conf_key *conf_schema(size_t *ret_n);

/* The row of that name in that scope, or NULL. */
const struct conf_key *conf_schema_find(enum conf_scope scope,
    const char *name);

/* The key that a misspelt `name` may have meant, or NULL. */
const char *conf_schema_near(enum conf_scope scope, const char *name);

/*
 * Look for the word that `text` may have meant among several: start with
 * NULL and CONF_NEAR_INIT, call for each word, and *best is the nearest of
 * those within reach: up to two letters, and up to a third of the word's, are
 * missing, doubled, swapped or mistaken.
 */
#define CONF_NEAR_INIT 3u
void conf_near(const char *text, const char *word, const char **best,
    unsigned *best_distance);

#endif
