#include <sys/stat.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/ctl_again.h"
#include "cli/ctl_events.h"
#include "cli/ctl_options.h"
#include "cli/ctl_out.h"
#include "cli/ctl_text.h"
#include "core/control/answer.h"
#include "core/control/event_json.h"
#include "linux/client/client_talk.h"

struct events {
	const struct ctl_options *options;
	struct ctl_out out;
};

/* ---- a line ---- */

/* " key 12", if it is there. */
static void
put_field(struct strbuf *sb, const struct answer_line *line, const char *key,
    const char *before, const char *behind)
{
	const char *value = answer_line_get(line, key);

	if (value == NULL)
		return;
	strbuf_puts(sb, before);
	ctl_text_put(sb, value);
	strbuf_puts(sb, behind);
}

static void
put_words(struct strbuf *sb, const struct answer_line *line)
{
	event_json_put_time(sb, line);
	put_field(sb, line, "app", " ", "");
	put_field(sb, line, "instance", "[", "]");
	put_field(sb, line, "pid", " pid ", "");
	if (answer_line_get(line, "app") != NULL)
		strbuf_putc(sb, ':');
	put_field(sb, line, "event", " ", "");
	put_field(sb, line, "generation", ", generation ", "");
	put_field(sb, line, "wanted", ", ", " wanted");
	put_field(sb, line, "ready_ms", ", after ", "ms");
	put_field(sb, line, "reloaded", ", ", " reloaded");
	put_field(sb, line, "renewed", ", ", " changed without new workers");
	put_field(sb, line, "scaled", ", ", " scaled");
	put_field(sb, line, "added", ", ", " added");
	put_field(sb, line, "removed", ", ", " removed");
	put_field(sb, line, "text", ": ", "");
	put_field(sb, line, "next", "; next: ", "");
	put_field(sb, line, "restart_in_ms", ", starts again in ", "ms");
	strbuf_putc(sb, '\n');
}

/* ---- all of them ---- */

static int
on_line(void *ctx, const struct answer_line *line)
{
	struct events *ev = ctx;
	const char *count;
	struct strbuf sb = STRBUF_INIT;

	if (line->kind != ANSWER_RECORD)
		return 0;
	if (strcmp(line->word, "lost") == 0) {
		count = answer_line_get(line, "count");
		strbuf_printf(&sb, "%s events are missing here, they were "
		    "overwritten before they could be sent",
		    count != NULL ? count : "?");
		if (ctl_out_flush(&ev->out) == 0 && !sb.failed)
			ctl_text_complain(sb.text);
		strbuf_free(&sb);
	} else if (strcmp(line->word, "event") == 0 && ev->options->json) {
		event_json_put(&ev->out.text, line);
		strbuf_putc(&ev->out.text, '\n');
	} else if (strcmp(line->word, "event") == 0) {
		put_words(&ev->out.text, line);
	}
	return ctl_out_check(&ev->out);
}

static int
on_idle(void *ctx)
{
	struct events *ev = ctx;

	return ctl_out_flush(&ev->out);
}

/* Who reads has gone. A pipe says so without being written to. */
static int
on_closed(void *ctx)
{
	struct events *ev = ctx;

	ev->out.code = -EPIPE;
	return -1;
}

static bool
is_pipe(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

/* The next supervisor knows what has happened since it was started. */
static bool
begins_again(struct events *ev, struct control_link *client)
{
	if (!ctl_again(client))
		return false;
	if (ctl_out_flush(&ev->out) == 0)
		ctl_text_complain("clusterd's supervisor was replaced; going on "
		    "with the next one, some events may be missing");
	return true;
}

static int
judge(const struct events *ev, const struct control_link *client, int code,
    const struct error *err)
{
	if (code == -ECONNRESET && ev->options->follow) {
		bool there = ctl_again_is_there(client);

		ctl_text_complain(there ? "clusterd's supervisor has ended, "
		    "and no other one answers: ask again" :
		    "clusterd has stopped, there will be nothing more");
		return there ? 1 : 0;
	}
	if (code == 0 || code == -ECANCELED)
		return 0;
	ctl_text_complain(error_text(err));
	return code == -EINVAL ? EX_USAGE : 1;
}

int
ctl_events(const struct ctl_options *o, struct control_link *client)
{
	struct events ev = { .options = o, .out = CTL_OUT_INIT };
	const struct client_other closed = {
		.fd = STDOUT_FILENO, .fn = on_closed, .ctx = &ev,
	};
	const struct client_talk talk = {
		.line = on_line, .idle = on_idle, .ctx = &ev,
		.deadline = MONO_NEVER,
		.stall_ms = o->follow ? 0 : CLIENT_STALL_MS,
		.other = o->follow && is_pipe(STDOUT_FILENO) ? &closed : NULL,
	};
	struct error err = ERROR_INIT;
	char *text = NULL;
	int code = client_talk(client, &o->request, &talk, &text, &err);
	int status;

	for (int i = 0; code == -ECONNRESET &&
	    (o->follow || i < CTL_AGAIN_MAX) && begins_again(&ev, client);
	    i++) {
		error_clear(&err);
		code = client_talk(client, &o->request, &talk, &text, &err);
	}
	status = ctl_out_flush(&ev.out) < 0 ? 1 :
	    judge(&ev, client, code, &err);
	free(text);
	error_clear(&err);
	return ctl_out_finish(&ev.out, status);
}
