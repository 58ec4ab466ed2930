#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "web/http.h"

/* For a request, from its connection or from the one before; for an answer. */
#define REQUEST_MS	5000
#define ANSWER_MS	60000

/* Where there are HTTP_BUSY_MAX, who has had so long for an answer gives way; and so
   many may be on their way out. */
#define CROWDED_MS	2000
#define LEAVING_MAX	32

/* Who has been silent for so long is between two requests. */
#define CLOSING_MS	300

/* … and that many turns of MHD's are enough for one of ours. */
#define RUNS_MAX	64

/* ---- clients ---- */

static struct http_client *
client_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
	    connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info != NULL ? info->socket_context : NULL;
}

static void
remove_client(struct http_client *c)
{
	struct http *http = c->http;

	if (c->busy) {
		TAILQ_REMOVE(&http->busy, c, entry);
		http->n_busy--;
	} else {
		TAILQ_REMOVE(&http->idle, c, entry);
		http->n_idle--;
	}
}

static void
put_client(struct http_client *c, bool busy)
{
	struct http *http = c->http;

	c->busy = busy;
	c->streams = false;
	c->since = mono_now();
	if (busy) {
		TAILQ_INSERT_TAIL(&http->busy, c, entry);
		http->n_busy++;
	} else {
		TAILQ_INSERT_TAIL(&http->idle, c, entry);
		http->n_idle++;
	}
}

/* MHD sees the end, and closes it. */
static void
throw_out(struct http_client *c)
{
	(void)shutdown(c->fd, SHUT_RDWR);
	/* … also where it waits for room to write, which does not tell it. */
	(void)MHD_set_connection_option(c->connection,
	    MHD_CONNECTION_OPTION_TIMEOUT, 1u);
	/* Not once more. */
	c->since = MONO_NEVER;
}

/* The oldest of those that have sent no request give way. */
static void
make_room(struct http *http)
{
	struct http_client *c;
	unsigned more = http->n_idle > HTTP_IDLE_MAX ?
	    http->n_idle - HTTP_IDLE_MAX : 0;

	TAILQ_FOREACH(c, &http->idle, entry) {
		if (more == 0)
			break;
		more--;
		if (!mono_is_never(c->since))
			throw_out(c);
	}
}

/* The one that takes longest to read its answer gives way, or nobody does. */
static bool
make_way(struct http *http)
{
	struct mono now = mono_now();
	struct http_client *c;

	if (http->n_busy >= HTTP_BUSY_MAX + LEAVING_MAX)
		return false;
	TAILQ_FOREACH(c, &http->busy, entry) {
		if (c->streams || mono_is_never(c->since))
			continue;
		if (mono_before(now, mono_add_ms(c->since, CROWDED_MS)))
			return false;
		throw_out(c);
		return true;
	}
	return false;
}

static void
on_connection(void *ctx, struct MHD_Connection *connection, void **at,
    enum MHD_ConnectionNotificationCode code)
{
	struct http_door *door = ctx;
	struct http_client *c = *at;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (c != NULL)
			remove_client(c);
		free(c);
		*at = NULL;
		return;
	}
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return;
	c->http = door->http;
	c->connection = connection;
	c->fd = MHD_get_connection_info(connection,
	    MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	put_client(c, false);
	*at = c;
	make_room(door->http);
}

static enum MHD_Result
on_request(void *ctx, struct MHD_Connection *connection, const char *path,
    const char *method, const char *version, const char *upload,
    size_t *upload_len, void **at)
{
	struct http_door *door = ctx;
	struct http_client *c = client_of(connection);

	(void)version;
	if (c == NULL)
		return MHD_NO;
	if (*at == NULL) {
		if (door->http->n_busy >= HTTP_BUSY_MAX &&
		    !make_way(door->http))
			return MHD_NO;
		remove_client(c);
		put_client(c, true);
	}
	return door->http->events->request(door->http->ctx, connection, path,
	    method, upload, upload_len, at) == 0 ? MHD_YES : MHD_NO;
}

static void
on_completed(void *ctx, struct MHD_Connection *connection, void **at,
    enum MHD_RequestTerminationCode code)
{
	struct http_door *door = ctx;
	struct http_client *c = client_of(connection);

	(void)code;
	if (*at != NULL)
		door->http->events->done(door->http->ctx, *at);
	*at = NULL;
	if (c != NULL && c->busy) {
		remove_client(c);
		put_client(c, false);
		make_room(door->http);
	}
}

void
http_streams(struct MHD_Connection *connection)
{
	struct http_client *c = client_of(connection);

	if (c != NULL)
		c->streams = true;
}

/* MHD sees it when it is run, and nothing wakes us for that. */
void
http_resume(struct MHD_Connection *connection)
{
	struct http_client *c = client_of(connection);

	MHD_resume_connection(connection);
	if (c != NULL)
		loop_timer_set(c->http->loop, &c->http->timer, mono_now());
}

/* ---- time ---- */

/* Who is too slow goes; when the next one is. */
static struct mono
look_at(struct http_clients *clients, int64_t ms)
{
	struct http_client *c;
	struct mono now = mono_now(), next = MONO_NEVER;

	TAILQ_FOREACH(c, clients, entry) {
		struct mono due;

		if (c->streams || mono_is_never(c->since))
			continue;
		due = mono_add_ms(c->since, ms);
		if (mono_before(now, due)) {
			next = due;
			break;
		}
		throw_out(c);
	}
	return next;
}

static struct mono
earlier(struct mono a, struct mono b)
{
	return mono_before(a, b) ? a : b;
}

static void
set_timer(struct http *http)
{
	struct mono next = earlier(look_at(&http->idle,
	    http->closing ? CLOSING_MS : REQUEST_MS),
	    look_at(&http->busy, ANSWER_MS));

	for (size_t i = 0; i < http->n_doors; i++) {
		MHD_UNSIGNED_LONG_LONG ms;

		if (MHD_get_timeout(http->doors[i].daemon, &ms) == MHD_YES)
			next = earlier(next, mono_add_ms(mono_now(),
			    (int64_t)(ms > 60000 ? 60000 : ms)));
	}
	loop_timer_set(http->loop, &http->timer, next);
}

/* What is left for MHD to do at once it says by a timeout of 0. */
static void
run(struct http_door *door)
{
	for (int i = 0; i < RUNS_MAX; i++) {
		MHD_UNSIGNED_LONG_LONG ms;

		(void)MHD_run(door->daemon);
		if (MHD_get_timeout(door->daemon, &ms) != MHD_YES || ms > 0)
			break;
	}
}

static void
door_ready(void *ctx, uint32_t events)
{
	struct http_door *door = ctx;

	(void)events;
	run(door);
	set_timer(door->http);
}

static void
on_timer(void *ctx)
{
	struct http *http = ctx;

	for (size_t i = 0; i < http->n_doors; i++)
		run(&http->doors[i]);
	set_timer(http);
}

/* ---- doors ---- */

int
http_init(struct http *http, struct loop *loop,
    const struct http_events *events, void *ctx)
{
	*http = (struct http){ .loop = loop, .events = events, .ctx = ctx };
	TAILQ_INIT(&http->idle);
	TAILQ_INIT(&http->busy);
	return loop_timer_init(loop, &http->timer, on_timer, http);
}

int
http_add_door(struct http *http, int fd, struct error *err)
{
	struct http_door *door = &http->doors[http->n_doors];
	int flags = fcntl(fd, F_GETFL);
	int epoll_fd, code;

	if (http->n_doors == HTTP_DOORS_MAX) {
		fd_close(&fd);
		return error_set(err, -E2BIG, "%d addresses are the most",
		    HTTP_DOORS_MAX);
	}
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	/* It accepts until nobody is there. */
	if (flags >= 0)
		(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	*door = (struct http_door){ .http = http };
	door->daemon = MHD_start_daemon(MHD_USE_EPOLL |
	    MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, door,
	    MHD_OPTION_LISTEN_SOCKET, fd,
	    MHD_OPTION_CONNECTION_LIMIT, HTTP_IDLE_MAX + HTTP_BUSY_MAX + 64u,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_MEMORY,
	    MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)2048,
	    MHD_OPTION_CONNECTION_TIMEOUT, 0u,
	    MHD_OPTION_NOTIFY_COMPLETED, on_completed, door,
	    MHD_OPTION_NOTIFY_CONNECTION, on_connection, door,
	    MHD_OPTION_STRICT_FOR_CLIENT, 1,
	    MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
	    MHD_OPTION_END);
	if (door->daemon == NULL) {
		fd_close(&fd);
		return error_set(err, -ENOMEM,
		    "the HTTP server cannot be started");
	}
	epoll_fd = MHD_get_daemon_info(door->daemon,
	    MHD_DAEMON_INFO_EPOLL_FD)->listen_fd;
	code = loop_add(http->loop, epoll_fd, EPOLLIN, false, door_ready, door,
	    &door->handle);
	if (code < 0) {
		MHD_stop_daemon(door->daemon);
		return error_set(err, code, "%s", strerror(-code));
	}
	http->n_doors++;
	return 0;
}

void
http_close_doors(struct http *http)
{
	http->closing = true;
	for (size_t i = 0; i < http->n_doors; i++) {
		int fd;

		run(&http->doors[i]);
		fd = MHD_quiesce_daemon(http->doors[i].daemon);
		if (fd >= 0)
			(void)close(fd);
	}
	set_timer(http);
}

unsigned
http_left(const struct http *http)
{
	return http->n_idle + http->n_busy;
}

void
http_fini(struct http *http)
{
	for (size_t i = 0; i < http->n_doors; i++) {
		loop_del(http->loop, &http->doors[i].handle);
		MHD_stop_daemon(http->doors[i].daemon);
	}
	http->n_doors = 0;
	if (http->loop != NULL)
		loop_timer_fini(http->loop, &http->timer);
}
