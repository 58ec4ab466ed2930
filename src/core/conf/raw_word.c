#include <string.h>

#include "core/conf/raw_word.h"

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

/* Behind the quote that begins at `s`; the end where it is open. */
static const char *
skip_quoted(const char *s, const char *end)
{
	bool escapes = *s != '\'';
	char quote = *s;

	if (*s == '$') {
		s++;
		quote = '\'';
	}
	for (s++; s < end && *s != quote; s++)
		if (escapes && *s == '\\' && s + 1 < end)
			s++;
	return s < end ? s + 1 : end;
}

static bool
begins_quote(const char *s, const char *end)
{
	return *s == '\'' || *s == '"' ||
	    (*s == '$' && s + 1 < end && s[1] == '\'');
}

bool
raw_word_next(const char **text, struct raw_word *ret_word)
{
	struct raw_word word = { .plain = true };
	const char *s = *text, *end;

	while (is_blank(*s))
		s++;
	if (*s == '\0')
		return false;
	word.at = s;
	end = s + strlen(s);
	while (s < end && !is_blank(*s)) {
		if (begins_quote(s, end)) {
			word.plain = false;
			s = skip_quoted(s, end);
		} else if (*s == '\\') {
			word.plain = false;
			s += s + 1 < end ? 2 : 1;
		} else {
			s++;
		}
	}
	word.len = (size_t)(s - word.at);
	*text = s;
	*ret_word = word;
	return true;
}

bool
raw_word_is(const struct raw_word *word, const char *text)
{
	return word->plain && strlen(text) == word->len &&
	    memcmp(word->at, text, word->len) == 0;
}

bool
raw_word_starts(const struct raw_word *word, const char *prefix)
{
	size_t len = strlen(prefix);

	return word->plain && word->len > len &&
	    memcmp(word->at, prefix, len) == 0;
}

const char *
raw_word_live(const struct raw_word *word, const char *from, char byte)
{
	const char *s = word->at, *end = s + word->len;
	bool in_double = false;

	while (s < end) {
		if (s >= from && *s == byte &&
		    (in_double || !begins_quote(s, end)))
			return s;
		if (*s == '"') {
			in_double = !in_double;
			s++;
		} else if (!in_double && begins_quote(s, end)) {
			s = skip_quoted(s, end);
		} else if (*s == '\\') {
			s += s + 1 < end ? 2 : 1;
		} else {
			s++;
		}
	}
	return NULL;
}
