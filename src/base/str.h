/*
 * Growing text and lists of text. Both carry a sticky failure flag, so that a
 * run of appends is checked once, at its end.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>

struct strbuf {
	char *text;	/* NUL-terminated once something was appended */
	size_t len;
	size_t cap;
	bool failed;	/* an append ran out of memory; the text is cut */
};

#define STRBUF_INIT { .text = NULL }

void strbuf_add(struct strbuf *sb, const char *bytes, size_t len);
void strbuf_puts(struct strbuf *sb, const char *s);
void strbuf_putc(struct strbuf *sb, char c);
void strbuf_printf(struct strbuf *sb, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void strbuf_free(struct strbuf *sb);

/*
 * Hand the text over (the caller frees it) and leave the buffer empty. NULL if
 * an append had failed. An empty buffer gives "".
 */
char *strbuf_take(struct strbuf *sb);

/* A NULL-terminated vector of owned strings, as execve(2) takes it. */
struct strlist {
	char **v;	/* NULL, or n strings and a NULL */
	size_t n;
	size_t cap;
	bool failed;
};

#define STRLIST_INIT { .v = NULL }

void strlist_add(struct strlist *sl, const char *s);

/* Append `s` and own it from now on, also on failure; NULL counts as failed. */
void strlist_take(struct strlist *sl, char *s);

void strlist_printf(struct strlist *sl, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void strlist_free(struct strlist *sl);

/* Put a copy in the place of what *at owns; NULL when there is no memory. */
void str_keep(char **at, const char *s);

bool str_starts(const char *s, const char *prefix);

/* Are these bytes that word, whatever the case of the letters of ASCII? */
bool str_is_word(const char *bytes, size_t len, const char *word);

/* Is it one of `list`, which ends with NULL? */
bool str_is_one_of(const char *s, const char *const *list);

/* What stands behind the last slash; the whole, where there is none. Within
   `path`. */
const char *str_base_name(const char *path);

#endif
