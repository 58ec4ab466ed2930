#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "linux/child/capture.h"

static int
run(const char *script, int64_t ms, char **ret_text, size_t *ret_len,
    struct error *err)
{
	char *copy = strdup(script);
	char *argv[] = { (char []){ "sh" }, (char []){ "-c" }, copy, NULL };
	int code;

	assert_non_null(copy);
	code = capture(argv, 100000, mono_add_ms(mono_now(), ms), ret_text,
	    ret_len, err);
	free(copy);
	return code;
}

static void
takes_what_is_written_to_descriptor_3(void **state)
{
	char *text;
	size_t len;

	(void)state;
	assert_int_equal(run("printf 'a\\0b' >&3; cat", 20000, &text, &len,
	    NULL), 0);
	assert_int_equal(len, 3);
	assert_memory_equal(text, "a\0b", 4);
	free(text);
	/* Whatever number the pipe has. */
	for (int i = 0; i < 3; i++) {
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		assert_int_equal(run("echo x >&3; test ! -e /proc/self/fd/4",
		    20000, &text, &len, NULL), 0);
		assert_string_equal(text, "x\n");
		free(text);
		if (i == 2)
			for (int k = 3; k <= fd; k++)
				close(k);
	}
}

static void
expect(const char *script, int64_t ms, int code, const char *words)
{
	struct error err = ERROR_INIT;
	char *text;
	size_t len;

	assert_int_equal(run(script, ms, &text, &len, &err), code);
	assert_string_equal(error_text(&err), words);
	error_clear(&err);
}

static void
failures_are_told(void **state)
{
	char *argv[] = { (char []){ "no-such-program-here" }, NULL };
	struct mono soon = mono_add_ms(mono_now(), 20000);
	char *text;
	size_t len;

	(void)state;
	expect("echo x >&3; exit 3", 20000, -EIO, "sh: it has failed");
	expect("kill -9 $$", 20000, -EIO, "sh: it has failed");
	expect("head -c 200000 /dev/zero >&3", 20000, -EFBIG, "sh: it says too "
	    "much");
	assert_int_equal(capture(argv, 10, soon, &text, &len, NULL), -ENOENT);
}

static void
it_is_killed_with_all_that_it_has_started(void **state)
{
	int fds[2];
	char byte;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	expect("sleep 1000 & exec sleep 1000", 50, -ETIMEDOUT,
	    "sh: it does not come to an end");
	/* It may have let go of the descriptor. */
	expect("exec 3>&-; sleep 1000", 50, -ETIMEDOUT,
	    "sh: it does not come to an end");
	/* Nobody has the pipe any more. */
	close(fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 0);
	close(fds[0]);
}

static void
whoever_ignores_the_end_of_children_waits_too(void **state)
{
	char *text;
	size_t len;

	(void)state;
	assert_ptr_not_equal(signal(SIGCHLD, SIG_IGN), SIG_ERR);
	assert_int_equal(run("echo x >&3", 20000, &text, &len, NULL), 0);
	free(text);
	expect("exit 3", 20000, -EIO, "sh: it has failed");
	/* And goes on to. */
	assert_ptr_equal(signal(SIGCHLD, SIG_DFL), SIG_IGN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_is_written_to_descriptor_3),
		cmocka_unit_test(failures_are_told),
		cmocka_unit_test(it_is_killed_with_all_that_it_has_started),
		cmocka_unit_test(whoever_ignores_the_end_of_children_waits_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
