/* A Procfile, as foreman reads it. */
#ifndef CORE_IMPORT_PROCFILE_H
#define CORE_IMPORT_PROCFILE_H

#include <stddef.h>

struct draft;
struct error;

/* -EINVAL with words: it is none. -ENOMEM. */
int import_procfile(struct draft *d, const char *text, size_t len,
    struct error *err);

#endif
