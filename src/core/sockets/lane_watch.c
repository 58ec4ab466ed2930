#include "core/sockets/lane_watch.h"

enum lane_holding
lane_holding(enum worker_state state)
{
	switch (state) {
	case WORKER_READY:
	case WORKER_DRAINING:
		return LANE_SERVED;
	case WORKER_STARTING:
		return LANE_STARTING;
	/* One that is killed does not accept any more; what comes of it is
	   known when it is dead. */
	case WORKER_IDLE:
	case WORKER_EXECING:
	case WORKER_BACKOFF:
	case WORKER_KILLED:
		return LANE_DUE;
	case WORKER_STOPPING:
		return LANE_ENDING;
	default:
		return LANE_FREE;
	}
}

static struct lane_decision
deed(enum lane_deed deed)
{
	return (struct lane_decision){ .deed = deed, .until = MONO_NEVER };
}

/* Not before `ms` have passed. */
static struct lane_decision
after(struct mono since, int64_t ms, enum lane_deed then, struct mono now)
{
	struct mono until = mono_add_ms(since, ms);

	if (!mono_before(now, until))
		return deed(then);
	return (struct lane_decision){ .deed = LANE_WAIT, .until = until };
}

/* Could anything be done for somebody who waited? A client who is reset by the
   only one that is to come would find nobody else. */
static bool
is_hopeful(const struct lane_facts *f)
{
	if (f->holding == LANE_SERVED)
		return false;
	if ((f->holding == LANE_STUCK || f->heir) && !f->can_move)
		return false;
	return f->others == LANE_OTHERS_READY || (f->holding == LANE_FREE &&
	    f->others == LANE_OTHERS_COMING && !f->can_move);
}

static struct mono
later(struct mono a, struct mono b)
{
	return mono_before(a, b) ? b : a;
}

/* When no handshake is likely to end in it. */
static struct mono
settled(const struct lane_watch *watch, const struct lane_facts *f,
    struct mono now)
{
	struct mono quiet = mono_add_ms(watch->grew, LANE_WATCH_SETTLE_MS);
	struct mono most = mono_add_ms(watch->came, LANE_WATCH_SETTLE_MAX_MS);

	if (f->queue == 0 || (f->holding == LANE_DUE && !mono_before(
		mono_add_ms(now, LANE_WATCH_SETTLE_MS), f->due)))
		return now;
	return mono_before(quiet, most) ? quiet : most;
}

static struct lane_decision
decide_to_move(const struct lane_watch *watch, const struct lane_facts *f,
    struct mono now)
{
	struct mono calm = settled(watch, f, now);

	if (f->holding == LANE_STARTING || f->holding == LANE_ENDING)
		calm = later(calm, mono_add_ms(watch->since,
		    LANE_WATCH_START_MS));
	return after(calm, 0, LANE_MOVE, now);
}

static struct lane_decision
decide_to_reset(const struct lane_watch *watch, const struct lane_facts *f,
    struct mono now)
{
	switch (f->holding) {
	case LANE_FREE:
		return after(later(watch->since, watch->came),
		    LANE_WATCH_TAKE_MS, LANE_RESET, now);
	case LANE_ENDING:	/* stop_timeout has an end for that */
		return deed(LANE_WAIT);
	case LANE_DUE:		/* in vain? then there is no use in it */
		if (mono_before(mono_add_ms(watch->since, LANE_WATCH_WAIT_MS),
			f->due))
			return deed(LANE_RESET);
		break;
	default:
		break;
	}
	return after(watch->since, LANE_WATCH_WAIT_MS, LANE_RESET, now);
}

struct lane_decision
lane_watch_decide(struct lane_watch *watch, const struct lane_facts *f,
    struct mono now)
{
	struct lane_decision d;

	if ((f->holding >= LANE_STUCK || f->heir) && !is_hopeful(f))
		watch->counts = false;
	if (f->waits && !watch->waits)
		watch->came = now;
	if (f->queue > watch->queue)
		watch->grew = now;
	watch->queue = f->queue;
	watch->waits = f->waits;
	if (!is_hopeful(f))
		return deed(f->waits && f->holding < LANE_STUCK ?
		    LANE_WAIT : LANE_LEAVE);
	if (!watch->counts) {
		watch->counts = true;
		watch->since = now;
	}
	if (!f->waits)
		return deed(LANE_LISTEN);
	d = f->can_move ? decide_to_move(watch, f, now) :
	    decide_to_reset(watch, f, now);
	/* Whoever waits then has come after these. */
	if (d.deed != LANE_WAIT)
		watch->waits = false;
	return d;
}
