#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "core/web/web_host.h"
#include "web/options.h"

const char options_usage[] =
    "usage: clusterd-web [-c FILE | -s SOCKET] [-l ADDRESS]... [--host NAME]...\n"
    "                    [--agent APP=ADDRESS]... [--user NAME]\n"
    "                    [--token-file FILE]\n"
    "\n"
    "Serve a page with the state of a clusterd, and what other programs ask of it.\n"
    "\n"
    "  -c, --config FILE      the clusterd that runs this configuration\n"
    "  -s, --socket SOCKET    ... or the one with this control socket\n"
    "  -l, --listen ADDRESS   such as 127.0.0.1:9080 or unix:PATH\n"
    "      --agent APP=ADDRESS\n"
    "                         answer HAProxy's agent-check there, of this app\n"
    "      --host NAME        a name that requests may be for, beside addresses\n"
    "      --user NAME        as root: the user that serves (nobody)\n"
    "      --token-file FILE  whoever has the token in it may reload, restart\n"
    "                         and scale\n"
    "  -h, --help             this help\n"
    "  -V, --version          the version\n"
    "\n"
    "With \"web = ADDRESS\" in its configuration clusterd runs it by itself.\n";

static bool
usage_error(const char *what, const char *word)
{
	fprintf(stderr, "clusterd-web: %s%s%s\n"
	    "try 'clusterd-web --help'\n", what, word != NULL ? " " : "",
	    word != NULL ? word : "");
	return false;
}

static bool
check(const struct options *o)
{
	if (o->help || o->version)
		return true;
	if (o->where.config != NULL && o->where.socket != NULL)
		return usage_error("-c and -s name two clusterds", NULL);
	for (size_t i = 0; i < o->hosts.n; i++)
		if (!web_host_name_valid(o->hosts.v[i]))
			return usage_error("that is no name of a host:",
			    o->hosts.v[i]);
	if (o->listens.failed || o->agents.failed || o->hosts.failed)
		return usage_error("out of memory", NULL);
	return true;
}

bool
options_parse(int argc, char *argv[], struct options *ret_options)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "socket", required_argument, NULL, 's' },
		{ "listen", required_argument, NULL, 'l' },
		{ "agent", required_argument, NULL, 'a' },
		{ "host", required_argument, NULL, 'H' },
		{ "user", required_argument, NULL, 'u' },
		{ "token-file", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	struct options o = { .user = NULL };
	int c;

	while ((c = getopt_long(argc, argv, "c:s:l:hV", longs, NULL)) != -1) {
		switch (c) {
		case 'c': o.where.config = optarg; break;
		case 's': o.where.socket = optarg; break;
		case 'l': strlist_add(&o.listens, optarg); break;
		case 'a': strlist_add(&o.agents, optarg); break;
		case 'H': strlist_add(&o.hosts, optarg); break;
		case 'u': o.user = optarg; break;
		case 't': o.token_file = optarg; break;
		case 'h': o.help = true; break;
		case 'V': o.version = true; break;
		default:	/* getopt has said what */
			fputs("try 'clusterd-web --help'\n", stderr);
			return false;
		}
	}
	*ret_options = o;
	if (optind < argc)
		return usage_error("not expected:", argv[optind]);
	return check(&o);
}
