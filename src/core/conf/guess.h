/*
 * Which of several words one may have meant that is none of them: those that it
 * begins, or else the nearest by conf_near().
 */
#ifndef CORE_CONF_GUESS_H
#define CORE_CONF_GUESS_H

#include <stdbool.h>
#include <stddef.h>

struct strbuf;

#define GUESS_MAX 4	/* one that begins more of them says nothing */

struct guess {
	const char *text;
	const char *near;
	unsigned distance;
	bool tied;		/* another one is as near */
	const char *begun[GUESS_MAX];	/* borrowed, as all words are */
	size_t n_begun;
};

void guess_begin(struct guess *guess, const char *text);
void guess_word(struct guess *guess, const char *word);

/* ", did you mean stop or start?", or nothing. */
void guess_put(const struct guess *guess, struct strbuf *sb);

#endif
