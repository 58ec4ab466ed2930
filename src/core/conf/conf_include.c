#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_include.h"
#include "core/conf/conf_place.h"
#include "core/conf/conf_read.h"
#include "core/conf/conf_schema.h"
#include "core/conf/conf_source.h"
#include "core/names/address.h"

#define KEY "include"
#define NONE "none"

struct includer {
	const struct conf_include_host *host;
	struct conf_source *source;
	struct conf_errors *errors;
	struct strlist read;	/* what was read, as identify() has it */
	const char *open[CONF_INCLUDE_DEPTH];	/* within `read`: what is being
						   read */
	size_t depth;
	unsigned lines;		/* of all files so far */
	size_t bytes;
	bool stopped;		/* a limit was told of */
};

/* What a file includes: patterns and where they stand. */
struct wanted {
	struct strlist patterns;
	unsigned *lines;
};

static void
wanted_free(struct wanted *w)
{
	strlist_free(&w->patterns);
	free(w->lines);
}

/* The number of lines, as conf_read() counts them. */
static unsigned
count_lines(const char *text, size_t len)
{
	const char *end = text + len, *s = text;
	unsigned n = 0;

	while (s < end) {
		const char *newline = memchr(s, '\n', (size_t)(end - s));

		n++;
		s = newline != NULL ? newline + 1 : end;
	}
	return n;
}

/* ---- what a file asks for ---- */

static int
take_patterns(struct wanted *w, const struct conf_entry *entry)
{
	size_t n = w->patterns.n + entry->lines.n;
	unsigned *lines = reallocarray(w->lines, n + 1, sizeof(*lines));

	if (lines == NULL)
		return -ENOMEM;
	w->lines = lines;
	for (size_t i = 0; i < entry->lines.n; i++) {
		const char *text = entry->lines.v[i];

		/* `include =` and the patterns below it. */
		if (*text == '\0' || (entry->lines.n == 1 &&
		    strcmp(text, NONE) == 0))
			continue;
		lines[w->patterns.n] = entry->numbers[i];
		strlist_add(&w->patterns, text);
	}
	return w->patterns.failed ? -ENOMEM : 0;
}

static void
refuse_setting(struct includer *in, const struct conf_entry *entry)
{
	conf_error_add(in->errors, entry->line, entry->key, "stands in an "
	    "included file: what is clusterd's own stands in %s, and here "
	    "[" CONF_CLUSTERD_SECTION "] may have include alone",
	    in->errors->file);
}

/* Of the sections from `first` on, which are those of one file. */
static int
find_wanted(struct includer *in, size_t first, struct wanted *w)
{
	struct conf_source *source = in->source;
	bool included = in->source->places.n > 1;
	int r = 0;

	for (size_t i = 0; r == 0 && i < source->n_entries; i++) {
		const struct conf_entry *e = &source->entries[i];

		if (e->section < first || strcmp(
		    source->sections[e->section].name,
		    CONF_CLUSTERD_SECTION) != 0)
			continue;
		if (strcmp(e->key, KEY) == 0)
			r = take_patterns(w, e);
		else if (included)
			refuse_setting(in, e);
	}
	for (size_t i = source->n_sections; included && i > first; i--)
		if (strcmp(source->sections[i - 1].name,
		    CONF_CLUSTERD_SECTION) == 0)
			conf_source_drop_section(source, i - 1);
	return r;
}

/* ---- what it comes to ---- */

static bool
is_pattern(const char *text)
{
	return strpbrk(text, "*?[\\") != NULL;
}

/* In a directory of whatever name. */
static char *
whole_pattern(const char *pattern, const char *dir)
{
	struct strbuf escaped = STRBUF_INIT;
	char *path = NULL;

	for (; *dir != '\0'; dir++) {
		if (strchr("*?[\\", *dir) != NULL)
			strbuf_putc(&escaped, '\\');
		strbuf_putc(&escaped, *dir);
	}
	if (!escaped.failed)
		path = address_path(pattern, escaped.text);
	strbuf_free(&escaped);
	return path;
}

/* As the user would name it: behind what he calls the first file. */
static char *
shown_name(const struct includer *in, const char *path)
{
	const char *file = in->errors->file, *dir = in->source->places.v[0].dir;
	const char *slash = strrchr(file, '/');
	size_t len = strlen(dir);
	char *name;

	if (strncmp(path, dir, len) != 0 || path[len] != '/')
		return strdup(path);
	if (asprintf(&name, "%.*s%s", slash != NULL ?
	    (int)(slash - file) + 1 : 0, file, path + len + 1) < 0)
		return NULL;
	return name;
}

static bool
may_read(struct includer *in, const char *path, const char *id, unsigned line)
{
	for (size_t i = 0; i < in->depth; i++)
		if (strcmp(in->open[i], id) == 0) {
			conf_error_add(in->errors, line, KEY, "%.200s "
			    "includes itself", path);
			return false;
		}
	/* By two patterns: once is what is meant. */
	for (size_t i = 0; i < in->read.n; i++)
		if (strcmp(in->read.v[i], id) == 0)
			return false;
	if (in->depth == CONF_INCLUDE_DEPTH) {
		conf_error_add(in->errors, line, KEY, "%.200s is included "
		    "%d deep, which is too deep", path, CONF_INCLUDE_DEPTH);
		return false;
	}
	if (in->read.n > CONF_INCLUDE_FILES) {
		conf_error_add(in->errors, line, KEY, "more than %d files, "
		    "the rest is not read", CONF_INCLUDE_FILES);
		in->stopped = true;
		return false;
	}
	return true;
}

static int read_file(struct includer *in, const char *id, const char *text,
    size_t len, const char *name, const char *dir);

static int
read_text(struct includer *in, const char *path, const char *id,
    const char *text, size_t len)
{
	const char *slash = strrchr(path, '/');
	char *name = shown_name(in, path);
	char *dir = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	int r = -ENOMEM;

	if (name != NULL && dir != NULL)
		r = read_file(in, id, text, len, name, dir);
	free(dir);
	free(name);
	return r;
}

static int
include_file(struct includer *in, const char *path, unsigned line)
{
	struct error err = ERROR_INIT;
	char *id = in->host->identify(in->host->ctx, path), *text = NULL;
	size_t len = 0;
	int r;

	if (id == NULL)
		return -ENOMEM;
	if (!may_read(in, path, id, line)) {
		free(id);
		return 0;
	}
	strlist_take(&in->read, id);
	if (in->read.failed)
		return -ENOMEM;
	r = in->host->read(in->host->ctx, path, CONF_FILE_MAX - in->bytes,
	    &text, &len, &err);
	if (r == -EFBIG) {
		conf_error_add(in->errors, line, KEY, "with %.200s the files "
		    "are too long, %d bytes are allowed for all together",
		    path, CONF_FILE_MAX);
		in->stopped = true;
		r = 0;
	} else if (r < 0 && r != -ENOMEM) {
		conf_error_add(in->errors, line, KEY, "%s", error_text(&err));
		r = 0;
	} else if (r == 0) {
		r = read_text(in, path, id, text, len);
	}
	error_clear(&err);
	free(text);
	return r;
}

static int
note_unmatched(struct includer *in, const char *pattern, unsigned line)
{
	if (!is_pattern(pattern)) {
		conf_error_add(in->errors, line, KEY, "there is no %.200s",
		    pattern);
		return 0;
	}
	return conf_source_note_unmatched(in->source, pattern, line);
}

static int
include(struct includer *in, const char *pattern, const char *dir,
    unsigned line)
{
	char *whole = whole_pattern(pattern, dir);
	struct strlist found = STRLIST_INIT;
	struct error err = ERROR_INIT;
	int r = whole == NULL ? -ENOMEM :
	    in->host->list(in->host->ctx, whole, &found, &err);

	if (r < 0 && r != -ENOMEM) {
		conf_error_add(in->errors, line, KEY, "%s", error_text(&err));
		r = 0;
	} else if (r == 0 && found.n == 0) {
		r = note_unmatched(in, pattern, line);
	}
	for (size_t i = 0; r == 0 && i < found.n && !in->stopped; i++)
		r = include_file(in, found.v[i], line);
	error_clear(&err);
	strlist_free(&found);
	free(whole);
	return r;
}

/* Its sections, and what it includes behind them. */
static int
read_file(struct includer *in, const char *id, const char *text, size_t len,
    const char *name, const char *dir)
{
	struct wanted wanted = { .patterns = STRLIST_INIT };
	size_t first = in->source->n_sections;
	unsigned before = in->lines;
	int r = conf_places_add(&in->source->places, name, dir, before);

	if (r == 0) {
		in->lines += count_lines(text, len);
		in->bytes += len;
		r = conf_read_more(text, len, before, in->source, in->errors);
	}
	if (r == 0)
		r = find_wanted(in, first, &wanted);
	in->open[in->depth++] = id;
	for (size_t i = 0; r == 0 && i < wanted.patterns.n && !in->stopped;
	     i++)
		r = include(in, wanted.patterns.v[i], dir, wanted.lines[i]);
	in->depth--;
	wanted_free(&wanted);
	return r;
}

int
conf_include_read(const char *text, size_t len, const char *path,
    const char *dir, const struct conf_include_host *host,
    struct conf_source *ret_source, struct conf_errors *errors)
{
	struct includer in = {
		.host = host, .source = ret_source, .errors = errors,
		.read = STRLIST_INIT,
	};
	char *id;
	int r = -ENOMEM;

	*ret_source = (struct conf_source){ .sections = NULL };
	errors->places = &ret_source->places;
	if (len > CONF_FILE_MAX)
		return conf_read_more(text, len, 0, ret_source, errors);
	id = host->identify(host->ctx, path);
	strlist_take(&in.read, id);
	if (!in.read.failed)
		r = read_file(&in, id, text, len, errors->file, dir);
	strlist_free(&in.read);
	return r;
}
