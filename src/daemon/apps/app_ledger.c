#include <sys/stat.h>

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
	if (app->crew.stopping) {
		drop(apps, &app->record);
		return;
	}
	r = record_of(app->crew.stable->config, app->crew.name);
	r.generation = app->crew.stable->generation;
	r.latest = app->generation;
	r.wanted = app->crew.wanted;
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
