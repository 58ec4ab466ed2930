/* What a start has written to is given back, and what is in use is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux/process/settle.h"

#define DEEP	(96 * 1024)

/* Linux 5.14 */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif

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

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)

#define KIB	((size_t)1024)
#define ROOM	(512 * KIB)
#define PIECE	(60 * KIB)

/* Whose pointer is stored there is not left out by the compiler. */
static void *volatile shown;

/* Not such as valgrind's, of which nothing is asked. */
static bool
is_malloc_of_glibc(void)
{
	uintptr_t at, end = (uintptr_t)sbrk(0);

	shown = malloc(100);
	at = (uintptr_t)shown;
	free(shown);
	return at < end;
}

static bool
can_populate(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool can;

	assert_ptr_not_equal(page, MAP_FAILED);
	can = madvise(page, 4096, MADV_POPULATE_WRITE) == 0;
	assert_int_equal(munmap(page, 4096), 0);
	return can;
}

static void
assert_room(const char *before)
{
	char *pieces[ROOM / PIECE];

	assert_true((char *)sbrk(0) >= before + ROOM);
	for (size_t i = 0; i < ROOM / PIECE; i++) {
		pieces[i] = malloc(PIECE);
		assert_non_null(pieces[i]);
		for (size_t at = 4096; at < PIECE; at += 4096)
			assert_true(is_mapped(pieces[i] + at));
	}
	for (size_t i = 0; i < ROOM / PIECE; i++)
		free(pieces[i]);
	assert_true((char *)sbrk(0) >= before + ROOM);
}

#endif

/* It is there before it is written to, is malloc()'s to give out, and goes again;
   whether little was free at the end of the heap or more. */
static void
room_is_there_at_once_and_is_given_back(void **state)
{
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
	(void)state;
	if (sysconf(_SC_PAGESIZE) != 4096 || !is_malloc_of_glibc() ||
	    !can_populate())
		skip();
	for (size_t spare = 0; spare <= 100 * KIB; spare += 100 * KIB) {
		char *before;

		settle();
		before = sbrk(0);
		shown = malloc(spare);
		free(shown);
		settle_begin(ROOM);
		assert_room(before);
		settle();
		assert_true((char *)sbrk(0) < before + ROOM / 2);
	}
#else
	(void)state;
	skip();
#endif
}

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)

/* In units, as an exit status. */
#define UNIT	(64 * KIB)

static size_t
size_now(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f == NULL || fscanf(f, "%lu", &pages) != 1)
		_exit(255);
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* How many units malloc() has to give out where a limit leaves `left`, after
   settle_begin(room). */
static int
units_had(size_t left, size_t room)
{
	size_t had = 0;
	int status;
	pid_t pid;

	settle();
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		rlim_t most = size_now() + left;

		if (setrlimit(RLIMIT_AS, &(struct rlimit){ most, most }) < 0)
			_exit(255);
		if (room > 0)
			settle_begin(room);
		while (had < left && (shown = malloc(1000)) != NULL)
			had += 1000;
		_exit((int)(had / UNIT));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_not_equal(WEXITSTATUS(status), 255);
	return WEXITSTATUS(status);
}

#endif

/* Neither where the room is not to be had, nor where that, and not as much again. */
static void
under_a_limit_malloc_has_as_much_as_without(void **state)
{
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
	(void)state;
	if (!is_malloc_of_glibc())
		skip();
	for (size_t mib = 3; mib <= 7; mib++) {
		size_t left = mib * 1024 * KIB;
		int plain = units_had(left, 0);

		assert_true(plain > (int)(left / UNIT / 2));
		assert_true(units_had(left, 4096 * KIB) >= plain - 4);
	}
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
		cmocka_unit_test(under_a_limit_malloc_has_as_much_as_without),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
