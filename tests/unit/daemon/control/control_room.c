#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "control_room.h"
#include "daemon/apps/stopped.h"
#include "linux/control/control_socket.h"
#include "linux/loop/loop.h"

struct mono __wrap_mono_now(void);
int __real_epoll_wait(int fd, struct epoll_event *events, int max,
    int timeout);
int __wrap_epoll_wait(int fd, struct epoll_event *events, int max,
    int timeout);
int __real_control_socket_accept(const struct control_socket *s, uint32_t gid,
    struct control_peer *ret_peer);
int __wrap_control_socket_accept(const struct control_socket *s, uint32_t gid,
    struct control_peer *ret_peer);
void __wrap_reload_request(struct reloads *rs, enum reload_scope scope,
    const char *app);

/* Of clusterd's end: the default is another from machine to machine. */
#define SEND_BUFFER	(64 * 1024)

struct room room;

struct mono
__wrap_mono_now(void)
{
	return room.now;
}

int
__wrap_epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
	int n = __real_epoll_wait(fd, events, max, 0);

	(void)timeout;
	room.idle = n == 0;
	return n;
}

int
__wrap_control_socket_accept(const struct control_socket *s, uint32_t gid,
    struct control_peer *ret_peer)
{
	int fd = room.no_descriptor ? -EMFILE :
	    __real_control_socket_accept(s, gid, ret_peer);
	int size = SEND_BUFFER;

	if (fd >= 0)
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size,
		    sizeof(size)), 0);
	if (fd >= 0 && room.strangers)
		ret_peer->allowed = false;
	return fd;
}

void
__wrap_reload_request(struct reloads *rs, enum reload_scope scope,
    const char *app)
{
	(void)rs;
	assert_int_equal(scope, RELOAD_ALL);
	assert_null(app);
	room.reloads_asked++;
	rs->under_way = (struct reload *)&room.reloads_asked;
}

static void
on_stop(void *ctx)
{
	assert_ptr_equal(ctx, &room.stops);
	room.stops++;
}

/* ---- clusterd's end ---- */

void
room_turn(void)
{
	loop_turn(room.loop);
	if (!room.apps.dirty)
		return;
	room.apps.dirty = room.idle = false;
	control_turn(&room.control);
}

void
room_turns(void)
{
	for (int i = 0, quiet = 0; i < 10000; i++) {
		/* A timer may have been all of one. */
		room_turn();
		quiet = room.idle ? quiet + 1 : 0;
		if (quiet == 2)
			return;
	}
	fail_msg("the loop does not come to rest");
}

void
room_pass_ms(int64_t ms)
{
	room.now = mono_add_ms(room.now, ms);
	room_turns();
}

int
room_begin(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	room = (struct room){
		.now = { .ns = 1000 * INT64_C(1000000000) },
		.dir = "/tmp/clusterd-test-XXXXXX",
		.config = { .control = room.path, .control_gid = UINT32_MAX },
		.origin = { .path = "/etc/web.ini" },
		.reloads = { .config = &room.config, .origin = &room.origin },
	};
	room.program = (struct control_program){
		.pid = 4711, .started = room.now,
	};
	assert_non_null(mkdtemp(room.dir));
	snprintf(room.path, sizeof(room.path), "%s/socket", room.dir);
	assert_int_equal(loop_new(&room.loop, NULL), 0);
	control_init(&room.control, &(struct control_setup){
		.loop = room.loop,
		.apps = &room.apps,
		.reloads = &room.reloads,
		.outputs = &room.outputs,
		.program = &room.program,
		.stop = on_stop,
		.stop_ctx = &room.stops,
	});
	assert_int_equal(control_open(&room.control, &err), 0);
	return 0;
}

void
room_stop_apps(size_t n)
{
	room.confs = calloc(n, sizeof(*room.confs));
	room.stopped = calloc(n, sizeof(*room.stopped));
	assert_non_null(room.confs);
	assert_non_null(room.stopped);
	for (size_t i = 0; i < n; i++) {
		assert_true(asprintf(&room.confs[i].name, "app-%zu", i) > 0);
		room.confs[i].out.kind = CONF_OUTPUT_PREFIX;
		room.confs[i].err.kind = CONF_OUTPUT_PREFIX;
		room.stopped[i].conf = &room.confs[i];
		room.stopped[i].next = i + 1 < n ? &room.stopped[i + 1] : NULL;
	}
	room.apps.stopped = room.stopped;
}

int
room_end(void **state)
{
	(void)state;
	control_close(&room.control);
	out_tails_free(&room.outputs.tails);
	loop_free(room.loop);
	for (struct stopped_app *s = room.apps.stopped; s != NULL; s = s->next)
		free(s->conf->name);
	free(room.confs);
	free(room.stopped);
	/* The socket's file has gone, so that nothing is left in it. */
	assert_int_equal(rmdir(room.dir), 0);
	return 0;
}

/* ---- a client's end ---- */

int
join(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0);

	assert_true(fd >= 0);
	strcpy(sun.sun_path, room.path);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	return fd;
}

void
put_bytes(int fd, const char *bytes, size_t len)
{
	assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

void
put(int fd, const char *text)
{
	put_bytes(fd, text, strlen(text));
}

bool
get(int fd, struct strbuf *sb)
{
	char bytes[4096];
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		strbuf_add(sb, bytes, (size_t)n);
	assert_true(n == 0 || errno == EAGAIN || errno == ECONNRESET);
	return n == 0 || errno == ECONNRESET;
}

static void
expect_bytes(int fd, const char *expected, bool closed)
{
	struct strbuf sb = STRBUF_INIT;

	assert_int_equal(get(fd, &sb), closed);
	assert_string_equal(sb.len > 0 ? sb.text : "", expected);
	strbuf_free(&sb);
}

void
expect(int fd, const char *expected)
{
	expect_bytes(fd, expected, false);
}

void
expect_end(int fd, const char *expected)
{
	expect_bytes(fd, expected, true);
}

int
join_and_be_greeted(void)
{
	int fd = join();

	room_turns();
	expect(fd, GREETING);
	return fd;
}

void
leave(int fd)
{
	fd_close(&fd);
}

void
expect_served(void)
{
	struct strbuf sb = STRBUF_INIT;
	int fd = join_and_be_greeted();

	put(fd, "wait\n");
	room_turns();
	/* Whichever apps are stopped. */
	assert_false(get(fd, &sb));
	assert_true(sb.len > 8 && strncmp(sb.text, "ok ready", 8) == 0);
	strbuf_free(&sb);
	leave(fd);
	room_turns();
}
