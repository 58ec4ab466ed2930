#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/json.h"
#include "base/num.h"
#include "core/control/request.h"
#include "core/web/web_host.h"
#include "web/actions.h"
#include "web/broker.h"
#include "web/exchange.h"
#include "web/serving.h"

/* At a time; and how long the answer waits for the end of one. */
#define ACTIONS_MAX	8
#define ACTION_MS	10000

/* A page of another origin could send it, in the name of whoever looks at that. */
static bool
is_same_origin(const struct exchange *e)
{
	const char *origin = exchange_header(e, "Origin");
	const char *site = exchange_header(e, "Sec-Fetch-Site");
	const char *host = exchange_header(e, "Host");

	return (site == NULL || strcmp(site, "same-origin") == 0) &&
	    (origin == NULL || (host != NULL &&
	    web_host_same_origin(origin, host)));
}

static bool
is_json(const struct exchange *e)
{
	static const char json[] = "application/json";
	const char *type = exchange_header(e, "Content-Type");
	size_t len = sizeof(json) - 1;

	return type != NULL && strncasecmp(type, json, len) == 0 &&
	    (type[len] == '\0' || type[len] == ';' || type[len] == ' ');
}

/* NULL: none that can be one. */
static const char *
token_of(const struct exchange *e)
{
	static const char bearer[] = "Bearer ";
	const char *value = exchange_header(e, "Authorization");

	if (value == NULL ||
	    strncasecmp(value, bearer, sizeof(bearer) - 1) != 0)
		return NULL;
	value += sizeof(bearer) - 1;
	value += strspn(value, " ");
	return *value != '\0' && strlen(value) <= BROKER_TOKEN_MAX ? value :
	    NULL;
}

void
action_check(struct exchange *e)
{
	const char *length = exchange_header(e, "Content-Length");
	uint64_t n;

	if (!is_same_origin(e))
		exchange_say(e, MHD_HTTP_FORBIDDEN,
		    "this is asked by a page of another origin");
	else if (token_of(e) == NULL)
		exchange_say(e, MHD_HTTP_UNAUTHORIZED,
		    "the token is missing: Authorization: Bearer TOKEN");
	else if (!is_json(e))
		exchange_say(e, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
		    "the body is to be of type application/json");
	else if (length != NULL && !num_parse(length, 0, WEB_ACTION_MAX, &n))
		exchange_say(e, EXCHANGE_TOO_LARGE,
		    "a body has %d bytes at most", WEB_ACTION_MAX);
}

static void
finish(struct exchange *e, unsigned status, bool ok, const char *words)
{
	strbuf_free(&e->text);
	strbuf_printf(&e->text, "{\"ok\":%s,\"text\":", ok ? "true" : "false");
	json_put_string(&e->text, words);
	strbuf_puts(&e->text, "}\n");
	exchange_finish(e, status, "application/json");
}

static void
on_line(void *ctx, const struct answer_line *line)
{
	(void)ctx;
	(void)line;
}

static void
on_end(void *ctx, int code, const char *words)
{
	struct exchange *e = ctx;

	loop_timer_set(e->serving->loop, &e->timer, MONO_NEVER);
	finish(e, code == 0 ? MHD_HTTP_OK :
	    code == -EACCES ? MHD_HTTP_UNAUTHORIZED :
	    code == -EREMOTEIO ? MHD_HTTP_CONFLICT :
	    MHD_HTTP_SERVICE_UNAVAILABLE, code == 0, words);
}

/* It goes on, whoever waits for it. */
static void
on_late(void *ctx)
{
	struct exchange *e = ctx;

	stream_close(&e->stream);
	finish(e, MHD_HTTP_ACCEPTED, true, "it goes on");
}

void
action_begin(struct exchange *e)
{
	static const struct stream_events events = {
		.line = on_line, .end = on_end,
	};
	struct serving *r = e->serving;
	struct error err = ERROR_INIT;
	struct request request;

	if (web_action_parse(e->body, e->n_body, &request, &err) < 0) {
		finish(e, MHD_HTTP_BAD_REQUEST, false, error_text(&err));
		error_clear(&err);
		return;
	}
	error_clear(&err);
	stream_init(&e->stream, r->asker, &events, e);
	if (r->n_actions == ACTIONS_MAX ||
	    loop_timer_init(r->loop, &e->timer, on_late, e) < 0 ||
	    stream_open(&e->stream, &request, token_of(e)) < 0) {
		finish(e, MHD_HTTP_SERVICE_UNAVAILABLE, false,
		    "too much is asked at a time");
		return;
	}
	e->acts = true;
	r->n_actions++;
	loop_timer_start(r->loop, &e->timer, ACTION_MS);
}
