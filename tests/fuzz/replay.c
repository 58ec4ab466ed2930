/*
 * Runs a fuzz target over files, for compilers without libFuzzer and for
 * `make check`: replay FILE...
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static int
replay(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	size_t size = 0, cap = 0, n;

	if (file == NULL) {
		fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
		return -1;
	}
	do {
		if (size == cap) {
			uint8_t *more;

			cap = cap > 0 ? 2 * cap : 4096;
			more = realloc(data, cap);
			if (more == NULL) {
				fprintf(stderr, "replay: out of memory\n");
				exit(1);
			}
			data = more;
		}
		n = fread(data + size, 1, cap - size, file);
		size += n;
	} while (n > 0);
	fclose(file);

	/* The name first: a target that fails ends the process. */
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 0;
}

int
main(int argc, char **argv)
{
	int n_bad = 0;

	if (argc < 2) {
		fprintf(stderr, "usage: replay FILE...\n");
		return 64;
	}
	for (int i = 1; i < argc; i++)
		n_bad += replay(argv[i]) != 0;
	/* A target that is not content has ended the process before. */
	printf("%d passed, %d failed, 0 skipped\n", argc - 1 - n_bad, n_bad);
	return n_bad != 0;
}
