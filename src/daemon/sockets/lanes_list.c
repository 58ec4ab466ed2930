#include <stdlib.h>

#include "core/ledger/ledger.h"
#include "daemon/sockets/lanes_list.h"
#include "daemon/sockets/listener.h"

struct lane *
lanes_list_add(struct listener *l)
{
	struct lanes *ls = &l->lanes;
	struct lane **v = reallocarray(ls->v, ls->n + 1, sizeof(struct lane *));
	struct lane *lane;

	if (v == NULL)
		return NULL;
	ls->v = v;
	lane = calloc(1, sizeof(*lane));
	if (lane == NULL)
		return NULL;
	lane->listener = l;
	lane->slot = (unsigned)ls->n;
	lane->fd = lane->old = -1;
	lane->record = LEDGER_NOWHERE;
	ls->v[ls->n++] = lane;
	return lane;
}

void
lanes_list_remove_last(struct listener *l)
{
	free(l->lanes.v[--l->lanes.n]);
}

void
lanes_list_free(struct listener *l)
{
	struct lanes *ls = &l->lanes;

	for (size_t i = 0; i < ls->n; i++)
		free(ls->v[i]);
	free(ls->v);
	ls->v = NULL;
	ls->n = 0;
}
