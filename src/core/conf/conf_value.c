#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_schema.h"
#include "core/conf/conf_value.h"
#include "core/names/address.h"
#include "core/names/placeholder.h"

#define PATH_MAX_BYTES	4095	/* the kernel takes no more */

const char *
conf_value_comment(const char *text)
{
	for (const char *s = text; *s != '\0'; s++)
		if ((*s == '#' || *s == ';') && s > text &&
		    (s[-1] == ' ' || s[-1] == '\t'))
			return "; a comment stands on a line of its own";
	return "";
}

/* In these two it may be what is meant. */
static const char *
comment_in(const struct conf_value *v, size_t i)
{
	if (v->lines == NULL || v->key->type == CONF_TYPE_COMMAND ||
	    v->key->type == CONF_TYPE_ENV)
		return "";
	return conf_value_comment(v->lines[i]);
}

int
conf_refuse(const struct conf_value *v, size_t i, const char *fmt, ...)
{
	char *words = NULL;
	va_list ap;

	/* A line may have very many, and be very long. */
	if (conf_errors_full(v->errors, v->numbers[i])) {
		v->errors->dropped++;
		return -EINVAL;
	}
	va_start(ap, fmt);
	if (vasprintf(&words, fmt, ap) < 0)
		words = NULL;
	va_end(ap);
	if (words == NULL)
		v->errors->dropped++;
	else
		conf_error_add(v->errors, v->numbers[i], v->key->name,
		    "%s%s", words, comment_in(v, i));
	free(words);
	return -EINVAL;
}

int
conf_refuse_text(const struct conf_value *v, size_t i, const char *text)
{
	return conf_refuse(v, i, "\"%.60s\" is not valid, %s is allowed",
	    text, v->key->allowed);
}

bool
conf_value_is_nothing(const struct conf_value *v)
{
	return v->n == 1 && v->key->nothing != NULL &&
	    strcmp(v->lines[0], v->key->nothing) == 0;
}

void *
conf_value_field(const struct conf_value *v, void *target)
{
	return (char *)target + v->key->offset;
}

/* Words of the table that may be used, as "a, b or c". */
static void
add_words(struct strbuf *sb, const struct conf_word *words)
{
	size_t n = 0, left = 0;

	for (size_t i = 0; words[i].word != NULL; i++)
		left++;
	for (size_t i = 0; words[i].word != NULL; i++) {
		left--;
		if (n++ > 0)
			strbuf_puts(sb, left == 0 ? " or " : ", ");
		strbuf_puts(sb, words[i].word);
	}
}

static int
refuse_word(const struct conf_value *v, size_t i, const char *text)
{
	struct strbuf allowed = STRBUF_INIT;
	const char *near = NULL;
	unsigned distance = CONF_NEAR_INIT;
	int r = -ENOMEM;

	if (v->key->allowed != NULL)
		strbuf_puts(&allowed, v->key->allowed);
	else
		add_words(&allowed, v->key->words);
	if (allowed.failed)
		goto out;

	for (size_t j = 0; v->key->words[j].word != NULL; j++)
		conf_near(text, v->key->words[j].word, &near, &distance);
	if (near != NULL)
		r = conf_refuse(v, i, "\"%.60s\" is not known, did you mean "
		    "%s? %s is allowed", text, near, allowed.text);
	else
		r = conf_refuse(v, i, "\"%.60s\" is not known, %s is allowed",
		    text, allowed.text);
out:
	strbuf_free(&allowed);
	return r;
}

int
conf_value_word(const struct conf_value *v, size_t i, const char *text,
    unsigned *ret_value)
{
	const struct conf_word *w;

	for (w = v->key->words; w->word != NULL; w++) {
		if (strcmp(w->word, text) == 0)
			break;
	}
	if (w->word == NULL)
		return refuse_word(v, i, text);
	*ret_value = w->value;
	return 0;
}

bool
conf_duration_parse(const char *text, int64_t *ret_ms)
{
	static const struct {
		const char *suffix;
		uint64_t ms;
	} units[] = {
		{ "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 },
		{ "", 1000 },
	};
	char digits[24];
	size_t len = strspn(text, "0123456789");
	uint64_t number;

	if (len >= sizeof(digits))
		return false;
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (!num_parse(digits, 0, INT64_MAX, &number))
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(text + len, units[i].suffix) != 0)
			continue;
		if (number > INT64_MAX / units[i].ms)
			return false;
		*ret_ms = (int64_t)(number * units[i].ms);
		return true;
	}
	return false;
}

/* In the largest unit that is exact. */
void
conf_duration_print(struct strbuf *sb, int64_t ms)
{
	static const struct {
		const char *suffix;
		int64_t ms;
	} units[] = { { "h", 3600000 }, { "m", 60000 }, { "s", 1000 } };

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (ms % units[i].ms == 0 && (ms > 0 || units[i].ms == 1000)) {
			strbuf_printf(sb, "%lld%s",
			    (long long)(ms / units[i].ms), units[i].suffix);
			return;
		}
	}
	strbuf_printf(sb, "%lldms", (long long)ms);
}

void
conf_size_print(struct strbuf *sb, int64_t bytes)
{
	static const char suffixes[] = "KMG";
	size_t i = 0;

	while (suffixes[i] != '\0' && bytes > 0 && bytes % 1024 == 0) {
		bytes /= 1024;
		i++;
	}
	strbuf_printf(sb, "%lld", (long long)bytes);
	if (i > 0)
		strbuf_putc(sb, suffixes[i - 1]);
}

int
conf_value_duration(const struct conf_value *v, const char *text, int64_t min,
    int64_t max, int64_t *ret_ms)
{
	int64_t ms;

	if (!conf_duration_parse(text, &ms))
		return conf_refuse(v, 0, "\"%.60s\" is not a duration, a "
		    "number with ms, s, m or h behind it is allowed, such as "
		    "500ms or 10s", text);
	if (ms < min)
		return conf_refuse(v, 0, "\"%.60s\" is too short, at least "
		    "%lldms is allowed", text, (long long)min);
	if (ms > max)
		return conf_refuse(v, 0, "\"%.60s\" is too long, at most %lldh "
		    "is allowed", text, (long long)(max / 3600000));
	*ret_ms = ms;
	return 0;
}

char *
conf_value_trim(char *s)
{
	size_t len;

	s += strspn(s, " \t");
	len = strlen(s);
	while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t'))
		s[--len] = '\0';
	return s;
}

int
conf_value_absolute(const struct conf_value *v, const char *path,
    char **ret_path)
{
	char *full;
	size_t len;

	if (*path == '\0')
		return conf_refuse(v, 0, "the path is empty, %s is needed",
		    v->key->allowed);
	full = address_path(path, v->base_dir);
	if (full == NULL)
		return -ENOMEM;
	len = strlen(full);
	if (address_has_control(full)) {
		conf_refuse(v, 0, "\"%.60s\" holds a control byte, a path "
		    "without is allowed", full);
	} else if (len > PATH_MAX_BYTES) {
		conf_refuse(v, 0, "\"%.60s\" and so on is too long, a path "
		    "of %d bytes is allowed", full, PATH_MAX_BYTES);
	} else if (full[len - 1] == ' ' || full[len - 1] == '\t') {
		conf_refuse(v, 0, "\"%.60s\" ends in a blank, a path without "
		    "is allowed", full);
	} else {
		*ret_path = full;
		return 0;
	}
	free(full);
	return -EINVAL;
}

int
conf_value_expand(const struct conf_value *v, size_t i, const char *text,
    char **ret_text)
{
	const struct placeholders none = { .env = NULL };
	const struct placeholders *p = v->placeholders;
	size_t len = 0;
	const char *unset = p == NULL ? NULL :
	    placeholder_find_unset(text, p->env, &len);

	if (unset != NULL)
		return conf_refuse(v, i, "%.*s: there is no such variable in "
		    "clusterd's environment", (int)(len < 60 ? len : 60),
		    unset);
	*ret_text = placeholders_expand(p != NULL ? p : &none, text);
	return *ret_text != NULL ? 0 : -ENOMEM;
}

int
conf_value_expanded(const struct conf_value *v, const char *path,
    char **ret_path)
{
	char *text = NULL;
	int r = conf_value_expand(v, 0, path, &text);

	if (r == 0)
		r = conf_value_absolute(v, text, ret_path);
	free(text);
	return r;
}
