/*
 * Bytes to entries, through inih.
 *
 * inih alone accepts in silence what users would call errors: it splits a
 * line that is longer than its buffer, and the tail becomes a new key; it
 * cuts a value at ` ;` and at a NUL; it cuts section names at 49 bytes, merges
 * duplicate sections, forgets empty ones, and counts lines wrongly where it
 * cut one. So its reader callback is ours: it sees every raw line, judges it,
 * keeps the raw value, and hands inih a line that it cannot mangle:
 *
 *	[web]			[0]		the number of the section
 *	command = sh -c "a ; b"	command = 0	the number of the value
 *	    one more word	(blank)		goes to value 0 at once
 *	# comment, bad line	(blank)
 *
 * inih splits section and key, and on_pair() puts the numbers back together.
 * Both inih and read_key() end the key at the first `=` or `:`, and a key is
 * made of letters that neither treats in a special way. All this holds with
 * inih's compile-time defaults and with those of the distributions: lines of
 * 200 bytes, multi-line values, inline comments, no line number.
 */
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_read.h"
#include "core/conf/conf_schema.h"
#include "core/conf/conf_source.h"

#define SECTIONS_MAX	1024
#define ENTRIES_MAX	65536	/* of the file */
#define KEY_MAX		48	/* inih keeps 49 bytes of a name */

/* What an indented line continues. */
enum above {
	ABOVE_NOTHING,	/* no key since the header */
	ABOVE_ENTRY,	/* the last of source->entries */
	ABOVE_REFUSED,	/* a line with an error, which says enough */
};

struct reader {
	struct conf_source *source;
	struct conf_errors *errors;
	const char *text;
	size_t len;
	size_t pos;
	unsigned line;		/* through all files */
	size_t first_section;	/* of this file */
	enum above above;
	size_t value_len;	/* of the last entry, joined */
	bool homeless;		/* a key before any section was reported */
	bool stopped;		/* too much of it; the rest is not read */
	bool no_memory;
};

/* A stretch of the text, never NUL-terminated. */
struct span {
	const char *at;
	size_t len;
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct span
trim(struct span s)
{
	while (s.len > 0 && is_blank(s.at[0])) {
		s.at++;
		s.len--;
	}
	while (s.len > 0 && is_blank(s.at[s.len - 1]))
		s.len--;
	return s;
}

/* For "%.*s": what of it is worth showing. */
static int
shown(size_t len)
{
	return len < 60 ? (int)len : 60;
}

static void
stop(struct reader *rd, const char *of_what, unsigned limit)
{
	conf_error_add(rd->errors, rd->line, NULL, "more than %u %s, the rest "
	    "of the file is not read", limit, of_what);
	rd->stopped = true;
}

static bool
is_key(struct span key)
{
	for (size_t i = 0; i < key.len; i++) {
		char c = key.at[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    !(c >= '0' && c <= '9') && c != '_' && c != '-' &&
		    c != '.')
			return false;
	}
	return key.len > 0;
}

/* In all files; [clusterd] may be in each. */
static const struct conf_section *
find_section(const struct reader *rd, struct span name)
{
	static const char own[] = CONF_CLUSTERD_SECTION;
	const struct conf_source *source = rd->source;
	size_t i = name.len == strlen(own) &&
	    memcmp(name.at, own, name.len) == 0 ? rd->first_section : 0;

	for (; i < source->n_sections; i++) {
		const struct conf_section *s = &source->sections[i];

		if (strlen(s->name) == name.len &&
		    memcmp(s->name, name.at, name.len) == 0)
			return s;
	}
	return NULL;
}

/* [program:NAME], as supervisord has it. */
static bool
is_foreign(struct span name)
{
	static const char prefix[] = "program:";

	return name.len > strlen(prefix) &&
	    memcmp(name.at, prefix, strlen(prefix)) == 0;
}

static void
judge_section(struct reader *rd, struct span name)
{
	const struct conf_section *first;

	if (name.len == 0) {
		conf_error_add(rd->errors, rd->line, NULL, "the section has "
		    "no name, [NAME] is needed");
	} else if (is_foreign(name)) {
		conf_error_add(rd->errors, rd->line, NULL, "[%.*s] is not a "
		    "section name, it is just [NAME] here", shown(name.len),
		    name.at);
	} else if (!conf_name_valid(name.at, name.len)) {
		conf_error_add(rd->errors, rd->line, NULL, "[%.*s] is not a "
		    "section name, up to %d of a-z, 0-9, _ and - are allowed, "
		    "a letter or digit first", shown(name.len), name.at,
		    CONF_NAME_MAX);
	} else if ((first = find_section(rd, name)) != NULL) {
		conf_error_add(rd->errors, rd->line, NULL, "[%.*s] is a "
		    "duplicate section, the first is %s", (int)name.len,
		    name.at, conf_errors_where(rd->errors, first->line,
			rd->line).text);
	}
}

/*
 * Whatever is wrong with a header, a section begins here: the keys below it
 * belong to it and are checked.
 */
static void
begin_section(struct reader *rd, struct span name)
{
	if (rd->source->n_sections >= SECTIONS_MAX) {
		stop(rd, "sections", SECTIONS_MAX);
		return;
	}
	rd->above = ABOVE_NOTHING;
	if (conf_source_put_section(rd->source, name.at, name.len,
	    rd->line) < 0)
		rd->no_memory = true;
}

static void
read_header(struct reader *rd, struct span line)
{
	struct span name = { line.at + 1, line.len - 1 };
	const char *end = memchr(name.at, ']', name.len);

	if (end == NULL) {
		conf_error_add(rd->errors, rd->line, NULL, "\"%.*s\" has no ], "
		    "[NAME] is needed", shown(line.len), line.at);
		begin_section(rd, name);
		return;
	}

	name.len = (size_t)(end - name.at);
	if (end + 1 < line.at + line.len)
		conf_error_add(rd->errors, rd->line, NULL, "text behind "
		    "[%.*s], a comment needs a line of its own",
		    shown(name.len), name.at);
	judge_section(rd, name);
	begin_section(rd, name);
}

/* The key of the last entry; NULL when inih has not brought it yet. */
static const char *
last_key(const struct conf_source *source)
{
	return source->entries[source->n_entries - 1].key;
}

/* Add so many bytes to the value of `key`, if it may have them. */
static bool
fits(struct reader *rd, size_t len, const char *key)
{
	rd->value_len += len;
	if (rd->value_len <= CONF_VALUE_MAX)
		return true;
	conf_error_add(rd->errors, rd->line, key, "the value is too long, %d "
	    "bytes are allowed", CONF_VALUE_MAX);
	rd->above = ABOVE_REFUSED;
	return false;
}

/*
 * The key of a line; *ret_end is the separator behind it, NULL where there is
 * none. As inih does it: the first of the two ends the key.
 */
static struct span
split_key(struct span line, const char **ret_end)
{
	const char *end = line.at, *line_end = line.at + line.len;

	while (end < line_end && *end != '=' && *end != ':')
		end++;
	*ret_end = end < line_end ? end : NULL;
	return trim((struct span){ line.at, (size_t)(end - line.at) });
}

/* A good key as a string. */
static const char *
key_text(struct span key, char buf[KEY_MAX + 1])
{
	memcpy(buf, key.at, key.len);
	buf[key.len] = '\0';
	return buf;
}

/* `end` is the separator, NULL where there is none. */
static bool
judge_key(struct reader *rd, struct span line, const char *end,
    struct span key)
{
	if (end == NULL) {
		conf_error_add(rd->errors, rd->line, NULL, "\"%.*s\" has no "
		    "=, KEY = VALUE is needed", shown(line.len), line.at);
	} else if (key.len > KEY_MAX) {
		conf_error_add(rd->errors, rd->line, NULL, "\"%.*s\" is too "
		    "long for a key, %d bytes are allowed", shown(key.len),
		    key.at, KEY_MAX);
	} else if (!is_key(key)) {
		conf_error_add(rd->errors, rd->line, NULL, "\"%.*s\" is not a "
		    "key, KEY = VALUE is needed", shown(key.len), key.at);
	} else {
		return true;
	}
	return false;
}

/* Sets *ret_key when there is one for inih. */
static void
read_key(struct reader *rd, struct span line, struct span *ret_key)
{
	const char *end, *line_end = line.at + line.len;
	struct span key = split_key(line, &end), value;
	char name[KEY_MAX + 1];

	rd->above = ABOVE_REFUSED;
	if (!judge_key(rd, line, end, key))
		return;
	if (rd->source->n_sections == rd->first_section) {
		/* One cause, one error: the header is missing. */
		if (!rd->homeless)
			conf_error_add(rd->errors, rd->line,
			    key_text(key, name), "stands before any section, "
			    "a [NAME] is needed above it");
		rd->homeless = true;
		return;
	}
	if (rd->source->n_entries >= ENTRIES_MAX) {
		stop(rd, "keys", ENTRIES_MAX);
		return;
	}

	value = trim((struct span){ end + 1, (size_t)(line_end - end - 1) });
	rd->value_len = 0;
	if (!fits(rd, value.len, key_text(key, name)))
		return;
	if (conf_source_put_entry(rd->source, value.at, value.len,
	    rd->line) < 0) {
		rd->no_memory = true;
		return;
	}
	rd->above = ABOVE_ENTRY;
	*ret_key = key;
}

static void
read_more(struct reader *rd, struct span line)
{
	struct conf_source *source = rd->source;

	switch (rd->above) {
	case ABOVE_REFUSED:
		break;
	case ABOVE_NOTHING:
		conf_error_add(rd->errors, rd->line, NULL, "\"%.*s\" is "
		    "indented and continues a value, but no key stands above "
		    "it in its section; a key or [NAME] starts its line",
		    shown(line.len), line.at);
		rd->above = ABOVE_REFUSED;
		break;
	case ABOVE_ENTRY:
		/* One byte for the newline between. */
		if (fits(rd, line.len + 1, last_key(source)) &&
		    conf_entry_put_line(&source->entries[source->n_entries - 1],
			line.at, line.len, rd->line) < 0)
			rd->no_memory = true;
		break;
	}
}

/* The key that an unread line is about, or NULL where that is not known. */
static const char *
key_of(const struct reader *rd, struct span raw, char buf[KEY_MAX + 1])
{
	struct span line = trim(raw), key;
	const char *end;

	if (line.at[0] == '#' || line.at[0] == ';')
		return NULL;
	if (is_blank(raw.at[0]))
		return rd->above == ABOVE_ENTRY ? last_key(rd->source) : NULL;
	key = split_key(line, &end);
	if (end == NULL || key.len > KEY_MAX || !is_key(key))
		return NULL;
	return key_text(key, buf);
}

static bool
judge_bytes(struct reader *rd, struct span raw)
{
	struct span line = trim(raw);
	char name[KEY_MAX + 1];

	for (size_t i = 0; i < line.len; i++) {
		unsigned char c = (unsigned char)line.at[i];

		if ((c >= ' ' && c != 0x7f) || c == '\t')
			continue;
		if (c == 0)
			conf_error_add(rd->errors, rd->line,
			    key_of(rd, raw, name), "the line holds a NUL "
			    "byte, text and tabs are allowed");
		else
			conf_error_add(rd->errors, rd->line,
			    key_of(rd, raw, name), "the line holds the "
			    "control byte 0x%02x, text and tabs are allowed",
			    c);
		return false;
	}
	return true;
}

/* The next raw line without its end (LF, CR LF, or the text's). */
static struct span
next_line(struct reader *rd)
{
	struct span line = { rd->text + rd->pos, rd->len - rd->pos };
	const char *end = memchr(line.at, '\n', line.len);

	rd->pos = rd->len;
	if (end != NULL) {
		line.len = (size_t)(end - line.at);
		rd->pos = (size_t)(end - rd->text) + 1;
	}
	if (line.len > 0 && line.at[line.len - 1] == '\r')
		line.len--;
	rd->line++;
	return line;
}

/* Unread, a line still says where those below it belong. */
static void
refuse_line(struct reader *rd, struct span raw)
{
	if (raw.at[0] == '[')
		begin_section(rd, (struct span){ "", 0 });
	else if (!is_blank(raw.at[0]) && raw.at[0] != '#' && raw.at[0] != ';')
		rd->above = ABOVE_REFUSED;
}

/*
 * Read one line. True with the line for inih in buf, which is a blank one
 * unless a section or a key begins; false when it does not fit.
 */
static bool
translate(struct reader *rd, struct span raw, char *buf, size_t size)
{
	size_t n_sections = rd->source->n_sections;
	struct span line = trim(raw), key = { .len = 0 };
	int n;

	if (line.len == 0)
		;
	else if (!judge_bytes(rd, raw))
		refuse_line(rd, raw);
	else if (line.at[0] == '#' || line.at[0] == ';')
		;
	else if (is_blank(raw.at[0]))
		read_more(rd, line);
	else if (line.at[0] == '[')
		read_header(rd, line);
	else
		read_key(rd, line, &key);

	if (rd->source->n_sections > n_sections)
		n = snprintf(buf, size, "[%zu]\n", n_sections);
	else if (key.len > 0)
		n = snprintf(buf, size, "%.*s = %zu\n", (int)key.len, key.at,
		    rd->source->n_entries - 1);
	else
		n = snprintf(buf, size, "\n");
	return n >= 0 && (size_t)n < size;
}

/* inih's reader, in the manner of fgets(3). */
static char *
read_line(char *buf, int size, void *stream)
{
	struct reader *rd = stream;

	if (rd->pos >= rd->len || rd->stopped || rd->no_memory || size < 2)
		return NULL;
	if (!translate(rd, next_line(rd), buf, (size_t)size)) {
		conf_error_add(rd->errors, rd->line, NULL, "the INI library "
		    "was built for lines of %d bytes, which is too few", size);
		rd->stopped = true;
		return NULL;
	}
	return buf;
}

/* inih's handler: returns 1 for "go on". */
static int
on_pair(void *user, const char *section, const char *name, const char *value)
{
	struct reader *rd = user;
	struct conf_source *source = rd->source;
	struct conf_entry *entry;
	uint64_t s, v;

	/* A build with INI_CALL_HANDLER_ON_NEW_SECTION announces headers. */
	if (name == NULL || value == NULL)
		return 1;
	if (!num_parse(section, 0, SECTIONS_MAX, &s) ||
	    !num_parse(value, 0, ENTRIES_MAX, &v) ||
	    s + 1 != source->n_sections || v + 1 != source->n_entries ||
	    source->entries[v].key != NULL)
		return 1;	/* report_lost() will tell */

	entry = &source->entries[v];
	entry->section = (unsigned)s;
	entry->key = strdup(name);
	if (entry->key == NULL)
		rd->no_memory = true;
	return 1;
}

/*
 * Whatever inih did not bring back is an error, never a key that silently
 * has no effect. No such line is known.
 */
static void
report_lost(struct reader *rd)
{
	struct conf_source *source = rd->source;
	size_t kept = 0;

	for (size_t i = 0; i < source->n_entries; i++) {
		struct conf_entry *entry = &source->entries[i];

		if (entry->key != NULL) {
			source->entries[kept++] = *entry;
			continue;
		}
		conf_error_add(rd->errors, entry->line, NULL,
		    "the INI library lost this line");
		strlist_free(&entry->lines);
		free(entry->numbers);
	}
	source->n_entries = kept;
}

int
conf_read(const char *text, size_t len, struct conf_source *ret_source,
    struct conf_errors *errors)
{
	*ret_source = (struct conf_source){ .sections = NULL };
	return conf_read_more(text, len, 0, ret_source, errors);
}

int
conf_read_more(const char *text, size_t len, unsigned lines_before,
    struct conf_source *source, struct conf_errors *errors)
{
	struct reader rd = {
		.source = source,
		.errors = errors,
		.text = text,
		.len = len,
		.line = lines_before,
		.first_section = source->n_sections,
	};
	int r;

	if (len > CONF_FILE_MAX) {
		conf_error_add(errors, 0, NULL, "the file is too long, %d "
		    "bytes are allowed", CONF_FILE_MAX);
		return 0;
	}
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		rd.pos = 3;

	/* A positive answer is the line of an error that inih saw. */
	r = ini_parse_stream(read_line, &rd, on_pair, &rd);
	if (r < 0 || rd.no_memory)
		return -ENOMEM;
	report_lost(&rd);
	return 0;
}
