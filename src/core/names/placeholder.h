/*
 * Words in braces that stand for what only the moment knows: {port},
 * {instance}, {app}, {worker_id}, {fd} and {env:NAME}. Whoever replaces them
 * says which it knows; all others, and any other text in braces, stay as they
 * are.
 */
#ifndef CORE_NAMES_PLACEHOLDER_H
#define CORE_NAMES_PLACEHOLDER_H

#include <stdbool.h>
#include <stddef.h>

enum placeholder {
	PLACEHOLDER_FD,
	PLACEHOLDER_PORT,
	PLACEHOLDER_INSTANCE,
	PLACEHOLDER_APP,
	PLACEHOLDER_WORKER_ID,
	PLACEHOLDER_ENV,
	PLACEHOLDERS
};

struct placeholders {
	/* What each comes to, but for _ENV; NULL: not known, it stays. */
	const char *values[PLACEHOLDERS];
	/* {env:NAME}: NAME=value, up to NULL, of which the last one counts;
	   NULL: none is known. */
	char *const *env;
};

/* The caller frees. NULL when memory is short. */
char *placeholders_expand(const struct placeholders *placeholders,
    const char *text);

/* Is it in the text? */
bool placeholder_in(enum placeholder which, const char *text);

/* As it is written, for messages: "{port}". */
const char *placeholder_text(enum placeholder which);

/*
 * The first {env:NAME} from `text` on whose NAME is not in `env` (which may be
 * NULL), and where it goes on behind it. NULL: there is none.
 */
const char *placeholder_find_unset(const char *text, char *const *env,
    size_t *ret_len);

/* The first text in braces that is a word, and none of these: what is meant
   as one. Its length too. NULL: there is none. */
const char *placeholder_find_unknown(const char *text, size_t *ret_len);

#endif
