#include <stdlib.h>
#include <string.h>

#include "core/ledger/ledger.h"
#include "daemon/sockets/lanes_heal.h"
#include "daemon/sockets/lanes_sockets.h"
#include "daemon/sockets/listener.h"
#include "daemon/sockets/listener_file.h"
#include "daemon/sockets/listener_new.h"

void
listener_free(struct listener *l)
{
	if (l == NULL)
		return;
	lanes_sockets_free(l);
	lanes_heal_forget_new(l);
	free(l->app);
	address_free(&l->address);
	address_free(&l->bound);
	free(l);
}

struct listener *
listener_new(const char *app, const struct address *address)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->instance = -1;
	l->record = LEDGER_NOWHERE;
	l->app = strdup(app);
	lanes_heal_init(l);
	listener_file_init(l);
	if (lanes_sockets_init(l) < 0 || l->app == NULL ||
	    address_copy(address, &l->address) < 0) {
		listener_free(l);
		return NULL;
	}
	return l;
}
