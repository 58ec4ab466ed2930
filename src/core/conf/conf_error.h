/* What is wrong with a configuration, in words for its author. */
#ifndef CORE_CONF_CONF_ERROR_H
#define CORE_CONF_CONF_ERROR_H

#include <stdbool.h>
#include <stddef.h>

struct conf_places;

#define CONF_ERRORS_MAX	100	/* then "and N more" */

/*
 * All errors of one pass, each a line without newline:
 * `FILE:LINE: KEY: what is wrong, what is allowed`, sorted by line at the end.
 * More than CONF_ERRORS_MAX are held until then, so that the first by line are
 * kept and not the first to be found.
 */
struct conf_errors {
	const char *file;	/* as the user named it; borrowed */
	/* Which line is of which file; NULL, or none: all are of `file`.
	   Borrowed, and looked at while errors are added. */
	const struct conf_places *places;
	struct conf_error {
		unsigned line;	/* 0: about the whole file */
		size_t words;	/* in text, where they begin */
		char *text;
	} *v;
	size_t n;
	size_t dropped;		/* beyond CONF_ERRORS_MAX, or no memory */
	unsigned full_from;	/* those from this line on are only counted;
				   0: none */
};

/* `key` may be NULL: an error that is about no key in particular. */
void conf_error_add(struct conf_errors *errors, unsigned line,
    const char *key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* By line, and cut to CONF_ERRORS_MAX. */
void conf_errors_sort(struct conf_errors *errors);

/* Whether an error about that line is only counted: words would be wasted. */
bool conf_errors_full(const struct conf_errors *errors, unsigned line);

/* Is one with the same words, on whichever line, among them? */
bool conf_errors_have(const struct conf_errors *errors,
    const struct conf_error *error);

void conf_errors_free(struct conf_errors *errors);

/* Where `line` is, for a message about the line `here`: "on line 5", or of
   another file "in conf.d/web.ini:5". */
struct conf_where {
	char text[128];
};
struct conf_where conf_errors_where(const struct conf_errors *errors,
    unsigned line, unsigned here);

#endif
