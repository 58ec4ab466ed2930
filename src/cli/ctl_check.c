#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/error.h"
#include "base/json.h"
#include "cli/ctl_check.h"
#include "cli/ctl_options.h"
#include "cli/ctl_out.h"
#include "cli/ctl_text.h"
#include "core/control/answer.h"
#include "linux/client/client_talk.h"

/* A check itself takes no longer than its time-out. */
#define STALL_MS (CLIENT_STALL_MS + 10 * 60 * 1000)

struct checks {
	const struct ctl_options *options;
	struct ctl_out out;
};

/* ---- a line ---- */

static void
put_json_number(struct strbuf *sb, const struct answer_line *line,
    const char *key)
{
	uint64_t n;

	strbuf_printf(sb, ",\"%s\":", key);
	if (answer_line_number(line, key, &n))
		strbuf_printf(sb, "%llu", (unsigned long long)n);
	else
		strbuf_puts(sb, "null");
}

static void
put_json_text(struct strbuf *sb, const struct answer_line *line,
    const char *key)
{
	const char *value = answer_line_get(line, key);

	strbuf_printf(sb, "\"%s\":", key);
	if (value != NULL)
		json_put_string(sb, value);
	else
		strbuf_puts(sb, "null");
}

static void
put_json(struct strbuf *sb, const struct answer_line *line)
{
	strbuf_putc(sb, '{');
	put_json_text(sb, line, "app");
	put_json_number(sb, line, "instance");
	put_json_number(sb, line, "pid");
	strbuf_putc(sb, ',');
	put_json_text(sb, line, "verdict");
	put_json_number(sb, line, "status");
	put_json_number(sb, line, "took_us");
	strbuf_putc(sb, ',');
	put_json_text(sb, line, "text");
	strbuf_puts(sb, "}\n");
}

static void
put_text(struct strbuf *sb, const struct answer_line *line, const char *key,
    const char *or_else)
{
	const char *value = answer_line_get(line, key);

	ctl_text_put(sb, value != NULL ? value : or_else);
}

/* web.2  200  1.4 ms */
static void
put_words(struct strbuf *sb, const struct answer_line *line)
{
	const char *verdict = answer_line_get(line, "verdict");
	uint64_t us, status;

	put_text(sb, line, "app", "?");
	strbuf_putc(sb, '.');
	put_text(sb, line, "instance", "?");
	strbuf_puts(sb, "  ");
	if (verdict != NULL && strcmp(verdict, "unknown") == 0)
		strbuf_puts(sb, "not asked: ");
	if (answer_line_number(line, "status", &status))
		strbuf_printf(sb, "%llu", (unsigned long long)status);
	else
		put_text(sb, line, "text", "accepted");
	if (answer_line_number(line, "took_us", &us))
		strbuf_printf(sb, "  %llu.%llu ms",
		    (unsigned long long)us / 1000,
		    (unsigned long long)us % 1000 / 100);
	strbuf_putc(sb, '\n');
}

/* ---- all of them ---- */

static int
on_line(void *ctx, const struct answer_line *line)
{
	struct checks *checks = ctx;

	if (line->kind != ANSWER_RECORD || strcmp(line->word, "check") != 0)
		return 0;
	if (checks->options->json)
		put_json(&checks->out.text, line);
	else
		put_words(&checks->out.text, line);
	return ctl_out_check(&checks->out);
}

static int
on_idle(void *ctx)
{
	struct checks *checks = ctx;

	return ctl_out_flush(&checks->out);
}

int
ctl_check(const struct ctl_options *o, struct control_link *client)
{
	struct checks checks = { .options = o, .out = CTL_OUT_INIT };
	const struct client_talk talk = {
		.line = on_line, .idle = on_idle, .ctx = &checks,
		.deadline = MONO_NEVER, .stall_ms = STALL_MS,
	};
	struct error err = ERROR_INIT;
	char *text = NULL;
	int code = client_talk(client, &o->request, &talk, &text, &err);
	int status = 0;

	if (ctl_out_flush(&checks.out) < 0) {
		status = 1;
	} else if (code < 0 && code != -ECANCELED) {
		ctl_text_complain(error_text(&err));
		status = code == -EINVAL ? EX_USAGE : 1;
	}
	free(text);
	error_clear(&err);
	return ctl_out_finish(&checks.out, status);
}
