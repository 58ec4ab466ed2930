/*
 * One value as it stands in the file, and what its parsers (conf_parse.c,
 * conf_parse_app.c, conf_parse_listen.c, conf_env.c) have in common.
 */
#ifndef CORE_CONF_CONF_VALUE_H
#define CORE_CONF_CONF_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conf_errors;
struct conf_key;
struct placeholders;
struct strbuf;

/* One value as it stands in the file, or a default. */
struct conf_value {
	const struct conf_key *key;
	const char *base_dir;		/* absolute, for relative paths */
	struct conf_errors *errors;
	struct conf_errors *warnings;	/* NULL but for env_file */
	char *const *lines;		/* n, at least one */
	const unsigned *numbers;	/* the line number of each */
	size_t n;
	/* For port and listen: where each of app->listens was written. */
	unsigned *listen_lines;
	/* Those that can be replaced when the file is read; NULL: none. */
	const struct placeholders *placeholders;
};

/* `500ms`, `10s`, `5m`, `1h`, or a bare number of seconds. False: none of
   these, or too long for int64_t. */
bool conf_duration_parse(const char *text, int64_t *ret_ms);

/* In the largest unit that is exact; conf_duration_parse() reads it back. */
void conf_duration_print(struct strbuf *sb, int64_t ms);

/* Bytes, in the largest unit that is exact: `512M`. */
void conf_size_print(struct strbuf *sb, int64_t bytes);

/* What a message about the value goes on with: that a comment stands on a line
   of its own, if it looks as if there were one in it, or "". */
const char *conf_value_comment(const char *text);

/* Add an error about line `i` of the value; returns -EINVAL. */
int conf_refuse(const struct conf_value *v, size_t i, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The usual one: `text` is not valid, what key->allowed says is. */
int conf_refuse_text(const struct conf_value *v, size_t i, const char *text);

/* Whether it is the word for "no value of my own". */
bool conf_value_is_nothing(const struct conf_value *v);

/* The field of the target that the row names. */
void *conf_value_field(const struct conf_value *v, void *target);

/* Look `text` up in key->words. 0, -EINVAL (added), -ENOMEM. */
int conf_value_word(const struct conf_value *v, size_t i, const char *text,
    unsigned *ret_value);

/* A duration from min to max, found on the first line. 0, -EINVAL (added). */
int conf_value_duration(const struct conf_value *v, const char *text,
    int64_t min, int64_t max, int64_t *ret_ms);

/*
 * `path` as address_path() makes it, and such that it stays the same behind a
 * key: no control byte, no blank at the end. The caller frees *ret_path. 0,
 * -EINVAL (added), -ENOMEM.
 */
int conf_value_absolute(const struct conf_value *v, const char *path,
    char **ret_path);

/* `text`, on line `i`, with what can be replaced when the file is read. The
   caller frees *ret_text. 0, -EINVAL (added), -ENOMEM. */
int conf_value_expand(const struct conf_value *v, size_t i, const char *text,
    char **ret_text);

/* conf_value_absolute() of that. */
int conf_value_expanded(const struct conf_value *v, const char *path,
    char **ret_path);

/* Cut blanks off the end of `s` and return its first byte that is none. */
char *conf_value_trim(char *s);

#endif
