#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "daemon/apps/app.h"
#include "daemon/config/conf_load.h"
#include "daemon/config/reload.h"
#include "daemon/control/control.h"
#include "daemon/control/control_check.h"
#include "daemon/control/control_goal.h"
#include "daemon/control/control_logs.h"
#include "daemon/control/control_order.h"
#include "daemon/control/control_places.h"
#include "daemon/control/control_progress.h"
#include "daemon/control/control_signal.h"
#include "daemon/control/control_status.h"
#include "daemon/control/control_talk.h"
#include "daemon/control/control_watch.h"
#include "linux/control/control_place.h"

static const struct control_verb verbs[REQUEST_VERBS] = {
	[REQUEST_STATUS] = { .more = control_status_more, .quiet = true },
	[REQUEST_RELOAD] = {
		.begin = control_order_reload, .check = control_goal_check,
	},
	[REQUEST_UPDATE] = {
		.begin = control_order_update, .check = control_goal_check,
	},
	[REQUEST_RESTART] = {
		.begin = control_order_restart, .check = control_goal_check,
	},
	[REQUEST_SCALE] = {
		.begin = control_order_scale, .check = control_goal_check,
	},
	[REQUEST_STOP] = {
		.begin = control_order_stop, .check = control_goal_check,
		.last = control_order_stopped,
	},
	[REQUEST_START] = {
		.begin = control_order_start, .check = control_goal_check,
	},
	[REQUEST_LOGS] = {
		.more = control_logs_more, .free = control_logs_free,
		.quiet = true,
	},
	[REQUEST_FOLLOW] = {
		.more = control_logs_more, .free = control_logs_free,
		.last = control_logs_last, .quiet = true,
	},
	[REQUEST_WAIT] = {
		.begin = control_order_wait, .check = control_goal_check,
	},
	[REQUEST_UPGRADE] = { .begin = control_order_upgrade },
	[REQUEST_SIGNAL] = { .begin = control_signal_send },
	[REQUEST_EVENTS] = {
		.begin = control_watch_begin, .more = control_watch_more,
		.quiet = true,
	},
	[REQUEST_WATCH] = {
		.more = control_watch_more, .last = control_watch_last,
		.quiet = true,
	},
	[REQUEST_CHECK] = {
		.begin = control_check_begin, .more = control_check_more,
		.last = control_check_last, .free = control_check_free,
		.quiet = true,
	},
};

static const struct control_door_events door_events = {
	.arrived = control_places_fill,
	.look = control_places_look,
};

void
control_init(struct control *control, const struct control_setup *setup)
{
	control->setup = *setup;
	control_door_init(&control->door, setup->loop, &door_events,
	    &control->clients);
	control_clients_init(&control->clients, &control->setup, verbs,
	    &control->door);
	control_events_init(&control->events);
	control->events.on_event = setup->on_event;
	control->clients.events = &control->events;
}

/* ---- start and end ---- */

/* In the directory; NULL: no memory. */
static char *
join(const char *dir, const char *name)
{
	char *path;

	return name != NULL && asprintf(&path, "%s/%s", dir, name) >= 0 ?
	    path : NULL;
}

/* Where it is to be: NULL with 0 is nowhere. */
static int
choose_path(const struct control_setup *setup, char **ret_path,
    struct error *err)
{
	const struct config *config = setup->reloads->config;
	const char *file = setup->reloads->origin->path;
	char *dir = NULL, *name = NULL;
	int code;

	*ret_path = NULL;
	if (config->control != NULL) {
		*ret_path = strdup(config->control);
		return *ret_path != NULL ? 0 : -ENOMEM;
	}
	if (!config->control_auto)
		return 0;
	code = control_place_make(true, &dir, err);
	if (code < 0)
		return code;
	name = file != NULL ? control_place_name(file) :
	    control_place_name_of_app(config->apps[0].name,
	    setup->program->pid);
	*ret_path = join(dir, name);
	free(name);
	free(dir);
	return *ret_path != NULL ? 0 : -ENOMEM;
}

/* Beside it, for who names the file by where its links lead now. NULL: there is
   no need for another name. */
static char *
choose_second(const struct control_setup *setup, const char *path)
{
	const char *file = setup->reloads->origin->path;
	const char *slash = strrchr(path, '/');
	char *dir, *name, *also;

	if (!setup->reloads->config->control_auto || file == NULL)
		return NULL;
	dir = strndup(path, (size_t)(slash - path));
	name = control_place_name_of_target(file);
	also = dir != NULL ? join(dir, name) : NULL;
	free(dir);
	free(name);
	if (also != NULL && strcmp(also, path) == 0) {
		free(also);
		also = NULL;
	}
	return also;
}

int
control_open(struct control *control, struct error *err)
{
	const struct config *config = control->setup.reloads->config;
	char *path = NULL, *also = NULL;
	int code = choose_path(&control->setup, &path, err);

	if (path != NULL) {
		also = choose_second(&control->setup, path);
		code = control_door_open(&control->door, path, also,
		    config->control_gid, err);
	}
	free(also);
	free(path);
	if (code == 0 || code == -EBUSY || !config->control_auto)
		return code;
	/* Nobody asked for it, so that it is no reason not to start; but who
	   looks for it with clusterctl is told that nobody runs. */
	log_warning("no control socket: %s",
	    err->text != NULL ? err->text : strerror(-code));
	error_clear(err);
	return 0;
}

void
control_restore(struct control *control)
{
	const char *path = control->door.socket.path;
	char *also, *dir = NULL;

	if (path == NULL)
		return;
	/* What is in /run/user/UID is gone since its last session has ended. */
	if (control->setup.reloads->config->control_auto &&
	    control_place_make(true, &dir, NULL) == 0)
		free(dir);
	also = choose_second(&control->setup, path);
	control_door_restore(&control->door, also);
	free(also);
}

static void
say_last_words(struct control_client *c)
{
	if (!c->op.busy)
		return;
	if (c->op.verb->last != NULL)
		c->op.verb->last(c);
	if (c->op.busy)
		control_client_fail(c, "failed", "clusterd has ended");
}

void
control_close(struct control *control)
{
	struct control_client *c;

	/* There was no control_init(). */
	if (control->setup.loop == NULL)
		return;
	while ((c = TAILQ_FIRST(&control->clients.list)) != NULL) {
		say_last_words(c);
		(void)control_client_send(c);
		control_client_free(c);
	}
	control_door_close(&control->door);
	control_events_free(&control->events);
}

/* ---- the turn, and news ---- */

void
control_turn(struct control *control)
{
	struct control_client *c, *next;

	if (control_events_news(&control->events))
		control_watch_came(&control->clients);
	for (c = TAILQ_FIRST(&control->clients.list); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (control_op_is_awaited(&c->op))
			c->op.verb->check(c);
		/* News may have come for it, and the end of its request. */
		if (control_client_unsent(c) > 0 || c->leaving)
			control_talk_flush(c);
	}
}

void
control_worker_stepped(void *ctx, const struct worker *w,
    const struct worker_step *step)
{
	struct control *control = ctx;

	control_progress_stepped(&control->clients, w, step);
	control_events_stepped(&control->events, w, step);
}

void
control_worker_died(void *ctx, const struct worker *w,
    const struct worker_step *step, const char *words)
{
	struct control *control = ctx;

	control_progress_ended(&control->clients, w, step, words);
	control_goal_ended(&control->clients, w, step, words);
	control_events_died(&control->events, w, step, words);
}

void
control_worker_health(void *ctx, const struct worker *w, bool unwell,
    const char *words)
{
	struct control *control = ctx;

	control_events_health(&control->events, w, unwell, words);
}

void
control_app_news(void *ctx, const struct app *app, enum event_kind kind,
    const char *words)
{
	struct control *control = ctx;

	control_events_app(&control->events, app, kind, words);
	apps_touch(control->setup.apps);
}

void
control_reload_refused(void *ctx, const char *words, bool final)
{
	struct control *control = ctx;

	control_goal_refused(&control->clients, words, final);
	if (!final) {
		control_events_error(&control->events, words);
		return;
	}
	control_events_refused(&control->events, NULL, words);
	apps_touch(control->setup.apps);
}

void
control_reload_refused_app(void *ctx, const char *app, const char *words)
{
	struct control *control = ctx;

	control_goal_refused_app(&control->clients, app, words);
	control_events_refused(&control->events, app, words);
	apps_touch(control->setup.apps);
}

void
control_reload_applying(void *ctx)
{
	control_restore(ctx);
}

void
control_reload_applied(void *ctx, const struct reload_result *result)
{
	struct control *control = ctx;

	control_goal_applied(&control->clients, result);
	control_events_applied(&control->events, result);
	apps_touch(control->setup.apps);
}

void
control_upgrade_failed(struct control *control, const char *words)
{
	struct control_client *c;

	TAILQ_FOREACH(c, &control->clients.list, entry)
		if (c->op.busy && c->op.request.verb == REQUEST_UPGRADE) {
			control_client_fail(c, "failed", "upgrade: %s", words);
			control_talk_flush(c);
			/* It may be gone. */
			return;
		}
}

void
control_lines_came(void *ctx)
{
	struct control *control = ctx;

	control_logs_came(&control->clients);
}
