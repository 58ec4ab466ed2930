#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/utf8.h"

static void
expect(const char *s, size_t len, uint32_t point)
{
	uint32_t got = 0xdead;

	assert_int_equal(utf8_decode(s, &got), len);
	assert_int_equal(got, len > 0 ? point : 0xdead);
}

static void
well_formed(void **state)
{
	(void)state;
	expect("a", 1, 'a');
	expect("", 1, 0);
	expect("\x7f", 1, 0x7f);
	expect("\xc2\x80", 2, 0x80);
	expect("\xdf\xbf", 2, 0x7ff);
	expect("\xe0\xa0\x80", 3, 0x800);
	expect("\xed\x9f\xbf", 3, 0xd7ff);
	expect("\xee\x80\x80", 3, 0xe000);
	expect("\xef\xbf\xbf", 3, 0xffff);
	expect("\xf0\x90\x80\x80", 4, 0x10000);
	expect("\xf4\x8f\xbf\xbf", 4, 0x10ffff);
}

static void
not_well_formed(void **state)
{
	(void)state;
	expect("\x80", 0, 0);
	expect("\xbf", 0, 0);
	expect("\xc0\x80", 0, 0);
	expect("\xc1\xbf", 0, 0);
	expect("\xc2", 0, 0);
	expect("\xc2 ", 0, 0);
	expect("\xe0\x9f\xbf", 0, 0);
	expect("\xe2\x80", 0, 0);
	expect("\xed\xa0\x80", 0, 0);
	expect("\xed\xbf\xbf", 0, 0);
	expect("\xf0\x8f\xbf\xbf", 0, 0);
	expect("\xf0\x9f\x98", 0, 0);
	expect("\xf4\x90\x80\x80", 0, 0);
	expect("\xf5\x80\x80\x80", 0, 0);
	expect("\xff", 0, 0);
}

static void
columns(void **state)
{
	(void)state;
	assert_int_equal(utf8_columns('a'), 1);
	assert_int_equal(utf8_columns(0xe9), 1);
	assert_int_equal(utf8_columns(0x2026), 1);
	assert_int_equal(utf8_columns(0x6f22), 2);
	assert_int_equal(utf8_columns(0x1f600), 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(well_formed),
		cmocka_unit_test(not_well_formed),
		cmocka_unit_test(columns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
