#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "core/conf/conf.h"
#include "core/conf/conf_env.h"
#include "core/conf/conf_parse.h"
#include "core/conf/conf_parse_app.h"
#include "core/conf/conf_parse_health.h"
#include "core/conf/conf_parse_listen.h"
#include "core/conf/conf_schema.h"
#include "core/conf/conf_value.h"

#define ACCOUNT_MAX	256

static int
parse_enum(const struct conf_value *v, void *target)
{
	unsigned value;
	int r = conf_value_word(v, 0, v->lines[0], &value);

	/* The enums that rows point at have no negative member. */
	if (r == 0 && v->key->offset != CONF_NOWHERE)
		memcpy(conf_value_field(v, target), &value, sizeof(value));
	return r;
}

static int
parse_count(const struct conf_value *v, void *target)
{
	uint64_t number;

	if (!num_parse(v->lines[0], v->key->min, v->key->max, &number))
		return conf_refuse_text(v, 0, v->lines[0]);
	*(unsigned *)conf_value_field(v, target) = (unsigned)number;
	return 0;
}

static int
parse_limit(const struct conf_value *v, void *target)
{
	uint64_t number;
	int64_t limit = -1;

	if (!conf_value_is_nothing(v)) {
		if (!num_parse(v->lines[0], v->key->min, v->key->max, &number))
			return conf_refuse_text(v, 0, v->lines[0]);
		limit = (int64_t)number;
	}
	*(int64_t *)conf_value_field(v, target) = limit;
	return 0;
}

static int
parse_mode(const struct conf_value *v, void *target)
{
	uint64_t mode;

	if (!num_parse_octal(v->lines[0], v->key->max, &mode))
		return conf_refuse_text(v, 0, v->lines[0]);
	*(uint32_t *)conf_value_field(v, target) = (uint32_t)mode;
	return 0;
}

static int
parse_umask(const struct conf_value *v, void *target)
{
	uint64_t mask;
	int32_t value = -1;

	if (!conf_value_is_nothing(v)) {
		if (!num_parse_octal(v->lines[0], v->key->max, &mask))
			return conf_refuse_text(v, 0, v->lines[0]);
		value = (int32_t)mask;
	}
	*(int32_t *)conf_value_field(v, target) = value;
	return 0;
}

static int
parse_duration(const struct conf_value *v, void *target)
{
	if (v->key->nothing != NULL && conf_value_is_nothing(v)) {
		*(int64_t *)conf_value_field(v, target) = -1;
		return 0;
	}
	return conf_value_duration(v, v->lines[0], (int64_t)v->key->min,
	    (int64_t)v->key->max, conf_value_field(v, target));
}

/* `512K`, `64M`, `2G`, or a bare number of bytes. */
static bool
read_size(const char *text, uint64_t *ret_bytes)
{
	static const char suffixes[] = "KMG";
	char digits[24];
	size_t len = strspn(text, "0123456789");
	const char *unit = text + len;
	unsigned shift = 0;
	uint64_t number;

	if (len >= sizeof(digits))
		return false;
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (*unit != '\0') {
		const char *found = strchr(suffixes, *unit);

		if (found == NULL || unit[1] != '\0')
			return false;
		shift = 10 * (unsigned)(found - suffixes + 1);
	}
	if (!num_parse(digits, 0, INT64_MAX >> shift, &number))
		return false;
	*ret_bytes = number << shift;
	return true;
}

static int
parse_size(const struct conf_value *v, void *target)
{
	uint64_t bytes = UINT64_MAX;

	if (!conf_value_is_nothing(v) &&
	    (!read_size(v->lines[0], &bytes) || bytes < v->key->min ||
	    bytes > v->key->max))
		return conf_refuse_text(v, 0, v->lines[0]);
	*(int64_t *)conf_value_field(v, target) = (int64_t)bytes;
	return 0;
}

/* `0.5`, `2` or `50%`; three places behind the point. */
static bool
read_cpus(const char *text, uint64_t *ret_thousandths)
{
	char digits[16];
	size_t len = strspn(text, "0123456789"), places = 0;
	const char *rest = text + len;
	uint64_t number;

	if (len == 0 || len > 9)
		return false;
	memcpy(digits, text, len);
	if (*rest == '.') {
		places = strspn(rest + 1, "0123456789");
		if (places == 0 || places > 3)
			return false;
		memcpy(digits + len, rest + 1, places);
		rest += 1 + places;
	}
	for (size_t i = places; i < 3; i++)
		digits[len + i] = '0';
	digits[len + 3] = '\0';
	if (strcmp(rest, "") != 0 && strcmp(rest, "%") != 0)
		return false;
	if (!num_parse(digits + strspn(digits, "0"), 0, UINT64_MAX, &number))
		return false;
	*ret_thousandths = *rest == '%' ? number / 100 : number;
	return true;
}

static int
parse_cpus(const struct conf_value *v, void *target)
{
	uint64_t thousandths = UINT64_MAX;

	if (!conf_value_is_nothing(v) &&
	    (!read_cpus(v->lines[0], &thousandths) ||
	    thousandths < v->key->min || thousandths > v->key->max))
		return conf_refuse_text(v, 0, v->lines[0]);
	*(int64_t *)conf_value_field(v, target) = (int64_t)thousandths;
	return 0;
}

static void
replace(char **at, char *owned)
{
	free(*at);
	*at = owned;
}

static int
parse_path(const struct conf_value *v, void *target)
{
	char *path = NULL;
	int r = 0;

	if (!conf_value_is_nothing(v))
		r = conf_value_expanded(v, v->lines[0], &path);
	if (r == 0)
		replace(conf_value_field(v, target), path);
	return r;
}

/* auto, none, or the path of a Unix socket. */
static int
parse_control(const struct conf_value *v, void *target)
{
	struct config *config = target;
	bool chosen = strcmp(v->lines[0], CONF_CONTROL_AUTO) == 0;
	char *path = NULL;
	int r = 0;

	if (!chosen && !conf_value_is_nothing(v))
		r = conf_value_absolute(v, v->lines[0], &path);
	if (path != NULL && strlen(path) > CONF_CONTROL_PATH_MAX) {
		r = conf_refuse(v, 0, "\"%.60s\" and so on is too long for a "
		    "Unix socket, a path of %d bytes is allowed", path,
		    CONF_CONTROL_PATH_MAX);
		free(path);
	}
	if (r < 0)
		return r;
	replace(&config->control, path);
	config->control_auto = chosen;
	return 0;
}

/* What is no word, nor nearly one, is a file. */
static bool
means_file(const struct conf_value *v, const char *text)
{
	const char *near = NULL;
	unsigned distance = CONF_NEAR_INIT;

	if (*text == '\0' || strchr(text, '/') != NULL)
		return *text != '\0';
	for (const struct conf_word *w = v->key->words; w->word != NULL; w++)
		conf_near(text, w->word, &near, &distance);
	return near == NULL;
}

/* A descriptor of clusterd's, other than its standard output and error? */
static bool
is_descriptor(const char *path)
{
	return str_starts(path, "/dev/fd/") || strcmp(path, "/dev/stdin") == 0 ||
	    str_starts(path, "/proc/self/fd/");
}

static int
parse_output(const struct conf_value *v, void *target)
{
	struct conf_output *output = conf_value_field(v, target);
	const struct conf_word *w = v->key->words;
	unsigned kind = CONF_OUTPUT_FILE;
	char *path = NULL;
	int r;

	while (w->word != NULL && strcmp(w->word, v->lines[0]) != 0)
		w++;
	if (w->word == NULL && is_descriptor(v->lines[0]))
		return conf_refuse(v, 0, "\"%.60s\" is no place for output: of "
		    "clusterd's descriptors /dev/stdout and /dev/stderr are "
		    "allowed", v->lines[0]);
	if (w->word == NULL && means_file(v, v->lines[0]))
		r = conf_value_expanded(v, v->lines[0], &path);
	else
		r = conf_value_word(v, 0, v->lines[0], &kind);
	if (r < 0)
		return r;
	replace(&output->path, path);
	output->kind = (enum conf_output_kind)kind;
	return 0;
}

static int
parse_account(const struct conf_value *v, void *target)
{
	const char *name = v->lines[0];
	char *copy = NULL;

	if (!conf_value_is_nothing(v)) {
		/* What neither passwd(5) nor a directory can hold. */
		if (*name == '\0' || strpbrk(name, " \t:/,") != NULL ||
		    strlen(name) > ACCOUNT_MAX)
			return conf_refuse_text(v, 0, name);
		copy = strdup(name);
		if (copy == NULL)
			return -ENOMEM;
	}
	replace(conf_value_field(v, target), copy);
	return 0;
}

/* What it names was read before; where nobody did that, it has no effect. */
static int
parse_include(const struct conf_value *v, void *target)
{
	(void)target;
	for (size_t i = 0; i < v->n; i++)
		if (v->lines[i][0] == '\0' && (i > 0 || v->n == 1))
			return conf_refuse_text(v, i, v->lines[i]);
	return 0;
}

static int
parse_text(const struct conf_value *v, void *target)
{
	char *copy = NULL;

	if (v->lines[0][0] == '\0')
		return conf_refuse_text(v, 0, v->lines[0]);
	if (!conf_value_is_nothing(v)) {
		copy = strdup(v->lines[0]);
		if (copy == NULL)
			return -ENOMEM;
	}
	replace(conf_value_field(v, target), copy);
	return 0;
}

int
conf_parse(const struct conf_value *value, void *target)
{
	static int (*const parsers[])(const struct conf_value *, void *) = {
		[CONF_TYPE_ENUM] = parse_enum,
		[CONF_TYPE_COUNT] = parse_count,
		[CONF_TYPE_LIMIT] = parse_limit,
		[CONF_TYPE_MODE] = parse_mode,
		[CONF_TYPE_UMASK] = parse_umask,
		[CONF_TYPE_DURATION] = parse_duration,
		[CONF_TYPE_SIZE] = parse_size,
		[CONF_TYPE_CPUS] = parse_cpus,
		[CONF_TYPE_PATH] = parse_path,
		[CONF_TYPE_ACCOUNT] = parse_account,
		[CONF_TYPE_INCLUDE] = parse_include,
		[CONF_TYPE_TEXT] = parse_text,
		[CONF_TYPE_CONTROL] = parse_control,
		[CONF_TYPE_OUTPUT] = parse_output,
		[CONF_TYPE_COMMAND] = conf_parse_command,
		[CONF_TYPE_PORT] = conf_parse_port,
		[CONF_TYPE_LISTEN] = conf_parse_listen,
		[CONF_TYPE_INSTANCES] = conf_parse_instances,
		[CONF_TYPE_FD_PROTOCOL] = conf_parse_fd_protocol,
		[CONF_TYPE_ENV] = conf_parse_env,
		[CONF_TYPE_RESTART_LIMIT] = conf_parse_restart_limit,
		[CONF_TYPE_CODES] = conf_parse_codes,
		[CONF_TYPE_READY] = conf_parse_ready,
		[CONF_TYPE_SIGNAL] = conf_parse_signal,
		[CONF_TYPE_APPS] = conf_parse_apps,
		[CONF_TYPE_HEALTH] = conf_parse_health,
	};

	static_assert(sizeof(parsers) / sizeof(parsers[0]) == CONF_TYPE_N,
	    "a parser for each type");
	assert(parsers[value->key->type] != NULL && value->n > 0);
	if (value->n > 1 && !value->key->list)
		return conf_refuse(value, 1, "takes one value, but this "
		    "indented line continues it; a key starts its line");
	return parsers[value->key->type](value, target);
}
