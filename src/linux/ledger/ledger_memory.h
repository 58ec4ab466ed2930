/*
 * The memory of a ledger: of a file without a name, so that it outlives every
 * process that has it mapped, and a program that another one takes the place of.
 *
 * Its size is sealed: whoever had the descriptor could else cut it, which kills
 * whoever reads what was there. So it does not grow either, nor has it to be
 * mapped elsewhere then: it is as large as it may ever be, and the kernel gives it
 * those pages that are written to.
 */
#ifndef LINUX_LEDGER_LEDGER_MEMORY_H
#define LINUX_LEDGER_LEDGER_MEMORY_H

struct error;
struct ledger;

/*
 * A new ledger, which is mapped for as long as the process lives, and for those
 * that it forks. *ret_fd is its file, close-on-exec, the caller's: the mapping
 * does without. -errno with words.
 */
int ledger_memory_new(struct ledger *ret_ledger, int *ret_fd,
    struct error *err);

/* The one of such a file, after an exec. -errno with words, also as ledger_open(). */
int ledger_memory_open(int fd, struct ledger *ret_ledger, struct error *err);

/* All that is in it is spoilt: from now on it is a new one. */
void ledger_memory_renew(const struct ledger *ledger);

#endif
