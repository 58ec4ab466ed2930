#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "daemon/adopt/adopt.h"
#include "daemon/apps/app_rollout.h"
#include "daemon/life/life.h"
#include "daemon/output/outputs.h"
#include "daemon/spec/app_spec.h"
#include "daemon/steer/steer.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "lib/config.h"

#include "fake_workers.h"

struct mono __wrap_mono_now(void);
struct worker *__wrap_worker_new(struct life *life, struct crew *crew,
    struct app_spec *spec, unsigned instance, bool trial);
void __wrap_worker_free(struct worker *w);
void __wrap_worker_start(struct worker *w);
void __wrap_worker_pass(struct worker *w);
void __wrap_worker_retire(struct worker *w);
void __wrap_worker_stop(struct worker *w);
void __wrap_worker_kill(struct worker *w);
void __wrap_adopt_review_soon(struct adopt_review *review, struct crew *crew);
void __wrap_steer_away(struct steering *st, const struct worker *w);
void __wrap_steer_away_crew(struct steering *st, const struct crew *crew);
bool __wrap_steer_keeps_waiting(struct steering *st, const struct worker *w);
void __wrap_steer_note(struct steering *st, const struct worker *w);
bool __wrap_steer_proof(struct steer_proof *proof, const struct worker *w);
void __wrap_steer_sight(const struct worker *w, struct trial_sight *sight);

#define WORKERS_MAX	64
#define TURNS_MAX	1000

struct fake fake;

static struct loop *loop;
static struct workers workers;
static struct life nobody_left;
static struct outputs outputs;
static struct strbuf told;
static struct mono now;

struct mono
__wrap_mono_now(void)
{
	return now;
}

/* Where new connections go is for others to test. */
void
__wrap_adopt_review_soon(struct adopt_review *review, struct crew *crew)
{
	(void)review;
	(void)crew;
}

void
__wrap_steer_away(struct steering *st, const struct worker *w)
{
	(void)st;
	(void)w;
}

void
__wrap_steer_away_crew(struct steering *st, const struct crew *crew)
{
	(void)st;
	(void)crew;
	fake.aways++;
}

bool
__wrap_steer_keeps_waiting(struct steering *st, const struct worker *w)
{
	(void)st;
	return w == fake.left;
}

void
__wrap_steer_note(struct steering *st, const struct worker *w)
{
	(void)st;
	(void)w;
	now = mono_add_ms(now, fake.note_ms);
}

bool
__wrap_steer_proof(struct steer_proof *proof, const struct worker *w)
{
	(void)proof;
	(void)w;
	return false;
}

void
__wrap_steer_sight(const struct worker *w, struct trial_sight *ret_sight)
{
	(void)w;
	fake.looks++;
	*ret_sight = (struct trial_sight){ .waiting = fake.waiting };
}

/* ---- workers, in the place of daemon/life ---- */

struct worker *
__wrap_worker_new(struct life *life, struct crew *crew, struct app_spec *spec,
    unsigned instance, bool trial)
{
	struct worker *w = fake.no_memory ? NULL : calloc(1, sizeof(*w));

	(void)life;
	if (w == NULL)
		return NULL;
	w->crew = crew;
	w->spec = app_spec_ref(spec);
	w->instance = instance;
	w->fsm = (struct worker_fsm)WORKER_FSM_INIT;
	w->fsm.trial = trial;
	w->number = workers_number(&workers);
	w->next = crew->workers;
	w->prev_next = &crew->workers;
	if (w->next != NULL)
		w->next->prev_next = &w->next;
	crew->workers = w;
	assert_in_range(++fake.n_workers, 1, WORKERS_MAX);
	return w;
}

void
__wrap_worker_free(struct worker *w)
{
	assert_true(worker_state_final(w->fsm.state));
	*w->prev_next = w->next;
	if (w->next != NULL)
		w->next->prev_next = w->prev_next;
	worker_fsm_free(&w->fsm);
	app_spec_unref(w->spec);
	free(w->death);
	free(w);
	fake.n_workers--;
}

static void
post(struct worker *w, enum worker_event event, bool failure)
{
	const struct worker_facts facts = {
		.now = now, .failure = failure,
		.waiting = event == WORKER_EV_RETIRE && w->heir,
	};
	struct worker_step step = worker_fsm_step(&w->fsm, w->spec->conf,
	    event, &facts);

	if (step.spawn)
		w->serial++;
	if (step.to == WORKER_READY && step.from != WORKER_READY) {
		w->was_ready = true;
		w->ready_ms = mono_ms_between(w->fsm.executed, now);
		w->relapsed = false;
	}
	if (worker_step_relapses(&step, w->was_ready))
		w->relapsed = true;
	if (event == WORKER_EV_EXITED) {
		str_keep(&w->death, failure ? "exited with 1" :
		    "exited with 0");
		apps_worker_ended(w, &step, failure ? RESTART_CAUSE_FAILURE :
		    RESTART_CAUSE_EXIT, w->death);
	}
	apps_worker_stepped(w, &step);
}

static void
tell(struct worker *w, const char *word, enum worker_event event)
{
	strbuf_printf(&told, "%s%s %u/%u", told.len > 0 ? ", " : "", word,
	    w->instance, w->spec->generation);
	post(w, event, false);
}

void
__wrap_worker_start(struct worker *w)
{
	now = mono_add_ms(now, fake.start_ms);
	tell(w, "start", WORKER_EV_START);
}

void
__wrap_worker_pass(struct worker *w)
{
	post(w, WORKER_EV_PASSED, false);
}

void
__wrap_worker_retire(struct worker *w)
{
	now = mono_add_ms(now, fake.retire_ms);
	tell(w, "retire", WORKER_EV_RETIRE);
}

void
__wrap_worker_stop(struct worker *w)
{
	tell(w, "stop", WORKER_EV_STOP);
}

void
__wrap_worker_kill(struct worker *w)
{
	tell(w, "kill", WORKER_EV_KILL);
}

void
fake_expect(const char *words, const char *file, int line)
{
	const char *is = told.text != NULL ? told.text : "";

	if (strcmp(is, words) != 0) {
		print_error("workers were told \"%s\", expected \"%s\"\n", is,
		    words);
		_fail(file, line);
	}
	strbuf_free(&told);
}

void
fake_forget(void)
{
	strbuf_free(&told);
}

/* ---- what happens ---- */

void
fake_turn(void)
{
	unsigned turns = 0;

	while (apps_turn(&fake.apps))
		assert_in_range(++turns, 1, TURNS_MAX);
	apps_end_turn(&fake.apps);
}

/* One whose deadline has come, or NULL. */
static struct worker *
find_due(void)
{
	for (struct app *a = fake.apps.first; a != NULL; a = a->next_app)
		for (struct worker *w = a->crew.workers; w != NULL; w = w->next)
			if (!mono_is_never(w->fsm.deadline) &&
			    mono_ms_between(w->fsm.deadline, now) >= 0)
				return w;
	return NULL;
}

void
fake_pass(int64_t ms)
{
	struct worker *w;

	now = mono_add_ms(now, ms);
	while ((w = find_due()) != NULL)
		post(w, WORKER_EV_DEADLINE, false);
	/* As if its timer had come. */
	for (struct app *a = fake.apps.first; a != NULL; a = a->next_app)
		app_touch(a);
	fake_turn();
}

void
fake_ready(struct worker *w)
{
	assert_non_null(w);
	assert_int_equal(w->fsm.state, WORKER_EXECING);
	post(w, WORKER_EV_EXECUTED, false);
	post(w, WORKER_EV_NOTIFY_READY, false);
	post(w, WORKER_EV_WAITS, false);
	fake_turn();
}

void
fake_dies(struct worker *w, bool badly)
{
	assert_non_null(w);
	assert_true(worker_state_alive(w->fsm.state));
	post(w, WORKER_EV_EXITED, badly);
	fake_turn();
}

void
fake_retired_go(struct app *app)
{
	for (struct worker *w = app->crew.workers; w != NULL; w = w->next)
		if (!w->seated && worker_state_alive(w->fsm.state))
			post(w, WORKER_EV_EXITED, false);
	fake_turn();
}

void
fake_all_ready(struct app *app)
{
	for (unsigned i = 0; i < app->n_seats; i++)
		fake_ready(app->seats[i].present);
}

/* ---- apps ---- */

static struct app_spec *
new_spec(const char *text)
{
	struct config *config = config_of(text);
	struct app_spec *spec;
	struct error err = ERROR_INIT;

	if (app_spec_new(&fake.apps.house, config, &config->apps[0], &spec,
	    &err) < 0)
		fail_msg("%s", error_text(&err));
	config_unref(config);
	return spec;
}

struct app *
fake_add(const char *text)
{
	struct app_spec *spec = new_spec(text);
	struct app *app;

	assert_int_equal(apps_add(&fake.apps, spec, false), 0);
	app = apps_find(&fake.apps, spec->conf->name);
	app_spec_unref(spec);
	assert_non_null(app);
	fake_turn();
	return app;
}

void
fake_roll(struct app *app, const char *text)
{
	struct app_spec *spec = new_spec(text);

	app_roll(app, spec);
	app_spec_unref(spec);
	fake_turn();
}

static void
stepped(void *ctx, const struct worker *w, const struct worker_step *step)
{
	(void)ctx;
	(void)w;
	(void)step;
	fake.told_stepped++;
}

static void
ended(void *ctx, const struct worker *w, const struct worker_step *step,
    const char *words)
{
	(void)ctx;
	(void)w;
	(void)step;
	assert_non_null(words);
	fake.told_ended++;
}

static const struct apps_watch watch = { .stepped = stepped, .ended = ended };

int
fake_open(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	now = mono_add_ms((struct mono){ .ns = 0 }, 1000);
	if (loop_new(&loop, &err) < 0)
		return -1;
	workers = (struct workers){ .loop = loop };
	fake = (struct fake){
		.listeners = { .inotify = -1 },
		.apps = {
			.life = &nobody_left,
			.workers = &workers,
			.watch = &watch,
			.house = {
				.listeners = &fake.listeners,
				.outputs = &outputs,
				.auto_instances = 4,
			},
		},
	};
	if (apps_open(&fake.apps) < 0)
		return -1;
	listeners_init(&fake.listeners, loop);
	outputs_init(&outputs, loop, NULL, NULL);
	return 0;
}

int
fake_close(void **state)
{
	(void)state;
	apps_stop(&fake.apps);
	apps_kill(&fake.apps);
	for (struct app *a = fake.apps.first; a != NULL; a = a->next_app)
		for (struct worker *w = a->crew.workers; w != NULL; w = w->next)
			if (worker_state_alive(w->fsm.state))
				post(w, WORKER_EV_EXITED, true);
	fake_turn();
	strbuf_free(&told);
	if (fake.apps.first != NULL || fake.n_workers > 0)
		return -1;
	listeners_fini(&fake.listeners);
	outputs_fini(&outputs);
	apps_close(&fake.apps);
	loop_free(loop);
	return 0;
}
