#include <stdlib.h>
#include <string.h>

#include "core/conf/conf.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_said.h"
#include "core/names/address.h"

/* Where a protocol lists ADDRESS=FD, what its readers would cut a path at. */
static const struct form {
	unsigned protocol;
	const char *name;
	const char *separators;
} forms[] = {
	{ CONF_FDP_SERVER_STARTER, "server-starter", "=;" },
	{ CONF_FDP_PHP_FPM, "php-fpm", "=" },	/* no path has a comma */
};

static void
check_path(const struct form *f, const struct address *a, unsigned line,
    struct conf_errors *errors)
{
	size_t at = strcspn(a->path, f->separators);

	if (a->path[at] != '\0')
		conf_error_add(errors, line, "listen", "\"%.100s\" has a %c, "
		    "which cannot be said in the form of fd_protocol = %s; a "
		    "path without is allowed", a->path, a->path[at], f->name);
}

/*
 * The bare port is 0.0.0.0 to start_server(1), and its clients take what stands
 * there for an IPv4 socket, or refuse it: a socket that is both has no name.
 */
static void
check_wildcard(const struct conf_app *app, size_t i, unsigned line,
    struct conf_errors *errors)
{
	const struct address *a = &app->listens[i];
	const char *udp = a->kind == ADDRESS_UDP ? "udp:" : "";

	if (a->host == ADDRESS_HOST_ANY)
		conf_error_add(errors, line, i == 0 && app->has_port ?
		    "port" : "listen", "%u on all addresses, IPv6 and IPv4, "
		    "cannot be said in the form of fd_protocol = "
		    "server-starter; listen = %s0.0.0.0:%u is allowed, or for "
		    "programs that take both listen = %s0.0.0.0:%u, %s[::]:%u",
		    a->port, udp, a->port, udp, a->port, udp, a->port);
}

void
conf_said_check(const struct conf_app *app, const unsigned *lines,
    struct conf_errors *errors)
{
	unsigned spoken = app->handoff == CONF_HANDOFF_ADOPT ? 0 :
	    conf_app_fd_protocols(app);

	for (size_t i = 0; i < app->n_listens; i++) {
		const struct address *a = &app->listens[i];

		if (a->kind != ADDRESS_UNIX) {
			if ((spoken & CONF_FDP_SERVER_STARTER) != 0)
				check_wildcard(app, i, lines[i], errors);
			continue;
		}
		for (size_t k = 0; k < sizeof(forms) / sizeof(forms[0]); k++)
			if ((spoken & forms[k].protocol) != 0)
				check_path(&forms[k], a, lines[i], errors);
	}
}
