#include "core/control/event.h"

static const char *const names[] = {
	[EVENT_START] = "start",
	[EVENT_READY] = "ready",
	[EVENT_DRAIN] = "drain",
	[EVENT_STOP] = "stop",
	[EVENT_KILL] = "kill",
	[EVENT_END] = "end",
	[EVENT_DEATH] = "death",
	[EVENT_PARKED] = "parked",
	[EVENT_UNHEALTHY] = "unhealthy",
	[EVENT_HEALTHY] = "healthy",
	[EVENT_RELOAD] = "reload",
	[EVENT_RELOADED] = "reloaded",
	[EVENT_ABORTED] = "aborted",
	[EVENT_SCALE] = "scale",
	[EVENT_ADDED] = "added",
	[EVENT_REMOVED] = "removed",
	[EVENT_APPLIED] = "applied",
	[EVENT_REFUSED] = "refused",
};
_Static_assert(sizeof(names) / sizeof(names[0]) == EVENT_KINDS,
    "each has its name");

const char *
event_kind_name(enum event_kind kind)
{
	return names[kind];
}
