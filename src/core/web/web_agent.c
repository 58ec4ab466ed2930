#include <string.h>

#include "base/str.h"
#include "core/status/status.h"
#include "core/web/web_agent.h"

static bool
is(const char *state, const char *word)
{
	return state != NULL && strcmp(state, word) == 0;
}

static const struct status_app *
find(const struct status *status, const char *name)
{
	for (size_t i = 0; i < status->n_apps; i++)
		if (strcmp(status->apps[i].name, name) == 0)
			return &status->apps[i];
	return NULL;
}

/* A weight of 0 would be one for servers that take nobody new. */
static unsigned
percent(uint64_t ready, uint64_t wanted)
{
	if (wanted == STATUS_UNKNOWN || ready >= wanted)
		return 100;
	return ready * 100 < wanted ? 1 : (unsigned)(ready * 100 / wanted);
}

/* `up` alone would not end drain and maint, nor `ready` what was down. */
void
web_agent(const struct status *status, const char *name, struct strbuf *line)
{
	const struct status_app *app = find(status, name);
	const char *state = status->clusterd.state;
	uint64_t ready;

	/* Before a reason there is a blank, or it is no answer. */
	if (is(state, "stopping")) {
		strbuf_puts(line, "maint\n");
	} else if (is(state, "going down")) {
		strbuf_puts(line, "drain\n");
	} else if (app == NULL) {
		strbuf_printf(line, "down #there is no app %s\n", name);
	} else if (is(app->state, "stopped") || is(app->state, "stopping") ||
	    is(app->state, "ended")) {
		strbuf_puts(line, "maint\n");
	} else {
		ready = app->ready == STATUS_UNKNOWN ? 0 : app->ready;
		if (ready == 0)
			strbuf_printf(line, "down #no instance of %s is "
			    "ready\n", name);
		else
			strbuf_printf(line, "up ready %u%%\n",
			    percent(ready, app->wanted));
	}
}
