#include <stdio.h>
#include <string.h>

#include "base/iso_time.h"
#include "core/output/out_tag.h"

size_t
out_tag_make(char tag[OUT_TAG_MAX], const char *app, unsigned instance,
    bool colour)
{
	/* Cyan, yellow, green, magenta, blue, and the bright ones: red stays
	   for errors. */
	static const unsigned char colours[] = {
		36, 33, 32, 35, 34, 96, 93, 92, 95, 94,
	};
	unsigned n = instance;
	int len;

	for (const char *c = app; *c != '\0'; c++)
		n += (unsigned char)*c;
	if (colour)
		len = snprintf(tag, OUT_TAG_MAX, "\033[%dm%s.%u |\033[0m ",
		    colours[n % sizeof(colours)], app, instance);
	else
		len = snprintf(tag, OUT_TAG_MAX, "%s.%u | ", app, instance);
	return (size_t)len;
}

/* Past `text`, if it stands there. */
static const char *
skip(const char *at, const char *end, const char *text)
{
	size_t len = strlen(text);

	return at != NULL && (size_t)(end - at) >= len &&
	    memcmp(at, text, len) == 0 ? at + len : NULL;
}

static const char *
skip_digits(const char *at, const char *end)
{
	const char *from = at;

	while (at != NULL && at < end && *at >= '0' && *at <= '9')
		at++;
	return at != from ? at : NULL;
}

/* Past a time, if `text` stands behind it. */
static const char *
skip_time(const char *at, const char *end, const char *text)
{
	if (at == NULL || (size_t)(end - at) < ISO_TIME_LEN ||
	    at[ISO_TIME_LEN - 1] != 'Z')
		return NULL;
	return skip(at + ISO_TIME_LEN, end, text);
}

static bool
read_object(const char *line, const char *end,
    char ret_app[CONF_NAME_MAX + 1])
{
	const char *name = skip_time(skip(line, end, "{\"time\":\""), end,
	    "\",\"app\":\"");
	const char *at = name != NULL ? memchr(name, '"', (size_t)(end - name)) :
	    NULL;
	size_t n = at != NULL ? (size_t)(at - name) : 0;

	if (n == 0 || n > CONF_NAME_MAX)
		return false;
	memcpy(ret_app, name, n);
	ret_app[n] = '\0';
	return true;
}

static bool
read_tag(const char *line, const char *end, char ret_app[CONF_NAME_MAX + 1])
{
	const char *name = skip(line, end, "\033["), *at;
	bool colour = name != NULL;
	size_t n;

	name = colour ? skip(skip_digits(name, end), end, "m") : line;
	at = name != NULL ? memchr(name, '.', (size_t)(end - name)) : NULL;
	n = at != NULL ? (size_t)(at - name) : 0;
	at = skip(skip_digits(skip(at, end, "."), end), end, " |");
	if (colour)
		at = skip(at, end, "\033[0m");
	if (skip(at, end, " ") == NULL || n == 0 || n > CONF_NAME_MAX)
		return false;
	memcpy(ret_app, name, n);
	ret_app[n] = '\0';
	return true;
}

bool
out_tag_read(const char *line, size_t len, char ret_app[CONF_NAME_MAX + 1])
{
	const char *end = line + len;
	const char *behind = skip_time(line, end, " ");

	return read_object(line, end, ret_app) ||
	    read_tag(behind != NULL ? behind : line, end, ret_app);
}
