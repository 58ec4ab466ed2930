#include "base/str.h"
#include "core/conf/conf.h"
#include "core/control/unknown_app.h"
#include "daemon/apps/app.h"
#include "daemon/apps/apps.h"
#include "daemon/apps/stopped.h"
#include "daemon/control/control_client.h"
#include "daemon/control/control_setup.h"
#include "daemon/control/control_unknown.h"

void
control_unknown_app(struct control_client *c, const char *name)
{
	const struct apps *apps = c->setup->apps;
	struct strlist names = STRLIST_INIT;
	struct strbuf words = STRBUF_INIT;

	for (const struct app *app = apps->first; app != NULL; app = app->next_app)
		/* And not one that goes. */
		if (apps_find(c->setup->apps, app->crew.name) == app)
			strlist_add(&names, app->crew.name);
	for (const struct stopped_app *s = apps->stopped; s != NULL;
	     s = s->next)
		strlist_add(&names, s->conf->name);
	if (!names.failed)
		unknown_app_put(&words, name, &names);
	control_client_fail(c, "unknown", "%s", words.text != NULL &&
	    !words.failed ? words.text : "there is no such app");
	strbuf_free(&words);
	strlist_free(&names);
}
