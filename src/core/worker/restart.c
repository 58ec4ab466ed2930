#include <stdlib.h>

#include "core/conf/conf.h"
#include "core/worker/restart.h"

/* Who lived for less is not started again at once, whatever `restart_reset`
   says: a program that ends at its start would keep the machine busy. */
#define LIFE_MIN_MS 100

static void
remember(struct restart_history *h, unsigned limit, struct mono now)
{
	if (h->cap != limit) {
		struct mono *ring = calloc(limit, sizeof(*ring));

		if (ring == NULL)
			return;
		free(h->deaths);
		*h = (struct restart_history){
			.streak = h->streak, .deaths = ring, .cap = limit,
		};
	}
	h->deaths[h->next] = now;
	h->next = (h->next + 1) % h->cap;
	if (h->n < h->cap)
		h->n++;
}

/* The ring holds the last `limit` deaths: is the oldest still in the window? */
static bool
limit_reached(const struct restart_history *h, const struct conf_app *p,
    struct mono now)
{
	if (h->n < p->restart_limit || h->cap != p->restart_limit)
		return false;
	/* With the ring full, `next` is the oldest. */
	return mono_ms_between(h->deaths[h->next], now) <= p->restart_limit_ms;
}

static int64_t
jitter(int64_t delay_ms, uint32_t dice)
{
	/* -100 … +100 thousandths */
	int64_t thousandths = (int64_t)(dice % 201) - 100;

	return delay_ms + delay_ms / 1000 * thousandths +
	    delay_ms % 1000 * thousandths / 1000;
}

int64_t
restart_delay(const struct conf_app *p, struct restart_history *h,
    uint32_t dice)
{
	int64_t delay = p->restart_delay_ms;

	for (unsigned i = 0; i < h->streak; i++) {
		if (delay > p->restart_delay_max_ms / 2) {
			delay = p->restart_delay_max_ms;
			break;
		}
		delay *= 2;
	}
	if (delay > p->restart_delay_max_ms)
		delay = p->restart_delay_max_ms;
	if (h->streak < 64)
		h->streak++;
	return jitter(delay, dice);
}

struct restart_decision
restart_decide(const struct conf_app *p, struct restart_history *h,
    bool failure, int64_t lived_ms, struct mono now, uint32_t dice)
{
	struct restart_decision d = { .verdict = RESTART_AGAIN };

	if (p->restart == CONF_RESTART_NEVER ||
	    (p->restart == CONF_RESTART_ON_FAILURE && !failure)) {
		d.verdict = RESTART_END;
		return d;
	}
	if (p->restart_limit > 0) {
		remember(h, p->restart_limit, now);
		if (limit_reached(h, p, now)) {
			d.verdict = RESTART_PARK;
			return d;
		}
	}
	if (lived_ms >= p->restart_reset_ms && lived_ms >= LIFE_MIN_MS) {
		h->streak = 0;
		return d;
	}
	d.delay_ms = restart_delay(p, h, dice);
	return d;
}

void
restart_remember(struct restart_history *h, const struct conf_app *p,
    unsigned streak, const struct mono *deaths, unsigned n)
{
	for (unsigned i = 0; i < n && p->restart_limit > 0; i++)
		remember(h, p->restart_limit, deaths[i]);
	h->streak = streak;
}

void
restart_free(struct restart_history *h)
{
	free(h->deaths);
	*h = (struct restart_history){ 0 };
}

const char *
restart_cause_name(enum restart_cause cause)
{
	static const char *const names[RESTART_CAUSES] = {
		[RESTART_CAUSE_EXIT] = "exit",
		[RESTART_CAUSE_FAILURE] = "failure",
		[RESTART_CAUSE_SIGNAL] = "signal",
		[RESTART_CAUSE_OOM] = "oom",
		[RESTART_CAUSE_TIMEOUT] = "timeout",
		[RESTART_CAUSE_START] = "start",
	};

	return names[cause];
}
