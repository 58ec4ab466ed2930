#include <sys/stat.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/conf/conf.h"
#include "core/conf/conf_error.h"
#include "core/ledger/ledger.h"
#include "core/ledger/ledger_read.h"
#include "daemon/config/conf_again.h"
#include "daemon/config/conf_load.h"
#include "linux/ledger/descriptors.h"

static bool
is_there(const struct ledger_conf *r)
{
	struct stat st;

	return r->text >= 0 && fstat(r->text, &st) == 0 &&
	    st.st_ino == r->text_ino;
}

/* What could be put in force once, can be again, if the users it names are there
   still. */
static int
load(const struct conf_origin *origin, const struct ledger_conf *r,
    struct config **ret_config)
{
	struct conf_origin kept = *origin;
	struct conf_errors errors = { .file = origin->file };
	int code;

	kept.kept = r->text;
	*ret_config = NULL;
	if (origin->source == NULL && !is_there(r))
		return 0;
	code = conf_load_wait(&kept, ret_config, &errors);
	if (code == 0 && *ret_config == NULL)
		log_error("the configuration in force cannot be had again: %s",
		    errors.n > 0 ? errors.v[0].text : "it has errors");
	conf_errors_free(&errors);
	return code == -ENOMEM ? code : 0;
}

int
conf_again_program(const struct conf_origin *origin,
    const struct ledger *ledger, struct config **ret_config)
{
	struct ledger view;
	struct ledger_conf r;

	*ret_config = NULL;
	if (ledger_open(&view, ledger->memory, ledger->size, NULL) < 0)
		return 0;
	for (uint32_t i = 0; i < ledger_end(&view, LEDGER_CONF); i++)
		if (ledger_get_conf(&view, i, &r) == 1 && r.app[0] == '\0')
			return load(origin, &r, ret_config);
	return 0;
}

/* One of which the text was read already. */
static struct config *
find_read(const struct conf_again *again, struct config *program, int text)
{
	if (program->text == text)
		return program;
	for (size_t i = 0; i < again->n; i++)
		if (again->v[i].config->text == text)
			return again->v[i].config;
	return NULL;
}

static void
add(struct conf_again *again, const struct conf_origin *origin,
    const struct ledger_conf *r, struct config *program)
{
	struct config *config = find_read(again, program, r->text);
	struct conf_again_app *v = reallocarray(again->v, again->n + 1,
	    sizeof(*v));

	if (v == NULL)
		return;
	again->v = v;
	if (config != NULL)
		config = config_ref(config);
	else if (load(origin, r, &config) < 0 || config == NULL)
		return;
	v[again->n] = (struct conf_again_app){
		.r = *r, .config = config,
		.conf = config_find_app(config, r->app),
	};
	if (v[again->n].conf != NULL)
		again->n++;
	else
		config_unref(config);
}

void
conf_again_open(struct conf_again *again, const struct conf_origin *origin,
    const struct ledger *ledger, struct config *program,
    struct descriptors *left)
{
	struct ledger_conf r;

	*again = (struct conf_again){ .v = NULL };
	if (ledger == NULL)
		return;
	for (uint32_t i = 0; i < ledger_end(ledger, LEDGER_CONF); i++)
		if (ledger_get_conf(ledger, i, &r) == 1 && r.app[0] != '\0')
			add(again, origin, &r, program);
	(void)descriptors_take(left, program->text);
	for (size_t i = 0; i < again->n; i++)
		(void)descriptors_take(left, again->v[i].config->text);
}

void
conf_again_close(struct conf_again *again)
{
	for (size_t i = 0; i < again->n; i++)
		config_unref(again->v[i].config);
	free(again->v);
	*again = (struct conf_again){ .v = NULL };
}

/* Its workers leave, and it has been stopped for later, or come again: whoever is
   there takes care of all. */
static int
rank(const struct conf_again_app *a)
{
	return a == NULL ? 0 : (a->r.flags & LEDGER_STOPPED) != 0 ? 1 :
	    (a->r.flags & LEDGER_LEAVES) != 0 ? 2 : 3;
}

const struct conf_again_app *
conf_again_find(const struct conf_again *again, const char *app)
{
	const struct conf_again_app *best = NULL;

	for (size_t i = 0; i < again->n; i++)
		if (strcmp(again->v[i].r.app, app) == 0 &&
		    rank(&again->v[i]) > rank(best))
			best = &again->v[i];
	return best;
}

bool
conf_again_is(const struct conf_again *again, const char *app, uint32_t flag)
{
	const struct conf_again_app *a = conf_again_find(again, app);

	return a != NULL && (a->r.flags & flag) != 0;
}
