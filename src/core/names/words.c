#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "core/names/words.h"

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

/* `s` stands behind the opening quote; NULL when there is no closing one. */
static const char *
take_single(const char *s, struct strbuf *word)
{
	const char *end = strchr(s, '\'');

	if (end == NULL)
		return NULL;
	strbuf_add(word, s, (size_t)(end - s));
	return end + 1;
}

static const char *
take_double(const char *s, struct strbuf *word)
{
	for (; *s != '\0'; s++) {
		if (*s == '"')
			return s + 1;
		/* Before any other byte a \ in "..." stands for itself. */
		if (*s == '\\' && s[1] != '\0' &&
		    strchr("\"\\$`", s[1]) != NULL)
			s++;
		strbuf_putc(word, *s);
	}
	return NULL;
}

static const struct escape {
	char letter;
	char byte;
} escapes[] = {
	{ '\\', '\\' }, { '\'', '\'' }, { '"', '"' }, { 'a', '\a' },
	{ 'b', '\b' }, { 'e', 0x1b }, { 'f', '\f' }, { 'n', '\n' },
	{ 'r', '\r' }, { 't', '\t' }, { 'v', '\v' },
};

#define N_ESCAPES (sizeof(escapes) / sizeof(escapes[0]))

/* \xH or \xHH at `s`, which is the x; NULL when it is neither, or a NUL. */
static const char *
take_hex(const char *s, struct strbuf *word)
{
	static const char digits[] = "0123456789abcdef";
	unsigned byte = 0, n = 0;

	for (s++; n < 2 && *s != '\0'; s++, n++) {
		char c = *s >= 'A' && *s <= 'F' ? (char)(*s - 'A' + 'a') : *s;
		const char *digit = strchr(digits, c);

		if (digit == NULL)
			break;
		byte = byte * 16 + (unsigned)(digit - digits);
	}
	if (byte == 0)
		return NULL;
	strbuf_putc(word, (char)byte);
	return s;
}

/* $'...'; NULL also for an escape that is not known. */
static const char *
take_escaped(const char *s, struct strbuf *word)
{
	while (*s != '\0' && *s != '\'') {
		size_t i = 0;

		if (*s != '\\') {
			strbuf_putc(word, *s++);
			continue;
		}
		s++;
		if (*s == 'x') {
			s = take_hex(s, word);
			if (s == NULL)
				return NULL;
			continue;
		}
		while (i < N_ESCAPES && escapes[i].letter != *s)
			i++;
		if (i == N_ESCAPES)
			return NULL;
		strbuf_putc(word, escapes[i].byte);
		s++;
	}
	return *s == '\'' ? s + 1 : NULL;
}

/*
 * One word from `s` on, which is not blank. Returns what is behind it, or
 * NULL with *ret_open set to what was left open.
 */
static const char *
take_word(const char *s, struct strbuf *word, const char **ret_open)
{
	while (*s != '\0' && !is_blank(*s)) {
		if (*s == '\'') {
			s = take_single(s + 1, word);
			*ret_open = "a single quote (') is not closed";
		} else if (*s == '"') {
			s = take_double(s + 1, word);
			*ret_open = "a double quote (\") is not closed";
		} else if (*s == '$' && s[1] == '\'') {
			s = take_escaped(s + 2, word);
			*ret_open = "a quote of the form $'...' is not "
				    "closed, or an escape in it is not known";
		} else if (*s == '\\' && s[1] == '\0') {
			s = NULL;
			*ret_open = "a backslash stands at the end, "
				    "with nothing to quote";
		} else {
			if (*s == '\\')
				s++;
			strbuf_putc(word, *s++);
		}
		if (s == NULL)
			return NULL;
	}
	return s;
}

int
words_split(const char *text, struct strlist *words, struct error *err)
{
	const char *open = NULL;

	for (;;) {
		struct strbuf word = STRBUF_INIT;

		while (is_blank(*text))
			text++;
		if (*text == '\0')
			break;
		text = take_word(text, &word, &open);
		if (text == NULL) {
			strbuf_free(&word);
			return error_set(err, -EINVAL, "%s", open);
		}
		strlist_take(words, strbuf_take(&word));
	}
	return words->failed ? -ENOMEM : 0;
}

static bool
is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') ||
	    (c != '\0' && strchr("_-+=:,./@%{}", c) != NULL);
}

static bool
is_control(char c)
{
	return (unsigned char)c < ' ' || c == 0x7f;
}

/* As $'...': control bytes cannot stand in a file as they are. */
static void
quote_escaped(struct strbuf *sb, const char *word)
{
	strbuf_puts(sb, "$'");
	for (const char *s = word; *s != '\0'; s++) {
		if (*s == '\n')
			strbuf_puts(sb, "\\n");
		else if (*s == '\t')
			strbuf_puts(sb, "\\t");
		else if (is_control(*s))
			strbuf_printf(sb, "\\x%02x", (unsigned)*s);
		else if (*s == '\\' || *s == '\'')
			strbuf_printf(sb, "\\%c", *s);
		else
			strbuf_putc(sb, *s);
	}
	strbuf_putc(sb, '\'');
}

void
words_quote(struct strbuf *sb, const char *word)
{
	const char *s = word;

	while (is_plain(*s))
		s++;
	if (*s == '\0' && s > word) {
		strbuf_puts(sb, word);
		return;
	}
	while (*s != '\0' && !is_control(*s))
		s++;
	if (*s != '\0') {
		quote_escaped(sb, word);
		return;
	}

	/* Within '...' nothing is special but the quote itself. */
	strbuf_putc(sb, '\'');
	for (s = word; *s != '\0'; s++) {
		if (*s == '\'')
			strbuf_puts(sb, "'\\''");
		else
			strbuf_putc(sb, *s);
	}
	strbuf_putc(sb, '\'');
}
