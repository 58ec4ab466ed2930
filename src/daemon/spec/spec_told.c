#include <stdlib.h>
#include <string.h>

#include "daemon/spec/spec_told.h"

/* Programs may take any port that is free, each time. */
#define SPEC_TOLD_ELSEWHERE_MAX 16

static bool
is_of(const struct address_text *noted, const struct address *address)
{
	return strcmp(noted->s, address_text(address).s) == 0;
}

void
spec_told_note_bind(struct spec_told *told, const struct address *address,
    unsigned instance, struct mono now)
{
	told->let_bind = address_text(address);
	told->let_bind_by = instance;
	told->let_bind_at = now;
}

bool
spec_told_sibling_bound(const struct spec_told *told,
    const struct address *address, unsigned instance, struct mono now,
    int64_t within_ms)
{
	return is_of(&told->let_bind, address) &&
	    told->let_bind_by != instance &&
	    mono_ms_between(told->let_bind_at, now) < within_ms;
}

bool
spec_told_note_hint(struct spec_told *told, const struct address *address)
{
	bool again = is_of(&told->hinted, address);

	told->hinted = address_text(address);
	return !again;
}

bool
spec_told_note_elsewhere(struct spec_told *told, const struct address *address)
{
	struct address_text *more;

	for (size_t i = 0; i < told->n_elsewhere; i++)
		if (is_of(&told->elsewhere[i], address))
			return false;
	if (told->n_elsewhere >= SPEC_TOLD_ELSEWHERE_MAX)
		return false;
	more = reallocarray(told->elsewhere, told->n_elsewhere + 1,
	    sizeof(*more));
	if (more == NULL)
		return false;
	told->elsewhere = more;
	more[told->n_elsewhere++] = address_text(address);
	return true;
}

bool
spec_told_note_public(struct spec_told *told)
{
	bool again = told->public;

	told->public = true;
	return !again;
}

bool
spec_told_binds_elsewhere(const struct spec_told *told)
{
	return told->let_bind.s[0] != '\0' || told->hinted.s[0] != '\0' ||
	    told->n_elsewhere > 0;
}

bool
spec_told_note_unbound(struct spec_told *told)
{
	bool again = told->unbound;

	told->unbound = true;
	return !again;
}

void
spec_told_free(struct spec_told *told)
{
	free(told->elsewhere);
}
