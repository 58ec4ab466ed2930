/* A configuration as it is written: sections and keys, nothing checked yet. */
#ifndef CORE_CONF_CONF_SOURCE_H
#define CORE_CONF_CONF_SOURCE_H

#include <stddef.h>

#include "base/str.h"
#include "core/conf/conf_place.h"

/* One key as it stands in the file, before anything is known of it. */
struct conf_entry {
	unsigned section;	/* index into conf_source.sections */
	unsigned line;
	char *key;
	struct strlist lines;	/* the value: first line, then the indented */
	unsigned *numbers;	/* the line number of each, owned */
};

struct conf_section {
	char *name;		/* as written; may be invalid (was reported) */
	unsigned line;
};

struct conf_source {
	struct conf_section *sections;
	size_t n_sections;
	struct conf_entry *entries;	/* section by section */
	size_t n_entries;
	struct conf_places places;	/* none: all lines are of one file */
	struct conf_unmatched {		/* of include: these found nothing */
		char *pattern;
		unsigned line;
	} *unmatched;
	size_t n_unmatched;
};

/*
 * Build a source by hand, as cli/ does for `clusterd -p 8080 -- ./server`:
 * each `value` is one line. -ENOMEM on failure.
 */
int conf_source_add_section(struct conf_source *source, const char *name,
    unsigned line);
int conf_source_add_entry(struct conf_source *source, unsigned line,
    const char *key, const char *value);
void conf_source_free(struct conf_source *source);

/* A section and its entries are as if they had not been there. */
void conf_source_drop_section(struct conf_source *source, size_t section);

/* A copy of the pattern. -ENOMEM. */
int conf_source_note_unmatched(struct conf_source *source,
    const char *pattern, unsigned line);

/*
 * For conf_read(): the same of `len` bytes, without NUL. An entry has neither
 * key nor section until the caller sets them; conf_entry_put_line() adds one
 * line more to its value. -ENOMEM on failure.
 */
int conf_source_put_section(struct conf_source *source, const char *name,
    size_t len, unsigned line);
int conf_source_put_entry(struct conf_source *source, const char *value,
    size_t len, unsigned line);
int conf_entry_put_line(struct conf_entry *entry, const char *value,
    size_t len, unsigned line);

#endif
