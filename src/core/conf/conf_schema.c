#include <assert.h>
#include <signal.h>
#include <string.h>

#include "core/conf/conf.h"
#include "core/conf/conf_schema.h"

#define APP(field)	.scope = CONF_SCOPE_APP, \
			.offset = offsetof(struct conf_app, field)
#define GLOBAL(field)	.scope = CONF_SCOPE_CLUSTERD, \
			.offset = offsetof(struct config, field)
#define GLOBAL_NOWHERE	.scope = CONF_SCOPE_CLUSTERD, .offset = CONF_NOWHERE

/* Ten years: what is longer is a slip, and nothing overflows below it. */
#define DURATION_MAX_MS	(10 * UINT64_C(365) * 86400 * 1000)
#define DURATION(at_least) \
	.type = CONF_TYPE_DURATION, .min = (at_least), \
	.max = DURATION_MAX_MS, \
	.allowed = "a duration such as 500ms, 10s, 5m or 1h"

/* A thousand times what any disk of today takes of one log. */
#define SIZE_MAX_BYTES	(UINT64_C(1) << 40)

static const struct conf_word log_levels[] = {
	{ "error", CONF_LOG_ERROR },
	{ "warning", CONF_LOG_WARNING },
	{ "info", CONF_LOG_INFO },
	{ "debug", CONF_LOG_DEBUG },
	{ NULL, 0 },
};

static const struct conf_word log_formats[] = {
	{ "text", CONF_LOG_TEXT },
	{ "json", CONF_LOG_JSON },
	{ NULL, 0 },
};

static const struct conf_word log_times[] = {
	{ "none", CONF_LOG_TIME_NONE },
	{ "iso", CONF_LOG_TIME_ISO },
	{ NULL, 0 },
};

static const struct conf_word balances[] = {
	{ "auto", CONF_BALANCE_AUTO },
	{ "shared", CONF_BALANCE_SHARED },
	{ "round-robin", CONF_BALANCE_ROUND_ROBIN },
	{ "least-connections", CONF_BALANCE_LEAST_CONNECTIONS },
	{ "random", CONF_BALANCE_RANDOM },
	{ "source", CONF_BALANCE_SOURCE },
	{ NULL, 0 },
};

static const struct conf_word handoffs[] = {
	{ "auto", CONF_HANDOFF_AUTO },
	{ "env", CONF_HANDOFF_ENV },
	{ "adopt", CONF_HANDOFF_ADOPT },
	{ NULL, 0 },
};

static const struct conf_word fd_protocols[] = {
	{ "clusterd", CONF_FDP_CLUSTERD },
	{ "systemd", CONF_FDP_SYSTEMD },
	{ "server-starter", CONF_FDP_SERVER_STARTER },
	{ "einhorn", CONF_FDP_EINHORN },
	{ "nginx", CONF_FDP_NGINX },
	{ "php-fpm", CONF_FDP_PHP_FPM },
	{ NULL, 0 },
};

static const struct conf_word restarts[] = {
	{ "always", CONF_RESTART_ALWAYS },
	{ "on-failure", CONF_RESTART_ON_FAILURE },
	{ "never", CONF_RESTART_NEVER },
	{ NULL, 0 },
};

/* `alive` takes a duration; conf_parse_app.c sees to it. */
static const struct conf_word readies[] = {
	{ "auto", CONF_READY_AUTO },
	{ "notify", CONF_READY_NOTIFY },
	{ "accept", CONF_READY_ACCEPT },
	{ "health", CONF_READY_HEALTH },
	{ NULL, 0 },
};

/* Others go on behind a colon; conf_parse_health.c sees to it. */
static const struct conf_word healths[] = {
	{ "none", CONF_HEALTH_NONE },
	{ "tcp", CONF_HEALTH_TCP },
	{ "watchdog", CONF_HEALTH_WATCHDOG },
	{ "queue", CONF_HEALTH_QUEUE },
	{ NULL, 0 },
};

static const struct conf_word stop_tos[] = {
	{ "process", CONF_STOP_TO_PROCESS },
	{ "group", CONF_STOP_TO_GROUP },
	{ NULL, 0 },
};

static const struct conf_word orphans[] = {
	{ "stop", CONF_ORPHANS_STOP },
	{ "keep", CONF_ORPHANS_KEEP },
	{ NULL, 0 },
};

static const struct conf_word stdins[] = {
	{ "null", CONF_STDIN_NULL },
	{ "open", CONF_STDIN_OPEN },
	{ NULL, 0 },
};

/* The paths of these are another place in each process: they mean clusterd's
   own, as people write them for containers. The first of each is printed. */
static const struct conf_word outputs[] = {
	{ "inherit", CONF_OUTPUT_INHERIT },
	{ "null", CONF_OUTPUT_NULL },
	{ "prefix", CONF_OUTPUT_PREFIX },
	{ "/dev/stdout", CONF_OUTPUT_STDOUT },
	{ "/dev/fd/1", CONF_OUTPUT_STDOUT },
	{ "/proc/self/fd/1", CONF_OUTPUT_STDOUT },
	{ "/dev/stderr", CONF_OUTPUT_STDERR },
	{ "/dev/fd/2", CONF_OUTPUT_STDERR },
	{ "/proc/self/fd/2", CONF_OUTPUT_STDERR },
	{ NULL, 0 },
};

static const struct conf_key schema[] = {
	[CONF_KEY_LOG_LEVEL] = {
		.name = "log_level", GLOBAL(log_level),
		.type = CONF_TYPE_ENUM, .words = log_levels,
		.preset = "info",
	},
	[CONF_KEY_LOG_FORMAT] = {
		.name = "log_format", GLOBAL(log_format),
		.type = CONF_TYPE_ENUM, .words = log_formats,
		.preset = "text",
	},
	[CONF_KEY_LOG] = {
		.name = "log", GLOBAL(log),
		.type = CONF_TYPE_PATH, .preset = "stderr",
		.nothing = "stderr", .allowed = "a path",
	},
	[CONF_KEY_PIDFILE] = {
		.name = "pidfile", GLOBAL(pidfile),
		.type = CONF_TYPE_PATH, .preset = "none",
		.nothing = "none", .allowed = "a path",
	},
	[CONF_KEY_CONTROL] = {
		.name = "control", GLOBAL(control),
		.type = CONF_TYPE_CONTROL, .preset = "auto",
		.nothing = "none", .allowed = "auto, none or a path",
	},
	[CONF_KEY_CONTROL_GROUP] = {
		.name = "control_group", GLOBAL(control_group),
		.type = CONF_TYPE_ACCOUNT,
		.preset = "none", .nothing = "none",
		.allowed = "the name or number of a group",
	},
	[CONF_KEY_STOP_DELAY] = {
		.name = "stop_delay", GLOBAL(stop_delay_ms),
		DURATION(0), .preset = "0s",
	},
	[CONF_KEY_INCLUDE] = {
		.name = "include", GLOBAL_NOWHERE,
		.type = CONF_TYPE_INCLUDE, .list = true,
		.preset = "none", .nothing = "none",
		.allowed = "files, by paths or patterns such as conf.d/*.ini",
	},
	/* What they come to is in conf_web.c. */
	[CONF_KEY_WEB] = {
		.name = "web", GLOBAL(web),
		.type = CONF_TYPE_TEXT, .preset = "none", .nothing = "none",
		.allowed = "PORT, IPV4:PORT, [IPV6]:PORT or unix:PATH",
	},
	[CONF_KEY_WEB_USER] = {
		.name = "web_user", GLOBAL(web_user),
		.type = CONF_TYPE_ACCOUNT, .preset = "nobody",
		.allowed = "the name of a user",
	},
	[CONF_KEY_WEB_TOKEN_FILE] = {
		.name = "web_token_file", GLOBAL(web_token_file),
		.type = CONF_TYPE_PATH, .preset = "none", .nothing = "none",
		.allowed = "a path",
	},
	[CONF_KEY_WEB_HOST] = {
		.name = "web_host", GLOBAL(web_host),
		.type = CONF_TYPE_TEXT, .preset = "none", .nothing = "none",
		.allowed = "names of hosts",
	},
	[CONF_KEY_ON_EVENT] = {
		.name = "on_event", GLOBAL(on_event),
		.type = CONF_TYPE_COMMAND, .list = true,
		.preset = "none", .nothing = "none",
		.allowed = "a program and its arguments",
	},
	[CONF_KEY_ON_EVENT_USER] = {
		.name = "on_event_user", GLOBAL(on_event_user),
		.type = CONF_TYPE_ACCOUNT, .preset = "nobody",
		.allowed = "the name or number of a user",
	},

	[CONF_KEY_COMMAND] = {
		.name = "command", APP(command),
		.type = CONF_TYPE_COMMAND, .list = true,
		.allowed = "a program and its arguments",
	},
	[CONF_KEY_PORT] = {
		.name = "port", APP(listens),
		.type = CONF_TYPE_PORT, .preset = "none", .nothing = "none",
		.max = UINT16_MAX, .allowed = "a number from 0 to 65535",
	},
	[CONF_KEY_LISTEN] = {
		.name = "listen", APP(listens),
		.type = CONF_TYPE_LISTEN, .list = true,
		.preset = "none", .nothing = "none",
		.allowed = "PORT, IPV4:PORT, [IPV6]:PORT (udp: before it for "
		    "UDP) or unix:PATH",
	},
	[CONF_KEY_SOCKET_MODE] = {
		.name = "socket_mode", APP(socket_mode), .live = true,
		.type = CONF_TYPE_MODE, .preset = "0660", .max = 0777,
		.allowed = "an octal mode from 0 to 0777",
	},
	[CONF_KEY_SOCKET_USER] = {
		.name = "socket_user", APP(socket_user), .live = true,
		.type = CONF_TYPE_ACCOUNT,
		.preset = "inherit", .nothing = "inherit",
		.allowed = "the name or number of a user",
	},
	[CONF_KEY_SOCKET_GROUP] = {
		.name = "socket_group", APP(socket_group), .live = true,
		.type = CONF_TYPE_ACCOUNT,
		.preset = "inherit", .nothing = "inherit",
		.allowed = "the name or number of a group",
	},
	[CONF_KEY_BACKLOG] = {
		.name = "backlog", APP(backlog), .live = true,
		.type = CONF_TYPE_COUNT, .preset = "4096",
		.min = 1, .max = 65535,
		.allowed = "a number from 1 to 65535",
	},
	[CONF_KEY_INSTANCES] = {
		.name = "instances", APP(instances), .live = true,
		.type = CONF_TYPE_INSTANCES, .preset = "auto",
		.min = 1, .max = CONF_INSTANCES_MAX,
		.allowed = "auto, a number from 1 to 4096, a percentage "
			   "from 1% to 1000% or a range such as 2..8",
	},
	[CONF_KEY_SCALE_UP_AFTER] = {
		.name = "scale_up_after", APP(scale_up_ms), .live = true,
		DURATION(0), .preset = "1s",
	},
	[CONF_KEY_SCALE_DOWN_AFTER] = {
		.name = "scale_down_after", APP(scale_down_ms), .live = true,
		DURATION(0), .preset = "60s",
	},
	[CONF_KEY_BALANCE] = {
		.name = "balance", APP(balance),
		.type = CONF_TYPE_ENUM, .words = balances, .preset = "auto",
	},
	[CONF_KEY_SLOW_START] = {
		.name = "slow_start", APP(slow_start_ms), .live = true,
		DURATION(0), .preset = "0s",
	},
	[CONF_KEY_HANDOFF] = {
		.name = "handoff", APP(handoff),
		.type = CONF_TYPE_ENUM, .words = handoffs, .preset = "auto",
	},
	[CONF_KEY_FD_PROTOCOL] = {
		.name = "fd_protocol", APP(fd_protocols),
		.type = CONF_TYPE_FD_PROTOCOL, .words = fd_protocols,
		.list = true, .preset = "auto",
		.allowed = "auto, clusterd, systemd, server-starter, einhorn, "
			   "nginx or php-fpm",
	},
	[CONF_KEY_DIRECTORY] = {
		.name = "directory", APP(directory),
		.type = CONF_TYPE_PATH,
		.preset = "inherit", .nothing = "inherit",
		.allowed = "a path",
	},
	[CONF_KEY_UMASK] = {
		.name = "umask", APP(umask),
		.type = CONF_TYPE_UMASK, .max = 0777,
		.preset = "inherit", .nothing = "inherit",
		.allowed = "an octal mask from 0 to 0777",
	},
	[CONF_KEY_ENV] = {
		.name = "env", APP(env),
		.type = CONF_TYPE_ENV, .list = true,
		.preset = "none", .nothing = "none",
		.allowed = "NAME=value",
	},
	[CONF_KEY_ENV_FILE] = {
		.name = "env_file", APP(env_file),
		.type = CONF_TYPE_PATH, .preset = "none",
		.nothing = "none", .allowed = "a path",
	},
	[CONF_KEY_LIMIT_NOFILE] = {
		.name = "limit_nofile", APP(limit_nofile),
		.type = CONF_TYPE_LIMIT,
		/* A worker needs its standard and listening descriptors;
		   the kernel's own ceiling, fs.nr_open, is below 2^31. */
		.min = 16, .max = 1 << 30,
		.preset = "inherit", .nothing = "inherit",
		.allowed = "a number from 16 to 1073741824",
	},
	[CONF_KEY_USER] = {
		.name = "user", APP(user),
		.type = CONF_TYPE_ACCOUNT,
		.preset = "inherit", .nothing = "inherit",
		.allowed = "the name or number of a user",
	},
	[CONF_KEY_GROUP] = {
		.name = "group", APP(group),
		.type = CONF_TYPE_ACCOUNT,
		.preset = "inherit", .nothing = "inherit",
		.allowed = "the name or number of a group",
	},
	[CONF_KEY_RESTART] = {
		.name = "restart", APP(restart), .live = true,
		.type = CONF_TYPE_ENUM, .words = restarts,
		.preset = "always",
	},
	[CONF_KEY_RESTART_DELAY] = {
		.name = "restart_delay", APP(restart_delay_ms), .live = true,
		DURATION(1), .preset = "100ms",
	},
	[CONF_KEY_RESTART_DELAY_MAX] = {
		.name = "restart_delay_max", APP(restart_delay_max_ms),
		.live = true, DURATION(1), .preset = "30s",
	},
	[CONF_KEY_RESTART_RESET] = {
		.name = "restart_reset", APP(restart_reset_ms), .live = true,
		DURATION(0), .preset = "10s",
	},
	[CONF_KEY_RESTART_LIMIT] = {
		.name = "restart_limit", APP(restart_limit), .live = true,
		.type = CONF_TYPE_RESTART_LIMIT,
		.preset = "none", .nothing = "none",
		.min = 1, .max = 1000,
		.allowed = "none or a number from 1 to 1000, a slash and a "
			   "duration, such as 5/60s",
	},
	[CONF_KEY_SUCCESS_CODES] = {
		.name = "success_codes", APP(success_codes), .live = true,
		.type = CONF_TYPE_CODES, .list = true,
		.preset = "0", .max = 255,
		.allowed = "a list of exit codes from 0 to 255, with "
			   "ranges such as 10-12,",
	},
	[CONF_KEY_READY] = {
		.name = "ready", APP(ready),
		.type = CONF_TYPE_READY, .words = readies,
		.preset = "auto",
		.allowed = "auto, notify, accept, health or alive:DURATION",
	},
	[CONF_KEY_READY_TIMEOUT] = {
		.name = "ready_timeout", APP(ready_timeout_ms), .live = true,
		DURATION(1), .preset = "60s",
	},
	[CONF_KEY_HEALTH] = {
		.name = "health", APP(health),
		.type = CONF_TYPE_HEALTH, .words = healths, .preset = "none",
		.allowed = "none, tcp, http:/PATH, http://NAME/PATH, "
		    "exec:COMMAND, watchdog or queue",
	},
	[CONF_KEY_HEALTH_INTERVAL] = {
		.name = "health_interval", APP(health_interval_ms),
		.live = true, DURATION(10), .preset = "10s",
	},
	[CONF_KEY_HEALTH_TIMEOUT] = {
		.name = "health_timeout", APP(health_timeout_ms), .live = true,
		DURATION(10), .preset = "5s",
	},
	[CONF_KEY_HEALTH_FAILURES] = {
		.name = "health_failures", APP(health_failures), .live = true,
		.type = CONF_TYPE_COUNT, .min = 1, .max = 1000,
		.preset = "3", .allowed = "a number from 1 to 1000",
	},
	/* What it comes to is in conf_web.c. */
	[CONF_KEY_AGENT] = {
		.name = "agent", APP(agent), .live = true,
		.type = CONF_TYPE_TEXT, .preset = "none", .nothing = "none",
		.allowed = "PORT, IPV4:PORT, [IPV6]:PORT or unix:PATH",
	},
	[CONF_KEY_STOP_SIGNAL] = {
		.name = "stop_signal", APP(stop_signal), .live = true,
		.type = CONF_TYPE_SIGNAL, .preset = "TERM",
		.allowed = "a name such as TERM, INT, QUIT or USR1, or a "
			   "number from 1 to 64",
	},
	[CONF_KEY_STOP_TIMEOUT] = {
		.name = "stop_timeout", APP(stop_timeout_ms), .live = true,
		DURATION(0), .preset = "10s",
	},
	[CONF_KEY_STOP_TO] = {
		.name = "stop_to", APP(stop_to), .live = true,
		.type = CONF_TYPE_ENUM, .words = stop_tos, .preset = "process",
	},
	[CONF_KEY_ORPHANS] = {
		.name = "orphans", APP(orphans), .live = true,
		.type = CONF_TYPE_ENUM, .words = orphans, .preset = "stop",
	},
	[CONF_KEY_DRAIN_TIMEOUT] = {
		.name = "drain_timeout", APP(drain_timeout_ms), .live = true,
		DURATION(0), .preset = "10s",
	},
	[CONF_KEY_DRAIN_IDLE] = {
		.name = "drain_idle", APP(drain_idle_ms), .live = true,
		.type = CONF_TYPE_DURATION, .max = DURATION_MAX_MS,
		.preset = "5s", .nothing = "off",
		.allowed = "a duration such as 500ms, 10s, 5m or 1h, or off",
	},
	[CONF_KEY_DRAIN_SIGNAL] = {
		.name = "drain_signal", APP(drain_signal), .live = true,
		.type = CONF_TYPE_SIGNAL, .preset = "none", .nothing = "none",
		.allowed = "none, a name such as USR1 or WINCH, or a number "
			   "from 1 to 64",
	},
	[CONF_KEY_MAX_SURGE] = {
		.name = "max_surge", APP(max_surge), .live = true,
		.type = CONF_TYPE_COUNT, .preset = "1",
		.min = 0, .max = CONF_INSTANCES_MAX,
		.allowed = "a number from 0 to 4096",
	},
	[CONF_KEY_CANARY] = {
		.name = "canary", APP(canary_ms), .live = true,
		DURATION(0), .preset = "1s",
	},
	[CONF_KEY_AFTER] = {
		.name = "after", APP(after), .live = true,
		.type = CONF_TYPE_APPS, .list = true,
		.preset = "none", .nothing = "none",
		.allowed = "none, or names of other apps of this file",
	},
	[CONF_KEY_MAX_MEMORY] = {
		.name = "max_memory", APP(max_memory), .live = true,
		.type = CONF_TYPE_SIZE, .preset = "none", .nothing = "none",
		.min = 1024 * 1024, .max = SIZE_MAX_BYTES,
		.allowed = "a size from 1M to 1024G, such as 512M, or none",
	},
	[CONF_KEY_MAX_AGE] = {
		.name = "max_age", APP(max_age_ms), .live = true,
		.type = CONF_TYPE_DURATION, .preset = "none",
		.nothing = "none", .min = 1000, .max = DURATION_MAX_MS,
		.allowed = "a duration of 1s or more, such as 6h, or none",
	},
	[CONF_KEY_MAX_CONNECTIONS] = {
		.name = "max_connections", APP(max_connections), .live = true,
		.type = CONF_TYPE_LIMIT, .preset = "none", .nothing = "none",
		.min = 1, .max = UINT64_C(1) << 40,
		.allowed = "a number such as 100000, or none",
	},
	[CONF_KEY_MEMORY_LIMIT] = {
		.name = "memory_limit", APP(memory_limit),
		.type = CONF_TYPE_SIZE, .preset = "none", .nothing = "none",
		.min = 1024 * 1024, .max = SIZE_MAX_BYTES,
		.allowed = "a size from 1M to 1024G, such as 512M, or none",
	},
	[CONF_KEY_CPU_LIMIT] = {
		.name = "cpu_limit", APP(cpu_limit),
		.type = CONF_TYPE_CPUS, .preset = "none", .nothing = "none",
		/* The kernel takes a millisecond of its period at least. */
		.min = 10, .max = 10000 * 1000,
		.allowed = "a number of CPUs from 0.01 to 10000, such as 0.5 "
		    "or 2, a percentage of one such as 50%, or none",
	},
	[CONF_KEY_TASKS_LIMIT] = {
		.name = "tasks_limit", APP(tasks_limit),
		.type = CONF_TYPE_LIMIT, .preset = "none", .nothing = "none",
		.min = 1, .max = 1 << 22,
		.allowed = "a number from 1 to 4194304, or none",
	},
	[CONF_KEY_STDIN] = {
		.name = "stdin", APP(in),
		.type = CONF_TYPE_ENUM, .words = stdins, .preset = "null",
	},
	[CONF_KEY_STDOUT] = {
		.name = "stdout", APP(out),
		.type = CONF_TYPE_OUTPUT, .words = outputs,
		.preset = "inherit",
		.allowed = "inherit, null, prefix or a path",
	},
	[CONF_KEY_STDERR] = {
		.name = "stderr", APP(err),
		.type = CONF_TYPE_OUTPUT, .words = outputs,
		.preset = "inherit",
		.allowed = "inherit, null, prefix or a path",
	},
	[CONF_KEY_LOG_MAX_SIZE] = {
		.name = "log_max_size", APP(log_max_size), .live = true,
		.type = CONF_TYPE_SIZE, .preset = "10M", .nothing = "none",
		/* No line is longer than the least. */
		.min = 64 * 1024, .max = SIZE_MAX_BYTES,
		.allowed = "a size from 64K to 1024G, such as 512K, 10M or "
			   "2G, or none",
	},
	[CONF_KEY_LOG_KEEP] = {
		.name = "log_keep", APP(log_keep), .live = true,
		.type = CONF_TYPE_COUNT, .preset = "5",
		.min = 0, .max = 1000,
		.allowed = "a number from 0 to 1000",
	},
	[CONF_KEY_LOG_TIME] = {
		.name = "log_time", APP(log_time),
		.type = CONF_TYPE_ENUM, .words = log_times, .preset = "none",
	},
};

static_assert(sizeof(schema) / sizeof(schema[0]) == CONF_KEY_N,
    "a row for each key");

static bool
is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool
conf_name_valid(const char *name, size_t len)
{
	if (len == 0 || len > CONF_NAME_MAX || !is_name_byte(name[0]))
		return false;
	for (size_t i = 1; i < len; i++) {
		if (!is_name_byte(name[i]) && name[i] != '_' && name[i] != '-')
			return false;
	}
	return true;
}

const struct conf_key *
conf_schema(size_t *ret_n)
{
	*ret_n = CONF_KEY_N;
	return schema;
}

const struct conf_key *
conf_schema_find(enum conf_scope scope, const char *name)
{
	for (size_t i = 0; i < CONF_KEY_N; i++) {
		if (schema[i].scope == scope &&
		    strcmp(schema[i].name, name) == 0)
			return &schema[i];
	}
	return NULL;
}

const char *
conf_schema_near(enum conf_scope scope, const char *name)
{
	const char *best = NULL;
	unsigned distance = CONF_NEAR_INIT;

	for (size_t i = 0; i < CONF_KEY_N; i++) {
		if (schema[i].scope == scope)
			conf_near(name, schema[i].name, &best, &distance);
	}
	return best;
}

#define NEAR_LEN 32	/* longer than any word of ours */

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static unsigned
min_of(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/*
 * Damerau-Levenshtein distance (optimal string alignment), upper and lower
 * case alike. Three rows of the matrix are enough.
 */
static unsigned
distance_between(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned rows[3][NEAR_LEN + 1] = { { 0 } };
	unsigned *before = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= b_len; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned *reused = before;

		before = above;
		above = row;
		row = reused;
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			char x = lower(a[i - 1]), y = lower(b[j - 1]);

			row[j] = min_of(min_of(above[j], row[j - 1]) + 1,
			    above[j - 1] + (x != y));
			if (i > 1 && j > 1 && x == lower(b[j - 2]) &&
			    lower(a[i - 2]) == y)
				row[j] = min_of(row[j], before[j - 2] + 1);
		}
	}
	return row[b_len];
}

void
conf_near(const char *text, const char *word, const char **best,
    unsigned *best_distance)
{
	size_t text_len = strlen(text), word_len = strlen(word);
	size_t least = text_len > word_len ? text_len - word_len :
					     word_len - text_len;
	unsigned distance;

	if (text_len > NEAR_LEN || word_len > NEAR_LEN ||
	    least >= *best_distance)
		return;
	distance = distance_between(text, text_len, word, word_len);
	if (distance < *best_distance && distance <= word_len / 3) {
		*best = word;
		*best_distance = distance;
	}
}
