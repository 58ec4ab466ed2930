/*
 * Beginnings of lines whose ends have not come, in memory that outlives whoever has
 * read them. The pipe by which one came is its key.
 *
 * Each has a place with two texts, of which a word says which counts: a writer may
 * die after any store (core/ledger/ledger.h). The kernel gives the pages that are
 * written to, so places are taken from the first one on.
 */
#ifndef LINUX_LEDGER_HALF_LINES_H
#define LINUX_LEDGER_HALF_LINES_H

#include <stddef.h>
#include <stdint.h>

#define HALF_LINES_PLACES 1024
#define HALF_LINES_MAX 16384	/* bytes of one */
#define HALF_LINES_NOWHERE UINT32_MAX

struct half_lines;

/* New memory, or (`fd` >= 0, which is taken in any case) that of a supervisor before.
   NULL: there is none. */
struct half_lines *half_lines_new(void);
struct half_lines *half_lines_again(int fd);
void half_lines_free(struct half_lines *lines);	/* NULL is fine */

/* Of its file, which is its own. */
int half_lines_fd(const struct half_lines *lines);

/* What there is of `key` (not 0) from now on, nothing with `len` 0. *place is its
   place, _NOWHERE: it has none, and may get none where there are too many. */
void half_lines_put(struct half_lines *lines, uint32_t *place, uint64_t key,
    const char *text, size_t len);

/* What a supervisor before has left of it: *ret_text lies in the memory. 0: nothing. */
size_t half_lines_find(struct half_lines *lines, uint64_t key,
    uint32_t *ret_place, const char **ret_text);

/* Everything else there was is dropped: its pipes are nobody's. `has` says of whose
   key that is not so. */
void half_lines_keep(struct half_lines *lines,
    int (*has)(void *ctx, uint64_t key), void *ctx);

#endif
