#include <string.h>

#include "core/conf/raw_word.h"

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

/* Behind the quote that begins at `s`; the end of the text where it is open. */
static const char *
skip_quoted(const char *s)
{
	bool escapes = *s != '\'';
	char quote = *s;

	if (*s == '$') {
		s++;
		quote = '\'';
	}
	for (s++; *s != '\0' && *s != quote; s++)
		if (escapes && *s == '\\' && s[1] != '\0')
			s++;
	return *s != '\0' ? s + 1 : s;
}

static bool
begins_quote(const char *s)
{
	return *s == '\'' || *s == '"' || (*s == '$' && s[1] == '\'');
}

/* Never further than the word: a text may have many. */
bool
raw_word_next(const char **text, struct raw_word *ret_word)
{
	struct raw_word word = { .plain = true };
	const char *s = *text;

	while (is_blank(*s))
		s++;
	if (*s == '\0')
		return false;
	word.at = s;
	while (*s != '\0' && !is_blank(*s)) {
		if (begins_quote(s)) {
			word.plain = false;
			s = skip_quoted(s);
		} else if (*s == '\\') {
			word.plain = false;
			s += s[1] != '\0' ? 2 : 1;
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
raw_word_live(const struct raw_word *word, struct raw_scan *scan, char byte)
{
	const char *s = scan->at != NULL ? scan->at : word->at;
	const char *end = word->at + word->len, *found = NULL;
	bool in_double = scan->in_double;

	while (s < end && found == NULL) {
		if (*s == byte && (in_double || !begins_quote(s)))
			found = s;
		if (*s == '"') {
			in_double = !in_double;
			s++;
		} else if (!in_double && begins_quote(s)) {
			s = skip_quoted(s);
		} else if (*s == '\\') {
			s += s + 1 < end ? 2 : 1;
		} else {
			s++;
		}
	}
	*scan = (struct raw_scan){ .at = s, .in_double = in_double };
	return found;
}
