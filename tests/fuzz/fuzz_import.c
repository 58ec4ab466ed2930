/*
 * Any bytes as the configuration of another supervisor, by the first byte which:
 * no crash, a result of printable lines that reads back without an error but for
 * those that are told.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "core/import/draft.h"
#include "core/import/import.h"
#include "fuzz.h"

static bool
is_file(void *ctx, const char *path)
{
	(void)ctx;
	return strlen(path) % 2 == 0;
}

static void
check_lines(const char *text)
{
	for (const char *s = text; *s != '\0'; s++)
		CHECK((unsigned char)*s >= ' ' || *s == '\n' || *s == '\t');
	CHECK(text[strlen(text) - 1] == '\n');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const dirs[] = { ".", "/srv/other" };
	enum import_from from = size > 0 && data[0] == 's' ?
	    IMPORT_SUPERVISORD : size > 0 && data[0] == 'p' ?
	    IMPORT_PROCFILE : IMPORT_PM2;
	char *copy;

	/* What is known by its first byte has no other use for it. */
	if (size > 0 && from != IMPORT_PM2) {
		data++;
		size--;
	}
	copy = fuzz_place(size);
	if (size > 0)
		memcpy(copy, data, size);
	for (size_t i = 0; i < N(dirs); i++) {
		const struct import_host host = {
			.is_file = is_file, .dir = dirs[i],
		};
		struct import_result res = { .text = NULL };
		struct strlist wrong = STRLIST_INIT;
		struct error err = ERROR_INIT;
		int r = import_text(from, "a file", copy, size, &host, &res,
		    &wrong, &err);

		CHECK(r == 0 || r == -EINVAL);
		CHECK((r < 0) == (err.text != NULL));
		if (r == 0)
			check_lines(res.text);
		for (size_t k = 0; k < wrong.n; k++)
			CHECK(str_starts(wrong.v[k], "the result:"));
		strlist_free(&wrong);
		error_clear(&err);
		free(res.text);
	}
	free(copy);
	return 0;
}
