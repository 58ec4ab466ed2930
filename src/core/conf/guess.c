#include <string.h>

#include "base/str.h"
#include "core/conf/conf_schema.h"
#include "core/conf/guess.h"

void
guess_begin(struct guess *g, const char *text)
{
	*g = (struct guess){ .text = text, .distance = CONF_NEAR_INIT };
}

void
guess_word(struct guess *g, const char *word)
{
	const char *near = NULL;
	unsigned distance = CONF_NEAR_INIT;

	conf_near(g->text, word, &near, &distance);
	if (near != NULL && distance <= g->distance) {
		g->tied = g->near != NULL && distance == g->distance;
		g->near = g->tied ? g->near : near;
		g->distance = distance;
	}
	if (*g->text == '\0' || !str_starts(word, g->text))
		return;
	if (g->n_begun < GUESS_MAX)
		g->begun[g->n_begun] = word;
	g->n_begun++;
}

void
guess_put(const struct guess *g, struct strbuf *sb)
{
	size_t n = g->n_begun <= GUESS_MAX ? g->n_begun : 0;

	if (n == 0 && g->near == NULL)
		return;
	strbuf_puts(sb, ", did you mean ");
	for (size_t i = 0; i < n; i++)
		strbuf_printf(sb, "%s%s", i == 0 ? "" : i + 1 == n ? " or " :
		    ", ", g->begun[i]);
	strbuf_printf(sb, "%s?", n == 0 ? g->near : "");
}
