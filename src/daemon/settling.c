#include "daemon/settling.h"
#include "linux/process/settle.h"

/* After it came up: the last looks at its workers are over, and one that takes over has
   answered whoever waited. */
#define SOON_MS 100

static void
settle_due(void *ctx)
{
	struct settling *s = ctx;

	settle();
	loop_at_rest(s->loop, settle_code);
}

int
settling_init(struct settling *s, struct loop *loop)
{
	s->loop = loop;
	return loop_timer_init(loop, &s->timer, settle_due, s);
}

void
settling_fini(struct settling *s)
{
	if (s->loop != NULL)
		loop_timer_fini(s->loop, &s->timer);
}

void
settling_soon(struct settling *s)
{
	loop_timer_set(s->loop, &s->timer, mono_add_ms(mono_now(), SOON_MS));
}
