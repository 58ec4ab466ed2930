#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "web/exchange.h"
#include "web/http.h"
#include "web/serving.h"

static const char *const headers[][2] = {
	{ "Content-Security-Policy", "default-src 'none'; script-src 'self'; "
	    "style-src 'self'; img-src 'self'; connect-src 'self'; "
	    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'" },
	{ "X-Content-Type-Options", "nosniff" },
	{ "X-Frame-Options", "DENY" },
	{ "Referrer-Policy", "no-referrer" },
	{ "Cross-Origin-Resource-Policy", "same-origin" },
	{ "Cross-Origin-Opener-Policy", "same-origin" },
	{ "Cache-Control", "no-cache, no-store" },
};

struct exchange *
exchange_new(struct serving *serving, struct MHD_Connection *connection)
{
	struct exchange *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->serving = serving;
	e->connection = connection;
	TAILQ_INSERT_TAIL(&serving->exchanges, e, entry);
	return e;
}

void
exchange_free(struct exchange *e)
{
	TAILQ_REMOVE(&e->serving->exchanges, e, entry);
	sampler_forget(e->serving->sampler, &e->wait);
	if (e->stream.asker != NULL)
		stream_close(&e->stream);
	loop_timer_fini(e->serving->loop, &e->timer);
	e->serving->n_actions -= e->acts;
	if (e->response != NULL)
		MHD_destroy_response(e->response);
	strbuf_free(&e->text);
	free(e);
}

void
exchange_finish(struct exchange *e, unsigned status, const char *type)
{
	e->status = status;
	e->type = type;
	if (e->text.failed) {
		strbuf_free(&e->text);
		strbuf_puts(&e->text, "out of memory\n");
		e->status = MHD_HTTP_SERVICE_UNAVAILABLE;
		e->type = "text/plain; charset=utf-8";
	}
	if (!e->suspended)
		return;
	e->suspended = false;
	http_resume(e->connection);
}

void
exchange_say(struct exchange *e, unsigned status, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	strbuf_free(&e->text);
	strbuf_printf(&e->text, "%s\n", text != NULL ? text : "out of memory");
	free(text);
	exchange_finish(e, status, "text/plain; charset=utf-8");
}

void
exchange_wait(struct exchange *e)
{
	if (e->status != 0)
		return;
	e->suspended = true;
	MHD_suspend_connection(e->connection);
}

static int
queue(struct exchange *e, struct MHD_Response *response)
{
	bool all = MHD_add_response_header(response, "Content-Type",
	    e->type) == MHD_YES;

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		all = all && MHD_add_response_header(response, headers[i][0],
		    headers[i][1]) == MHD_YES;
	if (e->allow != NULL)
		all = all && MHD_add_response_header(response, "Allow",
		    e->allow) == MHD_YES;
	if (e->status == MHD_HTTP_UNAUTHORIZED)
		all = all && MHD_add_response_header(response,
		    "WWW-Authenticate", "Bearer") == MHD_YES;
	if (e->serving->ending || e->closes)
		all = all && MHD_add_response_header(response, "Connection",
		    "close") == MHD_YES;
	return all && MHD_queue_response(e->connection, e->status, response) ==
	    MHD_YES ? 0 : -1;
}

int
exchange_send(struct exchange *e)
{
	struct MHD_Response *response = e->response;
	size_t len = e->text.len;
	char *text;
	int code;

	e->response = NULL;
	if (response == NULL) {
		text = strbuf_take(&e->text);
		if (text == NULL)
			return -1;
		response = MHD_create_response_from_buffer(len, text,
		    MHD_RESPMEM_MUST_FREE);
		if (response == NULL) {
			free(text);
			return -1;
		}
	}
	code = queue(e, response);
	MHD_destroy_response(response);
	return code;
}

const char *
exchange_header(const struct exchange *e, const char *name)
{
	return MHD_lookup_connection_value(e->connection, MHD_HEADER_KIND,
	    name);
}

const char *
exchange_argument(const struct exchange *e, const char *name)
{
	return MHD_lookup_connection_value(e->connection,
	    MHD_GET_ARGUMENT_KIND, name);
}

struct count {
	const char *name;
	unsigned n;
};

static enum MHD_Result
count_one(void *ctx, enum MHD_ValueKind kind, const char *key,
    const char *value)
{
	struct count *count = ctx;

	(void)kind;
	(void)value;
	count->n += strcasecmp(key, count->name) == 0;
	return MHD_YES;
}

unsigned
exchange_count(const struct exchange *e, const char *name)
{
	struct count count = { .name = name };

	(void)MHD_get_connection_values(e->connection, MHD_HEADER_KIND,
	    count_one, &count);
	return count.n;
}
