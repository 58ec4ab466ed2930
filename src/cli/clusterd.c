/* clusterd: options, the configuration, then daemon/supervisor. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/open_trusted.h"
#include "base/str.h"
#include "cli/options.h"
#include "core/conf/conf.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_print.h"
#include "core/conf/conf_source.h"
#include "core/ledger/ledger.h"
#include "core/names/address.h"
#include "core/names/words.h"
#include "daemon/sockets/balancing.h"
#include "daemon/config/conf_again.h"
#include "daemon/config/conf_load.h"
#include "daemon/life/group.h"
#include "daemon/supervisor.h"
#include "daemon/watch/looks.h"
#include "linux/control/control_place.h"
#include "linux/file/place.h"
#include "linux/keeper/background.h"
#include "linux/keeper/keeper.h"
#include "linux/keeper/keeper_clear.h"
#include "linux/keeper/keeper_share.h"
#include "linux/keeper/keeper_state.h"
#include "linux/ledger/ledger_memory.h"
#include "linux/loop/signals.h"
#include "linux/process/cpus.h"
#include "linux/process/looker.h"

static int
out_of_memory(void)
{
	fputs("clusterd: out of memory\n", stderr);
	return 1;
}

/* The app's name: the program's, of the bytes that a name may have. */
static void
name_of_program(const char *program, char name[CONF_NAME_MAX + 1])
{
	const char *slash = strrchr(program, '/');
	size_t n = 0;

	if (slash != NULL)
		program = slash + 1;
	for (; *program != '\0' && n < CONF_NAME_MAX; program++) {
		char c = *program;

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
		    c != '_' && c != '-')
			c = '-';
		if (n > 0 || (c != '-' && c != '_'))
			name[n++] = c;
	}
	name[n] = '\0';
	/* [clusterd] is the supervisor's own section. */
	if (n == 0 || strcmp(name, "clusterd") == 0)
		strcpy(name, "app");
}

/* The options as the entries of a file, so that the same checks see them. */
static int
source_of_options(const struct options *o, struct conf_source *source)
{
	char name[CONF_NAME_MAX + 1];
	struct strbuf command = STRBUF_INIT;
	int code;

	for (char *const *word = o->command; *word != NULL; word++) {
		if (word != o->command)
			strbuf_putc(&command, ' ');
		words_quote(&command, *word);
	}
	if (command.failed)
		return -ENOMEM;
	name_of_program(o->command[0], name);
	code = conf_source_add_section(source, name, 0);
	if (code == 0)
		code = conf_source_add_entry(source, 0, "command",
		    command.text);
	if (code == 0 && o->port != NULL)
		code = conf_source_add_entry(source, 0, "port", o->port);
	if (code == 0 && o->instances != NULL)
		code = conf_source_add_entry(source, 0, "instances",
		    o->instances);
	strbuf_free(&command);
	return code;
}

struct place {		/* owns what a conf_origin points to */
	char *path;
	char *base_dir;
	char *cwd;	/* as the shell has it; NULL: it is not known */
};

/*
 * Relative names are meant as of the start, whatever becomes of the working
 * directory; but through the links that the user has named, as they point when
 * they are followed. False: there is none, or no memory; it was told, to a keeper
 * that asks where it listens.
 */
static bool
find_place(const struct options *o, struct place *place)
{
	char *dir, *slash;

	place->cwd = place_shell_cwd();
	if (o->config == NULL) {
		dir = place_cwd();
	} else {
		place->path = place_absolute(o->config);
		dir = place->path != NULL ? strdup(place->path) : NULL;
	}
	if (dir != NULL && o->config != NULL) {
		slash = strrchr(dir, '/');
		/* The root directory keeps its slash. */
		slash[slash == dir ? 1 : 0] = '\0';
	}
	/* As the paths below it are written. */
	if (dir != NULL)
		place->base_dir = address_path(dir, "/");
	free(dir);
	if (place->base_dir == NULL) {
		fprintf(o->mode == OPTIONS_CHECK_STATE ? stdout : stderr,
		    "clusterd: working directory: %s\n", strerror(errno));
		return false;
	}
	open_trusted_below(place->base_dir);
	return true;
}

static void
print_errors(struct conf_errors *errors)
{
	/* Nobody may look at where the first supervisor began. */
	bool logged = keeper_supervisor() > 0;

	conf_errors_sort(errors);
	for (size_t i = 0; i < errors->n; i++) {
		if (logged)
			log_error("%s", errors->v[i].text);
		else
			fprintf(stderr, "%s\n", errors->v[i].text);
	}
	if (errors->dropped > 0 && logged)
		log_error("and %zu more errors", errors->dropped);
	else if (errors->dropped > 0)
		fprintf(stderr, "and %zu more errors\n", errors->dropped);
}

static void
print_warnings(const struct config *config)
{
	const struct conf_errors *w = &config->warnings;
	struct error err = ERROR_INIT;

	if (config->control_auto && control_place_look(&err) == -ENOENT)
		fprintf(stderr, "warning: started from here there is no "
		    "control socket: %s\n", error_text(&err));
	error_clear(&err);
	for (size_t i = 0; i < w->n; i++)
		fprintf(stderr, "warning: %s\n", w->v[i].text);
	if (w->dropped > 0)
		fprintf(stderr, "and %zu more warnings\n", w->dropped);
}

/* What depends on the machine. */
static void
print_slow_start(const struct config *config)
{
	struct balancing balancing;
	const char *app, *why;

	balancing_init(&balancing);
	app = balancing_no_slow_start(&balancing, config, &why);
	if (app != NULL)
		fprintf(stderr, "warning: %s: slow_start does nothing here: "
		    "least-connections is not possible: %s\n", app, why);
	balancing_fini(&balancing);
}

static void
print_limits(const struct config *config)
{
	struct error err = ERROR_INIT;
	const char *app;

	if (group_could_limit(config, &app, &err) < 0)
		fprintf(stderr, "warning: %s: its limits would not be in force "
		    "if clusterd were started here: %s\n", app,
		    error_text(&err));
	error_clear(&err);
}

static int
dump(const struct config *config)
{
	char *balance = balancing_describe(config);
	const struct conf_here here = {
		.instances = cpus_available(), .balance = balance,
	};
	char *text = conf_print(config, &here);

	free(balance);
	if (text == NULL)
		return out_of_memory();
	fputs(text, stdout);
	free(text);
	return 0;
}

struct run {
	const struct options *options;
	const struct place *place;
	struct ledger *ledger;	/* NULL: there is no keeper */
};

static int
act(const struct options *o, const struct conf_origin *origin,
    const struct run *r, struct config *config)
{
	struct supervisor_setup setup = {
		.origin = origin, .config = config, .log_level = o->log_level,
		.cwd = r->place->cwd, .ledger = r->ledger,
	};
	int status = 0;

	switch (o->mode) {
	case OPTIONS_TEST:
		print_warnings(config);
		print_slow_start(config);
		print_limits(config);
		printf("%s: configuration ok\n", origin->file);
		break;
	case OPTIONS_DUMP:
		status = dump(config);
		break;
	default:
		if (o->daemon && config->log == NULL) {
			fprintf(stderr, "%s: -d needs a log: log = PATH in "
			    "[clusterd]\n", origin->file);
			return EX_CONFIG;
		}
		setup.left = keeper_take_left();
		return supervisor_run(&setup);
	}
	if (fflush(stdout) == EOF || ferror(stdout)) {
		fprintf(stderr, "clusterd: standard output: %s\n",
		    strerror(errno));
		status = 1;
	}
	return status;
}

/* What is in force under the supervisor before, whatever stands in the file by
   now. */
static int
load(const struct run *r, const struct conf_origin *origin,
    struct config **ret_config, struct conf_errors *errors)
{
	int code = r->ledger != NULL ?
	    conf_again_program(origin, r->ledger, ret_config) : 0;

	if (code < 0 || *ret_config != NULL)
		return code;
	return conf_load_wait(origin, ret_config, errors);
}

static int
run(void *ctx)
{
	const struct run *r = ctx;
	const struct options *o = r->options;
	const struct place *place = r->place;
	struct conf_source source = { .sections = NULL };
	const struct conf_origin origin = {
		.file = o->config != NULL ? o->config : "command line",
		.path = place->path,
		.base_dir = place->base_dir,
		.testing = o->mode == OPTIONS_TEST,
		.background = o->daemon,
		.source = o->config == NULL ? &source : NULL,
	};
	struct conf_errors errors = { .file = origin.file };
	struct config *config = NULL;
	int status, code;

	if (o->config == NULL && source_of_options(o, &source) < 0) {
		status = out_of_memory();
	} else if ((code = load(r, &origin, &config, &errors)) < 0) {
		fprintf(stderr, "clusterd: cannot load the configuration: "
		    "%s\n", strerror(-code));
		status = 1;
	} else if (config == NULL) {
		print_errors(&errors);
		status = EX_CONFIG;
	} else {
		conf_errors_free(&errors);
		status = act(o, &origin, r, config);
	}
	conf_errors_free(&errors);
	conf_source_free(&source);
	config_unref(config);
	return status;
}

/* A debugger, such as valgrind(1), may know no process that shares its table of
   descriptors and is no thread. */
static bool
wants_keeper(void)
{
	const char *value = getenv("CLUSTERD_KEEPER");

	return value == NULL || strcmp(value, "no") != 0;
}

/* The place of the words is to be written over. NULL: no memory. */
static char **
copy_words(int argc, char *const *argv)
{
	char **copy = calloc((size_t)argc + 1, sizeof(*copy));

	for (int i = 0; copy != NULL && i < argc; i++) {
		copy[i] = strdup(argv[i]);
		if (copy[i] == NULL)
			return NULL;
	}
	return copy;
}

static void
free_words(char **words)
{
	for (size_t i = 0; words != NULL && words[i] != NULL; i++)
		free(words[i]);
	free(words);
}

static int
await_daemon(pid_t pid, int fd)
{
	struct background_told told;
	int status = background_await(pid, fd, &told);

	if (!told.ready && told.log[0] != '\0')
		fprintf(stderr, "clusterd: it did not come up (exit status %d), "
		    "its log says why: %s\n", status, told.log);
	else if (told.ready && told.failed[0] != '\0')
		fprintf(stderr, "clusterd: start complete, but for what has "
		    "failed so far: %s; its log says why: %s\n", told.failed,
		    told.log);
	return status;
}

/* What an upgrade executes: the path by which we were started, through links that may
   lead elsewhere by then; or else ours. NULL: it is not known. */
static char *
find_binary(const char *argv0)
{
	char path[PATH_MAX];
	ssize_t n;

	if (strchr(argv0, '/') != NULL)
		return place_absolute(argv0);
	n = readlink("/proc/self/exe", path, sizeof(path));
	return n > 0 && (size_t)n < sizeof(path) ? strndup(path, (size_t)n) :
	    NULL;
}

/* Of the program before us, or a new one. */
static int
open_ledger(struct ledger *ledger, int *fd, struct error *err)
{
	if (*fd >= 0)
		return ledger_memory_open(*fd, ledger, err);
	return ledger_memory_new(ledger, fd, err);
}

static int
begin(const struct options *o, const struct place *place, int argc,
    char **argv, int state, int fd)
{
	struct run r = { .options = o, .place = place };
	struct keeper_setup setup = {
		.supervise = run, .ctx = &r, .argc = argc, .argv = argv,
		.ready_fd = -1, .background = o->daemon, .state_fd = state,
	};
	struct error err = ERROR_INIT;
	struct ledger ledger;
	char *binary;
	int status;
	pid_t pid = o->daemon && state < 0 ? background_fork(&setup.ready_fd) : 0;

	if (pid < 0) {
		fprintf(stderr, "clusterd: cannot go to the background: %s\n",
		    strerror(-pid));
		return 1;
	}
	if (pid > 0)
		return await_daemon(pid, setup.ready_fd);
	if (o->mode != OPTIONS_RUN || !(o->daemon || wants_keeper()))
		return run(&r);
	if (open_ledger(&ledger, &fd, &err) == 0)
		setup.ledger = r.ledger = &ledger;
	else
		log_warning("%s: workers and listeners would not outlive a "
		    "supervisor that is killed", error_text(&err));
	error_clear(&err);
	setup.ledger_fd = fd;
	setup.binary = binary = find_binary(argv[0]);
	status = keeper_run(&setup);
	free(binary);
	if (status == KEEPER_NONE) {
		/* Workers die with us. */
		r.ledger = NULL;
		fd_close(&fd);
		return run(&r);
	}
	return status;
}

int
main(int argc, char *argv[])
{
	struct place place = { .path = NULL };
	char **words = copy_words(argc, argv);
	struct options o;
	int status = 1, ledger = -1, state, looks = looker_fd(argc, argv);

	if (looks >= 0)
		_exit(looks_serve(looks));
	fd_hold_standard();
	looker_can_be();
	state = keeper_state_fd(&ledger);
	signals_block_early();
	tzset();
	if (words == NULL)
		return out_of_memory();
	if (!options_parse(argc, words, &o)) {
		free_words(words);
		return EX_USAGE;
	}
	switch (o.mode) {
	case OPTIONS_HELP:
		fputs(options_usage, stdout);
		status = 0;
		break;
	case OPTIONS_VERSION:
		puts("clusterd " CLUSTERD_VERSION);
		status = 0;
		break;
	case OPTIONS_CHECK_STATE:
		if (find_place(&o, &place))
			status = keeper_check_state(o.state,
			    CLUSTERD_VERSION);
		break;
	default:
		if (find_place(&o, &place))
			status = begin(&o, &place, argc, argv, state, ledger);
	}
	free(place.path);
	free(place.cwd);
	free(place.base_dir);
	free_words(words);
	return status;
}
