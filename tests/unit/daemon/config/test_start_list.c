/*
 * What a supervisor begins with where another one was killed, at whichever store
 * into the ledger: an app runs or is stopped, and never both or neither of them.
 * Workers are no processes.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/mman.h>

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/conf/conf.h"
#include "core/ledger/ledger.h"
#include "core/ledger/ledger_read.h"
#include "core/ledger/ledger_store.h"
#include "daemon/apps/app.h"
#include "daemon/apps/app_ledger.h"
#include "daemon/apps/apps.h"
#include "daemon/apps/stopped.h"
#include "daemon/config/conf_again.h"
#include "daemon/config/reload_apply.h"
#include "daemon/config/start_list.h"

#include "daemon/apps/fake_workers.h"
#include "lib/config.h"

#define API "[api]\ncommand = /bin/true\nready = notify\ninstances = 1\n"
#define ONE WEB "instances = 1\n"

/* No descriptors: what tells texts apart. */
#define PROGRAM	1000000
#define NEXT	1000001

void __real_ledger_publish(uint32_t *at, uint32_t value);
void __wrap_ledger_publish(uint32_t *at, uint32_t value);

static unsigned char *memory;
static struct ledger ledger;
static struct config *configs[2];
static unsigned cuts;
static void (*at_cut)(void);

void
__wrap_ledger_publish(uint32_t *at, uint32_t value)
{
	__real_ledger_publish(at, value);
	if (at_cut != NULL) {
		cuts++;
		at_cut();
	}
}

/* ---- the next supervisor ---- */

struct outcome {
	bool runs;		/* … and is to go on */
	bool leaves;
	unsigned stopped;	/* so many times */
};

static struct config *
config_with(int text)
{
	for (size_t i = 0; i < 2; i++)
		if (configs[i] != NULL && configs[i]->text == text)
			return configs[i];
	fail_msg("a configuration that nobody has written down");
	return NULL;
}

/* Returns what is in force of the program. */
static struct config *
read_all(struct conf_again *again)
{
	struct config *program = NULL;
	struct ledger_conf r;

	*again = (struct conf_again){
		.v = calloc(ledger_end(&ledger, LEDGER_CONF) + 1,
		    sizeof(*again->v)),
	};
	assert_non_null(again->v);
	for (uint32_t i = 0; i < ledger_end(&ledger, LEDGER_CONF); i++) {
		if (ledger_get_conf(&ledger, i, &r) != 1)
			continue;
		if (r.app[0] == '\0') {
			program = config_with(r.text);
			continue;
		}
		again->v[again->n++] = (struct conf_again_app){
			.r = r,
			.config = config_ref(config_with(r.text)),
			.conf = config_find_app(config_with(r.text), r.app),
		};
		assert_non_null(again->v[again->n - 1].conf);
	}
	assert_non_null(program);
	return program;
}

static bool
is_listed(const struct start_list *list, const char *app)
{
	for (size_t i = 0; i < list->n; i++)
		for (size_t k = 0; k < list->v[i].config->n_apps; k++)
			if (list->v[i].which[k] && strcmp(app,
			    list->v[i].config->apps[k].name) == 0)
				return true;
	return false;
}

static struct outcome
begin_again(const char *app)
{
	struct apps next = { .stopping = false };
	struct start_list list, stopped = { .v = NULL };
	struct error err = ERROR_INIT;
	struct conf_again again;
	struct outcome o = { .stopped = 0 };
	struct config *program = read_all(&again);

	assert_int_equal(start_list_make(&list, &next, program, &again, &err), 0);
	o.leaves = conf_again_is(&again, app, LEDGER_LEAVES);
	o.runs = is_listed(&list, app) && !o.leaves;
	stopped.again = &again;
	assert_int_equal(start_list_add(&stopped, &next, &err), 0);
	for (const struct stopped_app *s = next.stopped; s != NULL; s = s->next)
		o.stopped += strcmp(s->conf->name, app) == 0;
	stopped_free(&next);
	start_list_free(&list);
	conf_again_close(&again);
	return o;
}

/* ---- */

static int
open_all(void **state)
{
	assert_int_equal(fake_open(state), 0);
	memory = mmap(NULL, LEDGER_SIZE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(memory != MAP_FAILED);
	ledger_format(&ledger, memory);
	cuts = 0;
	return 0;
}

static int
close_all(void **state)
{
	at_cut = NULL;
	fake.apps.ledger = NULL;
	stopped_free(&fake.apps);
	for (size_t i = 0; i < 2; i++) {
		config_unref(configs[i]);
		configs[i] = NULL;
	}
	assert_int_equal(munmap(memory, LEDGER_SIZE), 0);
	return fake_close(state);
}

static struct config *
config_with_text(const char *lines, int text)
{
	struct config *config = config_of(lines);

	config->text = text;
	configs[text - PROGRAM] = config;
	return config;
}

/* As a reload of it alone adds it, whatever else there is. */
static struct app *
add(struct config *config, const char *name)
{
	struct reload_wish wish = { .all = false };
	struct reload_result result;
	struct error err = ERROR_INIT;

	strlist_add(&wish.apps, name);
	assert_int_equal(reload_apply(&fake.apps, config, &wish, &result,
	    &err), 0);
	strlist_free(&wish.apps);
	fake_turn();
	return apps_find(&fake.apps, name);
}

static void
one_of_the_two(void)
{
	struct outcome o = begin_again("web");

	assert_int_equal(o.runs + o.stopped, 1);
}

static void
a_stop_is_cut_off(void **state)
{
	struct config *config = config_with_text(ONE, PROGRAM);
	struct error err = ERROR_INIT;
	struct app *app;

	(void)state;
	app_ledger_keep(&fake.apps, &ledger, config);
	app = add(config, "web");
	fake_all_ready(app);
	at_cut = one_of_the_two;
	assert_int_equal(apps_stop_one(app, &err), 0);
	fake_turn();
	assert_true(cuts >= 2);
	assert_int_equal(begin_again("web").stopped, 1);
	assert_true(begin_again("web").leaves);
	fake_retired_go(app);
	assert_false(begin_again("web").leaves);
	fake_forget();
}

/* The program knows nothing of it. */
static void
a_start_is_cut_off(void **state)
{
	struct config *program = config_with_text(API, PROGRAM);
	struct config *config = config_with_text(ONE, NEXT);
	struct error err = ERROR_INIT;
	struct app *app;

	(void)state;
	app_ledger_keep(&fake.apps, &ledger, program);
	app = add(config, "web");
	assert_int_equal(apps_stop_one(app, &err), 0);
	fake_turn();
	fake_retired_go(app);
	at_cut = one_of_the_two;
	assert_int_equal(apps_start_one(&fake.apps, "web", &err), 0);
	fake_turn();
	assert_true(cuts >= 2);
	assert_true(begin_again("web").runs);
	fake_forget();
}

static void
it_is_stopped_or_forgotten(void)
{
	assert_false(begin_again("web").runs);
}

static void
a_reload_that_leaves_a_stopped_one_out_is_cut_off(void **state)
{
	struct config *program = config_with_text(ONE API, PROGRAM);
	struct config *next = config_with_text(API, NEXT);
	struct reload_wish wish = { .all = true };
	struct reload_result result;
	struct error err = ERROR_INIT;
	struct app *app;

	(void)state;
	app_ledger_keep(&fake.apps, &ledger, program);
	app = add(program, "web");
	assert_int_equal(apps_stop_one(app, &err), 0);
	fake_turn();
	fake_retired_go(app);
	at_cut = it_is_stopped_or_forgotten;
	assert_int_equal(reload_apply(&fake.apps, next, &wish, &result, &err),
	    0);
	fake_turn();
	assert_true(cuts >= 2);
	assert_int_equal(begin_again("web").stopped, 0);
	assert_true(begin_again("api").runs);
	fake_forget();
}

/* A start writes all down anew, while what was there is there still. */
static void
a_start_of_the_supervisor_is_cut_off(void **state)
{
	struct config *config = config_with_text(ONE API, PROGRAM);
	struct error err = ERROR_INIT;
	struct app *app;

	(void)state;
	app_ledger_keep(&fake.apps, &ledger, config);
	app = add(config, "web");
	(void)add(config, "api");
	assert_int_equal(apps_stop_one(app, &err), 0);
	fake_turn();
	at_cut = one_of_the_two;
	for (struct app *a = fake.apps.first; a != NULL; a = a->next_app)
		a->record = LEDGER_NOWHERE;
	fake.apps.stopped->record = LEDGER_NOWHERE;
	app_ledger_keep(&fake.apps, &ledger, config);
	assert_true(cuts >= 8);
	assert_true(begin_again("api").runs);
	fake_forget();
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)
	const struct CMUnitTest tests[] = {
		T(a_stop_is_cut_off),
		T(a_start_is_cut_off),
		T(a_reload_that_leaves_a_stopped_one_out_is_cut_off),
		T(a_start_of_the_supervisor_is_cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
