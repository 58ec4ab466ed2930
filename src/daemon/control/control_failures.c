#include <stdlib.h>
#include <string.h>

#include "daemon/control/control_failures.h"

void
control_failures_free(struct control_failures *f)
{
	strlist_free(&f->apps);
	strlist_free(&f->words);
}

void
control_failures_add(struct control_failures *f, const char *app,
    const char *words)
{
	if (control_failures_has(f, app))
		return;
	strlist_add(&f->apps, app);
	if (f->words.n < CONTROL_FAILURES_TOLD)
		strlist_add(&f->words, words);
}

bool
control_failures_has(const struct control_failures *f, const char *app)
{
	for (size_t i = 0; i < f->apps.n; i++)
		if (strcmp(f->apps.v[i], app) == 0)
			return true;
	return false;
}

/* One that there was no memory for counts: it was no success. */
size_t
control_failures_count(const struct control_failures *f)
{
	return f->apps.n + f->apps.failed;
}

char *
control_failures_text(const struct control_failures *f)
{
	struct strbuf sb = STRBUF_INIT;
	char *text;

	if (f->apps.n > 1)
		strbuf_printf(&sb, "%zu apps have failed: ", f->apps.n);
	for (size_t i = 0; i < f->words.n; i++)
		strbuf_printf(&sb, "%s%s", i > 0 ? " | " : "", f->words.v[i]);
	if (f->apps.n > f->words.n)
		strbuf_printf(&sb, " | and %zu more", f->apps.n - f->words.n);
	if (f->apps.failed || f->words.failed || sb.failed)
		text = strdup("out of memory");
	else
		text = strbuf_take(&sb);
	strbuf_free(&sb);
	return text;
}
