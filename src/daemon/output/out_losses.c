#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/output/output.h"
#include "daemon/output/out_losses.h"

void
output_lose(struct output *o, const char *app, uint64_t lines)
{
	struct output_loss *l = o->losses;

	if (lines == 0)
		return;
	if (*app == '\0') {
		o->nameless += lines;
		return;
	}
	while (l != NULL && strcmp(l->app, app) != 0)
		l = l->next;
	if (l == NULL) {
		l = calloc(1, sizeof(*l));
		if (l == NULL) {
			o->nameless += lines;
			return;
		}
		strncpy(l->app, app, sizeof(l->app) - 1);
		l->next = o->losses;
		o->losses = l;
	}
	l->lines += lines;
}

static bool
tell_loss(const struct output *o, const char *app, uint64_t lines)
{
	const struct log_about about = { .app = app, .instance = -1 };

	return log_try(LOG_LEVEL_WARNING, &about, "%llu line%s of output %s "
	    "lost: %s%s%s", (unsigned long long)lines,
	    lines == 1 ? "" : "s", lines == 1 ? "was" : "were", o->name,
	    o->broken_by != 0 ? ": " : "",
	    o->broken_by != 0 ? strerror(o->broken_by) : " takes nothing");
}

/* What is lost here meanwhile counts anew. */
static bool
tell_first_loss(struct output *o)
{
	struct output_loss *l = o->losses, *same;
	uint64_t nameless = o->nameless;

	if (l == NULL) {
		o->nameless = 0;
		if (tell_loss(o, NULL, nameless))
			return true;
		o->nameless += nameless;
		return false;
	}
	o->losses = l->next;
	if (tell_loss(o, l->app, l->lines)) {
		free(l);
		return true;
	}
	for (same = o->losses; same != NULL; same = same->next)
		if (strcmp(same->app, l->app) == 0)
			break;
	if (same != NULL) {
		same->lines += l->lines;
		free(l);
	} else {
		l->next = o->losses;
		o->losses = l;
	}
	return false;
}

static bool
has_losses(const struct output *o)
{
	return o->losses != NULL || o->nameless > 0;
}

void
output_tell_losses(struct output *o)
{
	/* The log may well come to this place. */
	if (o->telling)
		return;
	o->telling = true;
	while (has_losses(o) && tell_first_loss(o))
		;
	o->telling = false;
	if (!has_losses(o))
		o->broken_by = 0;
	else if (o->n_kept == 0)
		loop_timer_set(o->loop, &o->timer,
		    mono_add_ms(mono_now(), OUTPUT_RETRY_MS));
}
