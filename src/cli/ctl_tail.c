#include <errno.h>
#include <stdlib.h>

#include "cli/ctl_tail.h"

static int
grow(struct ctl_tail *t)
{
	size_t cap = t->cap == 0 ? 64 : t->cap * 2;
	struct strbuf *lines = calloc(cap, sizeof(*lines));

	if (lines == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < t->n; i++)
		lines[i] = t->lines[(t->first + i) % t->cap];
	free(t->lines);
	t->lines = lines;
	t->cap = cap;
	t->first = 0;
	return 0;
}

struct strbuf
ctl_tail_take(struct ctl_tail *t)
{
	struct strbuf line = STRBUF_INIT;

	if (t->n > 0) {
		line = t->lines[t->first];
		t->first = (t->first + 1) % t->cap;
		t->n--;
		t->bytes -= line.len;
	}
	return line;
}

int
ctl_tail_add(struct ctl_tail *t, struct strbuf *line)
{
	struct strbuf taken = *line;

	*line = (struct strbuf)STRBUF_INIT;
	while (t->n > 0 && (t->n >= t->max ||
	    t->bytes + taken.len > CTL_TAIL_BYTES_MAX)) {
		struct strbuf oldest = ctl_tail_take(t);

		strbuf_free(&oldest);
	}
	if (t->max == 0 || (t->n == t->cap && grow(t) < 0)) {
		strbuf_free(&taken);
		return t->max == 0 ? 0 : -ENOMEM;
	}
	t->lines[(t->first + t->n++) % t->cap] = taken;
	t->bytes += taken.len;
	return 0;
}

void
ctl_tail_free(struct ctl_tail *t)
{
	while (t->n > 0) {
		struct strbuf line = ctl_tail_take(t);

		strbuf_free(&line);
	}
	free(t->lines);
	*t = (struct ctl_tail){ .max = t->max };
}
