#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/conf/conf.h"
#include "daemon/output/out_losses.h"

struct out_loss {
	struct out_loss *next;
	uint64_t lines;			/* since that was last told */
	char app[CONF_NAME_MAX + 1];
};

static struct out_loss *
find(const struct out_losses *losses, const char *app)
{
	struct out_loss *l = losses->first;

	while (l != NULL && strcmp(l->app, app) != 0)
		l = l->next;
	return l;
}

static void
push(struct out_losses *losses, struct out_loss *l)
{
	l->next = losses->first;
	losses->first = l;
}

void
out_losses_add(struct out_losses *losses, const char *app, uint64_t lines)
{
	struct out_loss *l;

	if (lines == 0)
		return;
	l = *app != '\0' ? find(losses, app) : NULL;
	if (l == NULL && *app != '\0') {
		l = calloc(1, sizeof(*l));
		if (l != NULL) {
			strncpy(l->app, app, sizeof(l->app) - 1);
			push(losses, l);
		}
	}
	if (l != NULL)
		l->lines += lines;
	else
		losses->nameless += lines;
}

void
out_losses_blame(struct out_losses *losses, int why)
{
	losses->why = why;
}

static bool
tell(const struct out_losses *losses, const char *place, const char *app,
    uint64_t lines)
{
	const struct log_about about = { .app = app, .instance = -1 };
	int why = losses->why;

	return log_try(LOG_LEVEL_WARNING, &about,
	    "%llu line%s of output %s lost: %s%s%s", (unsigned long long)lines,
	    lines == 1 ? "" : "s", lines == 1 ? "was" : "were", place,
	    why != 0 ? ": " : "", why != 0 ? strerror(why) : losses->slow ?
	    " is too slow" : " takes nothing");
}

/* What is lost here meanwhile counts anew. */
static bool
tell_nameless(struct out_losses *losses, const char *place)
{
	uint64_t lines = losses->nameless;

	losses->nameless = 0;
	if (tell(losses, place, NULL, lines))
		return true;
	losses->nameless += lines;
	return false;
}

static bool
tell_first(struct out_losses *losses, const char *place)
{
	struct out_loss *l = losses->first, *same;

	losses->first = l->next;
	if (tell(losses, place, l->app, l->lines)) {
		free(l);
		return true;
	}
	same = find(losses, l->app);
	if (same != NULL) {
		same->lines += l->lines;
		free(l);
	} else {
		push(losses, l);
	}
	return false;
}

bool
out_losses_tell(struct out_losses *losses, const char *place)
{
	bool told = true;

	/* The log may well come to this place. */
	if (losses->telling)
		return true;
	losses->telling = true;
	while (told && (losses->first != NULL || losses->nameless > 0))
		told = losses->first != NULL ? tell_first(losses, place) :
		    tell_nameless(losses, place);
	losses->telling = false;
	if (told)
		losses->why = 0;
	return told;
}

void
out_losses_end(struct out_losses *losses)
{
	while (losses->first != NULL) {
		struct out_loss *l = losses->first;

		losses->first = l->next;
		log_lost(1);
		free(l);
	}
}
