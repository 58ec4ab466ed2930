#include "core/health/recycle.h"

static const char *const names[] = {
	[RECYCLE_UNHEALTHY] = "unhealthy",
};
_Static_assert(sizeof(names) / sizeof(names[0]) == RECYCLE_CAUSES,
    "each has its name");

const char *
recycle_cause_name(enum recycle_cause cause)
{
	return names[cause];
}
