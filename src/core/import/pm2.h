/* PM2's ecosystem file, as JSON. */
#ifndef CORE_IMPORT_PM2_H
#define CORE_IMPORT_PM2_H

#include <stddef.h>

struct draft;
struct error;

/* -EINVAL with words: it is none. -ENOMEM. */
int import_pm2(struct draft *d, const char *text, size_t len,
    struct error *err);

#endif
