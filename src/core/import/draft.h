/* A configuration of ours as it is written, from that of another program. */
#ifndef CORE_IMPORT_DRAFT_H
#define CORE_IMPORT_DRAFT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/* What an importer needs of the world outside. */
struct import_host {
	void *ctx;
	/* Is there a file, of a path as it stands in the other file? */
	bool (*is_file)(void *ctx, const char *path);
	/* Where relative paths of that file lead to, as of the new one: "." or
	   an absolute directory. */
	const char *dir;
};

struct draft {
	const struct import_host *host;
	struct strbuf text;
	struct strlist names;	/* of the sections */
	struct strlist env;	/* of the section at hand */
	size_t keys;		/* that were carried over */
	size_t notes;		/* that were not */
};

void draft_free(struct draft *d);

/* A section, and a name for it that is allowed and not there yet. */
void draft_begin_app(struct draft *d, const char *name);
/* Its variables, which stand at its end. */
void draft_end_app(struct draft *d);

/* KEY = VALUE; what cannot stand on a line becomes a note. */
void draft_set(struct draft *d, const char *key, const char *value);
void draft_set_words(struct draft *d, const char *key,
    const struct strlist *words);
/* `command`; a program of a relative path is that of `dir`, where there is one. */
void draft_set_command(struct draft *d, const struct strlist *words,
    const char *dir);
void draft_set_path(struct draft *d, const char *key, const char *path);
void draft_set_env(struct draft *d, const char *name, const char *value);

/* What was not carried over, and why. `value` may be NULL. */
void draft_note(struct draft *d, const char *key, const char *value,
    const char *why);
/* Words for the reader: lines of comment. */
void draft_say(struct draft *d, const char *words);

#endif
