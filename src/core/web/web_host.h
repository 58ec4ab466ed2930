/*
 * Whose requests a web server on this machine answers. A page of a stranger's can
 * have its own name lead to 127.0.0.1, and would then read what is served there as
 * its own; its requests carry that name (DNS rebinding).
 */
#ifndef CORE_WEB_WEB_HOST_H
#define CORE_WEB_WEB_HOST_H

#include <stdbool.h>

/*
 * A Host header: an address, which no stranger's name is; "localhost"; or one of
 * `names`, a NULL-terminated list, in upper or lower case; each with a port or
 * without.
 */
bool web_host_allowed(const char *host, char *const *names);

/* May it be one of `names`? Letters, digits, '-', '_' and dots, at most 253. */
bool web_host_name_valid(const char *name);

/* Is an Origin header that of the server that is asked as `host`? Whoever speaks
   TLS before it changes the scheme and no more. */
bool web_host_same_origin(const char *origin, const char *host);

#endif
