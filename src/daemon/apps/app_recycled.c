#include <stdlib.h>

#include "base/log.h"
#include "base/mono.h"
#include "base/str.h"
#include "daemon/apps/app.h"
#include "daemon/apps/app_recycled.h"
#include "daemon/apps/seats.h"

void
app_recycled_begin(struct app *app, unsigned seat, enum recycle_cause cause,
    struct strbuf *words, bool too_young)
{
	free(app->wear_words);
	app->wear_words = strbuf_take(words);
	app->wear_cause = cause;
	app->wear_seat = seat;
	/* It would be for ever, one after the other. */
	app->too_young = too_young;
	app->recycles = true;
}

static void
note(struct app *app, bool well, struct mono now)
{
	int64_t ms = recycle_note(&app->pace, well, now);

	if (!well)
		log_app(LOG_LEVEL_WARNING, app->crew.name, "the next worker "
		    "that is due is replaced in %llds at the earliest",
		    (long long)ms / 1000);
}

void
app_recycled_taken(struct app *app)
{
	if (!app->recycles)
		return;
	app->recycles = false;
	/* Scaled away meanwhile. */
	if (app->wear_seat >= app->n_seats)
		return;
	seats_note_recycled(app, app->wear_seat, app->wear_cause,
	    app->wear_words != NULL ? app->wear_words : "was due");
	note(app, !app->too_young, mono_now());
}

void
app_recycled_failed(struct app *app)
{
	if (app->recycles)
		note(app, false, mono_now());
	app->recycles = false;
}

void
app_recycled_superseded(struct app *app)
{
	app->recycles = false;
}
