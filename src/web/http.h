/*
 * The HTTP server in the loop: libmicrohttpd, and what it leaves to us. A connection
 * has so long to send a request, and so long to take its answer; of those that have
 * sent none the oldest go when they are many.
 */
#ifndef WEB_HTTP_H
#define WEB_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "base/mono.h"
#include "linux/loop/loop.h"

struct MHD_Connection;
struct MHD_Daemon;
struct error;

/* Of all its doors together. */
#define HTTP_IDLE_MAX	256
#define HTTP_BUSY_MAX	256

/* Bytes of a request's head, and of what is worked on it. */
#define HTTP_MEMORY	(12 * 1024)

#define HTTP_DOORS_MAX	16

/* A client's connection; all of it is written here. */
struct http_client {
	TAILQ_ENTRY(http_client) entry;
	struct http *http;
	struct MHD_Connection *connection;
	int fd;
	struct mono since;
	bool busy;
	bool streams;		/* its answer has no end */
};

TAILQ_HEAD(http_clients, http_client);

struct http_door {
	struct http *http;
	struct MHD_Daemon *daemon;
	loop_handle handle;
};

struct http_events {
	/* As MHD_AccessHandlerCallback, of a client that is busy from then on. */
	int (*request)(void *ctx, struct MHD_Connection *connection,
	    const char *path, const char *method, const char *upload,
	    size_t *upload_len, void **at);
	/* It is over; *at is what it had. */
	void (*done)(void *ctx, void *at);
};

struct http {
	struct loop *loop;
	const struct http_events *events;
	void *ctx;
	struct http_door doors[HTTP_DOORS_MAX];
	size_t n_doors;
	struct loop_timer timer;	/* for MHD and for who is too slow */
	struct http_clients idle;	/* the one that waits longest first */
	struct http_clients busy;	/* likewise */
	unsigned n_idle, n_busy;
	bool closing;
};

/* -errno. */
int http_init(struct http *http, struct loop *loop,
    const struct http_events *events, void *ctx);

/* Serve a listening socket too, which is taken in any case. -errno with words. */
int http_add_door(struct http *http, int fd, struct error *err);

/* The answer of this one has no end, so it has no deadline either. */
void http_streams(struct MHD_Connection *connection);

/* One that was suspended goes on, in a moment. */
void http_resume(struct MHD_Connection *connection);

/* Take who waits in the queues, nobody else, and let go of idle ones. */
void http_close_doors(struct http *http);

/* How many connections are left. */
unsigned http_left(const struct http *http);

/* Every connection must have been resumed. */
void http_fini(struct http *http);

#endif
