#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/output/ring.h"

#define SIZE_MIN	4096
/* Of a record: the oldest go a record at a time. */
#define PAYLOAD_MAX	(LINE_SPLIT_MAX + 1)

struct record {
	uint64_t seq;		/* of its first line */
	struct ring_source source;
	uint32_t n_lines;
	uint32_t len;		/* of the bytes that follow */
};

static size_t
used(const struct ring *ring)
{
	return (size_t)(ring->end - ring->start);
}

/* Where a position is in memory. */
static size_t
place(const struct ring *ring, uint64_t position)
{
	return (size_t)(ring->head + (position - ring->start)) % ring->size;
}

static void
put(struct ring *ring, const void *from, size_t len)
{
	size_t at = place(ring, ring->end);
	size_t straight = ring->size - at < len ? ring->size - at : len;

	memcpy(ring->bytes + at, from, straight);
	memcpy(ring->bytes, (const char *)from + straight, len - straight);
	ring->end += len;
}

static void
get(const struct ring *ring, uint64_t position, void *to, size_t len)
{
	size_t at = place(ring, position);
	size_t straight = ring->size - at < len ? ring->size - at : len;

	memcpy(to, ring->bytes + at, straight);
	memcpy((char *)to + straight, ring->bytes, len - straight);
}

static struct record
record_at(const struct ring *ring, uint64_t position)
{
	struct record r;

	get(ring, position, &r, sizeof(r));
	return r;
}

static uint64_t
behind(uint64_t position, const struct record *r)
{
	return position + sizeof(*r) + r->len;
}

static void
drop_oldest(struct ring *ring)
{
	struct record r = record_at(ring, ring->start);
	uint64_t next = behind(ring->start, &r);

	ring->head = place(ring, next);
	ring->start = next;
	ring->first_line += r.n_lines;
}

/* Twice the size, until `need` bytes more have room. */
static void
grow(struct ring *ring, size_t need)
{
	size_t size = ring->size > 0 ? ring->size : SIZE_MIN;
	size_t most = ring->most > 0 ? ring->most : RING_MAX;
	char *bytes;

	while (size < used(ring) + need && size < most)
		size *= 2;
	if (size == ring->size)
		return;
	bytes = malloc(size);
	if (bytes == NULL)
		return;
	if (ring->size > 0)
		get(ring, ring->start, bytes, used(ring));
	free(ring->bytes);
	ring->bytes = bytes;
	ring->size = size;
	ring->head = 0;
}

static void
add_record(struct ring *ring, const struct record *r, const char *lines)
{
	size_t need = sizeof(*r) + r->len;

	if (used(ring) + need > ring->size)
		grow(ring, need);
	while (used(ring) > 0 && used(ring) + need > ring->size)
		drop_oldest(ring);
	ring->n_lines += r->n_lines;
	if (need > ring->size) {
		/* No memory: as if it had been overwritten at once. */
		ring->first_line = ring->n_lines;
		ring->end++;
		ring->start = ring->end;
		return;
	}
	put(ring, r, sizeof(*r));
	put(ring, lines, r->len);
}

void
ring_add(struct ring *ring, const struct ring_source *source,
    const char *lines, size_t len, uint64_t *seq)
{
	while (len > 0) {
		size_t look = len < PAYLOAD_MAX ? len : PAYLOAD_MAX;
		const char *last = memrchr(lines, '\n', look);
		struct record r = { .seq = *seq, .source = *source };

		assert(last != NULL);
		r.len = (uint32_t)(last + 1 - lines);
		r.n_lines = (uint32_t)line_split_count(lines, r.len);
		r.source.goes_on = source->goes_on && r.len == len;
		add_record(ring, &r, lines);
		*seq += r.n_lines;
		lines += r.len;
		len -= r.len;
	}
}

void
ring_free(struct ring *ring)
{
	free(ring->bytes);
	*ring = (struct ring){ .id = ring->id, .most = ring->most };
}

/* ---- reading ---- */

static struct ring_cursor
oldest(const struct ring *ring)
{
	return (struct ring_cursor){
		.ring = ring->id, .record = ring->start,
		.line = ring->first_line,
	};
}

/* The length of the line at `offset` of the record, without its newline. */
static size_t
line_len(const struct ring *ring, uint64_t record, const struct record *r,
    uint32_t offset)
{
	size_t at = place(ring, record + sizeof(*r) + offset);
	size_t rest = r->len - offset;
	size_t straight = ring->size - at < rest ? ring->size - at : rest;
	const char *newline = memchr(ring->bytes + at, '\n', straight);

	if (newline != NULL)
		return (size_t)(newline - (ring->bytes + at));
	newline = memchr(ring->bytes, '\n', rest - straight);
	return straight + (size_t)(newline - ring->bytes);
}

bool
ring_next(const struct ring *ring, struct ring_cursor *cursor,
    char text[LINE_SPLIT_MAX], struct ring_line *ret_line)
{
	struct ring_line line = { .text = text };
	struct record r;

	if (cursor->ring != ring->id) {
		*cursor = oldest(ring);
	} else if (cursor->record < ring->start) {
		line.lost = ring->first_line - cursor->line;
		*cursor = oldest(ring);
	}
	if (cursor->record == ring->end) {
		/* Still to be told, with the next line. */
		cursor->line -= line.lost;
		if (line.lost > 0)
			cursor->record = 0;
		return false;
	}
	r = record_at(ring, cursor->record);
	line.seq = r.seq + cursor->nth;
	line.source = r.source;
	line.len = line_len(ring, cursor->record, &r, cursor->offset);
	get(ring, cursor->record + sizeof(r) + cursor->offset, text, line.len);

	cursor->line++;
	cursor->nth++;
	cursor->offset += (uint32_t)line.len + 1;
	line.source.goes_on = r.source.goes_on && cursor->offset == r.len;
	if (cursor->offset == r.len) {
		cursor->record = behind(cursor->record, &r);
		cursor->offset = cursor->nth = 0;
	}
	*ret_line = line;
	return true;
}
