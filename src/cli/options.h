/* The command line of clusterd. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>

enum options_mode {
	OPTIONS_RUN,
	OPTIONS_TEST,		/* -t */
	OPTIONS_DUMP,		/* -T */
	OPTIONS_HELP,
	OPTIONS_VERSION,
	OPTIONS_CHECK_STATE,	/* --check-state, for a keeper, which
				   gives its own options, too */
};

struct options {
	enum options_mode mode;
	const char *config;	/* -c FILE; NULL: an app on the command line */
	const char *port;	/* -p; NULL: none */
	const char *instances;	/* -n; NULL: the default */
	char *const *command;	/* behind --; NULL: none */
	const char *state;	/* of --check-state */
	bool daemon;		/* -d */
	int log_level;		/* enum log_level; -1: the file's */
};

/*
 * Parse. False: a usage error, which was told on stderr. The strings are
 * argv's.
 */
bool options_parse(int argc, char *argv[], struct options *ret_options);

extern const char options_usage[];

#endif
