#include "daemon/output/out_waiters.h"

void
out_waiters_hold(struct out_waiters *waiters, struct out_waiter *w)
{
	TAILQ_INSERT_TAIL(waiters, w, link);
	w->held = true;
}

void
out_waiters_unhold(struct out_waiters *waiters, struct out_waiter *w)
{
	if (w->held)
		TAILQ_REMOVE(waiters, w, link);
	w->held = false;
}

bool
out_waiters_resume(struct out_waiters *waiters)
{
	struct out_waiters held = TAILQ_HEAD_INITIALIZER(held);

	TAILQ_CONCAT(&held, waiters, link);
	while (!TAILQ_EMPTY(&held)) {
		struct out_waiter *w = TAILQ_FIRST(&held);

		out_waiters_unhold(&held, w);
		if (!w->resume(w))
			out_waiters_hold(waiters, w);
	}
	return TAILQ_EMPTY(waiters);
}
