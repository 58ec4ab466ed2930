/*
 * Values: text to fields. conf_value_parse() does what a row of the schema
 * asks for; the rest is shared with conf_check.c and conf_print.c.
 */
#ifndef CORE_CONF_VALUE_H
#define CORE_CONF_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conf_errors;
struct conf_host;
struct conf_key;
struct error;
struct strbuf;
struct strlist;

/* One value as it stands in the file, or a default. */
struct conf_value {
	const struct conf_key *key;
	const struct conf_host *host;
	struct conf_errors *errors;
	char *const *lines;		/* n, at least one */
	const unsigned *numbers;	/* the line number of each */
	size_t n;
	/* For port and listen: where each of app->listens was written. */
	unsigned *listen_lines;
};

/*
 * Parse into the target of key->scope. Replaces what stood there before (but
 * appends to app->listens). 0; -EINVAL when something was added to
 * value->errors; -ENOMEM. A row of CONF_TYPE_LATER has no parser.
 */
int conf_value_parse(const struct conf_value *value, void *target);

/* `500ms`, `10s`, `5m`, `1h`, or a bare number of seconds. */
bool conf_duration_parse(const char *text, int64_t *ret_ms);
void conf_duration_print(struct strbuf *sb, int64_t ms);

/*
 * What is wrong with the name of `NAME=value`, in words that go on a sentence
 * ("is set by clusterd itself"), or NULL.
 */
const char *conf_env_problem(const char *entry);

/*
 * A file of NAME=value lines, the simple part of systemd's EnvironmentFile:
 * blank lines, comments (# or ;), `export ` before a name, one pair of quotes
 * around a value. Appends to `entries`; problems are added to value->errors as
 * `PATH:LINE: ...`, without the line's content, which may be secret. 0,
 * -EINVAL, -ENOMEM.
 */
int conf_env_file_parse(const struct conf_value *value, const char *path,
    const char *text, size_t len, struct strlist *entries);

#endif
