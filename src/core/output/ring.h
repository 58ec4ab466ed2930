/*
 * The last lines of an app's output, RING_MAX bytes of memory at most or less: what
 * comes in takes the place of what is oldest. Grows as it is needed; without
 * memory it stays as small as it is.
 *
 * Lines that came together are one record, and one copy. Readers have a cursor
 * each, which nobody has to know of: one whose lines have been overwritten goes
 * on at the oldest, and is told how many it has missed.
 */
#ifndef CORE_OUTPUT_RING_H
#define CORE_OUTPUT_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/output/line_split.h"

#define RING_MAX	(256 * 1024)

struct ring {
	uint64_t id;		/* no other ring of this process has it */
	char *bytes;		/* records, going round; NULL: none yet */
	size_t size;
	size_t most;		/* bytes, a power of two that has room for a
				   record; 0: RING_MAX */
	size_t head;		/* where the oldest record stands */
	uint64_t start;		/* its position: bytes since the beginning … */
	uint64_t end;		/* … and of the next one */
	uint64_t first_line;	/* of the oldest record, … */
	uint64_t n_lines;	/* … of all that ever came */
};

/* `id` is not 0. */
#define RING_INIT(number) { .id = (number) }

/* Whose lines, and when they were read. */
struct ring_source {
	int64_t time_ms;	/* wall clock, since 1970 */
	uint16_t instance;
	uint8_t stream;		/* 1: stdout, 2: stderr */
	bool goes_on;		/* the last line does, in the next one */
};

/*
 * Add whole lines, each of LINE_SPLIT_MAX bytes at most. They are numbered from
 * *seq on, which moves behind the last one: one counter for several rings gives
 * the order in which their lines came.
 */
void ring_add(struct ring *ring, const struct ring_source *source,
    const char *lines, size_t len, uint64_t *seq);

void ring_free(struct ring *ring);

/* A reader's place; all zero is before everything. */
struct ring_cursor {
	uint64_t ring;		/* id */
	uint64_t record;	/* position */
	uint32_t offset;	/* in the record's bytes … */
	uint32_t nth;		/* … and its line there */
	uint64_t line;
};

struct ring_line {
	uint64_t seq;
	struct ring_source source;
	const char *text;	/* in the caller's memory, no newline */
	size_t len;
	uint64_t lost;		/* lines before it that this reader missed */
};

/*
 * The next line for the cursor: its bytes go into `text`. False: there is none
 * yet. A cursor of another ring, such as that of an app removed and added
 * again, starts with the oldest line.
 */
bool ring_next(const struct ring *ring, struct ring_cursor *cursor,
    char text[LINE_SPLIT_MAX], struct ring_line *ret_line);

#endif
