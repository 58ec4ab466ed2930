/*
 * What a pipe gives, cut into whole lines: pieces of any length go in, blocks
 * of lines come out, in their order and in the same memory.
 *
 * Nothing is lost: a line of more than LINE_SPLIT_MAX bytes comes in several, a
 * newline put in between, and so does one that there is no memory to hold until
 * its end has come. A long one is never cut within a character of UTF-8.
 */
#ifndef CORE_OUTPUT_LINE_SPLIT_H
#define CORE_OUTPUT_LINE_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

#define LINE_SPLIT_MAX	16384	/* bytes of a line, without its newline */

/* The beginning of a line whose end has not come yet. Costs nothing else. */
struct line_split {
	char *held;		/* NULL: none */
	size_t n_held;		/* <= LINE_SPLIT_MAX */
};

#define LINE_SPLIT_INIT { .held = NULL }

/* Whole lines, one at least, none longer than LINE_SPLIT_MAX: the last byte is
   a newline. `goes_on`: the last one was cut, and what comes next is more of it.
   Good for the call. */
typedef void line_split_fn(void *ctx, const char *lines, size_t len,
    bool goes_on);

/*
 * Take the `len` bytes at `data`, before which and after which there is room to
 * write in: LINE_SPLIT_MAX bytes before, one after.
 */
void line_split_feed(struct line_split *split, char *data, size_t len,
    line_split_fn *fn, void *ctx);

/* These come first, of a line that goes on; without memory they do not. */
void line_split_hold(struct line_split *split, const char *bytes, size_t len);

/* How many newlines there are. */
size_t line_split_count(const char *bytes, size_t len);

/* Nothing comes any more: what is held is a line. Frees. */
void line_split_end(struct line_split *split, line_split_fn *fn, void *ctx);

#endif
