/*
 * The control socket that clients come by. It can be closed for a while, when
 * there is no room for another one: they wait in its queue then.
 */
#ifndef DAEMON_CONTROL_CONTROL_DOOR_H
#define DAEMON_CONTROL_CONTROL_DOOR_H

#include <stdbool.h>
#include <stdint.h>

#include "linux/control/control_socket.h"
#include "linux/loop/loop.h"

struct error;

/* Upcalls; set once. */
struct control_door_events {
	void (*arrived)(void *ctx);	/* it is open, and somebody waits */
	void (*look)(void *ctx);	/* it has been paused for a while */
};

struct control_door {
	struct loop *loop;
	const struct control_door_events *events;
	void *ctx;
	struct control_socket socket;
	loop_handle handle;
	uint32_t gid;		/* whose members may; (uint32_t)-1 */
	bool paused;
	struct loop_timer again;	/* looks for room */
};

void control_door_init(struct control_door *door, struct loop *loop,
    const struct control_door_events *events, void *ctx);

/* As control_socket_open(); -errno. */
int control_door_open(struct control_door *door, const char *path,
    const char *also, uint32_t gid, struct error *err);

/* See that its file is there, by its second name `also`, or NULL, too: whoever
   cleans up may have removed it. Failure is logged. */
void control_door_restore(struct control_door *door, const char *also);

/* One that was never opened is fine. */
void control_door_close(struct control_door *door);

/* As control_socket_accept(). */
int control_door_accept(struct control_door *door,
    struct control_peer *ret_peer);

/* Nobody comes in until it is resumed; `look` is called in a moment, once. */
void control_door_pause(struct control_door *door);
void control_door_resume(struct control_door *door);

/* Does somebody wait, whether it is open or not? */
bool control_door_is_waited_at(const struct control_door *door);

#endif
