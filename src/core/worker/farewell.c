#include "core/worker/farewell.h"

bool
farewell_is_silent(const struct drain_conn *c)
{
	int64_t quiet_ms = c->sent_ms < c->received_ms ? c->sent_ms :
	    c->received_ms;

	return c->timed && c->sent && c->received && c->unread == 0 &&
	    c->unacked <= FAREWELL_UNACKED && c->sent_ms <= c->received_ms &&
	    quiet_ms >= FAREWELL_QUIET_MS + c->rtt_ms;
}

/* Who has ended the silence of the last look, if anybody has? Of both, the
   client came first. */
static void
learn(struct farewell *f, const struct drain_conn *c)
{
	if (!f->seen || !f->silent)
		return;
	if (c->n_received != f->n_received)
		f->turns++;
	else if (c->n_sent != f->n_sent)
		f->streams = true;
}

bool
farewell_look(struct farewell *f, const struct drain_conn *c)
{
	learn(f, c);
	f->seen = true;
	f->silent = farewell_is_silent(c);
	f->n_sent = c->n_sent;
	f->n_received = c->n_received;
	return f->silent && f->turns >= FAREWELL_TURNS && !f->streams &&
	    !f->taken;
}

bool
farewell_is_due(int64_t past_ms, int64_t timeout_ms, bool stops)
{
	int64_t most_ms = stops ? FAREWELL_STOP_MS : FAREWELL_MS;
	int64_t span_ms = timeout_ms / 4 < most_ms ? timeout_ms / 4 : most_ms;

	return past_ms >= (stops ? span_ms : timeout_ms - span_ms);
}
