#include <microhttpd.h>
#include <string.h>

#include "base/num.h"
#include "core/conf/conf.h"
#include "core/conf/conf_schema.h"
#include "core/status/metrics_text.h"
#include "core/status/status_json.h"
#include "core/web/web_accept.h"
#include "core/web/web_host.h"
#include "core/web/web_ready.h"
#include "web/actions.h"
#include "web/assets.h"
#include "web/exchange.h"
#include "web/feed.h"
#include "web/routes.h"
#include "web/serving.h"

struct route {
	const char *path;
	const char *allow;
	void (*check)(struct exchange *e);	/* may finish it; or NULL */
	void (*begin)(struct exchange *e);
};

/* ---- answers ---- */

static void
wait_for_status(struct exchange *e, sampler_fn *fn)
{
	sampler_want(e->serving->sampler, SAMPLER_FRESH, &e->wait, fn, e);
}

static void
no_status(struct exchange *e, const char *words)
{
	exchange_say(e, MHD_HTTP_SERVICE_UNAVAILABLE, "%s", words);
}

static void
put_json(void *ctx, const struct status *status, const char *words)
{
	struct exchange *e = ctx;

	if (status == NULL) {
		no_status(e, words);
		return;
	}
	status_json(&e->text, status);
	exchange_finish(e, MHD_HTTP_OK, "application/json");
}

static void
begin_json(struct exchange *e)
{
	wait_for_status(e, put_json);
}

static void
put_metrics(void *ctx, const struct status *status, const char *words)
{
	struct exchange *e = ctx;

	if (status == NULL) {
		no_status(e, words);
		return;
	}
	metrics_text(&e->text, status, e->format, NULL);
	exchange_finish(e, MHD_HTTP_OK, web_accept_type(e->format));
}

static void
begin_metrics(struct exchange *e)
{
	e->format = web_accept_metrics(exchange_header(e, "Accept"));
	wait_for_status(e, put_metrics);
}

static void
put_live(void *ctx, const struct status *status, const char *words)
{
	if (status == NULL)
		no_status(ctx, words);
	else
		exchange_say(ctx, MHD_HTTP_OK, "clusterd answers");
}

static void
begin_live(struct exchange *e)
{
	wait_for_status(e, put_live);
}

static void
put_ready(void *ctx, const struct status *status, const char *words)
{
	struct exchange *e = ctx;
	enum web_ready ready;

	if (status == NULL) {
		no_status(e, words);
		return;
	}
	ready = web_ready(status, e->app, e->min, &e->text);
	if (ready == WEB_READY_UNKNOWN_APP)
		exchange_say(e, MHD_HTTP_NOT_FOUND, "there is no app \"%s\"",
		    e->app);
	else if (ready == WEB_READY)
		exchange_say(e, MHD_HTTP_OK, "ready");
	else
		exchange_finish(e, MHD_HTTP_SERVICE_UNAVAILABLE,
		    "text/plain; charset=utf-8");
}

static void
begin_ready(struct exchange *e)
{
	const char *min = exchange_argument(e, "min");
	uint64_t n = 1;

	e->app = exchange_argument(e, "app");
	if (e->app != NULL && !conf_name_valid(e->app, strlen(e->app))) {
		exchange_say(e, MHD_HTTP_BAD_REQUEST,
		    "app is the name of an app");
		return;
	}
	if (min != NULL && !num_parse(min, 1, CONF_INSTANCES_MAX, &n)) {
		exchange_say(e, MHD_HTTP_BAD_REQUEST,
		    "min is a number from 1 to %d", CONF_INSTANCES_MAX);
		return;
	}
	e->min = (unsigned)n;
	wait_for_status(e, put_ready);
}

/* A stream of its own for each page; a HEAD has no body. */
static void
begin_events(struct exchange *e)
{
	static const char type[] = "text/event-stream; charset=utf-8";
	const char *logs = exchange_argument(e, "output");
	struct pages *pages = &e->serving->feed->pages;
	const union MHD_ConnectionInfo *info;
	struct page *page;

	if (pages->n >= PAGES_MAX) {
		exchange_say(e, MHD_HTTP_SERVICE_UNAVAILABLE,
		    "%d pages are open, the most there may be", PAGES_MAX);
		return;
	}
	info = MHD_get_connection_info(e->connection,
	    MHD_CONNECTION_INFO_CONNECTION_FD);
	e->response = pages_new(pages, e->connection, logs != NULL &&
	    strcmp(logs, "1") == 0, &page);
	if (info == NULL || e->response == NULL) {
		exchange_say(e, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
		return;
	}
	http_streams(e->connection);
	/* Nobody is to wait for another request behind it. */
	e->closes = true;
	exchange_finish(e, MHD_HTTP_OK, type);
	pages_came(pages, page, e->connection);
}

static void
begin_asset(struct exchange *e, const struct asset *asset)
{
	strbuf_add(&e->text, asset->bytes, asset->len);
	exchange_finish(e, MHD_HTTP_OK, asset->type);
}

/* ---- which ---- */

static const struct route routes[] = {
	{ "/status.json", "GET, HEAD", NULL, begin_json },
	{ "/metrics", "GET, HEAD", NULL, begin_metrics },
	{ "/livez", "GET, HEAD", NULL, begin_live },
	{ "/readyz", "GET, HEAD", NULL, begin_ready },
	{ "/events", "GET, HEAD", NULL, begin_events },
	{ "/action", "POST", action_check, action_begin },
};

/* Its own path is what is left of an asset's exchange. */
static void
begin_nothing(struct exchange *e)
{
	exchange_say(e, MHD_HTTP_NOT_FOUND, "there is nothing here");
}

static const struct route asset_route = {
	NULL, "GET, HEAD", NULL, begin_nothing,
};

static const struct route *
find_route(const struct serving *r, const char *path)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (strcmp(path, routes[i].path) == 0 &&
		    (r->actions || routes[i].check == NULL))
			return &routes[i];
	return &asset_route;
}

static bool
is_allowed(const struct route *route, const char *method)
{
	if (route->check != NULL)
		return strcmp(method, "POST") == 0;
	return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

/* One of HTTP/1.1 has exactly one, a browser's always; a probe of HTTP/1.0 may have
   none. */
static void
check_host(struct exchange *e)
{
	const char *host = exchange_header(e, "Host");

	if (exchange_count(e, "Host") > 1)
		exchange_say(e, MHD_HTTP_BAD_REQUEST, "one Host is enough");
	else if (host != NULL && !web_host_allowed(host, e->serving->hosts))
		exchange_say(e, MHD_HTTP_MISDIRECTED_REQUEST, "this is not "
		    "the name of this server: web_host in clusterd.ini, or "
		    "--host, may say that it is");
}

static void
judge(struct exchange *e, const char *path, const char *method)
{
	const struct asset *asset = asset_find(path);

	e->route = find_route(e->serving, path);
	check_host(e);
	if (e->status == 0 && !is_allowed(e->route, method)) {
		e->allow = e->route->allow;
		exchange_say(e, MHD_HTTP_METHOD_NOT_ALLOWED,
		    "%s is allowed here", e->route->allow);
	}
	if (e->status == 0 && e->route->check != NULL)
		e->route->check(e);
	if (e->status == 0 && e->route == &asset_route && asset != NULL)
		begin_asset(e, asset);
}

static int
take_body(struct exchange *e, const char *bytes, size_t *len)
{
	if (e->status == 0 && e->n_body + *len > sizeof(e->body))
		exchange_say(e, EXCHANGE_TOO_LARGE,
		    "a body has %d bytes at most", WEB_ACTION_MAX);
	else if (e->status == 0)
		memcpy(e->body + e->n_body, bytes, *len);
	e->n_body += *len;
	*len = 0;
	return 0;
}

static bool
has_body(const struct exchange *e, const char *method)
{
	(void)e;
	return strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0;
}

static int
on_request(void *ctx, struct MHD_Connection *connection, const char *path,
    const char *method, const char *upload, size_t *upload_len, void **at)
{
	struct serving *r = ctx;
	struct exchange *e = *at;

	if (e == NULL) {
		e = exchange_new(r, connection);
		if (e == NULL)
			return -1;
		*at = e;
		judge(e, path, method);
		/* Before a body that nobody wants is sent. */
		return e->status != 0 && has_body(e, method) ?
		    exchange_send(e) : 0;
	}
	if (*upload_len > 0)
		return take_body(e, upload, upload_len);
	if (e->status == 0 && !e->begun) {
		e->begun = true;
		e->route->begin(e);
		exchange_wait(e);
	}
	return e->suspended ? 0 : exchange_send(e);
}

static void
on_done(void *ctx, void *at)
{
	(void)ctx;
	exchange_free(at);
}

const struct http_events routes_events = {
	.request = on_request, .done = on_done,
};

void
routes_init(struct serving *r)
{
	TAILQ_INIT(&r->exchanges);
}

void
routes_cancel(struct serving *r)
{
	struct exchange *e;

	r->ending = true;
	TAILQ_FOREACH(e, &r->exchanges, entry)
		if (e->suspended)
			no_status(e, "clusterd-web ends");
}
