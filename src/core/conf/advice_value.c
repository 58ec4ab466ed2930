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

/* NAME=x with a name of capital letters; a second = is the end of a number in
   base64. */
static bool
is_entry(const char *s)
{
	size_t len = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	return len > 0 && (*s < '0' || *s > '9') && s[len] == '=' &&
	    s[len + 1] != '=' && s[len + 1] != ',' && s[len + 1] != '\0';
}

/*
 * A=1 B=2 on one line, or A=1,B=2 as supervisord has it. Where the first word
 * of the value has a = itself, or is an option, such things are its contents.
 */
static bool
has_another(const char *value)
{
	size_t first = strcspn(value, BLANKS ",");

	if (first == 0 || *value == '-' || memchr(value, '=', first) != NULL ||
	    memchr(value, ':', first) != NULL)
		return false;
	for (const char *s = value + first; *s != '\0';) {
		s += strspn(s, BLANKS ",");
		if (*s == '-')
			return false;
		if (is_entry(s))
			return true;
		s += strcspn(s, BLANKS ",");
	}
	return false;
}

bool
advice_value_comment(const char *value)
{
	const char *s = value + strcspn(value, BLANKS);

	s += strspn(s, BLANKS);
	return s > value && *s == '#' &&
	    (s[1] == ' ' || s[1] == '\t' || s[1] == '\0');
}

const char *
advice_value(const char *value, bool in_file)
{
	if (advice_value_comment(value))
		return "\"#\" and what follows belong to the value: a comment "
		       "stands on a line of its own";
	if (has_another(value))
		return "what looks like a second variable belongs to the "
		       "value: each stands on a line of its own";
	if (!in_file && is_quoted(value))
		return "the quotes belong to the value: leave them out, or if "
		       "they are meant, see env_file";
	return NULL;
}
