/*
 * A status as the rows of a page: one for each app, and one for each worker. A page
 * is sent all of them once, and then those that have changed.
 *
 * Of a worker that does nothing nothing changes from one sample to the next: moments
 * are told, to the second, and no durations.
 */
#ifndef CORE_WEB_WEB_ROWS_H
#define CORE_WEB_WEB_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct status;

struct web_row {
	size_t id, id_len;	/* where in the text: its name, unquoted, … */
	size_t json, json_len;	/* … and the whole of it, an object */
	const char *name;	/* that id, within the text */
};

struct web_rows {
	struct strbuf text;
	struct web_row *rows;	/* by id */
	size_t n, cap;
};

#define WEB_ROWS_INIT { .rows = NULL }

/* `now_ms`: since 1970. -ENOMEM: *ret_rows is untouched. web_rows_free() undoes
   it. */
int web_rows_build(const struct status *status, int64_t now_ms,
    struct web_rows *ret_rows);
void web_rows_free(struct web_rows *rows);

/*
 * Append "set":[ROW,...],"gone":[ID,...], which lead from `before` to `rows`;
 * NULL: from nothing.
 */
void web_rows_put(struct strbuf *sb, const struct web_rows *rows,
    const struct web_rows *before);

/* Append the record of clusterd itself as an object, {} where there is none. */
void web_rows_put_clusterd(struct strbuf *sb, const struct status *status,
    int64_t now_ms);

#endif
