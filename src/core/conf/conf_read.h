/* Bytes of a file to sections and keys. */
#ifndef CORE_CONF_CONF_READ_H
#define CORE_CONF_CONF_READ_H

#include <stddef.h>

struct conf_errors;
struct conf_source;

/*
 * Bytes of a file to entries. Every problem goes to `errors`, reading goes on
 * behind it. Returns 0 (look at errors->n) or -ENOMEM. The caller frees
 * *ret_source in both cases.
 */
int conf_read(const char *text, size_t len, struct conf_source *ret_source,
    struct conf_errors *errors);

/* The same of one more file, behind what is in the source already; its lines are
   numbered from there on. */
int conf_read_more(const char *text, size_t len, unsigned lines_before,
    struct conf_source *source, struct conf_errors *errors);

#endif
