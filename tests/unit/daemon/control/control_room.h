/*
 * The control room as it is, with a real loop and a real socket, and no app
 * that runs. Time is fake and goes on when a test says so; the loop never
 * sleeps. Whoever links this has -Wl,--wrap= for control_socket_accept,
 * epoll_wait, mono_now and reload_request.
 */
#ifndef TESTS_UNIT_DAEMON_CONTROL_CONTROL_ROOM_H
#define TESTS_UNIT_DAEMON_CONTROL_CONTROL_ROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mono.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "daemon/apps/apps.h"
#include "daemon/config/conf_load.h"
#include "daemon/config/reload.h"
#include "daemon/control/control.h"
#include "daemon/output/outputs.h"

struct stopped_app;

#define GREETING	"clusterd 1 pid=4711 version=" CLUSTERD_VERSION \
	" supervisor=0\n"

extern struct room {
	struct mono now;
	bool idle;		/* nothing happened in the latest turn */
	bool strangers;		/* peers that may not */
	bool no_descriptor;	/* for another client */
	unsigned reloads_asked;	/* … of daemon/config */
	unsigned stops;		/* … of the program */
	char dir[64];
	char path[80];		/* of the socket */
	struct config config;
	struct conf_origin origin;
	struct loop *loop;
	struct apps apps;
	struct reloads reloads;
	struct outputs outputs;
	struct control_program program;
	struct control control;
	struct conf_app *confs;
	struct stopped_app *stopped;
} room;

/* For each test: all of it anew, and nothing is left. */
int room_begin(void **state);
int room_end(void **state);

/* Apps that are stopped are all that status can tell of here. */
void room_stop_apps(size_t n);

/* A turn of the loop, and its end; turns until nothing happens. */
void room_turn(void);
void room_turns(void);
void room_pass_ms(int64_t ms);

/* ---- a client's end ---- */

int join(void);
int join_and_be_greeted(void);
void leave(int fd);

void put_bytes(int fd, const char *bytes, size_t len);
void put(int fd, const char *text);

/* What there is; true: and that was all, the other end has closed. */
bool get(int fd, struct strbuf *sb);

/* It has got that, and is still there; or that was the end. */
void expect(int fd, const char *expected);
void expect_end(int fd, const char *expected);

/* Somebody who comes now gets an answer. */
void expect_served(void);

#endif
