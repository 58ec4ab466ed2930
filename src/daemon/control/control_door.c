#include <sys/epoll.h>

#include <poll.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "daemon/control/control_door.h"
#include "linux/socket/socket_close.h"

/* How often room is looked for, while somebody waits for it. */
#define AGAIN_MS	100

static void
arrived(void *ctx, uint32_t events)
{
	struct control_door *door = ctx;

	(void)events;
	door->events->arrived(door->ctx);
}

static void
again_due(void *ctx)
{
	struct control_door *door = ctx;

	door->events->look(door->ctx);
}

void
control_door_init(struct control_door *door, struct loop *loop,
    const struct control_door_events *events, void *ctx)
{
	*door = (struct control_door){
		.loop = loop,
		.events = events,
		.ctx = ctx,
		.socket = CONTROL_SOCKET_INIT,
	};
}

/* Descriptors have no business here. Kernels that cannot refuse them have them
   left in the queue, see socket_receive(). */
static int
open_socket(struct control_door *door, const char *path, const char *also,
    bool waits, struct control_socket *ret_socket, struct error *err)
{
	int code = control_socket_open(path, also, door->gid, waits, ret_socket,
	    err);

	if (code == 0)
		(void)socket_refuse_descriptors(ret_socket->fd);
	return code;
}

static void
close_socket(struct control_socket *s)
{
	control_socket_leave(s);
	socket_close(&s->fd);
	control_socket_close(s);
}

int
control_door_open(struct control_door *door, const char *path,
    const char *also, uint32_t gid, struct error *err)
{
	int code;

	door->gid = gid;
	code = open_socket(door, path, also, true, &door->socket, err);
	if (code == 0)
		code = loop_add(door->loop, door->socket.fd, EPOLLIN, false,
		    arrived, door, &door->handle);
	if (code == 0)
		code = loop_timer_init(door->loop, &door->again, again_due,
		    door);
	if (code < 0)
		control_door_close(door);
	return code;
}

/* Removed by somebody. */
static void
make_again(struct control_door *door)
{
	struct control_socket fresh = CONTROL_SOCKET_INIT;
	struct error err = ERROR_INIT;
	loop_handle handle = 0;
	int code;

	code = open_socket(door, door->socket.path, NULL, false, &fresh, &err);
	if (code == 0)
		code = loop_add(door->loop, fresh.fd,
		    door->paused ? 0 : EPOLLIN, false, arrived, door, &handle);
	if (code < 0) {
		log_warning("the control socket is not back: %s",
		    err.text != NULL ? err.text : strerror(-code));
		close_socket(&fresh);
	} else {
		log_info("the control socket %s is back", fresh.path);
		loop_del(door->loop, &door->handle);
		close_socket(&door->socket);
		door->socket = fresh;
		door->handle = handle;
	}
	error_clear(&err);
}

void
control_door_restore(struct control_door *door, const char *also)
{
	struct error err = ERROR_INIT;

	if (door->socket.fd < 0)
		return;
	if (!control_socket_is_there(&door->socket))
		make_again(door);
	if (control_socket_also(&door->socket, also, &err) < 0)
		log_warning("the configuration is found by clusterctl under "
		    "this one's name for it alone: %s", error_text(&err));
	error_clear(&err);
}

void
control_door_close(struct control_door *door)
{
	loop_del(door->loop, &door->handle);
	loop_timer_fini(door->loop, &door->again);
	close_socket(&door->socket);
}

int
control_door_accept(struct control_door *door, struct control_peer *ret_peer)
{
	return control_socket_accept(&door->socket, door->gid, ret_peer);
}

void
control_door_pause(struct control_door *door)
{
	if (!door->paused)
		(void)loop_set_events(door->loop, door->handle, 0);
	door->paused = true;
	loop_timer_set(door->loop, &door->again,
	    mono_add_ms(mono_now(), AGAIN_MS));
}

void
control_door_resume(struct control_door *door)
{
	if (!door->paused)
		return;
	if (loop_set_events(door->loop, door->handle, EPOLLIN) < 0) {
		control_door_pause(door);
		return;
	}
	door->paused = false;
	loop_timer_set(door->loop, &door->again, MONO_NEVER);
}

bool
control_door_is_waited_at(const struct control_door *door)
{
	struct pollfd fd = { .fd = door->socket.fd, .events = POLLIN };

	return poll(&fd, 1, 0) > 0;
}
