#include <sys/socket.h>

#include <netinet/tcp.h>
#include <string.h>

#include "core/conf/conf.h"
#include "daemon/adopt/adopt_clients.h"
#include "daemon/sockets/listener.h"
#include "daemon/spec/app_spec.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/process/inspect.h"
#include "linux/socket/connections.h"
#include "linux/socket/sockdiag.h"

/* What is not told by then is not waited for. */
#define LOOK_MS 20

struct search {
	const struct crew *crew;
	const struct listener *listener;
	bool found;
};

static int
family_of(const struct listener *l)
{
	return l->bound.kind == ADDRESS_UNIX ? AF_UNIX :
	    l->bound.host == ADDRESS_HOST_IPV4 ? AF_INET : AF_INET6;
}

static size_t
ip_len(const struct listener *l)
{
	return l->bound.host == ADDRESS_HOST_IPV4 ? 4 : 16;
}

static bool
is_wildcard(const struct listener *l)
{
	static const uint8_t nought[16];

	return l->bound.host == ADDRESS_HOST_ANY ||
	    memcmp(l->bound.ip, nought, ip_len(l)) == 0;
}

static bool
is_bound_to(const struct listener *l, const struct sockdiag_tcp *s)
{
	return l->bound.kind == ADDRESS_TCP && family_of(l) == s->family &&
	    l->bound.port == s->local_port && !is_wildcard(l) &&
	    memcmp(l->bound.ip, s->local, ip_len(l)) == 0;
}

/* The kernel prefers who names the address. */
static bool
is_named(const struct app_spec *spec, const struct sockdiag_tcp *s)
{
	for (size_t i = 0; spec != NULL && i < app_spec_n_listeners(spec); i++) {
		const struct listener *l = app_spec_listener(spec, i);

		if (l != NULL && l->listening && is_bound_to(l, s))
			return true;
	}
	return false;
}

/* Without an inode it is in a queue, or closed by the server. */
static void
note(void *ctx, const struct sockdiag_tcp *s)
{
	struct search *search = ctx;
	const struct crew *crew = search->crew;

	if (search->found || s->ino == 0 || s->state == TCP_SYN_RECV ||
	    s->family != family_of(search->listener))
		return;
	search->found = is_wildcard(search->listener) ?
	    !is_named(crew->stable, s) && !is_named(crew->target, s) :
	    is_bound_to(search->listener, s);
}

enum adopt_clients
adopt_clients_of(const struct crew *crew, const struct listener *l)
{
	struct search s = { .crew = crew, .listener = l };
	struct sockdiag diag = SOCKDIAG_INIT;
	int code;

	if (l->bound.kind != ADDRESS_TCP)
		return ADOPT_CLIENTS_NONE;
	code = sockdiag_open(&diag);
	if (code == 0)
		code = sockdiag_tcp_ask(&diag, family_of(l), l->bound.port);
	if (code == 0)
		code = sockdiag_tcp_read(&diag, LOOK_MS, note, &s);
	sockdiag_close(&diag);
	return s.found ? ADOPT_CLIENTS_SOME : code == 0 ? ADOPT_CLIENTS_NONE :
	    ADOPT_CLIENTS_UNSURE;
}

bool
adopt_has_taken(const struct worker *w, struct listener *l)
{
	struct connections_of of = {
		.family = family_of(l), .port = l->bound.port,
		.ino = listener_first_lane(l)->ino,
	};
	struct sockdiag diag = SOCKDIAG_INIT;
	struct connections look = { .n = 0 };
	struct fsids ids;
	bool taken = false;

	if (l->bound.kind == ADDRESS_UDP || sockdiag_open(&diag) < 0)
		return false;
	if (l->bound.kind == ADDRESS_TCP && !is_wildcard(l)) {
		of.local_len = (uint8_t)ip_len(l);
		memcpy(of.local, l->bound.ip, of.local_len);
	}
	ids = inspect_begin(&w->spec->conf->creds);
	if (connections_begin(&look, &diag, &of, 1, &w->pid, 1, 0) == 0) {
		(void)connections_step(&look, LOOK_MS);
		taken = look.n > 0;
	}
	inspect_end(&ids);
	connections_end(&look);
	sockdiag_close(&diag);
	return taken;
}
