/* link with -Wl,--wrap=malloc, or what memory is short for is skipped. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/output/ring.h"
#include "lib/alloc_fail.h"

static unsigned fail_one_in;	/* allocations; 0: none */
static uint64_t dice = 1;
static char text[LINE_SPLIT_MAX];

static unsigned
roll(unsigned n)
{
	dice = dice * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(dice >> 33) % n;
}

static bool
bad_luck(void)
{
	return fail_one_in > 0 && roll(fail_one_in) == 0;
}

static void
add(struct ring *ring, const char *lines, uint64_t *seq)
{
	const struct ring_source source = {
		.time_ms = 1000 + (int64_t)*seq, .instance = 7, .stream = 2,
	};

	ring_add(ring, &source, lines, strlen(lines), seq);
}

static void
expect_line(const struct ring *ring, struct ring_cursor *c, const char *line,
    uint64_t seq, uint64_t lost)
{
	struct ring_line l;

	assert_true(ring_next(ring, c, text, &l));
	assert_int_equal(l.len, strlen(line));
	assert_memory_equal(l.text, line, l.len);
	assert_int_equal(l.seq, seq);
	assert_int_equal(l.lost, lost);
	assert_int_equal(l.source.instance, 7);
	assert_int_equal(l.source.stream, 2);
}

static void
expect_end(const struct ring *ring, struct ring_cursor *c)
{
	struct ring_line l;

	assert_false(ring_next(ring, c, text, &l));
}

/* Lines that are there. */
static uint64_t
count(const struct ring *ring)
{
	return ring->n_lines - ring->first_line;
}

/* A reader that has read all but the last `n` lines. */
static struct ring_cursor
before_last(const struct ring *ring, uint64_t n)
{
	struct ring_cursor c = { .ring = 0 };
	struct ring_line l;

	for (uint64_t i = n; i < count(ring); i++)
		assert_true(ring_next(ring, &c, text, &l));
	return c;
}

static void
lines_come_out_in_their_order(void **state)
{
	struct ring ring = RING_INIT(1);
	struct ring_cursor c = { .ring = 0 }, last;
	uint64_t seq = 5;

	(void)state;
	expect_end(&ring, &c);
	add(&ring, "a\n\nccc\n", &seq);
	assert_int_equal(seq, 8);
	seq = 20;	/* somebody else's ring had those */
	add(&ring, "d\n", &seq);
	assert_int_equal(count(&ring), 4);
	expect_line(&ring, &c, "a", 5, 0);
	expect_line(&ring, &c, "", 6, 0);
	last = before_last(&ring, 2);
	expect_line(&ring, &last, "ccc", 7, 0);
	expect_line(&ring, &c, "ccc", 7, 0);
	expect_line(&ring, &c, "d", 20, 0);
	expect_end(&ring, &c);
	last = before_last(&ring, 0);
	expect_end(&ring, &last);
	add(&ring, "e\n", &seq);
	expect_line(&ring, &c, "e", 21, 0);
	expect_line(&ring, &last, "e", 21, 0);
	last = before_last(&ring, 100);
	expect_line(&ring, &last, "a", 5, 0);
	ring_free(&ring);
}

static void
a_cursor_of_another_ring_begins_anew(void **state)
{
	struct ring old = RING_INIT(1), new = RING_INIT(2);
	struct ring_cursor c = { .ring = 0 };
	uint64_t seq = 0;

	(void)state;
	add(&old, "a\nb\n", &seq);
	expect_line(&old, &c, "a", 0, 0);
	ring_free(&old);
	add(&new, "c\n", &seq);
	expect_line(&new, &c, "c", 2, 0);
	ring_free(&new);
}

static void
what_is_overwritten_is_counted(void **state)
{
	struct ring ring = RING_INIT(1);
	struct ring_cursor c = { .ring = 0 }, at_end;
	struct ring_line l;
	char line[1001];
	uint64_t seq = 0;

	(void)state;
	memset(line, 'x', 999);
	line[999] = '\n';
	line[1000] = '\0';
	add(&ring, "first\nsecond\n", &seq);
	expect_line(&ring, &c, "first", 0, 0);
	at_end = before_last(&ring, 0);
	for (unsigned i = 0; i < 1000; i++)
		add(&ring, line, &seq);
	assert_int_equal(ring.size, RING_MAX);
	assert_true(ring_next(&ring, &c, text, &l));
	assert_int_equal(l.lost, 1002 - count(&ring) - 1);
	assert_int_equal(l.seq, 1002 - count(&ring));
	assert_true(ring_next(&ring, &at_end, text, &l));
	assert_int_equal(l.lost, 1000 - count(&ring));
	assert_true(ring_next(&ring, &c, text, &l));
	assert_int_equal(l.lost, 0);
	ring_free(&ring);
}

/* Every line holds its number, is as long as that says, and none is missed
   without being counted. */
static size_t
make_line(char *to, uint64_t number)
{
	size_t len = number % 997 == 0 ? LINE_SPLIT_MAX : number % 131;
	int n = sprintf(to, "%llu ", (unsigned long long)number);

	if (len < (size_t)n)
		len = (size_t)n;
	memset(to + n, 'a' + (int)(number % 26), len - (size_t)n);
	to[len] = '\n';
	return len + 1;
}

static void
check_line(const struct ring_line *l, uint64_t number)
{
	static char line[LINE_SPLIT_MAX + 32];
	size_t len = make_line(line, number);

	assert_int_equal(l->len, len - 1);
	assert_memory_equal(l->text, line, len - 1);
	assert_int_equal(l->seq, number);
}

static void
run_history(unsigned fail)
{
	static char lines[20 * (LINE_SPLIT_MAX + 1)];
	struct ring ring = RING_INIT(1);
	struct ring_cursor c[4] = { { .ring = 0 } };
	uint64_t next[4] = { 0 };
	uint64_t seq = 0;

	for (unsigned step = 0; step < 500; step++) {
		const struct ring_source source = { .time_ms = step };
		unsigned r = roll(4);
		size_t len = 0;

		for (unsigned n = roll(20); n > 0; n--)
			len += make_line(lines + len, seq + (20 - n));
		/* Made again with their numbers, in their order. */
		if (len > 0) {
			unsigned n = 0;

			for (size_t k = 0; k < len; k++)
				n += lines[k] == '\n';
			len = 0;
			for (unsigned k = 0; k < n; k++)
				len += make_line(lines + len, seq + k);
		}
		fail_one_in = fail;
		ring_add(&ring, &source, lines, len, &seq);
		fail_one_in = 0;
		assert_int_equal(ring.n_lines, seq);
		assert_true(ring.size <= RING_MAX);

		for (unsigned n = roll(60); n > 0; n--) {
			struct ring_line l;

			if (!ring_next(&ring, &c[r], text, &l)) {
				assert_int_equal(count(&ring) == 0 ||
				    next[r] == seq, 1);
				break;
			}
			if (next[r] == 0)
				next[r] = l.seq - l.lost;
			next[r] += l.lost;
			check_line(&l, next[r]);
			next[r]++;
		}
		if (roll(50) == 0) {
			uint64_t n = roll(300);

			c[r] = before_last(&ring, n);
			/* One that has read nothing misses nothing. */
			next[r] = n < count(&ring) ? seq - n : 0;
		}
	}
	ring_free(&ring);
}

static void
random_histories(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 60; n++)
		run_history(0);
}

static void
without_memory_it_is_smaller(void **state)
{
	struct ring ring = RING_INIT(1);
	struct ring_cursor c = { .ring = 0 };
	uint64_t seq = 0;

	(void)state;
	alloc_fail_when(bad_luck);
	for (unsigned n = 0; n < 60; n++)
		run_history(1 + roll(4));

	/* None at all, then again. */
	fail_one_in = 1;
	add(&ring, "a\nb\n", &seq);
	assert_int_equal(count(&ring), 0);
	expect_end(&ring, &c);
	add(&ring, "c\n", &seq);
	alloc_works();
	add(&ring, "d\n", &seq);
	expect_line(&ring, &c, "d", 3, 1);
	ring_free(&ring);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_come_out_in_their_order),
		cmocka_unit_test(a_cursor_of_another_ring_begins_anew),
		cmocka_unit_test(what_is_overwritten_is_counted),
		cmocka_unit_test(random_histories),
		cmocka_unit_test(without_memory_it_is_smaller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
