#include <string.h>

#include "base/str.h"
#include "core/status/status.h"
#include "core/web/web_ready.h"

static bool
is(const char *state, const char *word)
{
	return state != NULL && strcmp(state, word) == 0;
}

static bool
is_left_out(const struct status_app *app, bool named)
{
	return is(app->state, "ended") || (!named &&
	    (is(app->state, "stopped") || is(app->state, "stopping")));
}

static bool
check(const struct status_app *app, unsigned min, struct strbuf *words)
{
	uint64_t ready = app->ready == STATUS_UNKNOWN ? 0 : app->ready;
	uint64_t needed = min;

	if (app->wanted != STATUS_UNKNOWN && app->wanted > 0 &&
	    app->wanted < needed)
		needed = app->wanted;
	if (ready >= needed && !is(app->state, "stopped"))
		return true;
	strbuf_printf(words, "%s: %llu ready, %llu needed\n", app->name,
	    (unsigned long long)ready, (unsigned long long)needed);
	return false;
}

enum web_ready
web_ready(const struct status *status, const char *app, unsigned min,
    struct strbuf *words)
{
	bool found = false, ready = true;

	if (is(status->clusterd.state, "going down") ||
	    is(status->clusterd.state, "stopping")) {
		strbuf_printf(words, "clusterd is %s\n",
		    status->clusterd.state);
		return WEB_READY_NOT;
	}
	for (size_t i = 0; i < status->n_apps; i++) {
		const struct status_app *a = &status->apps[i];

		if (app != NULL && strcmp(a->name, app) != 0)
			continue;
		found = true;
		if (!is_left_out(a, app != NULL))
			ready = check(a, min, words) && ready;
	}
	if (app != NULL && !found)
		return WEB_READY_UNKNOWN_APP;
	return ready ? WEB_READY : WEB_READY_NOT;
}
