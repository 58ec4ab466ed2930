/* The command line of clusterctl. */
#ifndef CLI_CTL_OPTIONS_H
#define CLI_CTL_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/control/request.h"
#include "core/status/metrics_label.h"
#include "linux/client/client_find.h"

enum ctl_command {
	CTL_STATUS,
	CTL_RELOAD,
	CTL_UPDATE,
	CTL_RESTART,
	CTL_SCALE,
	CTL_STOP,
	CTL_START,
	CTL_LOGS,
	CTL_METRICS,
	CTL_WAIT,
	CTL_SIGNAL,
	CTL_UPGRADE,
	CTL_EVENTS,
	CTL_IMPORT,
	CTL_CHECK,
	CTL_COMMANDS,

	CTL_HELP,
	CTL_VERSION,
	CTL_APPS,	/* for completion: the names of the apps */
};

struct strbuf;

struct ctl_options {
	enum ctl_command command;
	enum ctl_command help_of;	/* CTL_COMMANDS: of all */
	struct client_where where;	/* -c FILE, -s SOCKET */
	struct request request;	/* what the server is asked first */
	bool json;
	bool watch;
	bool follow;
	bool openmetrics;	/* of metrics */
	int64_t lines;		/* of logs; -1: all */
	int64_t timeout_ms;	/* of wait; -1: none */
	unsigned min;		/* of wait; 0: all */
	const char *import_file;
	const char *output;	/* of import; NULL: standard output */
	struct metrics_labels labels;	/* of metrics */
};

/*
 * Parse. False: a usage error, which was told on stderr. The strings are
 * argv's.
 */
bool ctl_options_parse(int argc, char *argv[],
    struct ctl_options *ret_options);

/* The summary of that command, or of all where it is none. */
void ctl_options_help(enum ctl_command of, struct strbuf *sb);

#endif
