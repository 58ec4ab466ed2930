/* A child that shares our memory, or has its own where that is asked for. */
#include <sys/syscall.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "linux/process/birth.h"
#include "linux/process/raw_call.h"

static _Alignas(16) char stack[16 * 1024];

static int
write_seven(void *ctx)
{
	*(volatile int *)ctx = 7;
	/* An errno would be our parent's. */
	return raw_call(SYS_close, -1, 0, 0, 0, 0) == -EBADF ? 42 : 1;
}

static void
expect(void *top, int value)
{
	volatile int shared = 0;
	int status;
	pid_t pid;

	errno = EXFULL;
	pid = birth(write_seven, (void *)&shared, top);
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(errno, EXFULL);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
	assert_int_equal(shared, value);
}

static void
memory(void **state)
{
#if BIRTH_WATCHED || !RAW_CALLS
	const int shared = 0;
#else
	const int shared = 7;
#endif

	(void)state;
	assert_int_equal(unsetenv("CLUSTERD_FORK"), 0);
	expect(stack + sizeof(stack), shared);
	expect(NULL, 0);
	assert_int_equal(setenv("CLUSTERD_FORK", "", 1), 0);
	expect(stack + sizeof(stack), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory),
	};

	return cmocka_run_group_tests_name("birth", tests, NULL, NULL);
}
