#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"

int
error_set(struct error *err, int code, const char *fmt, ...)
{
	va_list ap;
	char *text = NULL;

	if (err == NULL)
		return code;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);

	free(err->text);
	err->text = text;
	return code;
}

const char *
error_text(const struct error *err)
{
	return err->text != NULL ? err->text : "out of memory";
}

void
error_clear(struct error *err)
{
	free(err->text);
	err->text = NULL;
}
