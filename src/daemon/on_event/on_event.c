#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "core/worker/obituary.h"
#include "daemon/on_event/on_event.h"
#include "daemon/watch/orphans.h"

/* Of a turn; a start is a fork where the command is another user's. */
#define BUDGET_NS	INT64_C(1000000)
#define PAUSE_MS	2

struct on_event_item {
	struct on_event_item *next;
	size_t len;
	char record[];
};

static const char *
name_of(const struct on_event *o, const struct on_event_kind *k)
{
	return event_kind_name((enum event_kind)(k - o->kinds));
}

/* ---- who wait ---- */

static void
drop_one(struct on_event *o, struct on_event_kind *k)
{
	if (k->dropped++ == 0 && !o->ending)
		log_own_often(LOG_LEVEL_WARNING, "on_event: %s: some are "
		    "dropped, they come faster than the command ends",
		    name_of(o, k));
	o->dropped++;
}

static void
tell_dropped(struct on_event *o, struct on_event_kind *k)
{
	if (k->dropped > 0)
		log_own_often(LOG_LEVEL_WARNING, "on_event: %s: %llu %s "
		    "dropped", name_of(o, k), (unsigned long long)k->dropped,
		    k->dropped == 1 ? "was" : "were");
	k->dropped = 0;
}

static struct on_event_item *
take_first(struct on_event_kind *k)
{
	struct on_event_item *item = k->first;

	if (item == NULL)
		return NULL;
	k->first = item->next;
	if (k->first == NULL)
		k->last = &k->first;
	k->bytes -= item->len;
	return item;
}

static void
drop_waiting(struct on_event *o, bool counted)
{
	struct on_event_item *item;

	for (size_t i = 0; i < EVENT_KINDS; i++)
		while ((item = take_first(&o->kinds[i])) != NULL) {
			if (counted)
				drop_one(o, &o->kinds[i]);
			free(item);
		}
}

void
on_event_add(struct on_event *o, enum event_kind kind, const char *record,
    size_t len)
{
	struct on_event_kind *k = &o->kinds[kind];
	struct on_event_item *item;

	if (o->config == NULL || (*o->config)->on_event.n == 0)
		return;
	if (len > 0 && record[len - 1] == '\n')
		len--;
	item = o->ended || k->bytes + len > ON_EVENT_WAITING ? NULL :
	    malloc(sizeof(*item) + len);
	if (item == NULL) {
		drop_one(o, k);
		return;
	}
	item->next = NULL;
	item->len = len;
	memcpy(item->record, record, len);
	*k->last = item;
	k->last = &item->next;
	k->bytes += len;
	o->news = true;
}

/* ---- the turn ---- */

static void
run(struct on_event *o, struct on_event_kind *k)
{
	struct on_event_item *item = take_first(k);
	struct error err = ERROR_INIT;

	o->runs++;
	if (event_run_begin(&k->run, &o->house, *o->config, name_of(o, k),
	    item->record, item->len, &err) < 0) {
		log_own_often(LOG_LEVEL_WARNING, "on_event: %s: %s",
		    name_of(o, k), error_text(&err));
		o->failures++;
	} else {
		orphans_spare(o->orphans, k->run.pid);
	}
	error_clear(&err);
	free(item);
	if (k->first == NULL)
		tell_dropped(o, k);
}

static void
again_due(void *ctx)
{
	struct on_event *o = ctx;

	o->news = true;
}

void
on_event_turn(struct on_event *o)
{
	if (!o->news)
		return;
	o->news = false;
	if ((*o->config)->on_event.n == 0)
		drop_waiting(o, false);
	for (size_t i = 0; i < EVENT_KINDS; i++) {
		struct on_event_kind *k = &o->kinds[i];

		/* What could not be begun has room for the next one. */
		while (k->first != NULL && k->run.pid == 0) {
			if (!loop_budget_left(o->house.loop, &o->budget,
			    BUDGET_NS)) {
				loop_timer_start(o->house.loop, &o->again,
				    PAUSE_MS);
				return;
			}
			run(o, k);
		}
	}
}

bool
on_event_died(struct on_event *o, pid_t pid, struct exit_status status)
{
	for (size_t i = 0; i < EVENT_KINDS; i++) {
		struct on_event_kind *k = &o->kinds[i];

		if (k->run.pid == 0 || k->run.pid != pid)
			continue;
		if (!event_run_died(&k->run, status))
			o->failures++;
		orphans_reaped(o->orphans, pid);
		o->news = true;
		return true;
	}
	return false;
}

/* ---- the end ---- */

static bool
is_busy(const struct on_event *o)
{
	for (size_t i = 0; i < EVENT_KINDS; i++)
		if (o->kinds[i].run.pid != 0 || o->kinds[i].first != NULL)
			return true;
	return false;
}

static void
give_up(struct on_event *o)
{
	drop_waiting(o, true);
	for (size_t i = 0; i < EVENT_KINDS; i++) {
		struct on_event_kind *k = &o->kinds[i];

		tell_dropped(o, k);
		if (k->run.pid == 0)
			continue;
		log_own_often(LOG_LEVEL_WARNING, "on_event: %s: killed, "
		    "clusterd ends", name_of(o, k));
		event_run_kill(&k->run);
		o->failures++;
		event_run_close(&k->run);
	}
	o->ended = true;
}

static void
end_due(void *ctx)
{
	struct on_event *o = ctx;

	if (!o->ended)
		give_up(o);
}

bool
on_event_is_over(struct on_event *o, bool now)
{
	if (o->config == NULL || o->ended)
		return true;
	if (!is_busy(o))
		return true;
	if (now) {
		give_up(o);
		return true;
	}
	if (!o->ending)
		loop_timer_start(o->house.loop, &o->end, ON_EVENT_END_MS);
	o->ending = true;
	return false;
}

int
on_event_init(struct on_event *o, const struct event_run_house *house,
    struct config *const *config, struct orphans *orphans)
{
	int code;

	*o = (struct on_event){ .house = *house, .orphans = orphans };
	for (size_t i = 0; i < EVENT_KINDS; i++)
		o->kinds[i].last = &o->kinds[i].first;
	code = loop_timer_init(house->loop, &o->again, again_due, o);
	if (code == 0)
		code = loop_timer_init(house->loop, &o->end, end_due, o);
	if (code == 0)
		o->config = config;
	return code;
}

void
on_event_fini(struct on_event *o)
{
	/* There was no _init(). */
	if (o->house.loop == NULL)
		return;
	drop_waiting(o, false);
	for (size_t i = 0; i < EVENT_KINDS; i++) {
		if (o->kinds[i].run.pid != 0)
			event_run_kill(&o->kinds[i].run);
		event_run_close(&o->kinds[i].run);
	}
	loop_timer_fini(o->house.loop, &o->again);
	loop_timer_fini(o->house.loop, &o->end);
}
