/* What a start has written to is given back, and what is in use is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* Nobody has called it before: it is mapped by the neighbours' faults, if at all. */
static bool
is_mapped(const void *at)
{
	uint64_t entry = 0;
	FILE *f = fopen("/proc/self/pagemap", "re");

	assert_non_null(f);
	assert_int_equal(fseek(f, (long)((uintptr_t)at / 4096 * 8), SEEK_SET),
	    0);
	assert_int_equal(fread(&entry, sizeof(entry), 1, f), 1);
	fclose(f);
	return (entry >> 63) != 0;	/* proc_pid_pagemap(5) */
}

/* Far from the code that runs: more than one fault maps. */
static const char constants[1 << 20] = { 1, 2, 3 };

static void
code_and_constants_are_let_go_of_and_are_there_again(void **state)
{
	const volatile char *far = &constants[sizeof(constants) / 2];

	(void)state;
	if (sysconf(_SC_PAGESIZE) != 4096)
		skip();
	for (int i = 0; i < 3; i++) {
		assert_int_equal(*far, 0);
		assert_true(is_mapped((const void *)far));
		settle_code();
		assert_false(is_mapped((const void *)far));
		assert_int_equal(constants[1], 2);
	}
}

/* It is there before it is written to, is malloc()'s to give out, and goes again. */
static void
room_is_there_at_once_and_is_given_back(void **state)
{
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
	const size_t room = 512 * 1024;
	char *before = sbrk(0), *block;

	(void)state;
	block = malloc(100);
	/* Of another malloc(), such as valgrind's, nothing is asked. */
	if (sysconf(_SC_PAGESIZE) != 4096 || block > before)
		skip();
	free(block);
	settle_begin(room);
	assert_true((char *)sbrk(0) >= before + room);
	block = malloc(60 * 1024);
	assert_non_null(block);
	assert_true(block < (char *)sbrk(0));
	assert_true(is_mapped(block + 32 * 1024));
	assert_true(is_mapped((char *)sbrk(0) - 4096));
	free(block);
	assert_true((char *)sbrk(0) >= before + room);
	settle();
	assert_true((char *)sbrk(0) < before + room / 2);
#else
	(void)state;
	skip();
#endif
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_lies_below_is_dropped),
		cmocka_unit_test(the_program_goes_on),
		cmocka_unit_test(
		    code_and_constants_are_let_go_of_and_are_there_again),
		cmocka_unit_test(room_is_there_at_once_and_is_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
