/* Beginnings of lines, as another process finds them. */
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "linux/ledger/half_lines.h"

static struct half_lines *mine;

/* As the next supervisor has it. */
static struct half_lines *
again(void)
{
	struct half_lines *h = half_lines_again(dup(half_lines_fd(mine)));

	assert_non_null(h);
	return h;
}

static void
assert_there(uint64_t key, const char *text)
{
	struct half_lines *h = again();
	const char *there;
	uint32_t place;

	assert_int_equal(half_lines_find(h, key, &place, &there),
	    strlen(text));
	if (*text != '\0')
		assert_memory_equal(there, text, strlen(text));
	half_lines_free(h);
}

static int
is_nine(void *ctx, uint64_t key)
{
	(void)ctx;
	return key == 9;
}

static void
what_is_put_is_found(void **state)
{
	uint32_t a = HALF_LINES_NOWHERE, b = HALF_LINES_NOWHERE;

	(void)state;
	mine = half_lines_new();
	assert_non_null(mine);
	assert_there(7, "");
	half_lines_put(mine, &a, 7, "one", 3);
	half_lines_put(mine, &b, 9, "two", 3);
	assert_there(7, "one");
	assert_there(9, "two");
	half_lines_put(mine, &a, 7, "one and", 7);
	assert_there(7, "one and");
	half_lines_put(mine, &a, 7, "", 0);
	assert_int_equal(a, HALF_LINES_NOWHERE);
	assert_there(7, "");
	assert_there(9, "two");
	half_lines_free(mine);
}

static void
of_whom_nobody_is_left_is_dropped(void **state)
{
	uint32_t place[3] = { HALF_LINES_NOWHERE, HALF_LINES_NOWHERE,
		HALF_LINES_NOWHERE };
	struct half_lines *h;

	(void)state;
	mine = half_lines_new();
	for (uint64_t i = 0; i < 3; i++)
		half_lines_put(mine, &place[i], 8 + i, "text", 4);
	h = again();
	half_lines_keep(h, is_nine, NULL);
	assert_there(8, "");
	assert_there(9, "text");
	assert_there(10, "");
	place[0] = HALF_LINES_NOWHERE;
	half_lines_put(h, &place[0], 11, "new", 3);
	assert_int_equal(place[0], 0);
	assert_there(11, "new");
	half_lines_free(h);
	half_lines_free(mine);
}

static void
there_may_be_too_many_or_too_much(void **state)
{
	static char text[HALF_LINES_MAX + 1];
	uint32_t place;

	(void)state;
	mine = half_lines_new();
	for (uint64_t i = 0; i < HALF_LINES_PLACES; i++) {
		place = HALF_LINES_NOWHERE;
		half_lines_put(mine, &place, 1 + i, "x", 1);
		assert_int_equal(place, i);
	}
	place = HALF_LINES_NOWHERE;
	half_lines_put(mine, &place, 5000, "x", 1);
	assert_int_equal(place, HALF_LINES_NOWHERE);
	place = 0;
	half_lines_put(mine, &place, 1, text, sizeof(text));
	assert_there(1, "");
	half_lines_free(mine);
}

static blkcnt_t
pages(void)
{
	struct stat st;

	assert_int_equal(fstat(half_lines_fd(mine), &st), 0);
	return st.st_blocks;
}

/* Nor is what was never used given, to see that it was not. */
static void
whoever_looks_takes_no_memory(void **state)
{
	uint32_t place = HALF_LINES_NOWHERE;
	struct half_lines *h;
	blkcnt_t before;

	(void)state;
	mine = half_lines_new();
	assert_there(7, "");
	assert_int_equal(pages(), 0);
	for (uint64_t i = 0; i < 5; i++) {
		place = HALF_LINES_NOWHERE;
		half_lines_put(mine, &place, 7 + i, "text", 4);
	}
	before = pages();
	assert_there(11, "text");
	assert_there(12, "");
	h = again();
	half_lines_keep(h, is_nine, NULL);
	half_lines_free(h);
	assert_int_equal(pages(), before);
	half_lines_free(mine);
}

/* Whoever has the descriptor may write there. */
static void
what_cannot_be_is_nothing(void **state)
{
	const uint32_t states[] = { 3, UINT32_MAX };
	uint32_t place = HALF_LINES_NOWHERE, len = HALF_LINES_MAX + 1;

	(void)state;
	mine = half_lines_new();
	half_lines_put(mine, &place, 7, "text", 4);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(pwrite(half_lines_fd(mine), &states[i], 4, 0),
		    4);
		assert_there(7, "");
	}
	half_lines_put(mine, &place, 7, "text", 4);
	assert_there(7, "text");
	assert_int_equal(pwrite(half_lines_fd(mine), &len, 4, 4), 4);
	assert_int_equal(pwrite(half_lines_fd(mine), &len, 4, 8), 4);
	assert_there(7, "");
	half_lines_free(mine);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_put_is_found),
		cmocka_unit_test(of_whom_nobody_is_left_is_dropped),
		cmocka_unit_test(there_may_be_too_many_or_too_much),
		cmocka_unit_test(whoever_looks_takes_no_memory),
		cmocka_unit_test(what_cannot_be_is_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
