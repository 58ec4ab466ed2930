/*
 * Runs a fuzz target over files, for compilers without libFuzzer and for
 * `make check`: replay FILE...
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
	int failed = 0;

	if (argc < 2) {
		fprintf(stderr, "usage: replay FILE...\n");
		return 64;
	}
	for (int i = 1; i < argc; i++)
		failed |= replay(argv[i]);
	return failed != 0;
}
