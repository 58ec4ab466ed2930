/*
 * The words of a command line as they are written, before core/names/words
 * takes their quotes away: what a shell would have done with them.
 */
#ifndef CORE_CONF_RAW_WORD_H
#define CORE_CONF_RAW_WORD_H

#include <stdbool.h>
#include <stddef.h>

struct raw_word {
	const char *at;		/* in the text, not NUL-terminated */
	size_t len;
	bool plain;		/* no quote and no backslash is in it */
};

/*
 * The next word of *text, which goes on behind it; false: there is none. The
 * text is one that words_split() takes.
 */
bool raw_word_next(const char **text, struct raw_word *ret_word);

/* Is it this one, without any quotes? */
bool raw_word_is(const struct raw_word *word, const char *text);

/* Does it begin so, without any quotes? */
bool raw_word_starts(const struct raw_word *word, const char *prefix);

/* How far a word has been looked at; at first RAW_SCAN_INIT. */
struct raw_scan {
	const char *at;
	bool in_double;
};

#define RAW_SCAN_INIT { .at = NULL }

/*
 * The next such byte that a shell would have seen as one of its own: in no single
 * quotes, and behind no backslash; NULL: there is none. `$'` begins a quote, and
 * is none. All calls together look at each byte of the word once.
 */
const char *raw_word_live(const struct raw_word *word, struct raw_scan *scan,
    char byte);

#endif
