/*
 * A command line and its words, as a POSIX shell splits them: blanks between
 * words, '...' verbatim, "..." with \ before " \ $ and `, a \ outside quotes
 * before any byte, and $'...' with \n, \t, \x1b and the like, so that any
 * argument can be written on one line. Nothing is expanded and no operator is
 * known: `;`, `|`, `$HOME` and `*` are plain text.
 */
#ifndef CORE_NAMES_WORDS_H
#define CORE_NAMES_WORDS_H

struct error;
struct strbuf;
struct strlist;

/*
 * Append the words of `text` to `words`. -EINVAL with words for an open quote,
 * an unknown escape or a \ at the end, -ENOMEM; what was appended before
 * stays, the caller frees the list in any case.
 */
int words_split(const char *text, struct strlist *words, struct error *err);

/* Append `word`, in quotes where it needs them, so that it splits back. */
void words_quote(struct strbuf *sb, const char *word);

#endif
