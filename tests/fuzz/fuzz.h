/*
 * What the fuzz targets have in common. A target is one file with one function,
 * LLVMFuzzerTestOneInput(); `make fuzz` gives it libFuzzer's main(), `make
 * check-fuzz` that of replay.c, which runs over the files of its corpus.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Returns 0; what may not be ends the process. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As assert(), whatever NDEBUG says. */
#define CHECK(what) \
	do { \
		if (!(what)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, \
			    #what); \
			abort(); \
		} \
	} while (0)

#define N(array) (sizeof(array) / sizeof(*(array)))

/* Memory for exactly `len` bytes, so that ASan sees a read beyond the end of
   what is copied there. The caller frees it. */
static inline void *
fuzz_place(size_t len)
{
	void *place = malloc(len > 0 ? len : 1);

	CHECK(place != NULL);
	return place;
}

#endif
