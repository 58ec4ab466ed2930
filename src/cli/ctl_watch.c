#include <sys/epoll.h>
#include <sys/signalfd.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/mono.h"
#include "cli/ctl_options.h"
#include "cli/ctl_out.h"
#include "cli/ctl_status.h"
#include "cli/ctl_text.h"
#include "cli/ctl_watch.h"
#include "core/status/status.h"
#include "core/status/status_json.h"
#include "core/status/status_table.h"
#include "core/status/status_watch.h"
#include "linux/client/client_find.h"
#include "linux/client/client_talk.h"
#include "linux/control/control_link.h"
#include "linux/file/terminal.h"

#define EVERY_MS	1000
#define SECOND_MS	250	/* after the first frame, which knows no CPU */
#define FIND_MS		500	/* for a clusterd that was lost */

struct watch {
	struct ctl_options options;
	char *socket;		/* its, where the user has not said which one;
				   or NULL */
	struct control_link client;
	bool connected;
	struct status now;		/* the last sample */
	char trouble[160];		/* why there is none; "": there is */
	bool screen;			/* drawn on the terminal */
	struct terminal terminal;
	struct ctl_out out;
	int signals, events;		/* descriptors; -1: no screen */
	int signo;			/* by which it is to end */
	bool over;
};

/* ---- pictures ---- */

/* Returns how many rows there are for it. */
static unsigned
put_picture(struct watch *w, struct strbuf *sb)
{
	struct status_style style = ctl_text_style(STDOUT_FILENO);
	unsigned rows, room;
	struct tm tm;
	time_t t = time(NULL);
	char when[16] = "";

	terminal_size(&rows, &style.width);
	room = rows;
	if (w->trouble[0] != '\0') {
		status_put(sb, w->trouble, style.width, &style);
		strbuf_putc(sb, '\n');
		room -= rows > 4;
	}
	if (localtime_r(&t, &tm) != NULL)
		strftime(when, sizeof(when), "%H:%M:%S", &tm);
	status_watch(sb, &w->now, &style, room, when);
	return rows;
}

/*
 * Each line over the one that stood there, so that nothing flickers. Erased
 * first: behind a full line, the cursor still stands on its last character. A
 * newline in the last row would scroll.
 */
static void
draw(struct watch *w)
{
	struct strbuf picture = STRBUF_INIT;
	unsigned rows = put_picture(w, &picture), n = 0;

	strbuf_puts(&w->out.text, "\033[H");
	for (char *rest = picture.text, *line; !picture.failed && n < rows &&
	    (line = strsep(&rest, "\n")) != NULL; n++)
		strbuf_printf(&w->out.text, "%s\033[K%s", n > 0 ? "\n" : "",
		    line);
	if (n < rows)
		strbuf_puts(&w->out.text, "\n\033[J");
	strbuf_free(&picture);
	w->over = ctl_out_flush(&w->out) < 0 || w->over;
}

static void
print(struct watch *w)
{
	const struct status_style style = ctl_text_style(STDOUT_FILENO);

	if (w->options.json) {
		status_json(&w->out.text, &w->now);
	} else {
		status_table(&w->out.text, &w->now, &style);
		strbuf_putc(&w->out.text, '\n');
	}
	w->over = ctl_out_flush(&w->out) < 0 || w->over;
}

static void
show(struct watch *w)
{
	if (w->screen)
		draw(w);
	else if (w->trouble[0] == '\0')
		print(w);
}

/* ---- what the user does ---- */

static void
suspend(struct watch *w)
{
	terminal_leave(&w->terminal);
	raise(SIGSTOP);
	/* SIGCONT, which now waits in the signalfd, draws again. */
}

static void
on_signal(struct watch *w, int signo)
{
	switch (signo) {
	case SIGTSTP:
		suspend(w);
		break;
	case SIGCONT:
		/* A shell may have set the terminal to its own liking. */
		terminal_leave(&w->terminal);
		terminal_enter(&w->terminal);
		draw(w);
		break;
	case SIGWINCH:
		draw(w);
		break;
	case SIGINT:
		w->over = true;
		break;
	default:
		w->signo = signo;
		w->over = true;
	}
}

/* For client_talk() too: other than 0 ends the answer. */
static int
on_event(void *ctx)
{
	struct watch *w = ctx;
	struct signalfd_siginfo info;
	int key;

	while (!w->over && read(w->signals, &info, sizeof(info)) ==
	    (ssize_t)sizeof(info))
		on_signal(w, (int)info.ssi_signo);
	while (!w->over && (key = terminal_key(&w->terminal)) != 0) {
		if (key == 'q' || key == 'Q')
			w->over = true;
		if (key < 0) {
			/* No keys any more. */
			(void)epoll_ctl(w->events, EPOLL_CTL_DEL,
			    STDIN_FILENO, NULL);
			w->terminal.keys = false;
			break;
		}
	}
	return w->over;
}

static int
open_events(struct watch *w)
{
	static const int signals[] = {
		SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH,
	};
	struct epoll_event event = { .events = EPOLLIN };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&set, signals[i]);
	w->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	w->events = epoll_create1(EPOLL_CLOEXEC);
	if (w->signals < 0 || w->events < 0 ||
	    epoll_ctl(w->events, EPOLL_CTL_ADD, w->signals, &event) < 0)
		return -errno;
	if (isatty(STDIN_FILENO))
		(void)epoll_ctl(w->events, EPOLL_CTL_ADD, STDIN_FILENO,
		    &event);
	return sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? -errno : 0;
}

static void
wait_until(struct watch *w, struct mono due)
{
	while (!w->over) {
		struct pollfd pfd = { .fd = w->events, .events = POLLIN };
		int64_t ms = mono_ms_between(mono_now(), due) + 1;

		if (ms <= 0)
			return;
		if (poll(&pfd, 1, (int)ms) > 0)
			(void)on_event(w);
	}
}

/* ---- samples ---- */

static bool
was_stopping(const struct watch *w)
{
	const char *state = w->now.clusterd.state;

	return state != NULL && (strcmp(state, "stopping") == 0 ||
	    strcmp(state, "going down") == 0);
}

static void
set_trouble(struct watch *w, const struct error *err)
{
	bool first = w->trouble[0] == '\0';
	struct strbuf sb = STRBUF_INIT;

	strbuf_printf(&sb, "trying again: %s", error_text(err));
	strncpy(w->trouble, sb.failed ? "trying again" : sb.text,
	    sizeof(w->trouble) - 1);
	strbuf_free(&sb);
	/* A word at the beginning is enough where words are not drawn over. */
	if (first && !w->screen && !was_stopping(w))
		ctl_text_complain(w->trouble);
}

static void
lose(struct watch *w, const struct error *err)
{
	control_link_close(&w->client);
	w->connected = false;
	set_trouble(w, err);
}

static bool
connect_again(struct watch *w)
{
	struct error err = ERROR_INIT;
	int code;

	if (w->connected)
		return true;
	code = client_find(&w->options.where, mono_add_ms(mono_now(), FIND_MS),
	    &w->client, &err);
	w->connected = code == 0;
	if (code < 0) {
		set_trouble(w, &err);
		/* It said that it would go, and it has gone. */
		w->over = w->over || was_stopping(w);
	}
	error_clear(&err);
	return w->connected;
}

static void
take_sample(struct watch *w)
{
	const struct client_other other = {
		.fd = w->events, .fn = on_event, .ctx = w,
	};
	struct error err = ERROR_INIT;
	struct status status;
	int code;

	if (!connect_again(w))
		return;
	code = ctl_status_sample(&w->client, &w->options.request,
	    w->screen ? &other : NULL, &status, &err);
	/* It gave our place to another client, or is a new one. */
	if (code == -ECONNRESET) {
		lose(w, &err);
		status_free(&status);
		if (!connect_again(w))
			goto out;
		code = ctl_status_sample(&w->client, &w->options.request,
		    w->screen ? &other : NULL, &status, &err);
	}
	if (code == 0) {
		status_measure(&status, &w->now);
		status_free(&w->now);
		w->now = status;
		w->trouble[0] = '\0';
	} else {
		status_free(&status);
		if (code != -ECANCELED)
			lose(w, &err);
	}
out:
	error_clear(&err);
}

/* ---- the command ---- */

static void
run(struct watch *w)
{
	struct mono due = mono_now();
	int64_t step = SECOND_MS;

	while (!w->over) {
		take_sample(w);
		if (w->over)
			break;
		show(w);
		due = mono_add_ms(due, step);
		/* After a pause, not all the frames that were missed. */
		if (mono_before(due, mono_now()))
			due = mono_now();
		step = EVERY_MS;
		wait_until(w, due);
	}
}

/* What is not there now is a slip of who has typed it; what goes away later is
   waited for. */
static bool
is_there(const struct ctl_options *options, struct control_link *client)
{
	struct error err = ERROR_INIT;
	struct status status;
	bool there = true;

	if (options->request.app[0] != '\0' &&
	    ctl_status_sample(client, &options->request, NULL, &status,
		&err) < 0) {
		ctl_text_complain(error_text(&err));
		there = false;
	}
	if (options->request.app[0] != '\0')
		status_free(&status);
	error_clear(&err);
	return there;
}

/* It was the only one: another, of which there may be one when it has gone, is
   not what is watched. */
static void
stay_with(struct watch *w)
{
	if (w->options.where.socket != NULL ||
	    w->options.where.config != NULL)
		return;
	w->socket = strdup(w->client.path);
	w->options.where.socket = w->socket;
}

int
ctl_watch(const struct ctl_options *options, struct control_link *client)
{
	struct watch w = {
		.options = *options, .client = *client, .connected = true,
		.now = STATUS_INIT, .out = CTL_OUT_INIT,
		.screen = !options->json && ctl_text_terminal(STDOUT_FILENO),
		.signals = -1, .events = -1,
	};

	if (!is_there(options, client))
		return 1;
	*client = (struct control_link)CONTROL_LINK_INIT;
	stay_with(&w);
	if (w.screen && open_events(&w) < 0)
		w.screen = false;
	if (w.screen)
		terminal_enter(&w.terminal);
	run(&w);
	terminal_leave(&w.terminal);
	if (was_stopping(&w) && !w.connected)
		ctl_text_complain("clusterd has stopped");
	control_link_close(&w.client);
	status_free(&w.now);
	free(w.socket);
	fd_close(&w.signals);
	fd_close(&w.events);
	if (w.signo != 0) {
		sigset_t set;

		/* Who waits for us is to see the signal. */
		sigemptyset(&set);
		sigaddset(&set, w.signo);
		signal(w.signo, SIG_DFL);
		sigprocmask(SIG_UNBLOCK, &set, NULL);
		raise(w.signo);
	}
	return ctl_out_finish(&w.out, 0);
}
