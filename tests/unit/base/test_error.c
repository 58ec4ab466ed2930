#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>

#include "base/error.h"
#include "lib/alloc_fail.h"

static void
error_in_words(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_string_equal(error_text(&err), "out of memory");
	assert_int_equal(error_set(&err, -ENOENT, "%s:%d: %s", "app.ini", 3,
	    "no such key"), -ENOENT);
	assert_string_equal(error_text(&err), "app.ini:3: no such key");
	/* Replaced, not leaked, and an old text may be part of the new. */
	assert_int_equal(error_set(&err, -EINVAL, "again: %s", err.text),
	    -EINVAL);
	assert_string_equal(error_text(&err), "again: app.ini:3: no such key");
	assert_int_equal(error_set(&err, -EIO, "%s", ""), -EIO);
	assert_string_equal(error_text(&err), "");
	error_clear(&err);
	assert_null(err.text);
	error_clear(&err);
	assert_int_equal(error_set(&err, 0, "used %s", "again"), 0);
	assert_string_equal(error_text(&err), "used again");
	error_clear(&err);
}

static void
error_without_words(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(error_set(NULL, -ENOENT, "nobody %s", "listens"),
	    -ENOENT);
	error_set(&err, -ENOENT, "old");
	alloc_fail(1, ALLOC_ALL);
	assert_int_equal(error_set(&err, -EPERM, "new"), -EPERM);
	alloc_works();
	/* Better no text than that of another error. */
	assert_null(err.text);
	assert_string_equal(error_text(&err), "out of memory");
	error_clear(&err);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(error_in_words),
		cmocka_unit_test(error_without_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
