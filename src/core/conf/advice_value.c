#include <string.h>

#include "base/str.h"
#include "core/conf/advice_value.h"

#define BLANKS " \t"

/* "x", with none of its kind between. */
static bool
is_quoted(const char *value)
{
	size_t len = strlen(value);

	return len >= 2 && (*value == '"' || *value == '\'') &&
	    strchr(value + 1, *value) == value + len - 1;
}

/* NAME=x with a name of capital letters, of so many at least; a second = is the end
   of a number in base64. */
static bool
is_entry(const char *s, size_t letters)
{
	size_t len = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	return len >= letters && (*s < '0' || *s > '9') && s[len] == '=' &&
	    s[len + 1] != '=' && s[len + 1] != ',' && s[len + 1] != '\0';
}

/*
 * AA=1 BB=2 on one line, or AA=1,BB=2 as supervisord has it, and nothing else
 * behind the first. Where the first word of the value has a = itself, or is an
 * option, such things are its contents.
 */
static bool
has_another(const char *value, size_t letters)
{
	const char *s = value + strcspn(value, BLANKS ",");
	size_t first = (size_t)(s - value), n = 0;

	if (first == 0 || *value == '-' || memchr(value, '=', first) != NULL ||
	    memchr(value, ':', first) != NULL)
		return false;
	for (s += strspn(s, BLANKS ","); *s != '\0';
	     s += strspn(s, BLANKS ",")) {
		if (!is_entry(s, letters))
			return false;
		n++;
		s += strcspn(s, BLANKS ",");
	}
	return n > 0;
}

bool
advice_value_comment(const char *value)
{
	const char *s = value + strcspn(value, BLANKS), *behind;

	s += strspn(s, BLANKS);
	if (s == value || *s != '#')
		return false;
	/* "Suite # 5" is none. */
	behind = s + 1 + strspn(s + 1, BLANKS);
	return *behind == '\0' ||
	    (behind > s + 1 && (*behind < '0' || *behind > '9'));
}

const char *
advice_value(const char *value, size_t name_len, bool in_file)
{
	/* One letter is a name where the first one has no more either. */
	size_t letters = name_len == 1 ? 1 : 2;

	if (advice_value_comment(value))
		return in_file ?
		    "\"#\" and what follows belong to the value: a comment "
		    "stands on a line of its own; if they are meant, quotes "
		    "say so" :
		    "\"#\" and what follows belong to the value: a comment "
		    "stands on a line of its own, or if they are meant, see "
		    "env_file";
	if (has_another(value, letters))
		return in_file ?
		    "what looks like a second variable belongs to the value: "
		    "each stands on a line of its own; if it is meant, quotes "
		    "say so" :
		    "what looks like a second variable belongs to the value: "
		    "each stands on a line of its own, or if it is meant, see "
		    "env_file";
	if (!in_file && is_quoted(value))
		return "the quotes belong to the value: leave them out, or if "
		       "they are meant, see env_file";
	return NULL;
}
