#include <time.h>

#include "base/mono.h"

struct mono
mono_now(void)
{
	struct timespec ts;

	/* Cannot fail: the clock exists on every Linux and ts is ours. */
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (struct mono){
		.ns = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec
	};
}

struct mono
mono_add_ms(struct mono t, int64_t ms)
{
	int64_t ns;

	if (mono_is_never(t) || __builtin_mul_overflow(ms, 1000000, &ns) ||
	    __builtin_add_overflow(t.ns, ns, &ns))
		return MONO_NEVER;
	return (struct mono){ .ns = ns };
}

int64_t
mono_ms_between(struct mono from, struct mono to)
{
	int64_t ns = to.ns - from.ns;

	return ns / 1000000 - (ns % 1000000 < 0);
}
