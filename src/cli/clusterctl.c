/* clusterctl: options, which clusterd, then the command. */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <sysexits.h>

#include "base/error.h"
#include "base/fd.h"
#include "cli/ctl_check.h"
#include "cli/ctl_events.h"
#include "cli/ctl_import.h"
#include "cli/ctl_logs.h"
#include "cli/ctl_options.h"
#include "cli/ctl_order.h"
#include "cli/ctl_out.h"
#include "cli/ctl_status.h"
#include "cli/ctl_text.h"
#include "cli/ctl_watch.h"
#include "linux/client/client_find.h"
#include "linux/control/control_link.h"

static int
print(const struct ctl_options *o)
{
	struct ctl_out out = CTL_OUT_INIT;

	if (o->command == CTL_HELP)
		ctl_options_help(o->help_of, &out.text);
	else
		strbuf_puts(&out.text, "clusterctl " CLUSTERD_VERSION "\n");
	return ctl_out_finish(&out, 0);
}

static int
run_command(const struct ctl_options *o, struct control_link *client)
{
	switch (o->command) {
	case CTL_STATUS:
		return o->watch ? ctl_watch(o, client) :
		    ctl_status(o, client);
	case CTL_LOGS:
		return ctl_logs(o, client);
	case CTL_EVENTS:
		return ctl_events(o, client);
	case CTL_CHECK:
		return ctl_check(o, client);
	case CTL_METRICS:
		return ctl_metrics(o, client);
	case CTL_APPS:
		return ctl_status_apps(client);
	default:
		return ctl_order(o, client);
	}
}

static int
run(const struct ctl_options *o)
{
	struct control_link client;
	struct error err = ERROR_INIT;
	int code, status;

	if (o->command == CTL_IMPORT)
		return ctl_import(o);
	if (o->command == CTL_WAIT)
		return ctl_wait(o);
	code = client_find(&o->where, MONO_NEVER, &client, &err);
	if (code < 0) {
		ctl_text_complain(error_text(&err));
		status = client_find_status(code);
	} else {
		status = run_command(o, &client);
		control_link_close(&client);
	}
	error_clear(&err);
	return status;
}

int
main(int argc, char *argv[])
{
	struct ctl_options o;

	fd_hold_standard();
	(void)setlocale(LC_CTYPE, "");
	/* Who reads our output and goes is an error of write(2). */
	signal(SIGPIPE, SIG_IGN);
	if (!ctl_options_parse(argc, argv, &o))
		return EX_USAGE;
	if (o.command == CTL_HELP || o.command == CTL_VERSION)
		return print(&o);
	return run(&o);
}
