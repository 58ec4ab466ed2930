/* What the keeper says of a supervisor, without memory. For the room alone. */
#ifndef LINUX_KEEPER_KEEPER_WORDS_H
#define LINUX_KEEPER_KEEPER_WORDS_H

#include <stddef.h>

/* Of what wait(2) tells. */
void keeper_words_cause(int status, char *words, size_t size);

/* As obituary_duration(). */
void keeper_words_duration(long long ms, char *words, size_t size);

#endif
