#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/options.h"

const char options_usage[] =
    "usage: clusterd [-dtT] [-l LEVEL] -c FILE\n"
    "       clusterd [-tT] [-l LEVEL] [-p PORT] [-n INSTANCES] -- "
    "COMMAND [ARG ...]\n"
    "\n"
    "Runs several instances of a server program on the same port.\n"
    "\n"
    "  -c, --config FILE        the configuration, see clusterd.ini(5)\n"
    "  -p, --port PORT          one app without a file: its port\n"
    "  -n, --instances N        ... and how many: auto, a number, a "
    "percentage, or\n"
    "                           a range such as 2..8\n"
    "  -t, --test               check the configuration and exit\n"
    "  -T, --dump               check it, print what is in effect, and exit\n"
    "  -d, --daemon             go to the background once every app is "
    "ready\n"
    "  -l, --log-level LEVEL    debug, info, warning or error\n"
    "  -h, --help               print this\n"
    "  -V, --version            print the version\n"
    "\n"
    "Signals: HUP reloads, TERM stops, TTIN and TTOU scale, USR1 reopens the "
    "log,\nUSR2 upgrades.\n";

static bool
usage_error(const char *what, const char *which)
{
	fprintf(stderr, "clusterd: %s%s%s\n"
	    "try 'clusterd --help'\n", what, which != NULL ? " " : "",
	    which != NULL ? which : "");
	return false;
}

static bool
parse_level(const char *word, int *ret_level)
{
	static const char *const levels[] = {
		[LOG_LEVEL_ERROR] = "error",
		[LOG_LEVEL_WARNING] = "warning",
		[LOG_LEVEL_INFO] = "info",
		[LOG_LEVEL_DEBUG] = "debug",
	};

	for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++)
		if (strcmp(word, levels[i]) == 0) {
			*ret_level = (int)i;
			return true;
		}
	return usage_error("the log level is debug, info, warning or error, "
	    "not", word);
}

/*
 * `clusterd app.ini`: a file of such a name that cannot be executed, or none,
 * is not meant as a program. A bare name is looked up in PATH, where hardly
 * anybody has one; who says that it is a `command` may.
 */
static bool
is_configuration(const char *word, bool command)
{
	static const char *const endings[] = { ".ini", ".conf", ".cfg" };
	const char *dot = strrchr(word, '.');

	for (size_t i = 0; dot != NULL && dot > word &&
	    i < sizeof(endings) / sizeof(*endings); i++)
		if (strcmp(dot, endings[i]) == 0)
			return strchr(word, '/') == NULL ? !command :
			    access(word, X_OK) < 0;
	return false;
}

/* The options must name one source of a configuration, and only one. */
static bool
check(const struct options *o, bool dashes)
{
	if (o->mode >= OPTIONS_HELP)
		return true;
	if (o->config != NULL && (o->port != NULL || o->instances != NULL))
		return usage_error("-p and -n are for an app without a file, "
		    "-c is given too", NULL);
	if (o->config != NULL && o->command != NULL)
		return usage_error("-c FILE has the command in the file; not "
		    "expected:", o->command[0]);
	if (o->daemon && o->mode != OPTIONS_RUN)
		return usage_error("-d is to run in the background, -t and -T "
		    "do not run", NULL);
	if (o->daemon && o->config == NULL)
		return usage_error("-d needs a log: give -c FILE, with log = "
		    "PATH in its [clusterd]", NULL);
	if (o->config == NULL && o->command == NULL)
		return usage_error("there is nothing to run: give -c FILE, or "
		    "-p PORT -- COMMAND", NULL);
	if (o->config == NULL && o->command[1] == NULL &&
	    is_configuration(o->command[0], dashes || o->port != NULL ||
	    o->instances != NULL))
		return usage_error("that is no program; for a configuration: "
		    "-c", o->command[0]);
	return true;
}

bool
options_parse(int argc, char *argv[], struct options *ret_options)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "port", required_argument, NULL, 'p' },
		{ "instances", required_argument, NULL, 'n' },
		{ "test", no_argument, NULL, 't' },
		{ "dump", no_argument, NULL, 'T' },
		{ "daemon", no_argument, NULL, 'd' },
		{ "log-level", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ "check-state", required_argument, NULL, 'S' },
		{ NULL, 0, NULL, 0 },
	};
	struct options o = { .log_level = -1 };
	int c;

	/* '+': the first word that is no option begins the command, whose
	   own options are not ours. */
	while ((c = getopt_long(argc, argv, "+c:p:n:tTdl:hV", longs,
	    NULL)) != -1) {
		switch (c) {
		case 'c': o.config = optarg; break;
		case 'p': o.port = optarg; break;
		case 'n': o.instances = optarg; break;
		case 'd': o.daemon = true; break;
		case 't': o.mode = OPTIONS_TEST; break;
		case 'T': o.mode = OPTIONS_DUMP; break;
		case 'h': o.mode = OPTIONS_HELP; break;
		case 'V': o.mode = OPTIONS_VERSION; break;
		case 'S':
			o.mode = OPTIONS_CHECK_STATE;
			o.state = optarg;
			break;
		case 'l':
			if (!parse_level(optarg, &o.log_level))
				return false;
			break;
		default:	/* getopt has said what */
			fputs("try 'clusterd --help'\n", stderr);
			return false;
		}
		if (o.mode == OPTIONS_HELP || o.mode == OPTIONS_VERSION)
			break;
	}
	if (optind < argc)
		o.command = argv + optind;
	if (!check(&o, strcmp(argv[optind - 1], "--") == 0))
		return false;
	*ret_options = o;
	return true;
}
