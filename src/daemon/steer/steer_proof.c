#include <sys/socket.h>

#include "core/conf/conf.h"
#include "daemon/sockets/listener.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/steer/steer_proof.h"
#include "daemon/workers/worker.h"
#include "linux/process/looker.h"

/* Of a step; between two looks, beside so many times what the last one took; and
   after how long nobody wants one any more. */
#define SPELL_MS	2
#define GAP_MS		20
#define GAP_FACTOR	10
#define STALE_MS	200

/* More than any worker has; of more, those beside what is written are left out. */
#define PORTS_MAX (2 * CONF_LISTENS_MAX)

static size_t
collect_ports(const struct worker *w, struct connections_of *of)
{
	size_t n = 0;

	for (size_t i = 0; i < spec_lanes_n_places(w->spec) && n < PORTS_MAX;
	    i++) {
		const struct listener *l =
		    spec_lanes_listener(w->spec, w->instance, i);

		if (l != NULL && l->bound.kind == ADDRESS_TCP && l->listening)
			of[n++] = (struct connections_of){
				.family = l->bound.host == ADDRESS_HOST_IPV4 ?
				    AF_INET : AF_INET6,
				.port = l->bound.port,
			};
	}
	return n;
}

static void
end_look(struct steer_proof *p, struct mono now)
{
	int64_t took_ms = mono_ms_between(p->began, now);

	connections_end(&p->look);
	p->serial = 0;
	p->next = mono_add_ms(now, GAP_MS + GAP_FACTOR * took_ms);
}

static int
begin_look(struct steer_proof *p, const struct worker *w, struct mono now)
{
	struct connections_of of[PORTS_MAX];
	size_t n = collect_ports(w, of);

	p->began = now;
	p->serial = w->serial;
	return connections_begin(&p->look, of, n, &w->pid, 1, 0, false);
}

/* Another's, or one that was ready once and is not waited for any more. */
static bool
is_anothers(struct steer_proof *p, const struct worker *w, struct mono now)
{
	if (p->serial == 0 || p->serial == w->serial)
		return false;
	if (mono_ms_between(p->stepped, now) < STALE_MS)
		return true;
	end_look(p, now);
	return false;
}

bool
steer_proof(struct steer_proof *p, const struct worker *w)
{
	struct mono now = mono_now();
	int code = 0;
	bool serves;

	if (is_anothers(p, w, now) ||
	    (p->serial == 0 && mono_before(now, p->next)))
		return false;
	if (p->serial == 0)
		code = begin_look(p, w, now);
	if (code == 0)
		code = connections_step(&p->look, &w->spec->conf->creds,
		    SPELL_MS);
	p->stepped = now;
	if (code > 0 || looker_is_held_up(code))
		return false;
	serves = code == 0 && p->look.n > 0;
	end_look(p, mono_now());
	return serves;
}

void
steer_proof_end(struct steer_proof *p)
{
	connections_end(&p->look);
	p->serial = 0;
}
