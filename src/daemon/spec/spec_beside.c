#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "daemon/sockets/listener.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/spec_beside.h"

/* Addresses that programs of one app may ask for beside the written ones: more
   than any machine's interfaces, fewer than descriptors. */
#define SPEC_BESIDE_MAX 64

struct listener *
spec_beside_find(const struct spec_beside *b, size_t position,
    const struct address *target)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->v[i].position == position &&
		    address_equal(&b->v[i].listener->bound, target))
			return b->v[i].listener;
	return NULL;
}

int
spec_beside_reserve(struct spec_beside *b, size_t extra, struct error *err)
{
	struct spec_beside_entry *more;

	if (b->n >= SPEC_BESIDE_MAX + extra)
		return error_set(err, -ENOSPC,
		    "its programs ask for too many addresses");
	more = reallocarray(b->v, b->n + 1, sizeof(*more));
	if (more == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	b->v = more;
	return 0;
}

void
spec_beside_add(struct spec_beside *b, size_t position, struct listener *l)
{
	b->v[b->n++] = (struct spec_beside_entry){
		.position = position, .listener = l,
	};
}

void
spec_beside_remove(struct spec_beside *b, size_t i)
{
	b->v[i] = b->v[--b->n];
}

void
spec_beside_shut(struct spec_beside *b)
{
	for (size_t i = 0; i < b->n; i++)
		listeners_release(b->v[i].listener);
	b->n = 0;
}

void
spec_beside_free(struct spec_beside *b)
{
	free(b->v);
	*b = (struct spec_beside){ .n = 0 };
}
