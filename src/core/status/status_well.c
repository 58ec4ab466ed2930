#include <string.h>

#include "core/status/status.h"
#include "core/status/status_well.h"

static bool
is(const char *state, const char *word)
{
	return state != NULL && strcmp(state, word) == 0;
}

static bool
app_is_well(const struct status_app *app, bool one)
{
	uint64_t n = 0;

	if (is(app->state, "stopped") || is(app->state, "stopping") ||
	    is(app->state, "ended"))
		return true;
	if (is(app->state, "failed"))
		return false;
	for (size_t i = 0; i < app->n_instances; i++) {
		const struct status_instance *seat = &app->instances[i];

		if (seat->role != STATUS_SEAT)
			continue;
		if (!is(seat->state, "ready") && !is(seat->state, "ended"))
			return false;
		if (seat->healthy == 0)
			return false;
		n++;
	}
	return one || app->wanted == STATUS_UNKNOWN || n >= app->wanted;
}

bool
status_is_well(const struct status *status, bool one)
{
	if (is(status->clusterd.state, "stopping"))
		return false;
	for (size_t i = 0; i < status->n_apps; i++)
		if (!app_is_well(&status->apps[i], one))
			return false;
	return true;
}
