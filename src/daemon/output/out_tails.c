#include <stdlib.h>
#include <string.h>

#include "daemon/output/out_tails.h"

struct out_tail {
	struct out_tail *next;
	struct out_tails *of;		/* NULL: forgotten */
	unsigned refs;
	struct ring ring;
	char *name;
};

static struct out_tail **
find(struct out_tails *tails, const char *name)
{
	struct out_tail **p = &tails->first;

	while (*p != NULL && strcmp((*p)->name, name) != 0)
		p = &(*p)->next;
	return p;
}

struct out_tail *
out_tails_get(struct out_tails *tails, const char *name)
{
	struct out_tail *t = *find(tails, name);

	if (t == NULL) {
		t = calloc(1, sizeof(*t));
		if (t == NULL)
			return NULL;
		t->name = strdup(name);
		if (t->name == NULL) {
			free(t);
			return NULL;
		}
		t->of = tails;
		t->refs = 1;
		t->ring = (struct ring)RING_INIT(++tails->last_ring);
		t->next = tails->first;
		tails->first = t;
		tails->changes++;
	}
	t->refs++;
	return t;
}

void
out_tail_unref(struct out_tail *t)
{
	if (t == NULL || --t->refs > 0)
		return;
	ring_free(&t->ring);
	free(t->name);
	free(t);
}

void
out_tail_add(struct out_tail *t, struct ring_source *source, const char *lines,
    size_t len)
{
	if (t != NULL && t->of != NULL)
		ring_add(&t->ring, source, lines, len, &t->of->seq);
}

void
out_tails_forget(struct out_tails *tails, const char *app)
{
	struct out_tail **p = find(tails, app), *gone = *p;

	if (gone == NULL)
		return;
	*p = gone->next;
	gone->of = NULL;
	ring_free(&gone->ring);	/* nothing more goes in, nobody reads it */
	tails->changes++;
	out_tail_unref(gone);
}

void
out_tails_free(struct out_tails *tails)
{
	while (tails->first != NULL)
		out_tails_forget(tails, tails->first->name);
}

void
out_tails_each(const struct out_tails *tails,
    void (*fn)(void *ctx, const char *app, const struct ring *ring), void *ctx)
{
	for (const struct out_tail *t = tails->first; t != NULL; t = t->next)
		fn(ctx, t->name, &t->ring);
}
