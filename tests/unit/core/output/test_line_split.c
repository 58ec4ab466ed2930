/* link with -Wl,--wrap=malloc, or what memory is short for is skipped. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "core/output/line_split.h"
#include "lib/alloc_fail.h"

static unsigned fail_one_in;	/* allocations; 0: none */
static uint64_t dice = 1;

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

/* What came out, with a check of each block. */
static struct strbuf got;
static unsigned n_cut;		/* lines that go on … */
static bool cut;		/* … the last one does */

static void
take(void *ctx, const char *lines, size_t len, bool goes_on)
{
	const char *end = lines + len;
	unsigned fail = fail_one_in;

	(void)ctx;
	assert_true(len > 0);
	assert_int_equal(end[-1], '\n');
	for (const char *at = lines; at < end; ) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		assert_true(newline - at <= LINE_SPLIT_MAX);
		at = newline + 1;
	}
	/* Our own memory is there. */
	fail_one_in = 0;
	n_cut += goes_on;
	cut = goes_on;
	strbuf_add(&got, lines, len);
	fail_one_in = fail;
}

/* In memory of just the size that is asked for. */
static void
feed(struct line_split *s, const char *bytes, size_t len)
{
	char *room = calloc(1, LINE_SPLIT_MAX + len + 1);

	assert_non_null(room);
	memcpy(room + LINE_SPLIT_MAX, bytes, len);
	line_split_feed(s, room + LINE_SPLIT_MAX, len, take, NULL);
	assert_memory_equal(room + LINE_SPLIT_MAX, bytes, len);
	free(room);
}

static void
forget(void)
{
	strbuf_free(&got);
	got = (struct strbuf)STRBUF_INIT;
	n_cut = 0;
}

/* Feed the pieces one after another, then the end. */
#define expect(expected, ...) do { \
	static const char *const pieces[] = { __VA_ARGS__ }; \
	struct line_split s = LINE_SPLIT_INIT; \
	for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++) \
		feed(&s, pieces[p], strlen(pieces[p])); \
	line_split_end(&s, take, NULL); \
	assert_null(s.held); \
	assert_string_equal(got.text != NULL ? got.text : "", expected); \
	forget(); \
} while (0)

static void
lines_come_whole(void **state)
{
	(void)state;
	expect("", "");
	expect("a\n", "a\n");
	expect("a\nb\n", "a\nb\n");
	expect("a\nb\n", "a", "\n", "b");
	expect("abc\n", "a", "b", "c");
	expect("\n\n\nx\n", "\n\n", "\nx");
	expect("abc\ndef\n", "ab", "c\nd", "ef\n");
}

static void
a_long_line_is_split(void **state)
{
	static char line[3 * LINE_SPLIT_MAX];
	struct line_split s = LINE_SPLIT_INIT;

	(void)state;
	memset(line, 'x', sizeof(line));
	/* Just as long as may be, in one piece and in two. */
	line[LINE_SPLIT_MAX] = '\n';
	feed(&s, line, LINE_SPLIT_MAX + 1);
	assert_int_equal(got.len, LINE_SPLIT_MAX + 1);
	assert_null(s.held);
	forget();
	feed(&s, line, LINE_SPLIT_MAX);
	assert_int_equal(got.len, 0);
	feed(&s, "\n", 1);
	assert_int_equal(got.len, LINE_SPLIT_MAX + 1);
	forget();
	/* A byte more. */
	line[LINE_SPLIT_MAX] = 'x';
	feed(&s, line, LINE_SPLIT_MAX);
	feed(&s, "y\n", 2);
	assert_int_equal(got.len, LINE_SPLIT_MAX + 3);
	assert_string_equal(got.text + LINE_SPLIT_MAX, "\ny\n");
	assert_int_equal(n_cut, 1);
	assert_false(cut);
	forget();
	feed(&s, line, sizeof(line));
	line_split_end(&s, take, NULL);
	assert_int_equal(got.len, sizeof(line) + 3);
	assert_int_equal(n_cut, 2);
	assert_false(cut);
	forget();
}

/* `text` so that `before` bytes of it are in front of a line's limit; then a
   line's worth of x. */
static void
expect_cut(const char *text, size_t before, size_t len)
{
	static char line[2 * LINE_SPLIT_MAX];
	struct line_split s = LINE_SPLIT_INIT;

	memset(line, 'x', sizeof(line));
	memcpy(line + LINE_SPLIT_MAX - before, text, strlen(text));
	line[sizeof(line) - 100] = '\n';
	feed(&s, line, sizeof(line) - 99);
	assert_int_equal(strchr(got.text, '\n') - got.text, len);
	assert_int_equal(n_cut, 1);
	assert_false(cut);
	assert_int_equal(got.len, sizeof(line) - 98);
	assert_memory_equal(got.text, line, len);
	assert_memory_equal(got.text + len + 1, line + len,
	    sizeof(line) - 99 - len);
	forget();
}

static void
no_character_is_cut(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} characters[] = {
		{ "\xc3\xa9", 2 }, { "\xe2\x82\xac", 3 },
		{ "\xf0\x9f\x98\x80", 4 },
	};

	(void)state;
	for (size_t i = 0; i < 3; i++)
		for (size_t k = 0; k <= characters[i].len; k++)
			expect_cut(characters[i].text, k, LINE_SPLIT_MAX -
			    (k < characters[i].len ? k : 0));
	/* What is none is cut wherever it may be. */
	expect_cut("\x80\x80\x80\x80\x80", 3, LINE_SPLIT_MAX);
	expect_cut("\xe2xxx", 2, LINE_SPLIT_MAX);
	expect_cut("\xc3\xa9\xa9\xa9", 3, LINE_SPLIT_MAX);
}

/* Without the newlines that were put in, what comes out is what came in. */
static void
run_history(unsigned fail)
{
	struct line_split s = LINE_SPLIT_INIT;
	struct strbuf fed = STRBUF_INIT;
	static char piece[5 * LINE_SPLIT_MAX];
	size_t i = 0;

	fail_one_in = 0;
	for (unsigned n = roll(12); n > 0; n--) {
		size_t len = roll(4) == 0 ? roll(sizeof(piece)) : roll(300);
		unsigned gap = 1 + roll(roll(2) == 0 ? 20 : 40000);

		for (size_t k = 0; k < len; k++)
			piece[k] = roll(gap) == 0 ? '\n' :
			    (char)('a' + roll(26));
		strbuf_add(&fed, piece, len);
		fail_one_in = fail;
		/* Not our own memory. */
		if (fail > 0) {
			static char room[LINE_SPLIT_MAX + sizeof(piece) + 1];

			memcpy(room + LINE_SPLIT_MAX, piece, len);
			line_split_feed(&s, room + LINE_SPLIT_MAX, len, take,
			    NULL);
		} else {
			feed(&s, piece, len);
		}
		fail_one_in = 0;
	}
	line_split_end(&s, take, NULL);
	assert_false(got.failed || fed.failed);
	for (size_t k = 0; k < got.len; k++)
		if (i < fed.len && got.text[k] == fed.text[i])
			i++;
		else
			assert_int_equal(got.text[k], '\n');
	assert_int_equal(i, fed.len);
	strbuf_free(&fed);
	forget();
}

static void
random_histories(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 2000; n++)
		run_history(0);
}

static void
without_memory_nothing_is_lost(void **state)
{
	(void)state;
	alloc_fail_when(bad_luck);
	for (unsigned n = 0; n < 1000; n++)
		run_history(1 + roll(3));
	alloc_works();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_come_whole),
		cmocka_unit_test(a_long_line_is_split),
		cmocka_unit_test(no_character_is_cut),
		cmocka_unit_test(random_histories),
		cmocka_unit_test(without_memory_nothing_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
