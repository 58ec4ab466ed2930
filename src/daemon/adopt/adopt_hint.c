#include <sys/socket.h>

#include <stdlib.h>
#include <string.h>

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

/* Did another instance ask for it just before? Its bind may be under way. */
static bool
asked_by_sibling(const struct ask *a, const char *name)
{
	const struct app_spec *spec = a->w->spec;

	return spec->passed != NULL && spec->passed_by != a->w->instance &&
	    strcmp(spec->passed, name) == 0 &&
	    mono_ms_between(spec->passed_at, mono_now()) < SIBLING_MS;
}

void
adopt_hint(const struct ask *a)
{
	struct app_spec *spec = a->w->spec;
	char **noted = &spec->hinted;
	char *name;

	if (a->asked.kind == ADDRESS_UNIX || a->asked.port == 0 ||
	    a->w->trap->hints >= HINTS_MAX || joins_on_purpose(a))
		return;
	a->w->trap->hints++;
	name = address_format(&a->asked);
	if (name == NULL)
		return;
	if (!asked_by_sibling(a, name) && !listeners_taken(&a->asked)) {
		noted = &spec->passed;
		spec->passed_by = a->w->instance;
		spec->passed_at = mono_now();
	} else if (spec->hinted == NULL || strcmp(spec->hinted, name) != 0) {
		worker_log(LOG_LEVEL_WARNING, a->w, "asks for %s, which is "
		    "taken and is none of this app's listeners; if its "
		    "instances are to share it, add listen = %s", name, name);
	}
	free(*noted);
	*noted = name;
}

void
adopt_log_refused(const struct ask *a, size_t position)
{
	char *asked = address_format(&a->asked);
	char *written = address_format(
	    &a->w->spec->conf->listens[position]);

	worker_log(LOG_LEVEL_WARNING, a->w, "asks for %s with an IPv4 socket, "
	    "but listen = %s is for IPv6 alone: refused",
	    asked != NULL ? asked : "?", written != NULL ? written : "?");
	free(asked);
	free(written);
}
