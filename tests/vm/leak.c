/* Takes so many megabytes a second, until somebody ends it: `leak 50`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	size_t bytes = (size_t)(argc > 1 ? atoi(argv[1]) : 50) << 20;

	for (;;) {
		char *more = malloc(bytes / 10);

		if (more == NULL)
			return 1;
		memset(more, 1, bytes / 10);
		usleep(100000);
	}
}
