/*
 * ` ;` and ` #` end a value, within quotes too; a section that is there twice is
 * one, key by key, and the last wins; keys are in any case.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/import/supervisord_file.h"

#define PAIRS_MAX 65536

void
supervisord_file_free(struct supervisord_file *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].section);
		free(f->v[i].key);
		strbuf_free(&f->v[i].value);
	}
	free(f->v);
	free(f->section);
}

/* ---- bytes to pairs ---- */

char *
supervisord_trimmed(const char *at, size_t len)
{
	while (len > 0 && strchr(" \t\r", *at) != NULL) {
		at++;
		len--;
	}
	while (len > 0 && strchr(" \t\r", at[len - 1]) != NULL)
		len--;
	return strndup(at, len);
}

/* Where a comment begins: at ` ;` and ` #`, whatever quotes there are. */
static size_t
without_comment(const char *value, size_t len)
{
	for (size_t i = 1; i < len; i++)
		if ((value[i] == ';' || value[i] == '#') &&
		    (value[i - 1] == ' ' || value[i - 1] == '\t'))
			return i;
	return len;
}

struct supervisord_pair *
supervisord_file_find(const struct supervisord_file *f, const char *section,
    const char *key)
{
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->v[i].section, section) == 0 &&
		    (key == NULL ? f->v[i].key == NULL :
		    f->v[i].key != NULL && strcmp(f->v[i].key, key) == 0))
			return &f->v[i];
	return NULL;
}

/* The pair of that key, which is there once. -E2BIG, -ENOMEM. */
static int
put_pair(struct supervisord_file *f, char *key, struct supervisord_pair **ret)
{
	struct supervisord_pair *p = supervisord_file_find(f, f->section, key), *v;

	if (p != NULL) {
		strbuf_free(&p->value);
		free(key);
		*ret = p;
		return 0;
	}
	if (f->n >= PAIRS_MAX) {
		free(key);
		return -E2BIG;
	}
	v = (f->n & (f->n - 1)) == 0 ? reallocarray(f->v,
	    f->n > 0 ? 2 * f->n : 1, sizeof(*v)) : f->v;
	if (v != NULL) {
		f->v = v;
		v[f->n] = (struct supervisord_pair){
			.section = strdup(f->section), .key = key,
			.value = STRBUF_INIT,
		};
		*ret = &v[f->n];
		if (v[f->n++].section != NULL)
			return 0;
		return -ENOMEM;
	}
	free(key);
	return -ENOMEM;
}

static int
read_section(struct supervisord_file *f, const char *at, size_t len,
    struct supervisord_pair **above)
{
	const char *end = memchr(at, ']', len);

	if (end == NULL)
		return -EINVAL;
	free(f->section);
	f->section = supervisord_trimmed(at + 1, (size_t)(end - at) - 1);
	if (f->section == NULL)
		return -ENOMEM;
	if (supervisord_file_find(f, f->section, NULL) == NULL &&
	    put_pair(f, NULL, above) < 0)
		return -ENOMEM;
	*above = NULL;
	return 0;
}

static int
read_pair(struct supervisord_file *f, const char *at, size_t len,
    struct supervisord_pair **above)
{
	size_t end = 0;
	char *key, *value;
	int r;

	while (end < len && at[end] != '=' && at[end] != ':')
		end++;
	if (end == len || f->section == NULL)
		return -EINVAL;
	key = supervisord_trimmed(at, end);
	if (key == NULL)
		return -ENOMEM;
	for (char *s = key; *s != '\0'; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s - 'A' + 'a');
	r = put_pair(f, key, above);
	if (r < 0)
		return r;
	value = supervisord_trimmed(at + end + 1, without_comment(at + end + 1,
	    len - end - 1));
	if (value == NULL)
		return -ENOMEM;
	strbuf_puts(&(*above)->value, value);
	free(value);
	return (*above)->value.failed ? -ENOMEM : 0;
}

/* More of the value above, as one with it. */
static int
read_more(struct supervisord_pair *above, const char *at, size_t len)
{
	char *value = supervisord_trimmed(at, without_comment(at, len));

	if (value == NULL)
		return -ENOMEM;
	if (*value != '\0') {
		strbuf_putc(&above->value, ' ');
		strbuf_puts(&above->value, value);
	}
	free(value);
	return above->value.failed ? -ENOMEM : 0;
}

static int
read_line(struct supervisord_file *f, const char *at, size_t len,
    struct supervisord_pair **above)
{
	size_t blanks = 0;

	while (blanks < len && strchr(" \t\r", at[blanks]) != NULL)
		blanks++;
	if (blanks == len || at[blanks] == ';' || at[blanks] == '#')
		return 0;
	if (memchr(at, '\0', len) != NULL)
		return -EINVAL;
	if (*at == '[')
		return read_section(f, at, len, above);
	if (blanks > 0 && *above != NULL)
		return read_more(*above, at, len);
	return read_pair(f, at, len, above);
}

int
supervisord_file_read(struct supervisord_file *f, const char *text, size_t len,
    struct error *err)
{
	const char *end = text + len;
	struct supervisord_pair *above = NULL;
	unsigned line = 1;

	for (; text < end; line++) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((newline != NULL ? newline : end) - text);
		int r = read_line(f, text, n, &above);

		if (r == -ENOMEM)
			return r;
		if (r < 0)
			return error_set(err, -EINVAL, "line %u: %s", line,
			    r == -E2BIG ? "too many keys" : "neither a "
			    "[section] nor KEY = VALUE below one");
		text += n + 1;
	}
	return 0;
}
