/*
 * Adoption: a worker binds an address by itself; is it one that its app serves,
 * and which socket is it to get instead? Pure; daemon/adopt carries it out.
 */
#ifndef CORE_SOCKETS_ADOPTION_H
#define CORE_SOCKETS_ADOPTION_H

#include <stdbool.h>
#include <stddef.h>

#include "core/names/address.h"

struct conf_app;

/* The socket that is to be bound. */
struct adoption_socket {
	int family;		/* AF_…, SOCK_…, IPPROTO_… */
	int type;
	int protocol;
	bool v6only;
};

/*
 * What bind(2) is asked for: `bytes` is the caller's sockaddr, `cwd` its
 * working directory (NULL: unknown). "Every address" comes out as
 * ADDRESS_HOST_ANY for a dual-stack socket, and as address 0 of its family for
 * others. The caller frees *ret_asked. 0; -EAFNOSUPPORT for what no listener
 * can be, malformed addresses among it: the kernel is to judge them; -ENOMEM.
 */
int adoption_parse(const struct adoption_socket *socket, const void *bytes,
    size_t len, const char *cwd, struct address *ret_asked);

/* From inspect_protocol_name(), where the socket itself is out of reach. False:
   not a protocol that a listener can have. v6only is taken to be off. */
bool adoption_socket_from_name(const char *name,
    struct adoption_socket *ret_socket);

enum adoption_verdict {
	ADOPTION_PASS,		/* none of our business */
	ADOPTION_GIVE,		/* the lane of `target` at `position` */
	ADOPTION_REFUSE,	/* an IPv4 socket for an address that is
				   written in IPv6: no socket can be both */
};

struct adoption {
	enum adoption_verdict verdict;
	size_t position;	/* in app->listens */
	struct address target;	/* the path is borrowed from the app */
};

/*
 * `bound` as struct app_spec has it (ports resolved). The rules:
 *
 * - `port`: the server decides, target is what it asks for; by UDP too, which
 *   is then beside the TCP listener, unless a `listen` has it.
 * - `listen`, every address: it stays so, in the family of the server's
 *   socket: an AF_INET program must never see an IPv6 peer.
 * - `listen`, an IPv4 address: it stays so; an AF_INET6 socket gets it in its
 *   mapped form (::ffff:127.0.0.1).
 * - `listen`, an IPv6 address: for AF_INET6 sockets.
 * - `listen`, 0.0.0.0 and [::]: one dual-stack socket may serve both.
 * - Of several that share the port: the one that is asked for exactly, else
 *   one of the socket's own family, every address before a single one.
 */
struct adoption adoption_decide(const struct conf_app *app,
    const struct address *bound, const struct address *asked);

/*
 * May a socket that is bound to `bound` go on as listener number `position` of
 * `app`? It may have been narrowed by these rules under an earlier
 * configuration.
 */
bool adoption_may_keep(const struct conf_app *app, size_t position,
    const struct address *bound);

#endif
