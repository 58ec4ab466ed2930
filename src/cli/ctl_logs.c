#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/ctl_again.h"
#include "cli/ctl_log_line.h"
#include "cli/ctl_logs.h"
#include "cli/ctl_options.h"
#include "cli/ctl_out.h"
#include "cli/ctl_status.h"
#include "cli/ctl_tail.h"
#include "cli/ctl_text.h"
#include "core/control/answer.h"
#include "linux/client/client_talk.h"

/* With -f and -n, what was there before has come when nothing more does for a
   while; and some time there must be something to see. */
#define TAIL_QUIET_MS	100
#define TAIL_WAIT_MS	1000

struct logs {
	const struct ctl_options *options;
	struct ctl_log_style style;
	struct client_talk talk;
	struct ctl_out out;
	bool holding;		/* for -n: the tail is not shown yet */
	struct ctl_tail tail;
	struct mono begun;
	struct mono heard;	/* the last line */
	bool any;		/* lines have come */
	bool elsewhere;		/* … and of an app none ever will */
};

static int
show_tail(struct logs *logs)
{
	logs->holding = false;
	logs->talk.wake_ms = 0;
	while (logs->tail.n > 0) {
		struct strbuf line = ctl_tail_take(&logs->tail);

		strbuf_add(&logs->out.text, line.text, line.len);
		strbuf_free(&line);
		if (ctl_out_check(&logs->out) < 0)
			return -1;
	}
	return 0;
}

static int
take_line(struct logs *logs, const struct answer_line *line)
{
	struct strbuf text = STRBUF_INIT;

	logs->any = true;
	if (!logs->holding) {
		ctl_log_line(&logs->out.text, line, &logs->style);
		return ctl_out_check(&logs->out);
	}
	logs->heard = mono_now();
	ctl_log_line(&text, line, &logs->style);
	if (text.failed) {
		strbuf_free(&text);
		return 0;
	}
	return ctl_tail_add(&logs->tail, &text);
}

/* On stderr, at the place in the output where it belongs. */
static int
tell(struct logs *logs, const struct answer_line *line,
    void (*put)(struct strbuf *, const struct answer_line *))
{
	struct strbuf sb = STRBUF_INIT;

	put(&sb, line);
	if (ctl_out_flush(&logs->out) == 0 && !sb.failed)
		ctl_text_complain(sb.text);
	strbuf_free(&sb);
	return logs->out.code;
}

static int
on_line(void *ctx, const struct answer_line *line)
{
	struct logs *logs = ctx;

	if (line->kind != ANSWER_RECORD)
		return 0;
	if (strcmp(line->word, "line") == 0)
		return take_line(logs, line);
	if (strcmp(line->word, "lost") == 0)
		return tell(logs, line, ctl_log_lost);
	if (strcmp(line->word, "elsewhere") != 0)
		return 0;
	/* Half of it is of interest where one app is. */
	if (!ctl_log_all_elsewhere(line) &&
	    logs->options->request.app[0] == '\0')
		return 0;
	logs->elsewhere |= ctl_log_all_elsewhere(line);
	return tell(logs, line, ctl_log_elsewhere);
}

/* Nothing will ever come of the one app that was asked for. */
static bool
in_vain(const struct logs *logs)
{
	return logs->elsewhere && !logs->any &&
	    logs->options->request.app[0] != '\0';
}

static int
on_idle(void *ctx)
{
	struct logs *logs = ctx;
	struct mono now = mono_now();

	if (in_vain(logs))
		return -1;
	if (logs->holding && logs->options->follow &&
	    (mono_ms_between(logs->heard, now) >= TAIL_QUIET_MS ||
	    mono_ms_between(logs->begun, now) >= TAIL_WAIT_MS) &&
	    show_tail(logs) < 0)
		return -1;
	return ctl_out_flush(&logs->out);
}

/* Who reads has gone. A pipe says so without being written to. */
static int
on_closed(void *ctx)
{
	struct logs *logs = ctx;

	logs->out.code = -EPIPE;
	return -1;
}

static bool
is_pipe(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

static int
ask(struct logs *logs, struct control_link *client, struct error *err)
{
	bool follow = logs->options->follow;
	const struct client_other closed = {
		.fd = STDOUT_FILENO, .fn = on_closed, .ctx = logs,
	};
	char *text = NULL;
	int code;

	logs->talk = (struct client_talk){
		.line = on_line, .idle = on_idle, .ctx = logs,
		.deadline = MONO_NEVER,
		.stall_ms = follow ? 0 : CLIENT_STALL_MS,
		.wake_ms = follow && logs->holding ? TAIL_QUIET_MS : 0,
		.other = follow && is_pipe(STDOUT_FILENO) ? &closed : NULL,
	};
	code = client_talk(client, &logs->options->request, &logs->talk, &text,
	    err);
	/* What the next supervisor shows has come since then. */
	for (int i = 0; code == -ECONNRESET && (follow || i < CTL_AGAIN_MAX) &&
	    ctl_again(client); i++) {
		error_clear(err);
		if (ctl_out_flush(&logs->out) == 0)
			ctl_text_complain("clusterd's supervisor was replaced; "
			    "going on with the next one, some lines may be "
			    "missing");
		code = client_talk(client, &logs->options->request, &logs->talk,
		    &text, err);
	}
	free(text);
	if (show_tail(logs) == 0)
		(void)ctl_out_flush(&logs->out);
	return code;
}

/* The exit status after an answer that ended with `code`. */
static int
judge(struct logs *logs, struct control_link *client, int code,
    const struct error *err)
{
	if (code == -ECONNRESET && logs->options->follow) {
		bool there = ctl_again_is_there(client);

		ctl_text_complain(there ? "clusterd's supervisor has ended, "
		    "and no other one answers: ask again" :
		    "clusterd has stopped, there will be nothing more");
		return there ? 1 : 0;
	}
	/* It was told where it goes. */
	if (code == -EREMOTEIO && in_vain(logs))
		return 1;
	if (code < 0 && code != -ECANCELED) {
		ctl_text_complain(error_text(err));
		return code == -EINVAL ? EX_USAGE : 1;
	}
	if (in_vain(logs))
		return 1;
	/* An app may be there that has just not written anything. */
	if (logs->elsewhere && !logs->any &&
	    !ctl_status_has_logs(client)) {
		ctl_text_complain("no output of any app passes through "
		    "clusterd");
		return 1;
	}
	return 0;
}

int
ctl_logs(const struct ctl_options *options, struct control_link *client)
{
	struct logs logs = {
		.options = options,
		.style = {
			.json = options->json,
			.terminal = isatty(STDOUT_FILENO),
			.colour = ctl_text_colour(STDOUT_FILENO),
		},
		.out = CTL_OUT_INIT,
		.holding = options->lines >= 0,
		.tail.max = (uint64_t)options->lines,
		.begun = mono_now(), .heard = mono_now(),
	};
	struct error err = ERROR_INIT;
	int code = ask(&logs, client, &err);
	int status = logs.out.code < 0 ? 1 :
	    judge(&logs, client, code, &err);

	ctl_tail_free(&logs.tail);
	error_clear(&err);
	return ctl_out_finish(&logs.out, status);
}
