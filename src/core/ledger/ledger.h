/*
 * The ledger: what a supervisor has, for the one after it. Pure: this is its
 * layout in memory that outlives both, how it is written and how it is read.
 *
 * A supervisor that is killed leaves its descriptors open, in the table that it
 * shares with its keeper, and nobody who knows what they are. That stands here,
 * written at the moment of each change. Whoever reads it can be sure of what
 * stands here having been true, and of nothing else: that a descriptor is still
 * what it was is for the reader to see (linux/ledger).
 *
 * A writer may die after any store. So a record has a state, and two slots for
 * what is in it: the state says that there is none, or which of the slots counts.
 * Whatever is written goes to the other slot, and then counts, with a single store
 * of the state. A counter that is odd while something is written (a seqlock)
 * would tell the reader that a record is half-written, too; but nobody would be
 * left to write its other half, and what was before would be lost.
 *
 * What is read is what the writer did in the order of its program: it is dead, and
 * all that it did before is in the memory. So it is the compiler that has to keep
 * to the order (ledger_store.h).
 *
 * The head has a magic number, the version of the layout, and an area for each
 * kind of record, with their size and number. Records of a kind have one size. A
 * later version of clusterd may have more kinds, which an earlier one does not
 * look at, and add its areas to a ledger that has none of them. LEDGER_VERSION
 * changes if it is to be understood otherwise, or if a record grows, for which there
 * is no room in a ledger that is there.
 *
 * Memory: the ledger is large, and only what is used of it is there. Records are
 * at the first places that are free.
 */
#ifndef CORE_LEDGER_LEDGER_H
#define CORE_LEDGER_LEDGER_H

#include <stddef.h>
#include <stdint.h>

struct error;

#define LEDGER_VERSION 2

/* Of all its memory, a multiple of any page. */
#define LEDGER_SIZE ((size_t)32 << 20)

/* Never to be given another meaning. */
enum ledger_kind {
	LEDGER_LISTENER = 1,	/* ledger_records.h says what is in them */
	LEDGER_LANE = 2,
	LEDGER_WORKER = 3,
	LEDGER_PROGRAM = 4,	/* one */
	LEDGER_CONF = 5,
	LEDGER_CALL = 6,
	LEDGER_COUNT = 7,	/* one */
	LEDGER_STOP = 8,	/* one */
	LEDGER_FILE = 9,
	LEDGER_LINES = 10,	/* one */
};
#define LEDGER_KINDS 11

#define LEDGER_NOWHERE UINT32_MAX

struct ledger {
	unsigned char *memory;	/* borrowed */
	size_t size;
	struct ledger_area {
		size_t at;	/* its first record; 0: it is not there */
		size_t record;	/* the size of one */
		uint32_t places;
		uint32_t *used;	/* in its head: the places up to this one may
				   be taken; no more than `most` are looked at */
		uint32_t most;
		uint32_t free;	/* those before it are taken */
	} areas[LEDGER_KINDS];
};

/* A new one, in LEDGER_SIZE bytes of zeros. */
void ledger_format(struct ledger *ret_ledger, void *memory);

/*
 * One that is there, of `size` bytes, aligned to 8. Whatever is in them, what
 * this and the functions below read and write lies within. -EBADMSG: it is none, or
 * spoilt; -EPROTO: of another version, or smaller than this one needs; with words.
 */
int ledger_open(struct ledger *ret_ledger, void *memory, size_t size,
    struct error *err);

/* Another supervisor begins to write; how many have before it. */
uint32_t ledger_enter(struct ledger *ledger);

/* ---- records ---- */

/* `record` is the kind's struct. -ENOSPC: all places are taken. */
int ledger_add(struct ledger *ledger, enum ledger_kind kind,
    const void *record, uint32_t *ret_place);

/* What is in place `place` from now on; it is taken. */
void ledger_set(struct ledger *ledger, enum ledger_kind kind, uint32_t place,
    const void *record);

/* It is free from now on; it may be already. */
void ledger_drop(struct ledger *ledger, enum ledger_kind kind, uint32_t place);

/* Up to which place there may be records. A record stays in its place. */
uint32_t ledger_end(const struct ledger *ledger, enum ledger_kind kind);

/* How many places are not free. */
uint32_t ledger_count(const struct ledger *ledger, enum ledger_kind kind);

/* 1: there is one, in *ret_record; 0: the place is free; -EBADMSG: its state is
   none. */
int ledger_get(const struct ledger *ledger, enum ledger_kind kind,
    uint32_t place, void *ret_record);

#endif
