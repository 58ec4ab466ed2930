#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "core/control/answer.h"
#include "core/control/request.h"
#include "linux/client/client_talk.h"
#include "linux/control/control_link.h"

static struct mono
earlier(struct mono a, struct mono b)
{
	return mono_before(a, b) ? a : b;
}

static struct mono
after(int64_t ms)
{
	return ms > 0 ? mono_add_ms(mono_now(), ms) : MONO_NEVER;
}

/* The next line, as control_link_read(); calls idle before it waits. */
static int
next_line(struct control_link *client, const struct client_talk *talk,
    struct answer_line *line, struct error *err)
{
	struct mono silent = after(talk->stall_ms);
	const struct client_other *other = talk->other;

	for (;;) {
		struct mono until = earlier(talk->deadline, silent);
		int code;

		if (talk->idle != NULL && control_link_idle(client)) {
			if (talk->idle(talk->ctx) != 0)
				return -ECANCELED;
			until = earlier(until, after(talk->wake_ms));
		}
		code = control_link_read(client, until,
		    other != NULL ? other->fd : -1, line, err);
		if (code == -EINTR && other != NULL &&
		    other->fn(other->ctx) != 0)
			return -ECANCELED;
		if (code != -ETIMEDOUT && code != -EINTR)
			return code;
		if (!mono_before(mono_now(), talk->deadline))
			return -ETIMEDOUT;
		if (!mono_before(mono_now(), silent))
			return error_set(err, -ETIME,
			    "clusterd does not answer");
	}
}

static int
refused(const struct answer_line *line, struct error *err)
{
	return error_set(err, strcmp(line->word, "usage") == 0 ? -EINVAL :
	    -EREMOTEIO, "%s", *line->text != '\0' ? line->text : line->word);
}

int
client_talk(struct control_link *client, const struct request *request,
    const struct client_talk *talk, char **ret_text, struct error *err)
{
	struct answer_line line;
	int code = control_link_send(client, request, err);

	*ret_text = NULL;
	if (code < 0)
		return code;
	for (;;) {
		code = next_line(client, talk, &line, err);
		if (code == 0)
			return error_set(err, -ECONNRESET, "clusterd has "
			    "closed the connection before the answer was "
			    "complete");
		if (code < 0)
			return code;
		switch (line.kind) {
		case ANSWER_GREETING:
			return error_set(err, -EPROTO,
			    "what clusterd has sent cannot be understood");
		case ANSWER_OK:
			*ret_text = strdup(line.text);
			return 0;
		case ANSWER_ERROR:
			return refused(&line, err);
		case ANSWER_RECORD:
		case ANSWER_PROGRESS:
			/* Somebody might never stop. */
			if (!mono_before(mono_now(), talk->deadline))
				return -ETIMEDOUT;
			if (talk->line != NULL &&
			    talk->line(talk->ctx, &line) != 0)
				return -ECANCELED;
		}
	}
}
