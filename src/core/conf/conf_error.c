#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_place.h"

/* When so many are held, they are sorted and cut. */
#define HELD_MAX	(10 * CONF_ERRORS_MAX)

/* A message is one line, and nothing in it moves the reader's cursor. */
static void
defuse(char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
	}
}

static const struct conf_place *
place_of(const struct conf_errors *errors, unsigned line)
{
	return errors->places != NULL ?
	    conf_places_find(errors->places, line) : NULL;
}

/* *ret_words: how long what stands before key and words is. */
static char *
compose(const struct conf_errors *errors, unsigned line, const char *key,
    const char *words, size_t *ret_words)
{
	const struct conf_place *place = place_of(errors, line);
	const char *file = place != NULL ? place->file : errors->file;
	struct strbuf sb = STRBUF_INIT;

	if (place != NULL)
		line -= place->before;
	if (file != NULL)
		strbuf_printf(&sb, "%s:", file);
	if (file != NULL && line > 0)
		strbuf_printf(&sb, "%u:", line);
	if (file != NULL)
		strbuf_putc(&sb, ' ');
	*ret_words = sb.len;
	if (key != NULL)
		strbuf_printf(&sb, "%s: ", key);
	strbuf_puts(&sb, words);
	return strbuf_take(&sb);
}

void
conf_error_add(struct conf_errors *errors, unsigned line, const char *key,
    const char *fmt, ...)
{
	struct conf_error *v;
	char *words = NULL;
	size_t at = 0;
	char *text;
	va_list ap;

	if (errors->n >= HELD_MAX)
		conf_errors_sort(errors);
	if (conf_errors_full(errors, line)) {
		errors->dropped++;
		return;
	}
	va_start(ap, fmt);
	if (vasprintf(&words, fmt, ap) < 0)
		words = NULL;
	va_end(ap);
	text = words != NULL ? compose(errors, line, key, words, &at) :
	    NULL;
	free(words);
	v = text != NULL ?
	    realloc(errors->v, (errors->n + 1) * sizeof(*v)) : NULL;
	if (v == NULL) {
		free(text);
		errors->dropped++;
		return;
	}

	defuse(text);
	errors->v = v;
	v[errors->n++] = (struct conf_error){
		.line = line, .words = at, .text = text,
	};
}

bool
conf_errors_full(const struct conf_errors *errors, unsigned line)
{
	return errors->full_from > 0 && line >= errors->full_from;
}

/* By insertion: few, nearly sorted, and equal lines must keep their order. */
void
conf_errors_sort(struct conf_errors *errors)
{
	for (size_t i = 1; i < errors->n; i++) {
		struct conf_error moved = errors->v[i];
		size_t j = i;

		for (; j > 0 && errors->v[j - 1].line > moved.line; j--)
			errors->v[j] = errors->v[j - 1];
		errors->v[j] = moved;
	}
	if (errors->n <= CONF_ERRORS_MAX)
		return;
	while (errors->n > CONF_ERRORS_MAX) {
		free(errors->v[--errors->n].text);
		errors->dropped++;
	}
	errors->full_from = errors->v[CONF_ERRORS_MAX - 1].line;
}

bool
conf_errors_have(const struct conf_errors *errors,
    const struct conf_error *error)
{
	for (size_t i = 0; i < errors->n; i++)
		if (strcmp(errors->v[i].text + errors->v[i].words,
		    error->text + error->words) == 0)
			return true;
	return false;
}

void
conf_errors_free(struct conf_errors *errors)
{
	for (size_t i = 0; i < errors->n; i++)
		free(errors->v[i].text);
	free(errors->v);
	*errors = (struct conf_errors){ .file = errors->file };
}

struct conf_where
conf_errors_where(const struct conf_errors *errors, unsigned line,
    unsigned here)
{
	const struct conf_place *place = place_of(errors, line);
	struct conf_where where;

	if (place == NULL)
		snprintf(where.text, sizeof(where.text), "on line %u", line);
	else if (place == place_of(errors, here))
		snprintf(where.text, sizeof(where.text), "on line %u",
		    line - place->before);
	else
		snprintf(where.text, sizeof(where.text), "in %.100s:%u",
		    place->file, line - place->before);
	return where;
}
