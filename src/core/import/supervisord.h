/* The configuration of supervisord, as its version 4.2 reads it. */
#ifndef CORE_IMPORT_SUPERVISORD_H
#define CORE_IMPORT_SUPERVISORD_H

#include <stddef.h>

struct draft;
struct error;

/* -EINVAL with words: it is none. -ENOMEM. */
int import_supervisord(struct draft *d, const char *text, size_t len,
    struct error *err);

#endif
