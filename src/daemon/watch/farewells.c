#include <errno.h>
#include <stdlib.h>

#include "core/worker/farewell.h"
#include "daemon/watch/farewells.h"
#include "linux/socket/connections.h"
#include "linux/socket/half_close.h"

/* Of more connections than these, nothing is learnt of the others. */
#define FAREWELLS_MAX 4096

/* What is known of it; both lists are in the order of inodes. */
static struct farewell
recall(const struct farewells *f, size_t *at, uint64_t ino)
{
	while (*at < f->n && f->v[*at].ino < ino)
		(*at)++;
	return *at < f->n && f->v[*at].ino == ino ? f->v[*at] :
	    (struct farewell){ .ino = ino };
}

int
farewells_look(struct farewells *f, const struct connections *look, bool now)
{
	size_t n = look->n < FAREWELLS_MAX ? look->n : FAREWELLS_MAX;
	struct farewell *v = calloc(n > 0 ? n : 1, sizeof(*v));
	size_t at = 0;
	int taken = 0;

	if (v == NULL)
		return 0;
	for (size_t i = 0; i < n; i++) {
		const struct connection *c = &look->v[i];

		v[i] = recall(f, &at, c->ino);
		if (farewell_look(&v[i], &c->conn) && now && taken >= 0) {
			int code = half_close(c->pid, c->fd, c->ino, &c->conn);

			if (code == 0)
				taken++;
			else if (code == -EPERM)
				taken = code;
		}
	}
	free(f->v);
	f->v = v;
	f->n = n;
	return taken;
}

void
farewells_free(struct farewells *f)
{
	free(f->v);
	*f = (struct farewells){ .n = 0 };
}
