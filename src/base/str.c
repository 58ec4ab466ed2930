#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static bool
strbuf_room(struct strbuf *sb, size_t more)
{
	size_t need, cap;
	char *text;

	if (sb->failed || __builtin_add_overflow(sb->len, more + 1, &need)) {
		sb->failed = true;
		return false;
	}
	if (need <= sb->cap)
		return true;

	cap = sb->cap < 64 ? 64 : sb->cap;
	while (cap < need)
		cap *= 2;
	text = realloc(sb->text, cap);
	if (text == NULL) {
		sb->failed = true;
		return false;
	}
	sb->text = text;
	sb->cap = cap;
	return true;
}

void
strbuf_add(struct strbuf *sb, const char *bytes, size_t len)
{
	if (!strbuf_room(sb, len))
		return;
	if (len > 0)
		memcpy(sb->text + sb->len, bytes, len);
	sb->len += len;
	sb->text[sb->len] = '\0';
}

void
strbuf_puts(struct strbuf *sb, const char *s)
{
	strbuf_add(sb, s, strlen(s));
}

void
strbuf_putc(struct strbuf *sb, char c)
{
	strbuf_add(sb, &c, 1);
}

void
strbuf_printf(struct strbuf *sb, const char *fmt, ...)
{
	va_list ap, again;
	int len;

	va_start(ap, fmt);
	va_copy(again, ap);
	len = vsnprintf(NULL, 0, fmt, ap);
	if (len < 0)
		sb->failed = true;
	else if (strbuf_room(sb, (size_t)len)) {
		vsnprintf(sb->text + sb->len, (size_t)len + 1, fmt, again);
		sb->len += (size_t)len;
	}
	va_end(again);
	va_end(ap);
}

void
strbuf_free(struct strbuf *sb)
{
	free(sb->text);
	*sb = (struct strbuf)STRBUF_INIT;
}

char *
strbuf_take(struct strbuf *sb)
{
	char *text;

	strbuf_add(sb, "", 0);
	text = sb->text;
	if (sb->failed) {
		free(text);
		text = NULL;
	}
	*sb = (struct strbuf)STRBUF_INIT;
	return text;
}

void
strlist_take(struct strlist *sl, char *s)
{
	if (s == NULL)
		sl->failed = true;
	if (!sl->failed && sl->n + 2 > sl->cap) {
		size_t cap = sl->cap < 8 ? 8 : sl->cap * 2;
		char **v = realloc(sl->v, cap * sizeof(*v));

		if (v == NULL) {
			sl->failed = true;
		} else {
			sl->v = v;
			sl->cap = cap;
		}
	}
	if (sl->failed) {
		free(s);
		return;
	}
	sl->v[sl->n++] = s;
	sl->v[sl->n] = NULL;
}

void
strlist_add(struct strlist *sl, const char *s)
{
	strlist_take(sl, strdup(s));
}

void
strlist_printf(struct strlist *sl, const char *fmt, ...)
{
	va_list ap;
	char *s = NULL;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	strlist_take(sl, s);
}

void
strlist_free(struct strlist *sl)
{
	for (size_t i = 0; i < sl->n; i++)
		free(sl->v[i]);
	free(sl->v);
	*sl = (struct strlist)STRLIST_INIT;
}

void
str_keep(char **at, const char *s)
{
	free(*at);
	*at = strdup(s);
}

bool
str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool
str_is_word(const char *bytes, size_t len, const char *word)
{
	for (size_t i = 0; i < len; i++)
		if (word[i] == '\0' || lower(bytes[i]) != lower(word[i]))
			return false;
	return word[len] == '\0';
}

bool
str_is_one_of(const char *s, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcmp(s, *list) == 0)
			return true;
	return false;
}

const char *
str_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}
