/* What a start has written to is given back, and what is in use is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linux/process/settle.h"

#define DEEP	(96 * 1024)

/* Somewhere below the caller. */
static __attribute__((noinline)) unsigned char *
write_deep(void)
{
	volatile unsigned char deep[DEEP];

	for (size_t i = 0; i < sizeof(deep); i++)
		deep[i] = 7;
	return (unsigned char *)((uintptr_t)&deep[DEEP / 2] / 4096 * 4096);
}

/* What was written there, by way of a file: no instrumented access. */
static int
read_from(uintptr_t at)
{
	FILE *f = fopen("/proc/self/mem", "re");
	int c = -1;

	if (f != NULL && fseek(f, (long)at, SEEK_SET) == 0)
		c = fgetc(f);
	if (f != NULL)
		fclose(f);
	return c;
}

static void
what_lies_below_is_dropped(void **state)
{
	char mine[] = "stays", *heap = malloc(200);
	uintptr_t deep;

	(void)state;
	assert_non_null(heap);
	strcpy(heap, "stays too");
	deep = (uintptr_t)write_deep();
	assert_int_equal(read_from(deep), 7);
	settle();
	assert_int_equal(read_from(deep), 0);
	assert_string_equal(mine, "stays");
	assert_string_equal(heap, "stays too");
	free(heap);
}

/* The code is there again, and so are constants. */
static void
the_program_goes_on(void **state)
{
	static const char *const words[] = { "one", "two" };

	(void)state;
	for (int i = 0; i < 3; i++) {
		settle();
		assert_string_equal(words[i % 2], i % 2 == 0 ? "one" : "two");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_lies_below_is_dropped),
		cmocka_unit_test(the_program_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
