#include <inttypes.h>

#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_value.h"
#include "core/health/recycle.h"

static const char *const names[] = {
	[RECYCLE_UNHEALTHY] = "unhealthy",
	[RECYCLE_MEMORY] = "memory",
	[RECYCLE_AGE] = "age",
	[RECYCLE_CONNECTIONS] = "connections",
};
_Static_assert(sizeof(names) / sizeof(names[0]) == RECYCLE_CAUSES,
    "each has its name");

const char *
recycle_cause_name(enum recycle_cause cause)
{
	return names[cause];
}

bool
recycle_is_asked(const struct conf_app *app)
{
	return app->max_memory >= 0 || app->max_age_ms >= 0 ||
	    app->max_connections >= 0;
}

int64_t
recycle_age_ms(int64_t max_age_ms, uint64_t serial)
{
	/* Serials count up; by the golden ratio (Knuth, volume 3, 6.4) the next
	   one is far from all before it. */
	uint64_t dice = serial * UINT64_C(0x9e3779b97f4a7c15) >> 32;
	int64_t tenth = max_age_ms / 10;

	return max_age_ms - tenth +
	    (int64_t)(dice % (uint64_t)(2 * tenth + 1));
}

enum recycle_cause
recycle_why(const struct conf_app *app, const struct recycle_facts *facts)
{
	if (app->max_memory >= 0 && facts->memory > app->max_memory)
		return RECYCLE_MEMORY;
	if (app->max_age_ms >= 0 && facts->age_ms >=
	    recycle_age_ms(app->max_age_ms, facts->serial))
		return RECYCLE_AGE;
	if (app->max_connections >= 0 &&
	    facts->connections >= app->max_connections)
		return RECYCLE_CONNECTIONS;
	return RECYCLE_CAUSES;
}

/* Nobody wants to read bytes: mebibytes, if it is more than `max` in them too. */
static int64_t
readable(int64_t memory, int64_t max)
{
	int64_t mebibytes = memory >> 20 << 20;

	return mebibytes > max ? mebibytes : memory >> 10 << 10;
}

void
recycle_put_words(struct strbuf *sb, const struct conf_app *app,
    enum recycle_cause cause, const struct recycle_facts *facts)
{
	switch (cause) {
	case RECYCLE_UNHEALTHY:
	case RECYCLE_CAUSES:
		break;
	case RECYCLE_MEMORY:
		strbuf_puts(sb, "uses ");
		conf_size_print(sb, readable(facts->memory, app->max_memory));
		strbuf_puts(sb, ", more than max_memory = ");
		conf_size_print(sb, app->max_memory);
		break;
	case RECYCLE_AGE:
		strbuf_puts(sb, "has lived for ");
		conf_duration_print(sb, facts->age_ms < 1000 ? facts->age_ms :
		    facts->age_ms / 1000 * 1000);
		strbuf_puts(sb, ", max_age = ");
		conf_duration_print(sb, app->max_age_ms);
		break;
	case RECYCLE_CONNECTIONS:
		strbuf_printf(sb, "has taken %" PRId64 " connections, "
		    "max_connections = %" PRId64, facts->connections,
		    app->max_connections);
		break;
	}
}

bool
recycle_may(const struct recycle_pace *pace, struct mono now)
{
	return pace->failures == 0 || !mono_before(now, pace->until);
}

int64_t
recycle_note(struct recycle_pace *pace, bool well, struct mono now)
{
	int64_t ms = RECYCLE_PAUSE_MS;

	if (well) {
		pace->failures = 0;
		return 0;
	}
	for (unsigned i = 0; i < pace->failures && ms < RECYCLE_PAUSE_MAX_MS;
	     i++)
		ms *= 2;
	if (ms > RECYCLE_PAUSE_MAX_MS)
		ms = RECYCLE_PAUSE_MAX_MS;
	pace->failures++;
	pace->until = mono_add_ms(now, ms);
	return ms;
}
