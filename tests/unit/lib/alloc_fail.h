/*
 * Memory that fails when a test says so. A test has it by being in ALLOC_TESTS
 * in the Makefile, which puts these before the functions of libc for whatever
 * is linked into it, the test itself included: malloc, calloc, realloc,
 * reallocarray, strdup, strndup, asprintf, vasprintf. Each call is counted.
 */
#ifndef TESTS_UNIT_LIB_ALLOC_FAIL_H
#define TESTS_UNIT_LIB_ALLOC_FAIL_H

#include <limits.h>
#include <stdbool.h>

#define ALLOC_ALL ULONG_MAX

/* Of the allocations from here on `n` fail, beginning with number `first`,
   where 1 is the next; and only they. */
void alloc_fail(unsigned long first, unsigned long n);

/* From here on each fails for which that returns true. It may not allocate. */
void alloc_fail_when(bool (*refuses)(void));

/* From here on none fails. The count goes on. */
void alloc_works(void);

/* How many were asked for, and whether one of them failed, since alloc_fail()
   or alloc_fail_when(). */
unsigned long alloc_count(void);
bool alloc_failed(void);

#endif
