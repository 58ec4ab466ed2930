#include <sys/syscall.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "cli/ctl_again.h"
#include "cli/ctl_options.h"
#include "cli/ctl_order.h"
#include "cli/ctl_out.h"
#include "cli/ctl_progress.h"
#include "cli/ctl_status.h"
#include "cli/ctl_text.h"
#include "linux/client/client_find.h"
#include "linux/client/client_talk.h"
#include "linux/control/control_link.h"

/* ---- Ctrl-C ---- */

/* What a signal handler may still say. */
static char parting[128];
static size_t parting_len;

static void
interrupted(int signo)
{
	/* SA_RESETHAND: the second time is for real. */
	if (write(STDERR_FILENO, parting, parting_len) < 0)
		signo += 0;
	raise(signo);
}

/* Who interrupts us does not interrupt what clusterd is doing. */
static void
prepare_parting(const struct ctl_options *o, bool live)
{
	struct sigaction action = {
		.sa_handler = interrupted, .sa_flags = SA_RESETHAND,
	};
	static const int signals[] = { SIGINT, SIGTERM };

	snprintf(parting, sizeof(parting), "%sclusterctl: interrupted; "
	    "clusterd goes on with the %s\n", live ? "\r\033[K" : "",
	    request_verb_name(o->request.verb));
	parting_len = strlen(parting);
	for (size_t i = 0; i < 2; i++) {
		struct sigaction old;

		/* nohup and the like: stays ignored. */
		if (sigaction(signals[i], NULL, &old) == 0 &&
		    old.sa_handler != SIG_IGN)
			(void)sigaction(signals[i], &action, NULL);
	}
}

/* ---- the last word ---- */

static int
print_ok(const char *text)
{
	struct ctl_out out = CTL_OUT_INIT;

	if (text != NULL && *text != '\0') {
		ctl_text_put(&out.text, text);
		strbuf_putc(&out.text, '\n');
	}
	return ctl_out_finish(&out, 0);
}

static int
complain(int code, const struct error *err)
{
	ctl_text_complain(error_text(err));
	return code == -EINVAL ? EX_USAGE : 1;
}

/* ---- stopping clusterd ---- */

/* Until the process has gone, or at least its end of the connection. */
static void
wait_for_end(struct control_link *client, int pidfd)
{
	struct pollfd pfd = { .fd = pidfd, .events = POLLIN };
	struct answer_line line;
	int code;

	do
		code = control_link_read(client, MONO_NEVER,
		    pidfd, &line, NULL);
	while (code == 1);
	while (code != -EINTR && pidfd >= 0 && poll(&pfd, 1, -1) < 0 &&
	    errno == EINTR)
		;
}

static int
open_pidfd(const struct control_link *client)
{
	if (client->pid <= 0)
		return -1;
	return (int)syscall(SYS_pidfd_open, client->pid, 0);
}

/* ---- orders ---- */

/* Does it come to the same when it is asked for once more? */
static bool
may_be_repeated(const struct request *r)
{
	return r->verb == REQUEST_WAIT || r->verb == REQUEST_STOP ||
	    r->verb == REQUEST_START || (r->verb == REQUEST_SCALE &&
	    r->scale == REQUEST_SCALE_TO);
}

static int
died_meanwhile(const struct request *r, struct error *err)
{
	error_clear(err);
	if (r->verb == REQUEST_SCALE)
		return error_set(err, -EREMOTEIO, "another supervisor has taken "
		    "over meanwhile, as clusterd was upgraded or the one before "
		    "was killed: \"clusterctl status\" tells whether %s was "
		    "scaled", r->app);
	return error_set(err, -EREMOTEIO, "another supervisor has taken over "
	    "before the %s was complete, as clusterd was upgraded or the one "
	    "before was killed; it has rolled that back, or has not heard of "
	    "it: ask again", request_verb_name(r->verb));
}

/* To the end, whichever supervisor's. */
static int
talk(const struct ctl_options *o, struct control_link *client,
    const struct client_talk *how, char **ret_text, struct error *err)
{
	int code = client_talk(client, &o->request, how, ret_text, err);

	for (int i = 0; code == -ECONNRESET && i < CTL_AGAIN_MAX &&
	    ctl_again(client); i++) {
		if (!may_be_repeated(&o->request))
			return died_meanwhile(&o->request, err);
		error_clear(err);
		code = client_talk(client, &o->request, how, ret_text, err);
	}
	return code;
}

static int
carry_out(const struct ctl_options *o, struct control_link *client,
    struct mono deadline, char **ret_text, struct error *err)
{
	static struct ctl_progress progress;
	const struct client_talk how = {
		.line = ctl_progress_line, .idle = ctl_progress_idle,
		.ctx = &progress, .deadline = deadline,
	};
	int code;

	ctl_progress_begin(&progress);
	if (o->command != CTL_WAIT)
		prepare_parting(o, progress.live);
	code = talk(o, client, &how, ret_text, err);
	ctl_progress_end(&progress, code == 0);
	return code;
}

int
ctl_order(const struct ctl_options *o, struct control_link *client)
{
	bool all = o->command == CTL_STOP && o->request.app[0] == '\0';
	int pidfd = all ? open_pidfd(client) : -1;
	struct error err = ERROR_INIT;
	char *text = NULL;
	int code = carry_out(o, client, MONO_NEVER, &text, &err);
	int status;

	/* Its last word may be that it goes. */
	if (all && (code == 0 || code == -ECONNRESET)) {
		if (code == 0 || pidfd >= 0)
			wait_for_end(client, pidfd);
		if (code < 0)
			text = strdup("clusterd has stopped");
		code = 0;
	}
	status = code == 0 ? print_ok(text) : complain(code, &err);
	fd_close(&pidfd);
	error_clear(&err);
	free(text);
	return status;
}

/* ---- wait ---- */

#define AGAIN_MS	100	/* looks for a clusterd that is starting */
#define LEAST_MS	200	/* even with no time, look once */

static void
tell_late(const struct ctl_options *o)
{
	struct error err = ERROR_INIT;
	struct strbuf sb = STRBUF_INIT, who = STRBUF_INIT;
	int code = ctl_status_not_ready(o, &who, &err);

	strbuf_puts(&sb, "not ready after ");
	status_put_duration(&sb, (uint64_t)o->timeout_ms);
	if (code < 0)
		strbuf_printf(&sb, "; which is not known: %s",
		    error_text(&err));
	else if (who.len > 0)
		strbuf_printf(&sb, ": %s", who.text);
	if (!sb.failed)
		ctl_text_complain(sb.text);
	error_clear(&err);
	strbuf_free(&who);
	strbuf_free(&sb);
}

/* One try: 1, it is worth another one; else 0, and *ret_status. */
static int
wait_once(const struct ctl_options *o, struct mono deadline, int *ret_status)
{
	struct mono least = mono_add_ms(mono_now(), LEAST_MS);
	struct mono until = mono_before(deadline, least) ? least : deadline;
	struct control_link client;
	struct error err = ERROR_INIT;
	bool again = o->timeout_ms >= 0 &&
	    mono_before(mono_now(), deadline);
	char *text = NULL;
	int code = client_find(&o->where, until, &client, &err);

	if (code < 0) {
		again = again && client_find_again(code);
		*ret_status = client_find_status(code);
	} else {
		code = carry_out(o, &client, until, &text, &err);
		again = again && code == -ECONNRESET;
		*ret_status = code == -ECONNRESET ? EX_UNAVAILABLE : 1;
		control_link_close(&client);
	}
	if (code == 0)
		*ret_status = print_ok(text);
	else if (code == -ETIMEDOUT && *ret_status == 1)
		tell_late(o);
	else if (!again)
		ctl_text_complain(error_text(&err));
	error_clear(&err);
	free(text);
	return code < 0 && again;
}

int
ctl_wait(const struct ctl_options *o)
{
	struct mono deadline = o->timeout_ms < 0 ? MONO_NEVER :
	    mono_add_ms(mono_now(), o->timeout_ms);
	int status = 1;

	while (wait_once(o, deadline, &status))
		(void)poll(NULL, 0, AGAIN_MS);
	return status;
}
