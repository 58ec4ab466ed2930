#include <string.h>

#include "linux/keeper/title.h"

/* They stand one behind the other; how far? */
static size_t
room(int argc, char **argv)
{
	char *end = argv[0];

	for (int i = 0; i < argc && argv[i] == end; i++)
		end += strlen(end) + 1;
	return (size_t)(end - argv[0]);
}

void
title_set(int argc, char **argv, const char *words)
{
	size_t size = argc > 0 ? room(argc, argv) : 0;
	size_t name, len = strlen(words), rest;

	if (size < 2)
		return;
	name = strlen(argv[0]) + 1;
	rest = size - name;
	/* The last byte stays 0: else the kernel takes the environment for a
	   part of it. */
	if (len > size - 1)
		len = size - 1;
	if (rest > size - 1 - len)
		rest = size - 1 - len;
	/* One space, or a 0 as it was between any two of them. */
	if (rest > 0)
		memmove(argv[0] + len + 1, argv[0] + name, rest - 1);
	memcpy(argv[0], words, len);
	memset(argv[0] + len, 0, rest > 0 ? 1 : 0);
	memset(argv[0] + len + rest, 0, size - len - rest);
}
