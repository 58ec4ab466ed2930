/*
 * A configuration of several files: `include` in [clusterd] names those that
 * are read behind the one that it stands in, by patterns of a shell.
 */
#ifndef CORE_CONF_CONF_INCLUDE_H
#define CORE_CONF_CONF_INCLUDE_H

#include <stddef.h>

struct conf_errors;
struct conf_source;
struct error;
struct strlist;

/* Stated limits. Of the bytes of all files together it is CONF_FILE_MAX. */
#define CONF_INCLUDE_FILES	256	/* beside the first */
#define CONF_INCLUDE_DEPTH	8	/* with the first */

/* The world outside; each returns 0 or -errno with words. */
struct conf_include_host {
	void *ctx;
	/* What an absolute pattern matches, sorted by bytes; a backslash takes
	   its meaning from the byte behind it. Nothing matches: no error. */
	int (*list)(void *ctx, const char *pattern, struct strlist *ret_paths,
	    struct error *err);
	/* The same text for each name of a file; the caller frees. NULL: no
	   memory. */
	char *(*identify)(void *ctx, const char *path);
	/* The caller frees *ret_text. -EFBIG beyond `max`. */
	int (*read)(void *ctx, const char *path, size_t max, char **ret_text,
	    size_t *ret_len, struct error *err);
};

/*
 * conf_read() of the text of errors->file, which is at `path` in `dir` (both
 * absolute), and of all that is included. Lines are those of ret_source->places, which
 * `errors` borrows: until the source is freed. Returns 0 (look at errors->n) or
 * -ENOMEM; the caller frees *ret_source in both cases.
 *
 * An included file's [clusterd] may have `include` alone, and is not in the
 * source.
 */
int conf_include_read(const char *text, size_t len, const char *path,
    const char *dir, const struct conf_include_host *host,
    struct conf_source *ret_source, struct conf_errors *errors);

#endif
