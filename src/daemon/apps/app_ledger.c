#include <sys/stat.h>

#include <stdlib.h>
#include <string.h>

#include "core/conf/conf.h"
#include "core/ledger/ledger.h"
#include "core/ledger/ledger_read.h"
#include "daemon/apps/app.h"
#include "daemon/apps/app_ledger.h"
#include "daemon/spec/app_spec.h"

static void
put(struct apps *apps, uint32_t *record, const struct ledger_conf *r)
{
	struct ledger_conf there;

	if (*record == LEDGER_NOWHERE)
		(void)ledger_add(apps->ledger, LEDGER_CONF, r, record);
	else if (ledger_get(apps->ledger, LEDGER_CONF, *record, &there) != 1 ||
	    memcmp(&there, r, sizeof(there)) != 0)
		ledger_set(apps->ledger, LEDGER_CONF, *record, r);
}

static void
drop(struct apps *apps, uint32_t *record)
{
	if (*record != LEDGER_NOWHERE)
		ledger_drop(apps->ledger, LEDGER_CONF, *record);
	*record = LEDGER_NOWHERE;
}

static struct ledger_conf
record_of(const struct config *config, const char *app)
{
	struct ledger_conf r = { .text = config->text };
	struct stat st;

	if (config->text >= 0 && fstat(config->text, &st) == 0)
		r.text_ino = st.st_ino;
	ledger_put_text(r.app, sizeof(r.app), app);
	return r;
}

void
app_ledger_note(struct app *app)
{
	struct apps *apps = app->apps;
	struct ledger_conf r;

	if (apps->ledger == NULL)
		return;
	r = record_of(app->crew.stable->config, app->crew.name);
	r.generation = app->crew.stable->generation;
	r.latest = app->generation;
	r.wanted = app->crew.wanted;
	r.flags = (app->crew.stopping ? LEDGER_LEAVES : 0U) |
	    (app->crew.dismissed ? LEDGER_DISMISSED : 0U);
	put(apps, &app->record, &r);
}

void
app_ledger_drop(struct app *app)
{
	if (app->apps->ledger != NULL)
		drop(app->apps, &app->record);
}

void
app_ledger_stopped(struct apps *apps, struct stopped_app *s)
{
	struct ledger_conf r;

	if (apps->ledger == NULL)
		return;
	r = record_of(s->config, s->conf->name);
	r.flags = LEDGER_STOPPED;
	put(apps, &s->record, &r);
}

void
app_ledger_started(struct apps *apps, struct stopped_app *s)
{
	if (apps->ledger != NULL)
		drop(apps, &s->record);
}

void
app_ledger_program(struct apps *apps, const struct config *config)
{
	struct ledger_conf r;

	if (apps->ledger == NULL)
		return;
	r = record_of(config, "");
	put(apps, &apps->record, &r);
}

/* What another supervisor has written there ends only when ours is there. */
void
app_ledger_keep(struct apps *apps, struct ledger *ledger,
    const struct config *config)
{
	uint32_t end = ledger != NULL ? ledger_end(ledger, LEDGER_CONF) : 0;
	bool *old = calloc(end + 1, sizeof(*old));
	struct ledger_conf r;

	if (old == NULL || ledger == NULL) {
		free(old);
		return;
	}
	for (uint32_t i = 0; i < end; i++)
		old[i] = ledger_get(ledger, LEDGER_CONF, i, &r) != 0;
	apps->ledger = ledger;
	apps->record = LEDGER_NOWHERE;
	app_ledger_program(apps, config);
	for (struct app *a = apps->first; a != NULL; a = a->next_app)
		app_ledger_note(a);
	for (struct stopped_app *s = apps->stopped; s != NULL; s = s->next)
		app_ledger_stopped(apps, s);
	for (uint32_t i = 0; i < end; i++)
		if (old[i])
			ledger_drop(ledger, LEDGER_CONF, i);
	free(old);
}

/* Generations go on. */
void
app_ledger_take_over(struct app *app, const struct ledger_conf *r)
{
	if (r->latest > app->generation)
		app->generation = r->latest;
	if (r->wanted > 0)
		app->crew.wanted = r->wanted;
}
