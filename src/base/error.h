/*
 * Errors in words. A function that can fail for a reason the user must read
 * takes a `struct error *` as its last argument, returns -errno, and fills the
 * text. Who decides what to do about it also logs it, once.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdarg.h>

struct error {
	char *text;	/* heap, or NULL when nothing was said */
};

#define ERROR_INIT { .text = NULL }

/*
 * Set the text, replacing an earlier one, and return `code` (a negative errno)
 * so that a caller can write `return error_set(...)`. `err` may be NULL. When
 * memory is short the text is dropped, the code is not.
 */
int error_set(struct error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The text, never NULL: falls back to "out of memory" words. */
const char *error_text(const struct error *err);

/* Free the text; the error may be used again. */
void error_clear(struct error *err);

#endif
