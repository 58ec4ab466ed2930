#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/ctl_again.h"
#include "cli/ctl_options.h"
#include "cli/ctl_out.h"
#include "cli/ctl_status.h"
#include "cli/ctl_text.h"
#include "core/conf/conf_schema.h"
#include "core/control/answer.h"
#include "core/control/request.h"
#include "core/status/metrics_text.h"
#include "core/status/status.h"
#include "core/status/status_json.h"
#include "core/status/status_table.h"
#include "core/status/status_well.h"
#include "linux/client/client_find.h"
#include "linux/client/client_talk.h"
#include "linux/control/control_link.h"

#define BETWEEN_MS	200	/* two samples, to measure CPU time */

/* Of an answer in all: records beyond make no difference any more. */
#define ANSWER_MS	60000

#define NOT_READY_MAX	10	/* instances are named */

/* ---- samples ---- */

struct sample {
	struct status *status;
	bool no_memory;
};

static int
add(void *ctx, const struct answer_line *line)
{
	struct sample *sample = ctx;

	sample->no_memory = line->kind == ANSWER_RECORD &&
	    status_add(sample->status, line) < 0;
	return sample->no_memory;
}

static int
sample_once(struct control_link *client, const struct request *request,
    const struct client_other *other, struct status *ret_status,
    struct error *err)
{
	static const struct request all = {
		.verb = REQUEST_STATUS, .instance = -1,
	};
	struct sample sample = { .status = ret_status };
	const struct client_talk talk = {
		.line = add, .ctx = &sample, .other = other,
		.stall_ms = CLIENT_STALL_MS,
		.deadline = mono_add_ms(mono_now(), ANSWER_MS),
	};
	char *text = NULL;
	int code;

	*ret_status = (struct status)STATUS_INIT;
	code = client_talk(client, request != NULL ? request : &all, &talk,
	    &text, err);
	free(text);
	if (sample.no_memory)
		return error_set(err, -ENOMEM, "out of memory");
	if (code == -ETIMEDOUT)
		return error_set(err, -ETIME, "clusterd's answer has no end");
	return code;
}

int
ctl_status_sample(struct control_link *client, const struct request *request,
    const struct client_other *other, struct status *ret_status,
    struct error *err)
{
	int code = sample_once(client, request, other, ret_status, err);

	for (int i = 0; code == -ECONNRESET && i < CTL_AGAIN_MAX &&
	    ctl_again(client); i++) {
		status_free(ret_status);
		error_clear(err);
		code = sample_once(client, request, other, ret_status, err);
	}
	return code;
}

/* Two samples, so that CPU is that of this moment. */
static int
measure(struct control_link *client, const struct request *request,
    struct status *ret_status, struct error *err)
{
	struct status before;
	int code = ctl_status_sample(client, request, NULL, &before, err);

	*ret_status = (struct status)STATUS_INIT;
	if (code == 0) {
		(void)poll(NULL, 0, BETWEEN_MS);
		code = ctl_status_sample(client, request, NULL, ret_status,
		    err);
	}
	if (code == 0)
		status_measure(ret_status, &before);
	status_free(&before);
	return code;
}

static int
complain(int code, struct error *err)
{
	ctl_text_complain(error_text(err));
	error_clear(err);
	return code == -EINVAL ? EX_USAGE : 1;
}

/* ---- commands ---- */

int
ctl_status(const struct ctl_options *o, struct control_link *client)
{
	const struct status_style style = ctl_text_style(STDOUT_FILENO);
	struct ctl_out out = CTL_OUT_INIT;
	struct error err = ERROR_INIT;
	struct status status;
	int code = measure(client, &o->request, &status, &err);
	int result = code < 0 ? complain(code, &err) :
	    status_is_well(&status, o->request.instance >= 0) ? 0 :
	    CTL_NOT_WELL;

	if (code == 0 && o->json)
		status_json(&out.text, &status);
	else if (code == 0)
		status_table(&out.text, &status, &style);
	status_free(&status);
	return ctl_out_finish(&out, result);
}

int
ctl_metrics(const struct ctl_options *o, struct control_link *client)
{
	struct ctl_out out = CTL_OUT_INIT;
	struct error err = ERROR_INIT;
	struct status status;
	int code = ctl_status_sample(client, NULL, NULL, &status, &err);

	if (code == 0)
		metrics_text(&out.text, &status, o->openmetrics ?
		    METRICS_OPENMETRICS : METRICS_CLASSIC, &o->labels);
	status_free(&status);
	return ctl_out_finish(&out, code < 0 ? complain(code, &err) : 0);
}

int
ctl_status_apps(struct control_link *client)
{
	struct ctl_out out = CTL_OUT_INIT;
	struct error err = ERROR_INIT;
	struct status status;
	int code = ctl_status_sample(client, NULL, NULL, &status, &err);

	/* A shell gets to see them: names and nothing else. */
	for (size_t i = 0; code == 0 && i < status.n_apps; i++) {
		const char *name = status.apps[i].name;

		if (conf_name_valid(name, strlen(name)))
			strbuf_printf(&out.text, "%s\n", name);
	}
	status_free(&status);
	return ctl_out_finish(&out, code < 0 ? complain(code, &err) : 0);
}

/* ---- questions ---- */

static bool
passes_through(const char *to)
{
	return to == NULL || (strcmp(to, "inherit") != 0 &&
	    strcmp(to, "null") != 0);
}

bool
ctl_status_has_logs(struct control_link *client)
{
	struct error err = ERROR_INIT;
	struct status status;
	bool has = ctl_status_sample(client, NULL, NULL, &status, &err) < 0;

	for (size_t i = 0; i < status.n_apps; i++)
		has = has || passes_through(status.apps[i].stdout_to) ||
		    passes_through(status.apps[i].stderr_to);
	status_free(&status);
	error_clear(&err);
	return has;
}

static void
put_not_ready(struct strbuf *sb, const struct status_app *app,
    const struct status_instance *instance)
{
	struct strbuf text = STRBUF_INIT;

	strbuf_printf(&text, "%s%s[%llu]", sb->len > 0 ? ", " : "", app->name,
	    (unsigned long long)instance->instance);
	if (instance->state != NULL)
		strbuf_printf(&text, " %s", instance->state);
	if (instance->pid != STATUS_UNKNOWN)
		strbuf_printf(&text, " (pid %llu)",
		    (unsigned long long)instance->pid);
	else if (instance->death != NULL)
		strbuf_printf(&text, " (%s)", instance->death);
	if (!text.failed)
		strbuf_add(sb, text.text, text.len);
	strbuf_free(&text);
}

static void
list_not_ready(struct strbuf *sb, const struct status *status)
{
	size_t n = 0;

	for (size_t i = 0; i < status->n_apps; i++) {
		const struct status_app *app = &status->apps[i];

		for (size_t k = 0; k < app->n_instances; k++) {
			const struct status_instance *seat =
			    &app->instances[k];

			if (seat->role != STATUS_SEAT ||
			    (seat->state != NULL &&
			    strcmp(seat->state, "ready") == 0))
				continue;
			if (n++ < NOT_READY_MAX)
				put_not_ready(sb, app, seat);
		}
	}
	if (n > NOT_READY_MAX)
		strbuf_printf(sb, ", and %zu more", n - NOT_READY_MAX);
}

int
ctl_status_not_ready(const struct ctl_options *options, struct strbuf *sb,
    struct error *err)
{
	struct request request = {
		.verb = REQUEST_STATUS, .instance = -1,
	};
	struct control_link client;
	struct status status;
	int code = client_find(&options->where, MONO_NEVER, &client, err);

	if (code < 0)
		return code;
	memcpy(request.app, options->request.app, sizeof(request.app));
	code = ctl_status_sample(&client, &request, NULL, &status, err);
	if (code == 0)
		list_not_ready(sb, &status);
	status_free(&status);
	control_link_close(&client);
	return code;
}
