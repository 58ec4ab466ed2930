#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/health/queue_watch.h"
#include "core/health/watchdog.h"
#include "daemon/health/check.h"
#include "daemon/health/check_exec.h"
#include "daemon/health/health.h"
#include "daemon/health/queues.h"
#include "daemon/spec/app_spec.h"
#include "daemon/steer/steer.h"
#include "daemon/watch/notify.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/loop/loop.h"

/* Of each turn, for checks that begin: the others have theirs in the next one. */
#define BEGINS_NS INT64_C(1000000)

struct care {
	struct healths *all;
	struct worker *worker;
	struct loop_timer timer;
	struct check *check;	/* under way */
	struct check_exec *exec;	/* … or not gone yet */
	struct watchdog watchdog;
	struct queues queues;
	struct health health;
	bool begun;
	bool hurry;
	int64_t took_us;
	char words[VERDICT_WORDS_MAX + 64];
};

static struct loop *
loop_of(const struct care *care)
{
	return care->worker->crew->all->loop;
}

static const struct conf_app *
conf_of(const struct care *care)
{
	return care->worker->spec->conf;
}

/* ---- what came of a check ---- */

/* `GET /healthz: status 500, 3 times` */
static void
put_words(struct care *care, const struct verdict *verdict)
{
	const struct conf_app *conf = conf_of(care);
	struct strbuf sb = STRBUF_INIT;

	if (conf->health == CONF_HEALTH_HTTP)
		strbuf_printf(&sb, "GET %.40s: ", conf->health_path);
	if (conf->health == CONF_HEALTH_EXEC)
		strbuf_printf(&sb, "%.40s: ", conf->health_command.v[0]);
	strbuf_puts(&sb, verdict->words);
	if (care->health.failures > 1 && !care->watchdog.gave_up)
		strbuf_printf(&sb, ", %u times", care->health.failures);
	if (!sb.failed) {
		strncpy(care->words, sb.text, sizeof(care->words) - 1);
		care->words[sizeof(care->words) - 1] = '\0';
	}
	strbuf_free(&sb);
}

/* New connections avoid it, or do no more; and who waits for it goes elsewhere. */
static void
note_health(struct care *care)
{
	const struct health *h = &care->health;
	struct worker *w = care->worker;

	if (w->unwell == h->unwell && w->stuck == h->condemned)
		return;
	w->unwell = h->unwell;
	w->stuck = h->condemned;
	steer_note(care->all->steering, w);
	worker_note(w);
}

static void
log_news(const struct care *care, enum health_news news)
{
	const struct worker *w = care->worker;

	switch (news) {
	case HEALTH_NOTHING:
		break;
	case HEALTH_WELL:
		worker_log_often(LOG_LEVEL_DEBUG, w, "healthy");
		break;
	case HEALTH_FELL_ILL:
		worker_log_often(LOG_LEVEL_WARNING, w, "unhealthy: %s; new "
		    "connections avoid it", care->words);
		break;
	case HEALTH_RECOVERED:
		worker_log_often(LOG_LEVEL_INFO, w, "healthy again");
		break;
	case HEALTH_CONDEMNED:
		worker_log_often(LOG_LEVEL_WARNING, w, "unhealthy: %s",
		    care->words);
		break;
	}
}

static bool
has_watchdog(const struct care *care)
{
	return conf_of(care)->health == CONF_HEALTH_WATCHDOG;
}

static bool
has_queue(const struct care *care)
{
	return conf_of(care)->health == CONF_HEALTH_QUEUE;
}

/* Of a queue the next look is when somebody comes, or queue_due() says it. */
static void
set_next(struct care *care)
{
	const struct worker *w = care->worker;

	if (has_queue(care))
		return;
	if (care->begun && has_watchdog(care))
		loop_timer_set(loop_of(care), &care->timer,
		    watchdog_ends(&care->watchdog,
			conf_of(care)->health_timeout_ms));
	else if (care->begun)
		loop_timer_set(loop_of(care), &care->timer,
		    health_next(w->crew->name, w->instance,
			conf_of(care)->health_interval_ms,
			care->hurry || w->fsm.state == WORKER_STARTING,
			mono_now()));
}

static void
take(struct care *care, const struct verdict *verdict)
{
	struct worker *w = care->worker;
	enum health_news news = health_take(&care->health, verdict->kind,
	    care->watchdog.gave_up ? 1 : conf_of(care)->health_failures);

	if (verdict->kind == VERDICT_UNKNOWN)
		worker_log_often(LOG_LEVEL_DEBUG, w, "not checked: %s",
		    verdict->words);
	else
		care->took_us = verdict->took_us;
	if (care->health.unwell)
		put_words(care, verdict);
	else
		care->words[0] = '\0';
	note_health(care);
	log_news(care, news);
	if (verdict->kind == VERDICT_GOOD &&
	    w->spec->conf->ready == CONF_READY_HEALTH)
		worker_post(w, WORKER_EV_HEALTHY);
	if (verdict->kind == VERDICT_GOOD)
		care->hurry = false;
	if (news != HEALTH_NOTHING)
		care->all->watch->news(care->all->watch_ctx, w, news,
		    care->words[0] != '\0' ? care->words : NULL);
}

static void
done(void *ctx, const struct verdict *verdict)
{
	struct care *care = ctx;

	care->check = NULL;
	take(care, verdict);
	set_next(care);
}

/* ---- what it says of itself ---- */

/* Before it serves there is ready_timeout. */
static bool
is_late(const struct care *care)
{
	return care->worker->fsm.state == WORKER_READY &&
	    !mono_before(mono_now(), watchdog_ends(&care->watchdog,
		conf_of(care)->health_timeout_ms));
}

/* The timer is not set with every word, but looks at the last one when its time has
   come; and what waits to be heard counts. */
static void
watchdog_due(struct care *care)
{
	struct worker *w = care->worker;
	struct verdict verdict = { .took_us = -1 };

	if (is_late(care) && !loop_budget_left(loop_of(care),
	    &care->all->begins, BEGINS_NS)) {
		loop_timer_set(loop_of(care), &care->timer, mono_now());
		return;
	}
	if (is_late(care))
		notify_read(w);
	if (w->fsm.state != WORKER_READY) {
		watchdog_begin(&care->watchdog, mono_now());
	} else if (is_late(care)) {
		watchdog_late(&care->watchdog, conf_of(care)->health_timeout_ms,
		    mono_now(), &verdict);
		if (notify_fd(w) < 0)
			verdict_say(&verdict, VERDICT_UNKNOWN,
			    "it cannot be heard");
		take(care, &verdict);
	}
	set_next(care);
}

/* From when its program runs on, and not any more when it is to go. */
static bool
is_heeded(const struct worker *w)
{
	return w->spec->conf->health == CONF_HEALTH_WATCHDOG &&
	    (w->fsm.state == WORKER_EXECING || w->fsm.state == WORKER_STARTING ||
	    w->fsm.state == WORKER_READY);
}

void
health_said_alive(struct worker *w)
{
	const struct verdict verdict = { .kind = VERDICT_GOOD, .took_us = -1 };

	if (is_heeded(w) && watchdog_alive(&w->care->watchdog, mono_now()))
		take(w->care, &verdict);
}

void
health_said_trigger(struct worker *w)
{
	struct care *care = w->care;
	struct verdict verdict;

	if (!is_heeded(w)) {
		worker_log_often(LOG_LEVEL_INFO, w, "says WATCHDOG=trigger, "
		    "which counts with health = watchdog, while it serves");
		return;
	}
	if (care->watchdog.gave_up)
		return;
	care->watchdog.gave_up = w->gave_up = true;
	watchdog_late(&care->watchdog, 0, mono_now(), &verdict);
	take(care, &verdict);
	worker_note(w);
	set_next(care);
}

void
health_said_period(struct worker *w, int64_t us)
{
	struct care *care = w->care;

	if (!is_heeded(w))
		return;
	if (watchdog_set(&care->watchdog, us, mono_now()) < 0) {
		worker_log_often(LOG_LEVEL_WARNING, w, "WATCHDOG_USEC=%lld is "
		    "ignored: at least %lld", (long long)us,
		    (long long)WATCHDOG_MIN_US);
		return;
	}
	worker_log_often(LOG_LEVEL_DEBUG, w, "its watchdog is %lldus from now "
	    "on", (long long)us);
	if (w->watchdog_us != us) {
		w->watchdog_us = us;
		worker_note(w);
	}
	set_next(care);
}

/* ---- who waits for it ---- */

static void
queue_due(struct care *care)
{
	int64_t timeout_ms = conf_of(care)->health_timeout_ms;
	struct mono now = mono_now();
	struct verdict verdict = { .took_us = -1 };
	bool waits;

	if (!loop_budget_left(loop_of(care), &care->all->begins, BEGINS_NS)) {
		loop_timer_set(loop_of(care), &care->timer, now);
		return;
	}
	if (queues_look(&care->queues, care->worker, timeout_ms, now, &verdict,
	    &waits) == QUEUES_VERDICT || (!waits && !care->health.known))
		take(care, &verdict);
	if (waits)
		loop_timer_set(loop_of(care), &care->timer, mono_add_ms(now,
		    queue_watch_pause_ms(timeout_ms)));
	else
		queues_heed(care->worker);
}

/* So soon it may be served: then nobody looks. */
static void
client_came(struct care *care)
{
	if (care->begun && has_queue(care) && mono_is_never(care->timer.due))
		loop_timer_set(loop_of(care), &care->timer,
		    mono_add_ms(mono_now(), queue_watch_pause_ms(
			conf_of(care)->health_timeout_ms)));
}

void
health_client_came(void *ctx, const struct lane *lane)
{
	const struct workers *workers = ctx;
	struct worker *w = worker_of_holder(lane->holder);

	if (w != NULL) {
		client_came(w->care);
		return;
	}
	for (struct crew *c = workers->crews; c != NULL; c = c->next)
		for (w = c->workers; w != NULL; w = w->next)
			if (has_queue(w->care) && queues_have(w, lane))
				client_came(w->care);
}

/* ---- the next one ---- */

static void
gone(void *ctx)
{
	struct care *care = ctx;

	care->exec = NULL;
}

static int
begin_exec(struct care *care, struct error *err)
{
	const struct check_exec_events events = {
		.done = done, .gone = gone, .ctx = care,
	};

	if (care->exec != NULL)
		return error_set(err, -EBUSY, "the last check has not ended");
	return check_exec_begin(care->all->checks, care->worker, &events,
	    &care->exec, err);
}

static int
begin(struct care *care, struct error *err)
{
	const struct conf_app *conf = conf_of(care);
	const struct check_terms terms = {
		.path = conf->health_path, .host = conf->health_host,
		.timeout_ms = conf->health_timeout_ms,
	};

	if (conf->health == CONF_HEALTH_EXEC)
		return begin_exec(care, err);
	return check_begin(care->all->checks, care->worker, &terms, done,
	    care, &care->check, err);
}

static void
due(void *ctx)
{
	struct care *care = ctx;
	struct error err = ERROR_INIT;
	struct verdict verdict = { .took_us = 0 };

	if (care->check != NULL || !care->begun)
		return;
	if (has_watchdog(care)) {
		watchdog_due(care);
		return;
	}
	if (has_queue(care)) {
		queue_due(care);
		return;
	}
	if (!loop_budget_left(loop_of(care), &care->all->begins, BEGINS_NS)) {
		loop_timer_set(loop_of(care), &care->timer, mono_now());
		return;
	}
	if (begin(care, &err) < 0) {
		verdict_say(&verdict, VERDICT_UNKNOWN, "%s", error_text(&err));
		take(care, &verdict);
		set_next(care);
	}
	error_clear(&err);
}

/* ---- whom ---- */

static void
give_up(struct care *care)
{
	check_give_up(care->check);
	check_exec_give_up(care->exec);
	care->check = NULL;
	care->exec = NULL;
}

int
health_join(struct healths *all, struct worker *w)
{
	struct care *care = calloc(1, sizeof(*care));

	if (care == NULL)
		return -ENOMEM;
	care->all = all;
	care->worker = w;
	care->took_us = -1;
	if (loop_timer_init(w->crew->all->loop, &care->timer, due, care) < 0) {
		free(care);
		return -ENOMEM;
	}
	w->care = care;
	return 0;
}

void
health_leave(struct worker *w)
{
	if (w->care == NULL)
		return;
	give_up(w->care);
	queues_free(&w->care->queues);
	loop_timer_fini(loop_of(w->care), &w->care->timer);
	free(w->care);
	w->care = NULL;
}

void
health_begin(struct worker *w)
{
	struct care *care = w->care;

	if (care->begun || !health_is_checked(w))
		return;
	care->begun = true;
	watchdog_begin(&care->watchdog, mono_now());
	if (has_watchdog(care))
		set_next(care);
	else
		loop_timer_set(loop_of(care), &care->timer, mono_now());
}

void
health_end(struct worker *w)
{
	struct care *care = w->care;

	if (care->begun && has_queue(care))
		queues_heed_no_more(w);
	care->begun = false;
	give_up(care);
	loop_timer_set(loop_of(care), &care->timer, MONO_NEVER);
}

void
health_forget(struct worker *w)
{
	struct care *care = w->care;

	health_end(w);
	care->health = (struct health){ .known = false };
	queues_free(&care->queues);
	/* As its environment will have it, whatever the file says later. */
	w->watchdog_us = has_watchdog(care) ?
	    conf_of(care)->health_timeout_ms * 1000 : 0;
	w->gave_up = false;
	care->watchdog = (struct watchdog){ .own_us = w->watchdog_us };
	care->took_us = -1;
	care->words[0] = '\0';
	note_health(care);
}

void
health_hurry(struct worker *w)
{
	struct care *care = w->care;

	if (!health_is_checked(w) || care->hurry || !care->begun ||
	    (care->health.known && !care->health.unwell))
		return;
	care->hurry = true;
	if (care->check == NULL)
		set_next(care);
}

bool
health_is_doubtful(const struct worker *w)
{
	return health_is_checked(w) && health_in_doubt(&w->care->health);
}

bool
health_is_checked(const struct worker *w)
{
	return w->spec->conf->health != CONF_HEALTH_NONE;
}

const struct health *
health_of(const struct worker *w)
{
	return &w->care->health;
}

int64_t
health_took_us(const struct worker *w)
{
	return w->care->took_us;
}

const char *
health_words(const struct worker *w)
{
	return w->care->words;
}

void
health_take_over(struct worker *w, bool unwell)
{
	struct verdict verdict;
	struct care *care = w->care;

	w->unwell = unwell && health_is_checked(w);
	care->health.unwell = care->health.known = w->unwell;
	care->watchdog.own_us = w->watchdog_us;
	care->watchdog.gave_up = w->gave_up;
	if (!w->gave_up || !has_watchdog(care))
		return;
	watchdog_late(&care->watchdog, 0, mono_now(), &verdict);
	(void)health_take(&care->health, verdict.kind, 1);
	w->unwell = w->stuck = true;
	put_words(care, &verdict);
}
