#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/num.h"
#include "base/str.h"
#include "cli/ctl_options.h"
#include "core/conf/conf.h"
#include "core/conf/conf_value.h"
#include "core/conf/guess.h"

static const char usage[] =
    "usage: clusterctl [-c FILE | -s SOCKET] COMMAND\n"
    "\n"
    "Talks to a running clusterd; with neither option, to the only one.\n"
    "\n"
    "  status [-w] [--json] [APP[:N]]\n"
    "                           what runs; -w, --watch: again every second\n"
    "  reload [APP]             read the configuration again, replace workers; an\n"
    "                           APP that is new in it is added\n"
    "  update                   read it again, replace workers of the apps whose\n"
    "                           section has changed, add and remove apps\n"
    "  restart APP[:N]          replace workers, configuration as it is\n"
    "  scale APP N|+N|-N        so many instances, or so many more or less\n"
    "  stop [APP]               stop an app, or clusterd itself\n"
    "  start APP                start an app that was stopped\n"
    "  logs [-f] [-n N] [--json] [APP[:N]]\n"
    "                           the last lines of the workers' output; -f,\n"
    "                           --follow: and those to come\n"
    "  events [-f] [--json] [APP[:N]]\n"
    "                           what has happened; -f: and what does\n"
    "  check [--json] APP[:N] [/PATH]\n"
    "                           ask each instance now: over HTTP for PATH, or\n"
    "                           whether it accepts a connection\n"
    "  metrics [--openmetrics] [--label NAME=VALUE]...\n"
    "                           for Prometheus, each sample with the labels\n"
    "  wait [-t DURATION] [--min N] [APP]\n"
    "                           until every app is ready, or N instances of each;\n"
    "                           -t, --timeout: for so long at most, also for\n"
    "                           clusterd to start\n"
    "  signal APP[:N] SIGNAL    send a signal to the processes of workers\n"
    "  import FILE [-o OUT]     from PM2's ecosystem file, supervisord's configuration\n"
    "                           or a Procfile to one of ours; -o, --output: into\n"
    "                           a new file; no clusterd is asked\n"
    "  upgrade                  clusterd becomes the program that stands at its path\n"
    "                           by now; workers serve on\n"
    "\n"
    "  -c, --config FILE        the clusterd that runs this configuration\n"
    "  -s, --socket SOCKET      the one with this control socket\n"
    "  -h, --help               print this\n"
    "  -V, --version            print the version\n"
    "\n"
    "Exit status: 0 done, 1 failed, 64 usage, 69 there is no clusterd; of status\n"
    "also 3, not everything is ready.\n";

static const struct {
	const char *name;
	const char *options;	/* letters; j is --json, l --label, m --min,
				   o --output, O --openmetrics */
} commands[CTL_COMMANDS] = {
	[CTL_STATUS] = { "status", "jw" },
	[CTL_RELOAD] = { "reload", "" },
	[CTL_UPDATE] = { "update", "" },
	[CTL_RESTART] = { "restart", "" },
	[CTL_SCALE] = { "scale", "" },
	[CTL_STOP] = { "stop", "" },
	[CTL_START] = { "start", "" },
	[CTL_LOGS] = { "logs", "fjn" },
	[CTL_METRICS] = { "metrics", "lO" },
	[CTL_WAIT] = { "wait", "mt" },
	[CTL_SIGNAL] = { "signal", "" },
	[CTL_UPGRADE] = { "upgrade", "" },
	[CTL_EVENTS] = { "events", "fj" },
	[CTL_IMPORT] = { "import", "o" },
	[CTL_CHECK] = { "check", "j" },
};

/* One word more than any command takes is too many all the same. */
#define WORDS_MAX 4

struct line {			/* the command line, taken apart */
	const char *words[WORDS_MAX];
	size_t n_words;
	char given[8];		/* letters of a command's options */
	const char *lines;
	const char *timeout;
	const char *min;
	const char *labels[METRICS_LABELS_MAX + 1];	/* too many, too */
	size_t n_labels;
};

static bool
usage_error(const char *words)
{
	fprintf(stderr, "clusterctl: %s\ntry 'clusterctl --help'\n", words);
	return false;
}

static void
add_word(struct line *line, const char *word)
{
	if (line->n_words < WORDS_MAX)
		line->words[line->n_words++] = word;
}

static void
add_label(struct line *line, const char *label)
{
	if (line->n_labels <= METRICS_LABELS_MAX)
		line->labels[line->n_labels++] = label;
}

/* -2 is an argument of scale. */
static bool
is_word(const char *arg)
{
	return arg[0] != '-' || arg[1] == '\0' ||
	    (arg[1] >= '0' && arg[1] <= '9');
}

static void
note_option(struct line *line, int c)
{
	size_t n = strlen(line->given);

	if (strchr(line->given, c) == NULL && n + 1 < sizeof(line->given))
		line->given[n] = (char)c;
}

static bool
take_option(int c, struct ctl_options *o, struct line *line)
{
	switch (c) {
	case 'c': o->where.config = optarg; return true;
	case 's': o->where.socket = optarg; return true;
	case 'h': o->command = CTL_HELP; return true;
	case 'V': o->command = CTL_VERSION; return true;
	case 'A': o->command = CTL_APPS; return true;
	case 'j': o->json = true; break;
	case 'w': o->watch = true; break;
	case 'f': o->follow = true; break;
	case 'O': o->openmetrics = true; break;
	case 'o': o->output = optarg; break;
	case 'n': line->lines = optarg; break;
	case 't': line->timeout = optarg; break;
	case 'm': line->min = optarg; break;
	case 'l': add_label(line, optarg); break;
	default:	/* getopt has said what */
		fputs("try 'clusterctl --help'\n", stderr);
		return false;
	}
	note_option(line, c);
	return true;
}

/* Options may stand before and behind the command. */
static bool
take_apart(int argc, char *argv[], struct ctl_options *o, struct line *line)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "socket", required_argument, NULL, 's' },
		{ "json", no_argument, NULL, 'j' },
		{ "watch", no_argument, NULL, 'w' },
		{ "follow", no_argument, NULL, 'f' },
		{ "lines", required_argument, NULL, 'n' },
		{ "timeout", required_argument, NULL, 't' },
		{ "label", required_argument, NULL, 'l' },
		{ "min", required_argument, NULL, 'm' },
		{ "openmetrics", no_argument, NULL, 'O' },
		{ "output", required_argument, NULL, 'o' },
		{ "list-apps", no_argument, NULL, 'A' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};

	while (optind < argc) {
		const char *arg = argv[optind];
		int c;

		if (is_word(arg)) {
			add_word(line, arg);
			optind++;
			continue;
		}
		c = getopt_long(argc, argv, "+c:s:wfn:o:t:hV", longs, NULL);
		if (c == -1) {		/* -- */
			while (optind < argc)
				add_word(line, argv[optind++]);
			break;
		}
		if (!take_option(c, o, line))
			return false;
		if (o->command == CTL_HELP || o->command == CTL_VERSION)
			break;
	}
	return true;
}

/* What other tools call it. */
static const char *
other_name(const char *word)
{
	static const struct {
		const char *name, *ours;
	} others[] = {
		{ "list", "status" }, { "ls", "status" }, { "ps", "status" },
		{ "show", "status" }, { "describe", "status" },
		{ "monit", "status -w" }, { "top", "status -w" },
		{ "tail", "logs -f" }, { "reread", "update" },
		{ "shutdown", "stop" }, { "kill", "signal" },
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (strcmp(word, others[i].name) == 0)
			return others[i].ours;
	return NULL;
}

static enum ctl_command
command_of(const char *word)
{
	size_t i = 0;

	while (i < CTL_COMMANDS && strcmp(word, commands[i].name) != 0)
		i++;
	return (enum ctl_command)i;
}

static bool
find_command(const char *word, enum ctl_command *ret_command)
{
	const char *ours = other_name(word);
	struct strbuf near = STRBUF_INIT;
	struct error err = ERROR_INIT;
	struct guess guess;

	*ret_command = command_of(word);
	if (*ret_command < CTL_COMMANDS)
		return true;
	guess_begin(&guess, word);
	for (size_t i = 0; i < CTL_COMMANDS; i++)
		guess_word(&guess, commands[i].name);
	if (ours != NULL)
		strbuf_printf(&near, ", did you mean %s?", ours);
	else
		guess_put(&guess, &near);
	error_set(&err, -EINVAL, "\"%.64s\" is not a command%s", word,
	    near.text != NULL && !near.failed ? near.text : "");
	usage_error(error_text(&err));
	strbuf_free(&near);
	error_clear(&err);
	return false;
}

/* help [COMMAND], COMMAND --help, and version. */
static bool
is_help(struct ctl_options *o, const struct line *line)
{
	const char *first = line->n_words > 0 ? line->words[0] : "";
	const char *of = first;

	if (o->command == CTL_COMMANDS && strcmp(first, "version") == 0 &&
	    line->n_words == 1)
		o->command = CTL_VERSION;
	if (strcmp(first, "help") == 0) {
		of = line->n_words > 1 ? line->words[1] : "";
		if (o->command == CTL_COMMANDS && line->n_words <= 2)
			o->command = CTL_HELP;
	}
	if (o->command == CTL_HELP)
		o->help_of = command_of(of);
	return o->command == CTL_HELP || o->command == CTL_VERSION;
}

/* The lines of the summary that are about it: what begins with its name, and those
   that go on. NULL: none. */
static const char *
find_lines(const char *name, size_t *ret_len)
{
	const char *line = usage, *end;
	size_t len = strlen(name);

	while (strncmp(line, "  ", 2) != 0 || strncmp(line + 2, name, len) != 0 ||
	    line[2 + len] != ' ') {
		line = strchr(line, '\n');
		if (line == NULL)
			return NULL;
		line++;
	}
	end = strchr(line, '\n') + 1;
	while (strncmp(end, "   ", 3) == 0)
		end = strchr(end, '\n') + 1;
	*ret_len = (size_t)(end - line);
	return line;
}

void
ctl_options_help(enum ctl_command of, struct strbuf *sb)
{
	size_t len;
	const char *lines = of < CTL_COMMANDS ?
	    find_lines(commands[of].name, &len) : NULL;

	if (lines == NULL) {
		strbuf_puts(sb, usage);
		return;
	}
	strbuf_puts(sb, "usage: clusterctl [-c FILE | -s SOCKET] COMMAND\n\n");
	strbuf_add(sb, lines, len);
	strbuf_puts(sb, "\nMore is in clusterctl(1); \"clusterctl --help\" has all "
	    "commands.\n");
}

/* Does the command take the options that were given? */
static bool
check_options(const struct ctl_options *o, const struct line *line)
{
	static const struct {
		char letter;
		const char *words;
	} names[] = {
		{ 'j', "--json is for status, logs, events and check" },
		{ 'w', "--watch is for status" },
		{ 'f', "--follow is for logs and events" },
		{ 'n', "--lines is for logs" },
		{ 't', "--timeout is for wait" },
		{ 'l', "--label is for metrics" },
		{ 'm', "--min is for wait" },
		{ 'O', "--openmetrics is for metrics" },
		{ 'o', "--output is for import" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strchr(line->given, names[i].letter) != NULL &&
		    strchr(commands[o->command].options,
		    names[i].letter) == NULL)
			return usage_error(names[i].words);
	return true;
}

static bool
take_labels(struct ctl_options *o, const struct line *line)
{
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < line->n_labels; i++) {
		if (metrics_label_add(&o->labels, line->labels[i], &err) == 0)
			continue;
		usage_error(error_text(&err));
		error_clear(&err);
		return false;
	}
	return true;
}

static bool
take_values(struct ctl_options *o, const struct line *line)
{
	uint64_t n;

	if (line->lines != NULL) {
		if (!num_parse(line->lines, 0, 1000000000, &n))
			return usage_error("--lines takes a number");
		o->lines = (int64_t)n;
	}
	if (line->timeout != NULL &&
	    !conf_duration_parse(line->timeout, &o->timeout_ms))
		return usage_error("--timeout takes a duration, such as "
		    "500ms, 10s or 5m");
	if (line->min != NULL) {
		if (!num_parse(line->min, 1, CONF_INSTANCES_MAX, &n))
			return usage_error("--min takes a number of instances");
		o->min = (unsigned)n;
	}
	return take_labels(o, line);
}

/* What the server is asked for. */
static bool
take_request(struct ctl_options *o, struct line *line)
{
	struct error err = ERROR_INIT;
	bool metrics = o->command == CTL_METRICS;

	if (o->command == CTL_IMPORT) {
		if (line->n_words != 2)
			return usage_error("usage: import FILE [-o OUT]");
		if (o->where.config != NULL || o->where.socket != NULL)
			return usage_error("import asks no clusterd: without "
			    "-c and -s");
		o->import_file = line->words[1];
		return true;
	}
	if (metrics && line->n_words > 1)
		return usage_error("too many arguments, usage: metrics "
		    "[--openmetrics] [--label NAME=VALUE]...");
	if (metrics)
		line->words[0] = "status";
	if (request_from_words(line->words, line->n_words,
	    &o->request, &err) < 0) {
		usage_error(error_text(&err));
		error_clear(&err);
		return false;
	}
	if (o->follow)
		o->request.verb = o->command == CTL_EVENTS ? REQUEST_WATCH :
		    REQUEST_FOLLOW;
	if (o->min > 0)
		o->request.min = o->min;
	return true;
}

bool
ctl_options_parse(int argc, char *argv[], struct ctl_options *ret_options)
{
	struct ctl_options o = {
		.command = CTL_COMMANDS,
		.request = { .verb = REQUEST_STATUS, .instance = -1 },
		.lines = -1, .timeout_ms = -1,
	};
	struct line line = { .n_words = 0 };

	if (!take_apart(argc, argv, &o, &line))
		return false;
	if (is_help(&o, &line)) {
		*ret_options = o;
		return true;
	}
	if (o.where.config != NULL && o.where.socket != NULL)
		return usage_error("-c and -s both say which clusterd; give "
		    "one of them");
	if (o.command != CTL_APPS) {
		if (line.n_words == 0)
			return usage_error("no command is given");
		if (!find_command(line.words[0], &o.command) ||
		    !check_options(&o, &line) || !take_values(&o, &line) ||
		    !take_request(&o, &line))
			return false;
	}
	*ret_options = o;
	return true;
}
