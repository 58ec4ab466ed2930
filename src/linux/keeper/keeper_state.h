/*
 * What a keeper hands to the program that it becomes by execve(2): the same process,
 * with its table of descriptors and its children.
 */
#ifndef LINUX_KEEPER_KEEPER_STATE_H
#define LINUX_KEEPER_KEEPER_STATE_H

#include <stdbool.h>

#include "linux/loop/signals.h"

/* Changes with the meaning of what is handed over; that of the ledger is told
   beside it. */
#define KEEPER_STATE_VERSION	1

/* "1.1.16384": of both, and how large what is handed over is. */
#define KEEPER_STATE_WORD_SIZE	24
const char *keeper_state_word(char word[KEEPER_STATE_WORD_SIZE]);

/* An upgrade hands its state over by it. */
#define KEEPER_STATE_ENV	"CLUSTERD_STATE"

/* Are we what a keeper has become by an upgrade? Where its state stands, and in
   *ret_ledger_fd the ledger's memory; -1: no. Once, before anything else. */
int keeper_state_fd(int *ret_ledger_fd);

/* Says on standard output whether what `word` stands for can be taken over. Returns
   the exit status. */
int keeper_check_state(const char *word, const char *version);

/* ---- for the room alone ---- */

#define KEEPER_WORDS_SIZE	256

struct keeper_handover {
	int back_fd;		/* the program before (O_PATH); -1: none */
	bool returns;		/* this is that one again, and words say why */
	bool has_been_up;
	char words[KEEPER_WORDS_SIZE];	/* … else which version it is */
	char comm[16];
	struct signals_beginning signals;
};

/* Become that file's program (O_PATH). Only returns if that fails, and all is as it
   was: -errno. No other process may have our table of descriptors. */
int keeper_state_exec(int binary, char *const argv[],
    const struct keeper_handover *handover);

/* In that program: -errno, what stands there was not meant for us. Closes `fd`. */
int keeper_state_take(int fd, struct keeper_handover *ret_handover);

#endif
