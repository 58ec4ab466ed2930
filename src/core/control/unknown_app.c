#include "base/str.h"
#include "core/conf/guess.h"
#include "core/control/unknown_app.h"

/* So many are named. */
#define NAMED_MAX 10

static void
put_names(struct strbuf *sb, const struct strlist *apps)
{
	size_t n = apps->n <= NAMED_MAX ? apps->n : NAMED_MAX;

	strbuf_puts(sb, apps->n == 1 ? " there is " : " there are ");
	for (size_t i = 0; i < n; i++)
		strbuf_printf(sb, "%s%s", i == 0 ? "" : i + 1 == apps->n ?
		    " and " : ", ", apps->v[i]);
	if (n < apps->n)
		strbuf_printf(sb, " and %zu more", apps->n - n);
}

void
unknown_app_put_others(struct strbuf *sb, const char *name,
    const struct strlist *apps)
{
	struct guess guess;
	size_t begun, named = 0;

	guess_begin(&guess, name);
	for (size_t i = 0; i < apps->n; i++)
		guess_word(&guess, apps->v[i]);
	/* Of app-1 and app-2, neither is meant more by app-3; and what begins
	   too many says nothing. */
	begun = guess.n_begun <= GUESS_MAX ? guess.n_begun : 0;
	if (begun > 0 || (guess.near != NULL && !guess.tied)) {
		guess_put(&guess, sb);
		named = begun > 0 ? begun : 1;
	} else if (apps->n > 0) {
		strbuf_putc(sb, ':');
	}
	if (apps->n > named)
		put_names(sb, apps);
}

void
unknown_app_put(struct strbuf *sb, const char *name,
    const struct strlist *apps)
{
	strbuf_printf(sb, "there is no app \"%s\"", name);
	unknown_app_put_others(sb, name, apps);
}
