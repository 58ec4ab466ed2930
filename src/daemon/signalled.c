#include <signal.h>

#include "base/error.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "daemon/apps/apps.h"
#include "daemon/config/reload.h"
#include "daemon/control/control.h"
#include "daemon/life/reaper.h"
#include "daemon/output/outputs.h"
#include "daemon/signalled.h"
#include "daemon/stopping.h"
#include "linux/keeper/keeper_share.h"

static void
reopen_log(const struct signalled *s)
{
	struct error err = ERROR_INIT;

	if (log_open(s->reloads->config->log, &err) < 0)
		log_error("%s; going on with the old one", error_text(&err));
	else
		log_info("SIGUSR1: log reopened");
	keeper_has_log(s->reloads->config->log);
	error_clear(&err);
	outputs_reopen(s->outputs);
	control_restore(s->control);
}

/* Whoever was told that we stop is not to hear of a reload. */
static void
reload_by_signal(const struct signalled *s)
{
	if (s->apps->stopping)
		return;
	if (s->program->leaving) {
		log_warning("SIGHUP: going down, no reload");
		return;
	}
	log_info("SIGHUP: reloading");
	reload_request(s->reloads, RELOAD_ALL, NULL);
}

/* The keeper logs what comes of it. */
static void
upgrade_by_signal(const struct signalled *s)
{
	int code;

	if (s->apps->stopping || s->program->leaving) {
		log_warning("SIGUSR2: going down, no upgrade");
		return;
	}
	log_info("SIGUSR2: upgrade");
	code = keeper_upgrade(-1);
	if (code < 0)
		log_warning("upgrade: %s", keeper_upgrade_words(code));
}

void
signalled_hear(void *ctx, int signo, int pid, bool hangup)
{
	const struct signalled *s = ctx;

	if (hangup) {
		stopping_hangup(s->stopping);
		return;
	}

	switch (signo) {
	case SIGCHLD:
		reaper_child_died(s->reaper, pid);
		break;
	case SIGTERM:
	case SIGINT:
	case SIGQUIT:
		stopping_signal(s->stopping, signo);
		break;
	case SIGHUP:
		reload_by_signal(s);
		break;
	case SIGUSR1:
		reopen_log(s);
		break;
	case SIGUSR2:
		upgrade_by_signal(s);
		break;
	case SIGTTIN:
		log_info("SIGTTIN: one instance more of each app");
		apps_scale(s->apps, 1);
		break;
	case SIGTTOU:
		log_info("SIGTTOU: one instance less of each app");
		apps_scale(s->apps, -1);
		break;
	}
}

void
signalled_upgrade_failed(void *ctx, const char *words)
{
	const struct signalled *s = ctx;

	control_upgrade_failed(s->control, words);
}
