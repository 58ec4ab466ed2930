/* clusterd-web: options, two halves, and the one that serves. */
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "linux/file/file.h"
#include "linux/loop/loop.h"
#include "web/agents.h"
#include "web/asker.h"
#include "web/broker.h"
#include "web/doors.h"
#include "web/feed.h"
#include "web/halves.h"
#include "web/http.h"
#include "web/options.h"
#include "web/routes.h"
#include "web/sampler.h"
#include "web/serving.h"

#define TOKEN_FILE_MAX	4096

/* What answers are under way has so long, after the stop signal. */
#define STOP_MS		5000
#define LOOK_MS		50

struct web {
	struct loop *loop;
	struct doors doors;
	struct asker asker;
	struct sampler sampler;
	struct feed feed;
	struct serving serving;
	struct http http;
	struct agents agents;
	int signal_fd;
	loop_handle signal_handle;
	struct mono stop;	/* by then, at the latest; MONO_NEVER: not asked */
	struct loop_timer look;
	bool orphaned;
};

static int
fail(struct error *err)
{
	fprintf(stderr, "clusterd-web: %s\n", error_text(err));
	error_clear(err);
	return EXIT_FAILURE;
}

/* ---- the token ---- */

static int
check_token(const char *path, const char *token, struct error *err)
{
	size_t len = strlen(token);
	struct stat st;

	if (stat(path, &st) < 0)
		return error_set(err, -errno, "%s: %s", path, strerror(errno));
	if ((st.st_mode & S_IRWXO) != 0)
		return error_set(err, -EPERM, "%s: everybody may read or write "
		    "the token there: chmod o= makes it private", path);
	if (len < BROKER_TOKEN_MIN || len > BROKER_TOKEN_MAX)
		return error_set(err, -EINVAL, "%s: a token has %d to %d "
		    "characters", path, BROKER_TOKEN_MIN, BROKER_TOKEN_MAX);
	for (const char *c = token; *c != '\0'; c++)
		if (*c <= ' ' || *c >= 0x7f)
			return error_set(err, -EINVAL, "%s: a token is of "
			    "printable ASCII, without blanks, on one line",
			    path);
	return 0;
}

/* NULL with 0: there is none. The caller frees. */
static int
read_token(const char *path, char **ret_token, struct error *err)
{
	char *text;
	size_t len;
	int code;

	*ret_token = NULL;
	if (path == NULL)
		return 0;
	code = file_read(path, TOKEN_FILE_MAX, &text, &len, err);
	if (code < 0)
		return code;
	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
		text[--len] = '\0';
	code = check_token(path, text, err);
	if (code == 0) {
		*ret_token = text;
		return 0;
	}
	explicit_bzero(text, len);
	free(text);
	return code;
}

/* ---- the end ---- */

/* Pages and clients come anew, to whoever serves then. */
static void
begin_to_go(struct web *web)
{
	web->serving.ending = true;
	pages_end(&web->feed.pages);
}

static void
look(void *ctx)
{
	struct web *web = ctx;

	loop_timer_start(web->loop, &web->look, LOOK_MS);
}

static void
begin_stop(struct web *web)
{
	if (!mono_is_never(web->stop))
		return;
	web->stop = mono_add_ms(mono_now(), STOP_MS);
	begin_to_go(web);
	http_close_doors(&web->http);
	agents_close_doors(&web->agents);
	look(web);
}

static void
on_signal(void *ctx, uint32_t events)
{
	struct web *web = ctx;
	struct signalfd_siginfo info;

	(void)events;
	while (read(web->signal_fd, &info, sizeof(info)) ==
	    (ssize_t)sizeof(info))
		if (info.ssi_signo == SIGUSR1)
			begin_to_go(web);
		else
			begin_stop(web);
}

/* Without the other half nothing can be told any more. */
static void
on_orphaned(void *ctx)
{
	struct web *web = ctx;

	web->orphaned = true;
}

static bool
is_over(const struct web *web)
{
	return web->orphaned || (!mono_is_never(web->stop) &&
	    (http_left(&web->http) + agents_left(&web->agents) == 0 ||
	    !mono_before(mono_now(), web->stop)));
}

/* ---- the beginning ---- */

static int
hear_signals(struct web *web)
{
	sigset_t set;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGCHLD, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	web->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (web->signal_fd < 0)
		return -errno;
	return loop_add(web->loop, web->signal_fd, EPOLLIN, false, on_signal,
	    web, &web->signal_handle);
}

static int
build(struct web *web, const struct options *o, int broker_fd, bool actions)
{
	int code = asker_init(&web->asker, web->loop, broker_fd, on_orphaned,
	    web);

	if (code == 0)
		code = hear_signals(web);
	if (code == 0)
		code = loop_timer_init(web->loop, &web->look, look, web);
	if (code == 0)
		code = sampler_init(&web->sampler, web->loop, &web->asker);
	if (code == 0)
		code = feed_init(&web->feed, web->loop, &web->asker,
		    &web->sampler, actions);
	web->serving = (struct serving){
		.loop = web->loop, .asker = &web->asker,
		.sampler = &web->sampler, .feed = &web->feed,
		.hosts = o->hosts.v, .actions = actions,
	};
	routes_init(&web->serving);
	if (code == 0)
		code = http_init(&web->http, web->loop, &routes_events,
		    &web->serving);
	if (code == 0)
		code = agents_init(&web->agents, web->loop, &web->sampler);
	return code;
}

static int
open_doors(struct web *web, struct error *err)
{
	int code = 0;

	for (size_t i = 0; code == 0 && i < web->doors.n; i++)
		code = web->doors.agents[i] != NULL ?
		    agents_add_door(&web->agents, web->doors.fds[i],
		    web->doors.agents[i], err) :
		    http_add_door(&web->http, web->doors.fds[i], err);
	return code;
}

static int
serve(struct web *web, const struct options *o, int broker_fd, bool actions,
    struct error *err)
{
	int code = loop_new(&web->loop, err);

	if (code < 0) {
		fd_close(&broker_fd);
		return code;
	}
	code = build(web, o, broker_fd, actions);
	if (code < 0)
		return error_set(err, code, "%s", strerror(-code));
	code = open_doors(web, err);
	while (code == 0 && !is_over(web))
		loop_turn(web->loop);
	if (code == 0 && web->orphaned)
		code = error_set(err, -EPIPE,
		    "the half that talks to clusterd has ended");
	return code;
}

static void
clean_up(struct web *web)
{
	if (web->loop == NULL)
		return;
	/* MHD ends the process where one is suspended. */
	pages_end(&web->feed.pages);
	routes_cancel(&web->serving);
	http_fini(&web->http);
	agents_fini(&web->agents);
	feed_fini(&web->feed);
	sampler_fini(&web->sampler);
	asker_fini(&web->asker);
	loop_timer_fini(web->loop, &web->look);
	loop_del(web->loop, &web->signal_handle);
	fd_close(&web->signal_fd);
	loop_free(web->loop);
}

static int
run(const struct options *o)
{
	struct web web = { .signal_fd = -1, .stop = MONO_NEVER };
	struct error err = ERROR_INIT;
	char *token;
	int broker_fd = -1;
	int code = read_token(o->token_file, &token, &err);
	bool actions = token != NULL;

	if (code == 0)
		code = doors_open(&web.doors, &o->listens, &o->agents, &err);
	if (code == 0)
		code = halves_start(&o->where, token, &web.doors, &broker_fd,
		    &err);
	if (token != NULL)
		explicit_bzero(token, strlen(token));
	free(token);
	if (code == 0)
		code = halves_drop(o->user != NULL ? o->user : "nobody", &err);
	if (code == 0)
		code = serve(&web, o, broker_fd, actions, &err);
	else
		fd_close(&broker_fd);
	clean_up(&web);
	doors_free(&web.doors);
	if (code == 0)
		return EXIT_SUCCESS;
	return code == -EINVAL ? (void)fail(&err), EX_USAGE : fail(&err);
}

int
main(int argc, char *argv[])
{
	struct options o;
	int status;

	fd_hold_standard();
	if (!options_parse(argc, argv, &o)) {
		status = EX_USAGE;
	} else if (o.help || o.version) {
		fputs(o.help ? options_usage :
		    "clusterd-web " CLUSTERD_VERSION "\n", stdout);
		status = fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	} else {
		status = run(&o);
	}
	strlist_free(&o.listens);
	strlist_free(&o.agents);
	strlist_free(&o.hosts);
	return status;
}
