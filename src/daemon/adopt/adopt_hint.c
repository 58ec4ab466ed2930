#include <sys/socket.h>

#include "base/log.h"
#include "base/mono.h"
#include "core/conf/conf.h"
#include "daemon/adopt/adopt_ask.h"
#include "daemon/adopt/adopt_hint.h"
#include "daemon/adopt/trap_priv.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/workers/worker.h"

/* The binds of one process for which is looked whether the port is free. */
#define HINTS_MAX	8

/* How long a bind that the kernel carries out may take to be seen. */
#define SIBLING_MS	100

static bool
joins_on_purpose(const struct ask *a)
{
	socklen_t len = sizeof(int);
	int on = 0;

	if (a->copy >= 0)
		(void)getsockopt(a->copy, SOL_SOCKET, SO_REUSEPORT, &on, &len);
	return on != 0;
}

void
adopt_hint(const struct ask *a)
{
	const struct address_text name = address_text(&a->asked);
	const struct mono now = mono_now();
	struct app_spec *spec = a->w->spec;

	if (a->asked.kind == ADDRESS_UNIX || a->asked.port == 0 ||
	    a->w->trap->hints >= HINTS_MAX || joins_on_purpose(a))
		return;
	a->w->trap->hints++;
	/* Another instance's bind may be under way. */
	if (!app_spec_sibling_bound(spec, &a->asked, a->w->instance, now,
	    SIBLING_MS) && !listeners_taken(&a->asked))
		app_spec_note_bind(spec, &a->asked, a->w->instance, now);
	else if (app_spec_note_hint(spec, &a->asked))
		worker_log_often(LOG_LEVEL_WARNING, a->w, "asks for %s, which "
		    "is taken and is none of this app's listeners; if its "
		    "instances are to share it, add listen = %s", name.s,
		    name.s);
}

void
adopt_log_refused(const struct ask *a, size_t position)
{
	worker_log_often(LOG_LEVEL_WARNING, a->w, "asks for %s with an IPv4 "
	    "socket, but listen = %s is for IPv6 alone: refused",
	    address_text(&a->asked).s,
	    address_text(&a->w->spec->conf->listens[position]).s);
}
