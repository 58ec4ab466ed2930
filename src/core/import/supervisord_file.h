/* A configuration of supervisord as it is written, as its reader takes it apart. */
#ifndef CORE_IMPORT_SUPERVISORD_FILE_H
#define CORE_IMPORT_SUPERVISORD_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct error;

struct supervisord_pair {
	char *section;
	char *key;		/* in small letters; NULL: the section begins */
	struct strbuf value;
	bool used;
};

struct supervisord_file {
	struct supervisord_pair *v;
	size_t n;
	char *section;		/* at hand; NULL: none yet */
};

/* -EINVAL with words, which begin with the line; -ENOMEM. The caller frees in any
   case; before it is { .n = 0 }. */
int supervisord_file_read(struct supervisord_file *file, const char *text,
    size_t len, struct error *err);
void supervisord_file_free(struct supervisord_file *file);

/* NULL as `key`: that the section is there. Or NULL. */
struct supervisord_pair *supervisord_file_find(
    const struct supervisord_file *file, const char *section,
    const char *key);

/* Without blanks around it; the caller frees. NULL: no memory. */
char *supervisord_trimmed(const char *at, size_t len);

#endif
