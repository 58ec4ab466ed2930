#include <errno.h>

#include "base/error.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "core/names/address.h"
#include "daemon/adopt/adopt.h"
#include "daemon/apps/app_ledger.h"
#include "daemon/apps/apps.h"
#include "daemon/beginning.h"
#include "daemon/config/conf_load.h"
#include "daemon/config/start_list.h"
#include "daemon/life/group.h"
#include "daemon/life/life.h"
#include "daemon/life/life_again.h"
#include "daemon/output/outputs.h"
#include "daemon/sockets/balancing.h"
#include "daemon/sockets/listeners.h"
#include "daemon/stopping.h"
#include "daemon/watch/orphans.h"
#include "linux/keeper/keeper_clear.h"
#include "linux/keeper/keeper_share.h"
#include "linux/process/process.h"

static bool
is_none_of_ours(void *ctx, pid_t pid)
{
	(void)ctx;
	return keeper_is_stranger(pid);
}

int
beginning_look_back(struct beginning *b, struct error *err)
{
	orphans_note_strangers(b->orphans);
	if (keeper_supervisor() > 0)
		process_foster(keeper_pid(), is_none_of_ours, NULL);
	orphans_note_helpers(b->orphans);
	if (listeners_look_back_or_inherit(b->listeners, b->ledger,
	    &b->unusable) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	return 0;
}

/* Nobody comes after its workers. */
static bool
leaves(void *ctx, const char *app)
{
	const struct beginning *b = ctx;

	return b->stops || conf_again_is(&b->again, app, LEDGER_LEAVES);
}

void
beginning_take_over(struct beginning *b)
{
	keeper_has_log(b->config->log);
	b->stops = stopping_look_back(b->stopping, b->ledger);
	life_look_back(b->life, b->ledger, &b->left);
	conf_again_open(&b->again, b->origin, b->ledger, b->config, &b->left);
	outputs_look_back(b->outputs, b->ledger, &b->left);
	listeners_on_leaving(b->listeners, leaves, b);
	listeners_take_over(b->listeners, &b->left);
	/* They were told. */
	if (keeper_supervisor() == 0)
		conf_tell_warnings(b->config, NULL);
	if (b->unusable > 0)
		log_warning("%zu of the descriptors in LISTEN_FDS are no "
		    "sockets that an app can listen on: closed", b->unusable);
}

static void
warn_unused(const struct address *unused)
{
	log_warning("no app listens on %s, which LISTEN_FDS passes: closed",
	    address_text(unused).s);
}

/* What its workers have met meanwhile is heard of first. */
static void
end_look_back(struct beginning *b)
{
	size_t n = life_look_back_end(b->life);

	if (n > 0)
		log_info("%zu worker%s of the supervisor before serve%s on", n,
		    n == 1 ? "" : "s", n == 1 ? "s" : "");
	if (keeper_supervisor() == 0)
		return;
	orphans_sweep_soon(b->orphans);
	keeper_look_again();
}

static int
start_apps(struct beginning *b, struct error *err)
{
	struct start_list list = { .v = NULL };
	int code;

	if (b->stops)
		listeners_keep(b->listeners, b->store);
	code = start_list_make(&list, b->apps, b->config, &b->again, err);

	for (size_t i = 0; code == 0 && i < list.n; i++)
		group_provide_limits(b->life, list.v[i].config, NULL);
	/* By a child, while the kernel looks through programs for us. */
	for (size_t i = 0; code == 0 && i < list.n; i++)
		adopt_check_soon(b->adopt, list.v[i].config);
	for (size_t i = 0; code == 0 && i < list.n; i++)
		code = balancing_check(&b->listeners->balancing,
		    list.v[i].config, err);
	for (size_t i = 0; code == 0 && i < list.n; i++)
		code = adopt_check(b->adopt, list.v[i].config, err);
	if (code == 0) {
		listeners_take_kept(b->listeners, b->config, b->store);
		code = start_list_open(&list, b->apps, err);
	}
	if (code == 0)
		listeners_kept_unused(b->listeners);
	listeners_disinherit(b->listeners, warn_unused);
	listeners_run(b->listeners);
	if (code == 0)
		code = start_list_add(&list, b->apps, err);
	start_list_free(&list);
	if (code == 0)
		end_look_back(b);
	return code;
}

int
beginning_start(struct beginning *b, struct error *err)
{
	int code = start_apps(b, err);

	listeners_on_leaving(b->listeners, NULL, NULL);
	conf_again_close(&b->again);
	if (code == 0) {
		app_ledger_keep(b->apps, b->ledger, b->config);
		outputs_look_back_end(b->outputs);
		listeners_told_kept(b->listeners, b->store);
		listeners_keep(b->listeners, b->store);
		stopping_go_on(b->stopping);
		keeper_has_begun();
	}
	return code;
}
